"""The IMAP command table: each command's function, state and updates (RFC 9051 §6, RFC 3501 §6)."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from mailcore.servers.imap.commands import any_state, login_commands
from mailcore.servers.imap.commands.mailbox import (
    acl,
    list_mailboxes,
    manage_mailboxes,
    metadata,
    notify,
    quota,
    selection,
)
from mailcore.servers.imap.commands.message import append, copy, fetch, multisearch, search, store, url_auth
from mailcore.servers.imap.tagged_response import TaggedResponse, bad
from mailcore.wire.imap.cursor import BadSyntax, Cursor

if TYPE_CHECKING:
    from mailcore.servers.imap.session import Call

# Each state allows the commands of the one before as well (RFC 9051 §3).
ANY_STATE = "not authenticated"
AUTHENTICATED = "authenticated"
SELECTED = "selected"
_RANK = {ANY_STATE: 0, AUTHENTICATED: 1, SELECTED: 2}


@dataclass(frozen=True, slots=True)
class Command:
    """An IMAP command.

    `updates`: "no expunges" for commands that use sequence numbers, since EXPUNGE must not be sent during them
    (RFC 9051 §7.5.1); "" if no updates are sent.
    """

    run: "Callable[[Call], Awaitable[TaggedResponse | None]]"  # Returns None if the tagged response comes later.
    state: str
    updates: Literal["all", "no expunges", ""] = "all"
    only: str = ""  # The only state in which it is allowed, if any.


async def _no_command(call: "Call") -> TaggedResponse:
    return bad("Nothing to do")


NOTHING = Command(_no_command, ANY_STATE)

COMMANDS: dict[str, Command] = {
    "CAPABILITY": Command(any_state.capability, ANY_STATE),
    "NOOP": Command(any_state.noop, ANY_STATE),
    "LOGOUT": Command(any_state.logout, ANY_STATE, ""),
    "ID": Command(any_state.id_command, ANY_STATE),
    "LANGUAGE": Command(any_state.language, ANY_STATE),
    "STARTTLS": Command(login_commands.starttls, ANY_STATE, "", only=ANY_STATE),
    "LOGIN": Command(login_commands.login, ANY_STATE, "", only=ANY_STATE),
    "AUTHENTICATE": Command(login_commands.authenticate, ANY_STATE, "", only=ANY_STATE),
    "COMPRESS": Command(login_commands.compress, AUTHENTICATED, ""),
    "UNAUTHENTICATE": Command(login_commands.unauthenticate, AUTHENTICATED, ""),
    "GETQUOTA": Command(quota.get_quota, AUTHENTICATED),
    "GETQUOTAROOT": Command(quota.get_quota_root, AUTHENTICATED),
    "GETMETADATA": Command(metadata.get_metadata, AUTHENTICATED),
    "SETMETADATA": Command(metadata.set_metadata, AUTHENTICATED),
    "GETACL": Command(acl.get_acl, AUTHENTICATED),
    "SETACL": Command(acl.set_acl, AUTHENTICATED),
    "DELETEACL": Command(acl.delete_acl, AUTHENTICATED),
    "LISTRIGHTS": Command(acl.list_rights, AUTHENTICATED),
    "MYRIGHTS": Command(acl.my_rights, AUTHENTICATED),
    "ESEARCH": Command(multisearch.esearch, AUTHENTICATED),
    "NOTIFY": Command(notify.notify, AUTHENTICATED),
    "GENURLAUTH": Command(url_auth.generate_url_auth, AUTHENTICATED),
    "URLFETCH": Command(url_auth.url_fetch, AUTHENTICATED),
    "RESETKEY": Command(url_auth.reset_key, AUTHENTICATED),
    "ENABLE": Command(any_state.enable, AUTHENTICATED),
    "IDLE": Command(any_state.idle, AUTHENTICATED, ""),
    "NAMESPACE": Command(manage_mailboxes.namespace, AUTHENTICATED),
    "CREATE": Command(manage_mailboxes.create, AUTHENTICATED),
    "DELETE": Command(manage_mailboxes.delete, AUTHENTICATED),
    "RENAME": Command(manage_mailboxes.rename, AUTHENTICATED),
    "SUBSCRIBE": Command(manage_mailboxes.subscribe, AUTHENTICATED),
    "UNSUBSCRIBE": Command(manage_mailboxes.unsubscribe, AUTHENTICATED),
    "LIST": Command(list_mailboxes.list_names, AUTHENTICATED),
    "LSUB": Command(list_mailboxes.list_subscribed, AUTHENTICATED),
    "STATUS": Command(list_mailboxes.status, AUTHENTICATED),
    "SELECT": Command(selection.select, AUTHENTICATED, ""),
    "EXAMINE": Command(selection.select, AUTHENTICATED, ""),
    "APPEND": Command(append.append, AUTHENTICATED),
    "REPLACE": Command(append.replace, SELECTED),
    "UID REPLACE": Command(append.replace, SELECTED),
    "CANCELUPDATE": Command(search.cancel_update, SELECTED),
    "CHECK": Command(any_state.noop, SELECTED),
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


# Commands that use sequence numbers, which do not exist after ENABLE UIDONLY (RFC 9586 §3).
SEQUENCE_NUMBER_COMMANDS = frozenset(("FETCH", "STORE", "SEARCH", "SORT", "THREAD", "COPY", "MOVE", "REPLACE"))


def lookup_command(cursor: Cursor, state: str) -> tuple[Command, str]:
    """Parse the next command name, and return (command, name); the space after the name is consumed."""
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
