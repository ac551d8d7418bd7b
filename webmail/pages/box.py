"""The list of a folder, and what can be done to letters in it."""

from collections.abc import Mapping
from dataclasses import dataclass

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from webmail import folders, imap, label_options, listing, moments, snoozing
from webmail.criteria import Flag, Key, Keyword
from webmail.labels import Label
from webmail.pages import frame, letter, transfer
from webmail.rows import Row
from webmail.visitor import Request, problem, signed_in

SHOW_ALL_LIMIT = 1000
LOOKED_AT = 20  # newest letters of a conversation whose flags its row shows
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
    keep, options = frame.kept(request.GET), request.visitor.options
    uid = _open(request) if options.layout == "pane" else 0
    # Before the list: what is read here is read there.
    shown = letter.reading(request, mail, box, uid, keep) if uid and mail.open(box).exists else None
    context = frame.around(request, mail, box, fresh=True)
    if any(f.role == "snoozed" for f in context["folders"]) and snoozing.awaken(mail, request.visitor.address):
        context = frame.around(request, mail, box, fresh=True)
    opened = mail.open(box)
    folder = context["folder"]
    in_threads = options.threads and not keep["sort"] and not keep["show"] and folder.role not in ("drafts", "sent")
    if "priority" in options.columns:
        mail.tell_priorities()
    rows, bundles, pages = _page(mail, opened, keep, options.page_size, in_threads=in_threads)
    beside = "" if options.layout == "pane" else None
    if shown is not None:
        beside = render_to_string("webmail/letter_main.html", context | shown, request)
    view = listing.View(
        options,
        context["labels"],
        link=frame.in_box(box, **keep),
        to_whom=folder.role in ("sent", "drafts"),
        check_all=request.GET.get("check") == "all",
        bundles=bundles,
        opened=uid if beside else 0,
        pane=frame.list_query(box, **keep) + "open=" if options.layout == "pane" else "",
    )
    context |= {
        "rows": rows,
        "listed": listing.render(rows, view),
        "pager": pages,
        "sort": keep["sort"],
        "sorts": _sorts(keep["sort"]) if mail.can("SORT") else {},
        "columns": options.columns,
        "validity": opened.validity,
        "to_whom": view.to_whom,
        "check_all": view.check_all,
        "bar": frame.bar(
            folder.role, (f for f in context["folders"] if f.selectable and f.name != box), options.labels
        ),
        "keep": keep,
        "in_threads": in_threads,
        "shows": _shows(box, keep["show"], context["labels"]),
        "sort_link": frame.open_query(box, show=keep["show"]) + "sort=",
        "page_link": frame.open_query(box, sort=keep["sort"], show=keep["show"]) + "page=",
        "select_link": frame.list_address(
            box, **(keep | {"page": pages.page, "check": "" if request.GET.get("check") else "all"})
        ),
        "refresh": 60 * options.refresh,
        "beside": beside,
    }
    return render(request, "webmail/box.html", context)


Page = tuple[list[Row], dict[int, listing.Bundle] | None, Pager]


def _page(mail: imap.Mail, opened: imap.Opened, keep: dict[str, str], size: int, *, in_threads: bool) -> Page:
    """The rows of the page a request wants; those of conversations with what each row stands for."""
    sort, wanted = keep["sort"], keep["page"]
    if in_threads and opened.exists:
        threads = mail.threads()
        pages = pager(wanted, len(threads), size)
        return *_bundled(mail, threads[pages.first - 1 : pages.last]), pages
    if keep["show"]:
        order = mail.search(_filter(keep["show"])) if opened.exists else []
        pages = pager(wanted, len(order), size)
        return mail.rows_of(order[pages.first - 1 : pages.last]), None, pages
    pages = pager(wanted, opened.exists, size)
    if not opened.exists:
        return [], None, pages
    if sort.lstrip("-") in COLUMNS and mail.can("SORT"):
        order = mail.sorted(sort.lstrip("-"), reverse=sort.startswith("-"))
        return mail.rows_of(order[pages.first - 1 : pages.last]), None, pages
    if sort == "arrival":
        return mail.rows(pages.first, pages.last), None, pages
    return mail.rows(opened.exists - pages.last + 1, opened.exists - pages.first + 1)[::-1], None, pages


def _bundled(mail: imap.Mail, threads: list[list[int]]) -> tuple[list[Row], dict[int, listing.Bundle]]:
    looked_at = [uids[-LOOKED_AT:] for uids in threads]
    found = {row.uid: row for row in mail.rows_of([uid for uids in looked_at for uid in uids])}
    bundles: dict[int, listing.Bundle] = {}
    rows: list[Row] = []
    for uids, all_uids in zip(looked_at, threads, strict=True):
        members = tuple(found[uid] for uid in uids if uid in found)
        if members:
            rows.append(members[-1])
            bundles[members[-1].uid] = listing.Bundle(members, len(all_uids))
    return rows, bundles


def _filter(show: str) -> Key:
    """What a list that is narrowed shows: unread, starred, or one label."""
    match show.partition(":"):
        case "starred", _, _:
            return Flag("flagged")
        case "label", _, keyword if keyword:
            return Keyword(keyword)
    return Flag("seen", on=False)


def _shows(box: str, show: str, mine: Mapping[str, Label]) -> list[tuple[str, str, bool]]:
    """(words, address, is it shown now) of each way to narrow the list."""
    found = [("", _("All")), ("unread", _("Unread")), ("starred", _("Flagged"))]
    found += [(f"label:{label.keyword}", label.name) for label in mine.values()]
    return [(words, frame.list_address(box, show=name), name == show) for name, words in found]


def _open(request: Request) -> int:
    """The letter a request wants to see beside the list; 0 for none."""
    wanted = request.GET.get("open", "")
    return int(wanted) if wanted.isdecimal() and len(wanted) < 11 else 0


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
def act(request: Request, mail: imap.Mail) -> HttpResponseBase:
    """One action on chosen letters; then back to the list, or on to a neighbour."""
    box = frame.box_of(request)
    action = request.POST.get("do", "")
    star, delete_and = request.POST.get("star", ""), request.POST.get("delete-and", "")
    if star:
        action, chosen = ("unflag" if star.startswith("-") else "flag"), _chosen(request, box, [star.lstrip("-")])
    else:
        chosen = _chosen(request, box, [*request.POST.getlist("uid"), *request.POST.getlist("of")])
    if delete_and:
        action = "delete"
    elif request.POST.get("label"):
        action = "label"
    elif request.POST.get("snooze"):
        action = "snooze"
    if not chosen and action != "empty":
        messages.warning(request, _("Please select messages first."))
        return redirect(_after(request, box, action))
    for name, validity, uids in chosen or [(box, request.POST.get("validity", ""), [])]:
        opened = mail.open(name)
        if validity != str(opened.validity):
            advice = _("Nothing was done. Please open the folder again.")
            return problem(request, _("This folder has changed."), advice, 409)
        if action == "forward":
            return redirect(reverse("compose") + frame.in_box(name, mode="attach", of=",".join(map(str, uids))))
        if action == "export":
            return transfer.chosen(mail, frame.folder_named(mail.folders(younger_than=30), name), uids)
        if action == "empty":
            return _empty(request, mail, name)
        _do(request, mail, name, action, uids)
    return redirect(_after(request, box, action))


def _chosen(request: HttpRequest, box: str, given: list[str]) -> list[tuple[str, str, list[int]]]:
    """The letters a form names, by folder: (folder, validity, UIDs). "5", "5,6" are of the form's own folder,
    "5.1700000000.Archive" says which."""
    found: dict[tuple[str, str], dict[int, None]] = {}
    for each in given:
        numbers, _, rest = each.partition(".")
        validity, _, name = rest.partition(".")
        try:
            key = (imap.clean(name), validity) if name else (box, request.POST.get("validity", ""))
        except ValueError:
            continue
        uids = [int(uid) for uid in numbers.split(",") if uid.isdecimal() and len(uid) < 11 and uid != "0"]
        if uids:
            found.setdefault(key, {}).update(dict.fromkeys(uids))
    return [(name, validity, list(uids)) for (name, validity), uids in found.items()]


def _do(request: Request, mail: imap.Mail, box: str, action: str, uids: list[int]) -> None:
    pane = mail.folders(younger_than=30)
    count = len(uids)
    match action:
        case "read" | "unread":
            mail.mark(uids, "seen", on=action == "read")
        case "flag" | "unflag":
            mail.mark(uids, "flagged", on=action == "flag")
        case "label":
            _label(request, mail, uids)
        case "snooze":
            _snooze(request, mail, box, uids)
        case "delete" if frame.folder_named(pane, box).role != "trash":
            mail.move(uids, frame.home_of(mail, "trash"))
            said = ngettext("%d message moved to Trash.", "%d messages moved to Trash.", count)
            messages.success(request, said % count)
        case "delete" | "destroy":
            mail.destroy(uids)
            messages.success(request, ngettext("%d message deleted.", "%d messages deleted.", count) % count)
        case "archive" | "junk":
            if action == "junk":
                mail.mark(uids, "notjunk", on=False)
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


def _label(request: Request, mail: imap.Mail, uids: list[int]) -> None:
    """Put a label on, or with a minus take it off; a name typed beside makes a new one."""
    given = request.POST.get("label", "")
    if given == "+new":
        made = label_options.add(request.visitor, request.POST.get("new_label", ""))
        if made is None:
            messages.warning(request, _("Please enter a name for the label."))
            return
        mail.mark(uids, made, on=True)
    else:
        try:
            mail.mark(uids, given.lstrip("+-"), on=not given.startswith("-"))
        except ValueError:
            messages.warning(request, _("There is no such label."))


def _snooze(request: Request, mail: imap.Mail, box: str, uids: list[int]) -> None:
    due = snoozing.moment(request.POST.get("snooze", ""), request.POST.get("snooze_until", ""))
    if due is None:
        messages.warning(request, _("Please choose a time that is yet to come."))
    elif box == (waiting := frame.home_of(mail, "snoozed")) or not snoozing.put_off(
        mail, request.visitor.address, box, uids, waiting, due
    ):
        messages.warning(request, _("The server does not say where it puts letters; they cannot be snoozed here."))
    else:
        count = len(uids)
        said = ngettext("%(count)d message comes back: %(when)s.", "%(count)d messages come back: %(when)s.", count)
        messages.success(request, said % {"count": count, "when": moments.full(due)})


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
        return _ask(request, mail, box, request.POST.get("validity", ""))
    uids = mail.all_uids()
    mail.destroy(uids)
    messages.success(request, ngettext("%d message deleted.", "%d messages deleted.", len(uids)) % len(uids))
    return redirect(frame.list_address(box))


def _ask(request: Request, mail: imap.Mail, box: str, validity: str) -> HttpResponse:
    return render(request, "webmail/empty.html", frame.around(request, mail, box) | {"validity": validity})


@never_cache
@require_safe
@signed_in
def empty(request: Request, mail: imap.Mail) -> HttpResponse:
    """The question before Trash or Junk is emptied, asked from any page."""
    box = frame.box_of(request)
    if frame.folder_named(mail.folders(younger_than=30), box).role not in ("trash", "junk"):
        return redirect(frame.list_address(box))
    return _ask(request, mail, box, str(mail.open(box).validity))


def _after(request: HttpRequest, box: str, action: str) -> str:
    """Where to go on: the neighbour a reading page named, the letter itself, what a page asked for, or the list."""
    keep = frame.kept(request.POST)
    stays = action in ("flag", "unflag", "read", "copy", "label")
    back = request.POST.get("back", "")
    if back.startswith("/") and url_has_allowed_host_and_scheme(back, None):
        return back
    neighbour = request.POST.get("delete-and") or request.POST.get("then", "")
    if request.POST.get("from") == "letter" and stays:
        neighbour = request.POST.get("uid", "")
    if neighbour.isdecimal() and len(neighbour) < 11:
        return reverse("read", args=[int(neighbour)]) + frame.in_box(box, **keep)
    return frame.list_address(box, **keep)
