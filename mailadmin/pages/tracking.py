"""Where is my mail? One answer for administrators (their domains' letters) and for everybody (their own)."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from mailadmin import listing
from mailadmin.pages.answers import show
from mailadmin.permissions import Reach, own, seeing
from mailcore.models import Domain
from mailcore.post import story
from mailcore.post.story import Story

_AT_MOST = 50  # letters on a page


@require_safe
@seeing
def tracking(request: HttpRequest, reach: Reach) -> HttpResponse:
    return _show(request, reach, "tracking", _ours(reach))


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


def _show(request: HttpRequest, reach: Reach, section: str, ours: Callable[[str], bool]) -> HttpResponse:
    q = listing.term(request)
    stories = [kept for each in story.find(q) if (kept := _visible(each, ours)) is not None] if q else []
    context = {
        "section": section,
        "q": q,
        "stories": stories[::-1][:_AT_MOST],
        "more": max(0, len(stories) - _AT_MOST),
    }
    return show(request, reach, "tracking", context)


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
