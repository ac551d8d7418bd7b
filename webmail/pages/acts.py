"""What can be done to letters of a list, or to the one that is read; then back to where it was asked for."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from webmail import folders, imap, label_options, moments, snoozing
from webmail.pages import frame, transfer
from webmail.visitor import Request, problem, signed_in

_OF_A_FOLDER = ("empty", "expunge")  # need no letters


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
    if not chosen and action not in _OF_A_FOLDER:
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
        if action == "expunge":
            mail.expunge()
            messages.success(request, _("Messages marked as deleted are gone."))
            break
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
        case "delete" if request.visitor.options.deletion == "mark" and frame.folder_named(pane, box).role != "trash":
            mail.mark(uids, "deleted", on=True)
            said = ngettext("%d message is marked as deleted.", "%d messages are marked as deleted.", count)
            messages.success(request, said % count)
        case "undelete":
            mail.mark(uids, "deleted", on=False)
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
    stays = action in ("flag", "unflag", "read", "copy", "label", "undelete")
    back = request.POST.get("back", "")
    if back.startswith("/") and url_has_allowed_host_and_scheme(back, None):
        return back
    neighbour = request.POST.get("delete-and") or request.POST.get("then", "")
    if request.POST.get("from") == "letter" and stays:
        neighbour = request.POST.get("uid", "")
    if neighbour.isdecimal() and len(neighbour) < 11:
        return reverse("read", args=[int(neighbour)]) + frame.in_box(box, **keep)
    return frame.list_address(box, **keep)
