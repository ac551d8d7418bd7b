"""A letter's files, its source, and pictures from the network: octets of strangers, never pages of this site."""

import io
import logging
import zipfile
from urllib.parse import quote

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.clickjacking import xframe_options_sameorigin
from django.views.decorators.http import require_safe

from webmail import imap, letters, outside, parts, pictures
from webmail.pages import frame
from webmail.pages.letter import found
from webmail.visitor import Request, signed_in

log = logging.getLogger(__name__)


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
    view = request.GET.get("view") == "1" and letters.is_viewable(wanted)
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
    return render(request, "webmail/preview.html", context)


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
