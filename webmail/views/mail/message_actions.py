"""Actions on messages of a list, or on the message being read; then a redirect to the page they came from."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from webmail.account import edit_labels, snooze
from webmail.account.session import Request, error_page, requires_login
from webmail.mailserver import imap_client
from webmail.values import date_format, folder_tree
from webmail.views import layout
from webmail.views.mail import import_export

_FOLDER_ACTIONS = ("empty", "expunge")  # need no selected messages


@require_POST
@requires_login
def act_on_messages(request: Request, mail: imap_client.MailSession) -> HttpResponseBase:
    """Apply one action to the selected messages, then redirect to the list or a neighbouring message."""
    box = layout.requested_folder(request)
    action = request.POST.get("do", "")
    star, delete_and = request.POST.get("star", ""), request.POST.get("delete-and", "")
    if star:
        action, selected = (
            ("unflag" if star.startswith("-") else "flag"),
            _selected_messages(request, box, [star.lstrip("-")]),
        )
    else:
        selected = _selected_messages(request, box, [*request.POST.getlist("uid"), *request.POST.getlist("of")])
    if delete_and:
        action = "delete"
    elif request.POST.get("label"):
        action = "label"
    elif request.POST.get("snooze"):
        action = "snooze"
    if not selected and action not in _FOLDER_ACTIONS:
        messages.warning(request, _("Please select messages first."))
        return redirect(_next_page(request, box, action))
    for name, validity, uids in selected or [(box, request.POST.get("validity", ""), [])]:
        opened = mail.open(name)
        if validity != str(opened.validity):
            advice = _("Nothing was done. Please open the folder again.")
            return error_page(request, _("This folder has changed."), advice, 409)
        if action == "forward":
            return redirect(reverse("compose") + layout.folder_query(name, mode="attach", of=",".join(map(str, uids))))
        if action == "export":
            return import_export.export_selected(mail, layout.find_folder(mail.folders(younger_than=30), name), uids)
        if action == "empty":
            return _empty_folder(request, mail, name)
        if action == "expunge":
            mail.expunge()
            messages.success(request, _("Messages marked as deleted have been removed."))
            break
        _do_action(request, mail, name, action, uids)
    return redirect(_next_page(request, box, action))


def _selected_messages(request: HttpRequest, box: str, references: list[str]) -> list[tuple[str, str, list[int]]]:
    """Return the messages a form names, by folder: (folder, UIDVALIDITY, UIDs).

    "5" or "5,6" are in the form's own folder; "5.1700000000.Archive" names another one.
    """
    found: dict[tuple[str, str], dict[int, None]] = {}
    for each in references:
        numbers, _, rest = each.partition(".")
        validity, _, name = rest.partition(".")
        try:
            key = (imap_client.reject_controls(name), validity) if name else (box, request.POST.get("validity", ""))
        except ValueError:
            continue
        uids = [int(uid) for uid in numbers.split(",") if uid.isdecimal() and len(uid) < 11 and uid != "0"]
        if uids:
            found.setdefault(key, {}).update(dict.fromkeys(uids))
    return [(name, validity, list(uids)) for (name, validity), uids in found.items()]


def _do_action(request: Request, mail: imap_client.MailSession, box: str, action: str, uids: list[int]) -> None:
    pane = mail.folders(younger_than=30)
    count = len(uids)
    match action:
        case "read" | "unread":
            mail.set_flag(uids, "seen", on=action == "read")
        case "flag" | "unflag":
            mail.set_flag(uids, "flagged", on=action == "flag")
        case "label":
            _label(request, mail, uids)
        case "snooze":
            _snooze(request, mail, box, uids)
        case "delete" if request.visitor.options.deletion == "mark" and layout.find_folder(pane, box).role != "trash":
            mail.set_flag(uids, "deleted", on=True)
            text = ngettext("%d message is marked as deleted.", "%d messages are marked as deleted.", count)
            messages.success(request, text % count)
        case "undelete":
            mail.set_flag(uids, "deleted", on=False)
        case "delete" if layout.find_folder(pane, box).role != "trash":
            mail.move(uids, layout.special_folder(mail, "trash"))
            text = ngettext("%d message moved to Trash.", "%d messages moved to Trash.", count)
            messages.success(request, text % count)
        case "delete" | "destroy":
            mail.delete_messages(uids)
            messages.success(request, ngettext("%d message deleted.", "%d messages deleted.", count) % count)
        case "archive" | "junk":
            if action == "junk":
                mail.set_flag(uids, "notjunk", on=False)
                mail.set_flag(uids, "junk", on=True)
            mail.move(uids, layout.special_folder(mail, action))
            _notice(request, count, str(folder_tree.ROLES[action]))
        case "notjunk":
            mail.set_flag(uids, "junk", on=False)
            mail.set_flag(uids, "notjunk", on=True)
            mail.move(uids, layout.INBOX)
            _notice(request, count, str(folder_tree.ROLES["inbox"]))
        case "move" | "copy":
            _to_target(request, mail, action, uids, pane)
        case _:
            messages.warning(request, _("Please choose what to do."))


def _label(request: Request, mail: imap_client.MailSession, uids: list[int]) -> None:
    """Add a label, or remove it if its keyword has a leading minus; a typed name creates a new label."""
    references = request.POST.get("label", "")
    if references == "+new":
        keyword = edit_labels.add_label(request.visitor, request.POST.get("new_label", ""))
        if keyword is None:
            messages.warning(request, _("Please enter a name for the label."))
            return
        mail.set_flag(uids, keyword, on=True)
    else:
        try:
            mail.set_flag(uids, references.lstrip("+-"), on=not references.startswith("-"))
        except ValueError:
            messages.warning(request, _("There is no such label."))


def _snooze(request: Request, mail: imap_client.MailSession, box: str, uids: list[int]) -> None:
    due = snooze.parse_moment(request.POST.get("snooze", ""), request.POST.get("snooze_until", ""))
    if due is None:
        messages.warning(request, _("Please choose a time that is yet to come."))
    elif box == (snoozed_folder := layout.special_folder(mail, "snoozed")) or not snooze.snooze_messages(
        mail, request.visitor.address, box, uids, snoozed_folder, due
    ):
        messages.warning(
            request, _("The server does not report the new numbers of moved messages; they cannot be snoozed here.")
        )
    else:
        count = len(uids)
        text = ngettext("%(count)d message comes back: %(when)s.", "%(count)d messages come back: %(when)s.", count)
        messages.success(request, text % {"count": count, "when": date_format.format_full(due)})


def _to_target(
    request: Request, mail: imap_client.MailSession, action: str, uids: list[int], pane: tuple[folder_tree.Folder, ...]
) -> None:
    target = next((f for f in pane if f.name == request.POST.get("target") and f.selectable), None)
    if target is None:
        messages.warning(request, _("Please choose a folder first."))
    elif action == "move":
        mail.move(uids, target.name)
        _notice(request, len(uids), target.path)
    else:
        mail.copy(uids, target.name)
        count = len(uids)
        text = ngettext("%(count)d message copied to %(folder)s.", "%(count)d messages copied to %(folder)s.", count)
        messages.success(request, text % {"count": count, "folder": target.path})


def _notice(request: HttpRequest, count: int, folder: str) -> None:
    text = ngettext("%(count)d message moved to %(folder)s.", "%(count)d messages moved to %(folder)s.", count)
    messages.success(request, text % {"count": count, "folder": folder})


def _empty_folder(request: Request, mail: imap_client.MailSession, box: str) -> HttpResponse:
    """Empty Trash or Junk, after a confirmation."""
    folder = layout.find_folder(mail.folders(younger_than=30), box)
    if folder.role not in ("trash", "junk"):
        return redirect(layout.list_address(box))
    if request.POST.get("sure") != "yes":
        return _confirm_empty(request, mail, box, request.POST.get("validity", ""))
    uids = mail.all_uids()
    mail.delete_messages(uids)
    messages.success(request, ngettext("%d message deleted.", "%d messages deleted.", len(uids)) % len(uids))
    return redirect(layout.list_address(box))


def _confirm_empty(request: Request, mail: imap_client.MailSession, box: str, validity: str) -> HttpResponse:
    return render(request, "webmail/empty.html", layout.page_context(request, mail, box) | {"validity": validity})


@never_cache
@require_safe
@requires_login
def confirm_empty(request: Request, mail: imap_client.MailSession) -> HttpResponse:
    """Show the confirmation before Trash or Junk is emptied, linked from any page."""
    box = layout.requested_folder(request)
    if layout.find_folder(mail.folders(younger_than=30), box).role not in ("trash", "junk"):
        return redirect(layout.list_address(box))
    return _confirm_empty(request, mail, box, str(mail.open(box).validity))


def _next_page(request: HttpRequest, box: str, action: str) -> str:
    """Return the URL to continue at: the neighbour a reading page named, the message itself, `back`, or the list."""
    state = layout.list_state(request.POST)
    stays_on_message = action in ("flag", "unflag", "read", "copy", "label", "undelete")
    back = request.POST.get("back", "")
    if back.startswith("/") and url_has_allowed_host_and_scheme(back, None):
        return back
    neighbour = request.POST.get("delete-and") or request.POST.get("then", "")
    if request.POST.get("from") == "message" and stays_on_message:
        neighbour = request.POST.get("uid", "")
    if neighbour.isdecimal() and len(neighbour) < 11:
        return reverse("read", args=[int(neighbour)]) + layout.folder_query(box, **state)
    return layout.list_address(box, **state)
