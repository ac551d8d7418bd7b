"""The commands as data: what each is called, when it may be given, what may be told after it
(RFC 9051 §6, RFC 3501 §6)."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from mailcore.servers.imap.answer import Answer, bad
from mailcore.servers.imap.commands import (
    acl,
    append,
    authentication,
    basic,
    copy,
    fetch,
    listing,
    mailbox,
    metadata,
    multisearch,
    notification,
    quota,
    search,
    selection,
    store,
    urls,
)
from mailcore.wire.imap.cursor import BadSyntax, Cursor

if TYPE_CHECKING:
    from mailcore.servers.imap.session import Call

# States, each allowing what the one before allows (RFC 9051 §3).
ANYONE = "not authenticated"
SIGNED_IN = "authenticated"
SELECTED = "selected"
_RANK = {ANYONE: 0, SIGNED_IN: 1, SELECTED: 2}


@dataclass(frozen=True, slots=True)
class Command:
    """`tells`: may the client be told of expunged messages before the answer? No to commands that use sequence
    numbers (RFC 9051 §7.5.1); "" where nothing is looked for."""

    run: "Callable[[Call], Awaitable[Answer | None]]"  # None: the answer comes later
    state: str
    tells: Literal["all", "no expunges", ""] = "all"
    only: str = ""  # a state in which alone it is allowed


async def _nothing(call: "Call") -> Answer:
    return bad("Nothing to do")


NOTHING = Command(_nothing, ANYONE)

COMMANDS: dict[str, Command] = {
    "CAPABILITY": Command(basic.capability, ANYONE),
    "NOOP": Command(basic.noop, ANYONE),
    "LOGOUT": Command(basic.logout, ANYONE, ""),
    "ID": Command(basic.identify, ANYONE),
    "LANGUAGE": Command(basic.language, ANYONE),
    "STARTTLS": Command(authentication.starttls, ANYONE, "", only=ANYONE),
    "LOGIN": Command(authentication.login, ANYONE, "", only=ANYONE),
    "AUTHENTICATE": Command(authentication.authenticate, ANYONE, "", only=ANYONE),
    "COMPRESS": Command(authentication.compress, SIGNED_IN, ""),
    "UNAUTHENTICATE": Command(authentication.unauthenticate, SIGNED_IN, ""),
    "GETQUOTA": Command(quota.get_quota, SIGNED_IN),
    "GETQUOTAROOT": Command(quota.get_quota_root, SIGNED_IN),
    "GETMETADATA": Command(metadata.get_metadata, SIGNED_IN),
    "SETMETADATA": Command(metadata.set_metadata, SIGNED_IN),
    "GETACL": Command(acl.get_acl, SIGNED_IN),
    "SETACL": Command(acl.set_acl, SIGNED_IN),
    "DELETEACL": Command(acl.delete_acl, SIGNED_IN),
    "LISTRIGHTS": Command(acl.list_rights, SIGNED_IN),
    "MYRIGHTS": Command(acl.my_rights, SIGNED_IN),
    "ESEARCH": Command(multisearch.esearch, SIGNED_IN),
    "NOTIFY": Command(notification.notify, SIGNED_IN),
    "GENURLAUTH": Command(urls.generate, SIGNED_IN),
    "URLFETCH": Command(urls.fetch, SIGNED_IN),
    "RESETKEY": Command(urls.reset_key, SIGNED_IN),
    "ENABLE": Command(basic.enable, SIGNED_IN),
    "IDLE": Command(basic.idle, SIGNED_IN, ""),
    "NAMESPACE": Command(mailbox.namespace, SIGNED_IN),
    "CREATE": Command(mailbox.create, SIGNED_IN),
    "DELETE": Command(mailbox.delete, SIGNED_IN),
    "RENAME": Command(mailbox.rename, SIGNED_IN),
    "SUBSCRIBE": Command(mailbox.subscribe, SIGNED_IN),
    "UNSUBSCRIBE": Command(mailbox.unsubscribe, SIGNED_IN),
    "LIST": Command(listing.list_names, SIGNED_IN),
    "LSUB": Command(listing.list_subscribed, SIGNED_IN),
    "STATUS": Command(listing.status, SIGNED_IN),
    "SELECT": Command(selection.select, SIGNED_IN, ""),
    "EXAMINE": Command(selection.select, SIGNED_IN, ""),
    "APPEND": Command(append.append, SIGNED_IN),
    "REPLACE": Command(append.replace, SELECTED),
    "UID REPLACE": Command(append.replace, SELECTED),
    "CANCELUPDATE": Command(search.cancel_update, SELECTED),
    "CHECK": Command(basic.noop, SELECTED),
    "CLOSE": Command(selection.close, SELECTED, ""),
    "UNSELECT": Command(selection.unselect, SELECTED, ""),
    "EXPUNGE": Command(store.expunge, SELECTED),
    "UID EXPUNGE": Command(store.expunge, SELECTED),
    "FETCH": Command(fetch.fetch, SELECTED, "no expunges"),
    "UID FETCH": Command(fetch.fetch, SELECTED),
    "STORE": Command(store.store, SELECTED, "no expunges"),
    "UID STORE": Command(store.store, SELECTED),
    "SEARCH": Command(search.search, SELECTED, "no expunges"),
    "UID SEARCH": Command(search.search, SELECTED),
    "SORT": Command(search.sort, SELECTED, "no expunges"),
    "UID SORT": Command(search.sort, SELECTED),
    "THREAD": Command(search.thread, SELECTED, "no expunges"),
    "UID THREAD": Command(search.thread, SELECTED),
    "COPY": Command(copy.copy, SELECTED, "no expunges"),
    "UID COPY": Command(copy.copy, SELECTED),
    "MOVE": Command(copy.move, SELECTED),
    "UID MOVE": Command(copy.move, SELECTED),
}


# Commands about sequence numbers, which a client that enabled UIDONLY has none of (RFC 9586 §3).
NUMBERED = frozenset(("FETCH", "STORE", "SEARCH", "SORT", "THREAD", "COPY", "MOVE", "REPLACE"))


def lookup(cursor: Cursor, state: str) -> tuple[Command, str]:
    """The command whose name comes next, and that name; the space after the name is taken."""
    name = cursor.keyword()
    if name == "UID":
        cursor.space()
        name = f"UID {cursor.keyword()}"
    command = COMMANDS.get(name)
    if command is None:
        raise BadSyntax(f"Unknown command {name[:30]}")
    if _RANK[state] < _RANK[command.state] or (command.only and command.only != state):
        raise BadSyntax(f"{name} is not allowed in {state} state")
    if not cursor.at_end():
        cursor.space()
    return command, name
