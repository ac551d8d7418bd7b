"""API operations for mail in transit: queue, message tracking, delivery simulation, mail log."""

from collections.abc import Mapping
from typing import Any

from django.http import QueryDict

from mailadmin import list_page
from mailadmin.api.responses import PAGE_SIZE, ApiResponse, NotFound, paginate_rows, single_page
from mailadmin.permissions import Permissions
from mailadmin.views.mail import log_viewer as log_pages
from mailadmin.views.mail import queue as queue_pages
from mailadmin.views.mail.mail_tracking import PeriodForm, audit_lookup, visible_to_administrator
from mailadmin.views.mail.simulator import SimulationForm
from mailcore.logs import reader
from mailcore.models import Queued
from mailcore.mta.policy.explain import Node
from mailcore.mta.queue import content_files
from mailcore.store.db import audit
from mailcore.store.directory import DirectoryError


def _serialize_queued(row: Queued) -> dict[str, object]:
    return {
        "queue_id": f"{row.pk:X}",
        "state": row.state,
        "sender": row.sender,
        "size": row.size,
        "received_us": row.received_us,
        "due_us": row.due_us,
        "message_id": row.message_id,
    }


def list_queue(permissions: Permissions, given: Mapping[str, Any], query: QueryDict) -> ApiResponse:
    return paginate_rows(queue_pages.matching_messages(query).order_by("pk"), query, _serialize_queued)


def show_message(permissions: Permissions, given: Mapping[str, Any], query: QueryDict, queue_id: str) -> ApiResponse:
    try:
        row = Queued.objects.get(pk=content_files.parse_id(queue_id))
    except (ValueError, OverflowError, Queued.DoesNotExist):
        raise NotFound from None
    audit.record_lookup([row.sender, *row.recipients.values_list("address", flat=True)], f"message:{row.pk:X}")
    recipients = [
        {"address": each.address, "state": each.state, "dsn": each.dsn, "relay": each.relay, "reason": each.reason}
        for each in row.recipients.order_by("pk")
    ]
    return ApiResponse({**_serialize_queued(row), "recipients": recipients})


def act_on_queue(permissions: Permissions, given: Mapping[str, Any], query: QueryDict) -> ApiResponse:
    ids = [int(each, 16) for each in given["ids"]]
    if any(each >= 2**63 for each in ids):
        raise NotFound
    return ApiResponse({"messages": queue_pages.apply_action(str(given["action"]), ids)})


def trace_messages(permissions: Permissions, given: Mapping[str, Any], query: QueryDict) -> ApiResponse:
    q = list_page.search_text(query)
    form = PeriodForm({name: query.get(name, "") for name in ("since", "until")})
    if not form.is_valid():
        raise DirectoryError({name: " ".join(map(str, errors)) for name, errors in form.errors.items()})
    audit_lookup(permissions, q)
    results = [trace for each in form.find(q) if (trace := visible_to_administrator(permissions, each)) is not None]
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
        for each in results[-PAGE_SIZE:]
    ]
    return single_page(items)


def read_log(permissions: Permissions, given: Mapping[str, Any], query: QueryDict) -> ApiResponse:
    level = list_page.parse_choice(query, "level", reader.LEVELS)
    return single_page(
        [{"level": level, "line": line} for level, line in log_pages.last_lines(list_page.search_text(query), level)]
    )


def simulate_message(permissions: Permissions, given: Mapping[str, Any], query: QueryDict) -> ApiResponse:
    form = SimulationForm({**given, "client": given.get("client", "203.0.113.1")})
    if not form.is_valid():
        raise DirectoryError({name: " ".join(map(str, errors)) for name, errors in form.errors.items()})
    results = form.answer()
    return ApiResponse(
        {
            "accepted": results.accepted,
            "reply": str(results.reply),
            "steps": [
                {"parameter": each.parameter, "restriction": each.restriction, "result": each.result}
                for each in results.steps
            ],
            "destination": _serialize_node(results.tree) if results.tree else None,
        }
    )


def _serialize_node(node: Node) -> dict[str, object]:
    return {
        "address": node.address,
        "kind": node.kind,
        "where": node.where,
        "full": bool(node.quota),
        "children": [_serialize_node(each) for each in node.children],
    }
