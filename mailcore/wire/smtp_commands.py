"""The grammar of SMTP for server and client: command lines, parameters and dot-stuffed content.

RFC 5321 §4.1, with RFC 1870, 3030, 3461, 4865, 4954 and 6531. No sockets, no decisions.
"""

import io
import re
from dataclasses import dataclass, field
from datetime import datetime

from mailcore.wire.message import envelope_address as addresses

_XTEXT = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})*")
_ORCPT = re.compile(r"(?:[!-*,-<>-~\x80-\U0010ffff]|\+[0-9A-F]{2})*")  # xtext, or utf-8-addr-xtext (RFC 6533 §3)
_PATH = re.compile(r'\s*<((?:"(?:[^"\\]|\\.)*"|[^<>"])*)>(?:\s+(.*))?$', re.DOTALL)
_BARE_PATH = re.compile(r"\s*([^\s<>]+)(?:\s+(.*))?$")


class SmtpSyntaxError(ValueError):
    """The line violates RFC 5321; `code`, `enhanced` and `text` form the reply."""

    def __init__(self, enhanced: str, text: str, code: int = 501) -> None:
        super().__init__(text)
        self.code, self.enhanced, self.text = code, enhanced, text


@dataclass(frozen=True, slots=True)
class Path:
    """The argument of MAIL FROM or RCPT TO: an address ("" for <>) and parameters, names in upper case."""

    address: str
    parameters: dict[str, str] = field(default_factory=dict)


def split_line(line: bytes) -> tuple[str, str]:
    """Split a command line without its CRLF into (VERB, argument). Raise SmtpSyntaxError."""
    if b"\0" in line or b"\r" in line:
        raise SmtpSyntaxError("5.5.2", "Error: bad syntax", 500)
    try:
        text = line.decode("utf-8").strip()
    except UnicodeDecodeError as error:
        raise SmtpSyntaxError("5.5.2", "Error: bad UTF-8 syntax", 500) from error
    verb, _, argument = text.partition(" ")
    if not verb:
        raise SmtpSyntaxError("5.5.2", "Error: bad syntax", 500)
    return verb.upper(), argument.strip()


def is_header(word: str) -> bool:
    """Return True if a line beginning with this word looks like a header field, "Subject:" (RFC 5322 §3.6.8)."""
    return re.fullmatch(r"[!-9;-~]+:.*", word) is not None


def is_domain(text: str) -> bool:
    """Return True if `text` is a domain or an address literal, as ETRN names them."""
    try:
        return addresses.split_address(addresses.parse_address(f"x@{text}"))[0] == "x"
    except addresses.AddressError:
        return False


def parse_path(argument: str, keyword: str) -> Path:
    """Parse `FROM:<a@b> SIZE=1`; `keyword` is "FROM" or "TO". Raise SmtpSyntaxError.

    Angle brackets may be missing, as in the telnet sessions of textbooks. The null path is allowed for FROM only.
    """
    head, colon, rest = argument.partition(":")
    if not colon or head.strip().upper() != keyword:
        verb = "MAIL FROM" if keyword == "FROM" else "RCPT TO"
        raise SmtpSyntaxError("5.5.4", f"Syntax: {verb}:<address>")
    enhanced, what = ("5.1.7", "sender") if keyword == "FROM" else ("5.1.3", "recipient")
    match = _PATH.match(rest) or _BARE_PATH.match(rest)
    if match is None:
        raise SmtpSyntaxError(enhanced, f"Bad {what} address syntax")
    text = match[1].strip()
    if not text and keyword == "FROM":
        return Path("", parse_parameters(match[2] or ""))
    try:
        return Path(addresses.parse_address(text), parse_parameters(match[2] or ""))
    except addresses.AddressError as error:
        raise SmtpSyntaxError(enhanced, f"Bad {what} address syntax") from error


@dataclass(frozen=True, slots=True)
class MailParameters:
    """The parameters of MAIL FROM."""

    size: int = 0  # bytes announced (RFC 1870); 0: not given
    eight_bit: bool = False  # BODY=8BITMIME (RFC 6152)
    smtputf8: bool = False  # RFC 6531
    return_full: bool | None = None  # RET (RFC 3461 §4.3); None: not given
    envelope_id: str = ""  # ENVID, decoded
    hold_seconds: int | None = None  # HOLDFOR (RFC 4865 §5)
    hold_until: float | None = None  # HOLDUNTIL, seconds since 1970

    def release(self, now: float) -> float:
        """Return the time at which the message may be sent (RFC 4865 §4.2); 0.0: at once."""
        moment = now + self.hold_seconds if self.hold_seconds is not None else self.hold_until or 0.0
        return moment if moment > now else 0.0


def parse_mail_parameters(given: dict[str, str]) -> MailParameters:
    """Parse and check the parameters of MAIL FROM.

    Raise SmtpSyntaxError with Postfix's text: 501 for a bad value, 555 for an unknown parameter.
    """
    values: dict[str, object] = {}
    for name, value in given.items():
        match name:
            case "SIZE":
                values["size"] = _parse_size(value)
            case "BODY" if value.upper() in ("7BIT", "8BITMIME"):
                values["eight_bit"] = value.upper() == "8BITMIME"
            case "SMTPUTF8" if not value:
                values["smtputf8"] = True
            case "RET" if value.upper() in ("FULL", "HDRS"):
                values["return_full"] = value.upper() == "FULL"
            case "ENVID" if value and len(value) <= 100:
                values["envelope_id"] = decode_xtext(value)
            case "AUTH" if value:
                decode_xtext(value)  # the original submitter (RFC 4954 §5) is checked but not used
            case "HOLDFOR" if re.fullmatch(r"\d{1,9}", value) and "HOLDUNTIL" not in given:
                values["hold_seconds"] = int(value)
            case "HOLDUNTIL" if "HOLDFOR" not in given:
                values["hold_until"] = _parse_timestamp(value)
            case "RET" | "ENVID" | "AUTH" | "HOLDFOR" | "HOLDUNTIL" | "SMTPUTF8":
                raise SmtpSyntaxError("5.5.4", f"Bad {name} parameter syntax")
            case _:
                option = f"{name}={value}" if value else name
                raise SmtpSyntaxError("5.5.4", f"Unsupported option: {option[:100]}", 555)
    return MailParameters(**values)  # type: ignore[arg-type]


def _parse_size(value: str) -> int:
    if not re.fullmatch(r"\d+", value, re.ASCII):
        raise SmtpSyntaxError("5.5.4", "Bad message size syntax")
    if len(value) > 18:
        raise SmtpSyntaxError("5.3.4", "Message size exceeds file system imposed limit", 552)
    return int(value)


def _parse_timestamp(value: str) -> float:
    """Parse a time in RFC 3339 format with upper-case T and Z; raise SmtpSyntaxError."""
    try:
        if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)", value, re.ASCII):
            raise ValueError(value)
        return datetime.fromisoformat(value).timestamp()
    except (ValueError, OverflowError) as error:
        raise SmtpSyntaxError("5.5.4", "Bad HOLDUNTIL parameter syntax") from error


def parse_rcpt_parameters(given: dict[str, str]) -> tuple[str, str]:
    """Return (NOTIFY in upper case, ORCPT as given) of RCPT TO; "" if not given (RFC 3461 §4.1, §4.2).

    Raise SmtpSyntaxError.
    """
    for name, value in given.items():
        if name not in ("NOTIFY", "ORCPT"):
            option = f"{name}={value}" if value else name
            raise SmtpSyntaxError("5.5.4", f"Unsupported option: {option[:100]}", 555)
    notify, orcpt = given.get("NOTIFY", "NEVER").upper(), given.get("ORCPT", "rfc822;")
    words = notify.split(",")
    if words != ["NEVER"] and (len(set(words)) != len(words) or not set(words) <= {"SUCCESS", "FAILURE", "DELAY"}):
        raise SmtpSyntaxError("5.5.4", "Error: Bad NOTIFY parameter syntax")
    kind, semicolon, address = orcpt.partition(";")
    if not kind or not semicolon or len(orcpt) > 500 or not _ORCPT.fullmatch(address):
        raise SmtpSyntaxError("5.5.4", "Error: Bad ORCPT parameter syntax")
    return notify if "NOTIFY" in given else "", given.get("ORCPT", "")


def parse_bdat(argument: str) -> tuple[int, bool]:
    """Return (number of bytes, LAST) of BDAT (RFC 3030 §2).

    Raise SmtpSyntaxError with code 521: the following lines cannot be distinguished from commands.
    """
    size, _, last = argument.partition(" ")
    if not re.fullmatch(r"\d{1,15}", size, re.ASCII) or last.strip().upper() not in ("", "LAST"):
        raise SmtpSyntaxError("5.5.4", "Syntax: BDAT count [LAST]", 521)
    return int(size), bool(last)


def parse_parameters(text: str) -> dict[str, str]:
    """Parse `SIZE=100 BODY=8BITMIME` into a dictionary; a parameter without a value has ""."""
    found: dict[str, str] = {}
    for word in text.split():
        name, equals, value = word.partition("=")
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9-]*", name) or (equals and not value):
            raise SmtpSyntaxError("5.5.4", f"Bad parameter: {word[:40]}")
        if name.upper() in found:
            raise SmtpSyntaxError("5.5.4", f"Parameter given twice: {name.upper()}")
        found[name.upper()] = value
    return found


def decode_xtext(text: str) -> str:
    """Decode xtext (RFC 3461 §4): "+3D" is "=". Raise SmtpSyntaxError."""
    if not _XTEXT.fullmatch(text):
        raise SmtpSyntaxError("5.5.4", "Error: bad xtext")
    data = re.sub(rb"\+([0-9A-F]{2})", lambda m: bytes([int(m[1], 16)]), text.encode("ascii"))
    return data.decode("utf-8", "replace")


def encode_xtext(text: str) -> str:
    return "".join(c if "!" <= c <= "~" and c not in "+=" else "".join(f"+{b:02X}" for b in c.encode()) for c in text)


class BareNewlineDetector:
    """Detector of a bare CR or LF (RFC 5321 §2.3.8) in content fed in pieces of any size."""

    def __init__(self) -> None:
        # This decoder is the fastest way to look for line ends in bytes, and it handles split CRLFs.
        self._decoder = io.IncrementalNewlineDecoder(None, translate=False)

    def feed(self, chunk: bytes) -> None:
        self._decoder.decode(chunk.decode("latin-1"))

    def end(self) -> None:
        """Finish: a CR at the very end is bare."""
        self._decoder.decode("", final=True)

    @property
    def bare(self) -> bool:
        return self._decoder.newlines not in (None, "\r\n")


_DOT = re.compile(rb"\n\.")


class DotUnstuffer:
    """Decoder of content after DATA, fed in pieces of any size (RFC 5321 §4.5.2).

    `feed` returns content without the added dots. After the final dot, `ended` is True and `rest` holds what followed.
    If `bare` is True the content contains a bare CR or LF and must be refused, for other systems would see line ends
    where this one sees none (SMTP smuggling).
    """

    def __init__(self) -> None:
        self.ended = False
        self.rest = b""
        self._line_ends = BareNewlineDetector()
        self._held = b"\r\n"  # the line end before the content: its first byte may be a dot
        self._first = True

    def feed(self, chunk: bytes) -> bytes:
        data = self._held + chunk
        # Most content has no line that begins with a dot: one quick search saves two others.
        dot = _DOT.search(data)
        start = max(dot.start() - 1, 0) if dot else len(data)
        end = data.find(b"\r\n.\r\n", start)
        if end >= 0:
            self.ended, self.rest = True, data[end + 5 :]
            content, self._held = data[: end + 2], b""
        else:
            # Bytes that may turn out to be the final dot or a dotted line are held back.
            keep = next((n for n in (4, 3, 2, 1) if data.endswith(b"\r\n.\r"[:n])), 0)
            content, self._held = data[: len(data) - keep], data[len(data) - keep :]
        if content.find(b"\r\n.", start) >= 0:
            content = content.replace(b"\r\n.", b"\r\n")
        if self._first and len(content) >= 2:
            content, self._first = content[2:], False
        self._line_ends.feed(content)
        return content

    @property
    def bare(self) -> bool:
        return self._line_ends.bare


class DotStuffingWriter:
    """Encoder of content for DATA, fed in pieces of any size: dots are doubled; `end` returns the final dot."""

    def __init__(self) -> None:
        self._tail = b"\r\n"  # the two bytes before the next piece

    def feed(self, chunk: bytes) -> bytes:
        data = self._tail + chunk
        self._tail = data[-2:]
        if b"\r\n." in data:
            data = data.replace(b"\r\n.", b"\r\n..")
        return data[2:]

    def end(self) -> bytes:
        """Return the final dot, with a line end before it if the content lacks one."""
        return b".\r\n" if self._tail == b"\r\n" else b"\r\n.\r\n"
