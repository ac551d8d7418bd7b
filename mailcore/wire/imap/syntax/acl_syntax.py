"""Rights to mailboxes (RFC 4314): their letters, and what SETACL asks for. Pure.

l see in listings   r read       s set \\Seen     w set other flags   i put messages in   p post
k make below        x delete     t set \\Deleted  e expunge           a change rights
"""

import re
from dataclasses import dataclass

from mailcore.wire.imap import system_flags
from mailcore.wire.imap.cursor import BadSyntax, Cursor

ALL = "lrswipkxtea"
# RFC 2086's letters, which old clients know: what each means when it is set, and when it is told (RFC 4314 §2.1.1).
_VIRTUAL = {"c": "kx", "d": "te"}


@dataclass(frozen=True, slots=True)
class AclChange:
    """What SETACL does with an entry: "" puts `rights` in its place, "+" and "-" add and take away."""

    mode: str
    rights: str

    def of(self, before: str) -> str:
        match self.mode:
            case "+":
                return order_rights(before + self.rights)
            case "-":
                return "".join(right for right in before if right not in self.rights)
        return self.rights


def order_rights(rights: str) -> str:
    """Each letter once, in the order of ALL."""
    return "".join(right for right in ALL if right in rights)


def flags_mask(rights: str) -> int:
    """The system flags that may be changed (RFC 4314 §4): \\Seen by s, \\Deleted by t, the others by w."""
    seen = system_flags.SEEN if "s" in rights else 0
    deleted = system_flags.DELETED if "t" in rights else 0
    others = sum(system_flags.BITS.values()) & ~(system_flags.SEEN | system_flags.DELETED) if "w" in rights else 0
    return seen | deleted | others


def format_rights(rights: str) -> str:
    """As a response has them: with RFC 2086's letters for what they cover."""
    return rights + "".join(letter for letter, covers in _VIRTUAL.items() if set(covers) & set(rights))


def parse_change(cursor: Cursor) -> AclChange:
    """The last argument of SETACL. BadSyntax: a letter that is no right (RFC 4314 §3.1)."""
    given = cursor.astring().decode("ascii", "replace")
    shape = re.fullmatch(rf"([+-]?)([{ALL}cd]*)", given)
    if shape is None:
        raise BadSyntax("Unknown right")
    mode, letters = shape.groups()
    return AclChange(
        mode, order_rights(letters + "".join(_VIRTUAL[letter] for letter in letters if letter in _VIRTUAL))
    )


def parse_identifier(cursor: Cursor) -> str:
    """An account's name, or "anyone"; "-" before it: rights that are taken away."""
    found = cursor.text_astring("Identifier")
    if not found.removeprefix("-") or len(found) > 300:
        raise BadSyntax("Identifier expected")
    return found
