"""A rescan corrects what listings show of stored messages and changes nothing else."""

import os

import pytest

from mailcore.models import Message, MessageSummary
from mailcore.store.access import rescan
from mailcore.store.maildir import maildir_files
from mailcore.values import Owner

from .test_reindex import lisi, put  # noqa: F401 - lisi is a fixture

pytestmark = pytest.mark.django_db(transaction=True)

MAIL = (
    b"Date: Tue, 1 Dec 2026 09:00:00 +0800\r\nFrom: xiaoqi@benet.com\r\nTo: lisi@benet.com\r\n"
    b"Subject: Re: minutes\r\nMessage-ID: <1@benet.com>\r\n\r\nHello\r\n"
)
DESCRIPTION = ("envelope", "body_structure", "subject_key", "from_key", "preview", "is_reply")


def described() -> list[tuple[object, ...]]:
    rows = MessageSummary.objects.order_by("message_id").values_list(*DESCRIPTION, "message__sent_at")
    return [tuple(bytes(v) if isinstance(v, memoryview) else v for v in row) for row in rows]


def identities() -> list[tuple[object, ...]]:
    columns = ("uid", "modseq", "summary__email_id", "summary__thread_id", "internal_at", "base_name")
    return list(Message.objects.order_by("id").values_list(*columns))


def spoil(uid: int) -> None:
    """Describe a message as another version might have."""
    row = Message.objects.get(uid=uid)
    MessageSummary.objects.filter(message=row).update(envelope=b"(old)", body_structure=b"(old)", subject_key="old")
    Message.objects.filter(pk=row.pk).update(sent_at=row.sent_at - 86400)


def test_a_rescan_corrects_what_differs_and_keeps_identities(lisi: Owner) -> None:  # noqa: F811
    first, _second = put(lisi, "INBOX", MAIL, MAIL.replace(b"<1@", b"<2@"))
    right, ids = described(), identities()
    spoil(first)
    spoiled = described()
    assert spoiled != right
    assert ("INBOX", 2, 1) in list(rescan.rescan(lisi, dry_run=True))
    assert described() == spoiled
    assert ("INBOX", 2, 1) in list(rescan.rescan(lisi))
    assert described() == right
    assert identities() == ids
    assert ("INBOX", 2, 0) in list(rescan.rescan(lisi))


def test_a_message_whose_file_is_lost_is_left_alone(lisi: Owner) -> None:  # noqa: F811
    (uid,) = put(lisi, "INBOX", MAIL)
    spoil(uid)
    spoiled = described()
    row = Message.objects.get(uid=uid)
    os.unlink(maildir_files.find_file(maildir_files.folder_directory(lisi.address, ""), row.base_name, row.flags))
    assert ("INBOX", 0, 0) in list(rescan.rescan(lisi))
    assert described() == spoiled


def test_more_messages_than_one_batch_are_all_corrected(lisi: Owner, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    monkeypatch.setattr(rescan, "_BATCH", 2)
    put(lisi, "INBOX", *(MAIL.replace(b"<1@", b"<%d@" % n) for n in range(5)))
    right = described()
    MessageSummary.objects.update(envelope=b"(old)")
    assert ("INBOX", 5, 5) in list(rescan.rescan(lisi))
    assert described() == right
