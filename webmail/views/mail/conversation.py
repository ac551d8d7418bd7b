"""A conversation on one page: all its messages, with the unread ones and the newest opened."""

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

MAX_OPEN = 30


@never_cache
@require_safe
@requires_login
def conversation(request: Request, mail: imap_client.MailSession, uid: int) -> HttpResponse:
    box = layout.requested_folder(request)
    pane = mail.folders(younger_than=30)
    found = conversations.conversation_messages(mail, box, uid, pane)
    if not found:
        raise Http404
    state = layout.list_state(request.GET)
    if len(found) == 1:
        return redirect(reverse("read", args=[uid]) + layout.folder_query(box, **state))
    person = request.visitor
    page_link = reverse("conversation", args=[uid]) + layout.query_prefix(box, **state)
    opened = {id(each) for each in _opened_uids(found, request.GET.get("open", ""))}
    bodies = iter(_read_messages(request, mail, [each for each in found if id(each) in opened]))
    rows_here = [each.row for each in found if each.row.folder == box]
    titles = {folder.name: folder.title for folder in pane}
    context = layout.page_context(request, mail, box) | {
        "items": [
            {
                "row": each.row,
                "open": next(bodies) if id(each) in opened else None,
                "link": f"{page_link}open={list_rows.row_reference(each.row)}#m{number}",
                "alone": reverse("read", args=[each.row.uid]) + layout.folder_query(each.row.folder),
                "compose": reverse("compose") + layout.query_prefix(each.row.folder, of=each.row.uid) + "mode=",
                "elsewhere": titles.get(each.row.folder, each.row.folder) if each.row.folder != box else "",
            }
            for number, each in enumerate(found)
        ],
        "subject": found[0].row.subject,
        "mine": rows_here,
        "uids": ",".join(str(row.uid) for row in rows_here),
        "validity": rows_here[0].validity,
        "keep": state,
        "back": layout.list_address(box, **state),
        "open_all": f"{page_link}open=all" if len(opened) < min(len(found), MAX_OPEN) else "",
        "menus": layout.action_menus((f for f in pane if f.selectable and f.name != box), person.options.labels),
        "set_labels": labels.labels_of(
            frozenset().union(*(row.flags for row in rows_here)), labels.load_labels(person.options.labels)
        ),
        "answered": next((each.row for each in reversed(found) if not each.row.draft), found[-1].row),
    }
    return render(request, "webmail/conversation.html", context)


def _opened_uids(found: list[FetchedMessage], requested: str) -> list[FetchedMessage]:
    """Return the messages shown in full: unread ones, the requested one and the newest; or all if requested."""
    if requested == "all":
        return found[-MAX_OPEN:]
    chosen = [
        each
        for each in found
        if not each.row.seen
        or each is found[-1]
        or requested == f"{each.row.uid}.{each.row.validity}.{each.row.folder}"
    ]
    return chosen[-MAX_OPEN:]


def _read_messages(
    request: Request, mail: imap_client.MailSession, found: list[FetchedMessage]
) -> list[dict[str, Any]]:
    """Return the content of these messages; their parts are fetched in one round trip."""
    options = request.visitor.options
    read = [message_content.load_message(mail, each) for each in found]
    messages = [message for message in read if message is not None]
    requested = [message_content.displayed_parts(message.shown, html=options.html_first) for message in messages]
    sections = [
        (message.row, message_content.parts_within_limit(parts))
        for message, parts in zip(messages, requested, strict=True)
    ]
    fetched = mail.contents_across(sections, mark=options.mark_read)
    return [
        content_context(request, message, raw, html=options.html_first)
        for message, raw in zip(messages, fetched, strict=True)
    ]
