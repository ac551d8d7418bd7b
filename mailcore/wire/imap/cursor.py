"""Parser of a command's arguments from left to right (RFC 9051 §9, RFC 4466).

Each method consumes what its name says. It raises BadSyntax, or BadName for a mailbox name, and nothing else. Literals
are in the text as they were sent. Several blanks count as one, and blanks within parentheses are ignored, as Dovecot
does.
"""

import re
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import TypeVar

from mailcore.wire.imap import mailbox_names
from mailcore.wire.imap.sequence_set import SAVED_RESULT, NumberSet, Ranges, parse_ranges
from mailcore.wire.message.dates import MONTHS, day_number

T = TypeVar("T")

_ATOM = re.compile(rb'[^\x00-\x20\x7f-\xff(){%*"\\\]]+')
_ASTRING = re.compile(rb'[^\x00-\x20\x7f-\xff(){%*"\\]+')
_PATTERN = re.compile(rb'[^\x00-\x20\x7f-\xff(){"\\]+')
_FLAG = re.compile(rb'\\?[^\x00-\x20\x7f-\xff(){%*"\\\]]+')
_QUOTED = re.compile(rb'"((?:[^"\\\r\n\x00]|\\["\\])*+)"')
_LITERAL = re.compile(rb"~?\{(\d{1,12})[+-]?\}\r?\n")
_NUMBER = re.compile(rb"\d{1,20}")
_SET = re.compile(rb"[0-9:,*]+")
_DATE = re.compile(rb'"?(\d{1,2})-([A-Za-z]{3})-(\d{4})"?')
_DATE_TIME = re.compile(rb'"([ \d]\d)-([A-Za-z]{3})-(\d{4}) (\d{2}):(\d{2}):(\d{2}) ([+-])(\d{2})(\d{2})"')
_TAG = re.compile(rb'[^\x00-\x20\x7f-\xff(){%*"\\+]+')
_MONTH = {name.encode(): number for number, name in enumerate(MONTHS, 1)}


class BadSyntax(Exception):
    """The command violates the grammar; the exception's text goes into the BAD response."""


class TooComplicated(BadSyntax):
    """The command is valid but asks for too much; the exception's text goes into NO [LIMIT]."""


class BadName(Exception):
    """The mailbox name is not valid modified UTF-7 or UTF-8, so no mailbox has it."""


class Cursor:
    __slots__ = ("at", "text", "utf8")

    def __init__(self, text: bytes, at: int = 0, utf8: bool = False) -> None:
        self.text = text
        self.at = at
        self.utf8 = utf8  # mailbox names are UTF-8 instead of modified UTF-7

    # --- Single characters ---

    def space(self) -> None:
        if not self.skip_space():
            raise BadSyntax("Missing argument" if self.at >= len(self.text) else "Space expected")

    def skip_space(self) -> bool:
        """Consume blanks if they come next, and return True."""
        if not self.text.startswith(b" ", self.at):
            return False
        self.at += 1
        while self.text.startswith(b" ", self.at):
            self.at += 1
        return True

    def skip_space_before(self, token: bytes) -> bool:
        """Consume blanks if they come next with `token` after them, and return True."""
        start = self.at
        if self.skip_space() and self.next_is(token):
            return True
        self.at = start
        return False

    def open_list(self) -> None:
        """Parse "(" and blanks."""
        self.expect(b"(")
        self.skip_space()

    def skip_list_end(self) -> bool:
        """Consume blanks and ")" if they come next, and return True."""
        return self.skip_token(b")") or (self.skip_space_before(b")") and self.skip_token(b")"))

    def close_list(self) -> None:
        """Parse blanks and ")"."""
        if not self.skip_list_end():
            raise BadSyntax(") expected")

    def end(self) -> None:
        if self.at < len(self.text):
            if not self.text[self.at :].strip():  # trailing blanks, as some clients send
                return
            raise BadSyntax("Too many arguments")

    def at_end(self) -> bool:
        return self.at >= len(self.text)

    def next_is(self, token: bytes) -> bool:
        return self.text.startswith(token, self.at)

    def skip_token(self, token: bytes) -> bool:
        """Consume exactly these bytes if they come next, and return True."""
        if self.text.startswith(token, self.at):
            self.at += len(token)
            return True
        return False

    def expect(self, token: bytes) -> None:
        if not self.skip_token(token):
            raise BadSyntax(f"{token.decode('ascii')} expected")

    def skip_word(self, word: bytes) -> bool:
        """Consume a word in any case, up to a delimiter, if it comes next; return True."""
        end = self.at + len(word)
        if self.text[self.at : end].upper() == word and self.text[end : end + 1] in (b"", b" ", b")", b"("):
            self.at = end
            return True
        return False

    # --- Words ---

    def _match(self, pattern: re.Pattern[bytes], what: str) -> bytes:
        match = pattern.match(self.text, self.at)
        if match is None:
            raise BadSyntax(f"{what} expected")
        self.at = match.end()
        return match[0]

    def tag(self) -> bytes:
        return self._match(_TAG, "Tag")

    def atom(self) -> bytes:
        return self._match(_ATOM, "Atom")

    def keyword(self) -> str:
        """Parse an atom, the name of a command or item, and return it in upper case."""
        return self._match(_ATOM, "Word").upper().decode("ascii")

    def number(self) -> int:
        value = int(self._match(_NUMBER, "Number"))
        if value >= 1 << 63:
            raise BadSyntax("Number too large")
        return value

    def nz_number(self) -> int:
        value = self.number()
        if not value:
            raise BadSyntax("Number must not be zero")
        return value

    def string(self) -> bytes:
        """Parse a quoted string or a literal."""
        if match := _QUOTED.match(self.text, self.at):
            self.at = match.end()
            value = match[1]
            return re.sub(rb'\\(["\\])', rb"\1", value) if b"\\" in value else value
        if match := _LITERAL.match(self.text, self.at):
            start, size = match.end(), int(match[1])
            if start + size > len(self.text):
                raise BadSyntax("Literal is cut off")
            self.at = start + size
            value = self.text[start : self.at]
            if b"\0" in value and match[0][:1] != b"~":  # RFC 9051 §9: CHAR8; only literal8 may contain NUL
                raise BadSyntax("NUL in a literal")
            return value
        raise BadSyntax("String expected")

    def astring(self) -> bytes:
        if match := _ASTRING.match(self.text, self.at):
            self.at = match.end()
            return match[0]
        value = self.string()
        if b"\0" in value:
            raise BadSyntax("NUL in a string")
        return value

    def nstring(self) -> bytes | None:
        if self.skip_word(b"NIL"):
            return None
        return self.string()

    def text_astring(self, what: str = "Argument") -> str:
        """Parse an astring that must be UTF-8."""
        try:
            return self.astring().decode("utf-8")
        except UnicodeDecodeError:
            raise BadSyntax(f"{what} is not UTF-8") from None

    # --- Names and flags ---

    def mailbox(self) -> str:
        """Parse and decode a mailbox name; INBOX in any case becomes "INBOX"."""
        return self._name(self.astring())

    def _name(self, raw: bytes) -> str:
        try:
            return mailbox_names.decode_name(raw, utf8=self.utf8)
        except ValueError:
            raise BadName from None

    def list_mailbox(self) -> str:
        """Parse a LIST pattern, a mailbox name with wildcards; an invalid one is kept and matches nothing."""
        match = _PATTERN.match(self.text, self.at)
        if match is not None:
            self.at = match.end()
        raw = match[0] if match is not None else self.string()
        try:
            return self._name(raw)
        except BadName:
            return raw.decode("latin-1")

    def flag(self) -> str:
        return self._match(_FLAG, "Flag").decode("ascii")

    def flags(self) -> list[str]:
        """Parse a list of flags in parentheses, or bare flags up to the end as STORE allows."""
        if self.next_is(b"("):
            return self.list_of(self.flag)
        found = [self.flag()]
        while self.skip_space():
            found.append(self.flag())
        return found

    def list_of(self, read: Callable[[], T]) -> list[T]:
        """Parse "(" [item *(SP item)] ")"."""
        self.open_list()
        found: list[T] = []
        if self.skip_token(b")"):
            return found
        while True:
            found.append(read())
            if self.skip_list_end():
                return found
            self.space()

    # --- Sets, dates ---

    def sequence_set(self) -> NumberSet:
        """Parse a sequence-set or "$" (RFC 5182)."""
        if self.skip_token(b"$"):
            return SAVED_RESULT
        ranges = parse_ranges(self._match(_SET, "Sequence set"))
        if ranges is None:
            raise BadSyntax("Sequence set is not valid")
        return ranges

    def ranges(self) -> Ranges:
        """Parse a sequence-set without "$"."""
        found = self.sequence_set()
        if not isinstance(found, tuple):
            raise BadSyntax("Saved result is not allowed here")
        return found

    def date(self) -> int:
        """Parse a date and return the days since 1970-01-01."""
        match = _DATE.match(self.text, self.at)
        if match is None or (month := _MONTH.get(match[2].lower())) is None or not 1 <= int(match[1]) <= 31:
            raise BadSyntax("Date expected")
        self.at = match.end()
        return day_number(int(match[3]), month, int(match[1]))

    def date_time(self) -> int:
        """Parse a quoted date-time and return the seconds since 1970 UTC."""
        match = _DATE_TIME.match(self.text, self.at)
        if match is None:
            raise BadSyntax("Date and time expected")
        self.at = match.end()
        offset = timedelta(hours=int(match[8]), minutes=int(match[9]))
        try:
            zone = timezone(-offset if match[7] == b"-" else offset)
            moment = datetime(
                int(match[3]), _MONTH[match[2].lower()], int(match[1]),
                int(match[4]), int(match[5]), min(int(match[6]), 59), tzinfo=zone,
            )  # fmt: skip
            return int(moment.timestamp())
        except (ValueError, KeyError, OverflowError):
            raise BadSyntax("Date and time expected") from None
