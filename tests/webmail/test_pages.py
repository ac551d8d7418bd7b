"""Folders, search and options."""

import re

import pytest

from webmail.mailserver import imap_client
from webmail_fixtures import Browser, PostOffice, make_message

pytestmark = pytest.mark.django_db(transaction=True)


def folders(office: PostOffice, name: str = "lisi") -> set[str]:
    program = office.connect(name)
    _said, lines = program.list()
    program.logout()
    return {line.rpartition(b'"/" ')[2].strip(b'"').decode() for line in lines}


def change(browser: Browser, action: str, **form: str):
    browser.see("/folders/")
    return browser.press("/folders/", do=action, **form)


def test_a_folder_is_made_renamed_and_deleted(office: PostOffice, lisi: Browser) -> None:
    change(lisi, "create", new="客户", parent="")
    assert "The folder “客户” was created." in lisi.page
    change(lisi, "create", new="2026", parent="客户")
    lisi.see("/", **{"in": "客户/2026"})
    assert "<h1>2026</h1>" in lisi.page
    change(lisi, "rename", name="客户", new="Kunden", parent="")
    assert {"Kunden", "Kunden/2026"} <= folders(office)
    change(lisi, "delete", name="Kunden/2026")
    assert "Delete the folder “2026”?" in lisi.page
    assert "Kunden/2026" in folders(office)
    lisi.press("/folders/", do="delete", name="Kunden/2026", sure="yes")
    assert "Kunden/2026" not in folders(office)


def test_a_folder_hidden_from_the_list(office: PostOffice, lisi: Browser) -> None:
    change(lisi, "create", new="Alt", parent="")
    change(lisi, "unsubscribe", name="Alt")
    lisi.see("/")
    assert '?in=Alt"' not in lisi.page
    change(lisi, "subscribe", name="Alt")
    lisi.see("/")
    assert '?in=Alt"' in lisi.page


def test_the_pane_is_a_tree(office: PostOffice, lisi: Browser) -> None:
    change(lisi, "create", new="客户", parent="")
    change(lisi, "create", new="2026", parent="客户")
    lisi.see("/")
    assert re.search(r'data-fold="客户">.*<ul>.*in=%E5%AE%A2%E6%88%B7%2F2026"', lisi.page, re.DOTALL)


def test_the_trash_is_emptied_from_any_page(office: PostOffice, lisi: Browser) -> None:
    office.put(make_message("x"), box="Trash")
    lisi.see("/")
    lisi.see("/options/")
    assert 'href="/empty/?in=Trash"' in lisi.page
    lisi.see("/empty/", **{"in": "Trash"})
    assert "Empty Trash?" in lisi.page
    lisi.press("/act/", do="empty", sure="yes", validity=lisi.field("validity"), **{"in": "Trash"})
    assert office.messages("lisi", "Trash") == []
    assert lisi.see("/empty/", **{"in": "INBOX"}).redirect_chain[-1][0] == "/"


WRONG = {
    "no name": ({"do": "create", "new": " ", "parent": ""}, "Please enter a name"),
    "a name twice": ({"do": "create", "new": "Sent", "parent": ""}, "There is a folder of that name already."),
    "inbox again": ({"do": "create", "new": "inbox", "parent": ""}, "There is a folder of that name already."),
    "the delimiter": ({"do": "create", "new": "a/b", "parent": ""}, "cannot be used in the name"),
    "a wildcard": ({"do": "create", "new": "a*", "parent": ""}, "cannot be used in the name"),
    "a line end": ({"do": "create", "new": "a\r\nA1 DELETE Sent", "parent": ""}, "A control character is not allowed here."),
    "a long name": ({"do": "create", "new": "x" * 300, "parent": ""}, "Please enter a name"),
    "a parent that is not there": ({"do": "create", "new": "x", "parent": "Nowhere"}, "There is no such folder."),
    "a special folder renamed": ({"do": "rename", "name": "Sent", "new": "x"}, "A special folder cannot be"),
    "a special folder deleted": ({"do": "delete", "name": "INBOX", "sure": "yes"}, "A special folder cannot be"),
    "one that is not there": ({"do": "delete", "name": "Nowhere", "sure": "yes"}, "There is no such folder."),
    "nothing": ({}, "Please choose what to do."),
}  # fmt: skip


@pytest.mark.parametrize(("form", "said"), WRONG.values(), ids=WRONG.keys())
def test_what_cannot_be_done_with_folders(office: PostOffice, lisi: Browser, form: dict[str, str], said: str) -> None:
    before = folders(office)
    lisi.see("/folders/")
    lisi.press("/folders/", **form)
    assert said in lisi.page
    assert folders(office) == before


def test_a_folder_cannot_go_into_itself(office: PostOffice, lisi: Browser) -> None:
    change(lisi, "create", new="A", parent="")
    change(lisi, "create", new="B", parent="A")
    change(lisi, "rename", name="A", new="C", parent="A/B")
    assert "cannot be moved into itself" in lisi.page


# --- Search -----------------------------------------------------------------------------------------


@pytest.fixture
def library(office: PostOffice, lisi: Browser) -> Browser:
    office.put(make_message("董事会议程", "请查收。\n"))
    office.put(make_message("周报", "会议纪要在这里。\n", "王芳 <wang@benet.com>"))
    office.put(make_message("Budget", "Nothing here.\n", Date="Sun, 13 Sep 2026 14:04:00 +0800"), box="Archive")
    office.put(make_message("会议室", "x\n", Date="Sun, 13 Sep 2026 14:05:00 +0800"), box="Archive")
    return lisi


def found(page: str) -> list[str]:
    return re.findall(r'<span class="subject">(.*?)</span>', page)


SEARCHES = {
    ("subject:会议", ""): ["董事会议程"],
    ("会议", ""): ["周报", "董事会议程"],
    ("body:会议", ""): ["周报"],
    ("from:wang", ""): ["周报"],
    ("to:lisi", ""): ["周报", "董事会议程"],
    ("会议", "all"): ["会议室", "周报", "董事会议程"],
    ("SUBJECT：budget", "all"): ["Budget"],
    ("subject:budget OR 发件人:王芳", "all"): ["Budget", "周报"],
    ("会议 -subject:议程", "all"): ["会议室", "周报"],
    ("会议 in:archive", ""): ["会议室"],
    ("会议 -in:archive", "all"): ["周报", "董事会议程"],
    ("(subject:议程 OR subject:室) 会议", "all"): ["会议室", "董事会议程"],
    ("is:unread from:xiaoqi", ""): ["董事会议程"],
    ("is:starred", "all"): [],
    ("larger:5M", "all"): [],
    ("smaller:5M in:inbox", ""): ["周报", "董事会议程"],
    ("after:2026-09-12 before:2026-09-13 in:inbox", ""): ["周报", "董事会议程"],
    ("on:2025", "all"): [],
    ('"纪要在这里"', "all"): ["周报"],
    ("nothing of the kind", ""): [],
    ('subject:"', ""): [],
    ("subject:\\", ""): [],
    ("{5}", ""): [],
    (") ALL (", "all"): [],
    ("x" * 400, ""): [],
}


@pytest.mark.parametrize(("asked", "subjects"), SEARCHES.items())
@pytest.mark.parametrize("multi", [True, False])
def test_search(
    library: Browser, asked: tuple[str, str], subjects: list[str], multi: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    words, where = asked
    real = imap_client.MailSession.supports
    monkeypatch.setattr(
        imap_client.MailSession,
        "supports",
        lambda self, name: (multi or name not in ("MULTISEARCH", "LITERAL+")) and real(self, name),
    )
    library.see("/search/", q=words, where=where)
    assert found(library.page) == subjects


@pytest.mark.parametrize("words", ["a\r\nA1 DELETE INBOX", "a\0b", "a\x1bb"])
def test_search_words_are_words(library: Browser, words: str) -> None:
    response = library.see("/search/", q=words)
    assert response.status_code in (200, 400)
    library.see("/")
    assert len(found(library.page)) == 2


def test_what_was_found_can_be_opened_and_moved(office: PostOffice, library: Browser) -> None:
    library.see("/search/", q="会议室", where="all")
    assert 'href="/mail/2?in=Archive"' in library.page
    library.see("/search/", q="subject:议程", where="all")
    chosen = re.search(r'name="of" value="([^"]*)"', library.page)[1]
    library.press("/act/", do="delete", of=chosen, back="/search/?q=x")
    assert len(office.messages("lisi", "Trash")) == 1


# --- Options ----------------------------------------------------------------------------------------


def test_options_are_kept(office: PostOffice, lisi: Browser) -> None:
    lisi.see("/options/")
    lisi.press("/options/", name="李四", language="zh-hans", time_zone="America/New_York")
    assert "选项已保存。" in lisi.page
    again = Browser()
    again.sign_in()
    assert "<h1>收件箱</h1>" in again.page
    office.put(make_message("x"))
    again.see("/mail/1")
    assert "2026年9月12日 星期六 02:05" in again.page


ODD = [
    {"page_size": "1000000"},
    {"page_size": "-1"},
    {"language": "xx"},
    {"time_zone": "../../etc/passwd"},
    {"after_action": "javascript:"},
    {"signature": "x" * 100_000},
    {"reply_to": "not an address"},
    {"name": "a\0b"},
]


@pytest.mark.parametrize("form", ODD)
def test_odd_options_do_no_harm(office: PostOffice, lisi: Browser, form: dict[str, str]) -> None:
    lisi.see("/options/")
    assert lisi.press("/options/", **form).status_code in (200, 422)
    assert lisi.see("/").status_code == 200
    assert lisi.see("/compose/").status_code == 200


def test_the_signature_is_text_everywhere(office: PostOffice, lisi: Browser) -> None:
    lisi.see("/options/")
    lisi.press("/options/", signature="</textarea><script>alert(1)</script>", name='"><script>alert(2)</script>')
    for path in ("/options/", "/compose/", "/"):
        lisi.see(path)
        assert "<script>" not in lisi.page


# --- Special folders --------------------------------------------------------------------------------


def test_another_folder_is_the_trash(office: PostOffice, lisi: Browser) -> None:
    program = office.connect()
    program.create("Papierkorb")
    program.subscribe("Papierkorb")
    program.logout()
    office.put(make_message("x"))
    lisi.see("/options/folders/")
    wishes = {"only_subscribed": "1", "home-trash": "Papierkorb", "home-sent": "is not there"}
    lisi.press("/options/folders/", **wishes)
    lisi.see("/")
    lisi.press("/act/", do="delete", uid="1", validity=lisi.field("validity"))
    assert len(office.messages("lisi", "Papierkorb")) == 1
    assert office.messages("lisi", "Trash") == []
    assert 'href="/empty/?in=Papierkorb"' in lisi.page


# --- Access keys ------------------------------------------------------------------------------------


def press_keys(browser: Browser, **wanted: str):
    browser.see("/options/keys/")
    shown = dict(re.findall(r'<input class="one-key" name="([\w-]+)" value="(\w?)"', browser.page))
    return browser.press("/options/keys/", **({"shortcuts": "1"} | shown | wanted))


def test_access_keys_are_chosen(office: PostOffice, lisi: Browser) -> None:
    office.put(make_message("x"))
    press_keys(lisi, **{"reply": "5", "compose": "", "reply-all": "R"})
    assert "Your options were saved." in lisi.page
    lisi.see("/mail/1")
    pressed = dict(re.findall(r'accesskey="(\w)"[^>]*href="[^"]*?(\w+)"', lisi.page))
    assert (pressed["5"], pressed["r"], pressed["f"]) == ("reply", "all", "forward")
    assert 'accesskey="c"' not in lisi.page
    press_keys(lisi, do="usual")
    lisi.see("/mail/1")
    assert 'accesskey="c"' in lisi.page


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"reply": "f"}, "The key “f” would do two things"),
        ({"to": "c"}, "The key “c”"),
        ({"reply": "é"}, "“é” is not a letter"),
    ],
)
def test_keys_that_cannot_be(lisi: Browser, wanted: dict[str, str], said: str) -> None:
    assert press_keys(lisi, **wanted).status_code == 422
    assert said in lisi.page
    lisi.see("/compose/")
    assert 'accesskey="t"' in lisi.page
