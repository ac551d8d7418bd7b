"""The webmail as a guest: a real Dovecot keeps the messages, a real Postfix sends them, and only settings say so."""

import imaplib
import re
import shutil
import socket
import time
from collections.abc import Callable, Iterator

import pytest
from django.core.cache import cache

from tests.programs.conftest import Postfix, postfix  # noqa: F401  (fixture)
from tests.programs.dovecot import Dovecot, missing
from tests.webmail.views.test_sending import parsed, write
from webmail.mailserver import connection_pool
from webmail_fixtures import Browser, make_message

pytestmark = [pytest.mark.program, pytest.mark.django_db(transaction=True)]

LISI, SEVEN, SECRET = "lisi@far.example", "xiaoqi@far.example", "there"
_DOVECOT = """
service auth {
  unix_listener auth-userdb {
    mode = 0666
  }
  inet_listener {
    address = 127.0.0.1
    port = %d
  }
}
service stats {
  unix_listener stats-writer {
    mode = 0666
  }
}
auth_mechanisms = plain login
%s
"""
# A server that does nothing but what RFC 3501 asks for, and one that says all it can.
KINDS = {"bare": "protocol imap {\n  imap_capability = IMAP4rev1\n}\n", "able": ""}
_MAIN_CF = """
mydestination =
virtual_mailbox_domains = far.example
virtual_mailbox_maps = static:there
virtual_transport = dovecot
dovecot_destination_recipient_limit = 1
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = inet:127.0.0.1:{auth}
smtpd_relay_restrictions = permit_sasl_authenticated, reject
local_header_rewrite_clients =
maillog_file_prefixes = {folder}
maillog_file = {folder}/data/log
"""
_MASTER_CF = """127.0.0.1:{port} inet n - n - - smtpd
dovecot unix - n n - - pipe
  flags=DRhu user=mail:mail argv=/usr/lib/dovecot/dovecot-lda -c {conf} -o log_path=/dev/stderr -d ${{recipient}}
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@pytest.fixture(params=KINDS)
def dovecot(request, settings, postfix: Postfix) -> Iterator[Dovecot]:  # noqa: F811
    if missing() or not shutil.which("dovecot-lda", path="/usr/lib/dovecot"):
        pytest.skip("no Dovecot here that we may start")
    auth, smtp = free_port(), free_port()
    server = Dovecot(more=_DOVECOT % (auth, KINDS[request.param]))
    with (postfix.folder / "main.cf").open("a") as main_cf:
        main_cf.write(_MAIN_CF.format(folder=postfix.folder, auth=auth))
    with (postfix.folder / "master.cf").open("a") as master_cf:
        master_cf.write(_MASTER_CF.format(port=smtp, conf=server.conf))
    started = postfix("postfix", "start")
    if started.status != 0:
        server.stop()
        pytest.skip(f"Postfix does not start: {started.err}")
    cache.clear()
    settings.WEBMAIL = settings.WEBMAIL | {
        "IMAP_SERVER": f"127.0.0.1:{server.port}",
        "SMTP_SERVER": f"127.0.0.1:{smtp}",
        "SIEVE_SERVER": "",
        "GUEST": True,
    }
    yield server
    connection_pool.close_all()
    postfix("postfix", "stop")
    server.stop()


@pytest.fixture
def lisi(dovecot: Dovecot) -> Browser:
    """李四, signed in, with five messages there."""
    with dovecot.client(LISI) as there:
        for number in range(1, 4):
            there.append(
                "INBOX", make_message(f"第{number}封", f"董事会议程{number}\n", Message_ID=f"<{number}@x>").as_bytes()
            )
        answer = make_message("Re: 第1封", "收到\n", Message_ID="<4@x>", References="<1@x>", In_Reply_To="<1@x>")
        there.append("INBOX", answer.as_bytes(), ["\\Seen"])
        rich = make_message("附件", "x\n")
        rich.add_alternative("<p>各位<img src='https://evil.example/t.gif'></p>", subtype="html")
        rich.add_attachment(b"%PDF-1.4", "application", "pdf", filename="会议.pdf")
        there.append("INBOX", rich.as_bytes(), ["\\Flagged"])
        there.append(
            "INBOX.Gesendet", make_message("Re: 第1封", "y\n", Message_ID="<5@x>", References="<1@x>").as_bytes()
        )
    browser = Browser()
    browser.sign_in(LISI, SECRET)
    assert "Inbox" in browser.page
    return browser


@pytest.fixture
def journeys(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How often the webmail has waited for the server since it was last asked."""
    waited: list[bytes] = []
    turns = {"written": False}
    send, read = imaplib.IMAP4.send, imaplib.IMAP4.readline

    def sent(self, data):
        turns["written"] = True
        return send(self, data)

    def line(self):
        if turns["written"]:
            turns["written"] = False
            waited.append(b"")
        return read(self)

    monkeypatch.setattr(imaplib.IMAP4, "send", sent)
    monkeypatch.setattr(imaplib.IMAP4, "readline", line)

    def count() -> int:
        number = len(waited)
        waited.clear()
        return number

    return count


def subjects(page: str) -> list[str]:
    return re.findall(r'<span class="subject">(.*?)</span>', page)


def test_signing_in_is_the_servers_business(dovecot: Dovecot) -> None:
    browser = Browser()
    assert browser.sign_in(LISI, "wrong").status_code == 401
    assert "The name or the password is not right." in browser.page


def test_the_list_and_what_is_done_there(lisi: Browser, dovecot: Dovecot) -> None:
    lisi.see("/")
    assert subjects(lisi.page) == ["附件", "Re: 第1封", "第3封", "第2封", "第1封"]
    assert "4 unread" in lisi.page
    for action, uid in (("flag", "2"), ("read", "2"), ("archive", "3"), ("junk", "4")):
        lisi.press("/act/", do=action, uid=uid, validity=lisi.field("validity"), **{"in": "INBOX"})
    assert subjects(lisi.page) == ["附件", "第2封", "第1封"]
    lisi.press("/act/", do="delete", uid="1", validity=lisi.field("validity"), **{"in": "INBOX"})
    with dovecot.client(LISI) as there:
        assert {b"\\Seen", b"\\Flagged"} <= set(_flags(there, "INBOX", 2))
        names = {name for _flags, _delimiter, name in there.list_folders()}
        assert {"INBOX.Archive", "INBOX.Junk", "INBOX.Trash"} <= names
        assert there.select_folder("INBOX.Trash")[b"EXISTS"] == 1
    lisi.see("/", **{"in": "INBOX.Trash"})
    assert subjects(lisi.page) == ["第1封"]


def _flags(there, name: str, uid: int) -> tuple[bytes, ...]:
    there.select_folder(name, readonly=True)
    return there.get_flags([uid])[uid]


@pytest.mark.parametrize("sort", ["subject", "-from", "date", "arrival"])
def test_orders(lisi: Browser, sort: str) -> None:
    assert lisi.see("/", sort=sort).status_code == 200
    assert len(subjects(lisi.page)) == 5


def test_conversations(lisi: Browser) -> None:
    lisi.see("/options/display/")
    lisi.press("/options/view", threads="1", back="/")
    assert len(subjects(lisi.page)) == 4
    lisi.see("/conversation/4", open="all")
    assert "收到" in lisi.page
    assert "3 messages" in lisi.page  # with the answer in Gesendet


def test_reading(lisi: Browser, dovecot: Dovecot) -> None:
    lisi.see("/mail/5")
    assert "会议.pdf" in lisi.page
    frame = lisi.get("/mail/5/body")
    assert "各位" in frame.content.decode()
    assert "evil.example" not in frame.content.decode()
    assert lisi.get("/mail/5/part/2").content == b"%PDF-1.4"
    assert "附件".encode() in lisi.get("/mail/5/print").content
    assert b"Subject:" in lisi.get("/mail/5/source").content
    with dovecot.client(LISI) as there:
        assert b"\\Seen" in _flags(there, "INBOX", 5)


@pytest.mark.parametrize(("query", "found"), [("议程2", ["第2封"]), ("subject:第", 5), ("is:starred", ["附件"])])
def test_search_in_all_folders(lisi: Browser, query: str, found: list[str] | int) -> None:
    lisi.see("/search/", q=query, where="all")
    shown = subjects(lisi.page)
    assert (len(shown) if isinstance(found, int) else shown) == found


def test_an_answer_is_sent_and_filed(lisi: Browser, dovecot: Dovecot, postfix: Postfix) -> None:  # noqa: F811
    lisi.see("/compose/", mode="reply", of="1")
    assert "Send later" not in lisi.page
    write(lisi, to=f"小七 <{SEVEN}>", subject="Re: 第1封", body="收到。")
    assert "Your message was sent." in lisi.page
    with dovecot.client(LISI) as there:
        assert b"\\Answered" in _flags(there, "INBOX", 1)
        assert there.select_folder("INBOX.Gesendet")[b"EXISTS"] == 2
    with dovecot.client(SEVEN) as there:
        there.select_folder("INBOX")
        deadline = time.monotonic() + 30
        while not (arrived := there.search("ALL")):
            assert time.monotonic() < deadline, (postfix.folder / "data/log").read_text()
            there.noop()
        content = parsed(there.fetch(arrived, ["BODY.PEEK[]"])[arrived[0]][b"BODY[]"])
    assert content["From"] == LISI
    assert content["In-Reply-To"] == "<1@x>"
    assert content.get_content().strip() == "收到。"


def test_drafts_and_what_the_server_refuses(lisi: Browser, dovecot: Dovecot) -> None:
    lisi.see("/compose/")
    write(lisi, "draft", to=SEVEN, subject="später", body="x")
    with dovecot.client(LISI) as there:
        assert there.select_folder("INBOX.Drafts")[b"EXISTS"] == 1
    write(lisi, to="no one@@far.example", subject="x", body="x")
    assert 'role="alert"' in lisi.page


def test_folders(lisi: Browser, dovecot: Dovecot) -> None:
    lisi.see("/folders/")
    lisi.press("/folders/", do="create", new="北京", parent="INBOX")
    assert "was created" in lisi.page
    lisi.press("/folders/", do="rename", name="INBOX.北京", new="上海", parent="INBOX")
    with dovecot.client(LISI) as there:
        assert "INBOX.上海" in {name for _f, _d, name in there.list_sub_folders()}
    lisi.press("/act/", do="copy", uid="1", target="INBOX.上海", validity=_validity(lisi), **{"in": "INBOX"})
    lisi.see("/", **{"in": "INBOX.上海"})
    assert subjects(lisi.page) == ["第1封"]
    lisi.see("/folders/")
    lisi.press("/folders/", do="delete", name="INBOX.上海", sure="yes")
    assert "was deleted" in lisi.page


def _validity(browser: Browser) -> str:
    browser.see("/")
    return browser.field("validity")


PAGES = (
    *("/", "/?sort=subject", "/?show=unread", "/?in=INBOX.Gesendet", "/mail/1", "/mail/5?headers=all", "/mail/5/body"),
    *("/mail/5/preview/2", "/conversation/4?open=all", "/search/?q=Re&where=all", "/search/?form=1", "/compose/"),
    *("/compose/?mode=all&of=1", "/contacts/", "/folders/", "/options/", "/options/display/", "/options/folders/"),
    *("/options/labels/", "/options/identities/", "/options/keys/", "/transfer/", "/scheduled/", "/help/"),
)


def test_no_page_waits_more_than_four_times(lisi: Browser, journeys) -> None:
    for path in PAGES:
        assert lisi.see(path).status_code == 200, path
        first = journeys()
        lisi.see(path)
        assert max(first, journeys()) <= 4, path


def test_every_page_is_there(lisi: Browser) -> None:
    for path in PAGES:
        assert lisi.see(path).status_code == 200, path
        assert "Traceback" not in lisi.page
    assert lisi.see("/mail/99").status_code == 404
    assert lisi.see("/filters/").status_code in (200, 404)
