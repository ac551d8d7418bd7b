"""Messages that go through their recipient's Sieve script: where they lie, what else happens, and that none is lost."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from django.db import transaction

from mailcore import rate_counters
from mailcore.models import (
    Account,
    Event,
    Mailbox,
    Message,
    MessageSummary,
    Queued,
    Recipient,
    SieveMemory,
    SieveScript,
)
from mailcore.mta.delivery import crash_recovery, direct, sieve_filter
from mailcore.mta.history import message_trace
from mailcore.mta.queue import content_files
from mailcore.mta.workers.courier import Courier
from mailcore.store import directory
from mailcore.store.access import rescan, sieve_scripts
from mailcore.store.mailbox import quota_limits
from mailcore.store.maildir import maildir_files
from mailcore.values import Client, Local, MessageRecipient, NewMessage, Owner
from mailcore.wire.imap import system_flags as wire_flags
from tests.mta.conftest import STRANGER
from webmail.models import Contact, Group

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

MESSAGE = (
    b"From: a@other.example\r\nTo: lisi@benet.com\r\nSubject: invoice\r\nMessage-ID: <1@other.example>\r\n\r\nPay.\r\n"
)


@pytest.fixture
def lisi(benet) -> Owner:
    return Owner(benet["lisi"], "lisi@benet.com")


@pytest.fixture
def obey(lisi) -> Callable[[str], None]:
    """`obey('discard;')`: 李四's script from now on."""

    def put(script: str) -> None:
        assert sieve_scripts.put_script(lisi, "filters", script) is None
        assert sieve_scripts.activate_script(lisi, "filters") is None

    return put


@pytest.fixture
def arrive(post) -> Callable[..., NewMessage]:
    """A message for 李四, and everything that comes of it, delivered."""

    def one(content: bytes = MESSAGE, to: str = "lisi", **more) -> NewMessage:
        message = post(to, content=content, message_id="1@other.example", **more)
        Courier().run_until_idle()
        return message

    return one


def boxes(name: str = "lisi") -> dict[str, int]:
    rows = Message.objects.filter(mailbox__account__address=f"{name}@benet.com").values_list("mailbox__name", flat=True)
    return {box: list(rows).count(box) for box in rows}


def test_a_message_goes_where_the_script_says(obey, arrive):
    obey('require "fileinto"; if header :contains "subject" "invoice" { fileinto "Archive"; }')
    message = arrive()
    assert boxes() == {"Archive": 1}
    [recipient] = Recipient.objects.filter(queued_id=message.id)
    assert (recipient.state, recipient.relay, recipient.reason) == ("delivered", "sieve", "stored in Archive")
    assert Queued.objects.get(pk=message.id).state == "done"
    arrive(MESSAGE.replace(b"invoice", b"hello"))
    assert boxes() == {"Archive": 1, "INBOX": 1}


def test_the_story_tells_of_it(obey, arrive):
    obey('require "fileinto"; fileinto "Archive";')
    arrive()
    [trace] = message_trace.find_traces("1@other.example")
    assert [m.text for m in trace.moments if m.kind == "filtered"] == ["filters → stored in Archive"]
    assert [place.mailbox for place in trace.places] == ["Archive"]


def test_copies_flags_and_a_mailbox_made_on_the_way(obey, arrive, lisi):
    obey(
        'require ["fileinto", "copy", "imap4flags", "mailbox"];'
        'fileinto :copy :create :flags ["\\\\Seen", "工作" ,"$Bills"] "账单/2026"; addflag "\\\\Flagged";'
    )
    arrive()
    assert boxes() == {"账单/2026": 1, "INBOX": 1}
    copy = Message.objects.get(mailbox__name="账单/2026")
    assert (copy.flags, copy.keywords) == (wire_flags.SEEN, "$Bills")
    assert Mailbox.objects.get(name="账单/2026").keywords == "$Bills"
    assert Mailbox.objects.get(name="账单/2026").unseen == 0
    assert Message.objects.get(mailbox__name="INBOX").flags == wire_flags.FLAGGED
    where = maildir_files.folder_directory(lisi.address, Mailbox.objects.get(name="账单/2026").folder)
    assert os.listdir(f"{where}/cur") == [f"{copy.base_name}:2,S"]


def test_discarded_and_rejected(obey, arrive, inbox):
    obey("discard;")
    arrive()
    assert boxes() == {}
    obey('require "reject"; reject "No invoices,\\nplease.";')
    arrive(sender="xiaoqi@benet.com")
    assert boxes() == {}
    [notice] = inbox("xiaoqi")
    assert b"5.7.1" in notice
    assert b"No invoices" in notice


def test_passed_on_with_a_mark_against_loops(obey, arrive, inbox):
    obey('require "copy"; redirect :copy "xiaoqi@benet.com";')
    arrive()
    assert boxes() == {"INBOX": 1}
    [passed] = inbox("xiaoqi")
    assert b"Delivered-To: lisi@benet.com\r\n" in passed
    assert passed.endswith(MESSAGE)
    assert passed.startswith(b"Return-Path: <a@other.example>")


def test_a_circle_ends(obey, arrive, benet):
    obey('redirect "xiaoqi@benet.com";')
    other = Owner(benet["xiaoqi"], "xiaoqi@benet.com")
    sieve_scripts.put_script(other, "f", 'redirect "lisi@benet.com";')
    sieve_scripts.activate_script(other, "f")
    arrive()
    assert boxes() == boxes("xiaoqi") == {}
    assert Recipient.objects.filter(state="failed", dsn="5.4.6").exists()


# --- Automatic answers ----------------------------------------------------------------------------

AWAY = 'require "vacation"; vacation :days 3 :subject "不在" "下周回来。";'


def test_somebody_who_writes_twice_is_answered_once(obey, arrive, inbox):
    obey(AWAY)
    arrive(sender="xiaoqi@benet.com")
    first = int(time.time()) + 1000
    SieveMemory.objects.update(until_at=first)
    arrive(sender="xiaoqi@benet.com")
    assert boxes() == {"INBOX": 2}
    assert SieveMemory.objects.get().until_at == first  # counted from the answer, however often somebody writes
    [answer] = inbox("xiaoqi")
    assert answer.startswith(b"Return-Path: <>\r\n")
    assert "下周回来。".encode() in answer
    assert b"In-Reply-To: <1@other.example>" in answer
    assert b"Auto-Submitted: auto-replied" in answer
    SieveMemory.objects.update(until_at=1)
    arrive(sender="xiaoqi@benet.com")
    assert len(inbox("xiaoqi")) == 2


def test_a_group_is_not_answered_but_a_second_name_is(obey, post, inbox):
    directory.create_alias("boss@benet.com", ["lisi@benet.com"])
    obey(AWAY)
    post("all", content=MESSAGE.replace(b"lisi@", b"all@"), sender="xiaoqi@benet.com")
    Courier().run_until_idle()
    assert not any("下周回来。".encode() in each for each in inbox("xiaoqi"))
    post("boss", content=MESSAGE.replace(b"lisi@", b"boss@"), sender="xiaoqi@benet.com")
    Courier().run_until_idle()
    assert any("下周回来。".encode() in each for each in inbox("xiaoqi"))


def test_nobody_answers_in_anothers_name(obey, arrive, inbox):
    obey('require "vacation"; vacation :from "The boss <boss@other.example>" "away";')
    arrive(sender="xiaoqi@benet.com")
    [answer] = inbox("xiaoqi")
    assert b"\r\nFrom: lisi@benet.com\r\n" in answer


def test_an_answer_in_a_name_beyond_ascii_asks_for_smtputf8(obey, arrive):
    directory.create_alias("李四@benet.com", ["lisi@benet.com"])
    obey('require "vacation"; vacation :from "李四 <李四@BENET.com>" "away";')
    message = arrive(sender="xiaoqi@benet.com", to="李四", content=MESSAGE.replace(b"lisi@", "李四@".encode()))
    [answer] = Queued.objects.exclude(pk=message.id)
    assert answer.smtputf8


def test_a_mime_answer_brings_no_author_of_its_own(obey, arrive, inbox):
    entity = (
        "From: admin@benet.com\r\nX-A: b\r\n folded\r\ncontent-type: text/plain;\r\n charset=utf-8\r\nbcc: x@y\r\n\r\n"
        "From: the body\r\n\r\nend\r\n"
    )
    obey(f'require "vacation"; vacation :mime text:\r\n{entity}.\r\n;')
    arrive(sender="xiaoqi@benet.com")
    [answer] = inbox("xiaoqi")
    header, _, body = answer.partition(b"\r\n\r\n")
    assert header.lower().count(b"\r\nfrom:") == 1
    assert b"\r\nFrom: lisi@benet.com\r\n" in header
    assert header.endswith(b"\r\ncontent-type: text/plain;\r\n charset=utf-8")
    assert body == b"From: the body\r\n\r\nend\r\n"
    assert b"X-A" not in header
    assert b"bcc:" not in header


def test_the_periods_have_limits(obey, arrive, parameters):
    parameters(sieve_vacation_max_period="2d")
    obey('require "vacation"; vacation :days 300 "away";')
    message = arrive(sender="xiaoqi@benet.com")
    memory = SieveMemory.objects.get()
    assert memory.until_at <= message.received_us // 1_000_000 + 2 * 86400 + 60


def test_memory_is_forgotten_when_it_is_over(obey, arrive):
    obey(AWAY)
    arrive(sender="xiaoqi@benet.com")
    assert sieve_scripts.delete_expired() == 0
    SieveMemory.objects.update(until_at=1)
    assert sieve_scripts.delete_expired() == 1


def test_a_duplicate_is_known(obey, arrive):
    obey('require ["duplicate", "fileinto"]; if duplicate { fileinto "Trash"; }')
    for _ in range(3):
        arrive()
    assert boxes() == {"INBOX": 1, "Trash": 2}


# --- Nothing is lost ------------------------------------------------------------------------------


def test_a_faulty_script_keeps_the_message_and_tells_once(obey, arrive, inbox, lisi):
    obey('require ["variables", "copy", "fileinto"]; fileinto "Junk"; set "to" "nobody"; redirect "${to}";')
    for _ in range(2):
        arrive()
    first, notice, second = inbox("lisi")
    assert first.endswith(MESSAGE)
    assert second.endswith(MESSAGE)
    assert b"Auto-Submitted: auto-generated" in notice
    assert boxes() == {"INBOX": 3}
    assert "no address to redirect to" in SieveScript.objects.get().fault
    obey('redirect "nobody@nowhere.example";')
    assert SieveScript.objects.get().fault == ""


def test_a_missing_mailbox_is_the_inbox(obey, arrive, inbox):
    obey('require "fileinto"; fileinto "Elsewhere";')
    arrive()
    assert inbox("lisi")[0].endswith(MESSAGE)
    assert 'there is no mailbox "Elsewhere"' in SieveScript.objects.get().fault


def test_no_room_is_no_different(obey, arrive, lisi):
    obey('require ["fileinto", "copy"]; redirect :copy "xiaoqi@benet.com"; fileinto "Archive";')
    directory.change_account(lisi.account_id, directory.AccountDraft(quota_bytes=200))
    arrive(MESSAGE * 20)
    assert boxes() == boxes("xiaoqi") == {}
    assert Recipient.objects.get(original="lisi@benet.com").state in ("waiting", "failed")


def test_a_script_does_not_take_the_direct_lane(obey, lisi):
    obey("discard;")
    file = content_files.ContentFile()
    queued_id = file.open()
    message = NewMessage(
        queued_id, "a@b.example", (MessageRecipient(lisi.address),), 3, 1, Client("192.0.2.1"), final=lisi.address
    )
    file.write(MESSAGE)
    assert direct.deliver_directly([(file, message)]) == {}
    sieve_scripts.activate_script(lisi, "")
    assert direct.deliver_directly([(file, message)]).keys() == {queued_id}


def test_after_a_power_failure_a_filed_message_is_still_there(obey, arrive):
    """Its name was durable before the commit; the courier's recovery does not put it into INBOX again."""
    obey('require "fileinto"; fileinto "Archive";')
    message = arrive()
    Path(content_files.content_path(message.id)).write_bytes(MESSAGE)
    crash_recovery.recover_after_crash(lambda *_: pytest.fail("not asked"), lambda address: None)
    assert boxes() == {"Archive": 1}


@pytest.mark.parametrize(
    ("script", "folders"),
    [
        ('require "fileinto"; fileinto "Archive";', {".Archive"}),
        ('require "copy"; redirect :copy "xiaoqi@benet.com";', {"Maildir"}),
        ('require "fileinto"; fileinto "Elsewhere";', {"Maildir"}),
        ("keep;", set()),
    ],
)
def test_what_a_script_decided_is_durable_before_the_commit(obey, post, monkeypatch, script, folders):
    """Recovery does no script again: names that it would not put back are synced first."""
    obey(script)
    post("lisi", content=MESSAGE, message_id="1@other.example")
    synced: list[tuple[str, int]] = []
    real = maildir_files.sync_directories

    def note(directories) -> None:
        given = list(directories)
        synced.extend((Path(each).parent.name, Message.objects.count()) for each in given)
        real(given)

    monkeypatch.setattr(maildir_files, "sync_directories", note)
    Courier().run_until_idle()
    assert {name for name, messages in synced if messages == 0} == folders


def test_who_has_no_script_pays_nothing(arrive, django_assert_num_queries, lisi):
    with django_assert_num_queries(0):
        assert sieve_filter.active_scripts([Local(lisi.account_id, lisi.address)]) == {}


# --- Keeping scripts ------------------------------------------------------------------------------


def test_scripts_are_kept_by_name(lisi, parameters):
    assert sieve_scripts.put_script(lisi, "a", "keep;") is None
    assert "line 1" in sieve_scripts.put_script(lisi, "b", "bark;").text
    assert sieve_scripts.put_script(lisi, "x\ny", "keep;") is not None
    assert sieve_scripts.activate_script(lisi, "none").code == "NONEXISTENT"
    assert sieve_scripts.activate_script(lisi, "a") is None
    assert sieve_scripts.list_scripts(lisi) == [("a", True)]
    assert sieve_scripts.delete_script(lisi, "a").code == "ACTIVE"
    assert sieve_scripts.rename_script(lisi, "a", "b") is None
    assert sieve_scripts.list_scripts(lisi) == [("b", True)]
    sieve_scripts.put_script(lisi, "c", "stop;")
    assert sieve_scripts.rename_script(lisi, "c", "b").code == "ALREADYEXISTS"
    parameters(sieve_quota_max_scripts="2", sieve_max_script_size="100")
    assert sieve_scripts.put_script(lisi, "d", "keep;").code == "QUOTA/MAXSCRIPTS"
    assert sieve_scripts.put_script(lisi, "c", "keep;" * 50).code == "QUOTA/MAXSIZE"
    assert sieve_scripts.get_script(lisi, "c") == "stop;"
    sieve_scripts.activate_script(lisi, "")
    assert sieve_scripts.delete_script(lisi, "b") is None
    assert sieve_scripts.list_scripts(lisi) == [("c", False)]


def test_an_account_takes_its_scripts_along(obey, lisi):
    obey("keep;")
    directory.delete_account(lisi.account_id)
    assert SieveScript.objects.count() == 0
    assert quota_limits.read_allowance(lisi.account_id) is None
    with transaction.atomic():
        assert Event.objects.count() == 0


# --- Other scripts, and where a message came from -------------------------------------------------


def test_a_script_includes_others_of_its_owner_and_those_of_the_site(obey, arrive, lisi, tmp_path, parameters):
    (tmp_path / "site.sieve").write_text('require "imap4flags"; addflag "$site";')
    parameters(sieve_global_dir=str(tmp_path))
    assert sieve_scripts.put_script(lisi, "mine", 'require "fileinto"; fileinto :flags "$mine" "Work";') is not None
    mine = 'require ["fileinto", "mailbox"]; fileinto :create "Work"; stop;'
    assert sieve_scripts.put_script(lisi, "mine", mine) is None
    obey('require "include"; include :global "site"; include :global :optional "../site"; include "mine";')
    arrive()
    assert boxes() == {"Work": 1}


def test_a_script_looks_at_the_attachments(obey, arrive):
    obey(
        'require ["foreverypart", "mime", "fileinto"];'
        ' foreverypart { if header :mime :param "filename" :matches "Content-Disposition" "*.exe"'
        ' { fileinto "Archive"; break; } }'
    )
    arrive()
    attached = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nsee\r\n--b\r\n"
    attached += b"Content-Disposition: attachment; filename=report.exe\r\n\r\nMZ\r\n--b--\r\n"
    arrive(MESSAGE.partition(b"\r\n\r\n")[0] + b"\r\n" + attached)
    assert boxes() == {"INBOX": 1, "Archive": 1}


def test_the_spam_filters_score_files_a_message(obey, arrive, parameters):
    parameters(sieve_spamtest_status_header="X-Spam-Score", sieve_spamtest_max_value="15")
    obey(
        'require ["spamtest", "virustest", "fileinto", "relational", "comparator-i;ascii-numeric"];'
        ' if spamtest :value "ge" :comparator "i;ascii-numeric" "7" { fileinto "Junk"; }'
        ' if not virustest "0" { discard; }'
    )
    arrive(b"X-Spam-Score: 12.5\r\n" + MESSAGE)
    arrive(b"X-Spam-Score: 2\r\n" + MESSAGE)
    arrive()
    assert boxes() == {"Junk": 1, "INBOX": 2}


def test_whom_the_owner_knows_is_not_filed_away(obey, arrive):
    friends = Group.objects.create(owner="lisi@benet.com", name="Friends")
    friends.people.add(Contact.objects.create(owner="lisi@benet.com", mail="a@other.example"))
    Contact.objects.create(owner="lisi@benet.com", mail="collected@other.example", collected=True)
    Contact.objects.create(owner="xiaoqi@benet.com", mail="b@other.example")
    obey(
        'require ["extlists", "fileinto"];'
        ' if not address :list "from" ":addrbook:default" { fileinto "Junk"; }'
        ' elsif address :list "from" ":addrbook:Friends" { fileinto "Archive"; }'
    )
    for sender in (b"A@Other.example", b"b@other.example", b"collected@other.example"):
        arrive(MESSAGE.replace(b"a@other.example", sender, 1))
    assert boxes() == {"Archive": 1, "Junk": 2}


def stored(box: str) -> tuple[Message, bytes]:
    """Return the row of the only message in a mailbox of 李四, and its content."""
    row = Message.objects.select_related("mailbox").get(mailbox__account__address="lisi@benet.com", mailbox__name=box)
    folder = maildir_files.folder_directory("lisi@benet.com", row.mailbox.folder)
    return row, maildir_files.read_message(folder, row.base_name, row.flags)


@pytest.mark.parametrize("lines", [1, 100_000])  # read, and mapped
def test_a_changed_header_is_what_is_stored_and_described(obey, arrive, lisi, lines):
    obey(
        'require ["editheader", "fileinto", "copy"]; fileinto :copy "Archive";'
        ' deleteheader "Subject"; addheader "Subject" "[list] 预算";'
    )
    arrive(MESSAGE + b"a line of text\r\n" * lines)
    unchanged, content = stored("Archive")
    assert b"Subject: invoice\r\n" in content
    row, changed = stored("INBOX")
    trace, _, rest = changed.partition(b"Subject: =?utf-8?b?W2xpc3RdIOmihOeulw==?=\r\n")
    assert trace.startswith(b"Return-Path: ")
    assert content.startswith(trace)
    assert trace + rest == content.replace(b"Subject: invoice\r\n", b"")
    assert (row.size, unchanged.size) == (len(changed), len(content))
    summary = MessageSummary.objects.get(message=row)
    assert b"W2xpc3RdIOmihOeulw==" in bytes(summary.envelope)
    assert b"invoice" not in bytes(summary.envelope)
    assert Account.objects.get(pk=lisi.account_id).used_bytes == row.size + unchanged.size
    assert not any(differing for _, _, differing in rescan.rescan(lisi, dry_run=True))


def test_a_changed_header_is_redirected_without_the_fields_of_this_delivery(obey, arrive):
    obey('require "editheader"; addheader "X-Passed-On" "yes"; redirect "xiaoqi@benet.com";')
    arrive()
    folder = maildir_files.folder_directory("xiaoqi@benet.com", "")
    row = Message.objects.get(mailbox__account__address="xiaoqi@benet.com")
    content = maildir_files.read_message(folder, row.base_name, row.flags)
    header = content.partition(b"\r\n\r\n")[0]
    assert header.count(b"\r\nX-Passed-On: yes") == 1
    assert header.count(b"Return-Path:") == 1
    assert header.count(b"Delivered-To: lisi@benet.com") == 1
    assert content.endswith(b"\r\n\r\nPay.\r\n")


def test_scripts_that_take_too_long_are_not_run(obey, arrive, parameters):
    """Each message costs the courier seconds, in which it delivers nothing else; there may be a thousand."""
    parameters(sieve_max_cpu_time="1s", sieve_max_cpu_time_hourly="1s")
    test = 'if body :raw :contains "nothing" { discard; }'
    obey(f'require "body"; {test * 300}')
    message = MESSAGE + b"a line of a long message\r\n" * 20_000
    refused = Recipient.objects.filter(reason__contains="too much processor time in the last hour")
    sent = 0
    while sent < 20 and not refused.exists():
        arrive(message)
        sent += 1
    assert refused.exists()
    kept = boxes()["INBOX"]
    assert kept > sent  # each message, and a notice for the owner
    rate_counters.reset()  # an hour later
    obey("discard;")
    arrive(message)
    assert boxes() == {"INBOX": kept}


def test_a_missing_script_is_a_fault_and_the_message_is_kept(obey, arrive):
    obey('require "include"; include "none"; discard;')
    arrive()
    assert boxes()["INBOX"] >= 1


def test_a_script_learns_of_the_client(obey, arrive):
    obey(
        'require ["environment", "relational", "comparator-i;ascii-numeric"];'
        f'if allof (environment "remote-ip" "{STRANGER.address}", environment "remote-host" "{STRANGER.name}",'
        ' environment :contains "version" "0.", not environment "remote-ip" "") { discard; }'
    )
    received = f"Received: from helo ({STRANGER.name} [{STRANGER.address}])\r\n\tby mail.benet.com; now\r\n".encode()
    arrive(received + MESSAGE)
    assert boxes() == {}
    arrive(b"Received: by mail.benet.com; now\r\n" + received + MESSAGE)
    assert boxes() == {"INBOX": 1}


def test_a_notification_is_sent_once_with_the_delivery(obey, arrive):
    obey('require "enotify"; notify :from "other@benet.com" :message "Mail!" "mailto:xiaoqi@benet.com";')
    arrive()
    assert boxes() == {"INBOX": 1}
    assert boxes("xiaoqi") == {"INBOX": 1}
    [notice] = Queued.objects.filter(recipients__address="xiaoqi@benet.com")
    assert notice.sender == ""
