"""The messages of a conversation, wherever they lie: what was written to the visitor and what he answered.

Where the server names conversations (RFC 8474) it is asked for that name; else messages are looked for that
name one of this message's ids, or are named by it.
"""

from collections.abc import Sequence

from mailcore.wire.message import headers
from webmail.mailserver import imap_client
from webmail.mailserver.imap_client import FetchedMessage
from webmail.reading.message_content import parse_head
from webmail.values.folder_tree import Folder
from webmail.values.search_keys import AnyOf, Header, Thread

AT_MOST = 200  # messages of one conversation, the newest
_IDS = 6  # of a message's references that others are looked for by
_OUT_OF_SIGHT = ("trash", "junk")


def conversation_messages(
    mail: imap_client.MailSession, box: str, uid: int, pane: Sequence[Folder]
) -> list[FetchedMessage]:
    """All messages of the conversation that this message of `box` belongs to, oldest first; none if it has gone.
    What was thrown away is left out, unless one looks at it there."""
    there: FetchedMessage | None = None
    if mail.supports("OBJECTID"):
        mail.open(box, fresh=False)
        row = mail.summary_of(uid)
    else:
        there = next(iter(mail.fetch_across({box: [uid]})), None)
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
        head = parse_head(there.head)
        ids = headers.parse_message_ids(head.raw_first("references")) or headers.parse_message_ids(
            head.raw_first("in-reply-to")
        )
        named = [
            each for each in [*ids[:1], *ids[-_IDS:], *headers.parse_message_ids(row.message_id)] if each.isascii()
        ]
        keys = [
            key for each in dict.fromkeys(named) for key in (Header("Message-ID", each), Header("References", each))
        ]
        near = [f.name for f in pane if f.name in places and (f.name == box or f.role in ("inbox", "sent", "archive"))]
        found = mail.search_folders(AnyOf(tuple(keys)), near) if keys else {}
    found[box] = sorted({uid, *found.get(box, ())}, reverse=True)
    messages = mail.fetch_across({name: uids[:AT_MOST] for name, uids in found.items()})
    messages.sort(key=lambda each: (each.row.moment.timestamp() if each.row.moment else 0, each.row.uid))
    return _unique_messages(messages, box)[-AT_MOST:]


def _unique_messages(found: list[FetchedMessage], box: str) -> list[FetchedMessage]:
    """A message that lies in two folders (copied, or sent to oneself) is shown as it lies in this one."""
    by_id: dict[str, FetchedMessage] = {}
    for number, each in enumerate(found):
        key = each.row.message_id or f"#{number}"
        if key not in by_id or (each.row.folder == box and by_id[key].row.folder != box):
            by_id[key] = each
    return list(by_id.values())
