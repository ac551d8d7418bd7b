"""Letters out as a file, letters of a file in."""

import zipfile
from typing import IO
from urllib.parse import quote

from django.contrib import messages
from django.http import FileResponse, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from mailcore import conf
from webmail import imap, parts, transfer
from webmail.folders import Folder
from webmail.pages import frame
from webmail.visitor import Request, signed_in


def chosen(mail: imap.Mail, folder: Folder, uids: list[int]) -> HttpResponseBase:
    """These letters of the open folder as an mbox file."""
    return _sent(transfer.as_mbox(mail, uids), f"{folder.title}.mbox", "application/mbox")


@never_cache
@require_safe
@signed_in
def export(request: Request, mail: imap.Mail) -> HttpResponseBase:
    """A whole folder: ?as=mbox or ?as=zip."""
    box = frame.box_of(request)
    mail.open(box)
    folder, uids = frame.folder_named(mail.folders(younger_than=30), box), mail.all_uids()
    if request.GET.get("as") == "zip":
        return _sent(transfer.as_zip(mail, uids), f"{folder.title}.zip", "application/zip")
    return chosen(mail, folder, uids)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def move(request: Request, mail: imap.Mail) -> HttpResponse:
    """The page for both ways."""
    problem = ""
    if request.method == "POST":
        box, file = frame.box_of(request), request.FILES.get("file")
        if file is None:
            problem = _("Please choose a file.")
        else:
            try:
                done = transfer.take_in(
                    mail,
                    box,
                    file.file,
                    file.name or "",
                    request.visitor.address,  # type: ignore[arg-type]
                )
            except (ValueError, zipfile.BadZipFile, NotImplementedError, RuntimeError):
                problem = _("There is no message in this file. Messages come as .eml, as mbox, or as ZIP of these.")
            else:
                messages.success(
                    request, ngettext("%d message was imported.", "%d messages were imported.", done.taken) % done.taken
                )
                if done.refused:
                    said = ngettext(
                        "The server refused %(n)d message: %(why)s",
                        "The server refused %(n)d messages: %(why)s",
                        done.refused,
                    )
                    messages.warning(request, said % {"n": done.refused, "why": done.said})
                return redirect(frame.list_address(box))
    context = frame.around(request, mail) | {
        "problem": problem,
        "target": frame.box_of(request),
        "can_fetch": bool(conf.current().webmail_fetch_mail_ports),
    }
    return render(request, "webmail/transfer.html", context, status=422 if problem else 200)


def _sent(file: IO[bytes], name: str, kind: str) -> FileResponse:
    response = FileResponse(file, content_type=kind)
    name = parts.file_name(name)
    response["Content-Disposition"] = f"attachment; filename*=UTF-8''{quote(name, safe='')}"
    response["X-Content-Type-Options"] = "nosniff"
    return response
