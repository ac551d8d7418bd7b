"""The table of all operations of the API."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from mailadmin.api import account_operations as accounts
from mailadmin.api import dns_operations as dns
from mailadmin.api import mail_operations as mail
from mailadmin.api import schemas
from mailadmin.api import system_operations as system
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


_Q = {"q": schemas.query_parameter("text to search for"), "page": schemas.PAGE}
_ADDRESS = {"address": {"type": "string", "maxLength": 320}}
_NAME = {"domain": {"type": "string", "maxLength": 255}}

OPERATIONS: tuple[Operation, ...] = (
    Operation("GET", "domains", "List domains", _can_view, accounts.list_domains, "Domain", query=_Q),
    Operation("POST", "domains", "Create a domain", _can_change_system, accounts.create_domain, "Domain",
              body_schema({**_NAME, **schemas.DOMAIN}, "domain"), creates=True),
    Operation("GET", "domains/{name}", "Show a domain", _can_view, accounts.show_domain, "Domain"),
    Operation("PATCH", "domains/{name}", "Change a domain", _can_change_system, accounts.change_domain, "Domain",
              body_schema(schemas.DOMAIN)),
    Operation("DELETE", "domains/{name}", "Delete a domain with its accounts, their mail and its aliases",
              _can_change_system, accounts.delete_domain, "Deleted"),
    Operation("GET", "domains/{name}/dns", "List the DNS records a domain needs", _can_view, dns.list_records, "Record",
              query={"check": schemas.query_parameter("1: compare the records with the DNS", "0", "1")}),
    Operation("GET", "domains/{name}/keys", "List a domain's DKIM keys", _can_view, dns.show_keys, "Keys"),
    Operation("POST", "domains/{name}/keys", "Create a DKIM key", _can_change, dns.create_key, "Key",
              body_schema(schemas.KEY, "algorithm"), creates=True),
    Operation("PUT", "domains/{name}/keys/{selector}/work", "Sign with this key from now on", _can_change,
              dns.activate_key, "Key"),
    Operation("DELETE", "domains/{name}/keys/{selector}", "Delete a DKIM key", _can_change, dns.delete_key, "Deleted"),
    Operation("GET", "accounts", "List accounts", _can_view, accounts.list_accounts, "Account",
              query={**_Q, "domain": schemas.query_parameter("only accounts of this domain"),
                     "state": schemas.query_parameter("only accounts in this state", *Account.State.values),
                     "role": schemas.query_parameter("only accounts with this role", *Account.Role.values)}),
    Operation("POST", "accounts", "Create an account", _can_change, accounts.create_account, "Account",
              body_schema({**_ADDRESS, **schemas.PASSWORD, **schemas.ACCOUNT}, "address", "password"), creates=True),
    Operation("GET", "accounts/{address}", "Show an account", _can_view, accounts.show_account, "Account"),
    Operation("PATCH", "accounts/{address}", "Change an account", _can_change, accounts.change_account, "Account",
              body_schema(schemas.ACCOUNT)),
    Operation("DELETE", "accounts/{address}", "Delete an account with all its mail", _can_change,
              accounts.delete_account,
              "Deleted"),
    Operation("PUT", "accounts/{address}/password", "Set an account's password", _can_change, accounts.set_password,
              "Changed", body_schema({**schemas.PASSWORD, **schemas.REVOKE}, "password")),
    Operation("GET", "accounts/{address}/access", "List what grants access to an account", _can_view,
              accounts.show_access, "Access"),
    Operation("POST", "accounts/{address}/access", "Revoke access to an account", _can_change,
              accounts.revoke_access, "Access", body_schema(schemas.END, "what")),
    Operation("GET", "aliases", "List aliases", _can_view, accounts.list_aliases, "Alias", query=_Q),
    Operation("POST", "aliases", "Create an alias", _can_change, accounts.create_alias, "Alias",
              body_schema({**_ADDRESS, **schemas.ALIAS}, "address", "targets"), creates=True),
    Operation("GET", "aliases/{address}", "Show an alias", _can_view, accounts.show_alias, "Alias"),
    Operation("PATCH", "aliases/{address}", "Change an alias", _can_change, accounts.change_alias, "Alias",
              body_schema(schemas.ALIAS)),
    Operation("DELETE", "aliases/{address}", "Delete an alias", _can_change, accounts.delete_alias, "Deleted"),
    Operation("GET", "queue", "List queued messages", _can_view_system, mail.list_queue, "Queued",
              query={**_Q, "state": schemas.query_parameter("only messages in this state", *queue.STATES)}),
    Operation("POST", "queue/actions", "Apply an action to queued messages", _can_change_system,
              mail.act_on_queue, "Acted",
              body_schema(schemas.ACTION, "action", "ids")),
    Operation("GET", "queue/{queue_id}", "Show a queued message with its recipients", _can_view_system,
              mail.show_message, "Message"),
    Operation("GET", "tracking", "Trace messages by address, subject, Message-ID, queue id or time", _can_view,
              mail.trace_messages, "Story",
              query={"q": schemas.query_parameter("text to search for"),
                     "since": schemas.query_parameter("received at or after: 2026-11-28 14:05"),
                     "until": schemas.query_parameter("received before")}),
    Operation("GET", "log", "Read the last lines of the mail log", _can_view_system, mail.read_log, "Line",
              query={"q": schemas.query_parameter("words each line must contain"),
                     "level": schemas.query_parameter("only lines of this level or worse", *reader.LEVELS)}),
    Operation("POST", "explain", "Simulate the delivery of a message", _can_view_system,
              mail.simulate_message, "Explanation", body_schema(schemas.SIMULATION, "recipient")),
    Operation("GET", "tables", "List lookup tables", _can_view_system, system.list_tables, "Table",
              query={"q": schemas.query_parameter("part of the name")}),
    Operation("GET", "tables/{name}", "Show a table's entries", _can_view_system, system.show_table, "Entries"),
    Operation("PUT", "tables/{name}", "Replace a table's entries", _can_change_system, system.replace_table, "Entries",
              body_schema(schemas.TABLE, "entries")),
    Operation("GET", "settings", "List parameters", _can_view_system, system.list_settings, "Setting",
              query={"q": schemas.query_parameter("part of the name")}),
    Operation("GET", "settings/{name}", "Show a parameter", _can_view_system, system.show_setting, "Setting"),
    Operation("PUT", "settings/{name}", "Set a parameter", _can_change_system, system.set_setting, "Setting",
              body_schema(schemas.VALUE, "value")),
    Operation("DELETE", "settings/{name}", "Reset a parameter to its default", _can_change_system,
              system.reset_setting, "Setting"),
    Operation("POST", "changes/{number}/undo", "Revert a change", _can_change, system.revert_change, "Changed"),
    Operation("GET", "changes", "List changes from the audit log", _can_view, system.list_changes, "Change", query=_Q),
)  # fmt: skip
