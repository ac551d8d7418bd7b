"""imapmigrate, mailimport, mailexport: mail that comes from elsewhere, and mail that goes."""

import datetime
import json
import mailbox
from collections.abc import Iterator

import pytest

from mailcore.models import Account, Mailbox, Message, Subscription
from mailcore.store import directory
from mailcore.store.mailbox import access_rights, messages
from mailcore.store.mailbox import open_mailbox as boxes
from mailcore.values import Owner
from mailcore.wire.imap import system_flags
from tests.programs.dovecot import Dovecot, missing

pytestmark = pytest.mark.django_db(transaction=True)

MESSAGE = b"From: a@example.com\r\nSubject: %b\r\n\r\nFrom here\r\n\xe4\xbd\xa0\xe5\xa5\xbd\r\n"
MOMENT = datetime.datetime(2009, 1, 17, 9, 33, 50, tzinfo=datetime.UTC)


@pytest.fixture
def lisi() -> Owner:
    directory.create_domain("benet.com")
    account = directory.create_account("lisi@benet.com", "a fine password 1")
    return Owner(account, "lisi@benet.com")


@pytest.fixture
def dovecot() -> Iterator[Dovecot]:
    if missing():
        pytest.skip("no Dovecot here that we may start")
    server = Dovecot()
    yield server
    server.stop()


def contents(owner: Owner, name: str) -> list[tuple[bytes, int, str, int]]:
    """(content, flags, keywords, internal date) of a mailbox's messages."""
    target = boxes.find_mailbox(owner, name)
    assert not isinstance(target, access_rights.Refusal), name
    rows = Message.objects.filter(mailbox_id=target.id).order_by("uid")
    files = {file.uid: file for file in messages.message_files(target.id, [(1, 1 << 31)])}
    return [(messages.read_message(target, files[row.uid]), row.flags, row.keywords, row.internal_at) for row in rows]


# --- imapmigrate ----------------------------------------------------------------------------------


@pytest.fixture
def there(dovecot: Dovecot) -> Dovecot:
    """Lisi's mail at the other server."""
    with dovecot.client("lisi") as client:
        client.append("INBOX", MESSAGE % b"one", ["\\Seen", "\\Flagged", "$Label1"], MOMENT)
        client.append("INBOX", MESSAGE % b"two", [], MOMENT)
        client.append("INBOX.Gesendet", MESSAGE % b"sent", ["\\Answered"], MOMENT)
        for name in ("INBOX.Arbeit", "INBOX.Arbeit.北京", "INBOX.Deleted Items", "INBOX.Leer"):
            client.create_folder(name)
        client.append("INBOX.Arbeit.北京", MESSAGE % b"deep", ["\\Draft", "\\Deleted"], MOMENT)
        client.append("INBOX.Deleted Items", MESSAGE % b"gone", [], MOMENT)
        client.subscribe_folder("INBOX.Arbeit.北京")
    return dovecot


def migrate(run, dovecot: Dovecot, *more: str):
    options = ("127.0.0.1", "lisi@benet.com", "--user", "lisi", "--security", "none", "--port", str(dovecot.port))
    return run("imapmigrate", *options, *more, stdin="there\n")


def test_everything_comes_over(run, lisi, there):
    ran = migrate(run, there)
    assert ran.status == 0, ran.err
    assert sorted(ran.lines) == [
        "lisi@benet.com: INBOX → INBOX: 2 messages, 2 fetched, 0 before",
        "lisi@benet.com: INBOX.Arbeit → Arbeit: 0 messages, 0 fetched, 0 before",
        "lisi@benet.com: INBOX.Arbeit.北京 → Arbeit/北京: 1 message, 1 fetched, 0 before",
        "lisi@benet.com: INBOX.Deleted Items → Trash: 1 message, 1 fetched, 0 before",
        "lisi@benet.com: INBOX.Gesendet → Sent: 1 message, 1 fetched, 0 before",
        "lisi@benet.com: INBOX.Leer → Leer: 0 messages, 0 fetched, 0 before",
    ]
    moment = int(MOMENT.timestamp())
    assert contents(lisi, "INBOX") == [
        (MESSAGE % b"one", system_flags.SEEN | system_flags.FLAGGED, "$Label1", moment),
        (MESSAGE % b"two", 0, "", moment),
    ]
    assert contents(lisi, "Sent") == [(MESSAGE % b"sent", system_flags.ANSWERED, "", moment)]
    assert contents(lisi, "Arbeit/北京") == [(MESSAGE % b"deep", system_flags.DRAFT | system_flags.DELETED, "", moment)]
    assert contents(lisi, "Leer") == []
    assert Subscription.objects.filter(name="Arbeit/北京").exists()


def test_another_run_fetches_only_what_is_new(run, lisi, there):
    migrate(run, there)
    Message.objects.filter(mailbox__name="INBOX", uid=1).update(flags=0)  # read here meanwhile: stays as it is
    with there.client("lisi") as client:
        client.append("INBOX", MESSAGE % b"three", [], MOMENT)
    ran = migrate(run, there, "--dry-run")
    assert "lisi@benet.com: INBOX → INBOX: 1 message, to fetch" in ran.lines
    assert len(contents(lisi, "INBOX")) == 2
    reports = [json.loads(line) for line in migrate(run, there, "--json").lines]
    assert {"address": "lisi@benet.com", "from": "INBOX", "to": "INBOX", "messages": 3, "before": 2, "fetched": 1,
            "bytes": len(MESSAGE % b"three")} in reports  # fmt: skip
    assert sum(report["fetched"] for report in reports) == 1
    assert [content for content, *_ in contents(lisi, "INBOX")] == [MESSAGE % n for n in (b"one", b"two", b"three")]


def test_a_run_that_was_stopped_goes_on(run, lisi, there, monkeypatch):
    monkeypatch.setattr("mailcore.management.imap_migration._BATCH_COUNT", 1)
    Account.objects.update(quota_messages=2)  # stands in the way after two
    ran = migrate(run, there)
    assert ran.status == 1
    assert "Quota exceeded" in ran.err
    Account.objects.update(quota_messages=None)
    assert migrate(run, there).status == 0
    counts = {row.name: row.messages for row in Mailbox.objects.all()}
    assert (counts["INBOX"], counts["Sent"], counts["Trash"], counts["Arbeit/北京"]) == (2, 1, 1, 1)


def test_several_accounts_from_a_file_and_what_can_go_wrong(run, lisi, there, tmp_path):
    users = tmp_path / "users"
    users.write_text(
        "# address, user, password\nlisi@benet.com\tlisi\tthere\nlisi@benet.com\tlisi\twrong\nno@benet.com\tx\ty\n"
    )
    options = ("--security", "none", "--port", str(there.port))
    ran = run("imapmigrate", "127.0.0.1", "--users", str(users), *options)
    assert ran.status == 1
    assert "no such account: no@benet.com" in ran.err
    assert "lisi at 127.0.0.1" in ran.err
    assert "wrong" not in ran.err
    assert ran.err.endswith("imapmigrate: 1 account done, 2 failed\n")
    users.write_text("lisi@benet.com lisi\n")
    assert "line 1: need address" in run("imapmigrate", "127.0.0.1", "--users", str(users)).err
    assert "no accounts" in run("imapmigrate", "127.0.0.1").err
    assert run("imapmigrate", "127.0.0.1", "lisi@benet.com", "--port", "9", stdin="x\n").status == 1


# --- mailimport, mailexport -----------------------------------------------------------------------


def test_mbox_single_messages_and_directories(run, lisi, tmp_path):
    top = tmp_path / "old"
    (top / "2008").mkdir(parents=True)
    box = mailbox.mbox(top / "saved")
    box.add(mailbox.mboxMessage(MESSAGE % b"one"))
    message = mailbox.mboxMessage(b"Subject: two\n\nFrom me\n")
    message.set_flags("RF")
    box.add(message)
    box.close()
    (top / "2008" / "single.eml").write_bytes(b"Subject: three\n\nx\n")
    assert run("mailimport", "lisi@benet.com", str(top), "--mailbox", "Old", "--dry-run").lines == [
        "Old: 2 messages", "Old/2008: 1 message",
    ]  # fmt: skip
    assert run("mailimport", "lisi@benet.com", str(top), "--mailbox", "Old").status == 0
    found = contents(lisi, "Old")
    assert [content for content, *_ in found] == [MESSAGE % b"one", b"Subject: two\r\n\r\nFrom me\r\n"]
    assert found[1][1] == system_flags.SEEN | system_flags.FLAGGED
    assert contents(lisi, "Old/2008")[0][0] == b"Subject: three\r\n\r\nx\r\n"


def test_a_dovecot_maildir(run, lisi, there, tmp_path):
    assert run("mailimport", "lisi@benet.com", str(there.top / "mail" / "lisi")).status == 0
    moment = int(MOMENT.timestamp())
    assert contents(lisi, "INBOX")[0] == (MESSAGE % b"one", system_flags.SEEN | system_flags.FLAGGED, "$Label1", moment)
    assert contents(lisi, "Arbeit/北京")[0][:2] == (MESSAGE % b"deep", system_flags.DRAFT | system_flags.DELETED)


@pytest.mark.parametrize("form", ["mbox", "maildir"])
def test_out_and_in_again(run, lisi, tmp_path, form):
    first = tmp_path / "first"
    first.write_bytes(
        b"From a Sat Jan  3 01:05:34 1998\nSubject: x\nStatus: RO\nX-Status: F\nX-Keywords: work\n\n>From y\n"
    )
    for name in ("INBOX", "Work/北京"):
        assert run("mailimport", "lisi@benet.com", str(first), "--mailbox", name).status == 0
    ran = run("mailexport", "lisi@benet.com", str(tmp_path / "out"), "--format", form)
    assert ran.status == 0
    assert "Work/北京: 1 message" in ran.lines
    other = Owner(directory.create_account("xiaoqi@benet.com", "a fine password 1"), "xiaoqi@benet.com")
    source = tmp_path / "out"
    if form == "mbox":
        assert run("mailimport", "xiaoqi@benet.com", str(source / "INBOX.mbox")).status == 0
        assert (
            run("mailimport", "xiaoqi@benet.com", str(source / "Work/北京.mbox"), "--mailbox", "Work/北京").status == 0
        )
    else:
        assert run("mailimport", "xiaoqi@benet.com", str(source)).status == 0
        assert len(mailbox.Maildir(source, create=False)) == 1
    for name in ("INBOX", "Work/北京"):
        assert contents(other, name) == contents(lisi, name) != []
    assert contents(other, "INBOX")[0][1:] == (system_flags.SEEN | system_flags.FLAGGED, "work", 883789534)


def test_what_cannot_be_exported_or_imported(run, lisi, tmp_path):
    assert "no such account" in run("mailexport", "nobody@benet.com", str(tmp_path / "out")).err
    assert (
        "no such mailbox: None" in run("mailexport", "lisi@benet.com", str(tmp_path / "out"), "--mailbox", "None").err
    )
    assert run("mailexport", "lisi@benet.com", str(tmp_path)).status == 1
    assert "no such account" in run("mailimport", "nobody@benet.com", str(tmp_path)).err
    assert "no such file" in run("mailimport", "lisi@benet.com", str(tmp_path / "none")).err
    Account.objects.update(quota_messages=1)
    (tmp_path / "two").write_bytes(b"From a b\n\nx\n\nFrom a b\n\ny\n")
    assert "Quota exceeded" in run("mailimport", "lisi@benet.com", str(tmp_path / "two")).err
    assert contents(lisi, "INBOX") == []
