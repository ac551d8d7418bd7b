"""benet.com, and messages put into its queue."""

import time
from collections.abc import Callable

import pytest

from mailcore.models import Mailbox, Message
from mailcore.mta.queue import content_files, enqueue
from mailcore.store import directory
from mailcore.store.maildir import maildir_files
from mailcore.values import Client, MessageRecipient, NewMessage

STRANGER = Client("192.0.2.7", "mail.other.example", "mail.other.example", "ESMTP")


@pytest.fixture
def benet(parameters) -> dict[str, int]:
    """benet.com with xiaoqi, lisi and the group all@; account ids by name."""
    parameters(myhostname="mail.benet.com", mydomain="benet.com")
    directory.create_domain("benet.com")
    people = {name: directory.create_account(f"{name}@benet.com", "correct horse") for name in ("xiaoqi", "lisi")}
    directory.create_alias("all@benet.com", ["xiaoqi", "lisi"])
    content_files.make_directories()
    return people


@pytest.fixture
def post(benet) -> Callable[..., NewMessage]:
    """`post("lisi", …)`: a message to these people (or addresses), in the queue."""

    def take_in(
        *recipients: str, content: bytes = b"Subject: s\r\n\r\nbody\r\n", sender: str = "a@other.example", **more
    ):
        addresses = [MessageRecipient(r if "@" in r else f"{r}@benet.com") for r in recipients]
        return enqueue.write_and_enqueue(content, sender, addresses, STRANGER, int(time.time() * 1_000_000), **more)

    return take_in


@pytest.fixture
def inbox() -> Callable[[str], list[bytes]]:
    """Return the contents of the files in an INBOX."""

    def read(name: str) -> list[bytes]:
        box = Mailbox.objects.get(account__address=f"{name}@benet.com", name="INBOX")
        where = maildir_files.folder_directory(f"{name}@benet.com", "")
        return [
            maildir_files.read_message(where, m.base_name, m.flags)
            for m in Message.objects.filter(mailbox=box).order_by("uid")
        ]

    return read
