"""Message tracking, for administrators (messages of their domains) and for users (their own)."""

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

_MAX_SHOWN = 50  # messages on a page


@require_safe
@requires_view
def mail_tracking(request: HttpRequest, permissions: Permissions) -> HttpResponse:
    audit_lookup(permissions, list_page.search_term(request))
    return _tracking_page(request, permissions, "tracking", _own_addresses(permissions))


def audit_lookup(permissions: Permissions, q: str) -> None:
    """Record in the audit log that the messages of an account were looked up, visible to its owner."""
    if "@" in q and _own_addresses(permissions)(q):
        audit.record_lookup([q], "tracking")


def _own_addresses(permissions: Permissions) -> Callable[[str], bool]:
    """Return a predicate for addresses in the user's domains."""
    if permissions.domains is None:
        return lambda _: True
    names = set(Domain.objects.filter(pk__in=permissions.domains).values_list("name", flat=True))
    return lambda address: address.rpartition("@")[2].lower() in names


def visible_to_administrator(permissions: Permissions, trace: MessageTrace) -> MessageTrace | None:
    """Return what an administrator may see of a message's history, or None."""
    return _visible_to_owner(trace, _own_addresses(permissions))


@require_safe
@requires_login
def own_tracking(request: HttpRequest, permissions: Permissions) -> HttpResponse:
    address_of_user = permissions.visitor.address
    return _tracking_page(request, permissions, "own-tracking", lambda address: address.lower() == address_of_user)


_INPUT_FORMATS = ["%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M", "%Y-%m-%d"]


def _datetime_input() -> forms.DateTimeInput:
    return forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M")


class PeriodForm(Form):
    """The period in which messages arrived."""

    since = forms.DateTimeField(
        label=gettext_lazy("Came after"), required=False, input_formats=_INPUT_FORMATS, widget=_datetime_input()
    )
    until = forms.DateTimeField(
        label=gettext_lazy("Came before"), required=False, input_formats=_INPUT_FORMATS, widget=_datetime_input()
    )

    def find(self, q: str) -> list[MessageTrace]:
        """Return the messages that match `q` and arrived in the period; none if both are empty."""
        if not self.is_valid():
            return []
        since, until = (int(each.timestamp() * 1_000_000) if each else None for each in self.cleaned_data.values())
        return (
            message_trace.find_traces(q, since_us=since, until_us=until)
            if q or since is not None or until is not None
            else []
        )


def _tracking_page(
    request: HttpRequest, permissions: Permissions, section: str, is_own: Callable[[str], bool]
) -> HttpResponse:
    q = list_page.search_term(request)
    with in_time_zone_of(permissions):
        form = PeriodForm({name: request.GET.get(name, "") for name in ("since", "until")})
        traces_found = form.find(q)
    traces = [visible for each in traces_found if (visible := _visible_to_owner(each, is_own)) is not None]
    context = {
        "section": section,
        "q": q,
        "form": form,
        "asked": bool(q or form.changed_data),
        "stories": traces[::-1][:_MAX_SHOWN],
        "more": max(0, len(traces) - _MAX_SHOWN),
    }
    return render_page(request, permissions, "tracking", context, status=400 if form.errors else 200)


# A sender does not see what owners do with their copies.
_PRIVATE_EVENTS = ("moved", "deleted", "read")


def _visible_to_owner(trace: MessageTrace, is_own: Callable[[str], bool]) -> MessageTrace | None:
    """Return what a user may see of a message's history: senders its delivery, recipients their own part.

    Return None if the user is neither. The trace is modified.
    """
    sent = is_own(trace.sender)
    if not sent and not any(map(is_own, trace.recipients)):
        return None
    trace.moments = [
        moment
        for moment in trace.moments
        if not moment.address or is_own(moment.address) or (sent and moment.kind not in _PRIVATE_EVENTS)
    ]
    trace.places = [place for place in trace.places if is_own(place.address)]
    return trace
