"""Where is my mail? One answer for administrators (their domains' messages) and for everybody (their own)."""

from collections.abc import Callable

from django import forms
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_safe

from mailadmin import list_page
from mailadmin.forms import Form
from mailadmin.permissions import Permissions, requires_login, requires_view
from mailadmin.views.page_responses import in_time_zone_of, render_page
from mailcore.models import Domain
from mailcore.mta.history import message_trace
from mailcore.mta.history.message_trace import MessageTrace
from mailcore.store.db import audit

_AT_MOST = 50  # messages on a page


@require_safe
@requires_view
def mail_tracking(request: HttpRequest, permissions: Permissions) -> HttpResponse:
    audit_lookup(permissions, list_page.search_term(request))
    return _tracking_page(request, permissions, "tracking", _own_addresses(permissions))


def audit_lookup(permissions: Permissions, q: str) -> None:
    """Who follows the messages of an account that is theirs to see is on its owner's record."""
    if "@" in q and _own_addresses(permissions)(q):
        audit.record_lookup([q], "tracking")


def _own_addresses(permissions: Permissions) -> Callable[[str], bool]:
    """Which addresses are of the visitor's domains?"""
    if permissions.domains is None:
        return lambda _: True
    names = set(Domain.objects.filter(pk__in=permissions.domains).values_list("name", flat=True))
    return lambda address: address.rpartition("@")[2].lower() in names


def visible_to_administrator(permissions: Permissions, told: MessageTrace) -> MessageTrace | None:
    """What may be shown of a message to an administrator; None: nothing."""
    return _visible_to_owner(told, _own_addresses(permissions))


@require_safe
@requires_login
def own_tracking(request: HttpRequest, permissions: Permissions) -> HttpResponse:
    me = permissions.visitor.address
    return _tracking_page(request, permissions, "own-tracking", lambda address: address.lower() == me)


_TYPED = ["%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M", "%Y-%m-%d"]


def _datetime_input() -> forms.DateTimeInput:
    return forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M")


class PeriodForm(Form):
    """When the message came."""

    since = forms.DateTimeField(
        label=gettext_lazy("Came after"), required=False, input_formats=_TYPED, widget=_datetime_input()
    )
    until = forms.DateTimeField(
        label=gettext_lazy("Came before"), required=False, input_formats=_TYPED, widget=_datetime_input()
    )

    def find(self, q: str) -> list[MessageTrace]:
        """The messages that q names and that came within the span; without either none."""
        if not self.is_valid():
            return []
        since, until = (int(each.timestamp() * 1_000_000) if each else None for each in self.cleaned_data.values())
        return (
            message_trace.find_traces(q, since_us=since, until_us=until)
            if q or since is not None or until is not None
            else []
        )


def _tracking_page(
    request: HttpRequest, permissions: Permissions, section: str, ours: Callable[[str], bool]
) -> HttpResponse:
    q = list_page.search_term(request)
    with in_time_zone_of(permissions):
        form = PeriodForm({name: request.GET.get(name, "") for name in ("since", "until")})
        found = form.find(q)
    stories = [kept for each in found if (kept := _visible_to_owner(each, ours)) is not None]
    context = {
        "section": section,
        "q": q,
        "form": form,
        "asked": bool(q or form.changed_data),
        "stories": stories[::-1][:_AT_MOST],
        "more": max(0, len(stories) - _AT_MOST),
    }
    return render_page(request, permissions, "tracking", context, status=400 if form.errors else 200)


# What an owner does with their copy is not for the sender to see.
_OWNERS = ("moved", "deleted", "read")


def _visible_to_owner(told: MessageTrace, ours: Callable[[str], bool]) -> MessageTrace | None:
    """What may be shown of a message: its sender sees what became of it on the way, a recipient their own part."""
    sent = ours(told.sender)
    if not sent and not any(map(ours, told.recipients)):
        return None
    told.moments = [
        moment
        for moment in told.moments
        if not moment.address or ours(moment.address) or (sent and moment.kind not in _OWNERS)
    ]
    told.places = [place for place in told.places if ours(place.address)]
    return told
