"""A letter's files, its source, and pictures from the network: octets of strangers, never pages of this site."""

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

from webmail import cards, contacts, imap, letters, outside, parts, pictures
from webmail.pages import frame
from webmail.pages.letter import found
from webmail.visitor import Request, signed_in

log = logging.getLogger(__name__)

DETAIL_NAMES = {  # of cards.DETAILS
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
def picture(_request: HttpRequest, token: str) -> HttpResponse:
    """A picture from the network, fetched by us. Why there is none is nobody's business but the log's."""
    try:
        content, kind = pictures.fetch(token)
    except outside.Busy:
        return HttpResponse(status=503, headers={"Retry-After": "2"})
    except outside.NotFetched as fault:
        log.info("a picture was not fetched: %s", fault)
        return HttpResponse(status=404)
    response = _file(content, kind, "", inline=True)
    response["Cache-Control"] = f"private, max-age={pictures.VALID_FOR}"
    return response


@never_cache
@require_safe
@xframe_options_sameorigin
@signed_in
def part(request: Request, mail: imap.Mail, uid: int, section: str) -> HttpResponse:
    """A file of the letter: shown in place where that is safe and wanted (?view=1), else downloaded."""
    mail.open(frame.box_of(request), fresh=False)
    there = mail.find(uid)
    wanted = letters.part_at(parts.tree(there.structure), section) if there else None
    if wanted is None:
        raise Http404
    if wanted.kind == "message/rfc822":
        content = mail.contents(uid, [section]).get(section, b"")
    else:
        content = parts.decoded(wanted, mail.contents(uid, [section]).get(section, b""))
    view = request.GET.get("view") == "1" and wanted.kind in letters.VIEWABLE
    kind = wanted.kind if view or wanted.kind in letters.VIEWABLE else "application/octet-stream"
    if kind == "text/plain":
        content = parts.text_of(wanted, mail.contents(uid, [section]).get(section, b"")).encode() if view else content
        kind = "text/plain; charset=utf-8" if view else "text/plain"
    return _file(content, kind, wanted.title or f"part-{section}", inline=view)


@never_cache
@require_safe
@signed_in
def preview(request: Request, mail: imap.Mail, uid: int, section: str) -> HttpResponse:
    """A page for one file: an image, PDF or text in a frame of its own, beside the letter's other files."""
    letter = found(request, mail, uid)
    at = next((n for n, part in enumerate(letter.shown.files) if part.section == section), None)
    if at is None:
        raise Http404
    box = frame.box_of(request)
    files = [part for part in letter.shown.files if letters.is_viewable(part)]
    number = files.index(letter.shown.files[at]) if letter.shown.files[at] in files else -1
    context = frame.around(request, mail, box) | {
        "letter": letter,
        "part": letter.shown.files[at],
        "viewable": number >= 0,
        "previous": files[number - 1] if number > 0 else None,
        "following": files[number + 1] if 0 <= number < len(files) - 1 else None,
        "inner": frame.in_box(box, part=letter.section),
        "view": reverse("part", args=[uid, section]) + frame.open_query(box) + "view=1",
    }
    if letters.is_card(letter.shown.files[at]):
        context["people"] = [
            (person, [(DETAIL_NAMES[kind], value) for kind, value in person.details])
            for person in cards.people(_octets(mail, uid, letter.shown.files[at])[: cards.LARGEST])
        ]
    return render(request, "webmail/preview.html", context)


@require_POST
@signed_in
def take_card(request: Request, mail: imap.Mail, uid: int, section: str) -> HttpResponse:
    """The people of an attached vCard into the address book."""
    letter = found(request, mail, uid)
    part = next((part for part in letter.shown.files if part.section == section and letters.is_card(part)), None)
    if part is None:
        raise Http404
    given = cards.read(_octets(mail, uid, part)[: cards.LARGEST])
    kept = contacts.take_in(request.visitor.address, given)
    if not given:
        messages.warning(request, _("No card in this file has an e-mail address."))
    else:
        said = _("Contacts added: %(added)d, changed: %(changed)d, passed over: %(passed)d.")
        messages.success(request, said % {"added": kept.added, "changed": kept.changed, "passed": kept.passed_over})
    query = frame.in_box(frame.box_of(request), part=letter.section)
    return redirect(reverse("preview", args=[uid, section]) + query)


def _octets(mail: imap.Mail, uid: int, part: parts.Part) -> bytes:
    return parts.decoded(part, mail.contents(uid, [part.section]).get(part.section, b""))


@never_cache
@require_safe
@signed_in
def files(request: Request, mail: imap.Mail, uid: int) -> HttpResponse:
    """All files of the letter in one ZIP archive, each under a name of its own."""
    letter = found(request, mail, uid)
    wanted = letter.shown.files
    raw = mail.contents(uid, [part.section for part in wanted])
    target = io.BytesIO()
    taken: set[str] = set()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for part in wanted:
            octets = raw.get(part.section, b"")
            name = _free_name(part.title or f"part-{part.section}", taken)
            archive.writestr(name, octets if part.kind == "message/rfc822" else parts.decoded(part, octets))
    name = parts.file_name(letter.head.subject) or f"message-{uid}"
    return _file(target.getvalue(), "application/zip", f"{name}.zip", inline=False)


def _free_name(name: str, taken: set[str]) -> str:
    """`name`, or name-2 and so on where some file system would take two for one."""
    stem, dot, end = name.rpartition(".") if "." in name[1:] else (name, "", "")
    free, number = name, 1
    while free.casefold() in taken:
        number += 1
        free = f"{stem}-{number}{dot}{end}"
    taken.add(free.casefold())
    return free


@never_cache
@require_safe
@signed_in
def source(request: Request, mail: imap.Mail, uid: int) -> HttpResponse:
    return _file(_whole(request, mail, uid), "text/plain; charset=utf-8", "", inline=True)


@never_cache
@require_safe
@signed_in
def download(request: Request, mail: imap.Mail, uid: int) -> HttpResponse:
    mail.open(frame.box_of(request), fresh=False)
    there = mail.find(uid)
    if there is None:
        raise Http404
    name = parts.file_name(letters.head_of(there.head).subject) or f"message-{uid}"
    return _file(_whole(request, mail, uid), "message/rfc822", f"{name}.eml", inline=False)


def _whole(request: Request, mail: imap.Mail, uid: int) -> bytes:
    mail.open(frame.box_of(request), fresh=False)
    whole = mail.contents(uid, [""])
    if "" not in whole:
        raise Http404
    return whole[""]


def _file(content: bytes, kind: str, name: str, *, inline: bool) -> HttpResponse:
    """Never a page of this site: nosniff, no scripts, its name as RFC 6266 has it."""
    response = HttpResponse(content, content_type=kind)
    manner = "inline" if inline else "attachment"
    if name:
        plain_name = "".join(c if c.isascii() and (c.isalnum() or c in " ._-") else "_" for c in name)
        manner += f"; filename=\"{plain_name}\"; filename*=UTF-8''{quote(name, safe='')}"
    response["Content-Disposition"] = manner
    response["X-Content-Type-Options"] = "nosniff"
    # A browser's own PDF viewer does not run in a sandbox.
    sandbox = "" if kind == "application/pdf" else "sandbox; "
    policy = "default-src 'none'; img-src 'self'; style-src 'unsafe-inline'; frame-ancestors 'self'"
    response["Content-Security-Policy"] = sandbox + policy
    return response
