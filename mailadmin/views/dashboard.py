"""The dashboard: counts, queue, warnings, statistics, and which services respond."""

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

from mailadmin import charts, list_page, system_warnings
from mailadmin.permissions import Permissions, requires_view
from mailadmin.views.page_responses import render_page
from mailcore import conf
from mailcore.conf.interfaces import local_address
from mailcore.models import Account, Queued
from mailcore.mta.history import statistics
from mailcore.mta.queue import content_files, states
from mailcore.store.notify import notifications

_STATES = (
    Queued.State.ACTIVE, Queued.State.INCOMING, Queued.State.DEFERRED, Queued.State.HOLD, Queued.State.CORRUPT,
)  # fmt: skip
_CONNECT_TIMEOUT = 0.3  # seconds to connect to a service
_SERVICES_LIFETIME = 15  # seconds
_WARNINGS_LIFETIME = 60  # seconds


@dataclass(frozen=True, slots=True)
class Service:
    name: str
    port: int | None
    answers: bool


@require_safe
@requires_view
def dashboard(request: HttpRequest, permissions: Permissions) -> HttpResponse:
    accounts = permissions.visible_accounts().aggregate(
        count=Count("pk"),
        used_bytes=Sum("used_bytes"),
        messages=Sum("used_messages"),
        closed=Count("pk", filter=~Q(state=Account.State.ACTIVE)),
    )
    context: dict[str, object] = {
        "section": "dashboard",
        "accounts": accounts,
        "domains": permissions.visible_domains().count(),
        "aliases": permissions.visible_aliases().count(),
    }
    context["findings"] = _cached_warnings(permissions)
    if permissions.system:
        statistics.count_log()
        span = list_page.query_choice(request, "span", list(charts.SPANS)) or "day"
        context |= {"chart": charts.build_chart(span), "span": span, "reasons": _cached_deferral_reasons()}
        context |= {"queue": _queue_counts(), "settled": _completed_today(), "services": _check_services()}
        context["waiting"] = statistics.waiting_counts()
    return render_page(request, permissions, "dashboard", context)


def _cached_warnings(permissions: Permissions) -> list[system_warnings.SystemWarning]:
    """Return the warnings, cached for a minute per user and language."""
    key = f"mailadmin.findings.{permissions.visitor.pk}.{get_language()}"
    found: list[system_warnings.SystemWarning] | None = cache.get(key)
    if found is None:
        found = system_warnings.find_warnings(permissions)
        cache.set(key, found, _WARNINGS_LIFETIME)
    return found


def _cached_deferral_reasons() -> list[tuple[str, int]]:
    found: list[tuple[str, int]] | None = cache.get("mailadmin.reasons")
    if found is None:
        found = system_warnings.deferred_reasons()
        cache.set("mailadmin.reasons", found, _WARNINGS_LIFETIME)
    return found


def _queue_counts() -> list[tuple[str, str, int]]:
    """Return (state, label, messages) for every state, in the order of the queue page."""
    counts = dict(Queued.unsettled.values_list("state").annotate(n=Count("pk")).order_by())
    return [(state.value, str(state.label), counts.get(state.value, 0)) for state in _STATES]


def _completed_today() -> int:
    """Return how many messages arrived within 24 hours and have left the queue."""
    first_id = content_files.first_id_at(states.now_us() - 86400 * states.MICRO)
    return Queued.objects.filter(id__gte=first_id, settled_us__isnull=False).count()


def _check_services() -> list[Service]:
    """Return every enabled listener and whether it accepts connections, cached for 15 seconds."""
    key = f"mailadmin.services.{get_language()}"
    found: list[Service] | None = cache.get(key)
    if found is None:
        found = list(_probe_services())
        cache.set(key, found, _SERVICES_LIFETIME)
    return found


def _probe_services() -> Iterator[Service]:
    if not settings.REDIS_URL:  # with Redis, Celery workers deliver, on any machine
        yield Service(_("couriers"), None, notifications.count_listeners(notifications.COURIERS) > 0)
    for name, port in settings.PORTS.items():
        if port is not None:
            try:
                with socket.create_connection((local_address(name, conf.current()), port), _CONNECT_TIMEOUT):
                    yield Service(name, port, True)
            except OSError:
                yield Service(name, port, False)
