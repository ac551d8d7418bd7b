"""Header fields (RFC 5322 §2.2): splitting, decoding (RFC 2047, RFC 2231) and structured values.

Raw text is a `str` of Latin-1, one character a byte, so that no byte is lost; decoded text is Unicode. No function
raises, whatever a message contains.
"""

import binascii
import re
from functools import lru_cache
from typing import NamedTuple

from mailcore.wire.text.charsets import decode_text, guess_text

Fields = list[tuple[str, str]]  # (name in lower case, value unfolded and stripped), in order, Latin-1

MAX_HEADER = 128 * 1024  # bytes of which every field is kept; of the rest, the first field of each further name
MAX_VALUE = 256 * 1024  # bytes of a field beyond MAX_HEADER that are kept
MAX_NAMES = 1000  # fields beyond MAX_HEADER that are kept, besides those of _NAMED
# The fields that ENVELOPE, BODYSTRUCTURE and threads are made of.
_NAMED = frozenset({
    "bcc", "cc", "content-description", "content-disposition", "content-id", "content-language", "content-location",
    "content-md5", "content-transfer-encoding", "content-type", "date", "from", "in-reply-to", "message-id",
    "mime-version", "references", "reply-to", "sender", "subject", "to",
})  # fmt: skip

_FOLD = re.compile(r"\r?\n(?=[ \t])")
_FIELD = re.compile(r"^([!-9;-~]++)[ \t]*+:(.*)$", re.MULTILINE)
_LONG_FIELD = re.compile(rb"^([!-9;-~]++)[ \t]*+:([^\n]*+(?:\n[ \t][^\n]*+)*+)", re.MULTILINE)
_WORD = re.compile(r"=\?([^?\s*]{1,40})(?:\*[^?\s]{0,20})?\?([bBqQ])\?([^?\r\n]*)\?=")
_PARAMETER = re.compile(r';[ \t]*([^\s=;"()]+)[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*+)"?|([^;]*))', re.ASCII)
_SPACES = re.compile(r"[ \t\r\n\f\v]+")  # not Latin-1's, which are bytes of other charsets here
_PARENTHESES = re.compile(r"([()])")
_ID = re.compile(r"<([^<>]+)>")


def split_fields(head: bytes) -> Fields:
    """Return the fields of a header block, with or without its final empty line.

    A block longer than MAX_HEADER is read to its end in linear time, but only the first field of each name that did
    not occur before is kept of the rest: Subject after 10 MB of trace fields is found, memory stays bounded.
    """
    if len(head) > MAX_HEADER:
        return _split_long(head)
    text = head.decode("latin-1")
    if "\n " in text or "\n\t" in text:
        text = _FOLD.sub("", text)
    return [(name.lower(), value.strip(" \t\r")) for name, value in _FIELD.findall(text)]


def _split_long(head: bytes) -> Fields:
    cut = head.rfind(b"\n", 0, MAX_HEADER) + 1
    while cut and head[cut : cut + 1] in (b" ", b"\t"):  # within a folded field
        cut = head.rfind(b"\n", 0, cut - 1) + 1
    found = split_fields(head[:cut])
    names = {name for name, _ in found}
    left = MAX_NAMES
    for match in _LONG_FIELD.finditer(head, cut):
        name = match[1].lower().decode("latin-1")
        if name in names or not (left or name in _NAMED):
            continue
        left -= name not in _NAMED
        names.add(name)
        start, end = match.span(2)
        value = _FOLD.sub("", head[start : min(end, start + MAX_VALUE)].decode("latin-1"))
        found.append((name, value.strip(" \t\r")))
    return found


def strip_comments(value: str) -> str:
    """Return a value that has no quoted strings without its comments, nested ones included (RFC 5322 §3.2.2).

    A value whose parentheses do not match has no comments.
    """
    if "(" not in value:
        return value
    out: list[str] = []
    depth = 0
    for piece in _PARENTHESES.split(value):
        if piece == "(":
            depth += 1
        elif piece == ")":
            depth -= 1
            if depth < 0:
                return value
        elif not depth:
            out.append(piece)
    return value if depth else "".join(out)


def decode_value(value: str, hint: str = "") -> str:
    """Decode an unstructured value: encoded words and raw 8-bit bytes; `hint` is the charset of the message's text."""
    return _decode_words(value, hint) if "=?" in value else _decode_raw(value, hint)


def _decode_raw(value: str, hint: str) -> str:
    return value if value.isascii() and "\x1b" not in value else guess_text(value.encode("latin-1"), hint)


def _decode_words(value: str, hint: str) -> str:
    """Decode encoded words (RFC 2047); raw 8-bit bytes inside a word are read in the charset that it declares.

    Adjacent words of one charset are joined before they are decoded, for many programs split a character between two
    words; white space between adjacent words is dropped (§6.2).
    """
    out: list[str] = []
    end, charset, pending = 0, "", b""
    for match in _WORD.finditer(value):
        between = value[end : match.start()]
        data = _decode_word(match[2], match[3])
        label = match[1].lower()
        if pending and not between.strip() and label == charset:
            pending += data
        else:
            if pending:
                out.append(decode_text(pending, charset))
            if between.strip() or not end:
                out.append(_decode_raw(between, hint))
            charset, pending = label, data
        end = match.end()
    if pending:
        out.append(decode_text(pending, charset))
    out.append(_decode_raw(value[end:], hint))
    return "".join(out)


def _decode_word(encoding: str, text: str) -> bytes:
    data = text.encode("latin-1")
    if encoding in "qQ":
        return binascii.a2b_qp(data, header=True)
    return decode_base64(data)


def decode_base64(data: bytes) -> bytes:
    """Decode whatever is readable of base64, ignoring other characters and missing padding."""
    try:
        return binascii.a2b_base64(data)
    except binascii.Error:
        pass
    kept = re.sub(rb"[^A-Za-z0-9+/]", b"", data)
    return binascii.a2b_base64(kept[: len(kept) - (len(kept) % 4 == 1)] + b"==")


def decode_quoted_printable(data: bytes) -> bytes:
    """Decode quoted-printable; white space before a line end was added in transport (RFC 2045 §6.7 rule 3)."""
    # Four failing searches cost a tenth of the decoding.
    if b" \n" in data or b" \r\n" in data or b"\t\n" in data or b"\t\r\n" in data or data.endswith((b" ", b"\t")):
        data = b"\n".join(map(_strip_line_end, data.split(b"\n")))
    return binascii.a2b_qp(data)


def _strip_line_end(line: bytes) -> bytes:
    return line[:-1].rstrip(b" \t") + b"\r" if line.endswith(b"\r") else line.rstrip(b" \t")


class Structured(NamedTuple):
    """A structured value such as `text/plain; charset=x`: the value and its parameters in order.

    Parameter names are in lower case. Continuations (RFC 2231 §3) are joined; a name that ends in "*" has an extended
    value (charset'language'percent-encoded).
    """

    value: str
    parameters: tuple[tuple[str, str], ...]

    def raw(self, name: str) -> str:
        """Return a parameter undecoded; "" if it is missing."""
        for key, value in self.parameters:
            if key == name:
                return value
        return ""

    def data(self, name: str) -> bytes:
        """Return a parameter's bytes, those of an extended value percent-decoded (RFC 2231 §4)."""
        if (value := self.raw(name)) or not (extended := self.raw(name + "*")):
            return value.encode("latin-1")
        return _split_extended(extended)[1]

    def text(self, name: str) -> str:
        """Return a parameter decoded: extended value, encoded word, or raw 8-bit."""
        if extended := self.raw(name + "*"):
            return _decode_extended(extended)
        return decode_value(self.raw(name))


def parse_structured(value: str) -> Structured:
    return _parse_uncached(value) if len(value) < 200 else _parse_uncached.__wrapped__(value)


@lru_cache(1024)
def _parse_uncached(value: str) -> Structured:
    if "(" in value and '"' not in value:
        value = strip_comments(value)
    head, _, rest = value.partition(";")
    words = _SPACES.split(head.replace('"', "").strip(" \t\r\n"), maxsplit=1)
    head = words[0]
    if len(words) > 1:  # the semicolon is missing, as some programs write it
        head, rest = (head + _SPACES.sub("", words[1]), rest) if "/" in words[1][:2] else (head, f"{words[1]};{rest}")
    if not rest:
        return Structured(head, ())
    found: dict[str, str] = {}
    for name, quoted, plain in _PARAMETER.findall(";" + rest)[:200]:
        text = re.sub(r"\\(.)", r"\1", quoted) if "\\" in quoted else quoted or plain.rstrip(" \t\r\n")
        found.setdefault(name.lower(), text)
    if any("*" in name for name in found):
        found = _join_continuations(found)
    return Structured(head, tuple(found.items()))


def _join_continuations(found: dict[str, str]) -> dict[str, str]:
    """Join name*0, name*1*, … into name or name* (RFC 2231 §3, §4.1)."""
    joined: dict[str, str] = {}
    pieces: dict[str, dict[int, tuple[str, bool]]] = {}
    for name, value in found.items():
        base, _, number = name.partition("*")
        extended = number.endswith("*")
        if (index := number.rstrip("*")).isdecimal() and len(index) < 4:
            pieces.setdefault(base, {})[int(index)] = (value, extended)
        else:
            joined[name] = value
    for base, numbered in pieces.items():
        ordered = [numbered[i] for i in range(len(numbered)) if i in numbered]
        if any(extended for _, extended in ordered):
            parts = [text if extended else _percent_decode(text) for text, extended in ordered]
            if not ordered[0][1]:
                parts[0] = "''" + parts[0]
            joined.setdefault(base + "*", "".join(parts))
        elif ordered:
            joined.setdefault(base, "".join(text for text, _ in ordered))
    return joined


def _percent_decode(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9!#$&+.^_`{}~-]", lambda match: f"%{ord(match[0]):02X}", text)


def _decode_extended(value: str) -> str:
    if "'" not in value:
        return decode_value(value)
    charset, decoded = _split_extended(value)
    return decode_text(decoded, charset)


def _split_extended(value: str) -> tuple[str, bytes]:
    """Return (charset, bytes) of an extended value: charset'language'percent-encoded (RFC 2231 §4)."""
    charset, quote, rest = value.partition("'")
    text = (rest.partition("'")[2] if quote else value).encode("latin-1")
    return charset, re.sub(rb"%([0-9A-Fa-f]{2})", lambda match: bytes((int(match[1], 16),)), text)


def parse_message_ids(value: str) -> list[str]:
    """Return the message ids between <>, in order, without white space and quotes (RFC 5256 §3)."""
    found = [re.sub(r"\s+", "", each) for each in _ID.findall(value)]
    return [re.sub(r'^"(.*)"@', r"\1@", each) if each.startswith('"') else each for each in found if each.strip()]
