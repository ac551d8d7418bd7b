"""IMAP URLs (RFC 5092) for CATENATE and URLAUTH: one message of a mailbox, or a part of it."""

import re
from dataclasses import dataclass
from urllib.parse import quote, unquote_to_bytes

from mailcore.wire.imap import mailbox_names
from mailcore.wire.imap.cursor import BadSyntax, Cursor
from mailcore.wire.imap.syntax import fetch_syntax
from mailcore.wire.message.body_section import Section

_SERVER = re.compile(r"imap://(?:(?P<user>[^;:@/]*)(?:;AUTH=[^@/]*)?@)?(?P<host>[^/]*)(?=/)", re.IGNORECASE)
_MESSAGE = re.compile(
    r"/(?P<mailbox>[^;]+?)(?:;UIDVALIDITY=(?P<validity>\d{1,10}))?/;UID=(?P<uid>\d{1,10})"
    r"(?:/;SECTION=(?P<section>[^/;]+))?(?:/;PARTIAL=(?P<first>\d{1,10})(?:\.(?P<length>\d{1,10}))?)?",
    re.IGNORECASE,
)
_RIGHTS = re.compile(
    r"(?:;EXPIRE=(?P<expire>[0-9TZ:.+-]+))?;URLAUTH=(?P<access>anonymous|authuser|(?:submit|user)\+[^:;/]+)"
    r"(?::(?P<mechanism>[A-Za-z0-9.-]+)(?::(?P<token>[0-9A-Fa-f]{32,}))?)?",
    re.IGNORECASE,
)


_WHOLE = Section()


class BadUrl(Exception):
    """The text is not the URL of a message on this server."""


@dataclass(frozen=True, slots=True)
class MessageUrl:
    """The URL of a message or of a part of it.

    `user` and `host` are "" in a URL that begins with "/"; `uid_validity` 0: not given. `partial` is (first byte,
    number of bytes, 0: to the end).
    """

    mailbox: str
    uid: int
    uid_validity: int = 0
    section: Section = _WHOLE
    partial: tuple[int, int] | None = None
    user: str = ""
    host: str = ""


@dataclass(frozen=True, slots=True)
class AuthorizedUrl:
    """A URL with access rights (RFC 4467 §3).

    `rump` is the text that the token signs; `token` is "" before it is signed.
    """

    message: MessageUrl
    rump: str
    expire: str
    access: str
    mechanism: str
    token: str


def parse_url(text: str) -> MessageUrl:
    """Parse the URL of a message; raise BadUrl if it is anything else."""
    message, rest = _parse_message_url(text)
    if rest:
        raise BadUrl
    return message


def parse_authorized_url(text: str) -> AuthorizedUrl:
    message, rest = _parse_message_url(text)
    match = _RIGHTS.fullmatch(rest)
    if match is None or not message.host or not message.user:
        raise BadUrl
    end = text.rindex(":" + match["mechanism"]) if match["mechanism"] else len(text)
    return AuthorizedUrl(
        message, text[:end], match["expire"] or "", match["access"].lower(), (match["mechanism"] or "").upper(),
        (match["token"] or "").lower(),
    )  # fmt: skip


def _parse_message_url(text: str) -> tuple[MessageUrl, str]:
    user = host = ""
    at = 0
    if server := _SERVER.match(text):
        user, host, at = _percent_decode(server["user"] or ""), server["host"], server.end()
    match = _MESSAGE.match(text, at)
    if match is None:
        raise BadUrl
    try:
        section = fetch_syntax.parse_section(Cursor(b"[" + unquote_to_bytes(match["section"] or "") + b"]"))
    except BadSyntax:
        raise BadUrl from None
    partial = (int(match["first"]), int(match["length"] or 0)) if match["first"] else None
    message = MessageUrl(
        mailbox_names.canonical_name(_percent_decode(match["mailbox"])), int(match["uid"]),
        int(match["validity"] or 0), section, partial, user, host,
    )  # fmt: skip
    return message, text[match.end() :]


def _percent_decode(text: str) -> str:
    try:
        return unquote_to_bytes(text).decode("utf-8")
    except UnicodeDecodeError:
        raise BadUrl from None


def format_url(message: MessageUrl) -> str:
    """Return the URL without access rights, as `parse_url` accepts it."""
    server = f"imap://{quote(message.user, safe='')}@{message.host}" if message.host else ""
    validity = f";UIDVALIDITY={message.uid_validity}" if message.uid_validity else ""
    section = quote(fetch_syntax.format_section(message.section)[5:-1].decode("latin-1"), safe="()")
    part = f"/;SECTION={section}" if section else ""
    if message.partial is not None:
        first, length = message.partial
        part += f"/;PARTIAL={first}" + (f".{length}" if length else "")
    return f"{server}/{quote(message.mailbox, safe='/')}{validity}/;UID={message.uid}{part}"
