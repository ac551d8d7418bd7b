"""The first page: how much there is, what waits, and whether everything answers."""

import socket
from collections.abc import Iterator
from dataclasses import dataclass

from django.conf import settings
from django.core.cache import cache
from django.db.models import Count, Q, Sum
from django.http import HttpRequest, HttpResponse
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from mailadmin import attention, charts, listing
from mailadmin.pages.answers import show
from mailadmin.permissions import Reach, seeing
from mailcore import conf
from mailcore.conf.interfaces import reached_at
from mailcore.models import Account, Queued
from mailcore.post import files, queue, traffic
from mailcore.store import news

_STATES = (
    Queued.State.ACTIVE, Queued.State.INCOMING, Queued.State.DEFERRED, Queued.State.HOLD, Queued.State.CORRUPT,
)  # fmt: skip
_ANSWER_WITHIN = 0.3  # seconds
_ASK_EVERY = 15  # seconds
_LOOK_EVERY = 60  # seconds


@dataclass(frozen=True, slots=True)
class Service:
    name: str
    port: int | None
    answers: bool


@require_safe
@seeing
def dashboard(request: HttpRequest, reach: Reach) -> HttpResponse:
    accounts = reach.see_accounts().aggregate(
        count=Count("pk"),
        octets=Sum("used_bytes"),
        messages=Sum("used_messages"),
        closed=Count("pk", filter=~Q(state=Account.State.ACTIVE)),
    )
    context: dict[str, object] = {
        "section": "dashboard",
        "accounts": accounts,
        "domains": reach.see_domains().count(),
        "aliases": reach.see_aliases().count(),
    }
    context["findings"] = _findings(reach)
    if reach.system:
        traffic.count()
        span = listing.choice(request, "span", list(charts.SPANS)) or "day"
        context |= {"chart": charts.chart(span), "span": span, "reasons": _reasons()}
        context |= {"queue": _queue(), "settled": _settled_today(), "services": _services()}
        context["waiting"] = traffic.waiting()
    return show(request, reach, "dashboard", context)


def _findings(reach: Reach) -> list[attention.Finding]:
    """Looked for once a minute for each visitor, in their language."""
    key = f"mailadmin.findings.{reach.visitor.pk}.{get_language()}"
    found: list[attention.Finding] | None = cache.get(key)
    if found is None:
        found = attention.findings(reach)
        cache.set(key, found, _LOOK_EVERY)
    return found


def _reasons() -> list[tuple[str, int]]:
    found: list[tuple[str, int]] | None = cache.get("mailadmin.reasons")
    if found is None:
        found = attention.deferred_reasons()
        cache.set("mailadmin.reasons", found, _LOOK_EVERY)
    return found


def _queue() -> list[tuple[str, str, int]]:
    """(state, its name, letters), every state in the queue listing's order."""
    counts = dict(Queued.unsettled.values_list("state").annotate(n=Count("pk")).order_by())
    return [(state.value, str(state.label), counts.get(state.value, 0)) for state in _STATES]


def _settled_today() -> int:
    """Letters that came within a day and have left the queue."""
    came = files.id_at(queue.now_us() - 86400 * queue.MICRO)
    return Queued.objects.filter(id__gte=came, settled_us__isnull=False).count()


def _services() -> list[Service]:
    """Every listener this installation has switched on, and whether it takes connections."""
    key = f"mailadmin.services.{get_language()}"
    found: list[Service] | None = cache.get(key)
    if found is None:
        found = list(_ask())
        cache.set(key, found, _ASK_EVERY)
    return found


def _ask() -> Iterator[Service]:
    if not settings.REDIS_URL:  # else Celery's workers deliver, wherever they are
        yield Service(_("couriers"), None, news.listeners(news.COURIERS) > 0)
    for name, port in settings.PORTS.items():
        if port is not None:
            try:
                with socket.create_connection((reached_at(name, conf.current()), port), _ANSWER_WITHIN):
                    yield Service(name, port, True)
            except OSError:
                yield Service(name, port, False)
