"""SMTP replies as a client parses them (RFC 5321 §4.2, RFC 2034)."""

import re
from dataclasses import dataclass

_LINE = re.compile(rb"([2-5]\d\d)(?:([ -])(.*))?", re.DOTALL)
_ENHANCED = re.compile(r"([245]\.\d{1,3}\.\d{1,3})(?:\s+|$)")
_MOST_LINES = 200
_LONGEST = 1000  # characters of a reply that are kept


class InvalidReply(ValueError):
    """The line is not an SMTP reply."""


@dataclass(frozen=True, slots=True)
class SmtpReply:
    """A whole reply: its code, and the text of each line without the code."""

    code: int
    lines: tuple[str, ...]

    @property
    def positive(self) -> bool:
        return self.code < 400

    @property
    def enhanced(self) -> str:
        """Return the enhanced status code, its class corrected to match the code; "" if the reply has none."""
        match = _ENHANCED.match(self.lines[0])
        return f"{self.code // 100}{match[1][1:]}" if match else ""

    @property
    def status(self) -> str:
        """Return the enhanced status code, or X.0.0 if the reply has none."""
        return self.enhanced or f"{self.code // 100}.0.0"

    def __str__(self) -> str:
        """Return the reply for logs and bounces: every line with its code, on one line."""
        *firsts, last = self.lines
        parts = [f"{self.code}-{line}" for line in firsts] + [f"{self.code} {last}"]
        return " ".join(" ".join(parts).split())[:_LONGEST]


class ReplyReader:
    """Parser fed line by line; `feed` returns the reply after its last line. Raise InvalidReply."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def feed(self, line: bytes) -> SmtpReply | None:
        match = _LINE.fullmatch(line.rstrip(b"\r\n"))
        if match is None or len(self._lines) >= _MOST_LINES:
            raise InvalidReply(line[:80].decode("utf-8", "replace"))
        self._lines.append((match[3] or b"").decode("utf-8", "replace"))
        if match[2] == b"-":
            return None
        lines, self._lines = tuple(self._lines), []
        return SmtpReply(int(match[1]), lines)


def parse_extensions(answer: SmtpReply) -> dict[str, str]:
    """Return the extensions in an EHLO reply: keyword in upper case → parameters; accepts the old "AUTH=LOGIN"."""
    found: dict[str, str] = {}
    for line in answer.lines[1:]:
        keyword, _, parameters = line.strip().replace("=", " ", 1).partition(" ")
        known = found.get(keyword.upper(), "")
        found[keyword.upper()] = f"{known} {parameters.strip()}".strip()
    return found
