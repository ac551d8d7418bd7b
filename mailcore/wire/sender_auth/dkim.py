"""DKIM signatures without the keys: what is hashed and signed, and the field's format (RFC 6376).

Canonicalization is relaxed/relaxed (§3.4.2, §3.4.4), which survives changes of white space by relays.
"""

import base64
import hashlib
import re
from collections.abc import Iterable, Sequence

# Fields that identify sender, recipients and body (§5.4.1). Those in `_SEALED` are signed once more than they occur, so
# that none can be added.
_SIGNED = (
    *("from", "sender", "reply-to", "to", "cc", "subject", "date", "message-id", "in-reply-to", "references"),
    *("mime-version", "content-type", "content-transfer-encoding", "list-id", "list-post", "list-unsubscribe"),
    *("list-unsubscribe-post",),
)
_SEALED = ("from", "to", "cc", "subject", "date", "message-id", "reply-to", "content-type", "mime-version")
_BLANKS = re.compile(rb"[ \t]+")
_LINE = 74


def split_fields(header: bytes) -> list[tuple[str, bytes]]:
    """Split a header with CRLF line ends into (name in lower case, the whole field) pairs, in order."""
    found: list[tuple[str, bytes]] = []
    for line in header.split(b"\r\n"):
        if line[:1] in (b" ", b"\t") and found:
            name, field = found[-1]
            found[-1] = (name, field + b"\r\n" + line)
        elif b":" in line:
            found.append((line.partition(b":")[0].decode("ascii", "replace").strip().lower(), line))
    return found


def relaxed_field(field: bytes) -> bytes:
    """Return a field in relaxed canonicalization (§3.4.2), without its line end."""
    name, _, value = field.partition(b":")
    return name.strip().lower() + b":" + _BLANKS.sub(b" ", value.replace(b"\r\n", b"")).strip(b" \t")


class BodyHash:
    """SHA-256 of a body in relaxed canonicalization (§3.4.4), fed in pieces.

    White space is folded; blanks at line ends and empty lines at the end do not count.
    """

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._rest = b""
        self._empty = 0  # empty lines that count only if something follows

    def feed(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._line(line)

    def _line(self, line: bytes) -> None:
        line = _BLANKS.sub(b" ", line.removesuffix(b"\r")).rstrip(b" ")
        if not line:
            self._empty += 1
            return
        self._hash.update(b"\r\n" * self._empty + line + b"\r\n")
        self._empty = 0

    def end(self) -> str:
        """Return the bh= tag."""
        if self._rest:
            self._line(self._rest)
        return base64.b64encode(self._hash.digest()).decode()


def names_to_sign(fields: Sequence[tuple[str, bytes]]) -> list[str]:
    """Return the names for the h= tag: all signed fields present, and the sealed ones once more."""
    there = [name for name, _ in fields]
    names = [name for name in _SIGNED for _ in range(there.count(name))]
    return names + [name for name in _SEALED if name == "from" or name in there]


def format_field(tags: Iterable[tuple[str, str]], signature: str = "") -> bytes:
    """Return a folded DKIM-Signature field without its line end; b= is empty without `signature`."""
    lines, line = [], "DKIM-Signature:"
    words = [f"{name}={value};" for name, value in tags]
    for word in words:
        if len(line) + 1 + len(word) > _LINE:
            lines.append(line)
            line = ""
        line += " " + word
    lines.append(line)
    lines.append(" b=")
    if signature:
        pieces = [signature[at : at + _LINE - 4] for at in range(0, len(signature), _LINE - 4)]
        lines[-1] += "\r\n  ".join(pieces)
    return "\r\n".join(lines).encode()


def signing_input(fields: Sequence[tuple[str, bytes]], names: Sequence[str], unsigned: bytes) -> bytes:
    """Return the bytes to sign (§3.7): the named fields, the lowest of a name first, then the field itself."""
    left: dict[str, list[bytes]] = {}
    for name, whole in fields:
        left.setdefault(name, []).append(whole)
    chosen = [left[name].pop() for name in names if left.get(name)]
    return b"".join(relaxed_field(each) + b"\r\n" for each in chosen) + relaxed_field(unsigned)


def parse_tags(field_: bytes) -> dict[str, str]:
    """Return the tags of a DKIM-Signature field or a key record (§3.2), without white space."""
    text = field_.partition(b":")[2].decode("ascii", "replace")
    return {
        name.strip(): re.sub(r"\s+", "", value)
        for name, equals, value in (tag.partition("=") for tag in text.split(";"))
        if equals
    }


def key_record(algorithm: str, public: str) -> str:
    """Return the TXT record of a key (§3.6.1, RFC 8463 §4)."""
    return f"v=DKIM1; k={algorithm.partition('-')[0]}; p={public}"
