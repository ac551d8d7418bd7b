"""Searching all folders or one of them: a line of words and operators, or a form that writes such a line."""

from django.http import HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from webmail.account.session import Request, requires_login
from webmail.mailserver import imap_client
from webmail.reading import list_rows
from webmail.searching import query, saved_searches
from webmail.searching.query import quote_value
from webmail.values.folder_tree import Folder
from webmail.views import layout
from webmail.views.mail.message_list import make_pager

FOLDERS_AT_MOST = 200
_OUT_OF_SIGHT = ("trash", "junk")  # searched only when they are named
# Fields of the form, and the operator each stands for.
_TEXT_FIELDS = ("from", "to", "cc", "subject", "body")
_CHOICES = {"is": ("unread", "read", "starred", "answered"), "has": ("attachment",)}
CRITERIA = ("from", "to", "cc", "subject", "body", "text", "before", "after", "larger", "smaller", "label")
ROWS_OF_CRITERIA = 3


@never_cache
@require_safe
@requires_login
def search_page(request: Request, mail: imap_client.MailSession) -> HttpResponse:
    written = form_to_query(request.GET)
    if written is not None:
        return redirect(
            reverse("search")
            + layout.folder_query(request.GET.get("in", ""), where=request.GET.get("where", ""), q=written)
        )
    box = layout.requested_folder(request)
    words = " ".join(request.GET.get("q", "").split())[: query.LONGEST]
    everywhere = request.GET.get("where") == "all"
    context = layout.page_context(request, mail, box)
    asked = query.parse_query(words, context["labels"], timezone.localdate())
    places = _searched_folders(context["folders"], box, asked, everywhere=everywhere)
    context |= {
        "q": words,
        "everywhere": everywhere,
        "advanced": request.GET.get("form") == "1",
        "criteria": CRITERIA,
        "criteria_rows": range(ROWS_OF_CRITERIA),
        "saved": saved_searches.saved_searches(request.visitor.address),
        "recent": saved_searches.recent_searches(request.visitor.address),
        "rows": [],
    }
    if not words:
        return render(request, "webmail/search.html", context)
    asks = asked.key is not None or bool(asked.folders)
    try:
        found = mail.search_folders(asked.key or query.EVERYTHING, [f.name for f in places]) if asks else {}
    except ValueError:
        context["problem"] = _("A control character is not allowed here.")
        return render(request, "webmail/search.html", context, status=400)
    saved_searches.record_search(request.visitor.address, words)
    total = sum(map(len, found.values()))
    pages = make_pager(request.GET.get("page", ""), total, request.visitor.options.page_size)
    # The newest of each folder up to this page's end; among them are the newest of all.
    rows = mail.summaries_across({name: uids[: pages.last] for name, uids in found.items()})
    rows.sort(key=lambda row: (row.moment.timestamp() if row.moment else 0, row.uid), reverse=True)
    shown = rows[max(0, pages.first - 1) : pages.last]
    context |= {
        "rows": shown,
        "listed": list_rows.render_rows(shown, _list_view(request, context, places)),
        "pager": pages,
        "total": total,
        "page_link": reverse("search") + layout.query_prefix(box, where="all" if everywhere else "", q=words) + "page=",
        "bar": layout.action_bar("", (f for f in context["folders"] if f.selectable), request.visitor.options.labels),
        "here": request.get_full_path(),
    }
    return render(request, "webmail/search.html", context)


def _list_view(request: Request, context: dict[str, object], places: list[Folder]) -> list_rows.ListView:
    return list_rows.ListView(
        request.visitor.options,
        context["labels"],  # type: ignore[arg-type]
        check_all=request.GET.get("check") == "all",
        folders={folder.name: (folder.title, layout.folder_query(folder.name)) for folder in places},
    )


def _searched_folders(pane: tuple[Folder, ...], box: str, asked: query.Query, *, everywhere: bool) -> list[Folder]:
    """The folders a search looks into: those that in: names; else all but Trash and Junk, or just this one."""
    open_ones = [f for f in pane if f.selectable]
    if asked.folders:
        chosen = [f for f in open_ones if any(_is_named(f, name) for name in asked.folders)]
    elif everywhere:
        chosen = [f for f in open_ones if f.role not in _OUT_OF_SIGHT]
    else:
        chosen = [f for f in open_ones if f.name == box]
    return [f for f in chosen if not any(_is_named(f, name) for name in asked.excluded)][:FOLDERS_AT_MOST]


def _is_named(folder: Folder, name: str) -> bool:
    folded = name.casefold()
    return folded in (folder.role, folder.name.casefold(), folder.leaf.casefold(), folder.title.casefold())


def form_to_query(form: QueryDict) -> str | None:
    """The line that the advanced form stands for; None if it was not the form that was sent."""
    if form.get("form") != "send":
        return None
    parts = [form.get("words", "").strip()]
    parts += [f"{name}:{quote_value(value)}" for name in _TEXT_FIELDS if (value := form.get(name, "").strip())]
    parts += [f"{name}:{value}" for name in ("after", "before") if (value := form.get(name, "").strip())]
    if size := form.get("size", "").strip():
        parts.append(f"{'smaller' if form.get('than') == 'smaller' else 'larger'}:{size}")
    parts += [f"{name}:{chosen}" for name, known in _CHOICES.items() if (chosen := form.get(name, "")) in known]
    parts += [f"label:{quote_value(value)}" for value in form.getlist("label") if value]
    for number in range(ROWS_OF_CRITERIA):
        field, value = form.get(f"field{number}", ""), form.get(f"value{number}", "").strip()
        if field in CRITERIA and value:
            sign = "-" if form.get(f"not{number}") else ""
            joined = "OR " if form.get(f"join{number}") == "or" and any(parts) else ""
            term = quote_value(value) if field == "text" else f"{field}:{quote_value(value)}"
            parts.append(f"{joined}{sign}{term}")
    return " ".join(part for part in parts if part)[: query.LONGEST]


@require_POST
@requires_login
def save_search(request: Request, mail: imap_client.MailSession) -> HttpResponse:
    """Keep a search under a name, or forget it."""
    owner, words = request.visitor.address, request.POST.get("q", "")
    if request.POST.get("do") == "forget":
        saved_searches.remove_search(owner, request.POST.get("id", ""))
    elif request.POST.get("do") == "clear":
        saved_searches.clear_recent(owner)
    else:
        saved_searches.save_search(owner, request.POST.get("name", ""), words)
    return redirect(reverse("search") + layout.folder_query("", q=words, where="all"))
