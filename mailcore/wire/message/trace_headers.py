"""Trace headers, written on top of a message (RFC 5321 §4.4; Postfix local(8))."""

import re
import time
from email.utils import formatdate

_HEADER_END = re.compile(rb"\r?\n\r?\n")
_MESSAGE_ID = re.compile(rb"^message-id:[ \t]*(?:\r?\n[ \t]+)?<([^>\r\n]{1,250})>", re.IGNORECASE | re.MULTILINE)
_RECEIVED = re.compile(rb"^received:", re.IGNORECASE | re.MULTILINE)
_DELIVERED_TO = re.compile(rb"^delivered-to:[ \t]*([^\r\n]+)", re.IGNORECASE | re.MULTILINE)
_PLAIN_TEXT = re.compile(r"[^\x20-\x7e\x80-\U0010ffff]|[()\\]")

_stamp: tuple[int, str] = (0, "")


def format_date(at: float) -> str:
    """Format a date as RFC 5322 §3.3 has it, in local time; cached, one format a second."""
    global _stamp
    if _stamp[0] != int(at):
        _stamp = (int(at), formatdate(int(at), localtime=True) + f" ({time.strftime('%Z', time.localtime(at))})")
    return _stamp[1]


def format_received(
    *,
    helo: str,
    client_name: str,
    client_address: str,
    hostname: str,
    mail_name: str,
    protocol: str,
    queue_id: str,
    recipient: str,
    at: float,
    tls: str = "",
    login: str = "",
) -> bytes:
    """Return this system's Received field.

    `recipient` is given only for a message with a single one; "" leaves the "for" clause out.
    """
    address = f"IPv6:{client_address}" if ":" in client_address else client_address
    lines = [f"Received: from {_comment(helo) or 'unknown'} ({_comment(client_name)} [{address}])"]
    if tls:
        lines.append(f"\t(using {tls})")
    if login:
        lines.append(f"\t(Authenticated sender: {_comment(login)})")
    lines.append(f"\tby {hostname} ({mail_name}) with {protocol} id {queue_id}")
    if recipient:
        lines.append(f"\tfor <{recipient}>; {format_date(at)}")
    else:
        lines[-1] += f"; {format_date(at)}"
    return ("\r\n".join(lines) + "\r\n").encode("utf-8", "surrogateescape")


def format_delivery_headers(sender: str, original: str, final: str) -> bytes:
    """Return the three header fields of a local delivery, in Postfix's order."""
    text = f"Return-Path: <{sender}>\r\nX-Original-To: {original}\r\nDelivered-To: {final}\r\n"
    return text.encode("utf-8", "surrogateescape")


def _comment(text: str) -> str:
    """Return text that cannot end the comment or the header around it."""
    return _PLAIN_TEXT.sub("?", text)[:255]


def split_off_header(content: bytes) -> bytes:
    """Return the header at the start of `content`, up to its empty line (or all of it)."""
    if content.startswith((b"\r\n", b"\n")):
        return b""
    end = _HEADER_END.search(content)
    return content[: end.start() + 1] if end else content


_HEADERS = re.compile(rb"(?:[!-9;-~]+[ \t]*:[^\r\n]*\r\n(?:[ \t][^\r\n]*\r\n)*)*")


def split_header(content: bytes) -> tuple[bytes, bytes]:
    """Split content into (header lines, the rest with the empty line before the body).

    As in Postfix's cleanup(8), a line that is not a header field ends the header; the missing empty line is added.
    """
    match = _HEADERS.match(content)
    end = match.end() if match else 0
    header, rest = content[:end], content[end:]
    return header, rest if not rest or rest.startswith(b"\r\n") else b"\r\n" + rest


def missing_headers(header: bytes, sender: str, at: float, new_id: str) -> bytes:
    """Return the fields required by RFC 5322 §3.6 that `header` lacks: From (with a sender), Date, Message-ID."""
    there = {match.lower() for match in re.findall(rb"^([!-9;-~]+)[ \t]*:", header, re.MULTILINE)}
    lines = []
    if b"from" not in there and sender:
        lines.append(f"From: {sender}")
    if b"date" not in there:
        lines.append(f"Date: {formatdate(at, localtime=True)}")
    if b"message-id" not in there:
        lines.append(f"Message-ID: <{new_id}>")
    return "".join(f"{line}\r\n" for line in lines).encode("utf-8", "replace")


def find_message_id(header: bytes) -> str:
    """Return the Message-ID without brackets, "" if there is none."""
    match = _MESSAGE_ID.search(header)
    return match[1].decode("utf-8", "replace").replace("\0", "") if match else ""


def count_hops(header: bytes) -> int:
    """Return the number of Received fields."""
    return len(_RECEIVED.findall(header))


def find_delivered_to(header: bytes) -> set[str]:
    """Return the addresses in Delivered-To fields, in lower case."""
    return {found.decode("utf-8", "replace").strip().lower() for found in _DELIVERED_TO.findall(header)}
