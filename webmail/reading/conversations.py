"""The messages of a conversation, in whichever folders they are: those received and those sent.

If the server supports THREADID (RFC 8474) it is searched for; otherwise messages are searched that refer to one of this
message's ids, or have one of them.
"""

from collections.abc import Sequence

from mailcore.wire.message import headers
from webmail.mailserver import imap_client
from webmail.mailserver.imap_client import FetchedMessage
from webmail.reading.message_content import parse_head
from webmail.values.folder_tree import Folder
from webmail.values.search_keys import AnyOf, Header, Thread

AT_MOST = 200  # the newest messages of one conversation
_IDS = 6  # how many of a message's latest references are searched for
_OUT_OF_SIGHT = ("trash", "junk")


def conversation_messages(
    mail: imap_client.MailSession, box: str, uid: int, pane: Sequence[Folder]
) -> list[FetchedMessage]:
    """Return all messages of the conversation that message `uid` of `box` belongs to, oldest first.

    The list is empty if the message no longer exists. Messages in Trash and Junk are left out, unless the reader is in
    that folder.
    """
    there: FetchedMessage | None = None
    if mail.supports("OBJECTID"):
        mail.open(box, fresh=False)
        row = mail.summary_of(uid)
    else:
        there = next(iter(mail.fetch_across({box: [uid]})), None)
        row = there.row if there else None
    if row is None:
        return []
    visible = [f.name for f in pane if f.selectable and (f.role not in _OUT_OF_SIGHT or f.name == box)]
    if row.thread:
        found = mail.search_folders(Thread(row.thread), visible)
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
        searched = [
            f.name for f in pane if f.name in visible and (f.name == box or f.role in ("inbox", "sent", "archive"))
        ]
        found = mail.search_folders(AnyOf(tuple(keys)), searched) if keys else {}
    found[box] = sorted({uid, *found.get(box, ())}, reverse=True)
    messages = mail.fetch_across({name: uids[:AT_MOST] for name, uids in found.items()})
    messages.sort(key=lambda each: (each.row.moment.timestamp() if each.row.moment else 0, each.row.uid))
    return _unique_messages(messages, box)[-AT_MOST:]


def _unique_messages(found: list[FetchedMessage], box: str) -> list[FetchedMessage]:
    """Return each message once; of copies in several folders (copied, or sent to oneself) the one in `box`."""
    by_id: dict[str, FetchedMessage] = {}
    for number, each in enumerate(found):
        key = each.row.message_id or f"#{number}"
        if key not in by_id or (each.row.folder == box and by_id[key].row.folder != box):
            by_id[key] = each
    return list(by_id.values())
