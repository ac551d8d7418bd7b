"""A user's searches: the recent ones, and those saved under a name."""

from django.db.models import QuerySet
from django.utils import timezone

from webmail.models import Search
from webmail.searching.query import LONGEST

RECENT = 8
MAX_SAVED = 100


def recent_searches(owner: str) -> QuerySet[Search]:
    return Search.objects.filter(owner=owner, name="").order_by("-used")[:RECENT]


def saved_searches(owner: str) -> QuerySet[Search]:
    return Search.objects.filter(owner=owner).exclude(name="").order_by("name")


def record_search(owner: str, query: str) -> None:
    """Record a search as the most recent one; only the last RECENT are stored."""
    if not Search.objects.filter(owner=owner, name="", query=query).update(used=timezone.now()):
        Search.objects.create(owner=owner, name="", query=query[:LONGEST])
        old = (
            Search.objects.filter(owner=owner, name="")
            .order_by("-used")
            .values_list("pk", flat=True)[RECENT : RECENT + 50]
        )
        Search.objects.filter(pk__in=list(old)).delete()


def save_search(owner: str, name: str, query: str) -> None:
    """Save a search under a name, replacing one with that name."""
    name, query = " ".join(name.split())[:100] or query[:100], query[:LONGEST]
    if not query or saved_searches(owner).count() >= MAX_SAVED:
        return
    if not Search.objects.filter(owner=owner, name=name).update(query=query, used=timezone.now()):
        Search.objects.create(owner=owner, name=name, query=query)


def remove_search(owner: str, number: str) -> None:
    if number.isdecimal() and len(number) < 18:
        Search.objects.filter(owner=owner, pk=int(number)).delete()


def clear_recent(owner: str) -> None:
    """Delete the recent searches."""
    Search.objects.filter(owner=owner, name="").delete()
