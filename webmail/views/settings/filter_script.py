"""Loading and saving the user's Sieve script for the filter pages, and the names of fields and actions.

A page contains a digest of the script it was made from, so that two windows do not undo each other's changes.
"""

import functools
import hashlib
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, count
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from webmail.account import session
from webmail.account.session import Request
from webmail.filtering import rules
from webmail.filtering.rules import FilterSet, UnknownScript
from webmail.mailserver import imap_client, sieve_client
from webmail.mailserver.server_addresses import sieve_address
from webmail.views import layout

log = logging.getLogger("webmail.filters")

LONGEST = 500  # characters of one value
FIELDS = (
    ("from", gettext_lazy("Sender")),
    ("anyone", gettext_lazy("Recipient (To or Cc)")),
    ("to", gettext_lazy("To")),
    ("cc", gettext_lazy("Cc")),
    ("subject", gettext_lazy("Subject")),
    ("body", gettext_lazy("Body")),
    ("list", gettext_lazy("Mailing list")),
    ("header", gettext_lazy("Another header")),
    ("larger", gettext_lazy("Larger than (KB)")),
    ("smaller", gettext_lazy("Smaller than (KB)")),
    ("all", gettext_lazy("All messages")),
)
HOWS = (
    ("contains", gettext_lazy("contains")),
    ("lacks", gettext_lazy("does not contain")),
    ("is", gettext_lazy("is")),
    ("isnot", gettext_lazy("is not")),
    ("matches", gettext_lazy("matches (* and ?)")),
)
ACTIONS = (
    ("move", gettext_lazy("Move to folder")),
    ("copy", gettext_lazy("Copy to folder")),
    ("label", gettext_lazy("Add label")),
    ("star", gettext_lazy("Add star")),
    ("read", gettext_lazy("Mark as read")),
    ("forward", gettext_lazy("Forward, keep no copy")),
    ("pass", gettext_lazy("Forward, keep a copy")),
    ("discard", gettext_lazy("Delete at once")),
)


@dataclass(slots=True)
class FilterScript:
    """The user's script as stored on the server, and as filters if these pages can show it, else None."""

    client: sieve_client.SieveClient
    name: str
    text: str
    filters: FilterSet | None
    active: bool

    @property
    def digest(self) -> str:
        return hashlib.sha256(f"{self.name}\0{self.text}".encode()).hexdigest()[:16]

    def start_new_script(self) -> None:
        """Create and activate a script of ours beside the existing one."""
        names = {each.name for each in self.client.scripts()}
        name = next(each for each in chain([rules.NAME], (f"{rules.NAME} {n}" for n in count(2))) if each not in names)
        self.client.put(name, rules.render_script(FilterSet()))
        self.client.activate(name)

    def save(self, filters: FilterSet) -> None:
        """Store the filters; an empty set is stored as no script, which delivers messages fastest.

        Raise `sieve_client.SieveRefused`.
        """
        if not (filters.rules or filters.blocked or filters.away.text):
            self.client.activate("")
            if self.text:
                self.client.delete(self.name)
            return
        self.client.put(self.name, rules.render_script(filters))
        if not self.active:
            self.client.activate(self.name)


@contextmanager
def open_script(request: Request) -> Iterator[FilterScript]:
    server = sieve_address()
    if server is None:
        raise Http404
    with sieve_client.connect_sieve(server, request.visitor.login, request.visitor.secret) as client:
        stored = client.scripts()
        selected = next((each for each in stored if each.active), None)
        selected = selected or next((each for each in stored if each.name == rules.NAME), None)
        text = client.script(selected.name) if selected else ""
        try:
            filters: FilterSet | None = rules.parse_script(text)
        except UnknownScript:
            filters = None
        yield FilterScript(
            client, selected.name if selected else rules.NAME, text, filters, selected is not None and selected.active
        )


Page = Callable[..., HttpResponse]


def with_script_errors(page: Page) -> Page:
    """Turn errors of the ManageSieve server into error pages."""

    @functools.wraps(page)
    def inner(request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            return page(request, *args, **kwargs)
        except sieve_client.SieveRefused as refusal:
            return session.error_page(request, _("The mail server refused this."), str(refusal), 409)
        except sieve_client.SieveUnreachable as fault:
            log.warning("managesieve: %s", fault)
            title = _("The server that stores your filters cannot be reached.")
            return session.error_page(request, title, _("Please try again in a moment."), 503)

    return inner


def script_context(
    request: Request, mail: imap_client.MailSession, script: FilterScript, **more: Any
) -> dict[str, Any]:
    return (
        layout.page_context(request, mail)
        | {"filters": script.filters, "mark": script.digest, "script": script.name}
        | more
    )


def is_stale(request: Request, script: FilterScript) -> bool:
    """Return True, with a warning to the user, if the posted page was made from another version."""
    if request.POST.get("mark") == script.digest and script.filters is not None:
        return False
    messages.warning(request, _("Your filters were changed elsewhere meanwhile. Please look at them again."))
    return True


def clean_text(text: str) -> str:
    return re.sub(r"[\x00-\x1f\x7f]+", " ", text)[:LONGEST].strip()
