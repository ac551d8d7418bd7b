"""Mailbox filters of NOTIFY and ESEARCH (RFC 5465 §6, RFC 7377 §2.2): "selected", "personal", "subtree" and others."""

from collections.abc import Iterable
from dataclasses import dataclass

from mailcore.wire.imap.cursor import BadSyntax, Cursor
from mailcore.wire.imap.mailbox_names import SEPARATOR, is_other_users

_PLAIN = ("SELECTED", "SELECTED-DELAYED", "INBOXES", "PERSONAL", "SUBSCRIBED")
_NAMED = ("SUBTREE", "SUBTREE-ONE", "MAILBOXES")
MAX_NAMES = 1000


@dataclass(frozen=True, slots=True)
class MailboxFilter:
    kind: str  # upper case
    names: frozenset[str] = frozenset()  # a set: 1,000 names against 10,000 mailboxes must not be a loop

    def covers(self, name: str, subscribed: bool) -> bool:
        """Return True if the filter covers this mailbox; the selected mailbox is the caller's business."""
        match self.kind:
            case "PERSONAL":
                return not is_other_users(name)
            case "INBOXES":  # the only mailbox that delivery uses without a filter
                return name == "INBOX"
            case "SUBSCRIBED":
                return subscribed
            case "MAILBOXES":
                return name in self.names
            case "SUBTREE":
                levels = name.split(SEPARATOR)
                return any(SEPARATOR.join(levels[:depth]) in self.names for depth in range(1, len(levels) + 1))
            case "SUBTREE-ONE":
                return name in self.names or name.rpartition(SEPARATOR)[0] in self.names
        return False


def parse_filter(cursor: Cursor) -> MailboxFilter:
    kind = cursor.keyword()
    if kind in _PLAIN:
        return MailboxFilter(kind)
    if kind not in _NAMED:
        raise BadSyntax(f"Unknown mailboxes {kind[:30]}")
    cursor.space()
    names = cursor.list_of(cursor.mailbox) if cursor.next_is(b"(") else [cursor.mailbox()]
    if not names or len(names) > MAX_NAMES:
        raise BadSyntax("Mailboxes expected")
    return MailboxFilter(kind, frozenset(names))


def matches_any(scopes: Iterable[MailboxFilter], name: str, subscribed: bool) -> bool:
    return any(each.covers(name, subscribed) for each in scopes)
