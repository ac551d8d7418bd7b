"""The list of a folder, and what can be done to letters in it."""

from dataclasses import dataclass

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from webmail import folders, imap
from webmail.pages import frame
from webmail.visitor import Request, problem, signed_in

SHOW_ALL_LIMIT = 1000
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


def pager(wanted: str, total: int, size: int) -> Pager:
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
@signed_in
def index(request: Request, mail: imap.Mail) -> HttpResponse:
    box = frame.box_of(request)
    opened = mail.open(box)
    context = frame.around(request, mail, box, fresh=True)
    size = context["options"].page_size
    sort = request.GET.get("sort", "")
    can_sort = mail.can("SORT")
    pages = pager(request.GET.get("page", ""), opened.exists, size)
    if not opened.exists:
        rows = []
    elif sort.lstrip("-") in COLUMNS and can_sort:
        order = mail.sorted(sort.lstrip("-"), reverse=sort.startswith("-"))
        rows = mail.rows_of(order[pages.first - 1 : pages.last])
    elif sort == "arrival":
        rows = mail.rows(pages.first, pages.last)
    else:
        sort = ""
        rows = mail.rows(opened.exists - pages.last + 1, opened.exists - pages.first + 1)[::-1]
    folder = context["folder"]
    context |= {
        "rows": rows,
        "pager": pages,
        "sort": sort,
        "sorts": _sorts(sort) if can_sort else {},
        "validity": opened.validity,
        "to_whom": folder.role in ("sent", "drafts"),
        "check_all": request.GET.get("check") == "all",
        "targets": [f for f in context["folders"] if f.selectable and f.name != box],
        "keep": {"sort": sort, "page": request.GET.get("page", "")},
        "link": frame.in_box(box, sort=sort, page=request.GET.get("page", "")),
        "sort_link": frame.open_query(box) + "sort=",
        "page_link": frame.open_query(box, sort=sort) + "page=",
        "select_link": frame.list_address(
            box, sort=sort, page=pages.page, check="" if request.GET.get("check") else "all"
        ),
    }
    return render(request, "webmail/box.html", context)


def _sorts(sort: str) -> dict[str, str]:
    """What each column's head links to: that column, or the other way round. Dates begin with the newest."""
    links = {}
    for column in COLUMNS:
        falling = column in ("date", "size")
        first, second = (f"-{column}", column) if falling else (column, f"-{column}")
        links[column] = second if sort == first else first
    return links


# --- What can be done -----------------------------------------------------------------------------


@require_POST
@signed_in
def act(request: Request, mail: imap.Mail) -> HttpResponse:
    """One action on chosen letters; then back to the list, or on to a neighbour."""
    box = frame.box_of(request)
    uids = [int(uid) for uid in request.POST.getlist("uid") if uid.isdecimal() and len(uid) < 11 and uid != "0"]
    action = request.POST.get("do", "")
    star, delete_and = request.POST.get("star", ""), request.POST.get("delete-and", "")
    if star.lstrip("-").isdecimal():
        action, uids = ("unflag" if star.startswith("-") else "flag"), [int(star.lstrip("-"))]
    elif delete_and:
        action = "delete"
    opened = mail.open(box)
    if request.POST.get("validity") != str(opened.validity):
        advice = _("Nothing was done. Please open the folder again.")
        return problem(request, _("This folder has changed."), advice, 409)
    if action == "forward" and uids:
        return redirect(reverse("compose") + frame.in_box(box, mode="attach", of=",".join(map(str, uids))))
    if action == "empty":
        return _empty(request, mail, box)
    if not uids:
        messages.warning(request, _("Please select messages first."))
    else:
        _do(request, mail, box, action, uids)
    return redirect(_after(request, box, action))


def _do(request: Request, mail: imap.Mail, box: str, action: str, uids: list[int]) -> None:
    pane = mail.folders(younger_than=30)
    count = len(uids)
    match action:
        case "read" | "unread":
            mail.mark(uids, "seen", on=action == "read")
        case "flag" | "unflag":
            mail.mark(uids, "flagged", on=action == "flag")
        case "delete" if frame.folder_named(pane, box).role != "trash":
            mail.move(uids, frame.home_of(mail, "trash"))
            said = ngettext("%d message moved to Trash.", "%d messages moved to Trash.", count)
            messages.success(request, said % count)
        case "delete" | "destroy":
            mail.destroy(uids)
            messages.success(request, ngettext("%d message deleted.", "%d messages deleted.", count) % count)
        case "archive" | "junk":
            if action == "junk":
                mail.mark(uids, "junk", on=True)
            mail.move(uids, frame.home_of(mail, action))
            _told(request, count, str(folders.ROLES[action]))
        case "notjunk":
            mail.mark(uids, "junk", on=False)
            mail.mark(uids, "notjunk", on=True)
            mail.move(uids, frame.INBOX)
            _told(request, count, str(folders.ROLES["inbox"]))
        case "move" | "copy":
            _to_target(request, mail, action, uids, pane)
        case _:
            messages.warning(request, _("Please choose what to do."))


def _to_target(
    request: Request, mail: imap.Mail, action: str, uids: list[int], pane: tuple[folders.Folder, ...]
) -> None:
    target = next((f for f in pane if f.name == request.POST.get("target") and f.selectable), None)
    if target is None:
        messages.warning(request, _("Please choose a folder first."))
    elif action == "move":
        mail.move(uids, target.name)
        _told(request, len(uids), target.path)
    else:
        mail.copy(uids, target.name)
        count = len(uids)
        said = ngettext("%(count)d message copied to %(folder)s.", "%(count)d messages copied to %(folder)s.", count)
        messages.success(request, said % {"count": count, "folder": target.path})


def _told(request: HttpRequest, count: int, folder: str) -> None:
    said = ngettext("%(count)d message moved to %(folder)s.", "%(count)d messages moved to %(folder)s.", count)
    messages.success(request, said % {"count": count, "folder": folder})


def _empty(request: Request, mail: imap.Mail, box: str) -> HttpResponse:
    """Empty Trash or Junk; asked once more before."""
    folder = frame.folder_named(mail.folders(younger_than=30), box)
    if folder.role not in ("trash", "junk"):
        return redirect(frame.list_address(box))
    if request.POST.get("sure") != "yes":
        context = frame.around(request, mail, box) | {"validity": request.POST.get("validity")}
        return render(request, "webmail/empty.html", context)
    uids = mail.all_uids()
    mail.destroy(uids)
    messages.success(request, ngettext("%d message deleted.", "%d messages deleted.", len(uids)) % len(uids))
    return redirect(frame.list_address(box))


def _after(request: HttpRequest, box: str, action: str) -> str:
    """Where to go on: the neighbour a reading page named, the letter itself, or the list."""
    keep = {"sort": request.POST.get("sort", ""), "page": request.POST.get("page", "")}
    neighbour = request.POST.get("delete-and") or request.POST.get("then", "")
    stays = action in ("flag", "unflag", "read", "copy")
    if request.POST.get("from") == "letter" and stays:
        neighbour = request.POST.get("uid", "")
    if neighbour.isdecimal() and len(neighbour) < 11:
        return reverse("read", args=[int(neighbour)]) + frame.in_box(box, **keep)
    return frame.list_address(box, **keep)
