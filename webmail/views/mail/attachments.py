"""A message's files, its source, and remote images: untrusted content, never a page of this site."""

import io
import logging
import zipfile
from urllib.parse import quote

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.clickjacking import xframe_options_sameorigin
from django.views.decorators.http import require_POST, require_safe

from mailcore.conf import content_policies
from webmail.account.session import Request, requires_login
from webmail.address_book import contact_store, vcard_csv
from webmail.mailserver import imap_client
from webmail.reading import message_content
from webmail.sanitize import remote_images, safe_http
from webmail.values import mime_parts, uuencoded_files
from webmail.values.mime_parts import safe_file_name
from webmail.views import layout
from webmail.views.mail.message import find_message

log = logging.getLogger("webmail.attachments")

DETAIL_NAMES = {  # names of the properties in vcard_csv.DETAILS
    "EMAIL": gettext_lazy("E-mail address"),
    "TEL": gettext_lazy("Telephone"),
    "ORG": gettext_lazy("Organisation"),
    "TITLE": pgettext_lazy("position", "Title"),
    "ROLE": pgettext_lazy("position", "Role"),
    "ADR": gettext_lazy("Postal address"),
    "URL": gettext_lazy("Web page"),
    "BDAY": gettext_lazy("Birthday"),
    "NICKNAME": gettext_lazy("Nickname"),
    "NOTE": gettext_lazy("Notes"),
}


@require_safe
def remote_picture(_request: HttpRequest, token: str) -> HttpResponse:
    """Return a remote image through our proxy; the reason of a failure is only logged."""
    try:
        content, kind = remote_images.fetch_image(token)
    except safe_http.ServerBusy:
        return HttpResponse(status=503, headers={"Retry-After": "2"})
    except safe_http.FetchError as fault:
        log.info("cannot fetch remote image: %s", fault)
        return HttpResponse(status=404)
    response = _file_response(content, kind, "", inline=True)
    response["Cache-Control"] = f"private, max-age={remote_images.LINK_LIFETIME}"
    return response


@never_cache
@require_safe
@xframe_options_sameorigin
@requires_login
def download_part(request: Request, mail: imap_client.MailSession, uid: int, section: str) -> HttpResponse:
    """Return a file of the message: displayed inline if that is safe and requested (?view=1), else for download."""
    mail.open(layout.requested_folder(request), fresh=False)
    fetched = mail.find(uid)
    wanted_part = message_content.find_part(mime_parts.parse_structure(fetched.structure), section) if fetched else None
    if wanted_part is None:
        raise Http404
    if wanted_part.kind == "message/rfc822":
        content = mail.contents(uid, [section]).get(section, b"")
    else:
        content = mime_parts.decode_part(wanted_part, mail.contents(uid, [section]).get(section, b""))
    view = request.GET.get("view") == "1" and wanted_part.kind in message_content.VIEWABLE
    kind = wanted_part.kind if view or wanted_part.kind in message_content.VIEWABLE else "application/octet-stream"
    if kind == "text/plain":
        content = (
            mime_parts.part_text(wanted_part, mail.contents(uid, [section]).get(section, b"")).encode()
            if view
            else content
        )
        kind = "text/plain; charset=utf-8" if view else "text/plain"
    return _file_response(content, kind, wanted_part.download_name, inline=view)


@never_cache
@require_safe
@requires_login
def download_text_file(
    request: Request, mail: imap_client.MailSession, uid: int, section: str, number: int
) -> HttpResponse:
    """Return a file that stands uuencoded in the text of a part."""
    mail.open(layout.requested_folder(request), fresh=False)
    fetched = mail.find(uid)
    part = message_content.find_part(mime_parts.parse_structure(fetched.structure), section) if fetched else None
    if part is None or part.kind != "text/plain":
        raise Http404
    text = mime_parts.part_text(part, mail.contents(uid, [section]).get(section, b""))
    files = uuencoded_files.find_files(text)
    if number >= len(files):
        raise Http404
    content = uuencoded_files.decode_file(text, files[number])
    name = safe_file_name(files[number].name) or "file"
    return _file_response(content, "application/octet-stream", name, inline=False)


@never_cache
@require_safe
@requires_login
def preview_part(request: Request, mail: imap_client.MailSession, uid: int, section: str) -> HttpResponse:
    """Show a page for one file: an image, a PDF or text in a frame of its own, with links to the other files."""
    message = find_message(request, mail, uid)
    files = message.shown.files_beside(())
    chosen = next((part for part in files if part.section == section), None)
    if chosen is None:
        raise Http404
    box = layout.requested_folder(request)
    viewable = [part for part in files if message_content.is_viewable(part)]
    number = viewable.index(chosen) if chosen in viewable else -1
    context = layout.page_context(request, mail, box) | {
        "message": message,
        "part": chosen,
        "viewable": number >= 0,
        "previous": viewable[number - 1] if number > 0 else None,
        "following": viewable[number + 1] if 0 <= number < len(viewable) - 1 else None,
        "inner": layout.folder_query(box, part=message.section),
        "view": reverse("part", args=[uid, section]) + layout.query_prefix(box) + "view=1",
    }
    if message_content.is_vcard(chosen):
        context["people"] = [
            (person, [(DETAIL_NAMES[kind], value) for kind, value in person.details])
            for person in vcard_csv.read_vcards(_part_bytes(mail, uid, chosen)[: vcard_csv.LARGEST])
        ]
    return render(request, "webmail/preview.html", context)


@require_POST
@requires_login
def import_vcard(request: Request, mail: imap_client.MailSession, uid: int, section: str) -> HttpResponse:
    """Import the contacts of an attached vCard into the address book."""
    message = find_message(request, mail, uid)
    part = next(
        (part for part in message.shown.files if part.section == section and message_content.is_vcard(part)), None
    )
    if part is None:
        raise Http404
    cards = vcard_csv.read_contacts(_part_bytes(mail, uid, part)[: vcard_csv.LARGEST])
    outcome = contact_store.import_cards(request.visitor.address, cards)
    if not cards:
        messages.warning(request, _("No card in this file has an e-mail address."))
    else:
        text = _("Contacts added: %(added)d, changed: %(changed)d, skipped: %(passed)d.")
        messages.success(
            request, text % {"added": outcome.added, "changed": outcome.changed, "passed": outcome.skipped}
        )
    query = layout.folder_query(layout.requested_folder(request), part=message.section)
    return redirect(reverse("preview", args=[uid, section]) + query)


def _part_bytes(mail: imap_client.MailSession, uid: int, part: mime_parts.MimePart) -> bytes:
    return mime_parts.decode_part(part, mail.contents(uid, [part.section]).get(part.section, b""))


@never_cache
@require_safe
@requires_login
def download_all(request: Request, mail: imap_client.MailSession, uid: int) -> HttpResponse:
    """Return all files of the message in one ZIP archive, under unique names.

    With ?embedded=1 the images that its HTML shows are among them, as in the list beside its plain text.
    """
    message = find_message(request, mail, uid)
    with_embedded = request.GET.get("embedded") == "1"
    files = message.shown.files_beside(()) if with_embedded else message_content.list_files(mail, message)
    raw = mail.contents(uid, [part.section for part in files])
    target = io.BytesIO()
    used_names: set[str] = set()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for part in files:
            data = raw.get(part.section, b"")
            name = _free_name(part.download_name, used_names)
            archive.writestr(name, data if part.kind == "message/rfc822" else mime_parts.decode_part(part, data))
    name = mime_parts.safe_file_name(message.head.subject) or f"message-{uid}"
    return _file_response(target.getvalue(), "application/zip", f"{name}.zip", inline=False)


def _free_name(name: str, used_names: set[str]) -> str:
    """Return `name`, or name-2 and so on if it is taken; case is ignored, as some file systems do."""
    stem, dot, end = name.rpartition(".") if "." in name[1:] else (name, "", "")
    free, number = name, 1
    while free.casefold() in used_names:
        number += 1
        free = f"{stem}-{number}{dot}{end}"
    used_names.add(free.casefold())
    return free


@never_cache
@require_safe
@requires_login
def message_source(request: Request, mail: imap_client.MailSession, uid: int) -> HttpResponse:
    return _file_response(_whole_message(request, mail, uid), "text/plain; charset=utf-8", "", inline=True)


@never_cache
@require_safe
@requires_login
def download_message(request: Request, mail: imap_client.MailSession, uid: int) -> HttpResponse:
    mail.open(layout.requested_folder(request), fresh=False)
    fetched = mail.find(uid)
    if fetched is None:
        raise Http404
    name = mime_parts.safe_file_name(message_content.parse_head(fetched.head).subject) or f"message-{uid}"
    return _file_response(_whole_message(request, mail, uid), "message/rfc822", f"{name}.eml", inline=False)


def _whole_message(request: Request, mail: imap_client.MailSession, uid: int) -> bytes:
    mail.open(layout.requested_folder(request), fresh=False)
    whole = mail.contents(uid, [""])
    if "" not in whole:
        raise Http404
    return whole[""]


def _file_response(content: bytes, kind: str, name: str, *, inline: bool) -> HttpResponse:
    """Return untrusted content, protected by nosniff and a content security policy; its name follows RFC 6266."""
    response = HttpResponse(content, content_type=kind)
    disposition = "inline" if inline else "attachment"
    if name:
        plain_name = "".join(c if c.isascii() and (c.isalnum() or c in " ._-") else "_" for c in name)
        disposition += f"; filename=\"{plain_name}\"; filename*=UTF-8''{quote(name, safe='')}"
    response["Content-Disposition"] = disposition
    response["X-Content-Type-Options"] = "nosniff"
    is_pdf = kind == "application/pdf"
    response["Content-Security-Policy"] = content_policies.PDF_FILE if is_pdf else content_policies.FILE
    return response
