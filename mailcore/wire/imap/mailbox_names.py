"""Mailbox names: modified UTF-7 (RFC 3501 §5.1.3) or UTF-8 (RFC 9051 §5.1) on the wire, text inside.

Levels are separated by "/"; INBOX is always in capitals.
"""

import base64
import binascii
import re
from functools import lru_cache

SEPARATOR = "/"
OTHER_USERS = "Other Users"  # prefix of mailboxes shared by other users (RFC 2342 §5)
MAX_NAME = 255
MAX_LEVELS = 20

_PLAIN = re.compile(r"[ -%'-~]*")
_SHIFTED = re.compile(rb"&([A-Za-z0-9+,]*)-")
_ATOM = re.compile(rb"[!#$&'+\-./0-9:;<=>?@A-Z^_`a-z|}~\[]+")


def decode_name(raw: bytes, utf8: bool = False) -> str:
    """Decode a name from the wire; raise ValueError if it is invalid."""
    if raw.isascii():
        text = raw.decode("ascii")
        if b"&" in raw and not utf8:
            text = decode_utf7(raw)
    elif utf8:
        text = raw.decode("utf-8")
    else:
        raise ValueError("8-bit characters in a mailbox name")
    if "\0" in text:  # from a literal or base64; databases cannot store it
        raise ValueError("NUL in a mailbox name")
    return canonical_name(text)


def canonical_name(name: str) -> str:
    """Return the name with INBOX, alone or as first level, in capitals (RFC 9051 §5.1)."""
    if name[:5].upper() == "INBOX" and (len(name) == 5 or name[5] == SEPARATOR):
        return "INBOX" + name[5:]
    return name


@lru_cache(4096)
def encode_name(name: str, utf8: bool = False) -> bytes:
    """Return the name as an astring for a response."""
    if utf8 and not name.isascii():
        return _quote(name.encode("utf-8"))
    raw = encode_utf7(name) if not utf8 else name.encode("ascii")
    if _ATOM.fullmatch(raw) and raw.upper() != b"NIL":
        return raw
    return _quote(raw)


def _quote(raw: bytes) -> bytes:
    return b'"' + raw.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


def encode_utf7(name: str) -> bytes:
    """Encode modified UTF-7: printable ASCII is literal, "&" is "&-", all else is base64 of UTF-16."""
    if _PLAIN.fullmatch(name):
        return name.encode("ascii")
    out = bytearray()
    pending = ""
    for character in name + "&":
        if " " <= character <= "~":
            if pending:
                coded = base64.b64encode(pending.encode("utf-16-be", "surrogatepass")).rstrip(b"=").replace(b"/", b",")
                out += b"&" + coded + b"-"
                pending = ""
            out += b"&-" if character == "&" else character.encode("ascii")
        else:
            pending += character
    return bytes(out[:-2])


def decode_utf7(raw: bytes) -> str:
    """Decode modified UTF-7; raise ValueError unless it is exactly what `encode_utf7` returns."""
    out, at = [], 0
    for match in _SHIFTED.finditer(raw):
        out.append(raw[at : match.start()].decode("ascii"))
        coded = match[1].replace(b",", b"/")
        if coded:
            try:
                decoded = base64.b64decode(coded + b"=" * (-len(coded) % 4), validate=True)
                out.append(decoded.decode("utf-16-be"))
            except (binascii.Error, UnicodeDecodeError):
                raise ValueError("not modified UTF-7") from None
        else:
            out.append("&")
        at = match.end()
    out.append(raw[at:].decode("ascii"))
    name = "".join(out)
    if encode_utf7(name) != raw:
        raise ValueError("not modified UTF-7")
    return name


def is_other_users(name: str) -> bool:
    """Return True for a name in the namespace of other users."""
    return name == OTHER_USERS or name.startswith(OTHER_USERS + SEPARATOR)


def split_other_users(name: str) -> tuple[str, str, str]:
    """Split a shared name into (prefix, the owner's address, the owner's name for it); "" where missing."""
    _, address, inner = (*name.split(SEPARATOR, 2), "", "")[:3]
    return f"{OTHER_USERS}{SEPARATOR}{address}{SEPARATOR}", address, canonical_name(inner)


def join_other_users(address: str, name: str) -> str:
    """Return the name of a mailbox for users other than its owner."""
    return SEPARATOR.join((OTHER_USERS, address, name))


def find_name_error(name: str) -> str | None:
    """Return the reason why no mailbox of this name can be created, or None."""
    if not name or len(name) > MAX_NAME:
        return "Mailbox name is empty or too long"
    if is_other_users(name):
        return "Mailbox name belongs to other users"
    levels = name.split(SEPARATOR)
    if len(levels) > MAX_LEVELS:
        return "Mailbox name has too many levels"
    if any(not level or level in (".", "..") or level != level.strip() for level in levels):
        return "Mailbox name has an empty level or one with blanks around it"
    if any(ord(character) < 32 or ord(character) == 127 or "\ud800" <= character <= "\udfff" for character in name):
        return "Mailbox name has control characters"
    if any(character in name for character in "*%"):
        return "Mailbox name has wildcards"
    if len(maildir_folder(name).encode()) > MAX_NAME:
        return "Mailbox name is too long"
    return None


def maildir_folder(name: str) -> str:
    """Return the Maildir++ directory of a mailbox: "" for INBOX, ".Sent", ".Work.2026".

    A dot within a level is written as "&AC4-", its base64 form.
    """
    if name == "INBOX":
        return ""
    levels = [encode_utf7(level).decode("ascii").replace(".", "&AC4-") for level in name.split(SEPARATOR)]
    return "." + ".".join(levels)


def name_of_folder(directory: str) -> str:
    """Return the mailbox name of a Maildir++ directory; raise ValueError if there is none."""
    if directory == "":
        return "INBOX"
    if not directory.startswith("."):
        raise ValueError(directory)
    return SEPARATOR.join(_level(level.encode("ascii", "strict")) for level in directory[1:].split("."))


def _level(raw: bytes) -> str:
    plain = raw.replace(b"&AC4-", b"\0")
    return (
        decode_utf7(plain.replace(b"\0", b""))
        if b"\0" not in plain
        else ".".join(decode_utf7(piece) for piece in plain.split(b"\0"))
    )
