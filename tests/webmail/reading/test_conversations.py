"""Conversations: what was asked and what was answered, on one page, wherever it lies."""

import imaplib
import re

import pytest

from webmail.mailserver import imap_client
from webmail_fixtures import Browser, PostOffice, make_message

pytestmark = pytest.mark.django_db(transaction=True)


def say(
    office: PostOffice, number: int, text: str, *, box: str = "INBOX", answers: str = "", day: int = 1, **more: str
):
    sender = "李四 <lisi@benet.com>" if box == "Sent" else "小七 <xiaoqi@benet.com>"
    more |= {"Message-ID": f"<{number}@benet.com>", "Date": f"Tue, {day} Sep 2026 10:00:00 +0800"}
    if answers:
        more |= {"References": answers, "In-Reply-To": answers.split()[-1]}
    flags = more.pop("flags", r"(\Seen)")
    office.put(make_message("Re: 出差" if answers else "出差", text, sender, **more), box=box, flags=flags)


@pytest.fixture
def talk(office: PostOffice, lisi: Browser) -> Browser:
    """小七 asks, 李四 answers, 小七 thanks; something else comes between."""
    say(office, 1, "可以出差吗？\n", day=1)
    say(office, 2, "同意。\n", box="Sent", answers="<1@benet.com>", day=2)
    office.put(make_message("别的事", "x\n", Date="Tue, 2 Sep 2026 11:00:00 +0800"))
    say(office, 3, "谢谢！\n", answers="<1@benet.com> <2@benet.com>", day=3, flags="()")
    return lisi


def without(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    real = imap_client.MailSession.supports
    monkeypatch.setattr(
        imap_client.MailSession,
        "supports",
        lambda self, name: not any(name.startswith(each) for each in names) and real(self, name),
    )


@pytest.mark.parametrize("lacking", [(), ("OBJECTID",), ("OBJECTID", "MULTISEARCH", "THREAD", "LITERAL+")])
def test_a_conversation_holds_what_was_sent(
    office: PostOffice, talk: Browser, lacking: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    if lacking:
        without(monkeypatch, *lacking)
    talk.see("/conversation/1")
    assert re.findall(r'<span class="tag">(.*?)</span>', talk.page) == ["Sent"]
    assert "3 messages" in talk.page
    assert "谢谢！" in talk.page  # unread, so open
    assert "<article" in talk.page
    assert office.flags(3) == {"\\Seen"}
    talk.see("/conversation/1", open="all")
    assert talk.page.count('<article class="sheet one') == 3
    for words in ("可以出差吗？", "同意。", "谢谢！"):
        assert words in talk.page
    assert "别的事" not in talk.page


def test_a_message_alone_is_no_conversation(talk: Browser) -> None:
    assert talk.see("/conversation/2").redirect_chain[-1][0] == "/mail/2"
    assert talk.see("/conversation/99").status_code == 404


@pytest.mark.parametrize("lacking", [(), ("THREAD",), ("THREAD=REFS",)])
def test_a_list_of_conversations(talk: Browser, lacking: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    if lacking:
        without(monkeypatch, *lacking)
    talk.press("/options/view", threads="1", back="/")
    assert re.findall(r'<span class="subject">(.*?)</span>', talk.page) == ["Re: 出差", "别的事"]
    assert 'name="uid" value="1,3"' in talk.page
    assert 'title="2 messages">2</b>' in talk.page
    assert 'href="/conversation/3"' in talk.page
    talk.press("/options/view", threads="0", back="/")
    assert len(re.findall(r'<span class="subject">', talk.page)) == 3


def test_new_mail_joins_its_conversation(office: PostOffice, talk: Browser) -> None:
    talk.press("/options/view", threads="1", back="/")
    say(office, 4, "还有\n", answers="<1@benet.com>", day=4, flags="()")
    talk.see("/")
    assert 'name="uid" value="1,3,4"' in talk.page


def test_a_conversation_is_archived_whole(office: PostOffice, talk: Browser) -> None:
    talk.see("/conversation/1")
    talk.press("/act/", do="archive", uid="1,3", validity=talk.field("validity"), **{"in": "INBOX"})
    assert "2 messages moved to Archive." in talk.page
    assert len(office.messages("lisi")) == 1
    assert len(office.messages("lisi", "Sent")) == 1


def test_what_was_thrown_away_is_left_out(office: PostOffice, talk: Browser) -> None:
    talk.see("/")
    talk.press("/act/", do="delete", uid="3", validity=talk.field("validity"), **{"in": "INBOX"})
    talk.see("/conversation/1", open="all")
    assert "谢谢！" not in talk.page
    talk.see("/conversation/1", **{"in": "Trash", "open": "all"})
    assert "谢谢！" in talk.page


def test_a_message_in_two_folders_is_one(office: PostOffice, talk: Browser) -> None:
    talk.see("/")
    talk.press("/act/", do="copy", uid="1", target="Archive", validity=talk.field("validity"), **{"in": "INBOX"})
    talk.see("/conversation/1")
    assert "3 messages" in talk.page


def test_few_journeys(talk: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    """Count the round trips: commands sent together are one."""
    talk.see("/")
    waits: list[str] = []
    read = imaplib.IMAP4._get_tagged_response
    sent = imaplib.IMAP4.send
    state = {"sent": False}

    def sending(self, data):
        state["sent"] = True
        return sent(self, data)

    def waiting(self, tag, **more):
        if state["sent"]:
            waits.append(tag)
            state["sent"] = False
        return read(self, tag, **more)

    monkeypatch.setattr(imaplib.IMAP4, "send", sending)
    monkeypatch.setattr(imaplib.IMAP4, "_get_tagged_response", waiting)
    talk.see("/conversation/1", open="all")
    assert len(waits) <= 4, waits
