"""Reading a message: the page, the frame its HTML is shown in, unsubscribing and read receipts."""

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import mark_safe
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.clickjacking import xframe_options_sameorigin
from django.views.decorators.http import require_POST, require_safe

from mailcore.conf import content_policies
from webmail.account.session import Request, requires_login
from webmail.address_book import contact_store
from webmail.mailserver import imap_client, submission
from webmail.mailserver.server_addresses import smtp_address
from webmail.reading import message_content, read_receipts, sender_checks, unsubscribe
from webmail.sanitize import html_sanitizer, plain_text, remote_images
from webmail.values import labels, mime_parts
from webmail.values.addresses import Address
from webmail.views import layout

CHARSETS = (
    ("utf-8", gettext_lazy("Unicode (UTF-8)")),
    ("gb18030", gettext_lazy("Simplified Chinese (GB 18030)")),
    ("big5", gettext_lazy("Traditional Chinese (Big5)")),
    ("shift_jis", gettext_lazy("Japanese (Shift_JIS)")),
    ("iso-2022-jp", gettext_lazy("Japanese (ISO-2022-JP)")),
    ("euc-jp", gettext_lazy("Japanese (EUC-JP)")),
    ("euc-kr", gettext_lazy("Korean (EUC-KR)")),
    ("windows-1251", gettext_lazy("Cyrillic (Windows-1251)")),
    ("koi8-r", gettext_lazy("Cyrillic (KOI8-R)")),
    ("windows-1252", gettext_lazy("Western European (Windows-1252)")),
    ("windows-1250", gettext_lazy("Central European (Windows-1250)")),
    ("windows-1253", gettext_lazy("Greek (Windows-1253)")),
    ("windows-1254", gettext_lazy("Turkish (Windows-1254)")),
    ("windows-1255", gettext_lazy("Hebrew (Windows-1255)")),
    ("windows-1256", gettext_lazy("Arabic (Windows-1256)")),
    ("windows-874", gettext_lazy("Thai (Windows-874)")),
    ("windows-1258", gettext_lazy("Vietnamese (Windows-1258)")),
)


@never_cache
@require_safe
@requires_login
def message_page(request: Request, mail: imap_client.MailSession, uid: int) -> HttpResponse:
    box = layout.requested_folder(request)
    mail.open(box, fresh=False)
    context = load_reading(request, mail, box, uid, layout.list_state(request.GET))
    if context is None:
        raise Http404
    return render(request, "webmail/message.html", layout.page_context(request, mail, box) | context)


def load_reading(
    request: Request, mail: imap_client.MailSession, box: str, uid: int, state: dict[str, str]
) -> dict[str, Any] | None:
    """Return the context of a message of the open folder, which is marked as read; None if it no longer exists."""
    found = mail.find(uid)
    charset = chosen_charset(request)
    message = message_content.load_message(mail, found, request.GET.get("part", ""), charset) if found else None
    if found is None or message is None:
        return None
    person = request.visitor
    beside = reverse("box") == request.path
    own = (
        (layout.list_query_prefix(box, **state) + f"open={uid}")
        if beside
        else reverse("read", args=[uid]) + layout.folder_query(box, **state)
    )
    view = request.GET.get("view") or ("html" if person.options.html_first else "text")
    parts = message_content.displayed_parts(message.shown, html=view == "html")
    marks = person.options.mark_read and not message.row.seen
    raw, arrived = mail.read(message.row, message_content.parts_within_limit(parts), mark=marks)
    if view == "html" and message.shown.text and message_content.is_blank_html(parts, raw):
        view, raw = "text", message_content.fetch_parts(mail, uid, message.shown.text)
    previous, following = _neighbours(mail, uid, state["sort"], arrived)
    context = content_context(request, message, raw, html=view == "html")
    pane = mail.folders(younger_than=30)
    return context | {
        "validity": mail.open(box, fresh=False).validity,
        "previous": previous,
        "following": following,
        "keep": state,
        "folder": layout.find_folder(pane, box),
        "on": layout.folder_query(box, **state),
        "own": own + ("&" if "?" in own else "?") + (f"part={message.section}&" if message.section else ""),
        "step": (layout.list_query_prefix(box, **state) + "open=") if beside else "",
        "compose": reverse("compose") + layout.query_prefix(box, of=uid) + "mode=",
        "back": layout.list_address(box, **state),
        "menus": layout.action_menus((f for f in pane if f.selectable and f.name != box), person.options.labels),
        "all_headers": request.GET.get("headers") == "all",
        "charset": charset,
        "charsets": CHARSETS,
        "details": message_content.list_parts(message.root) if request.GET.get("headers") == "details" else None,
        "set_labels": labels.labels_of(message.row.flags, labels.load_labels(person.options.labels)),
    }


def content_context(
    request: Request, message: message_content.MessageContent, raw: dict[str, bytes], *, html: bool
) -> dict[str, Any]:
    """Return the context of the message itself: people, text or frame, files, and findings about its sender.

    `raw` are the bytes of the parts that `displayed_parts` selects.
    """
    options, person = request.visitor.options, request.visitor
    box, uid, shown = message.row.folder, message.row.uid, message.shown
    parts = message_content.displayed_parts(shown, html=html)
    as_html = bool(shown.html) and parts == shown.html
    writers = message.head.addresses("from")
    sender = writers[0].mail if writers else ""
    always_shown = remote_images.is_always_shown(person.address, sender)
    remote = options.remote_images or always_shown or request.GET.get("images") == "1"
    requester = read_receipts.receipt_address(message, person.address) if options.receipts == "ask" else None
    context: dict[str, Any] = {
        "message": message,
        "row": message.row,
        "head": message.head,
        "box": box,
        "in_box": layout.folder_query(box),
        "as_html": as_html,
        "has_both": bool(shown.html and shown.text),
        "remote": remote,
        "enclosed": layout.query_prefix(box) + "part=",
        "writers": writers,
        "encryption": mime_parts.encryption_method(message.root) if not message.section else "",
        "mailer": (message.head.first("user-agent") or message.head.first("x-mailer"))[:100],
        "picture_sender": sender,
        "list": unsubscribe.parse_offer(message.head),
        "list_id": message.head.raw_first("list-id"),
        "list_commands": unsubscribe.list_commands(message.head),
        "always_pictures": always_shown,
        "inner": layout.folder_query(box, part=message.section),
        "people": _people(message.head),
        "findings": sender_checks.check_sender(
            message.head, person.address, contact_store.known_domains(person.address), enclosed=bool(message.section)
        ),
        "receipt_for": requester,
        "receipt_doubtful": requester is not None and read_receipts.is_doubtful(message, requester),
    }
    if as_html:
        cleaned = message_content.render_html(
            parts, raw, message_content.image_names(shown), remote=remote, charset=message.charset
        )
        files = shown.files_beside(cleaned.embedded)
        context["blocked"] = cleaned.blocked
        context["lies"] = sender_checks.find_misleading_links(cleaned.html)
        context["body"] = reverse("body", args=[uid]) + layout.folder_query(
            box, part=message.section, images=int(remote), charset=message.charset
        )
    else:
        text = message_content.render_text(parts, raw, message.charset)
        context["text"] = mark_safe(html_sanitizer.sanitize_text_markup(plain_text.to_html(text)))  # noqa: S308
        context["empty"] = not text.strip()
        context["text_files"] = message_content.list_text_files(parts, raw)
        files = shown.files_beside(())
    context["archive"] = layout.folder_query(box, part=message.section, embedded="" if as_html else "1")
    context["files"] = [(part, message_content.is_viewable(part)) for part in files]
    return context


def _neighbours(mail: imap_client.MailSession, uid: int, sort: str, arrived: tuple[int, int]) -> tuple[int, int]:
    """Return the messages above and below in the list the user came from, 0 for none.

    `arrived` are the neighbours in the order of arrival.
    """
    if sort.lstrip("-") in imap_client.SORT_KEYS and mail.supports("SORT"):
        order = mail.sorted(sort.lstrip("-"), reverse=sort.startswith("-"))
        if uid in order:
            at = order.index(uid)
            return (order[at - 1] if at else 0), (order[at + 1] if at + 1 < len(order) else 0)
    return arrived if sort == "arrival" else (arrived[1], arrived[0])


def _people(head: message_content.MessageHeader) -> list[tuple[str, tuple[object, ...]]]:
    return [(name, people) for name in ("to", "cc", "bcc", "reply-to") if (people := head.people(name))]


def find_message(request: Request, mail: imap_client.MailSession, uid: int) -> message_content.MessageContent:
    """Return the message a request names.

    Raise `Http404` if it no longer exists.
    """
    mail.open(layout.requested_folder(request), fresh=False)
    fetched = mail.find(uid)
    part, charset = request.GET.get("part", ""), chosen_charset(request)
    message = message_content.load_message(mail, fetched, part, charset) if fetched else None
    if message is None:
        raise Http404
    return message


def chosen_charset(request: Request) -> str:
    """Return the charset that a reader chose by hand (?charset=…), or ""."""
    asked = request.GET.get("charset", "")
    return asked if any(asked == name for name, _title in CHARSETS) else ""


@never_cache
@require_safe
@xframe_options_sameorigin
@requires_login
def message_frame(request: Request, mail: imap_client.MailSession, uid: int) -> HttpResponse:
    """Return the message's HTML alone, for the sandboxed frame."""
    message = find_message(request, mail, uid)
    remote = request.GET.get("images") == "1"
    raw = message_content.fetch_parts(mail, uid, message.shown.html)
    images = message_content.inline_images(mail, uid, message.shown.inside)
    cleaned = message_content.render_html(message.shown.html, raw, images, remote=remote, charset=message.charset)
    context = {"html": mark_safe(cleaned.html), "cut": cleaned.cut, "options": request.visitor.options}  # noqa: S308
    page = render_to_string("webmail/body.html", context)
    return _frame_response(HttpResponse(page))


@never_cache
@require_safe
@requires_login
def print_page(request: Request, mail: imap_client.MailSession, uid: int) -> HttpResponse:
    """Show the message for printing, under the frame's content security policy."""
    message = find_message(request, mail, uid)
    shown, remote = message.shown, request.GET.get("images") == "1"
    context: dict[str, Any] = {
        "message": message,
        "head": message.head,
        "row": message.row,
        "writers": message.head.addresses("from"),
        "people": _people(message.head),
    }
    if shown.html:
        raw = message_content.fetch_parts(mail, uid, shown.html)
        images = message_content.inline_images(mail, uid, shown.inside)
        cleaned = message_content.render_html(
            shown.html, raw, message_content.image_names(shown) | images, remote=remote
        )
        context["html"] = mark_safe(cleaned.html)  # noqa: S308
        context["files"] = shown.files_beside(cleaned.embedded)
    else:
        text = message_content.render_text(shown.text, message_content.fetch_parts(mail, uid, shown.text))
        context["text"] = mark_safe(html_sanitizer.sanitize_text_markup(plain_text.to_html(text)))  # noqa: S308
        context["files"] = shown.files
    return _frame_response(render(request, "webmail/printed.html", context))


def _frame_response(response: HttpResponse) -> HttpResponse:
    response["Content-Security-Policy"] = content_policies.MESSAGE_FRAME
    response["Referrer-Policy"] = "no-referrer"
    return response


@require_POST
@requires_login
def unsubscribe_list(request: Request, mail: imap_client.MailSession, uid: int) -> HttpResponse:
    """Unsubscribe with the one-click request a message offers (RFC 8058)."""
    message = find_message(request, mail, uid)
    offer = unsubscribe.parse_offer(message.head)
    if offer and offer.one_click and unsubscribe.send_unsubscribe(offer.one_click):
        messages.success(request, _("The list has received your request to unsubscribe."))
    else:
        messages.error(request, _("The list’s server did not accept the request. Nothing was changed."))
    return redirect(
        reverse("read", args=[uid]) + layout.folder_query(layout.requested_folder(request), part=message.section)
    )


@require_POST
@requires_login
def picture_sender(request: Request, mail: imap_client.MailSession, uid: int) -> HttpResponse:
    """Record whether this sender's remote images are always shown."""
    message = find_message(request, mail, uid)
    if writers := message.head.addresses("from"):
        remote_images.always_show(
            request.visitor.address, writers[0].mail[:320], shown=request.POST.get("always") == "1"
        )
    return redirect(
        reverse("read", args=[uid]) + layout.folder_query(layout.requested_folder(request), part=message.section)
    )


@require_POST
@requires_login
def send_receipt(request: Request, mail: imap_client.MailSession, uid: int) -> HttpResponse:
    """Send the read receipt, or record that none is sent; either is offered only once."""
    message = find_message(request, mail, uid)
    person = request.visitor
    requester = read_receipts.receipt_address(message, person.address)
    if requester is not None:
        mail.set_flag([uid], "mdnsent", on=True)
        if request.POST.get("do") == "send":
            reader = Address(person.options.name, person.address)
            content = read_receipts.render_receipt(message, reader, requester, timezone.localtime())
            try:
                submission.submit_message(smtp_address(), person.login, person.secret, "", [requester.mail], content)
                messages.success(request, _("A read receipt was sent."))
            except submission.SubmissionError:
                mail.set_flag([uid], "mdnsent", on=False)
                messages.error(request, _("The receipt could not be sent."))
    return redirect(reverse("read", args=[uid]) + layout.folder_query(layout.requested_folder(request)))
