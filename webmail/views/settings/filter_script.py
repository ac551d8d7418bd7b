"""What the pages of filters stand on: the visitor's script as the mail server keeps it, and the words of rules.

A page says which script it was made from, so that two windows do not undo each other's work.
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
    """The visitor's script as it is kept, and as these pages can show it: `filters` is None where they cannot."""

    keeper: sieve_client.SieveClient
    name: str
    text: str
    filters: FilterSet | None
    active: bool

    @property
    def mark(self) -> str:
        return hashlib.sha256(f"{self.name}\0{self.text}".encode()).hexdigest()[:16]

    def start_new_script(self) -> None:
        """A script of ours beside the one that is there."""
        taken = {each.name for each in self.keeper.scripts()}
        name = next(each for each in chain([rules.NAME], (f"{rules.NAME} {n}" for n in count(2))) if each not in taken)
        self.keeper.put(name, rules.render_script(FilterSet()))
        self.keeper.activate(name)

    def save(self, filters: FilterSet) -> None:
        """Raises sieve.Refused. No filters at all are no script: messages then go the shortest way."""
        if not (filters.rules or filters.blocked or filters.away.text):
            self.keeper.activate("")
            if self.text:
                self.keeper.delete(self.name)
            return
        self.keeper.put(self.name, rules.render_script(filters))
        if not self.active:
            self.keeper.activate(self.name)


@contextmanager
def open_script(request: Request) -> Iterator[FilterScript]:
    server = sieve_address()
    if server is None:
        raise Http404
    with sieve_client.connect_sieve(server, request.visitor.login, request.visitor.secret) as keeper:
        stored = keeper.scripts()
        chosen = next((each for each in stored if each.active), None)
        chosen = chosen or next((each for each in stored if each.name == rules.NAME), None)
        text = keeper.script(chosen.name) if chosen else ""
        try:
            filters: FilterSet | None = rules.parse_script(text)
        except UnknownScript:
            filters = None
        yield FilterScript(
            keeper, chosen.name if chosen else rules.NAME, text, filters, chosen is not None and chosen.active
        )


Page = Callable[..., HttpResponse]


def with_script_errors(page: Page) -> Page:
    """Faults of the server that keeps filters end here, as a page."""

    @functools.wraps(page)
    def inner(request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            return page(request, *args, **kwargs)
        except sieve_client.SieveRefused as refusal:
            return session.error_page(request, _("The mail server refused this."), str(refusal), 409)
        except sieve_client.SieveUnreachable as fault:
            log.warning("managesieve: %s", fault)
            title = _("The server that keeps your filters cannot be reached.")
            return session.error_page(request, title, _("Please try again in a moment."), 503)

    return inner


def script_context(request: Request, mail: imap_client.MailSession, shelf: FilterScript, **more: Any) -> dict[str, Any]:
    return (
        layout.page_context(request, mail) | {"filters": shelf.filters, "mark": shelf.mark, "script": shelf.name} | more
    )


def is_stale(request: Request, shelf: FilterScript) -> bool:
    """Was the posted page made from another version?"""
    if request.POST.get("mark") == shelf.mark and shelf.filters is not None:
        return False
    messages.warning(request, _("Your filters were changed elsewhere meanwhile. Please look at them again."))
    return True


def clean_text(text: str) -> str:
    return re.sub(r"[\x00-\x1f\x7f]+", " ", text)[:LONGEST].strip()
