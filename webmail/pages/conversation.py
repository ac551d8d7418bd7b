"""A conversation as one plain page: every letter of it, those unread and the newest open."""

from typing import Any

from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from webmail import conversations, imap, labels, letters, listing
from webmail.imap import Found
from webmail.pages import frame
from webmail.pages.letter import content
from webmail.visitor import Request, signed_in

OPEN_AT_MOST = 30


@never_cache
@require_safe
@signed_in
def conversation(request: Request, mail: imap.Mail, uid: int) -> HttpResponse:
    box = frame.box_of(request)
    pane = mail.folders(younger_than=30)
    found = conversations.letters(mail, box, uid, pane)
    if not found:
        raise Http404
    keep = frame.kept(request.GET)
    if len(found) == 1:
        return redirect(reverse("read", args=[uid]) + frame.in_box(box, **keep))
    person = request.visitor
    here = reverse("conversation", args=[uid]) + frame.open_query(box, **keep)
    opened = {id(each) for each in _open(found, request.GET.get("open", ""))}
    bodies = iter(_read(request, mail, [each for each in found if id(each) in opened]))
    mine = [each.row for each in found if each.row.folder == box]
    titles = {folder.name: folder.title for folder in pane}
    context = frame.around(request, mail, box) | {
        "items": [
            {
                "row": each.row,
                "open": next(bodies) if id(each) in opened else None,
                "link": f"{here}open={listing.reference(each.row)}#m{number}",
                "alone": reverse("read", args=[each.row.uid]) + frame.in_box(each.row.folder),
                "compose": reverse("compose") + frame.open_query(each.row.folder, of=each.row.uid) + "mode=",
                "elsewhere": titles.get(each.row.folder, each.row.folder) if each.row.folder != box else "",
            }
            for number, each in enumerate(found)
        ],
        "subject": found[0].row.subject,
        "mine": mine,
        "uids": ",".join(str(row.uid) for row in mine),
        "validity": mine[0].validity,
        "keep": keep,
        "back": frame.list_address(box, **keep),
        "open_all": f"{here}open=all" if len(opened) < min(len(found), OPEN_AT_MOST) else "",
        "menus": frame.menus((f for f in pane if f.selectable and f.name != box), person.options.labels),
        "set_labels": labels.on(frozenset().union(*(row.flags for row in mine)), labels.known(person.options.labels)),
        "answered": next((each.row for each in reversed(found) if not each.row.draft), found[-1].row),
    }
    return render(request, "webmail/conversation.html", context)


def _open(found: list[Found], wanted: str) -> list[Found]:
    """The letters shown whole: unread ones, the one asked for, the newest; all if that was asked for."""
    if wanted == "all":
        return found[-OPEN_AT_MOST:]
    chosen = [
        each
        for each in found
        if not each.row.seen or each is found[-1] or wanted == f"{each.row.uid}.{each.row.validity}.{each.row.folder}"
    ]
    return chosen[-OPEN_AT_MOST:]


def _read(request: Request, mail: imap.Mail, found: list[Found]) -> list[dict[str, Any]]:
    """The content of these letters; their parts are fetched in one journey."""
    options = request.visitor.options
    read = [letters.letter(mail, each) for each in found]
    whole = [letter for letter in read if letter is not None]
    wanted = [letters.wanted(letter.shown, html=options.html_first) for letter in whole]
    sections = [(letter.row, letters.fitting(parts)) for letter, parts in zip(whole, wanted, strict=True)]
    fetched = mail.contents_across(sections, mark=options.mark_read)
    return [content(request, letter, raw, html=options.html_first) for letter, raw in zip(whole, fetched, strict=True)]
