"""The queue: what waits and why, one message in full, and what can be done about it."""

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
_SHOWN = 3  # recipients of a message in the list
_CHUNK = 500  # messages of one transaction
_DESTINATIONS = 50
_COUNT_EVERY = 10  # seconds
_NOTED = 50  # queue ids the audit names

Act = Callable[[Sequence[int]], int]


# What is done with messages: postsuper's moves and postqueue's; the word on the button; said in the mail log.
_ACTIONS: dict[str, tuple[Act, object, str]] = {
    "flush": (states.flush, gettext_lazy("Deliver now"), "due at once"),
    "hold": (states.hold, gettext_lazy("Put on hold"), "placed on hold"),
    "release": (states.release, gettext_lazy("Release"), "released from hold"),
    "requeue": (states.requeue_many, gettext_lazy("Requeue"), "requeued"),
    "return": (return_to_sender.return_to_sender, gettext_lazy("Return to sender"), "returned to sender"),
    "delete": (states.remove, gettext_lazy("Delete"), "removed"),
}


# What cannot be taken back, and what it means.
_FOR_GOOD = {
    "delete": gettext_lazy("They are gone for good, and nobody is told: neither their senders nor their recipients."),
    "return": gettext_lazy("Their senders are told that they could not be delivered, and they leave the queue."),
}


@require_safe
@requires_system_view
def queued_messages(request: HttpRequest, permissions: Permissions) -> HttpResponse:
    state, q = _parse_filter(request.GET)
    chosen = list_page.parse_sorting(request, _COLUMNS, "due")
    page = list_page.paginate(request, matching_messages(request.GET), _COLUMNS, chosen, _VALUES)
    counts = dict(Queued.unsettled.values_list("state").annotate(n=Count("pk")).order_by())
    context = {
        "section": "queue",
        "page": page,
        "rows": list(_with_recipients(page)),
        "q": q,
        "state": state,
        "states": [(each.value, each.label, counts.get(each.value, 0)) for each in STATES],
        "all": sum(counts.values()),
        "sorting": chosen,
        "actions": [(name, words) for name, (_act, words, _said) in _ACTIONS.items()],
    }
    return render_page(request, permissions, "queue", context)


def _parse_filter(given: QueryDict) -> tuple[str, str]:
    """State and search term, of the list's address or of a form below it."""
    return list_page.parse_choice(given, "state", [each.value for each in STATES]), list_page.search_text(given)


def matching_messages(given: QueryDict) -> QuerySet[Queued]:
    """The messages of one state, or of all, that a queue id, a sender or a waiting recipient names."""
    state, q = _parse_filter(given)
    rows = Queued.unsettled.filter(state__in=[state] if state else STATES)
    if not q:
        return rows
    waiting = Recipient.objects.filter(state=Recipient.State.WAITING)
    named = waiting.filter(Q(address__icontains=q) | Q(reason__icontains=q)).values("queued_id")
    wanted = Q(sender__icontains=q) | Q(pk__in=named)
    with contextlib.suppress(ValueError):
        wanted |= Q(pk=content_files.parse_id(q))
    return rows.filter(wanted)


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
            "recipients": recipients[:_SHOWN],
            "more": max(0, len(recipients) - _SHOWN),
        }


@require_safe
@requires_system_view
def queue_destinations(request: HttpRequest, permissions: Permissions) -> HttpResponse:
    """Where the waiting mail is bound for, the fullest first, and something that was said there."""
    rows: list[tuple[str, int, str]] | None = cache.get("mailadmin.destinations")
    if rows is None:
        rows = _largest_destinations()
        cache.set("mailadmin.destinations", rows, _COUNT_EVERY)
    context = {"section": "queue", "rows": rows[:_DESTINATIONS], "more": len(rows) > _DESTINATIONS}
    return render_page(request, permissions, "destinations", context)


def _largest_destinations() -> list[tuple[str, int, str]]:
    """Looks at everybody who waits."""
    waiting = Recipient.objects.filter(state=Recipient.State.WAITING, queued__state__in=STATES)
    domain = Lower(Substr("address", StrIndex("address", Value("@")) + 1))
    fullest = waiting.annotate(domain=domain).values_list("domain").annotate(n=Count("pk"), said=Max("reason"))
    return list(fullest.order_by("-n", "domain")[: _DESTINATIONS + 1])


@require_safe
@requires_system_view
def queued_message(request: HttpRequest, permissions: Permissions, queue_id: str) -> HttpResponse:
    row = _find_queued(queue_id)
    audit.record_lookup([row.sender, *row.recipients.values_list("address", flat=True)], f"message:{row.pk:X}")
    [told] = message_trace.find_traces(f"{row.pk:X}")[:1] or [None]
    context = {
        "section": "queue",
        "message": row,
        "queue_id": f"{row.pk:X}",
        "arrived": row.received_us // states.MICRO,
        "due": row.due_us // states.MICRO,
        "recipients": row.recipients.order_by("pk"),
        "moments": told.moments if told else [],
        "places": told.places if told else [],
        "headers": _read_headers(row),
        "actions": [(name, words) for name, (_act, words, _said) in _ACTIONS.items()] if row.state != "done" else [],
    }
    return render_page(request, permissions, "message", context)


def _find_queued(queue_id: str) -> Queued:
    try:
        return Queued.objects.get(pk=content_files.parse_id(queue_id))
    except (ValueError, OverflowError, Queued.DoesNotExist):
        raise Http404 from None


def _read_headers(row: Queued) -> list[tuple[str, str]]:
    """The header of a message that is still here; its text is nobody's business."""
    try:
        raw = content_files.read_header(row.pk, row.trace_size, conf.current().header_size_limit)
    except OSError:
        return []
    header = raw.partition(b"\r\n\r\n")[0]
    return [(name, str(value)) for name, value in message_from_bytes(header, policy=policy.compat32).items()]


@require_POST
@requires_system_change
def act_on_queue(request: HttpRequest, permissions: Permissions) -> HttpResponse:
    """Do one thing to the chosen messages, or to all that the list's filter matches; what is for good only after
    having said what it does."""
    name = request.POST.get("action", "")
    if name not in _ACTIONS:
        raise Http404
    if request.POST.get("all"):
        ids = list(matching_messages(request.POST).order_by("pk").values_list("pk", flat=True))
    else:
        ids = [int(value) for value in request.POST.getlist("id") if value.isdecimal() and len(value) < 19]
    if name in _FOR_GOOD and "sure" not in request.POST and ids:
        context = {
            "section": "queue",
            "action": name,
            "words": _ACTIONS[name][1],
            "what": _FOR_GOOD[name],
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
    """Do one thing to messages; how many it was done to. In the audit and in the mail log it is said who did."""
    action, _words, said = _ACTIONS[name]
    count = sum(action(ids[start : start + _CHUNK]) for start in range(0, len(ids), _CHUNK))
    if count:
        audit.record_change("queue.act", said, {}, {"messages": count, "ids": [f"{each:X}" for each in ids[:_NOTED]]})
    writer.write("mailadmin", f"{audit.current_author().name}: {count} messages {said}")
    return count
