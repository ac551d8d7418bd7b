"""Where is my mail? One answer for administrators (their domains' letters) and for everybody (their own)."""

from collections.abc import Callable

from django import forms
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_safe

from mailadmin import listing
from mailadmin.forms import Form
from mailadmin.pages.answers import in_zone_of, show
from mailadmin.permissions import Reach, own, seeing
from mailcore.models import Domain
from mailcore.post import story
from mailcore.post.story import Story
from mailcore.store import audit

_AT_MOST = 50  # letters on a page


@require_safe
@seeing
def tracking(request: HttpRequest, reach: Reach) -> HttpResponse:
    note_look(reach, listing.term(request))
    return _show(request, reach, "tracking", _ours(reach))


def note_look(reach: Reach, q: str) -> None:
    """Who follows the letters of an account that is theirs to see is on its owner's record."""
    if "@" in q and _ours(reach)(q):
        audit.looked([q], "tracking")


def _ours(reach: Reach) -> Callable[[str], bool]:
    """Which addresses are of the visitor's domains?"""
    if reach.domains is None:
        return lambda _: True
    names = set(Domain.objects.filter(pk__in=reach.domains).values_list("name", flat=True))
    return lambda address: address.rpartition("@")[2].lower() in names


def visible_to(reach: Reach, told: Story) -> Story | None:
    """What may be shown of a letter to an administrator; None: nothing."""
    return _visible(told, _ours(reach))


@require_safe
@own
def own_tracking(request: HttpRequest, reach: Reach) -> HttpResponse:
    me = reach.visitor.address
    return _show(request, reach, "own-tracking", lambda address: address.lower() == me)


_TYPED = ["%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M", "%Y-%m-%d"]


def _moment_input() -> forms.DateTimeInput:
    return forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M")


class SpanForm(Form):
    """When the letter came."""

    since = forms.DateTimeField(
        label=gettext_lazy("Came after"), required=False, input_formats=_TYPED, widget=_moment_input()
    )
    until = forms.DateTimeField(
        label=gettext_lazy("Came before"), required=False, input_formats=_TYPED, widget=_moment_input()
    )

    def find(self, q: str) -> list[Story]:
        """The letters that q names and that came within the span; without either none."""
        if not self.is_valid():
            return []
        since, until = (int(each.timestamp() * 1_000_000) if each else None for each in self.cleaned_data.values())
        return story.find(q, since_us=since, until_us=until) if q or since is not None or until is not None else []


def _show(request: HttpRequest, reach: Reach, section: str, ours: Callable[[str], bool]) -> HttpResponse:
    q = listing.term(request)
    with in_zone_of(reach):
        form = SpanForm({name: request.GET.get(name, "") for name in ("since", "until")})
        found = form.find(q)
    stories = [kept for each in found if (kept := _visible(each, ours)) is not None]
    context = {
        "section": section,
        "q": q,
        "form": form,
        "asked": bool(q or form.changed_data),
        "stories": stories[::-1][:_AT_MOST],
        "more": max(0, len(stories) - _AT_MOST),
    }
    return show(request, reach, "tracking", context, status=400 if form.errors else 200)


# What an owner does with their copy is not for the sender to see.
_OWNERS = ("moved", "deleted", "read")


def _visible(told: Story, ours: Callable[[str], bool]) -> Story | None:
    """What may be shown of a letter: its sender sees what became of it on the way, a recipient their own part."""
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
