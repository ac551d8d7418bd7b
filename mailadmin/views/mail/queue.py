"""The queue: the list of messages, one message with its recipients and history, and queue actions."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from email import message_from_bytes, policy

from django.core.cache import cache
from django.db.models import Count, Max, Q, QuerySet, Value
from django.db.models.functions import Lower, StrIndex, Substr
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.http import require_POST, require_safe

from mailadmin import list_page
from mailadmin.permissions import Permissions, requires_system_change, requires_system_view
from mailadmin.views.page_responses import redirect_with_notice, render_page
from mailcore import conf
from mailcore.logs import writer
from mailcore.models import Queued, Recipient
from mailcore.mta.history import message_trace
from mailcore.mta.queue import content_files, states
from mailcore.mta.workers import return_to_sender
from mailcore.store.db import audit

STATES = (
    Queued.State.ACTIVE, Queued.State.INCOMING, Queued.State.DEFERRED, Queued.State.HOLD, Queued.State.CORRUPT,
)  # fmt: skip
_COLUMNS = {"due": "due_us", "arrived": "received_us", "size": "size", "sender": "sender"}
_VALUES = ("pk", "state", "sender", "size", "received_us", "due_us")
_MAX_RECIPIENTS = 3  # recipients of a message in the list
_CHUNK = 500  # messages per transaction
_DESTINATIONS = 50
_DESTINATIONS_LIFETIME = 10  # seconds
_MAX_LOGGED_IDS = 50  # queue ids listed in the audit log

Act = Callable[[Sequence[int]], int]


# Queue actions of postsuper and postqueue: function, label of the button, text of the mail log.
_ACTIONS: dict[str, tuple[Act, object, str]] = {
    "flush": (states.flush, gettext_lazy("Deliver now"), "due at once"),
    "hold": (states.hold, gettext_lazy("Put on hold"), "placed on hold"),
    "release": (states.release, gettext_lazy("Release"), "released from hold"),
    "requeue": (states.requeue_many, gettext_lazy("Requeue"), "requeued"),
    "return": (return_to_sender.return_to_sender, gettext_lazy("Return to sender"), "returned to sender"),
    "delete": (states.remove, gettext_lazy("Delete"), "removed"),
}


# Irreversible actions and their consequences.
_IRREVERSIBLE = {
    "delete": gettext_lazy("They are deleted permanently; neither their senders nor their recipients are notified."),
    "return": gettext_lazy("Their senders receive a bounce, and the messages are removed from the queue."),
}


@require_safe
@requires_system_view
def queued_messages(request: HttpRequest, permissions: Permissions) -> HttpResponse:
    state, q = _parse_filter(request.GET)
    sorting = list_page.parse_sorting(request, _COLUMNS, "due")
    page = list_page.paginate(request, matching_messages(request.GET), _COLUMNS, sorting, _VALUES)
    counts = dict(Queued.unsettled.values_list("state").annotate(n=Count("pk")).order_by())
    context = {
        "section": "queue",
        "page": page,
        "rows": list(_with_recipients(page)),
        "q": q,
        "state": state,
        "states": [(each.value, each.label, counts.get(each.value, 0)) for each in STATES],
        "all": sum(counts.values()),
        "sorting": sorting,
        "actions": [(name, words) for name, (_act, words, _log_text) in _ACTIONS.items()],
    }
    return render_page(request, permissions, "queue", context)


def _parse_filter(query: QueryDict) -> tuple[str, str]:
    """Return state and search text from a list's URL or a form below it."""
    return list_page.parse_choice(query, "state", [each.value for each in STATES]), list_page.search_text(query)


def matching_messages(query: QueryDict) -> QuerySet[Queued]:
    """Return messages by state whose queue id, sender or waiting recipients match the search text."""
    state, q = _parse_filter(query)
    rows = Queued.unsettled.filter(state__in=[state] if state else STATES)
    if not q:
        return rows
    waiting = Recipient.objects.filter(state=Recipient.State.WAITING)
    by_recipient = waiting.filter(Q(address__icontains=q) | Q(reason__icontains=q)).values("queued_id")
    condition = Q(sender__icontains=q) | Q(pk__in=by_recipient)
    with contextlib.suppress(ValueError):
        condition |= Q(pk=content_files.parse_id(q))
    return rows.filter(condition)


def _with_recipients(page: Sequence[Queued]) -> Iterator[dict[str, object]]:
    found: dict[int, list[tuple[str, str]]] = {row.pk: [] for row in page}
    waiting = Recipient.objects.filter(queued_id__in=list(found), state=Recipient.State.WAITING).order_by("pk")
    for queued_id, address, reason in waiting.values_list("queued_id", "address", "reason"):
        found[queued_id].append((address, reason))
    for row in page:
        recipients = found[row.pk]
        yield {
            "id": row.pk,
            "queue_id": f"{row.pk:X}",
            "state": row.state,
            "sender": row.sender,
            "size": row.size,
            "arrived": row.received_us // states.MICRO,
            "due": row.due_us // states.MICRO,
            "recipients": recipients[:_MAX_RECIPIENTS],
            "more": max(0, len(recipients) - _MAX_RECIPIENTS),
        }


@require_safe
@requires_system_view
def queue_destinations(request: HttpRequest, permissions: Permissions) -> HttpResponse:
    """Show the domains with most waiting recipients, and one deferral reason of each."""
    rows: list[tuple[str, int, str]] | None = cache.get("mailadmin.destinations")
    if rows is None:
        rows = _largest_destinations()
        cache.set("mailadmin.destinations", rows, _DESTINATIONS_LIFETIME)
    context = {"section": "queue", "rows": rows[:_DESTINATIONS], "more": len(rows) > _DESTINATIONS}
    return render_page(request, permissions, "destinations", context)


def _largest_destinations() -> list[tuple[str, int, str]]:
    """Count waiting recipients by domain; the query reads all of them."""
    waiting = Recipient.objects.filter(state=Recipient.State.WAITING, queued__state__in=STATES)
    domain = Lower(Substr("address", StrIndex("address", Value("@")) + 1))
    fullest = waiting.annotate(domain=domain).values_list("domain").annotate(n=Count("pk"), example=Max("reason"))
    return list(fullest.order_by("-n", "domain")[: _DESTINATIONS + 1])


@require_safe
@requires_system_view
def queued_message(request: HttpRequest, permissions: Permissions, queue_id: str) -> HttpResponse:
    row = _find_queued(queue_id)
    audit.record_lookup([row.sender, *row.recipients.values_list("address", flat=True)], f"message:{row.pk:X}")
    [trace] = message_trace.find_traces(f"{row.pk:X}")[:1] or [None]
    context = {
        "section": "queue",
        "message": row,
        "queue_id": f"{row.pk:X}",
        "arrived": row.received_us // states.MICRO,
        "due": row.due_us // states.MICRO,
        "recipients": row.recipients.order_by("pk"),
        "moments": trace.moments if trace else [],
        "places": trace.places if trace else [],
        "headers": _read_headers(row),
        "actions": [(name, words) for name, (_act, words, _log_text) in _ACTIONS.items()]
        if row.state != "done"
        else [],
    }
    return render_page(request, permissions, "message", context)


def _find_queued(queue_id: str) -> Queued:
    try:
        return Queued.objects.get(pk=content_files.parse_id(queue_id))
    except (ValueError, OverflowError, Queued.DoesNotExist):
        raise Http404 from None


def _read_headers(row: Queued) -> list[tuple[str, str]]:
    """Return the header of a message whose content file exists; the body is not shown."""
    try:
        raw = content_files.read_header(row.pk, row.trace_size, conf.current().header_size_limit)
    except OSError:
        return []
    header = raw.partition(b"\r\n\r\n")[0]
    return [(name, str(value)) for name, value in message_from_bytes(header, policy=policy.compat32).items()]


@require_POST
@requires_system_change
def act_on_queue(request: HttpRequest, permissions: Permissions) -> HttpResponse:
    """Apply an action to selected messages or to all that match the filter, after a confirmation if irreversible."""
    name = request.POST.get("action", "")
    if name not in _ACTIONS:
        raise Http404
    if request.POST.get("all"):
        ids = list(matching_messages(request.POST).order_by("pk").values_list("pk", flat=True))
    else:
        ids = [int(value) for value in request.POST.getlist("id") if value.isdecimal() and len(value) < 19]
    if name in _IRREVERSIBLE and "sure" not in request.POST and ids:
        context = {
            "section": "queue",
            "action": name,
            "words": _ACTIONS[name][1],
            "what": _IRREVERSIBLE[name],
            "count": len(ids),
            "ids": [] if request.POST.get("all") else ids,
            "everything": bool(request.POST.get("all")),
            "state": request.POST.get("state", ""),
            "q": request.POST.get("q", ""),
        }
        return render_page(request, permissions, "queue_sure", context)
    count = apply_action(name, ids)
    words = ngettext("Done for %(n)d message.", "Done for %(n)d messages.", count) % {"n": count}
    return redirect_with_notice(
        request, permissions, words if count else _("There was no message this can be done to."), "mailadmin:queue"
    )


def apply_action(name: str, ids: Sequence[int]) -> int:
    """Apply an action to messages; return how many it changed.

    The audit log and the mail log name the user.
    """
    action, _words, done = _ACTIONS[name]
    count = sum(action(ids[start : start + _CHUNK]) for start in range(0, len(ids), _CHUNK))
    if count:
        audit.record_change(
            "queue.act", done, {}, {"messages": count, "ids": [f"{each:X}" for each in ids[:_MAX_LOGGED_IDS]]}
        )
    writer.write("mailadmin", f"{audit.current_author().name}: {count} messages {done}")
    return count
