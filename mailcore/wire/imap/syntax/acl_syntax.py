r"""Access rights to mailboxes (RFC 4314) and the arguments of SETACL.

l lookup     r read      s set \\Seen      w write other flags   i insert    p post
k create     x delete    t set \\Deleted   e expunge             a administer
"""

import re
from dataclasses import dataclass

from mailcore.wire.imap import system_flags
from mailcore.wire.imap.cursor import BadSyntax, Cursor

ALL = "lrswipkxtea"
# The obsolete rights of RFC 2086 and the rights they stand for (RFC 4314 §2.1.1).
_VIRTUAL = {"c": "kx", "d": "te"}


@dataclass(frozen=True, slots=True)
class AclChange:
    """A change of an ACL entry: mode "" replaces its rights, "+" adds and "-" removes some."""

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
    """Return each right once, in the order of ALL."""
    return "".join(right for right in ALL if right in rights)


def flags_mask(rights: str) -> int:
    r"""Return the system flags that these rights allow to change (RFC 4314 §4).

    \\Seen is changed by s, \\Deleted by t, others by w.
    """
    seen = system_flags.SEEN if "s" in rights else 0
    deleted = system_flags.DELETED if "t" in rights else 0
    others = sum(system_flags.BITS.values()) & ~(system_flags.SEEN | system_flags.DELETED) if "w" in rights else 0
    return seen | deleted | others


def format_rights(rights: str) -> str:
    """Return rights for a response, with the obsolete rights of RFC 2086 that they cover."""
    return rights + "".join(letter for letter, covers in _VIRTUAL.items() if set(covers) & set(rights))


def parse_change(cursor: Cursor) -> AclChange:
    """Parse the last argument of SETACL; raise BadSyntax for an unknown right (RFC 4314 §3.1)."""
    given = cursor.astring().decode("ascii", "replace")
    shape = re.fullmatch(rf"([+-]?)([{ALL}cd]*)", given)
    if shape is None:
        raise BadSyntax("Unknown right")
    mode, letters = shape.groups()
    return AclChange(
        mode, order_rights(letters + "".join(_VIRTUAL[letter] for letter in letters if letter in _VIRTUAL))
    )


def parse_identifier(cursor: Cursor) -> str:
    """Parse an account's name or "anyone"; a "-" before it means rights that are taken away."""
    found = cursor.text_astring("Identifier")
    if not found.removeprefix("-") or len(found) > 300:
        raise BadSyntax("Identifier expected")
    return found
