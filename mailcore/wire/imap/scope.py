"""Mailboxes a command is about (RFC 5465 §6, RFC 7377 §2.2): "selected", "personal", "subtree" and so on."""

from collections.abc import Iterable
from dataclasses import dataclass

from mailcore.wire.imap.cursor import BadSyntax, Cursor
from mailcore.wire.imap.names import SEPARATOR, of_others

_PLAIN = ("SELECTED", "SELECTED-DELAYED", "INBOXES", "PERSONAL", "SUBSCRIBED")
_NAMED = ("SUBTREE", "SUBTREE-ONE", "MAILBOXES")
MAX_NAMES = 1000


@dataclass(frozen=True, slots=True)
class Scope:
    kind: str  # upper case
    names: tuple[str, ...] = ()

    def covers(self, name: str, subscribed: bool) -> bool:
        """Is it about this mailbox, the selected one apart?"""
        match self.kind:
            case "PERSONAL":
                return not of_others(name)
            case "INBOXES":  # delivery puts letters nowhere else by itself
                return name == "INBOX"
            case "SUBSCRIBED":
                return subscribed
            case "MAILBOXES":
                return name in self.names
            case "SUBTREE":
                return any(name == top or name.startswith(top + SEPARATOR) for top in self.names)
            case "SUBTREE-ONE":
                return any(name == top or name.rpartition(SEPARATOR)[0] == top for top in self.names)
        return False


def scope(cursor: Cursor) -> Scope:
    kind = cursor.keyword()
    if kind in _PLAIN:
        return Scope(kind)
    if kind not in _NAMED:
        raise BadSyntax(f"Unknown mailboxes {kind[:30]}")
    cursor.space()
    names = cursor.list_of(cursor.mailbox) if cursor.sees(b"(") else [cursor.mailbox()]
    if not names or len(names) > MAX_NAMES:
        raise BadSyntax("Mailboxes expected")
    return Scope(kind, tuple(names))


def covers(scopes: Iterable[Scope], name: str, subscribed: bool) -> bool:
    return any(each.covers(name, subscribed) for each in scopes)
