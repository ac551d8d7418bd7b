"""Parts of messages named by URL, and messages composed of them (RFC 4469); called by the IMAP server."""

import os
from collections.abc import Sequence

from mailcore.store.mailbox import append_messages, messages
from mailcore.store.mailbox.open_mailbox import find_mailbox
from mailcore.values import Owner, Refusal
from mailcore.wire.imap.imap_url import MessageUrl
from mailcore.wire.message import body_section

_IN_MEMORY = 1 << 18


def read_part(owner: Owner, url: MessageUrl) -> bytes | None:
    """Return the bytes a URL names in the owner's mail, or None if there are none."""
    mailbox = find_mailbox(owner, url.mailbox)
    if isinstance(mailbox, Refusal) or (url.uid_validity and url.uid_validity != mailbox.uid_validity):
        return None
    files = messages.message_files(mailbox.id, [(url.uid, url.uid)])
    content = messages.read_message(mailbox, files[0]) if files else None
    if content is None:
        return None
    data = body_section.extract_section(content, url.section)
    if data is None or url.partial is None:
        return data
    first, length = url.partial
    return data[first : first + length if length else None]


def join_parts(parts: Sequence[bytes | str]) -> bytes | str:
    """Join parts to one content: bytes, or the path of a spooled file if it is long. Spooled parts are removed."""
    if all(isinstance(each, bytes) for each in parts) and sum(map(len, parts)) <= _IN_MEMORY:
        return b"".join(each for each in parts if isinstance(each, bytes))
    descriptor, path = append_messages.open_spool_file()
    with open(descriptor, "wb") as file:
        for each in parts:
            if isinstance(each, bytes):
                file.write(each)
            else:
                with open(each, "rb") as other:
                    while piece := other.read(_IN_MEMORY):
                        file.write(piece)
                os.unlink(each)
    return path
