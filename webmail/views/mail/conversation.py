"""A conversation as one plain page: every message of it, those unread and the newest open."""

from typing import Any

from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from webmail.account.session import Request, requires_login
from webmail.mailserver import imap_client
from webmail.mailserver.imap_client import FetchedMessage
from webmail.reading import conversations, list_rows, message_content
from webmail.values import labels
from webmail.views import layout
from webmail.views.mail.message import content_context

OPEN_AT_MOST = 30


@never_cache
@require_safe
@requires_login
def conversation(request: Request, mail: imap_client.MailSession, uid: int) -> HttpResponse:
    box = layout.requested_folder(request)
    pane = mail.folders(younger_than=30)
    found = conversations.conversation_messages(mail, box, uid, pane)
    if not found:
        raise Http404
    keep = layout.list_state(request.GET)
    if len(found) == 1:
        return redirect(reverse("read", args=[uid]) + layout.folder_query(box, **keep))
    person = request.visitor
    here = reverse("conversation", args=[uid]) + layout.query_prefix(box, **keep)
    opened = {id(each) for each in _opened_uids(found, request.GET.get("open", ""))}
    bodies = iter(_read_messages(request, mail, [each for each in found if id(each) in opened]))
    mine = [each.row for each in found if each.row.folder == box]
    titles = {folder.name: folder.title for folder in pane}
    context = layout.page_context(request, mail, box) | {
        "items": [
            {
                "row": each.row,
                "open": next(bodies) if id(each) in opened else None,
                "link": f"{here}open={list_rows.row_reference(each.row)}#m{number}",
                "alone": reverse("read", args=[each.row.uid]) + layout.folder_query(each.row.folder),
                "compose": reverse("compose") + layout.query_prefix(each.row.folder, of=each.row.uid) + "mode=",
                "elsewhere": titles.get(each.row.folder, each.row.folder) if each.row.folder != box else "",
            }
            for number, each in enumerate(found)
        ],
        "subject": found[0].row.subject,
        "mine": mine,
        "uids": ",".join(str(row.uid) for row in mine),
        "validity": mine[0].validity,
        "keep": keep,
        "back": layout.list_address(box, **keep),
        "open_all": f"{here}open=all" if len(opened) < min(len(found), OPEN_AT_MOST) else "",
        "menus": layout.action_menus((f for f in pane if f.selectable and f.name != box), person.options.labels),
        "set_labels": labels.labels_of(
            frozenset().union(*(row.flags for row in mine)), labels.load_labels(person.options.labels)
        ),
        "answered": next((each.row for each in reversed(found) if not each.row.draft), found[-1].row),
    }
    return render(request, "webmail/conversation.html", context)


def _opened_uids(found: list[FetchedMessage], wanted: str) -> list[FetchedMessage]:
    """The messages shown whole: unread ones, the one asked for, the newest; all if that was asked for."""
    if wanted == "all":
        return found[-OPEN_AT_MOST:]
    chosen = [
        each
        for each in found
        if not each.row.seen or each is found[-1] or wanted == f"{each.row.uid}.{each.row.validity}.{each.row.folder}"
    ]
    return chosen[-OPEN_AT_MOST:]


def _read_messages(
    request: Request, mail: imap_client.MailSession, found: list[FetchedMessage]
) -> list[dict[str, Any]]:
    """The content of these messages; their parts are fetched in one journey."""
    options = request.visitor.options
    read = [message_content.load_message(mail, each) for each in found]
    whole = [message for message in read if message is not None]
    wanted = [message_content.displayed_parts(message.shown, html=options.html_first) for message in whole]
    sections = [
        (message.row, message_content.parts_within_limit(parts)) for message, parts in zip(whole, wanted, strict=True)
    ]
    fetched = mail.contents_across(sections, mark=options.mark_read)
    return [
        content_context(request, message, raw, html=options.html_first)
        for message, raw in zip(whole, fetched, strict=True)
    ]
