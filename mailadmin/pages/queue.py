"""The queue: what waits and why, one letter in full, and what can be done about it."""

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

from mailadmin import listing
from mailadmin.pages.answers import done, show
from mailadmin.permissions import Reach, changing_system, seeing_system
from mailcore import conf, log
from mailcore.models import Queued, Recipient
from mailcore.post import files, giveup, queue, story
from mailcore.store import audit

STATES = (
    Queued.State.ACTIVE, Queued.State.INCOMING, Queued.State.DEFERRED, Queued.State.HOLD, Queued.State.CORRUPT,
)  # fmt: skip
_COLUMNS = {"due": "due_us", "arrived": "received_us", "size": "size", "sender": "sender"}
_VALUES = ("pk", "state", "sender", "size", "received_us", "due_us")
_SHOWN = 3  # recipients of a letter in the list
_CHUNK = 500  # letters of one transaction
_DESTINATIONS = 50
_COUNT_EVERY = 10  # seconds
_NOTED = 50  # queue ids the audit names

Act = Callable[[Sequence[int]], int]


# What is done with letters: postsuper's moves and postqueue's; the word on the button; said in the mail log.
_ACTIONS: dict[str, tuple[Act, object, str]] = {
    "flush": (queue.flush, gettext_lazy("Deliver now"), "due at once"),
    "hold": (queue.hold, gettext_lazy("Put on hold"), "placed on hold"),
    "release": (queue.release, gettext_lazy("Release"), "released from hold"),
    "requeue": (queue.requeue_many, gettext_lazy("Requeue"), "requeued"),
    "return": (giveup.return_now, gettext_lazy("Return to sender"), "returned to sender"),
    "delete": (queue.remove, gettext_lazy("Delete"), "removed"),
}


# What cannot be taken back, and what it means.
_FOR_GOOD = {
    "delete": gettext_lazy("They are gone for good, and nobody is told: neither their senders nor their recipients."),
    "return": gettext_lazy("Their senders are told that they could not be delivered, and they leave the queue."),
}


@require_safe
@seeing_system
def letters(request: HttpRequest, reach: Reach) -> HttpResponse:
    state, q = _filter(request.GET)
    chosen = listing.sorting(request, _COLUMNS, "due")
    page = listing.page(request, matching(request.GET), _COLUMNS, chosen, _VALUES)
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
    return show(request, reach, "queue", context)


def _filter(given: QueryDict) -> tuple[str, str]:
    """State and search term, of the list's address or of a form below it."""
    return listing.one_of(given, "state", [each.value for each in STATES]), listing.words(given)


def matching(given: QueryDict) -> QuerySet[Queued]:
    """The letters of one state, or of all, that a queue id, a sender or a waiting recipient names."""
    state, q = _filter(given)
    rows = Queued.unsettled.filter(state__in=[state] if state else STATES)
    if not q:
        return rows
    waiting = Recipient.objects.filter(state=Recipient.State.WAITING)
    named = waiting.filter(Q(address__icontains=q) | Q(reason__icontains=q)).values("letter_id")
    wanted = Q(sender__icontains=q) | Q(pk__in=named)
    with contextlib.suppress(ValueError):
        wanted |= Q(pk=files.parse_id(q))
    return rows.filter(wanted)


def _with_recipients(page: Sequence[Queued]) -> Iterator[dict[str, object]]:
    found: dict[int, list[tuple[str, str]]] = {row.pk: [] for row in page}
    waiting = Recipient.objects.filter(letter_id__in=list(found), state=Recipient.State.WAITING).order_by("pk")
    for letter_id, address, reason in waiting.values_list("letter_id", "address", "reason"):
        found[letter_id].append((address, reason))
    for row in page:
        recipients = found[row.pk]
        yield {
            "id": row.pk,
            "queue_id": f"{row.pk:X}",
            "state": row.state,
            "sender": row.sender,
            "size": row.size,
            "arrived": row.received_us // queue.MICRO,
            "due": row.due_us // queue.MICRO,
            "recipients": recipients[:_SHOWN],
            "more": max(0, len(recipients) - _SHOWN),
        }


@require_safe
@seeing_system
def destinations(request: HttpRequest, reach: Reach) -> HttpResponse:
    """Where the waiting mail is bound for, the fullest first, and something that was said there."""
    rows: list[tuple[str, int, str]] | None = cache.get("mailadmin.destinations")
    if rows is None:
        rows = _fullest()
        cache.set("mailadmin.destinations", rows, _COUNT_EVERY)
    context = {"section": "queue", "rows": rows[:_DESTINATIONS], "more": len(rows) > _DESTINATIONS}
    return show(request, reach, "destinations", context)


def _fullest() -> list[tuple[str, int, str]]:
    """Looks at everybody who waits."""
    waiting = Recipient.objects.filter(state=Recipient.State.WAITING, letter__state__in=STATES)
    domain = Lower(Substr("address", StrIndex("address", Value("@")) + 1))
    fullest = waiting.annotate(domain=domain).values_list("domain").annotate(n=Count("pk"), said=Max("reason"))
    return list(fullest.order_by("-n", "domain")[: _DESTINATIONS + 1])


@require_safe
@seeing_system
def letter(request: HttpRequest, reach: Reach, queue_id: str) -> HttpResponse:
    row = _row(queue_id)
    audit.looked([row.sender, *row.recipients.values_list("address", flat=True)], f"letter:{row.pk:X}")
    [told] = story.find(f"{row.pk:X}")[:1] or [None]
    context = {
        "section": "queue",
        "letter": row,
        "queue_id": f"{row.pk:X}",
        "arrived": row.received_us // queue.MICRO,
        "due": row.due_us // queue.MICRO,
        "recipients": row.recipients.order_by("pk"),
        "moments": told.moments if told else [],
        "places": told.places if told else [],
        "headers": _headers(row),
        "actions": [(name, words) for name, (_act, words, _said) in _ACTIONS.items()] if row.state != "done" else [],
    }
    return show(request, reach, "letter", context)


def _row(queue_id: str) -> Queued:
    try:
        return Queued.objects.get(pk=files.parse_id(queue_id))
    except (ValueError, OverflowError, Queued.DoesNotExist):
        raise Http404 from None


def _headers(row: Queued) -> list[tuple[str, str]]:
    """The header of a letter that is still here; its text is nobody's business."""
    try:
        raw = files.header(row.pk, row.trace_size, conf.current().header_size_limit)
    except OSError:
        return []
    header = raw.partition(b"\r\n\r\n")[0]
    return [(name, str(value)) for name, value in message_from_bytes(header, policy=policy.compat32).items()]


@require_POST
@changing_system
def act(request: HttpRequest, reach: Reach) -> HttpResponse:
    """Do one thing to the chosen letters, or to all that the list's filter matches; what is for good only after
    having said what it does."""
    name = request.POST.get("action", "")
    if name not in _ACTIONS:
        raise Http404
    if request.POST.get("all"):
        ids = list(matching(request.POST).order_by("pk").values_list("pk", flat=True))
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
        return show(request, reach, "queue_sure", context)
    count = do(name, ids)
    words = ngettext("Done for %(n)d letter.", "Done for %(n)d letters.", count) % {"n": count}
    return done(request, reach, words if count else _("There was no letter this can be done to."), "mailadmin:queue")


def do(name: str, ids: Sequence[int]) -> int:
    """Do one thing to letters; how many it was done to. In the audit and in the mail log it is said who did."""
    action, _words, said = _ACTIONS[name]
    count = sum(action(ids[start : start + _CHUNK]) for start in range(0, len(ids), _CHUNK))
    if count:
        audit.note("queue.act", said, {}, {"letters": count, "ids": [f"{each:X}" for each in ids[:_NOTED]]})
    log.write("mailadmin", f"{audit.author().name}: {count} letters {said}")
    return count
