"""Labels, highlighting, what a list shows: 李四 arranges her mail as she likes."""

import re

import pytest

from webmail.account.preferences import COLUMNS
from webmail.values.labels import keyword_for, labels_of, load_labels
from webmail_fixtures import Browser, PostOffice, make_message

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def three(office: PostOffice, lisi: Browser) -> Browser:
    office.put(make_message("一"))
    office.put(make_message("二", sender="Alice <alice@example.com>"), flags=r"($label1 \Seen)")
    office.put(make_message("三"), flags=r"($Forwarded $Junk NonJunk)")
    lisi.see("/")
    return lisi


def act(browser: Browser, *uids: int, **more: str) -> None:
    browser.see("/")
    browser.press("/act/", uid=[str(u) for u in uids], validity=browser.field("validity"), **{"in": "INBOX"}, **more)


def chips(page: str) -> list[str]:
    return re.findall(r'<span class="label l\d">(.*?)</span>', page)


def test_labels_of_other_programs_are_shown_and_their_marks_are_not(three: Browser) -> None:
    assert chips(three.page) == ["Important"]


def test_a_label_is_made_put_on_shown_and_taken_off(office: PostOffice, three: Browser) -> None:
    act(three, 1, 3, label="+new", new_label="客户 A")
    keyword = keyword_for("客户 A")
    assert keyword in {flag.lower() for flag in office.flags(1)}
    three.see("/")
    assert chips(three.page) == ["客户 A", "Important", "客户 A"]
    three.see("/", show=f"label:{keyword}")
    assert re.findall(r'class="subject">(.*?)<', three.page) == ["三", "一"]
    three.see("/search/", q="label:客户", where="all")
    assert "0 messages found" in three.page
    three.see("/search/", q='label:"客户 A" -subject:三', where="all")
    assert re.findall(r'class="subject">(.*?)<', three.page) == ["一"]
    act(three, 1, label=f"-{keyword}")
    assert office.flags(1) == set()
    three.see("/mail/3")
    assert "客户 A" in three.page
    three.press(
        "/act/", uid="3", label=f"-{keyword}", validity=three.field("validity"), **{"from": "message", "in": "INBOX"}
    )
    assert "<h1>三" in three.page
    assert 'class="tags-line"' not in three.page


@pytest.mark.parametrize("label", ["+\r\nA1 DELETE INBOX", "+a b", "+(", "+", "-\\Seen", "+\\Deleted", "nonsense{5}"])
def test_what_is_no_label(office: PostOffice, three: Browser, label: str) -> None:
    act(three, 2, label=label)
    assert "There is no such label." in three.page
    assert office.flags(2) == {"$label1", "\\Seen"}


def test_a_label_without_a_name(three: Browser) -> None:
    act(three, 1, label="+new", new_label="  ")
    assert "Please enter a name for the label." in three.page


def test_the_page_of_labels(three: Browser) -> None:
    three.see("/options/labels/")
    three.press("/options/labels/", do="add", name="工作", colour="3")
    keyword = keyword_for("工作")
    three.press("/options/labels/", do="change", keyword=keyword, name="Work", colour="12")
    assert 'value="Work"' in three.page
    act(three, 1, label=f"+{keyword}")
    three.see("/")
    assert '<span class="label l4">Work</span>' in three.page
    three.see("/options/labels/")
    three.press("/options/labels/", do="remove", keyword=keyword)
    assert 'value="Work"' not in three.page


def test_a_hostile_name_is_text(three: Browser) -> None:
    act(three, 1, label="+new", new_label='"><script>alert(1)</script>')
    for path in ("/", "/mail/1", "/options/labels/"):
        three.see(path)
        assert "<script>" not in three.page
    assert chips(three.see("/").content.decode())[-1].startswith("&quot;&gt;&lt;script&gt;")


KEYWORDS = {"Work": "work", " To do ": "to_do", "a(b)": "a_b", "客户": "&w6jwyw-".lower(), "": "", "((": "", "\\x": "x"}


def test_keywords_are_atoms() -> None:
    for name in KEYWORDS:
        assert re.fullmatch(r"[!#$&'+,\-./0-9:;<=>?@A-Z^_`a-z|}~\[]*", keyword_for(name)), name
    assert keyword_for("Work") == "work"
    assert labels_of({"work", "\\seen"}, load_labels([("work", "工作", 2)]))[0].name == "工作"


def test_highlighting(three: Browser) -> None:
    three.see("/options/highlighting/")
    three.press("/options/highlighting/", do="add", name="Alice", field="from", words="ＡＬＩＣＥ", colour="5")
    three.press("/options/highlighting/", do="add", name="", field="subject", words="二", colour="1")
    three.see("/")
    assert re.findall(r'class="row[^"]*hl(\d)', three.page) == ["5"]
    three.see("/options/highlighting/")
    three.press("/options/highlighting/", do="down", at="0")
    three.see("/")
    assert re.findall(r'class="row[^"]*hl(\d)', three.page) == ["1"]
    three.see("/options/highlighting/")
    three.press("/options/highlighting/", do="change", at="0", name="x", field="subject", words="三", colour="2")
    three.press("/options/highlighting/", do="remove", at="1")
    three.see("/")
    assert re.findall(r'class="row[^"]*hl(\d)', three.page) == ["2"]


@pytest.mark.parametrize(
    "form",
    [{"do": "add", "words": ""}, {"do": "add", "words": "x", "field": "bcc"}, {"do": "remove", "at": "9"}, {"do": "up", "at": "-1"}, {"do": "change", "at": "x"}, {}],
)  # fmt: skip
def test_odd_rules_change_nothing(three: Browser, form: dict[str, str]) -> None:
    three.see("/options/highlighting/")
    assert three.press("/options/highlighting/", **form).status_code == 200
    assert "Your rules" not in three.page


def test_columns_and_their_order(office: PostOffice, three: Browser) -> None:
    office.put(make_message("急", **{"X-Priority": "1", "Cc": "王芳 <wang@benet.com>"}))
    three.see("/options/display/")
    places = dict(zip(["priority", "from", "subject", "date", "cc"], range(1, 6), strict=True))
    three.press("/options/display/", column=list(places), **{f"place-{name}": str(at) for name, at in places.items()})
    three.see("/")
    [row] = re.findall(r'<li class="row[^"]*">(?:(?!</li>).)*急.*?</li>', three.page, re.DOTALL)
    cells = re.findall(r'<(?:span|time)[^>]*(?:class="(cell \w+|from|about|clip|size)|title="[^"]*">[^<]+</time)', row)
    assert "High priority" in row
    assert row.index("High priority") < row.index('class="from"')
    assert row.index("王芳") > row.index("<time")
    assert 'class="size"' not in row, cells
    three.see("/options/display/")
    three.press("/options/display/", column=["size"])
    three.see("/")
    assert 'class="subject"' in three.page
    assert "<time" in three.page


@pytest.mark.parametrize("layout", ["list", "wide", "pane"])
def test_layouts(three: Browser, layout: str) -> None:
    three.press("/options/view", layout=layout, back="/")
    assert f'class="list-rows as-{layout}"' in three.page
    assert ("Choose a message to read it here." in three.page) == (layout == "pane")


def test_a_message_beside_the_list(office: PostOffice, three: Browser) -> None:
    three.press("/options/view", layout="pane", back="/")
    assert 'href="/?open=3#message"' in three.page
    three.see("/", open="3")
    assert "<h1>三" in three.page
    assert len(re.findall(r'<li class="row', three.page)) == 3
    assert 'href="/?open=2#message"' in three.page
    assert "\\Seen" in office.flags(3)
    assert re.findall(r'<li class="(row[^"]*)"', three.page) == ["row open", "row", "row new"]
    assert three.see("/", open="99").status_code == 200
    three.press("/act/", do="delete", uid="3", back="/", validity=three.field("validity"), **{"in": "INBOX"})
    assert len(re.findall(r'<li class="row', three.page)) == 2


def test_unread_and_starred_alone(three: Browser) -> None:
    act(three, 1, do="flag")
    three.see("/", show="starred")
    assert re.findall(r'class="subject">(.*?)<', three.page) == ["一"]
    three.see("/", show="unread")
    assert re.findall(r'class="subject">(.*?)<', three.page) == ["三", "一"]
    three.see("/", show="label:nothing")
    assert "Nothing here fits." in three.page


def test_two_switches_at_once(three: Browser) -> None:
    three.press("/options/view", layout="wide", theme="light", snippets="0", back="/")
    assert 'data-theme="light"' in three.page
    assert "as-wide" in three.page
    assert 'class="snippet"' not in three.page


def test_a_theme_of_ones_own(three: Browser) -> None:
    assert "data-theme" not in three.page
    three.press("/options/view", theme="dark", back="/")
    assert '<html lang="en" data-theme="dark">' in three.page


def test_everything_a_display_form_may_say(three: Browser) -> None:
    three.see("/options/display/")
    three.press(
        "/options/display/",
        layout="x",
        theme="y",
        page_size="7",
        wrap="-1",
        refresh="99999",
        date_format="?",
        column=list(COLUMNS),
    )
    assert three.see("/").status_code == 200
    assert 'class="list-rows as-list"' in three.page
