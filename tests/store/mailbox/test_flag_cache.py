"""Flags kept in memory are always the index's, whatever was done to the mailbox meanwhile."""

import random

import pytest

from mailcore.models import Mailbox, Message
from mailcore.store import directory
from mailcore.store.mailbox import append_messages, expunge, flag_cache, messages, open_mailbox
from mailcore.store.mailbox.append_messages import AppendResult, Upload
from mailcore.values import Owner
from mailcore.wire.imap import response_format
from mailcore.wire.imap import system_flags as wire_flags

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


@pytest.fixture
def inbox() -> open_mailbox.MailboxHandle:
    directory.create_domain("benet.com")
    lisi = Owner(directory.create_account("lisi@benet.com", "correct horse"), "lisi@benet.com")
    found = open_mailbox.find_mailbox(lisi, "INBOX")
    assert isinstance(found, open_mailbox.MailboxHandle)
    return found


def put(inbox: open_mailbox.MailboxHandle, count: int) -> None:
    done = append_messages.append_messages(
        inbox, [Upload(b"Subject: %d\r\n\r\n" % n, 0, (), None) for n in range(count)]
    )
    assert isinstance(done, AppendResult)


def is_true(inbox: open_mailbox.MailboxHandle) -> None:
    known = flag_cache.cached_flags(inbox.id)
    assert known is not None
    rows = Message.objects.filter(mailbox_id=inbox.id).order_by("uid").values_list("uid", "flags", "keywords")
    assert list(zip(known.uids, known.flags, strict=True)) == [
        (uid, response_format.format_flags(flags, keywords)) for uid, flags, keywords in rows
    ]
    unseen = [uid for uid, flags, _ in rows if not flags & wire_flags.SEEN]
    assert known.first_unseen() == (unseen[0] if unseen else 0)


def test_small_mailboxes_and_those_that_are_gone_are_not_kept(inbox):
    put(inbox, 99)
    assert flag_cache.cached_flags(inbox.id) is None
    assert flag_cache.cached_flags(inbox.id + 1000) is None


def test_whatever_happens_to_it(inbox):
    put(inbox, 150)
    is_true(inbox)
    dice = random.Random(7)
    for _ in range(60):
        uids = list(Message.objects.filter(mailbox_id=inbox.id).order_by("uid").values_list("uid", flat=True))
        low = dice.randrange(len(uids))
        ranges = ((uids[low], uids[min(len(uids) - 1, low + dice.choice((0, 0, 3, 80)))]),)
        match dice.randrange(4):
            case 0:
                put(inbox, dice.choice((1, 2, 60)))
            case 1:
                mode = dice.choice(("add", "remove", "replace"))
                messages.store_flags(inbox, ranges, mode, dice.choice((wire_flags.SEEN, wire_flags.FLAGGED)), ())
            case 2:
                messages.store_flags(inbox, ranges, dice.choice(("add", "remove")), 0, ("$Forwarded",))
            case 3 if len(uids) > 200:
                messages.store_flags(inbox, ranges, "add", wire_flags.DELETED, ())
                expunge.expunge_deleted(inbox, ((1, uids[-1]),))
        is_true(inbox)


def test_what_was_handed_out_does_not_change(inbox):
    put(inbox, 120)
    before = flag_cache.cached_flags(inbox.id)
    assert before is not None
    uids, flags = before.uids[:], before.flags[:]
    messages.store_flags(inbox, ((1, 1),), "add", wire_flags.SEEN, ())
    put(inbox, 1)
    is_true(inbox)
    assert (before.uids, before.flags) == (uids, flags)


def test_a_mailbox_with_new_uids_is_read_anew(inbox):
    put(inbox, 120)
    is_true(inbox)
    Mailbox.objects.filter(pk=inbox.id).update(uid_validity=inbox.uid_validity + 1)
    Message.objects.filter(mailbox_id=inbox.id, uid=5).update(flags=wire_flags.SEEN)
    is_true(inbox)


def test_more_than_may_be_kept_is_forgotten(inbox, monkeypatch):
    monkeypatch.setattr(flag_cache, "_MAX_MESSAGES", 130)
    put(inbox, 120)
    lisi = Owner(inbox.account_id, "lisi@benet.com")
    archive = open_mailbox.find_mailbox(lisi, "Archive")
    assert isinstance(archive, open_mailbox.MailboxHandle)
    put(archive, 120)
    is_true(inbox)
    is_true(archive)
    assert list(flag_cache._cache) == [archive.id]
    is_true(inbox)
