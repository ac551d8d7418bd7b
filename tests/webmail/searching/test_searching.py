"""How a question is read, and the pages around it: the form, saved and recent searches."""

import re
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webmail.searching import query
from webmail.values import search_keys
from webmail.values.labels import Label, load_labels
from webmail.values.search_keys import (
    AllOf,
    AnyOf,
    Attachment,
    FieldContains,
    Flag,
    Header,
    Keyword,
    LiteralString,
    Not,
    SentDate,
    Size,
)
from webmail_fixtures import Browser, PostOffice, make_message

TODAY = date(2026, 11, 22)
LABELS: dict[str, Label] = load_labels([("work", "工作", 1)])


def read(text: str) -> query.Query:
    return query.parse_query(text, LABELS, TODAY)


QUESTIONS = {
    "会议": FieldContains("text", "会议"),
    "会议 纪要": AllOf((FieldContains("text", "会议"), FieldContains("text", "纪要"))),
    '"会议 纪要"': FieldContains("text", "会议 纪要"),
    "from:王芳": FieldContains("from", "王芳"),
    "发件人：王芳": FieldContains("from", "王芳"),
    'subject:"a b"': FieldContains("subject", "a b"),
    "a OR b": AnyOf((FieldContains("text", "a"), FieldContains("text", "b"))),
    "a b OR c": AnyOf((AllOf((FieldContains("text", "a"), FieldContains("text", "b"))), FieldContains("text", "c"))),
    "a (b OR c)": AllOf((FieldContains("text", "a"), AnyOf((FieldContains("text", "b"), FieldContains("text", "c"))))),
    "-a": Not(FieldContains("text", "a")),
    "NOT from:a": Not(FieldContains("from", "a")),
    "-(a b)": Not(AllOf((FieldContains("text", "a"), FieldContains("text", "b")))),
    "has:attachment": Attachment(),
    "含：附件": Attachment(),
    "is:unread": Flag("seen", on=False),
    "is:starred": Flag("flagged"),
    "状态:未读": Flag("seen", on=False),
    "before:2026-09-12": SentDate("before", date(2026, 9, 12)),
    "after:2026-09": SentDate("since", date(2026, 9, 1)),
    "on:2026/9/12": SentDate("on", date(2026, 9, 12)),
    "on:yesterday": SentDate("on", date(2026, 11, 21)),
    "on:2025": AllOf((SentDate("since", date(2025, 1, 1)), SentDate("before", date(2026, 1, 1)))),
    "newer:7d": SentDate("since", date(2026, 11, 15)),
    "older:1y": SentDate("before", date(2025, 11, 22)),
    "larger:5M": Size(True, 5 * 1024**2),
    "smaller:1.5k": Size(False, 1536),
    "label:工作": Keyword("work"),
    "label:work": Keyword("work"),
    "list:ops": Header("List-Id", "ops"),
    # What is no operator, or says nothing an operator knows, is looked for as it stands.
    "http://a.example/b": FieldContains("text", "http://a.example/b"),
    "larger:much": FieldContains("text", "larger:much"),
    "on:2026-13-45": FieldContains("text", "on:2026-13-45"),
    "is:odd": FieldContains("text", "is:odd"),
    "re:": FieldContains("text", "re:"),
    "a-b": FieldContains("text", "a-b"),
    '"never ends': FieldContains("text", "never ends"),
    "": None,
    "()": None,
    "OR OR": None,
    "from:": FieldContains("text", "from:"),
}


@pytest.mark.parametrize(("text", "key"), QUESTIONS.items())
def test_questions(text: str, key: search_keys.Key | None) -> None:
    assert read(text).key == key


def test_folders_are_not_part_of_the_question() -> None:
    asked = read("会议 in:archive -in:垃圾邮件 文件夹:客户/2026")
    assert asked.key == FieldContains("text", "会议")
    assert asked.folders == ("archive", "客户/2026")
    assert asked.excluded == ("垃圾邮件",)


@given(st.text(max_size=200))
def test_whatever_is_typed_is_a_program_or_refused(text: str) -> None:
    """Search commands contain quoted strings, literals and keywords, and no control character of the query."""
    key = read(text).key
    if key is None:
        return
    try:
        pieces = search_keys.format_program(key)
    except ValueError:
        return
    for piece in pieces:
        assert isinstance(piece, LiteralString) or (piece.isascii() and not any(code < 32 for code in piece))
        if not isinstance(piece, LiteralString) and piece.startswith(b'"'):
            inside = piece[1:-1].replace(b"\\\\", b"").replace(b'\\"', b"")
            assert b'"' not in inside
            assert not inside.endswith(b"\\")


@given(
    st.lists(
        st.sampled_from(["a", '"b c"', "OR", "-", "NOT", "(", ")", "from:x", "is:unread", "in:y", "会议"]), max_size=12
    )
)
def test_brackets_come_out_in_pairs(words: list[str]) -> None:
    key = read(" ".join(words)).key
    if key is not None:
        program = b"".join(
            b"x" if isinstance(p, LiteralString) or p.startswith(b'"') else p for p in search_keys.format_program(key)
        )
        assert program.count(b"(") == program.count(b")")


# --- The pages --------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_the_form_writes_the_line(office: PostOffice, lisi: Browser) -> None:
    office.put(make_message("会议", sender="王 芳 <wang@benet.com>"))
    office.put(make_message("别的"), flags=r"(\Seen)")
    form = {"form": "send", "where": "all", "from": "王 芳", "is": "unread", "size": "5M", "than": "smaller"}
    form |= {
        "field0": "subject",
        "value0": "会议",
        "join1": "or",
        "field1": "body",
        "value1": "x",
        "not1": "1",
        "field2": "nonsense",
        "value2": "y",
    }
    lisi.see("/search/", **form)
    assert lisi.field("q") == 'from:"王 芳" smaller:5M is:unread subject:会议 OR -body:x'
    assert 'class="subject">会议<' in lisi.page


@pytest.mark.django_db(transaction=True)
def test_searches_are_remembered_and_kept(office: PostOffice, lisi: Browser) -> None:
    for number in range(10):
        lisi.see("/search/", q=f"frage {number}")
    lisi.see("/search/", q="frage 9")
    lisi.press("/search/saved", q="is:unread larger:1M", name="大的")
    lisi.see("/search/")
    assert lisi.page.count("q=frage%20") == 7  # the eighth is what was just kept
    assert "大的" in lisi.page
    assert "q=is%3Aunread%20larger%3A1M" in lisi.page
    lisi.press("/search/saved", do="forget", id=lisi.field("id"))
    assert "大的" not in lisi.page
    lisi.press("/search/saved", do="clear")
    lisi.see("/search/")
    assert "q=frage" not in lisi.page
    other = Browser()
    other.sign_in("xiaoqi")
    other.see("/search/")
    assert "Recent searches" not in other.page


@pytest.mark.django_db(transaction=True)
def test_what_was_found_in_two_folders_is_moved_at_once(office: PostOffice, lisi: Browser) -> None:
    office.put(make_message("会议 a"))
    office.put(make_message("会议 b"), box="Archive")
    lisi.see("/search/", q="会议", where="all")

    chosen = re.findall(r'name="of" value="([^"]*)"', lisi.page)
    assert len(chosen) == 2
    lisi.press("/act/", do="flag", of=chosen, back="/search/?q=会议&where=all")
    assert office.flags(1) == office.flags(1, box="Archive") == {"\\Flagged"}
    assert "2 messages found" in lisi.page
    assert lisi.page.count('class="row new starred"') == 2
    response = lisi.press("/act/", do="flag", of=chosen, back="https://evil.example/")
    assert response.redirect_chain[-1][0] == "/"


# --- Reading ----------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_a_files_own_page(office: PostOffice, lisi: Browser) -> None:
    message = make_message("Dateien")
    message.add_attachment(b"\x89PNG\r\n\x1a\n", "image", "png", filename="图.png")
    message.add_attachment(b"MZ", "application", "x-msdownload", filename="x.exe")
    message.add_attachment(b"%PDF-1.4", "application", "pdf", filename="议程.pdf")
    office.put(message)
    lisi.see("/mail/1/preview/2")
    assert '<img src="/mail/1/part/2?view=1" alt="图.png">' in lisi.page
    assert 'href="/mail/1/preview/4"' in lisi.page  # past what cannot be shown
    lisi.see("/mail/1/preview/4")
    assert '<iframe src="/mail/1/part/4?view=1"' in lisi.page
    lisi.see("/mail/1/preview/3")
    assert "This kind of file can only be downloaded." in lisi.page
    assert lisi.see("/mail/1/preview/9").status_code == 404


@pytest.mark.django_db(transaction=True)
def test_the_structure_of_a_message(office: PostOffice, lisi: Browser) -> None:
    message = make_message("Struktur")
    message.add_alternative("<p>x</p>", subtype="html")
    message.add_attachment(b"x", "application", "pdf", filename="议程.pdf")
    office.put(message)
    lisi.see("/mail/1", headers="details")
    for words in ("multipart/mixed", "multipart/alternative", "text/plain · utf-8", "application/pdf", "议程.pdf"):
        assert words in lisi.page


@pytest.mark.django_db(transaction=True)
def test_what_a_list_offers(office: PostOffice, lisi: Browser) -> None:
    fields = {
        "List-Post": "<mailto:ops@example.org>",
        "List-Help": "<https://example.org/help>",
        "List-Archive": "<javascript:alert(1)>",
    }
    office.put(make_message("Liste", **fields, **{"List-Unsubscribe": "<mailto:leave@example.org>"}))
    lisi.see("/mail/1")
    assert 'href="/compose/?mailto=mailto%3Aops%40example.org"' in lisi.page
    assert 'href="https://example.org/help"' in lisi.page
    assert "javascript" not in lisi.page
    assert "mode=list" in lisi.page


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("path", ["/help/", "/help/about", "/transfer/", "/options/folders/", "/options/display/"])
def test_plain_pages(office: PostOffice, lisi: Browser, path: str) -> None:
    assert lisi.see(path).status_code == 200
    assert Browser().get(path).status_code == 302


@pytest.mark.django_db(transaction=True)
def test_hidden_folders_and_counts(office: PostOffice, lisi: Browser) -> None:
    office.put(make_message("x"), flags=r"(\Seen)")
    program = office.connect()
    program.create("Alt")
    program.logout()
    lisi.see("/")
    assert '?in=Alt"' not in lisi.page
    lisi.see("/options/folders/")
    lisi.press("/options/folders/", count_all="1")
    lisi.see("/")
    assert '?in=Alt"' in lisi.page
    assert '<b class="count soft">1</b>' in lisi.page


@pytest.mark.django_db(transaction=True)
def test_every_page_says_what_a_browser_may_load(office: PostOffice, lisi: Browser) -> None:
    policy = lisi.see("/")["Content-Security-Policy"]
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    assert lisi.see("/login/")["Content-Security-Policy"] == policy
