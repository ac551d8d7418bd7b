"""The table of all operations of the API."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from mailadmin.api import account_operations, dns_operations, mail_operations, schemas, system_operations
from mailadmin.api.responses import ApiResponse
from mailadmin.api.schemas import Schema, body_schema
from mailadmin.permissions import Permissions
from mailadmin.views.mail import queue
from mailcore.logs import reader
from mailcore.models import Account

Handler = Callable[..., ApiResponse]
Permission = Callable[[Permissions], bool]


@dataclass(frozen=True, slots=True)
class Operation:
    method: str
    path: str
    summary: str
    allows: Permission
    run: Handler
    answer: str  # a key of schemas.ANSWERS; with `query`, a page of them
    body: Schema | None = None
    query: Mapping[str, Schema] = field(default_factory=dict)
    creates: bool = False


def _can_view(permissions: Permissions) -> bool:
    return permissions.sees


def _can_change(permissions: Permissions) -> bool:
    return permissions.changes


def _can_view_system(permissions: Permissions) -> bool:
    return permissions.system


def _can_change_system(permissions: Permissions) -> bool:
    return permissions.can_change_system


_Q = {"q": schemas.query_parameter("what to look for"), "page": schemas.PAGE}
_ADDRESS = {"address": {"type": "string", "maxLength": 320}}
_NAME = {"domain": {"type": "string", "maxLength": 255}}

OPERATIONS: tuple[Operation, ...] = (
    Operation("GET", "domains", "List domains", _can_view, account_operations.list_domains, "Domain", query=_Q),
    Operation("POST", "domains", "Make a domain", _can_change_system, account_operations.create_domain, "Domain",
              body_schema({**_NAME, **schemas.DOMAIN}, "domain"), creates=True),
    Operation("GET", "domains/{name}", "One domain", _can_view, account_operations.show_domain, "Domain"),
    Operation("PATCH", "domains/{name}", "Change a domain", _can_change_system, account_operations.change_domain, "Domain",
              body_schema(schemas.DOMAIN)),
    Operation("DELETE", "domains/{name}", "Delete a domain with its accounts, their mail and its aliases",
              _can_change_system, account_operations.delete_domain, "Deleted"),
    Operation("GET", "domains/{name}/dns", "The records a domain needs", _can_view, dns_operations.list_records, "Record",
              query={"check": schemas.query_parameter("1: ask the DNS what it says of them", "0", "1")}),
    Operation("GET", "domains/{name}/keys", "A domain's DKIM keys", _can_view, dns_operations.show_keys, "Keys"),
    Operation("POST", "domains/{name}/keys", "Make a DKIM key", _can_change, dns_operations.create_key, "Key",
              body_schema(schemas.KEY, "algorithm"), creates=True),
    Operation("PUT", "domains/{name}/keys/{selector}/work", "Sign with this key from now on", _can_change,
              dns_operations.activate_key, "Key"),
    Operation("DELETE", "domains/{name}/keys/{selector}", "Delete a DKIM key", _can_change, dns_operations.delete_key, "Deleted"),
    Operation("GET", "accounts", "List accounts", _can_view, account_operations.list_accounts, "Account",
              query={**_Q, "domain": schemas.query_parameter("of this domain"),
                     "state": schemas.query_parameter("in this state", *Account.State.values),
                     "role": schemas.query_parameter("of this role", *Account.Role.values)}),
    Operation("POST", "accounts", "Make an account", _can_change, account_operations.create_account, "Account",
              body_schema({**_ADDRESS, **schemas.PASSWORD, **schemas.ACCOUNT}, "address", "password"), creates=True),
    Operation("GET", "accounts/{address}", "One account", _can_view, account_operations.show_account, "Account"),
    Operation("PATCH", "accounts/{address}", "Change an account", _can_change, account_operations.change_account, "Account",
              body_schema(schemas.ACCOUNT)),
    Operation("DELETE", "accounts/{address}", "Delete an account with all its mail", _can_change, account_operations.delete_account,
              "Deleted"),
    Operation("PUT", "accounts/{address}/password", "Set an account's password", _can_change, account_operations.set_password,
              "Changed", body_schema(schemas.PASSWORD, "password")),
    Operation("GET", "accounts/{address}/access", "What opens an account", _can_view, account_operations.show_access, "Access"),
    Operation("POST", "accounts/{address}/access", "Take back something that opens an account", _can_change,
              account_operations.revoke_access, "Access", body_schema(schemas.END, "what")),
    Operation("GET", "aliases", "List aliases", _can_view, account_operations.list_aliases, "Alias", query=_Q),
    Operation("POST", "aliases", "Make an alias", _can_change, account_operations.create_alias, "Alias",
              body_schema({**_ADDRESS, **schemas.ALIAS}, "address", "targets"), creates=True),
    Operation("GET", "aliases/{address}", "One alias", _can_view, account_operations.show_alias, "Alias"),
    Operation("PATCH", "aliases/{address}", "Change an alias", _can_change, account_operations.change_alias, "Alias",
              body_schema(schemas.ALIAS)),
    Operation("DELETE", "aliases/{address}", "Delete an alias", _can_change, account_operations.delete_alias, "Deleted"),
    Operation("GET", "queue", "List messages that wait", _can_view_system, mail_operations.list_queue, "Queued",
              query={**_Q, "state": schemas.query_parameter("in this state", *queue.STATES)}),
    Operation("POST", "queue/actions", "Do something with messages", _can_change_system, mail_operations.act_on_queue, "Acted",
              body_schema(schemas.ACTION, "action", "ids")),
    Operation("GET", "queue/{queue_id}", "One message with its recipients", _can_view_system, mail_operations.show_message, "Message"),
    Operation("GET", "tracking", "Where a message is: by address, subject, Message-ID, queue id or time", _can_view,
              mail_operations.trace_messages, "Story",
              query={"q": schemas.query_parameter("what to look for"), "since": schemas.query_parameter("came at or after: 2026-11-28 14:05"),
                     "until": schemas.query_parameter("came before")}),
    Operation("GET", "log", "The last lines of the mail log", _can_view_system, mail_operations.read_log, "Line",
              query={"q": schemas.query_parameter("words a line has"),
                     "level": schemas.query_parameter("this level and worse", *reader.LEVELS)}),
    Operation("POST", "explain", "Would this message be accepted, and where would it go?", _can_view_system,
              mail_operations.simulate_message, "Explanation", body_schema(schemas.SIMULATION, "recipient")),
    Operation("GET", "tables", "List lookup tables", _can_view_system, system_operations.list_tables, "Table",
              query={"q": schemas.query_parameter("part of the name")}),
    Operation("GET", "tables/{name}", "One table's entries", _can_view_system, system_operations.show_table, "Entries"),
    Operation("PUT", "tables/{name}", "Let a table have these entries", _can_change_system, system_operations.replace_table, "Entries",
              body_schema(schemas.TABLE, "entries")),
    Operation("GET", "settings", "List parameters", _can_view_system, system_operations.list_settings, "Setting",
              query={"q": schemas.query_parameter("part of the name")}),
    Operation("GET", "settings/{name}", "One parameter", _can_view_system, system_operations.show_setting, "Setting"),
    Operation("PUT", "settings/{name}", "Set a parameter", _can_change_system, system_operations.set_setting, "Setting",
              body_schema(schemas.VALUE, "value")),
    Operation("DELETE", "settings/{name}", "Back to the default", _can_change_system, system_operations.reset_setting, "Setting"),
    Operation("POST", "changes/{number}/undo", "Take a change back", _can_change, system_operations.revert_change, "Changed"),
    Operation("GET", "changes", "Who changed what", _can_view, system_operations.list_changes, "Change", query=_Q),
)  # fmt: skip
