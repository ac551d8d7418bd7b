"""Conversations of one folder as lists of UIDs: from the server's THREAD response, or computed here without THREAD."""

from collections.abc import Iterator

from mailcore.wire.imap import threading_algorithms
from mailcore.wire.message import headers
from mailcore.wire.message import subject_base as subjects
from mailcore.wire.text.charsets import fold_text
from webmail.values import imap_responses, message_summary

ITEMS = "(UID ENVELOPE BODY.PEEK[HEADER.FIELDS (REFERENCES)])"  # what `build_threads` needs of a message
MAX_MESSAGES = 2000  # newest messages that are threaded here

Data = dict[int, dict[bytes, imap_responses.Value]]


def parse_threads(lines: imap_responses.Lines) -> list[list[int]]:
    """Parse a THREAD response (RFC 5256 §4).

    The conversation with the newest message comes first; each conversation is sorted oldest first.
    """
    return _newest_first(
        sorted(_leaves(value)) for value in imap_responses.parse_response([line for line in lines if line])
    )


def build_threads(fetched: Data) -> list[list[int]]:
    """Thread messages by Message-ID and References (REFERENCES of RFC 5256 §3), given FETCH data of ITEMS.

    The order is that of `parse_threads`.
    """
    messages = []
    for uid, data in sorted(fetched.items()):
        row = message_summary.build_summary(uid, data)
        references = next((imap_responses.to_bytes(v) for k, v in data.items() if k.startswith(b"BODY[HEADER")), b"")
        chain = headers.parse_message_ids(references.decode("latin-1")) or headers.parse_message_ids(
            message_summary.in_reply_to(data)
        )
        base, is_reply = subjects.strip_to_base(fold_text(row.subject))
        own = " ".join(headers.parse_message_ids(row.message_id)[:1])
        moment = int(row.moment.timestamp()) if row.moment else 0
        messages.append(threading_algorithms.ThreadInput(uid, own, " ".join(chain), base, is_reply, moment))
    return _newest_first(sorted(_members(root)) for root in threading_algorithms.thread_by_references(messages))


def _newest_first(threads: Iterator[list[int]]) -> list[list[int]]:
    return sorted((uids for uids in threads if uids), key=lambda uids: uids[-1], reverse=True)


def _leaves(value: imap_responses.Value) -> Iterator[int]:
    """Yield the numbers of a thread of any depth, without recursion."""
    pending = [value]
    while pending:
        match pending.pop():
            case int(number):
                yield number
            case tuple(inner):
                pending += inner


def _members(root: threading_algorithms.ThreadNode) -> Iterator[int]:
    pending = [root]
    while pending:
        node = pending.pop()
        if node.number:
            yield node.number
        pending += node.children or ()
