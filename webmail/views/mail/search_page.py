"""Searching one folder or all: a query of terms and operators, or a form that builds one."""

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

MAX_FOLDERS = 200
_EXCLUDED_ROLES = ("trash", "junk")  # searched only when named
# Fields of the form, and the operators they stand for.
_TEXT_FIELDS = ("from", "to", "cc", "subject", "body")
_CHOICES = {"is": ("unread", "read", "starred", "answered"), "has": ("attachment",)}
CRITERIA = ("from", "to", "cc", "subject", "body", "text", "before", "after", "larger", "smaller", "label")
ROWS_OF_CRITERIA = 3


@never_cache
@require_safe
@requires_login
def search_page(request: Request, mail: imap_client.MailSession) -> HttpResponse:
    form_query = form_to_query(request.GET)
    if form_query is not None:
        return redirect(
            reverse("search")
            + layout.folder_query(request.GET.get("in", ""), where=request.GET.get("where", ""), q=form_query)
        )
    box = layout.requested_folder(request)
    words = " ".join(request.GET.get("q", "").split())[: query.LONGEST]
    everywhere = request.GET.get("where") == "all"
    context = layout.page_context(request, mail, box)
    parsed = query.parse_query(words, context["labels"], timezone.localdate())
    searched = _searched_folders(context["folders"], box, parsed, everywhere=everywhere)
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
    is_search = parsed.key is not None or bool(parsed.folders)
    try:
        found = mail.search_folders(parsed.key or query.EVERYTHING, [f.name for f in searched]) if is_search else {}
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
        "listed": list_rows.render_rows(shown, _list_view(request, context, searched)),
        "pager": pages,
        "total": total,
        "page_link": reverse("search") + layout.query_prefix(box, where="all" if everywhere else "", q=words) + "page=",
        "bar": layout.action_bar("", (f for f in context["folders"] if f.selectable), request.visitor.options.labels),
        "here": request.get_full_path(),
    }
    return render(request, "webmail/search.html", context)


def _list_view(request: Request, context: dict[str, object], searched: list[Folder]) -> list_rows.ListView:
    return list_rows.ListView(
        request.visitor.options,
        context["labels"],  # type: ignore[arg-type]
        check_all=request.GET.get("check") == "all",
        folders={folder.name: (folder.title, layout.folder_query(folder.name)) for folder in searched},
    )


def _searched_folders(pane: tuple[Folder, ...], box: str, parsed: query.Query, *, everywhere: bool) -> list[Folder]:
    """Return the folders to search: those named with in:, else all but Trash and Junk, or only this one."""
    open_ones = [f for f in pane if f.selectable]
    if parsed.folders:
        selected = [f for f in open_ones if any(_is_named(f, name) for name in parsed.folders)]
    elif everywhere:
        selected = [f for f in open_ones if f.role not in _EXCLUDED_ROLES]
    else:
        selected = [f for f in open_ones if f.name == box]
    return [f for f in selected if not any(_is_named(f, name) for name in parsed.excluded)][:MAX_FOLDERS]


def _is_named(folder: Folder, name: str) -> bool:
    folded = name.casefold()
    return folded in (folder.role, folder.name.casefold(), folder.leaf.casefold(), folder.title.casefold())


def form_to_query(form: QueryDict) -> str | None:
    """Return the query that the advanced form stands for; None if the form was not submitted."""
    if form.get("form") != "send":
        return None
    parts = [form.get("words", "").strip()]
    parts += [f"{name}:{quote_value(value)}" for name in _TEXT_FIELDS if (value := form.get(name, "").strip())]
    parts += [f"{name}:{value}" for name in ("after", "before") if (value := form.get(name, "").strip())]
    if size := form.get("size", "").strip():
        parts.append(f"{'smaller' if form.get('than') == 'smaller' else 'larger'}:{size}")
    parts += [f"{name}:{selected}" for name, known in _CHOICES.items() if (selected := form.get(name, "")) in known]
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
    """Save a search under a name, or delete it."""
    owner, words = request.visitor.address, request.POST.get("q", "")
    if request.POST.get("do") == "forget":
        saved_searches.remove_search(owner, request.POST.get("id", ""))
    elif request.POST.get("do") == "clear":
        saved_searches.clear_recent(owner)
    else:
        saved_searches.save_search(owner, request.POST.get("name", ""), words)
    return redirect(reverse("search") + layout.folder_query("", q=words, where="all"))
