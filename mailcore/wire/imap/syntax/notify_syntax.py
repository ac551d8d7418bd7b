"""Arguments of NOTIFY (RFC 5465 §8)."""

from dataclasses import dataclass

from mailcore.wire.imap.cursor import BadSyntax, Cursor
from mailcore.wire.imap.syntax import fetch_syntax
from mailcore.wire.imap.syntax.mailbox_filter import MailboxFilter, parse_filter

MESSAGE_EVENTS = frozenset(("MESSAGENEW", "MESSAGEEXPUNGE", "FLAGCHANGE"))
EVENTS = ("FlagChange", "MailboxName", "MessageExpunge", "MessageNew", "SubscriptionChange")
_KNOWN = frozenset(event.upper() for event in EVENTS)
_UNSERVED = frozenset(("ANNOTATIONCHANGE", "MAILBOXMETADATACHANGE", "SERVERMETADATACHANGE"))
MAX_GROUPS = 100


class UnservedEvent(Exception):
    """A standard event that is not among EVENTS; the response is NO [BADEVENT]."""


@dataclass(frozen=True, slots=True)
class EventGroup:
    """Events for a set of mailboxes; `attributes` are the FETCH items for new messages in the selected mailbox."""

    scope: MailboxFilter
    events: frozenset[str]
    attributes: fetch_syntax.FetchItems | None = None

    @property
    def selected(self) -> bool:
        return self.scope.kind.startswith("SELECTED")


@dataclass(frozen=True, slots=True)
class NotifyRequest:
    """A NOTIFY SET request; `status` asks for STATUS of all its mailboxes at once."""

    groups: tuple[EventGroup, ...]
    status: bool = False


def parse_notify(cursor: Cursor) -> NotifyRequest | None:
    """Parse "SET" [SP "STATUS"] (SP group)…; return None for "NONE"."""
    word = cursor.keyword()
    if word == "NONE":
        cursor.end()
        return None
    if word != "SET":
        raise BadSyntax("SET or NONE expected")
    cursor.space()
    status = cursor.skip_word(b"STATUS")
    if status:
        cursor.space()
    groups = [_parse_group(cursor)]
    while cursor.skip_space():
        groups.append(_parse_group(cursor))
    cursor.end()
    if len(groups) > MAX_GROUPS or sum(group.selected for group in groups) > 1:
        raise BadSyntax("Too many groups")
    return NotifyRequest(tuple(groups), status)


def _parse_group(cursor: Cursor) -> EventGroup:
    cursor.open_list()
    chosen = parse_filter(cursor)
    cursor.space()
    events: set[str] = set()
    attributes: fetch_syntax.FetchItems | None = None

    def one() -> None:
        nonlocal attributes
        event = cursor.keyword()
        if event in _UNSERVED:
            raise UnservedEvent
        if event not in _KNOWN:
            raise BadSyntax(f"Unknown event {event[:30]}")
        events.add(event)
        if event == "MESSAGENEW" and cursor.skip_space_before(b"("):
            attributes = fetch_syntax.parse_fetch_items(cursor)

    if not cursor.skip_word(b"NONE"):
        cursor.list_of(one)
    cursor.close_list()
    found = EventGroup(chosen, frozenset(events), attributes)
    if ("MESSAGENEW" in events) != ("MESSAGEEXPUNGE" in events) or ("FLAGCHANGE" in events and len(events) == 1):
        raise BadSyntax("MessageNew and MessageExpunge go together, FlagChange needs them")
    if (found.selected and events - MESSAGE_EVENTS) or (attributes is not None and not found.selected):
        raise BadSyntax("Event does not suit its mailboxes")
    return found
