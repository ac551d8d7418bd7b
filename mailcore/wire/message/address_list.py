"""Parser of address lists (RFC 5322 §3.4, with the obsolete forms of §4.4) for ENVELOPE and SORT.

Input and output are `str` of Latin-1, one character a byte: nothing is decoded, quoted strings and comments lose their
quotes. Simple lists are read by two regular expressions, all others by a scanner that never raises and never drops an
address it can find.
"""

import re
from typing import NamedTuple


class Address(NamedTuple):
    """One address structure of ENVELOPE (RFC 9051 §7.5.2).

    A group begins with an entry whose `host` is None and whose `mailbox` is its name, and ends with one in which both
    are None. A mailbox without a domain has the host "".
    """

    name: str | None
    route: str | None
    mailbox: str | None
    host: str | None


# White space is ASCII's (re.ASCII): Latin-1 has two characters more, which are bytes of UTF-8 and GBK names here.
_TEXT = r'[^"\\<>()@,;:\[\]\s]'
_NAMED = re.compile(rf'\s*+(?:"([^"\\]*)"\s*+|([^"\\<>()@,;:\[\]]*+))<({_TEXT}++)@({_TEXT}++)>\s*+(?:,|$)', re.ASCII)
_BARE = re.compile(rf"\s*+({_TEXT}++)@({_TEXT}++)\s*+(?:,|$)", re.ASCII)
_TOKEN = re.compile(
    r'\s+|"((?:[^"\\]|\\.)*+)"?|(\[[^\[\]]*\]?)|([<>@,;:()])|([^\s"\[<>@,;:()\\]+)|\\?(.)', re.DOTALL | re.ASCII
)
_SPACES = " \t\r\n\f\v"

_WORD, _SPACE = "word", "space"  # kinds of tokens, besides "comment" and the single characters < > @ , ; :
_GROUP_END = Address(None, None, None, None)


def parse_address_list(value: str) -> list[Address]:
    """Return the addresses in a field's unfolded value; an empty list if there is none."""
    found: list[Address] = []
    at, end = 0, len(value)
    while at < end:
        if match := _NAMED.match(value, at):
            quoted, plain, mailbox, host = match.groups()
            found.append(Address(quoted or (plain or "").rstrip(_SPACES) or None, None, mailbox, host))
        elif match := _BARE.match(value, at):
            found.append(Address(None, None, match[1], match[2]))
        else:
            return _Scanner(value).addresses() if value.strip(_SPACES) else []
        at = match.end()
    return found


def _tokens(value: str) -> list[tuple[str, str]]:
    """Split a value into (kind, text) tokens, comments without parentheses and quoted strings without quotes."""
    out: list[tuple[str, str]] = []
    depth, comment = 0, ""
    for match in _TOKEN.finditer(value):
        quoted, literal, special, text, odd = match.groups()
        if depth:
            if special == ")":
                depth -= 1
                if not depth:
                    out.append(("comment", comment))
                    continue
            elif special == "(":
                depth += 1
            comment += odd if odd is not None else match[0]
        elif special == "(":
            depth, comment = 1, ""
        elif special == ")":
            continue
        elif special:
            out.append((special, special))
        elif quoted is not None:
            out.append((_WORD, re.sub(r"\\(.)", r"\1", quoted, flags=re.DOTALL)))
        elif literal or text or odd:
            out.append((_WORD, literal or text or odd))
        else:
            out.append((_SPACE, " "))
    if depth:
        out.append(("comment", comment))
    return out


class _Scanner:
    """Reader of tokens from left to right; every turn of its loops takes at least one token, so it ends."""

    def __init__(self, value: str) -> None:
        self._tokens = _tokens(value)
        self._at = 0
        self._comment = ""

    def _kind(self) -> str:
        return self._tokens[self._at][0] if self._at < len(self._tokens) else ""

    def _words(self, stops: str, *, spaced: bool) -> str:
        """Return the text up to one of `stops`, its white space reduced to single spaces or dropped."""
        out: list[str] = []
        while (kind := self._kind()) and kind not in stops:
            text = self._tokens[self._at][1]
            self._at += 1
            if kind == "comment":
                self._comment = text
            elif kind == _SPACE:
                if spaced and out and out[-1] != " ":
                    out.append(" ")
            else:
                out.append(text)
        return "".join(out).strip(_SPACES)

    def addresses(self) -> list[Address]:
        found: list[Address] = []
        in_group = False
        while self._kind():
            self._comment = ""
            start = self._at
            phrase = self._words("<@,;:", spaced=True)
            stop = self._kind()
            if stop == ":":
                self._at += 1
                if in_group:
                    found.append(_GROUP_END)
                found.append(Address(None, None, phrase, None))
                in_group = True
            elif stop == "<":
                self._at += 1
                found.append(self._angle(phrase))
            elif stop == "@":
                self._at = start
                mailbox = self._words("@", spaced=False)
                self._at += 1
                host = self._words("<,;:", spaced=False)
                if self._kind() == "<":  # an unquoted address in the place of the display name
                    self._at += 1
                    found.append(self._angle(f"{mailbox}@{host}"))
                else:
                    found.append(Address(self._comment or None, None, mailbox, host))
            else:
                if phrase:
                    found.append(Address(self._comment or None, None, phrase, ""))
                self._at += 1
                if stop == ";" and in_group:
                    found.append(_GROUP_END)
                    in_group = False
        if in_group:
            found.append(_GROUP_END)
        return found

    def _angle(self, phrase: str) -> Address:
        """Parse the rest of an address after "<": [route ":"] local-part "@" domain ">"."""
        route = None
        if self._kind() in ("@", _SPACE, ","):
            start = self._at
            text = ""
            while (kind := self._kind()) and kind not in ":>":
                text += self._tokens[self._at][1] if kind not in (_SPACE, "comment") else ""
                self._at += 1
            if self._kind() == ":":
                self._at += 1
                route = text
            else:
                self._at = start
        while self._kind() == "<":  # some programs write two
            self._at += 1
        mailbox = self._words("@>", spaced=False)
        host = ""
        if self._kind() == "@":
            self._at += 1
            host = self._words(">,", spaced=False)
        if self._kind() == ">":
            self._at += 1
        self._words(",;<", spaced=False)
        if self._kind() == ",":
            self._at += 1
        return Address(phrase or self._comment or None, route, mailbox, host)
