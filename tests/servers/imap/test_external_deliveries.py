"""Another program puts a file into `new`: the next look finds it, without a notification."""

import os
import time
from pathlib import Path

import pytest

from imap_client import PLAIN, ImapRunning, Mailer
from mailcore.models import Account
from mailcore.servers.imap import imap_server
from mailcore.servers.pop3.session import Pop3Server
from mailcore.store.maildir import maildir_files

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def running(imap) -> ImapRunning:
    return imap()


@pytest.fixture
def lisi(running) -> Mailer:
    return running.dial().sign_in()


def put(name: str, content: bytes = PLAIN, folder: str = "") -> Path:
    """As maildrop, procmail or Postfix would."""
    where = Path(maildir_files.folder_directory("lisi@benet.com", folder))
    (where / "tmp" / name).write_bytes(content)
    os.rename(where / "tmp" / name, where / "new" / name)
    return where / "new" / name


def test_at_select_and_at_noop(lisi, benet):
    put("1300000000.V801I1M1.mail")
    assert b"* 1 EXISTS" in lisi.do("SELECT INBOX")
    put("1300000001.V801I1M1.mail", b"Subject: two\n\nline\n")
    put("1300000002.V801I1M1.mail")
    assert b"* 3 EXISTS" in lisi.do("NOOP")
    assert lisi.do("FETCH 2 (UID RFC822.SIZE)") == [b"* 2 FETCH (UID 2 RFC822.SIZE 19)"]
    assert lisi.do("NOOP") == []
    assert Account.objects.get(pk=benet["lisi"]).used_messages == 3
    lisi.do("STORE 1:3 +FLAGS (\\Deleted)")
    lisi.do("EXPUNGE")
    assert lisi.do("NOOP") == []
    # The files go behind the answer's back.
    deadline = time.monotonic() + 10
    while (
        left := list(Path(maildir_files.folder_directory("lisi@benet.com", "")).glob("[nc]*/*"))
    ) and time.monotonic() < deadline:
        pass
    assert left == []
    assert lisi.do("NOOP") == []


def test_in_another_mailbox_when_it_is_selected_and_for_pop3(lisi, serve):
    put("1300000000.V801I1M1.mail", folder=".Junk")
    assert b"* 1 EXISTS" in lisi.do("EXAMINE Junk")
    put("1300000000.V801I1M1.mail")
    pop3 = serve(lambda executor: Pop3Server(executor, None, implicit_tls=False)).dial()
    pop3.talk("S: +OK …\nC: USER lisi\nS: +OK\nC: PASS 123456\nS: +OK …\nC: STAT\nS: +OK 1 …")


def test_two_sessions_that_look_at_once_enter_it_once(lisi, running):
    other = running.dial().sign_in()
    for client in (lisi, other):
        client.do("SELECT INBOX")
    for number in range(5):
        put(f"130000000{number}.V801I1M1.mail")
        for client in (lisi, other):
            client.say("x NOOP")
        for client in (lisi, other):
            while not client.hear_response().startswith(b"x OK"):
                pass
    assert lisi.do("STATUS INBOX (MESSAGES)") == [b"* STATUS INBOX (MESSAGES 5)"]


def test_while_a_client_idles(imap, monkeypatch):
    monkeypatch.setattr(imap_server, "_SWEEP", 0.05)
    client = imap().dial().sign_in()
    client.do("SELECT INBOX")
    client.talk("C: i IDLE\nS: + idling")
    put("1300000000.V801I1M1.mail")
    client.talk("S: * 1 EXISTS\nS: * 0 RECENT\nC: DONE\nS: i OK …")


def test_our_own_files_and_hidden_ones_are_left_alone(lisi):
    lisi.do("SELECT INBOX")
    put(".hidden")
    put("1300000000.M1P1R0123456789ab")  # one of ours, whose row is on its way
    put("x" * 201)
    assert lisi.do("NOOP") == []
