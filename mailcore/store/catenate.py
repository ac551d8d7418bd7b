"""Parts of messages by URL, and messages put together from them (RFC 4469). Called by the IMAP server."""

import os
from collections.abc import Sequence

from mailcore.store import append, messages
from mailcore.store.box import find
from mailcore.terms import Owner, Refusal
from mailcore.wire import section
from mailcore.wire.imap.url import MessageUrl

_IN_MEMORY = 1 << 18


def part(owner: Owner, url: MessageUrl) -> bytes | None:
    """The octets a URL names in the owner's mail; None if there are none."""
    box = find(owner, url.mailbox)
    if isinstance(box, Refusal) or (url.uid_validity and url.uid_validity != box.uid_validity):
        return None
    files = messages.files(box.id, [(url.uid, url.uid)])
    content = messages.read(box, files[0]) if files else None
    if content is None:
        return None
    found = section.extract(content, url.section)
    if found is None or url.partial is None:
        return found
    first, length = url.partial
    return found[first : first + length if length else None]


def join(parts: Sequence[bytes | str]) -> bytes | str:
    """One content of several: octets, or the path of a spooled file where it is long. Spooled parts are removed."""
    if all(isinstance(each, bytes) for each in parts) and sum(map(len, parts)) <= _IN_MEMORY:
        return b"".join(each for each in parts if isinstance(each, bytes))
    descriptor, path = append.spool()
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
