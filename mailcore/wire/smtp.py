"""SMTP's grammar, both sides' (RFC 5321 §4.1, RFC 1870, 3030, 3461, 4954, 6531): command lines in,
their parts out; content with dots, chunk by chunk. Knows no sockets and decides nothing.
"""

import re
from dataclasses import dataclass, field

from mailcore.wire import address as addresses

_XTEXT = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})*")
_PATH = re.compile(r'\s*<((?:"(?:[^"\\]|\\.)*"|[^<>"])*)>(?:\s+(.*))?$', re.DOTALL)
_BARE_PATH = re.compile(r"\s*([^\s<>]+)(?:\s+(.*))?$")


class SyntaxFault(ValueError):
    """The line is not what RFC 5321 says. `enhanced` and `text` are for the 501 reply."""

    def __init__(self, enhanced: str, text: str, code: int = 501) -> None:
        super().__init__(text)
        self.code, self.enhanced, self.text = code, enhanced, text


@dataclass(frozen=True, slots=True)
class Path:
    """The argument of MAIL FROM or RCPT TO: an address ("" = <>) and parameters, names in upper case."""

    address: str
    parameters: dict[str, str] = field(default_factory=dict)


def split_line(line: bytes) -> tuple[str, str]:
    """(VERB, argument) of a command line without its CRLF. SyntaxFault for what no client should send."""
    if b"\0" in line:
        raise SyntaxFault("5.5.2", "Error: bad syntax", 500)
    text = line.decode("utf-8", "surrogateescape").strip()
    verb, _, argument = text.partition(" ")
    if not verb:
        raise SyntaxFault("5.5.2", "Error: bad syntax", 500)
    return verb.upper(), argument.strip()


def parse_path(argument: str, keyword: str) -> Path:
    """`FROM:<a@b> SIZE=1` → Path; `keyword` is "FROM" or "TO". Angle brackets may be missing, as the
    telnet sessions of every textbook have it. Null path "" only for FROM."""
    head, colon, rest = argument.partition(":")
    if not colon or head.strip().upper() != keyword:
        verb = "MAIL FROM" if keyword == "FROM" else "RCPT TO"
        raise SyntaxFault("5.5.4", f"Syntax: {verb}:<address>")
    enhanced, what = ("5.1.7", "sender") if keyword == "FROM" else ("5.1.3", "recipient")
    match = _PATH.match(rest) or _BARE_PATH.match(rest)
    if match is None:
        raise SyntaxFault(enhanced, f"Bad {what} address syntax")
    text = match[1].strip()
    if not text and keyword == "FROM":
        return Path("", parse_parameters(match[2] or ""))
    try:
        return Path(addresses.parse(text), parse_parameters(match[2] or ""))
    except addresses.AddressError as error:
        raise SyntaxFault(enhanced, f"Bad {what} address syntax") from error


def parse_parameters(text: str) -> dict[str, str]:
    """`SIZE=100 BODY=8BITMIME` → {"SIZE": "100", …}; a parameter without value has ""."""
    found: dict[str, str] = {}
    for word in text.split():
        name, equals, value = word.partition("=")
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9-]*", name) or (equals and not value):
            raise SyntaxFault("5.5.4", f"Bad parameter: {word[:40]}")
        if name.upper() in found:
            raise SyntaxFault("5.5.4", f"Parameter given twice: {name.upper()}")
        found[name.upper()] = value
    return found


def decode_xtext(text: str) -> str:
    """RFC 3461 §4: "+3D" → "=". SyntaxFault if it is no xtext."""
    if not _XTEXT.fullmatch(text):
        raise SyntaxFault("5.5.4", "Error: bad xtext")
    octets = re.sub(rb"\+([0-9A-F]{2})", lambda m: bytes([int(m[1], 16)]), text.encode("ascii"))
    return octets.decode("utf-8", "replace")


def encode_xtext(text: str) -> str:
    return "".join(c if "!" <= c <= "~" and c not in "+=" else "".join(f"+{b:02X}" for b in c.encode()) for c in text)


class DotStream:
    """Content after DATA, fed in chunks cut anywhere (RFC 5321 §4.5.2).

    `feed` returns content with the dots taken out. When the lone dot has come `ended` is True and
    `rest` holds what followed it. `bare` says that a CR or LF stood alone: the content must then be
    refused, for other systems would see lines (and ends) where we see none.
    """

    def __init__(self) -> None:
        self.ended = False
        self.rest = b""
        self.bare = False
        self._held = b"\r\n"  # the line end before the content: a dot may be the first thing
        self._first = True

    def feed(self, chunk: bytes) -> bytes:
        octets = self._held + chunk
        end = octets.find(b"\r\n.\r\n")
        if end >= 0:
            self.ended, self.rest = True, octets[end + 5 :]
            content, self._held = octets[: end + 2], b""
        else:
            # What may yet turn out to be the start of the end or of a dotted line waits.
            keep = next((n for n in (4, 3, 2, 1) if octets.endswith(b"\r\n.\r"[:n])), 0)
            content, self._held = octets[: len(octets) - keep], octets[len(octets) - keep :]
        if b"\r\n." in content:
            content = content.replace(b"\r\n.", b"\r\n")
        if self._first and len(content) >= 2:
            content, self._first = content[2:], False
        if not self.bare:
            pairs = content.count(b"\r\n")
            self.bare = content.count(b"\n") != pairs or content.count(b"\r") != pairs
        return content


def dotted(content: bytes) -> bytes:
    """Content as it is sent after DATA: dots doubled, the final CRLF and lone dot added."""
    if content.startswith(b"."):
        content = b"." + content
    if b"\n." in content:
        content = content.replace(b"\r\n.", b"\r\n..")
    return content + (b".\r\n" if content.endswith(b"\r\n") or not content else b"\r\n.\r\n")
