"""Export of messages as a file, and import of messages from a file."""

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
from webmail.account.session import Request, requires_login
from webmail.mailserver import imap_client
from webmail.reading import mbox_zip
from webmail.values import mime_parts
from webmail.values.folder_tree import Folder
from webmail.views import layout


def export_selected(mail: imap_client.MailSession, folder: Folder, uids: list[int]) -> HttpResponseBase:
    """Return messages of the open folder as an mbox file."""
    return _file_response(mbox_zip.export_mbox(mail, uids), f"{folder.title}.mbox", "application/mbox")


@never_cache
@require_safe
@requires_login
def export_folder(request: Request, mail: imap_client.MailSession) -> HttpResponseBase:
    """Export a whole folder: ?as=mbox or ?as=zip."""
    box = layout.requested_folder(request)
    mail.open(box)
    folder, uids = layout.find_folder(mail.folders(younger_than=30), box), mail.all_uids()
    if request.GET.get("as") == "zip":
        return _file_response(mbox_zip.export_zip(mail, uids), f"{folder.title}.zip", "application/zip")
    return export_selected(mail, folder, uids)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@requires_login
def import_export_page(request: Request, mail: imap_client.MailSession) -> HttpResponse:
    """Show the page for import and export, and import a posted file."""
    problem = ""
    if request.method == "POST":
        box, file = layout.requested_folder(request), request.FILES.get("file")
        if file is None:
            problem = _("Please choose a file.")
        else:
            try:
                outcome = mbox_zip.import_file(
                    mail,
                    box,
                    file.file,
                    file.name or "",
                    request.visitor.address,  # type: ignore[arg-type]
                )
            except mbox_zip.ArchiveTooLarge:
                problem = _("This archive is too large when it is unpacked. Please import it in parts.")
            except (ValueError, zipfile.BadZipFile, NotImplementedError, RuntimeError):
                problem = _("There is no message in this file. Messages come as .eml, as mbox, or as ZIP of these.")
            else:
                messages.success(
                    request,
                    ngettext("%d message was imported.", "%d messages were imported.", outcome.imported)
                    % outcome.imported,
                )
                if outcome.refused:
                    text = ngettext(
                        "The server refused %(n)d message: %(why)s",
                        "The server refused %(n)d messages: %(why)s",
                        outcome.refused,
                    )
                    messages.warning(request, text % {"n": outcome.refused, "why": outcome.refusal_text})
                return redirect(layout.list_address(box))
    context = layout.page_context(request, mail) | {
        "problem": problem,
        "target": layout.requested_folder(request),
        "can_fetch": bool(conf.current().webmail_fetch_mail_ports),
    }
    return render(request, "webmail/transfer.html", context, status=422 if problem else 200)


def _file_response(file: IO[bytes], name: str, kind: str) -> FileResponse:
    response = FileResponse(file, content_type=kind)
    name = mime_parts.safe_file_name(name)
    response["Content-Disposition"] = f"attachment; filename*=UTF-8''{quote(name, safe='')}"
    response["X-Content-Type-Options"] = "nosniff"
    return response
