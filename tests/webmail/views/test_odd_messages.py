"""Messages as other programs write them, read and answered."""

import pytest

from webmail_fixtures import Browser, PostOffice, make_message

pytestmark = pytest.mark.django_db(transaction=True)


def raw(*lines: str | bytes, charset: str = "utf-8") -> bytes:
    return b"\r\n".join(line if isinstance(line, bytes) else line.encode(charset) for line in lines) + b"\r\n"


def text_of(browser: Browser) -> str:
    return browser.page.partition("<article")[2].partition("</article>")[0]


FLOWED = raw(
    "From: a@far.example",
    "Subject: flowed",
    "MIME-Version: 1.0",
    "Content-Type: text/plain; charset=utf-8; format=flowed; delsp=yes",
    "",
    "这是一个很长的 ",
    "段落。",
)


def test_flowed_text_is_one_paragraph_on_the_page_and_in_a_quotation(office: PostOffice, lisi: Browser) -> None:
    office.put(FLOWED)
    lisi.see("/mail/1")
    assert "这是一个很长的段落。" in text_of(lisi)
    lisi.see("/compose/", of="1", mode="reply")
    assert "> 这是一个很长的段落。\n" in lisi.body()


@pytest.mark.parametrize(
    ("field", "shown", "answer"),
    [
        ("老张 <lz@far.example>", "老张", "老张 <lz@far.example>"),
        ("Voilà <lz@far.example>", "Voilà", "Voilà <lz@far.example>"),
        ("学校公告 <lz@far.example> (教务处)", "学校公告", "学校公告 <lz@far.example>"),
        ("张三 <张三@例子.中国>", "张三@例子.中国", "张三 <张三@例子.中国>"),
        ("关公@例子.中国", "关公@例子.中国", "关公@例子.中国"),
        ('"x@y" <<lz@far.example>>', "lz@far.example", "lz@far.example"),
    ],
)
def test_names_in_raw_utf8(office: PostOffice, lisi: Browser, field: str, shown: str, answer: str) -> None:
    office.put(raw(f"From: {field}", "Subject: x", "", "x"))
    lisi.see("/mail/1")
    assert shown in lisi.page
    lisi.see("/compose/", of="1", mode="reply")
    assert answer in lisi.field("to")


@pytest.mark.parametrize("charset", ["koi8-r", "windows-1251", "big5", "euc-kr"])
def test_raw_headers_have_the_charset_of_the_body(office: PostOffice, lisi: Browser, charset: str) -> None:
    subject = {"koi8-r": "Глухих", "windows-1251": "Глухих", "big5": "安全", "euc-kr": "안내"}[charset]
    office.put(
        raw(f"From: {subject} <a@far.example>", f"Subject: {subject}", "MIME-Version: 1.0",
            f"Content-Type: text/plain; charset={charset}", "", "x", charset=charset)
    )  # fmt: skip
    lisi.see("/")
    assert lisi.page.count(subject) >= 2
    lisi.see("/mail/1")
    assert f"<h1>{subject}" in lisi.page


def test_html_names_its_charset_itself(office: PostOffice, lisi: Browser) -> None:
    office.put(
        raw(
            "Subject: x",
            "MIME-Version: 1.0",
            "Content-Type: text/html",
            "",
            "<meta charset=big5><p>安</p>",
            charset="big5",
        )
    )
    assert "安" in lisi.get("/mail/1/body").content.decode()


def test_a_charset_is_chosen_by_hand(office: PostOffice, lisi: Browser) -> None:
    office.put(
        raw(
            "Subject: 안내",
            "MIME-Version: 1.0",
            "Content-Type: text/plain; charset=iso-8859-1",
            "",
            "안내",
            charset="euc-kr",
        )
    )
    lisi.see("/mail/1")
    assert "안내" not in text_of(lisi)
    assert "Korean (EUC-KR)" in lisi.page
    lisi.see("/mail/1", charset="euc-kr")
    assert "안내" in text_of(lisi)
    assert "<h1>안내" in lisi.page
    lisi.see("/mail/1", charset="x-nonsense")
    assert "안내" not in text_of(lisi)


def test_a_charset_is_chosen_for_html(office: PostOffice, lisi: Browser) -> None:
    office.put(
        raw(
            "Subject: x",
            "MIME-Version: 1.0",
            "Content-Type: text/html; charset=iso-8859-1",
            "",
            "<p>안내</p>",
            charset="euc-kr",
        )
    )
    lisi.see("/mail/1", charset="euc-kr", view="html")
    assert "charset=euc-kr" in lisi.page.partition("<iframe")[2].partition(">")[0]
    assert "안내" in lisi.get("/mail/1/body?charset=euc-kr").content.decode()


@pytest.mark.parametrize("html", ["", "\r\n", "<html><body></body></html>", "<p>&nbsp;</p>"])
def test_an_alternative_without_content_leaves_the_word_to_the_text(
    office: PostOffice, lisi: Browser, html: str
) -> None:
    message = make_message(text="正文\n")
    message.add_alternative(html, subtype="html")
    office.put(message)
    lisi.see("/mail/1", view="html")
    assert "正文" in text_of(lisi)


@pytest.mark.parametrize("kind", ["text/markdown", "text/x-log", "text/troff"])
def test_any_text_is_readable(office: PostOffice, lisi: Browser, kind: str) -> None:
    office.put(raw("Subject: x", "MIME-Version: 1.0", f"Content-Type: {kind}; charset=utf-8", "", "# 标题"))
    lisi.see("/mail/1")
    assert "# 标题" in text_of(lisi)


@pytest.mark.parametrize(
    ("kind", "name"),
    [("text/calendar; method=REQUEST", "part-1.ics"), ("application/msword", "part-1.doc"), ("x/y", "part-1")],
)
def test_a_file_without_a_name_gets_its_extension(office: PostOffice, lisi: Browser, kind: str, name: str) -> None:
    office.put(
        raw("Subject: x", "MIME-Version: 1.0", f"Content-Type: {kind}", "Content-Disposition: attachment", "", "x")
    )
    assert f'"{name}"' in lisi.get("/mail/1/part/1")["Content-Disposition"]


def test_a_group_without_members_is_shown(office: PostOffice, lisi: Browser) -> None:
    office.put(raw("From: a@far.example", "To: undisclosed-recipients:;", "Cc: 同事: b@far.example;", "", "x"))
    lisi.see("/mail/1")
    assert "undisclosed-recipients" in lisi.page
    assert "同事" in lisi.page
    lisi.see("/compose/", of="1", mode="all")
    assert "undisclosed" not in lisi.field("to")
    assert lisi.field("cc") == "b@far.example"


@pytest.mark.parametrize("sender", ["WWW <>", "", "nobody"])
def test_a_message_without_a_sender_is_answered_to_nobody(office: PostOffice, lisi: Browser, sender: str) -> None:
    office.put(raw(f"From: {sender}", "To: lisi@benet.com", "Subject: x", "", "x"))
    lisi.see("/compose/", of="1", mode="reply")
    assert lisi.field("to") == ""


def test_answers_go_where_the_sender_asks_for_them(office: PostOffice, lisi: Browser) -> None:
    office.put(
        raw("From: a@far.example", "To: list@far.example", "Cc: c@far.example", "Reply-To: list@far.example",
            "Mail-Reply-To: me@far.example", "Mail-Followup-To: list@far.example, d@far.example", "", "x")
    )  # fmt: skip
    lisi.see("/compose/", of="1", mode="reply")
    assert lisi.field("to") == "me@far.example"
    lisi.see("/compose/", of="1", mode="all")
    assert (lisi.field("to"), lisi.field("cc")) == ("list@far.example, d@far.example", "")


def test_the_quotation_of_html_has_the_addresses_of_its_links(office: PostOffice, lisi: Browser) -> None:
    office.put(
        raw("From: a@far.example", "MIME-Version: 1.0", "Content-Type: text/html; charset=utf-8", "",
            '<p><a href="https://x.example/a?b=1&amp;c=2">这里</a> <a href="https://y.example/">https://y.example</a>'
            ' <a href="https://z.example/">z.example</a> <a href="mailto:b@x.example">b</a></p>')
    )  # fmt: skip
    lisi.see("/compose/", of="1", mode="reply")
    assert "> 这里 <https://x.example/a?b=1&c=2> https://y.example z.example b\n" in lisi.body()


@pytest.mark.parametrize(
    ("kind", "method"),
    [
        ('multipart/encrypted; protocol="application/pgp-encrypted"; boundary=b', "OpenPGP"),
        ("application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m", "S/MIME"),
        ("application/x-pkcs7-mime; smime-type=signed-data; name=smime.p7m", ""),
    ],
)
def test_an_encrypted_message_is_named_as_such(office: PostOffice, lisi: Browser, kind: str, method: str) -> None:
    office.put(
        raw("Subject: x", "MIME-Version: 1.0", f"Content-Type: {kind}", "", "--b",
            "Content-Type: application/pgp-encrypted", "", "Version: 1", "--b",
            "Content-Type: application/octet-stream; name=encrypted.asc", "", "-----BEGIN PGP MESSAGE-----", "--b--")
    )  # fmt: skip
    lisi.see("/mail/1")
    assert (f"This message is encrypted with {method}." in lisi.page) == bool(method)
    assert ("encrypted.asc" if method == "OpenPGP" else "smime.p7m") in lisi.page


@pytest.mark.parametrize("field", ["To", "From", "Cc", "Subject", "In-Reply-To"])
def test_a_huge_field_keeps_no_message_from_being_listed_and_read(
    office: PostOffice, lisi: Browser, field: str
) -> None:
    office.put(make_message("before", "x\n"))
    office.put(raw(f"{field}: " + "\r\n ".join(["a:;" * 100] * 3000), "X-Field: x", "", "huge"))
    office.put(make_message("after", "x\n"))
    lisi.see("/")
    assert "before" in lisi.page
    assert "after" in lisi.page
    for path in ("/mail/1", "/mail/2", "/mail/3", "/conversation/2"):
        assert lisi.see(path).status_code == 200
