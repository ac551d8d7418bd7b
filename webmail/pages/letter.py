"""Reading a letter: the page, the frame its HTML is shown in, and what its sender or list is told."""

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import mark_safe
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.clickjacking import xframe_options_sameorigin
from django.views.decorators.http import require_POST, require_safe

from webmail import (
    contacts,
    gate,
    imap,
    labels,
    letters,
    pictures,
    plain,
    receipts,
    security,
    smtp,
    unsubscribe,
)
from webmail.addresses import Address
from webmail.pages import frame
from webmail.servers import smtp_server
from webmail.visitor import Request, signed_in

_FRAME_POLICY = (
    "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; img-src data: 'self'; "
    "style-src 'unsafe-inline'; frame-ancestors 'self'; form-action 'none'; base-uri 'none'"
)


@never_cache
@require_safe
@signed_in
def read(request: Request, mail: imap.Mail, uid: int) -> HttpResponse:
    box = frame.box_of(request)
    mail.open(box, fresh=False)
    context = reading(request, mail, box, uid, frame.kept(request.GET))
    if context is None:
        raise Http404
    return render(request, "webmail/letter.html", frame.around(request, mail, box) | context)


def reading(request: Request, mail: imap.Mail, box: str, uid: int, keep: dict[str, str]) -> dict[str, Any] | None:
    """What a page shows of a letter of the open folder, which is marked as read; None if it has gone."""
    found = mail.find(uid)
    letter = letters.letter(mail, found, request.GET.get("part", "")) if found else None
    if found is None or letter is None:
        return None
    person = request.visitor
    beside = reverse("box") == request.path
    own = (
        (frame.list_query(box, **keep) + f"open={uid}")
        if beside
        else reverse("read", args=[uid]) + frame.in_box(box, **keep)
    )
    view = request.GET.get("view") or ("html" if person.options.html_first else "text")
    wanted = letters.wanted(letter.shown, html=view == "html")
    marks = person.options.mark_read and not letter.row.seen
    raw, arrived = mail.read(letter.row, letters.fitting(wanted), mark=marks)
    previous, following = _neighbours(mail, uid, keep["sort"], arrived)
    context = content(request, letter, raw, html=view == "html")
    pane = mail.folders(younger_than=30)
    return context | {
        "validity": mail.open(box, fresh=False).validity,
        "previous": previous,
        "following": following,
        "keep": keep,
        "folder": frame.folder_named(pane, box),
        "on": frame.in_box(box, **keep),
        "own": own + ("&" if "?" in own else "?") + (f"part={letter.section}&" if letter.section else ""),
        "step": (frame.list_query(box, **keep) + "open=") if beside else "",
        "compose": reverse("compose") + frame.open_query(box, of=uid) + "mode=",
        "back": frame.list_address(box, **keep),
        "menus": frame.menus((f for f in pane if f.selectable and f.name != box), person.options.labels),
        "all_headers": request.GET.get("headers") == "all",
        "details": letters.outline(letter.root) if request.GET.get("headers") == "details" else None,
        "set_labels": labels.on(letter.row.flags, labels.known(person.options.labels)),
    }


def content(request: Request, letter: letters.Letter, raw: dict[str, bytes], *, html: bool) -> dict[str, Any]:
    """The letter itself: people, text or frame, files, and what there is to know of it. `raw`: the octets of
    the parts `letters.wanted` names."""
    options, person = request.visitor.options, request.visitor
    box, uid, shown = letter.row.folder, letter.row.uid, letter.shown
    wanted = letters.wanted(shown, html=html)
    as_html = bool(shown.html) and wanted == shown.html
    writers = letter.head.addresses("from")
    sender = writers[0].mail if writers else ""
    always = pictures.is_wanted(person.address, sender)
    remote = options.remote_images or always or request.GET.get("images") == "1"
    asking = receipts.wanted_by(letter, person.address) if options.receipts == "ask" else None
    context: dict[str, Any] = {
        "letter": letter,
        "row": letter.row,
        "head": letter.head,
        "box": box,
        "in_box": frame.in_box(box),
        "as_html": as_html,
        "has_both": bool(shown.html and shown.text),
        "remote": remote,
        "enclosed": frame.open_query(box) + "part=",
        "writers": writers,
        "mailer": (letter.head.first("user-agent") or letter.head.first("x-mailer"))[:100],
        "picture_sender": sender,
        "list": unsubscribe.offered(letter.head),
        "list_id": letter.head.raw_first("list-id"),
        "list_commands": unsubscribe.commands(letter.head),
        "always_pictures": always,
        "inner": frame.in_box(box, part=letter.section),
        "files": [(part, letters.is_viewable(part)) for part in shown.files],
        "people": _people(letter.head),
        "findings": security.findings(
            letter.head, person.address, contacts.domains(person.address), enclosed=bool(letter.section)
        ),
        "receipt_for": asking,
        "receipt_doubtful": asking is not None and receipts.is_doubtful(letter, asking),
    }
    if as_html:
        cleaned = letters.html(wanted, raw, {}, remote=remote)
        context["blocked"] = cleaned.blocked
        context["lies"] = security.lying_links(cleaned.html)
        context["body"] = reverse("body", args=[uid]) + frame.in_box(box, part=letter.section, images=int(remote))
    else:
        text = letters.text(wanted, raw)
        context["text"] = mark_safe(gate.clean_text(plain.to_html(text)))  # noqa: S308 (it just passed the gate)
        context["empty"] = not text.strip()
    return context


def _neighbours(mail: imap.Mail, uid: int, sort: str, arrived: tuple[int, int]) -> tuple[int, int]:
    """The letters above and below in the list the visitor came from, 0 for none; `arrived` before and after it."""
    if sort.lstrip("-") in imap.SORT_KEYS and mail.can("SORT"):
        order = mail.sorted(sort.lstrip("-"), reverse=sort.startswith("-"))
        if uid in order:
            at = order.index(uid)
            return (order[at - 1] if at else 0), (order[at + 1] if at + 1 < len(order) else 0)
    return arrived if sort == "arrival" else (arrived[1], arrived[0])


def _people(head: letters.Head) -> list[tuple[str, tuple[object, ...]]]:
    return [(name, people) for name in ("to", "cc", "bcc", "reply-to") if (people := head.addresses(name))]


def found(request: Request, mail: imap.Mail, uid: int) -> letters.Letter:
    """The letter a request names; 404 if it is gone."""
    mail.open(frame.box_of(request), fresh=False)
    there = mail.find(uid)
    letter = letters.letter(mail, there, request.GET.get("part", "")) if there else None
    if letter is None:
        raise Http404
    return letter


@never_cache
@require_safe
@xframe_options_sameorigin
@signed_in
def body(request: Request, mail: imap.Mail, uid: int) -> HttpResponse:
    """The letter's HTML, alone, for the sandboxed frame."""
    letter = found(request, mail, uid)
    remote = request.GET.get("images") == "1"
    raw = letters.raw_parts(mail, uid, letter.shown.html)
    images = letters.images_inside(mail, uid, letter.shown.inside)
    cleaned = letters.html(letter.shown.html, raw, images, remote=remote)
    context = {"html": mark_safe(cleaned.html), "cut": cleaned.cut, "options": request.visitor.options}  # noqa: S308
    page = render_to_string("webmail/body.html", context)
    return _framed(HttpResponse(page))


@never_cache
@require_safe
@signed_in
def printed(request: Request, mail: imap.Mail, uid: int) -> HttpResponse:
    """The letter on one plain sheet, under the same policy as the frame."""
    letter = found(request, mail, uid)
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
    letter = found(request, mail, uid)
    offer = unsubscribe.offered(letter.head)
    if offer and offer.one_click and unsubscribe.leave(offer.one_click):
        messages.success(request, _("The list was told that you no longer want its mail."))
    else:
        messages.error(request, _("The list’s server did not take it. Nothing was changed."))
    return redirect(reverse("read", args=[uid]) + frame.in_box(frame.box_of(request), part=letter.section))


@require_POST
@signed_in
def picture_sender(request: Request, mail: imap.Mail, uid: int) -> HttpResponse:
    """Always load this sender's pictures, or no longer."""
    letter = found(request, mail, uid)
    if writers := letter.head.addresses("from"):
        pictures.want(request.visitor.address, writers[0].mail[:320], wanted=request.POST.get("always") == "1")
    return redirect(reverse("read", args=[uid]) + frame.in_box(frame.box_of(request), part=letter.section))


@require_POST
@signed_in
def receipt(request: Request, mail: imap.Mail, uid: int) -> HttpResponse:
    """Tell the sender that his letter was read, or that nobody will tell him; either is asked only once."""
    letter = found(request, mail, uid)
    person = request.visitor
    asking = receipts.wanted_by(letter, person.address)
    if asking is not None:
        mail.mark([uid], "mdnsent", on=True)
        if request.POST.get("do") == "send":
            reader = Address(person.options.name, person.address)
            content = receipts.render(letter, reader, asking, timezone.localtime())
            try:
                smtp.send(smtp_server(), person.login, person.secret, "", [asking.mail], content)
                messages.success(request, _("The sender is told that you read this."))
            except smtp.NotSent:
                mail.mark([uid], "mdnsent", on=False)
                messages.error(request, _("The receipt could not be sent."))
    return redirect(reverse("read", args=[uid]) + frame.in_box(frame.box_of(request)))
