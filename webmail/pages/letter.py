"""Reading a letter: the page, the frame its HTML is shown in, its files, its source."""

import io
import logging
import zipfile
from typing import Any
from urllib.parse import quote

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.safestring import mark_safe
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.clickjacking import xframe_options_sameorigin
from django.views.decorators.http import require_POST, require_safe

from webmail import gate, imap, letters, outside, parts, pictures, plain, unsubscribe
from webmail.pages import frame
from webmail.pages.box import COLUMNS
from webmail.parts import Part
from webmail.visitor import Request, signed_in

log = logging.getLogger(__name__)
_FRAME_POLICY = (
    "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; img-src data: 'self'; "
    "style-src 'unsafe-inline'; frame-ancestors 'self'; form-action 'none'; base-uri 'none'"
)
# Kinds a browser may show in place; everything else is only downloaded.
_VIEWABLE = letters.RASTER | {"application/pdf", "text/plain"}


@never_cache
@require_safe
@signed_in
def read(request: Request, mail: imap.Mail, uid: int) -> HttpResponse:
    box = frame.box_of(request)
    opened = mail.open(box, fresh=False)
    sort = request.GET.get("sort", "")
    found = mail.find(uid)
    letter = letters.letter(mail, found, request.GET.get("part", "")) if found else None
    if found is None or letter is None:
        raise Http404
    shown = letter.shown
    options = request.visitor.options
    view = request.GET.get("view") or ("html" if options.html_first else "text")
    as_html = bool(shown.html) and (view == "html" or not shown.text)
    writers = letter.head.addresses("from")
    sender = writers[0].mail if writers else ""
    always = pictures.is_wanted(request.visitor.address, sender)
    remote = options.remote_images or always or request.GET.get("images") == "1"
    wanted = shown.html if as_html else shown.text
    raw = letters.raw_parts(mail, uid, wanted, mark="\\seen" not in letter.row.flags)
    previous, following = _neighbours(mail, found, sort)
    context = frame.around(request, mail, box)
    keep = {"sort": sort, "page": request.GET.get("page", "")}
    context |= {
        "letter": letter,
        "row": letter.row,
        "head": letter.head,
        "validity": opened.validity,
        "as_html": as_html,
        "has_both": bool(shown.html and shown.text),
        "remote": remote,
        "previous": previous,
        "following": following,
        "keep": keep,
        "self": reverse("read", args=[uid]) + frame.open_query(box, **keep, part=letter.section),
        "on": frame.in_box(box, **keep),
        "compose": reverse("compose") + frame.open_query(box, of=uid) + "mode=",
        "enclosed": frame.open_query(box) + "part=",
        "writers": writers,
        "picture_sender": sender,
        "list": unsubscribe.offered(letter.head),
        "always_pictures": always,
        "inner": frame.in_box(box, part=letter.section),
        "back": frame.list_address(box, **keep),
        "files": [(part, _is_viewable(part)) for part in shown.files],
        "all_headers": request.GET.get("headers") == "all",
        "targets": [f for f in context["folders"] if f.selectable and f.name != box],
        "people": _people(letter.head),
    }
    if as_html:
        context["blocked"] = letters.html(wanted, raw, {}, remote=remote).blocked
        context["body"] = reverse("body", args=[uid]) + frame.in_box(box, part=letter.section, images=int(remote))
    else:
        text = letters.text(wanted, raw)
        context["text"] = mark_safe(gate.clean_text(plain.to_html(text)))  # noqa: S308 (it just passed the gate)
        context["empty"] = not text.strip()
    return render(request, "webmail/letter.html", context)


def _neighbours(mail: imap.Mail, found: imap.Found, sort: str) -> tuple[int | None, int | None]:
    """The letters above and below in the list the visitor came from."""
    if sort.lstrip("-") in COLUMNS and mail.can("SORT"):
        order = mail.sorted(sort.lstrip("-"), reverse=sort.startswith("-"))
        if found.row.uid in order:
            at = order.index(found.row.uid)
            return (order[at - 1] if at else None), (order[at + 1] if at + 1 < len(order) else None)
    older, newer = mail.neighbours(found.row.sequence)
    return (older, newer) if sort == "arrival" else (newer, older)


def _people(head: letters.Head) -> list[tuple[str, tuple[object, ...]]]:
    return [(name, people) for name in ("to", "cc", "bcc", "reply-to") if (people := head.addresses(name))]


def _is_viewable(part: Part) -> bool:
    return part.kind in _VIEWABLE


def _found(request: Request, mail: imap.Mail, uid: int) -> letters.Letter:
    """The letter a request names; 404 if it is gone."""
    mail.open(frame.box_of(request), fresh=False)
    found = mail.find(uid)
    letter = letters.letter(mail, found, request.GET.get("part", "")) if found else None
    if letter is None:
        raise Http404
    return letter


@never_cache
@require_safe
@xframe_options_sameorigin
@signed_in
def body(request: Request, mail: imap.Mail, uid: int) -> HttpResponse:
    """The letter's HTML, alone, for the sandboxed frame."""
    letter = _found(request, mail, uid)
    remote = request.GET.get("images") == "1"
    raw = letters.raw_parts(mail, uid, letter.shown.html)
    images = letters.images_inside(mail, uid, letter.shown.inside)
    cleaned = letters.html(letter.shown.html, raw, images, remote=remote)
    page = render_to_string("webmail/body.html", {"html": mark_safe(cleaned.html), "cut": cleaned.cut})  # noqa: S308
    return _framed(HttpResponse(page))


@never_cache
@require_safe
@signed_in
def printed(request: Request, mail: imap.Mail, uid: int) -> HttpResponse:
    """The letter on one plain sheet, under the same policy as the frame."""
    letter = _found(request, mail, uid)
    shown, remote = letter.shown, request.GET.get("images") == "1"
    context: dict[str, Any] = {
        "letter": letter,
        "head": letter.head,
        "row": letter.row,
        "writers": letter.head.addresses("from"),
        "people": _people(letter.head),
        "files": shown.files,
    }
    if shown.html:
        raw = letters.raw_parts(mail, uid, shown.html)
        images = letters.images_inside(mail, uid, shown.inside)
        context["html"] = mark_safe(letters.html(shown.html, raw, images, remote=remote).html)  # noqa: S308
    else:
        text = letters.text(shown.text, letters.raw_parts(mail, uid, shown.text))
        context["text"] = mark_safe(gate.clean_text(plain.to_html(text)))  # noqa: S308
    return _framed(render(request, "webmail/printed.html", context))


def _framed(response: HttpResponse) -> HttpResponse:
    response["Content-Security-Policy"] = _FRAME_POLICY
    response["Referrer-Policy"] = "no-referrer"
    return response


@require_POST
@signed_in
def leave_list(request: Request, mail: imap.Mail, uid: int) -> HttpResponse:
    """Unsubscribe by the one click a letter offers."""
    letter = _found(request, mail, uid)
    offer = unsubscribe.offered(letter.head)
    if offer and offer.one_click and unsubscribe.leave(offer.one_click):
        messages.success(request, _("The list was told that you no longer want its mail."))
    else:
        messages.error(request, _("The list’s server did not take it. Nothing was changed."))
    return redirect(reverse("read", args=[uid]) + frame.in_box(frame.box_of(request), part=letter.section))


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


@require_POST
@signed_in
def picture_sender(request: Request, mail: imap.Mail, uid: int) -> HttpResponse:
    """Always load this sender's pictures, or no longer."""
    letter = _found(request, mail, uid)
    if writers := letter.head.addresses("from"):
        pictures.want(request.visitor.address, writers[0].mail[:320], wanted=request.POST.get("always") == "1")
    return redirect(reverse("read", args=[uid]) + frame.in_box(frame.box_of(request), part=letter.section))


@never_cache
@require_safe
@signed_in
def part(request: Request, mail: imap.Mail, uid: int, section: str) -> HttpResponse:
    """A file of the letter: shown in place where that is safe and wanted (?view=1), else downloaded."""
    mail.open(frame.box_of(request), fresh=False)
    found = mail.find(uid)
    wanted = letters.part_at(parts.tree(found.structure), section) if found else None
    if wanted is None:
        raise Http404
    if wanted.kind == "message/rfc822":
        content = mail.contents(uid, [section]).get(section, b"")
    else:
        content = parts.decoded(wanted, mail.contents(uid, [section]).get(section, b""))
    view = request.GET.get("view") == "1" and _is_viewable(wanted)
    kind = wanted.kind if view or wanted.kind in _VIEWABLE else "application/octet-stream"
    if kind == "text/plain":
        content = parts.text_of(wanted, mail.contents(uid, [section]).get(section, b"")).encode() if view else content
        kind = "text/plain; charset=utf-8" if view else "text/plain"
    return _file(content, kind, wanted.title or f"part-{section}", inline=view)


@never_cache
@require_safe
@signed_in
def files(request: Request, mail: imap.Mail, uid: int) -> HttpResponse:
    """All files of the letter in one ZIP archive, each under a name of its own."""
    letter = _found(request, mail, uid)
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
    found = mail.find(uid)
    if found is None:
        raise Http404
    name = parts.file_name(letters.head_of(found.head).subject) or f"message-{uid}"
    return _file(_whole(request, mail, uid), "message/rfc822", f"{name}.eml", inline=False)


def _whole(request: Request, mail: imap.Mail, uid: int) -> bytes:
    mail.open(frame.box_of(request), fresh=False)
    found = mail.contents(uid, [""])
    if "" not in found:
        raise Http404
    return found[""]


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
