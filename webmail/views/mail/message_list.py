"""The message list of a folder."""

from collections.abc import Mapping
from dataclasses import dataclass

from django.http import HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from webmail.account import snooze
from webmail.account.session import Request, requires_login
from webmail.mailserver import imap_client
from webmail.reading import list_rows
from webmail.values import folder_tree
from webmail.values.labels import Label
from webmail.values.message_summary import MessageSummary
from webmail.values.search_keys import Flag, Key, Keyword
from webmail.views import layout
from webmail.views.mail import message

SHOW_ALL_LIMIT = 1000
MAX_EXAMINED = 20  # newest messages of a conversation that determine the flags in its row
# Columns a list can be sorted by; "" is the order of arrival, newest first, which needs no SORT.
COLUMNS = ("from", "subject", "date", "size")


@dataclass(frozen=True, slots=True)
class Pager:
    page: int
    pages: int
    first: int  # of the rows shown, counted from 1
    last: int
    total: int
    everything: bool = False

    @property
    def numbers(self) -> list[int | None]:
        """Return the page numbers to link, with None for a gap."""
        linked = {1, 2, self.pages - 1, self.pages, *range(self.page - 2, self.page + 3)}
        out: list[int | None] = []
        for number in sorted(n for n in linked if 1 <= n <= self.pages):
            if out and out[-1] is not None and number - out[-1] > 1:
                out.append(None)
            out.append(number)
        return out


def make_pager(requested: str, total: int, size: int) -> Pager:
    """Return the requested page, limited to existing ones; "all" shows up to SHOW_ALL_LIMIT rows."""
    everything = requested == "all"
    if everything:
        size = SHOW_ALL_LIMIT
    pages = max(1, -(-total // size))
    page = min(max(1, int(requested)), pages) if requested.isdecimal() and len(requested) < 9 else 1
    first = (page - 1) * size + 1
    return Pager(page, pages, min(first, total), min(first + size - 1, total), total, everything)


@never_cache
@require_safe
@requires_login
def message_list(request: Request, mail: imap_client.MailSession) -> HttpResponse:
    box = layout.requested_folder(request)
    state, options = layout.list_state(request.GET), request.visitor.options
    uid = _opened_uid(request) if options.layout == "pane" else 0
    # Loaded before the list, so that the list shows it as read.
    shown = message.load_reading(request, mail, box, uid, state) if uid and mail.open(box).exists else None
    context = layout.page_context(request, mail, box, fresh=True)
    if any(f.role == "snoozed" for f in context["folders"]) and snooze.wake_due(mail, request.visitor.address):
        context = layout.page_context(request, mail, box, fresh=True)
    opened = mail.open(box)
    folder = context["folder"]
    outgoing = folder_tree.is_outgoing(context["folders"], folder)
    in_threads = options.threads and not state["sort"] and not state["show"] and not outgoing
    if "priority" in options.columns:
        mail.include_priorities()
    rows, bundles, pages = _list_page(mail, opened, state, options.page_size, in_threads=in_threads)
    beside = "" if options.layout == "pane" else None
    if shown is not None:
        beside = render_to_string("webmail/message_main.html", context | shown, request)
    view = list_rows.ListView(
        options,
        context["labels"],
        link=layout.folder_query(box, **state),
        to_whom=outgoing,
        check_all=request.GET.get("check") == "all",
        bundles=bundles,
        opened=uid if beside else 0,
        pane=layout.list_query_prefix(box, **state) + "open=" if options.layout == "pane" else "",
    )
    context |= {
        "rows": rows,
        "listed": list_rows.render_rows(rows, view),
        "pager": pages,
        "sort": state["sort"],
        "sorts": _sort_links(state["sort"]) if mail.supports("SORT") else {},
        "columns": options.columns,
        "validity": opened.validity,
        "to_whom": view.to_whom,
        "check_all": view.check_all,
        "bar": layout.action_bar(
            folder.role,
            (f for f in context["folders"] if f.selectable and f.name != box),
            options.labels,
            marks=options.deletion == "mark" or any(row.deleted for row in rows),
        ),
        "message_of_the_day": layout.message_of_the_day(options) if folder.role == "inbox" else None,
        "keep": state,
        "in_threads": in_threads,
        "shows": _filter_links(box, state["show"], context["labels"]),
        "sort_link": layout.query_prefix(box, show=state["show"]) + "sort=",
        "page_link": layout.query_prefix(box, sort=state["sort"], show=state["show"]) + "page=",
        "select_link": layout.list_address(
            box, **(state | {"page": pages.page, "check": "" if request.GET.get("check") else "all"})
        ),
        "refresh": 60 * options.refresh,
        "beside": beside,
    }
    return render(request, "webmail/box.html", context)


Page = tuple[list[MessageSummary], dict[int, list_rows.ConversationRow] | None, Pager]


def _list_page(
    mail: imap_client.MailSession,
    opened: imap_client.OpenedFolder,
    state: dict[str, str],
    size: int,
    *,
    in_threads: bool,
) -> Page:
    """Return the rows of the requested page, and for conversations what each row represents."""
    sort, requested = state["sort"], state["page"]
    if in_threads and opened.exists:
        threads = mail.threads()
        pages = make_pager(requested, len(threads), size)
        return *_conversation_rows(mail, threads[pages.first - 1 : pages.last]), pages
    if state["show"]:
        order = mail.search(_parse_filter(state["show"])) if opened.exists else []
        pages = make_pager(requested, len(order), size)
        return mail.summaries_of(order[pages.first - 1 : pages.last]), None, pages
    pages = make_pager(requested, opened.exists, size)
    if not opened.exists:
        return [], None, pages
    if sort.lstrip("-") in COLUMNS and mail.supports("SORT"):
        order = mail.sorted(sort.lstrip("-"), reverse=sort.startswith("-"))
        return mail.summaries_of(order[pages.first - 1 : pages.last]), None, pages
    if sort == "arrival":
        return mail.rows(pages.first, pages.last), None, pages
    return mail.rows(opened.exists - pages.last + 1, opened.exists - pages.first + 1)[::-1], None, pages


def _conversation_rows(
    mail: imap_client.MailSession, threads: list[list[int]]
) -> tuple[list[MessageSummary], dict[int, list_rows.ConversationRow]]:
    examined = [uids[-MAX_EXAMINED:] for uids in threads]
    filters = {row.uid: row for row in mail.summaries_of([uid for uids in examined for uid in uids])}
    bundles: dict[int, list_rows.ConversationRow] = {}
    rows: list[MessageSummary] = []
    for uids, all_uids in zip(examined, threads, strict=True):
        members = tuple(filters[uid] for uid in uids if uid in filters)
        if members:
            rows.append(members[-1])
            bundles[members[-1].uid] = list_rows.ConversationRow(members, len(all_uids))
    return rows, bundles


def _parse_filter(show: str) -> Key:
    """Return the search key of a filtered list: unread, starred, or one label."""
    match show.partition(":"):
        case "starred", _, _:
            return Flag("flagged")
        case "label", _, keyword if keyword:
            return Keyword(keyword)
    return Flag("seen", on=False)


def _filter_links(box: str, show: str, own_labels: Mapping[str, Label]) -> list[tuple[str, str, bool]]:
    """Return (text, URL, whether it is active) for each filter of the list."""
    filters = [("", _("All")), ("unread", _("Unread")), ("starred", _("Flagged"))]
    filters += [(f"label:{label.keyword}", label.name) for label in own_labels.values()]
    return [(words, layout.list_address(box, show=name), name == show) for name, words in filters]


def _opened_uid(request: Request) -> int:
    """Return the UID of the message to show beside the list, or 0."""
    requested = request.GET.get("open", "")
    return int(requested) if requested.isdecimal() and len(requested) < 11 else 0


def _sort_links(sort: str) -> dict[str, str]:
    """Return the sort order each column heading links to: by that column, or reversed.

    Dates and sizes begin with the largest.
    """
    links = {}
    for column in COLUMNS:
        is_descending = column in ("date", "size")
        first, second = (f"-{column}", column) if is_descending else (column, f"-{column}")
        links[column] = second if sort == first else first
    return links
