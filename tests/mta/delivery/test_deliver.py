"""From the queue to the mailbox, whatever happens on the way."""

import os
from pathlib import Path

import pytest
from django.conf import settings

from mailcore.conf import caches
from mailcore.models import Account, Message, Queued, Recipient
from mailcore.mta.delivery import deliver
from mailcore.mta.delivery.crash_recovery import PendingCleanup
from mailcore.mta.queue import content_files, enqueue, states
from mailcore.mta.workers.courier import Courier
from mailcore.store import directory
from mailcore.store.notify import notifications

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


def visit() -> None:
    Courier().run_until_idle()


def test_a_message_arrives_below_its_trace_headers(post, inbox):
    post("lisi", content=b"Subject: hello\r\n\r\n.\r\n\x00\xff\r\n")
    visit()
    [message] = inbox("lisi")
    assert message == (
        b"Return-Path: <a@other.example>\r\nX-Original-To: lisi@benet.com\r\nDelivered-To: lisi@benet.com\r\n"
        b"Subject: hello\r\n\r\n.\r\n\x00\xff\r\n"
    )
    assert os.listdir(settings.QUEUE_ROOT) == []
    assert Queued.objects.get().state == Queued.State.DONE


def test_one_message_to_many_is_many_messages_of_one_account_each(post, inbox):
    post("lisi", "xiaoqi", "lisi")
    visit()
    assert len(inbox("lisi")) == len(inbox("xiaoqi")) == 1


def test_delivering_twice_makes_one_message(post, inbox):
    """A courier dies after its delivery was committed and before anybody noted that the message is done."""
    post("lisi")
    claims = states.claim_due("anna", 1)
    deliver.deliver("anna", claims, PendingCleanup())
    Recipient.objects.update(state="waiting", settled_us=None)
    Queued.objects.update(state="incoming", settled_us=None)
    visit()
    assert len(inbox("lisi")) == 1
    assert Queued.objects.get().state == Queued.State.DONE


def test_dying_between_the_file_and_the_row_loses_nothing_and_doubles_nothing(post, inbox, monkeypatch):
    message = post("lisi")

    class PowerFailure(BaseException):
        pass

    def fail(*_: object, **__: object) -> None:
        raise PowerFailure

    with monkeypatch.context() as failing:
        failing.setattr(deliver.insert, "insert_messages", fail)
        with pytest.raises(PowerFailure):
            deliver.deliver("anna", states.claim_due("anna", 1), PendingCleanup())
    Queued.objects.update(lease_us=1)
    visit()
    assert len(inbox("lisi")) == 1
    new = os.listdir(settings.MAIL_ROOT / "benet.com/lisi/Maildir/new")
    assert [name for name in new if f"{message.id:X}" in name] == new
    assert len(new) == 1


@pytest.mark.parametrize("recipients", [["lisi"], ["all"]])
def test_a_power_failure_that_takes_the_names_of_delivered_messages(post, inbox, recipients):
    """The rows say delivered, the Maildirs' names were not yet durable; the queue still has the content."""
    post(*recipients)
    deliver.deliver("anna", states.claim_due("anna", 1), PendingCleanup())
    for path in (settings.MAIL_ROOT / "benet.com").glob("*/Maildir/new/*"):
        path.unlink()
    reading, writing = os.pipe()
    os.close(writing)  # the courier stops as soon as it has recovered
    bell = notifications.open_listener(notifications.COURIERS)
    Courier().run(bell, reading)
    notifications.close_listener(bell, notifications.COURIERS)
    assert len(inbox("lisi")) == 1
    assert os.listdir(settings.QUEUE_ROOT) == []


def test_a_message_whose_file_is_gone_is_corrupt_and_shown(post):
    message = post("lisi")
    os.unlink(content_files.content_path(message.id))
    visit()
    assert Queued.objects.get().state == Queued.State.CORRUPT


def test_aliases_within_aliases_end_at_people(post, inbox):
    directory.create_alias("staff@benet.com", ["all@benet.com", "lisi@benet.com"])
    post("staff")
    visit()
    assert len(inbox("lisi")) == len(inbox("xiaoqi")) == 1
    assert b"X-Original-To: staff@benet.com" in inbox("lisi")[0]


def test_nobody_by_that_name_any_more_bounces_to_the_sender(post, inbox):
    post("xiaoqi", sender="lisi@benet.com", content=b"Subject: come back\r\n\r\nbody\r\n")
    Account.objects.filter(address="xiaoqi@benet.com").update(state="off")
    Account.objects.filter(address="lisi@benet.com").update(language="en")
    caches.clear_all()
    visit()
    [bounce] = inbox("lisi")
    assert bounce.startswith(b"Return-Path: <>\r\n")
    assert b"Subject: Undelivered Mail Returned to Sender" in bounce
    assert b"Final-Recipient: rfc822; xiaoqi@benet.com\r\n" in bounce
    assert b"Status: 5.1.1\r\n" in bounce
    assert b"Subject: come back\r\n\r\nbody\r\n" in bounce


def test_nothing_bounces_a_bounce(post):
    post("xiaoqi", sender="")
    Account.objects.filter(address="xiaoqi@benet.com").update(state="off")
    caches.clear_all()
    visit()
    assert Queued.objects.count() == 1
    assert Recipient.objects.get().state == Recipient.State.FAILED


@pytest.mark.parametrize(("notify", "bounces"), [("", 1), ("FAILURE", 1), ("NEVER", 0), ("SUCCESS", 0)])
def test_notify_decides_whether_a_failure_is_told(benet, inbox, notify, bounces):
    from mailcore.values import MessageRecipient
    from tests.mta.conftest import STRANGER

    recipient = MessageRecipient("nobody@benet.com", notify)
    enqueue.write_and_enqueue(b"Subject: x\r\n\r\n", "lisi@benet.com", [recipient], STRANGER, states.now_us())
    visit()
    assert len(inbox("lisi")) == bounces


def test_success_is_told_when_asked_for(benet, inbox):
    from mailcore.values import MessageRecipient
    from tests.mta.conftest import STRANGER

    recipient = MessageRecipient("xiaoqi@benet.com", "SUCCESS", "rfc822;xiaoqi+40benet.com")
    enqueue.write_and_enqueue(b"Subject: x\r\n\r\nsecret\r\n", "lisi@benet.com", [recipient], STRANGER, states.now_us())
    visit()
    [notice] = inbox("lisi")
    assert b"Action: delivered\r\n" in notice
    assert b"Original-Recipient: rfc822;xiaoqi@benet.com\r\n" in notice


def test_a_full_mailbox_waits_and_a_hopeless_message_fails(post, inbox):
    Account.objects.filter(address="lisi@benet.com").update(quota_bytes=1000, used_bytes=950)
    post("lisi", sender="xiaoqi@benet.com")
    post("lisi", sender="xiaoqi@benet.com", content=b"Subject: big\r\n\r\n" + b"x" * 2000 + b"\r\n")
    visit()
    assert sorted(Queued.objects.exclude(sender="").values_list("state", flat=True)) == ["deferred", "done"]
    [bounce] = inbox("xiaoqi")
    assert b"Status: 5.2.2\r\n" in bounce


def test_a_message_too_old_is_returned_after_a_failed_try(post, inbox, parameters):
    Account.objects.filter(address="lisi@benet.com").update(quota_bytes=1000, used_bytes=990)
    post("lisi", sender="xiaoqi@benet.com")
    parameters(maximal_queue_lifetime="0")
    visit()
    assert b"Status: 5.2.2\r\n" in inbox("xiaoqi")[0]


def test_counters_are_exact(post):
    for _ in range(3):
        post("lisi")
    visit()
    account = Account.objects.get(address="lisi@benet.com")
    sizes = list(Message.objects.values_list("size", flat=True))
    assert (account.used_messages, account.used_bytes) == (3, sum(sizes))
    box = account.mailboxes.get(name="INBOX")
    assert (box.messages, box.unseen, box.size, box.uid_next) == (3, 3, sum(sizes), 4)


def test_files_that_never_became_messages_are_swept_away(post):
    message = post("lisi")
    stray = content_files.ContentFile()
    stray.open()
    stray.write(b"half")
    stray.finish()
    young = content_files.ContentFile()
    young.open()
    young.write(b"half")
    young.finish()
    for old in (message.id, stray.id):
        os.utime(content_files.content_path(old), (0, 0))
    assert enqueue.remove_orphaned_files() == 1
    assert Path(content_files.content_path(message.id)).exists()
    assert Path(content_files.content_path(young.id)).exists()
    assert not Path(content_files.content_path(stray.id)).exists()


def test_the_log_tells_postfixs_story(post):
    message = post("all")
    visit()
    lines = (settings.LOG_ROOT / "maillog").read_text().splitlines()
    [to_lisi] = [line for line in lines if "to=<lisi@benet.com>" in line]
    assert (
        f"youju/qmgr[{os.getpid()}]: {message.id:X}: to=<lisi@benet.com>, orig_to=<all@benet.com>, relay=virtual, delay="
        in to_lisi
    )
    assert to_lisi.endswith("dsn=2.0.0, status=sent (delivered to maildir)")
    assert lines[-1].endswith(f"{message.id:X}: removed")
