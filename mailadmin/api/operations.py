"""Everything the API can do, as one table."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from mailadmin.api import mail, names, people, shapes, system
from mailadmin.api.answers import Answer
from mailadmin.api.shapes import Schema, body
from mailadmin.pages import queue
from mailadmin.permissions import Reach
from mailcore import logfile
from mailcore.models import Account

Run = Callable[..., Answer]
Allows = Callable[[Reach], bool]


@dataclass(frozen=True, slots=True)
class Operation:
    method: str
    path: str
    summary: str
    allows: Allows
    run: Run
    answer: str  # of shapes.ANSWERS; with `query` a page of them
    body: Schema | None = None
    query: Mapping[str, Schema] = field(default_factory=dict)
    creates: bool = False


def _sees(reach: Reach) -> bool:
    return reach.sees


def _changes(reach: Reach) -> bool:
    return reach.changes


def _sees_system(reach: Reach) -> bool:
    return reach.system


def _changes_system(reach: Reach) -> bool:
    return reach.changes_system


_Q = {"q": shapes.asked("what to look for"), "page": shapes.PAGE}
_ADDRESS = {"address": {"type": "string", "maxLength": 320}}
_NAME = {"domain": {"type": "string", "maxLength": 255}}

OPERATIONS: tuple[Operation, ...] = (
    Operation("GET", "domains", "List domains", _sees, people.list_domains, "Domain", query=_Q),
    Operation("POST", "domains", "Make a domain", _changes_system, people.make_domain, "Domain",
              body({**_NAME, **shapes.DOMAIN}, "domain"), creates=True),
    Operation("GET", "domains/{name}", "One domain", _sees, people.show_domain, "Domain"),
    Operation("PATCH", "domains/{name}", "Change a domain", _changes_system, people.change_domain, "Domain",
              body(shapes.DOMAIN)),
    Operation("DELETE", "domains/{name}", "Delete a domain with its accounts, their mail and its aliases",
              _changes_system, people.delete_domain, "Deleted"),
    Operation("GET", "domains/{name}/dns", "The records a domain needs", _sees, names.list_records, "Record",
              query={"check": shapes.asked("1: ask the DNS what it says of them", "0", "1")}),
    Operation("GET", "domains/{name}/keys", "A domain's DKIM keys", _sees, names.show_keys, "Keys"),
    Operation("POST", "domains/{name}/keys", "Make a DKIM key", _changes, names.make_key, "Key",
              body(shapes.KEY, "algorithm"), creates=True),
    Operation("PUT", "domains/{name}/keys/{selector}/work", "Sign with this key from now on", _changes,
              names.put_key_to_work, "Key"),
    Operation("DELETE", "domains/{name}/keys/{selector}", "Delete a DKIM key", _changes, names.delete_key, "Deleted"),
    Operation("GET", "accounts", "List accounts", _sees, people.list_accounts, "Account",
              query={**_Q, "domain": shapes.asked("of this domain"),
                     "state": shapes.asked("in this state", *Account.State.values),
                     "role": shapes.asked("of this role", *Account.Role.values)}),
    Operation("POST", "accounts", "Make an account", _changes, people.make_account, "Account",
              body({**_ADDRESS, **shapes.PASSWORD, **shapes.ACCOUNT}, "address", "password"), creates=True),
    Operation("GET", "accounts/{address}", "One account", _sees, people.show_account, "Account"),
    Operation("PATCH", "accounts/{address}", "Change an account", _changes, people.change_account, "Account",
              body(shapes.ACCOUNT)),
    Operation("DELETE", "accounts/{address}", "Delete an account with all its mail", _changes, people.delete_account,
              "Deleted"),
    Operation("PUT", "accounts/{address}/password", "Set an account's password", _changes, people.set_password,
              "Changed", body(shapes.PASSWORD, "password")),
    Operation("GET", "accounts/{address}/access", "What opens an account", _sees, people.show_access, "Access"),
    Operation("POST", "accounts/{address}/access", "Take back something that opens an account", _changes,
              people.end_access, "Access", body(shapes.END, "what")),
    Operation("GET", "aliases", "List aliases", _sees, people.list_aliases, "Alias", query=_Q),
    Operation("POST", "aliases", "Make an alias", _changes, people.make_alias, "Alias",
              body({**_ADDRESS, **shapes.ALIAS}, "address", "targets"), creates=True),
    Operation("GET", "aliases/{address}", "One alias", _sees, people.show_alias, "Alias"),
    Operation("PATCH", "aliases/{address}", "Change an alias", _changes, people.change_alias, "Alias",
              body(shapes.ALIAS)),
    Operation("DELETE", "aliases/{address}", "Delete an alias", _changes, people.delete_alias, "Deleted"),
    Operation("GET", "queue", "List letters that wait", _sees_system, mail.list_queue, "Queued",
              query={**_Q, "state": shapes.asked("in this state", *queue.STATES)}),
    Operation("POST", "queue/actions", "Do something with letters", _changes_system, mail.act, "Acted",
              body(shapes.ACTION, "action", "ids")),
    Operation("GET", "queue/{queue_id}", "One letter with its recipients", _sees_system, mail.show_letter, "Letter"),
    Operation("GET", "tracking", "Where a letter is: by address, subject, Message-ID, queue id or time", _sees,
              mail.track, "Story",
              query={"q": shapes.asked("what to look for"), "since": shapes.asked("came at or after: 2026-11-28 14:05"),
                     "until": shapes.asked("came before")}),
    Operation("GET", "log", "The last lines of the mail log", _sees_system, mail.read_log, "Line",
              query={"q": shapes.asked("words a line has"),
                     "level": shapes.asked("this level and worse", *logfile.LEVELS)}),
    Operation("POST", "explain", "Would this letter be accepted, and where would it go?", _sees_system,
              mail.try_letter, "Explanation", body(shapes.QUESTION, "recipient")),
    Operation("GET", "tables", "List lookup tables", _sees_system, system.list_tables, "Table",
              query={"q": shapes.asked("part of the name")}),
    Operation("GET", "tables/{name}", "One table's entries", _sees_system, system.show_table, "Entries"),
    Operation("PUT", "tables/{name}", "Let a table have these entries", _changes_system, system.fill_table, "Entries",
              body(shapes.TABLE, "entries")),
    Operation("GET", "settings", "List parameters", _sees_system, system.list_settings, "Setting",
              query={"q": shapes.asked("part of the name")}),
    Operation("GET", "settings/{name}", "One parameter", _sees_system, system.show_setting, "Setting"),
    Operation("PUT", "settings/{name}", "Set a parameter", _changes_system, system.set_setting, "Setting",
              body(shapes.VALUE, "value")),
    Operation("DELETE", "settings/{name}", "Back to the default", _changes_system, system.reset_setting, "Setting"),
    Operation("POST", "changes/{number}/undo", "Take a change back", _changes, system.take_back, "Changed"),
    Operation("GET", "changes", "Who changed what", _sees, system.list_changes, "Change", query=_Q),
)  # fmt: skip
