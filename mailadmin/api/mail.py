"""Letters on their way, as the API has them: the queue, where one is, what would become of one, the log."""

from collections.abc import Mapping
from typing import Any

from django.http import QueryDict

from mailadmin import listing
from mailadmin.api.answers import PAGE, Answer, Missing, listed, whole
from mailadmin.pages import maillog as log_pages
from mailadmin.pages import queue as queue_pages
from mailadmin.pages.simulator import QuestionForm
from mailadmin.pages.tracking import SpanForm, note_look, visible_to
from mailadmin.permissions import Reach
from mailcore import logfile
from mailcore.models import Queued
from mailcore.post import files
from mailcore.post.explain import Node
from mailcore.store import audit
from mailcore.store.directory import Problem


def _queued(row: Queued) -> dict[str, object]:
    return {
        "queue_id": f"{row.pk:X}",
        "state": row.state,
        "sender": row.sender,
        "size": row.size,
        "received_us": row.received_us,
        "due_us": row.due_us,
        "message_id": row.message_id,
    }


def list_queue(reach: Reach, given: Mapping[str, Any], query: QueryDict) -> Answer:
    return listed(queue_pages.matching(query).order_by("pk"), query, _queued)


def show_letter(reach: Reach, given: Mapping[str, Any], query: QueryDict, queue_id: str) -> Answer:
    try:
        row = Queued.objects.get(pk=files.parse_id(queue_id))
    except (ValueError, OverflowError, Queued.DoesNotExist):
        raise Missing from None
    audit.looked([row.sender, *row.recipients.values_list("address", flat=True)], f"letter:{row.pk:X}")
    recipients = [
        {"address": each.address, "state": each.state, "dsn": each.dsn, "relay": each.relay, "reason": each.reason}
        for each in row.recipients.order_by("pk")
    ]
    return Answer({**_queued(row), "recipients": recipients})


def act(reach: Reach, given: Mapping[str, Any], query: QueryDict) -> Answer:
    ids = [int(each, 16) for each in given["ids"]]
    if any(each >= 2**63 for each in ids):
        raise Missing
    return Answer({"letters": queue_pages.do(str(given["action"]), ids)})


def track(reach: Reach, given: Mapping[str, Any], query: QueryDict) -> Answer:
    q = listing.words(query)
    form = SpanForm({name: query.get(name, "") for name in ("since", "until")})
    if not form.is_valid():
        raise Problem({name: " ".join(map(str, errors)) for name, errors in form.errors.items()})
    note_look(reach, q)
    found = [told for each in form.find(q) if (told := visible_to(reach, each)) is not None]
    items = [
        {
            "queue_id": each.queue_id,
            "sender": each.sender,
            "recipients": list(each.recipients),
            "moments": [
                {"at_us": moment.at_us, "kind": moment.kind, "address": moment.address, "text": moment.text}
                for moment in each.moments
            ],
        }
        for each in found[-PAGE:]
    ]
    return whole(items)


def read_log(reach: Reach, given: Mapping[str, Any], query: QueryDict) -> Answer:
    level = listing.one_of(query, "level", logfile.LEVELS)
    return whole([{"level": level, "line": line} for level, line in log_pages.last_lines(listing.words(query), level)])


def try_letter(reach: Reach, given: Mapping[str, Any], query: QueryDict) -> Answer:
    form = QuestionForm({**given, "client": given.get("client", "203.0.113.1")})
    if not form.is_valid():
        raise Problem({name: " ".join(map(str, errors)) for name, errors in form.errors.items()})
    found = form.answer()
    return Answer(
        {
            "accepted": found.accepted,
            "reply": str(found.reply),
            "steps": [
                {"parameter": each.parameter, "restriction": each.restriction, "result": each.result}
                for each in found.steps
            ],
            "destination": _node(found.tree) if found.tree else None,
        }
    )


def _node(node: Node) -> dict[str, object]:
    return {
        "address": node.address,
        "kind": node.kind,
        "where": node.where,
        "full": bool(node.quota),
        "children": [_node(each) for each in node.children],
    }
