"""Conversations of one folder as lists of UIDs: read from a server's THREAD, or made by us where it has none."""

from collections.abc import Iterator

from mailcore.wire.imap import threading_algorithms
from mailcore.wire.message import headers
from mailcore.wire.message import subject_base as subjects
from mailcore.wire.text.charsets import fold_text
from webmail.values import imap_responses, message_summary

ITEMS = "(UID ENVELOPE BODY.PEEK[HEADER.FIELDS (REFERENCES)])"  # what `made` needs of a message
AT_MOST = 2000  # newest messages threaded by us

Data = dict[int, dict[bytes, imap_responses.Value]]


def parse_threads(lines: imap_responses.Lines) -> list[list[int]]:
    """A THREAD answer (RFC 5256 §4); the conversation with the newest message first, each oldest first."""
    return _newest_first(
        sorted(_leaves(value)) for value in imap_responses.parse_response([line for line in lines if line])
    )


def build_threads(fetched: Data) -> list[list[int]]:
    """The same by Message-ID and References (REFERENCES of RFC 5256 §3) from what FETCH says of ITEMS."""
    messages = []
    for uid, data in sorted(fetched.items()):
        row = message_summary.build_summary(uid, data)
        given = next((imap_responses.to_bytes(v) for k, v in data.items() if k.startswith(b"BODY[HEADER")), b"")
        chain = headers.parse_message_ids(given.decode("latin-1")) or headers.parse_message_ids(
            message_summary.in_reply_to(data)
        )
        base, is_reply = subjects.strip_to_base(fold_text(row.subject))
        own = " ".join(headers.parse_message_ids(row.message_id)[:1])
        moment = int(row.moment.timestamp()) if row.moment else 0
        messages.append(threading_algorithms.ThreadInput(uid, own, " ".join(chain), base, is_reply, moment))
    return _newest_first(sorted(_members(root)) for root in threading_algorithms.thread_by_references(messages))


def _newest_first(found: Iterator[list[int]]) -> list[list[int]]:
    return sorted((uids for uids in found if uids), key=lambda uids: uids[-1], reverse=True)


def _leaves(value: imap_responses.Value) -> Iterator[int]:
    """The numbers of a thread, however deep it is."""
    waiting = [value]
    while waiting:
        match waiting.pop():
            case int(number):
                yield number
            case tuple(inner):
                waiting += inner


def _members(root: threading_algorithms.ThreadNode) -> Iterator[int]:
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if node.number:
            yield node.number
        waiting += node.children or ()
