"""sendmail, maillog, quota and mailindex."""

import json
import os
import time
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from django.conf import settings

from mailcore.logs.reader import parse_time
from mailcore.models import Account, Mailbox, Message, MessageSummary, Queued, Recipient
from mailcore.mta.queue import content_files, states
from mailcore.mta.workers.courier import Courier
from mailcore.store.mailbox import copy_move
from mailcore.store.mailbox import open_mailbox as boxes
from mailcore.store.maildir import maildir_files
from mailcore.values import Owner

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


def deliver() -> None:
    Courier().run_until_idle()


def content() -> bytes:
    return Path(content_files.content_path(Queued.objects.get().id)).read_bytes()


def recipients() -> list[str]:
    return list(Recipient.objects.order_by("id").values_list("address", flat=True))


# --- sendmail -------------------------------------------------------------------------------------


def test_a_message_goes_straight_into_the_queue_and_arrives(benet, run, inbox):
    ran = run("sendmail", "-f", "me@other.example", "-F", "Me Myself", "lisi", stdin="Subject: hi\n\nbody\n")
    assert (ran.status, ran.out, ran.err) == (0, "", "")
    message = Queued.objects.get()
    deliver()
    [received] = inbox("lisi")
    head, _, body = received.partition(b"\r\n\r\n")
    assert body == b"body\r\n"
    assert head.startswith(b"Return-Path: <me@other.example>\r\nX-Original-To: lisi@benet.com\r\n")
    assert f"\tid {message.id:X}; ".encode() in head
    assert b"Received: by mail.benet.com (Youju, from userid %d)\r\n" % os.getuid() in head
    assert head.endswith(b"From: Me Myself <me@other.example>")
    assert message.message_id.encode() in head


def test_recipients_from_the_header_and_bcc_is_taken_out(benet, run):
    message = "To: A <a@x.example>,\n\tb@x.example\nCc: lisi\nBcc: secret@x.example\nSubject: s\n\n.\nend\n"
    run("sendmail", "-t", "extra@x.example", stdin=message)
    assert recipients() == ["extra@x.example", "a@x.example", "b@x.example", "lisi@benet.com", "secret@x.example"]
    assert b"secret" not in content()
    assert content().endswith(b"\r\n\r\n")  # a dot alone ended it


@pytest.mark.parametrize("option", ["-i", "-oi"])
def test_a_dot_alone_is_text_when_asked_for(benet, run, option):
    run("sendmail", option, "lisi", stdin="Subject: s\n\na\n.\nb\n")
    assert content().endswith(b"\r\n\r\na\r\n.\r\nb\r\n")


def test_what_is_no_header_is_text(benet, run):
    run("sendmail", "lisi", stdin="just words\nand more")
    assert content().endswith(b"\r\n\r\njust words\r\nand more\r\n")


def test_the_null_sender(benet, run):
    run("sendmail", "-f", "<>", "lisi", stdin="Subject: s\n\n")
    assert Queued.objects.get().sender == ""


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ((), 75, "Recipient addresses must be specified on the command line or via the -t option"),
        (("-t",), 75, "No recipient addresses found in message header"),
        (("-f", "a b <", "lisi"), 64, "-f option specified malformed sender"),
        (("-N", "always", "lisi"), 64, "bad -N option value"),
    ],
)
def test_what_sendmail_refuses(benet, run, arguments, status, message):
    ran = run("sendmail", *arguments, stdin="Subject: s\n\n")
    assert ran.status == status
    assert message in ran.err
    assert not Queued.objects.exists()


def test_too_big(benet, run, parameters):
    parameters(message_size_limit="1000")
    ran = run("sendmail", "lisi", stdin="Subject: s\n\n" + "x" * 2000)
    assert (ran.status, "message file too big" in ran.err) == (os.EX_UNAVAILABLE, True)
    assert list(content_files.stored_ids()) == []


def test_when_the_queue_cannot_be_written_the_sender_may_try_again(benet, run):
    settings.QUEUE_ROOT.rmdir()
    settings.QUEUE_ROOT.write_text("not a directory")
    ran = run("sendmail", "lisi", stdin="Subject: s\n\n")
    assert (ran.status, "queue file write error" in ran.err) == (os.EX_TEMPFAIL, True)


def test_mailq_by_its_old_name(benet, run):
    assert run("sendmail", "-bp").out == "Mail queue is empty\n"


@pytest.mark.program
def test_the_same_envelopes_and_headers_as_postfix(benet, run, running_postfix):
    message = "To: a@x.example, B <b@x.example>\nCc: c@x.example\nBcc: d@x.example\nSubject: hi\n\n.\nrest\n"
    arguments = ("-t", "-f", "me@other.example", "-F", "Me Myself")
    assert run("sendmail", *arguments, stdin=message).status == 0
    assert running_postfix("sendmail", *arguments, stdin=message).status == 0
    deadline = time.monotonic() + 60
    while '"deferred"' not in (listed := running_postfix("postqueue", "-j").out) and time.monotonic() < deadline:
        pass
    theirs = json.loads(listed)
    assert recipients() == [each["address"] for each in theirs["recipients"]]
    written = running_postfix("postcat", "-qhb", theirs["queue_id"]).out
    assert _names(content().decode().replace("\r\n", "\n")) == _names(written)


def _names(message: str) -> list[str]:
    return [line.partition(":")[0] for line in message.split("\n") if not line.startswith("\t")]


# --- maillog --------------------------------------------------------------------------------------

LOG = """\
Nov 22 14:05:09 mail youju/smtpd[11]: connect from unknown[192.0.2.7]
Nov 22 14:05:09 mail youju/smtpd[11]: NOQUEUE: reject: RCPT from unknown[192.0.2.7]: 554 5.7.1 Relay access denied
Nov 22 14:05:10 mail youju/qmgr[12]: 9E45D8A762C: warning: content file is missing, moved to corrupt
Nov 22 14:05:11 mail youju/imap[13]: error: the disk is full
Nov 22 14:05:12 mail youju/qmgr[12]: 9E45D8A762C: removed
"""


@pytest.fixture
def log_lines() -> list[str]:
    settings.LOG_ROOT.mkdir(parents=True)
    (settings.LOG_ROOT / "maillog").write_text(LOG)
    return LOG.splitlines()


def test_from_a_time_on_and_before_one(run, log_lines):
    now = datetime.now().astimezone()
    year = (
        now.year
        if now + timedelta(days=1) > datetime.fromisoformat(f"{now.year}-11-22 14:05:12").astimezone()
        else now.year - 1
    )
    day = f"{year}-11-22"
    assert run("maillog", "--since", f"{day} 14:05:10", "--until", f"{day} 14:05:12").lines == log_lines[2:4]
    assert run("maillog", "--until", day).lines == []
    refused = run("maillog", "--since", "soon")
    assert refused.status != 0
    assert "--since" in refused.err


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("9:07", "2026-11-22 09:07:00"),
        ("14:05:09", "2026-11-22 14:05:09"),
        ("2026-01-31", "2026-01-31 00:00:00"),
        ("90s", "2026-11-22 15:58:30"),
        ("2h", "2026-11-22 14:00:00"),
        ("7d", "2026-11-15 16:00:00"),
    ],
)
def test_times_as_people_type_them(text, expected):
    now = datetime.fromisoformat("2026-11-22 16:00").astimezone()
    assert f"{parse_time(text, now):%Y-%m-%d %H:%M:%S}" == expected


def test_reading_and_searching(run, log_lines):
    assert run("maillog").lines == log_lines
    assert run("maillog", "QMGR", "9e45d8a762c").lines == [log_lines[2], log_lines[4]]
    assert run("maillog", "-n", "2").lines == log_lines[-2:]


@pytest.mark.parametrize(
    ("level", "expected"), [("reject", [1, 2, 3]), ("warning", [2, 3]), ("error", [3]), ("fatal", []), ("panic", [])]
)
def test_levels(run, log_lines, level, expected):
    assert run("maillog", "--level", level).lines == [log_lines[number] for number in expected]


def test_without_a_log(run):
    assert run("maillog").status == 1


def test_following_goes_on_after_rotation(log_lines):
    from mailcore.logs.reader import follow_lines

    path = settings.LOG_ROOT / "maillog"
    lines = follow_lines(str(path), path.stat().st_size)
    with path.open("a") as file:
        file.write("one\n")
    assert next(lines) == "one"
    path.rename(path.with_suffix(".1"))
    path.write_text("two\n")
    assert next(lines) == "two"


def test_a_messages_story(post, run):
    message = post("all", message_id="x1@other.example")
    deliver()
    for named in (message.queue_id, "<x1@other.example>", "xiaoqi@benet.com", "a@other.example"):
        ran = run("maillog", "--story", named)
        assert ran.lines[0].startswith(f"{message.queue_id}: from=<a@other.example>, message-id=<x1@other.example>")
        assert [line.split()[2] for line in ran.lines[1:]] == ["received", "expanded", "delivered", "delivered"]
    story = json.loads(run("maillog", "--story", message.queue_id, "--json").out)
    assert story["moments"][2]["text"] == "delivered to maildir"
    assert run("maillog", "--story", "nobody@benet.com").status == 1


# --- quota ----------------------------------------------------------------------------------------


def test_quota(post, run):
    post("lisi")
    deliver()
    Account.objects.filter(address="lisi@benet.com").update(quota_bytes=1000)
    used = Account.objects.get(address="lisi@benet.com").used_bytes
    shown = json.loads(run("quota", "--json", "lisi@benet.com").out)
    assert shown == {
        "address": "lisi@benet.com",
        "used_bytes": used,
        "limit_bytes": 1000,
        "used_messages": 1,
        "limit_messages": 0,
        "percent": used * 100 // 1000,
    }
    assert len(run("quota").lines) == 3
    assert len(run("quota", "--over", "1").lines) == 2
    assert run("quota", "nobody@benet.com").status == 1


def test_recounting(post, run):
    post("lisi")
    deliver()
    right = Account.objects.values_list("used_bytes", "used_messages").get(address="lisi@benet.com")
    Account.objects.filter(address="lisi@benet.com").update(used_bytes=7, used_messages=9)
    ran = run("quota", "recount")
    assert "lisi@benet.com: was 7 bytes in 9 messages" in ran.err
    assert Account.objects.values_list("used_bytes", "used_messages").get(address="lisi@benet.com") == right


# --- mailindex ------------------------------------------------------------------------------------


def place(folder: str, name: str, content: bytes = b"Subject: old\r\n\r\nbody\r\n", part: str = "cur") -> Path:
    where = Path(maildir_files.folder_directory("lisi@benet.com", folder))
    for each in ("new", "cur", "tmp"):
        (where / each).mkdir(parents=True, exist_ok=True)
    path = where / part / name
    path.write_bytes(content)
    return path


@pytest.fixture
def dovecots_maildir(benet) -> Path:
    """Create Dovecot's files: three messages, one without UID, a folder, keywords, a subscription."""
    place("", "1700000002.M2P1.host,S=22,W=23:2,Sab")
    place("", "1700000001.M1P1.host:2,FT")
    place("", "1700000003.M3P1.host", part="new")
    place(".Work.2026", "1700000004.M4P1.host:2,RS")
    top = Path(maildir_files.folder_directory("lisi@benet.com", ""))
    (top / "dovecot-uidlist").write_text(
        "3 V1234567890 N90 G0123\n40 :1700000002.M2P1.host,S=22,W=23\n57 W23 S22 :1700000001.M1P1.host:2,FT\n"
    )
    (top / "dovecot-keywords").write_text("0 $Label1\n1 later\n")
    (top / "subscriptions").write_text("V\t2\n\nWork\t2026\nElsewhere\n")
    return top


def rows(mailbox: str) -> list[tuple[int, int, str, str]]:
    box = Mailbox.objects.get(account__address="lisi@benet.com", name=mailbox)
    return list(
        Message.objects.filter(mailbox=box).order_by("uid").values_list("uid", "flags", "keywords", "base_name")
    )


def test_a_rescan_finds_nothing_to_correct_in_a_delivered_message(post, run):
    post("lisi")
    deliver()
    assert run("mailindex", "--rescan", "--json").out == ""


def test_a_rescan_describes_messages_anew(dovecots_maildir, run):
    run("mailindex", "lisi@benet.com")
    assert "anew" not in run("mailindex", "--rescan", "lisi@benet.com").out
    MessageSummary.objects.filter(message__mailbox__name="INBOX").update(envelope=b"(old)")
    assert "INBOX: 3 messages of 3 would be described anew" in run("mailindex", "--rescan", "--dry-run").out
    found = json.loads(run("mailindex", "--rescan", "--json", "lisi@benet.com").out)
    assert found == {"account": "lisi@benet.com", "mailbox": "INBOX", "rescanned": 3, "changed": 3}
    assert run("mailindex", "--rescan", "--json").out == ""


def test_a_dry_run_reports_and_changes_nothing(dovecots_maildir, run):
    ran = run("mailindex", "--dry-run", "lisi@benet.com")
    assert ran.status == 1
    assert f"lisi@benet.com INBOX: file without row: {dovecots_maildir}/cur/1700000001.M1P1.host:2,FT" in ran.lines
    assert "lisi@benet.com Work/2026: folder without mailbox" in ran.lines
    assert not Message.objects.exists()


def test_adopting_what_dovecot_kept(dovecots_maildir, run):
    ran = run("mailindex")
    assert ran.status == 0, ran
    assert ran.err.endswith("mailindex: 2 accounts, 4 messages indexed\n")
    assert rows("INBOX") == [
        (40, 1, "$Label1 later", "1700000002.M2P1.host,S=22,W=23"),
        (57, 12, "", "1700000001.M1P1.host"),
        (58, 0, "", "1700000003.M3P1.host"),
    ]
    assert rows("Work/2026") == [(1, 3, "", "1700000004.M4P1.host")]
    inbox = Mailbox.objects.get(account__address="lisi@benet.com", name="INBOX")
    assert (inbox.uid_validity, inbox.uid_next, inbox.messages, inbox.unseen) == (1234567890, 90, 3, 2)
    assert inbox.keywords == "$Label1 later"
    account = Account.objects.get(address="lisi@benet.com")
    assert (account.used_messages, account.used_bytes) == (4, 4 * 22)
    assert set(account.subscriptions.values_list("name", flat=True)) >= {"Work/2026", "Elsewhere"}
    assert run("mailindex").err.endswith("mailindex: 2 accounts, 0 messages indexed\n")


def test_a_full_mailbox_is_adopted_all_the_same(dovecots_maildir, run):
    Account.objects.filter(address="lisi@benet.com").update(quota_bytes=1)
    run("mailindex")
    assert len(rows("INBOX")) == 3
    assert len(list((dovecots_maildir / "cur").iterdir())) == 2


def test_uids_of_a_mailbox_in_use_stay(post, run, dovecots_maildir):
    post("lisi")
    deliver()
    [(first, *_)] = rows("INBOX")
    validity = Mailbox.objects.get(account__address="lisi@benet.com", name="INBOX").uid_validity
    run("mailindex")
    assert [uid for uid, *_ in rows("INBOX")] == [first, 2, 3, 4]
    assert Mailbox.objects.get(account__address="lisi@benet.com", name="INBOX").uid_validity == validity


def test_a_row_without_its_file_is_reported_and_stays(post, run):
    post("lisi")
    deliver()
    [(uid, _, _, base_name)] = rows("INBOX")
    next((settings.MAIL_ROOT / "benet.com/lisi/Maildir/new").iterdir()).unlink()
    ran = run("mailindex")
    assert ran.status == 1
    assert ran.lines == [f"lisi@benet.com INBOX: row without file: UID {uid} {base_name}"]
    [report] = [json.loads(line) for line in run("mailindex", "--json", "lisi@benet.com").lines]
    assert report["rows_without_file"] == [{"uid": uid, "base_name": base_name}]
    assert len(rows("INBOX")) == 1


def test_what_a_delivery_has_just_placed_is_left_to_it(post, run):
    message = post("lisi")
    [duty] = states.claim_due("anna", 1)[0].pending
    place("", f"1700000000.Q{message.queue_id}R{duty.id:X}.mail.benet.com", part="new")
    assert run("mailindex").err.endswith("0 messages indexed\n")


def test_mail_of_nobody_is_named(benet, run):
    (settings.MAIL_ROOT / "benet.com/gone/Maildir/cur").mkdir(parents=True)
    ran = run("mailindex")
    assert ran.status == 1
    assert f"{settings.MAIL_ROOT}/benet.com/gone: mail without an account" in ran.err


def test_the_index_is_built_anew_from_the_files(post, run, inbox):
    for number in range(3):
        post("lisi", content=b"Subject: %d\r\n\r\n" % number)
    deliver()
    before = inbox("lisi")
    Message.objects.all().delete()
    Mailbox.objects.update(messages=0, unseen=0, size=0)
    Account.objects.update(used_bytes=0, used_messages=0)
    run("mailindex", "--offline")
    assert sorted(inbox("lisi")) == sorted(before)
    account = Account.objects.get(address="lisi@benet.com")
    assert (account.used_messages, account.used_bytes) == (3, sum(map(len, before)))


# --- mailindex: counters, and rows whose files are lost ---------------------------------------------


def lose(number: int = 0) -> tuple[int, str, bytes]:
    """Remove the file of lisi's message `number`: its UID, base name and content."""
    uid, _, _, base_name = rows("INBOX")[number]
    path = Path(maildir_files.find_file(maildir_files.folder_directory("lisi@benet.com", ""), base_name, 0))
    content = path.read_bytes()
    path.unlink()
    return uid, base_name, content


def content_of(base_name: str) -> bytes:
    return maildir_files.read_message(maildir_files.folder_directory("lisi@benet.com", ""), base_name, 0)


@pytest.mark.parametrize("wrong", [{"unseen": 0}, {"messages": 7}, {"size": 0}, {"uid_next": 1}, {"highest_modseq": 1}])
def test_counters_are_counted_again(post, run, wrong):
    for _ in range(3):
        post("lisi")
    deliver()
    inbox = Mailbox.objects.get(account__address="lisi@benet.com", name="INBOX")
    Message.objects.filter(mailbox=inbox).update(modseq=5)
    Mailbox.objects.filter(pk=inbox.pk).update(highest_modseq=5)
    Mailbox.objects.filter(pk=inbox.pk).update(**wrong)
    dry = run("mailindex", "--dry-run", "lisi@benet.com")
    assert dry.status == 1
    assert "lisi@benet.com INBOX: counters differ: " in dry.out
    ran = run("mailindex", "lisi@benet.com")
    assert ran.status == 0
    assert f"→ 3 messages, 3 unseen, {inbox.size} bytes" in ran.out
    now = Mailbox.objects.get(pk=inbox.pk)
    assert (now.messages, now.unseen, now.size, now.uid_next) == (3, 3, inbox.size, inbox.uid_next)
    assert now.highest_modseq > 5
    account = Account.objects.get(address="lisi@benet.com")
    assert (account.used_messages, account.used_bytes) == (3, inbox.size)
    assert run("mailindex", "lisi@benet.com").out == ""


def test_a_lost_file_is_restored_from_a_backup(post, run, tmp_path):
    post("lisi", content=b"Subject: one\r\n\r\n")
    post("lisi", content=b"Subject: two\r\n\r\n")
    deliver()
    uid, base_name, content = lose()
    backup = tmp_path / "backup" / "deep"
    backup.mkdir(parents=True)
    (backup / f"{base_name}:2,S").write_bytes(content[:-1] + b"x")  # as long, and another message
    ran = run("mailindex", "--restore", "--from", str(tmp_path / "backup"), "lisi@benet.com")
    assert (ran.status, ran.lines) == (1, [f"lisi@benet.com INBOX: row without file: UID {uid} {base_name}"])
    (backup / f"{base_name}:2,").write_bytes(content)
    ran = run("mailindex", "--restore", "--from", str(tmp_path / "backup"), "lisi@benet.com")
    assert ran.status == 0
    assert ran.lines == [f"lisi@benet.com INBOX: UID {uid} restored from {backup}/{base_name}:2,"]
    assert content_of(base_name) == content


def test_a_lost_file_is_restored_from_a_copy_of_its_message(post, run):
    post("lisi")
    deliver()
    owner = Owner(Account.objects.get(address="lisi@benet.com").pk, "lisi@benet.com")
    copy_move.copy_messages(boxes.find_mailbox(owner, "INBOX"), [(1, 1)], boxes.find_mailbox(owner, "Archive"))
    uid, base_name, content = lose()
    ran = run("mailindex", "--restore", "lisi@benet.com")
    assert (ran.status, ran.lines) == (0, [f"lisi@benet.com INBOX: UID {uid} restored from lisi@benet.com Archive"])
    assert content_of(base_name) == content


def test_rows_whose_files_are_lost_are_dropped_when_asked_for(post, run):
    for number in range(3):
        post("lisi", content=b"Subject: %d\r\n\r\n" % number)
    deliver()
    uid, _, _ = lose(1)
    dry = run("mailindex", "--dry-run", "--restore", "--drop", "lisi@benet.com")
    assert dry.status == 1
    assert len(rows("INBOX")) == 3
    ran = run("mailindex", "--restore", "--drop", "lisi@benet.com")
    assert (ran.status, ran.lines) == (0, [f"lisi@benet.com INBOX: UID {uid} dropped"])
    assert [row[0] for row in rows("INBOX")] == [1, 3]
    inbox = Mailbox.objects.get(account__address="lisi@benet.com", name="INBOX")
    account = Account.objects.get(address="lisi@benet.com")
    assert (inbox.messages, inbox.unseen, inbox.size) == (2, 2, account.used_bytes)
    assert run("mailindex", "--json", "lisi@benet.com").out == ""
