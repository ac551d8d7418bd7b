"""Searching one folder or all of them."""

from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from webmail import imap
from webmail.folders import Folder
from webmail.pages import frame
from webmail.pages.box import pager
from webmail.visitor import Request, signed_in

LONGEST = 500
FOLDERS_AT_MOST = 200
ROWS_PER_FOLDER = 50  # of a search through all folders


@never_cache
@require_safe
@signed_in
def search(request: Request, mail: imap.Mail) -> HttpResponse:
    box = frame.box_of(request)
    words = " ".join(request.GET.get("q", "").split())[:LONGEST]
    field = request.GET.get("field", "text")
    field = field if field in imap.SEARCH_FIELDS else "text"
    everywhere = request.GET.get("where") == "all"
    context = frame.around(request, mail, box) | {"q": words, "field": field, "everywhere": everywhere, "groups": []}
    if words:
        try:
            imap.clean(words)
        except ValueError:
            context["problem"] = _("A control character is not allowed here.")
            return render(request, "webmail/search.html", context, status=400)
        wanted = [f for f in context["folders"] if f.selectable][:FOLDERS_AT_MOST]
        found = [
            _group(request, mail, f, field, words, everywhere) for f in (wanted if everywhere else [context["folder"]])
        ]
        context["groups"] = [group for group in found if group]
        context["page_link"] = reverse("search") + frame.open_query(box, q=words, field=field) + "page="
        context["targets"] = [f for f in context["folders"] if f.selectable and f.name != box]
        context["total"] = sum(group["pager"].total for group in context["groups"])
    return render(request, "webmail/search.html", context)


def _group(
    request: Request, mail: imap.Mail, folder: Folder, field: str, words: str, everywhere: bool
) -> dict[str, object] | None:
    """What one folder holds: its first rows among all folders, a page of them alone."""
    opened = mail.open(folder.name)
    uids = mail.search(field, words) if opened.exists else []
    if not uids:
        return None
    size = ROWS_PER_FOLDER if everywhere else request.visitor.options.page_size
    pages = pager("1" if everywhere else request.GET.get("page", ""), len(uids), size)
    rows = mail.rows_of(uids[pages.first - 1 : pages.last], folder.name)
    return {
        "folder": folder,
        "in_box": frame.in_box(folder.name),
        "validity": opened.validity,
        "rows": rows,
        "pager": pages,
        "to_whom": folder.role in ("sent", "drafts"),
    }
