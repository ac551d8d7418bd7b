"""Making, renaming, removing and subscribing folders."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from webmail import imap
from webmail.folders import Folder
from webmail.pages import frame
from webmail.visitor import Request, signed_in

LONGEST = 200


class Problem(Exception):
    """What was asked for cannot be done; in words for the person."""


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def folders(request: Request, mail: imap.Mail) -> HttpResponse:
    if request.method != "POST":
        return _page(request, mail)
    pane = mail.folders()
    try:
        if request.POST.get("do") == "delete" and request.POST.get("sure") != "yes":
            return _ask(request, mail, _own(pane, request.POST.get("name", "")))
        said = _do(request, mail, pane)
    except Problem as problem:
        return _page(request, mail, str(problem), 422)
    except imap.Refused as refusal:
        return _page(request, mail, _("The server refused: %s") % refusal, 409)
    messages.success(request, said)
    return redirect("folders")


def _do(request: Request, mail: imap.Mail, pane: tuple[Folder, ...]) -> str:
    name = request.POST.get("name", "")
    match request.POST.get("do"):
        case "create":
            made = _new_name(mail, pane, request.POST.get("parent", ""), request.POST.get("new", ""))
            mail.create(made)
            return _("The folder “%s” was created.") % made
        case "rename":
            folder = _own(pane, name)
            made = _new_name(mail, pane, request.POST.get("parent", folder.parent), request.POST.get("new", ""))
            if made == name or made.startswith(name + (folder.delimiter or "\0")):
                raise Problem(_("A folder cannot be moved into itself."))
            mail.rename(name, made)
            return _("The folder is now called “%s”.") % made
        case "delete":
            mail.remove(_own(pane, name).name)
            return _("The folder “%s” was deleted.") % name
        case "subscribe" | "unsubscribe":
            wanted = request.POST.get("do") == "subscribe"
            mail.subscribe(_known(pane, name).name, wanted=wanted)
            said = _("“%s” is shown in the list.") if wanted else _("“%s” is no longer shown in the list.")
            return said % name
    raise Problem(_("Please choose what to do."))


def _known(pane: tuple[Folder, ...], name: str) -> Folder:
    folder = next((f for f in pane if f.name == name), None)
    if folder is None:
        raise Problem(_("There is no such folder."))
    return folder


def _own(pane: tuple[Folder, ...], name: str) -> Folder:
    """A folder its owner made. Special ones keep their names, for programs look for them."""
    folder = _known(pane, name)
    if folder.role:
        raise Problem(_("A special folder cannot be renamed or deleted."))
    return folder


def _new_name(mail: imap.Mail, pane: tuple[Folder, ...], parent: str, typed: str) -> str:
    """The whole name of a folder to be, below `parent` ("" = top)."""
    typed = typed.strip()
    delimiter = next((f.delimiter for f in pane if f.delimiter), "/")
    if not typed or len(typed) > LONGEST:
        words = ngettext(
            "Please enter a name of at most %d character.", "Please enter a name of at most %d characters.", LONGEST
        )
        raise Problem(words % LONGEST)
    try:
        imap.clean(typed)
    except ValueError:
        raise Problem(_("A control character is not allowed here.")) from None
    if delimiter in typed or any(sign in typed for sign in "*%"):
        raise Problem(_("The signs %s cannot be used in the name of a folder.") % f"{delimiter} * %")
    whole = f"{_known(pane, parent).name}{delimiter}{typed}" if parent else mail.top() + typed
    if whole.upper() == "INBOX" or any(f.name == whole for f in pane):
        raise Problem(_("There is a folder of that name already."))
    return whole


def _ask(request: Request, mail: imap.Mail, folder: Folder) -> HttpResponse:
    return render(request, "webmail/folder_delete.html", frame.around(request, mail) | {"doomed": folder})


def _page(request: Request, mail: imap.Mail, problem: str = "", status: int = 200) -> HttpResponse:
    context = frame.around(request, mail, fresh=True) | {
        "problem": problem,
        "new": request.POST.get("new", ""),
        "parent": request.POST.get("parent", ""),
        "renamed": request.POST.get("name", "") or request.GET.get("rename", ""),
    }
    return render(request, "webmail/folders.html", context, status=status)
