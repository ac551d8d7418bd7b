"""Creating, renaming, deleting and subscribing folders."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from webmail.account.session import Request, requires_login
from webmail.mailserver import imap_client
from webmail.values.folder_tree import Folder
from webmail.views import layout

LONGEST = 200


class FolderError(Exception):
    """The action is not possible; the error text is for the user."""


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@requires_login
def folder_list(request: Request, mail: imap_client.MailSession) -> HttpResponse:
    if request.method != "POST":
        return _folder_page(request, mail)
    pane = mail.folders()
    try:
        if request.POST.get("do") == "delete" and request.POST.get("sure") != "yes":
            return _confirm_removal(request, mail, _find_own_folder(pane, request.POST.get("name", "")))
        text = _do_action(request, mail, pane)
    except FolderError as problem:
        return _folder_page(request, mail, str(problem), 422)
    except imap_client.CommandRefused as refusal:
        return _folder_page(request, mail, _("The server refused: %s") % refusal, 409)
    messages.success(request, text)
    return redirect("folders")


def _do_action(request: Request, mail: imap_client.MailSession, pane: tuple[Folder, ...]) -> str:
    name = request.POST.get("name", "")
    match request.POST.get("do"):
        case "create":
            new_name = _validate_name(mail, pane, request.POST.get("parent", ""), request.POST.get("new", ""))
            mail.create(new_name)
            return _("The folder “%s” was created.") % new_name
        case "rename":
            folder = _find_own_folder(pane, name)
            new_name = _validate_name(
                mail, pane, request.POST.get("parent", folder.parent), request.POST.get("new", "")
            )
            if new_name == name or new_name.startswith(name + (folder.delimiter or "\0")):
                raise FolderError(_("A folder cannot be moved into itself."))
            mail.rename(name, new_name)
            return _("The folder is now called “%s”.") % new_name
        case "delete":
            mail.remove(_find_own_folder(pane, name).name)
            return _("The folder “%s” was deleted.") % name
        case "subscribe" | "unsubscribe":
            wanted = request.POST.get("do") == "subscribe"
            mail.subscribe(_find_folder(pane, name).name, wanted=wanted)
            text = _("“%s” is shown in the list.") if wanted else _("“%s” is no longer shown in the list.")
            return text % name
    raise FolderError(_("Please choose what to do."))


def _find_folder(pane: tuple[Folder, ...], name: str) -> Folder:
    folder = next((f for f in pane if f.name == name), None)
    if folder is None:
        raise FolderError(_("There is no such folder."))
    return folder


def _find_own_folder(pane: tuple[Folder, ...], name: str) -> Folder:
    """Return a folder that may be changed; special ones keep their names, which other programs depend on."""
    folder = _find_folder(pane, name)
    if folder.role:
        raise FolderError(_("A special folder cannot be renamed or deleted."))
    return folder


def _validate_name(mail: imap_client.MailSession, pane: tuple[Folder, ...], parent: str, typed: str) -> str:
    """Return the whole name of a new folder below `parent` ("" = top level).

    Raise `FolderError`.
    """
    typed = typed.strip()
    delimiter = next((f.delimiter for f in pane if f.delimiter), "/")
    if not typed or len(typed) > LONGEST:
        words = ngettext(
            "Please enter a name of at most %d character.", "Please enter a name of at most %d characters.", LONGEST
        )
        raise FolderError(words % LONGEST)
    try:
        imap_client.reject_controls(typed)
    except ValueError:
        raise FolderError(_("A control character is not allowed here.")) from None
    if delimiter in typed or any(character in typed for character in "*%"):
        raise FolderError(_("The characters %s cannot be used in the name of a folder.") % f"{delimiter} * %")
    full_name = f"{_find_folder(pane, parent).name}{delimiter}{typed}" if parent else mail.namespace_prefix() + typed
    if full_name.upper() == "INBOX" or any(f.name == full_name for f in pane):
        raise FolderError(_("There is a folder of that name already."))
    return full_name


def _confirm_removal(request: Request, mail: imap_client.MailSession, folder: Folder) -> HttpResponse:
    return render(request, "webmail/folder_delete.html", layout.page_context(request, mail) | {"doomed": folder})


def _folder_page(request: Request, mail: imap_client.MailSession, problem: str = "", status: int = 200) -> HttpResponse:
    context = layout.page_context(request, mail, fresh=True) | {
        "problem": problem,
        "new": request.POST.get("new", ""),
        "parent": request.POST.get("parent", ""),
        "renamed": request.POST.get("name", "") or request.GET.get("rename", ""),
    }
    return render(request, "webmail/folders.html", context, status=status)
