"""The list of a folder."""

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
LOOKED_AT = 20  # newest messages of a conversation whose flags its row shows
# Columns a list can be sorted by. "" is the order of arrival, newest first, which needs no SORT.
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
        """Page numbers to link, None for a gap."""
        near = {1, 2, self.pages - 1, self.pages, *range(self.page - 2, self.page + 3)}
        out: list[int | None] = []
        for number in sorted(n for n in near if 1 <= n <= self.pages):
            if out and out[-1] is not None and number - out[-1] > 1:
                out.append(None)
            out.append(number)
        return out


def make_pager(wanted: str, total: int, size: int) -> Pager:
    """The page a request wants, kept within what there is; "all" shows up to SHOW_ALL_LIMIT rows."""
    everything = wanted == "all"
    if everything:
        size = SHOW_ALL_LIMIT
    pages = max(1, -(-total // size))
    page = min(max(1, int(wanted)), pages) if wanted.isdecimal() and len(wanted) < 9 else 1
    first = (page - 1) * size + 1
    return Pager(page, pages, min(first, total), min(first + size - 1, total), total, everything)


@never_cache
@require_safe
@requires_login
def message_list(request: Request, mail: imap_client.MailSession) -> HttpResponse:
    box = layout.requested_folder(request)
    keep, options = layout.list_state(request.GET), request.visitor.options
    uid = _opened_uid(request) if options.layout == "pane" else 0
    # Before the list: what is read here is read there.
    shown = message.load_reading(request, mail, box, uid, keep) if uid and mail.open(box).exists else None
    context = layout.page_context(request, mail, box, fresh=True)
    if any(f.role == "snoozed" for f in context["folders"]) and snooze.wake_due(mail, request.visitor.address):
        context = layout.page_context(request, mail, box, fresh=True)
    opened = mail.open(box)
    folder = context["folder"]
    outgoing = folder_tree.is_outgoing(context["folders"], folder)
    in_threads = options.threads and not keep["sort"] and not keep["show"] and not outgoing
    if "priority" in options.columns:
        mail.include_priorities()
    rows, bundles, pages = _list_page(mail, opened, keep, options.page_size, in_threads=in_threads)
    beside = "" if options.layout == "pane" else None
    if shown is not None:
        beside = render_to_string("webmail/message_main.html", context | shown, request)
    view = list_rows.ListView(
        options,
        context["labels"],
        link=layout.folder_query(box, **keep),
        to_whom=outgoing,
        check_all=request.GET.get("check") == "all",
        bundles=bundles,
        opened=uid if beside else 0,
        pane=layout.list_query_prefix(box, **keep) + "open=" if options.layout == "pane" else "",
    )
    context |= {
        "rows": rows,
        "listed": list_rows.render_rows(rows, view),
        "pager": pages,
        "sort": keep["sort"],
        "sorts": _sort_links(keep["sort"]) if mail.supports("SORT") else {},
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
        "keep": keep,
        "in_threads": in_threads,
        "shows": _filter_links(box, keep["show"], context["labels"]),
        "sort_link": layout.query_prefix(box, show=keep["show"]) + "sort=",
        "page_link": layout.query_prefix(box, sort=keep["sort"], show=keep["show"]) + "page=",
        "select_link": layout.list_address(
            box, **(keep | {"page": pages.page, "check": "" if request.GET.get("check") else "all"})
        ),
        "refresh": 60 * options.refresh,
        "beside": beside,
    }
    return render(request, "webmail/box.html", context)


Page = tuple[list[MessageSummary], dict[int, list_rows.ConversationRow] | None, Pager]


def _list_page(
    mail: imap_client.MailSession,
    opened: imap_client.OpenedFolder,
    keep: dict[str, str],
    size: int,
    *,
    in_threads: bool,
) -> Page:
    """The rows of the page a request wants; those of conversations with what each row stands for."""
    sort, wanted = keep["sort"], keep["page"]
    if in_threads and opened.exists:
        threads = mail.threads()
        pages = make_pager(wanted, len(threads), size)
        return *_conversation_rows(mail, threads[pages.first - 1 : pages.last]), pages
    if keep["show"]:
        order = mail.search(_parse_filter(keep["show"])) if opened.exists else []
        pages = make_pager(wanted, len(order), size)
        return mail.summaries_of(order[pages.first - 1 : pages.last]), None, pages
    pages = make_pager(wanted, opened.exists, size)
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
    looked_at = [uids[-LOOKED_AT:] for uids in threads]
    found = {row.uid: row for row in mail.summaries_of([uid for uids in looked_at for uid in uids])}
    bundles: dict[int, list_rows.ConversationRow] = {}
    rows: list[MessageSummary] = []
    for uids, all_uids in zip(looked_at, threads, strict=True):
        members = tuple(found[uid] for uid in uids if uid in found)
        if members:
            rows.append(members[-1])
            bundles[members[-1].uid] = list_rows.ConversationRow(members, len(all_uids))
    return rows, bundles


def _parse_filter(show: str) -> Key:
    """What a list that is narrowed shows: unread, starred, or one label."""
    match show.partition(":"):
        case "starred", _, _:
            return Flag("flagged")
        case "label", _, keyword if keyword:
            return Keyword(keyword)
    return Flag("seen", on=False)


def _filter_links(box: str, show: str, mine: Mapping[str, Label]) -> list[tuple[str, str, bool]]:
    """(words, address, is it shown now) of each way to narrow the list."""
    found = [("", _("All")), ("unread", _("Unread")), ("starred", _("Flagged"))]
    found += [(f"label:{label.keyword}", label.name) for label in mine.values()]
    return [(words, layout.list_address(box, show=name), name == show) for name, words in found]


def _opened_uid(request: Request) -> int:
    """The message a request wants to see beside the list; 0 for none."""
    wanted = request.GET.get("open", "")
    return int(wanted) if wanted.isdecimal() and len(wanted) < 11 else 0


def _sort_links(sort: str) -> dict[str, str]:
    """What each column's head links to: that column, or the other way round. Dates begin with the newest."""
    links = {}
    for column in COLUMNS:
        falling = column in ("date", "size")
        first, second = (f"-{column}", column) if falling else (column, f"-{column}")
        links[column] = second if sort == first else first
    return links
