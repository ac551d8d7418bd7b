"""Notifications of `notify` (RFC 5435) by the method mailto (RFC 5436): which URIs are accepted, and the message."""

import re
from email.header import Header
from urllib.parse import unquote

from mailcore.wire.message import envelope_address
from mailcore.wire.sieve.results import Notification
from mailcore.wire.sieve.sieve_message import SieveMessage, parse_target, to_one_line

# Fields that the URI may set besides the recipients; any other is ignored (RFC 5436 §2.2).
_FIELDS = ("subject", "body")
_IMPORTANCE = {"1": "high", "2": "normal", "3": "low"}
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\x00-\x20\x7f<>\"]*")
_FIELD_NAME = re.compile(r"[!-9;-~]+")
_ADDRESSES = re.compile(r'(?:"(?:[^"\\]|\\.)*+"|[^,"])+')
_MAX_SUBJECT = 256  # characters
_BODY_LIMIT = 10_000  # characters


def method_fault(uri: str) -> str:
    """Return what is wrong with a URI, or "": whether its method is there shows at run time (RFC 5435 §3.1)."""
    shown = f'"{to_one_line(uri)[:80]}"'
    if not _URI.fullmatch(uri.strip()):
        return f"{shown} is no URI"
    is_mailto = uri.strip().lower().startswith("mailto:")
    return f"{shown} is no mailto: address to notify" if is_mailto and parse_mailto(uri) is None else ""


def parse_mailto(uri: str) -> tuple[tuple[str, ...], dict[str, str]] | None:
    """Return (recipients, fields) of a mailto URI (RFC 6068), or None if it names no valid recipient."""
    scheme, colon, rest = uri.strip().partition(":")
    if not colon or scheme.lower() != "mailto" or len(uri) > 4000 or not _URI.fullmatch(uri.strip()):
        return None
    addresses, _mark, query = rest.partition("?")
    fields: dict[str, str] = {}
    for pair in filter(None, query.split("&")):
        name, _equals, value = pair.partition("=")
        if not _FIELD_NAME.fullmatch(unquote(name)):
            return None
        fields.setdefault(unquote(name).lower(), unquote(value))
    texts = ",".join((unquote(addresses), fields.get("to", ""), fields.get("cc", "")))
    targets = [parse_target(text) for text in _ADDRESSES.findall(texts) if text.strip()]
    if not targets or not all(targets):
        return None
    unique = {envelope_address.fold_address(target): target for target in targets}
    return tuple(unique.values()), {name: fields[name] for name in _FIELDS if name in fields}


def should_notify(message: SieveMessage) -> bool:
    """Return False for a message that a program made: notifications of notifications would never end (§2.7.1)."""
    return not any(value.split(";")[0].strip().lower() != "no" for value in message.values("auto-submitted"))


def render_notification(
    notification: Notification, message: SieveMessage, *, owner: str, date: str, message_id: str
) -> bytes:
    """Return the notification with CRLF line ends; `owner` is the account whose script asks for it."""
    original = {name: to_one_line((message.values(name) or [""])[0]) for name in ("from", "subject")}
    subject = (notification.subject or notification.message or original["subject"] or "New message")[:_MAX_SUBJECT]
    importance = _IMPORTANCE.get(notification.importance, "normal")
    lines = [
        f"From: {envelope_address.format_address(notification.sender or owner)}",
        "To: " + ",\r\n ".join(map(envelope_address.format_address, notification.recipients)),
        f"Subject: {_encode(to_one_line(subject))}",
        f"Date: {date}",
        f"Message-ID: <{message_id}>",
        f'Auto-Submitted: auto-notified; owner-email="{owner}"',
        f"Importance: {importance}",
        "Precedence: bulk",
        "MIME-Version: 1.0",
        'Content-Type: text/plain; charset="utf-8"',
        "Content-Transfer-Encoding: 8bit",
    ]
    body = notification.body or notification.message or f"From: {original['from']}\nSubject: {original['subject']}"
    text = re.sub(r"\r\n|\r|\n", "\r\n", body[:_BODY_LIMIT].rstrip())
    return ("\r\n".join(lines) + f"\r\n\r\n{text}\r\n").encode("utf-8", "replace")


def _encode(text: str) -> str:
    return text if text.isascii() and len(text) < 900 else Header(text, "utf-8").encode(linesep="\r\n", maxlinelen=75)
