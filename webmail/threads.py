"""Conversations of one folder as lists of UIDs: read from a server's THREAD, or made by us where it has none."""

from collections.abc import Iterator

from mailcore.wire import headers
from mailcore.wire import subject as subjects
from mailcore.wire.charsets import fold
from mailcore.wire.imap import thread
from webmail import answers, rows

ITEMS = "(UID ENVELOPE BODY.PEEK[HEADER.FIELDS (REFERENCES)])"  # what `made` needs of a letter
AT_MOST = 2000  # newest letters threaded by us

Data = dict[int, dict[bytes, answers.Value]]


def told(lines: answers.Lines) -> list[list[int]]:
    """A THREAD answer (RFC 5256 §4); the conversation with the newest letter first, each oldest first."""
    return _newest_first(sorted(_leaves(value)) for value in answers.parse([line for line in lines if line]))


def made(fetched: Data) -> list[list[int]]:
    """The same by Message-ID and References (REFERENCES of RFC 5256 §3) from what FETCH says of ITEMS."""
    letters = []
    for uid, data in sorted(fetched.items()):
        row = rows.row(uid, data)
        given = next((answers.octets(v) for k, v in data.items() if k.startswith(b"BODY[HEADER")), b"")
        chain = headers.message_ids(given.decode("latin-1")) or headers.message_ids(rows.answered_id(data))
        base, is_reply = subjects.base(fold(row.subject))
        own = " ".join(headers.message_ids(row.message_id)[:1])
        moment = int(row.moment.timestamp()) if row.moment else 0
        letters.append(thread.Threaded(uid, own, " ".join(chain), base, is_reply, moment))
    return _newest_first(sorted(_members(root)) for root in thread.references(letters))


def _newest_first(found: Iterator[list[int]]) -> list[list[int]]:
    return sorted((uids for uids in found if uids), key=lambda uids: uids[-1], reverse=True)


def _leaves(value: answers.Value) -> Iterator[int]:
    """The numbers of a thread, however deep it is."""
    waiting = [value]
    while waiting:
        match waiting.pop():
            case int(number):
                yield number
            case tuple(inner):
                waiting += inner


def _members(root: thread.Node) -> Iterator[int]:
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if node.number:
            yield node.number
        waiting += node.children or ()
