"""The letters of a conversation, wherever they lie: what was written to the visitor and what he answered.

Where the server names conversations (RFC 8474) it is asked for that name; else letters are looked for that
name one of this letter's ids, or are named by it.
"""

from collections.abc import Sequence

from mailcore.wire import headers
from webmail import imap
from webmail.criteria import Any, Header, Thread
from webmail.folders import Folder
from webmail.imap import Found
from webmail.letters import head_of

AT_MOST = 200  # letters of one conversation, the newest
_IDS = 6  # of a letter's references that others are looked for by
_OUT_OF_SIGHT = ("trash", "junk")


def letters(mail: imap.Mail, box: str, uid: int, pane: Sequence[Folder]) -> list[Found]:
    """All letters of the conversation that this letter of `box` belongs to, oldest first; none if it has gone.
    What was thrown away is left out, unless one looks at it there."""
    there: Found | None = None
    if mail.can("OBJECTID"):
        mail.open(box, fresh=False)
        row = mail.row_of(uid)
    else:
        there = next(iter(mail.found_across({box: [uid]})), None)
        row = there.row if there else None
    if row is None:
        return []
    places = [f.name for f in pane if f.selectable and (f.role not in _OUT_OF_SIGHT or f.name == box)]
    if row.thread:
        found = mail.search_folders(Thread(row.thread), places)
    else:
        there = there or mail.find(uid)
        if there is None:
            return []
        head = head_of(there.head)
        ids = headers.message_ids(head.raw_first("references")) or headers.message_ids(head.raw_first("in-reply-to"))
        named = [each for each in [*ids[:1], *ids[-_IDS:], *headers.message_ids(row.message_id)] if each.isascii()]
        keys = [
            key for each in dict.fromkeys(named) for key in (Header("Message-ID", each), Header("References", each))
        ]
        near = [f.name for f in pane if f.name in places and (f.name == box or f.role in ("inbox", "sent", "archive"))]
        found = mail.search_folders(Any(tuple(keys)), near) if keys else {}
    found[box] = sorted({uid, *found.get(box, ())}, reverse=True)
    letters = mail.found_across({name: uids[:AT_MOST] for name, uids in found.items()})
    letters.sort(key=lambda each: (each.row.moment.timestamp() if each.row.moment else 0, each.row.uid))
    return _each_once(letters, box)[-AT_MOST:]


def _each_once(found: list[Found], box: str) -> list[Found]:
    """A letter that lies in two folders (copied, or sent to oneself) is shown as it lies in this one."""
    by_id: dict[str, Found] = {}
    for number, each in enumerate(found):
        key = each.row.message_id or f"#{number}"
        if key not in by_id or (each.row.folder == box and by_id[key].row.folder != box):
            by_id[key] = each
    return list(by_id.values())
