"""The list of a folder and what 李四 does in it."""

import re

import pytest

from webmail.mailserver import imap_client
from webmail.views.mail.message_list import make_pager
from webmail_fixtures import Browser, PostOffice, make_message

pytestmark = pytest.mark.django_db(transaction=True)


def subjects(page: str) -> list[str]:
    return re.findall(r'<span class="subject">(.*?)</span>', page)


@pytest.fixture
def ten(office: PostOffice, lisi: Browser) -> Browser:
    """Ten messages in the inbox, one to ten in the order they came."""
    for number in range(1, 11):
        who = f"{'甲乙丙丁戊己庚辛壬癸'[number - 1]} <user{11 - number:03d}@benet.com>"
        when = f"Sat, {number} Aug 2026 14:05:00 +0800"
        office.put(make_message(f"第{number}封", "字" * number * 100, who, Date=when))
    lisi.see("/")
    return lisi


def do(browser: Browser, action: str, *uids: int, box: str = "INBOX", **more: str):
    browser.see("/", **({"in": box} if box != "INBOX" else {}))
    return browser.press(
        "/act/", do=action, uid=[str(uid) for uid in uids], validity=browser.field("validity"), **{"in": box}, **more
    )


def test_an_empty_inbox_says_so(office, lisi: Browser) -> None:
    assert "Enjoy the quiet" in lisi.page


def test_the_newest_stands_first(ten: Browser) -> None:
    assert subjects(ten.page) == [f"第{n}封" for n in range(10, 0, -1)]
    assert "1–10 of 10" in ten.page
    assert "10 unread" in ten.page


def test_a_row_shows_what_the_message_is(office: PostOffice, lisi: Browser) -> None:
    with_file = make_message("带附件")
    with_file.add_attachment(b"x", "application", "pdf", filename="a.pdf")
    office.put(with_file, flags=r"(\Seen \Flagged \Answered $Forwarded)")
    lisi.see("/")
    [row] = re.findall(r'<li class="row.*?</li>', lisi.page, re.DOTALL)
    assert 'class="row starred"' in row
    for mark in ("Answered", "Forwarded", "Attachment", "小七", "带附件"):
        assert mark in row


def test_a_hostile_subject_is_only_text(office: PostOffice, lisi: Browser) -> None:
    office.put(make_message('<script>alert(1)</script>"><img src=x>', sender='"<b>x" <a@b.cn>'))
    lisi.see("/")
    assert "<script>" not in lisi.page
    assert "<img" not in lisi.page
    assert "&lt;b&gt;x" in lisi.page


def test_pages_and_sorting(ten: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webmail.account.preferences.PAGE_SIZES", (4,))
    ten.see("/options/display/")
    ten.press("/options/display/", page_size="4")
    ten.see("/", page="2")
    assert subjects(ten.page) == ["第6封", "第5封", "第4封", "第3封"]
    ten.see("/", page="99")
    assert subjects(ten.page) == ["第2封", "第1封"]
    ten.see("/", page="all")
    assert len(subjects(ten.page)) == 10
    ten.see("/", sort="arrival")
    assert subjects(ten.page)[0] == "第1封"
    ten.see("/", sort="size")
    assert len(subjects(ten.page)) == 4
    ten.see("/", sort="subject; DELETE")
    assert subjects(ten.page)[0] == "第10封"


@pytest.mark.parametrize("sort", ["from", "-from", "subject", "-subject", "date", "-date", "size", "-size"])
def test_each_column_sorts(ten: Browser, sort: str) -> None:
    ten.see("/", sort=sort)
    found = subjects(ten.page)
    ten.see("/", sort=sort[1:] if sort.startswith("-") else f"-{sort}")
    assert subjects(ten.page) == found[::-1]


def test_a_server_without_sort_offers_no_sorting(ten: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    real = imap_client.MailSession.supports
    monkeypatch.setattr(
        imap_client.MailSession, "supports", lambda self, name: not name.startswith("SORT") and real(self, name)
    )
    ten.see("/", sort="from")
    assert subjects(ten.page)[0] == "第10封"
    assert 'class="columns"' not in ten.page


def test_marks(office: PostOffice, ten: Browser) -> None:
    do(ten, "read", 3, 4)
    assert "8 unread" in ten.page
    do(ten, "flag", 3)
    assert office.flags(3) == {"\\Seen", "\\Flagged"}
    do(ten, "unflag", 3)
    do(ten, "unread", 3)
    assert office.flags(3) == set()


def test_the_star_beside_a_row(office: PostOffice, ten: Browser) -> None:
    ten.press("/act/", star="5", validity=ten.field("validity"), **{"in": "INBOX"})
    assert office.flags(5) == {"\\Flagged"}
    ten.press("/act/", star="-5", validity=ten.field("validity"), **{"in": "INBOX"})
    assert office.flags(5) == set()


def test_deleting_goes_through_the_trash(office: PostOffice, ten: Browser) -> None:
    do(ten, "delete", 10, 9)
    assert "2 messages moved to Trash." in ten.page
    assert len(subjects(ten.page)) == 8
    ten.see("/", **{"in": "Trash"})
    assert sorted(subjects(ten.page)) == ["第10封", "第9封"]
    do(ten, "delete", 1, box="Trash")
    assert "1 message deleted." in ten.page
    assert len(office.messages("lisi", "Trash")) == 1


def test_deleting_for_good_at_once(office: PostOffice, ten: Browser) -> None:
    do(ten, "destroy", 1, 2, 3)
    assert len(office.messages("lisi")) == 7
    assert office.messages("lisi", "Trash") == []


def test_moving_and_copying(office: PostOffice, ten: Browser) -> None:
    do(ten, "move", 1, target="Archive")
    assert "1 message moved to Archive." in ten.page
    do(ten, "copy", 2, 3, target="Archive")
    assert len(office.messages("lisi")) == 9
    assert len(office.messages("lisi", "Archive")) == 3


def test_spam_and_back(office: PostOffice, ten: Browser) -> None:
    do(ten, "junk", 1)
    assert len(office.messages("lisi", "Junk")) == 1
    do(ten, "notjunk", 1, box="Junk")
    assert len(office.messages("lisi")) == 10


def test_emptying_the_trash_is_asked_once_more(office: PostOffice, ten: Browser) -> None:
    do(ten, "delete", 1, 2)
    do(ten, "empty", box="Trash")
    assert "Empty Trash?" in ten.page
    assert len(office.messages("lisi", "Trash")) == 2
    ten.press("/act/", do="empty", sure="yes", validity=ten.field("validity"), **{"in": "Trash"})
    assert office.messages("lisi", "Trash") == []


def test_the_inbox_cannot_be_emptied(office: PostOffice, ten: Browser) -> None:
    do(ten, "empty", sure="yes")
    assert len(office.messages("lisi")) == 10


ODD = {
    "nothing chosen": ({"do": "delete"}, "Please select messages first."),
    "no action": ({"do": "explode", "uid": "1"}, "Please choose what to do."),
    "no folder": ({"do": "move", "uid": "1"}, "Please choose a folder first."),
    "a folder that is not there": (
        {"do": "move", "uid": "1", "target": "Nowhere\r\nA1 LOGOUT"},
        "Please choose a folder first.",
    ),
    "a number that is none": ({"do": "delete", "uid": "1:*"}, "Please select messages first."),
    "a message that is gone": ({"do": "read", "uid": "4711"}, "<h1>Inbox</h1>"),
}


@pytest.mark.parametrize(("form", "said"), ODD.values(), ids=ODD.keys())
def test_odd_requests_change_nothing(office: PostOffice, ten: Browser, form: dict[str, str], said: str) -> None:
    ten.press("/act/", validity=ten.field("validity"), **{"in": "INBOX"}, **form)
    assert said in ten.page
    assert len(office.messages("lisi")) == 10


def test_a_folder_that_was_made_anew_is_not_touched(office: PostOffice, ten: Browser) -> None:
    response = ten.press("/act/", do="destroy", uid="1", validity="1", **{"in": "INBOX"})
    assert response.status_code == 409
    assert len(office.messages("lisi")) == 10


def test_nothing_changes_without_a_token(office: PostOffice, ten: Browser) -> None:
    validity = ten.field("validity")
    ten.page = ""
    assert ten.press("/act/", do="destroy", uid="1", validity=validity).status_code == 403
    assert ten.get("/act/?do=destroy&uid=1").status_code == 405
    assert len(office.messages("lisi")) == 10


@pytest.mark.parametrize("name", ["Nowhere", "INBOX\r\nA1 DELETE INBOX", "\0", '"', "*", "%", "x" * 3000, "文件夹"])
def test_folders_that_are_not_there(office: PostOffice, ten: Browser, name: str) -> None:
    response = ten.see("/", **{"in": name})
    assert response.status_code in (200, 409)
    assert len(office.messages("lisi")) == 10


def test_new_mail_is_there_at_the_next_look(office: PostOffice, ten: Browser) -> None:
    """The connection is kept between pages; what came, and went, meanwhile is seen all the same."""
    office.put(make_message("新到"))
    ten.see("/")
    assert subjects(ten.page)[0] == "新到"
    program = office.connect()
    program.select("INBOX")
    program.store("1:3", "+FLAGS", "\\Deleted")
    program.expunge()
    ten.see("/")
    assert len(subjects(ten.page)) == 8
    assert "1–8 of 8" in ten.page


def test_four_journeys_to_the_server_are_enough(
    office: PostOffice, ten: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: list[str] = []
    import imaplib

    real = imaplib.IMAP4._command

    def counted(self, name, *args):
        commands.append(name)
        return real(self, name, *args)

    monkeypatch.setattr(imaplib.IMAP4, "_command", counted)
    raw = imap_client.IMAPClient._raw_command
    monkeypatch.setattr(
        imap_client.IMAPClient,
        "_raw_command",
        lambda self, name, *args, **more: commands.append(name) or raw(self, name, *args, **more),
    )
    ten.see("/")
    assert len(commands) <= 4, commands
    commands.clear()
    ten.see("/mail/10")
    assert len(commands) <= 4, commands


def test_lisi_sees_only_her_own(office: PostOffice, ten: Browser) -> None:
    xiaoqi = Browser()
    xiaoqi.sign_in("xiaoqi")
    assert "Enjoy the quiet" in xiaoqi.page
    assert xiaoqi.see("/mail/1").status_code == 404


PAGERS = {
    ("", 0, 50): (1, 1, 0, 0),
    ("", 120, 50): (1, 3, 1, 50),
    ("3", 120, 50): (3, 3, 101, 120),
    ("9", 120, 50): (3, 3, 101, 120),
    ("-1", 120, 50): (1, 3, 1, 50),
    ("x", 120, 50): (1, 3, 1, 50),
    ("all", 120, 50): (1, 1, 1, 120),
}


@pytest.mark.parametrize(("wanted", "shown"), PAGERS.items())
def test_pager(wanted: tuple[str, int, int], shown: tuple[int, int, int, int]) -> None:
    found = make_pager(*wanted)
    assert (found.page, found.pages, found.first, found.last) == shown


def test_pager_numbers() -> None:
    assert make_pager("10", 1000, 50).numbers == [1, 2, None, 8, 9, 10, 11, 12, None, 19, 20]


# --- Deleted ones are marked ------------------------------------------------------------------------


@pytest.fixture
def marking(ten: Browser) -> Browser:
    """Deleting only marks."""
    ten.see("/options/folders/")
    ten.press("/options/folders/", only_subscribed="1", deletion="mark", sent_copies="sent")
    return ten


def test_deleted_ones_are_marked_and_unmarked(office: PostOffice, marking: Browser) -> None:
    do(marking, "delete", 9, 10)
    assert "2 messages are marked as deleted." in marking.page
    assert office.flags(9) == {"\\Deleted"}
    assert office.messages("lisi", "Trash") == []
    assert len(re.findall(r'<li class="row[^"]* deleted', marking.page)) == 2
    do(marking, "undelete", 9)
    assert office.flags(9) == set()
    assert len(re.findall(r'<li class="row[^"]* deleted', marking.page)) == 1


def test_marked_ones_are_removed_when_that_is_wanted(office: PostOffice, marking: Browser) -> None:
    do(marking, "delete", 9, 10)
    do(marking, "expunge")
    assert "Messages marked as deleted have been removed." in marking.page
    assert subjects(marking.page) == [f"第{n}封" for n in range(8, 0, -1)]
    assert office.messages("lisi", "Trash") == []


def test_another_programs_mark_can_be_taken_off(office: PostOffice, ten: Browser) -> None:
    assert "Undelete" not in ten.page
    program = office.connect()
    program.select("INBOX")
    program.uid("STORE", "3", "+FLAGS", r"(\Deleted)")
    ten.see("/mail/3")
    assert "Undelete" in ten.page
    ten.press("/act/", do="undelete", uid="3", validity=ten.field("validity"), **{"in": "INBOX", "from": "message"})
    assert "\\Deleted" not in office.flags(3)
    program.logout()


def test_without_uidplus_only_the_chosen_are_removed(
    office: PostOffice, marking: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        imap_client.MailSession,
        "supports",
        lambda self, name: name not in ("UIDPLUS", "MOVE") and name in self.capabilities,
    )
    do(marking, "delete", 1)
    do(marking, "destroy", 2)
    assert office.flags(1) == {"\\Deleted"}
    assert office.flags(2) == {"gone"}


# --- What the administrator says --------------------------------------------------------------------


def test_the_message_of_the_day_is_read_once(ten: Browser, parameters) -> None:
    parameters(webmail_message_of_the_day="Maintenance on Sunday, see https://benet.com/")
    ten.see("/")
    assert 'Maintenance on Sunday, see <a href="https://benet.com/"' in ten.page
    ten.see("/", **{"in": "Archive"})
    assert "Maintenance" not in ten.page
    ten.see("/")
    ten.press("/options/read", read=ten.field("read"))
    assert "Maintenance" not in ten.page
    parameters(webmail_message_of_the_day="All is well again.")
    ten.see("/")
    assert "All is well again." in ten.page
