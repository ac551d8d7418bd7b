"""Trace headers: what a mail system writes on top of a message (RFC 5321 §4.4, compat: Postfix's local(8))."""

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
    """RFC 5322 §3.3 in local time; one rendering a second serves all messages of it."""
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
    """Our Received header. `recipient` only for a message with one; "" leaves the clause out."""
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
    """The three headers of a local delivery, in Postfix's order."""
    text = f"Return-Path: <{sender}>\r\nX-Original-To: {original}\r\nDelivered-To: {final}\r\n"
    return text.encode("utf-8", "surrogateescape")


def _comment(text: str) -> str:
    """Text that cannot end the comment or the header it stands in."""
    return _PLAIN_TEXT.sub("?", text)[:255]


def split_off_header(content: bytes) -> bytes:
    """The header at the start of `content`, up to its empty line (or all of it)."""
    if content.startswith((b"\r\n", b"\n")):
        return b""
    end = _HEADER_END.search(content)
    return content[: end.start() + 1] if end else content


_HEADERS = re.compile(rb"(?:[!-9;-~]+[ \t]*:[^\r\n]*\r\n(?:[ \t][^\r\n]*\r\n)*)*")


def split_header(content: bytes) -> tuple[bytes, bytes]:
    """(header lines, the rest with the empty line that parts them). A line that is no header ends the header,
    as in Postfix's cleanup, and gets the empty line it lacks."""
    match = _HEADERS.match(content)
    end = match.end() if match else 0
    header, rest = content[:end], content[end:]
    return header, rest if not rest or rest.startswith(b"\r\n") else b"\r\n" + rest


def missing_headers(header: bytes, sender: str, at: float, new_id: str) -> bytes:
    """The headers that RFC 5322 §3.6 asks for and `header` lacks: From (where there is a sender), Date,
    Message-ID."""
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
    """The Message-ID without its brackets, "" where there is none."""
    match = _MESSAGE_ID.search(header)
    return match[1].decode("utf-8", "replace").replace("\0", "") if match else ""


def count_hops(header: bytes) -> int:
    """How many Received headers there are."""
    return len(_RECEIVED.findall(header))


def find_delivered_to(header: bytes) -> set[str]:
    """The addresses this message has already been delivered to, in lower case."""
    return {found.decode("utf-8", "replace").strip().lower() for found in _DELIVERED_TO.findall(header)}
