"""Reading."""

import base64
import io
import re
import zipfile
from email.message import EmailMessage

import pytest

from webmail_fixtures import Browser, PostOffice, make_message

pytestmark = pytest.mark.django_db(transaction=True)

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
HTML = (
    '<html><body style="background:url(https://evil.example/b.gif)"><p>各位<b>同事</b></p><img src="cid:logo">'
    '<img src="https://evil.example/t.gif"><script>alert(1)</script><a href="mailto:a@b.cn">写信</a></body></html>'
)


def rich() -> EmailMessage:
    message = make_message("多种内容", "各位同事\n> 引文\n见 https://www.example.com/议程 。\n")
    message.add_alternative(HTML, subtype="html")
    message.get_payload()[1].add_related(PIXEL, "image", "png", cid="<logo>")
    message.add_attachment(
        "会议议程\n".encode("gbk"), "text", "plain", filename="议程.txt", params={"charset": "gb2312"}
    )
    message.add_attachment(b"%PDF-1.4", "application", "pdf", filename="预算 2026.pdf")
    message.add_attachment(b"<script>alert(1)</script>", "text", "html", filename="x.html")
    return message


@pytest.fixture
def reading(office: PostOffice, lisi: Browser) -> Browser:
    office.put(rich())
    return lisi


def test_a_plain_message(office: PostOffice, lisi: Browser) -> None:
    office.put(make_message("会议", "各位：\n> 引文\n>> 更早\n<b>x</b>\n-- \n小七\n", Cc="王芳 <wang@benet.com>"))
    lisi.see("/mail/1")
    for words in (
        "<h1>会议",
        "小七",
        "xiaoqi@benet.com",
        "李四",
        "王芳",
        "&lt;b&gt;x&lt;/b&gt;",
        "Saturday 12 September 2026",
    ):
        assert words in lisi.page
    assert lisi.page.count("<blockquote>") == 2
    assert office.flags(1) == {"\\Seen"}


def test_a_rich_message_is_framed(reading: Browser) -> None:
    reading.see("/mail/1")
    assert re.search(r'<iframe src="/mail/1/body" sandbox="allow-popups allow-popups-to-escape-sandbox"', reading.page)
    assert "Show images" in reading.page
    assert "<script>" not in reading.page
    reading.see("/mail/1", view="text")
    assert "<iframe" not in reading.page
    assert 'href="https://www.example.com/议程"' in reading.page


def test_the_frame_is_a_prison(reading: Browser) -> None:
    response = reading.see("/mail/1/body")
    policy = response["Content-Security-Policy"]
    assert policy.startswith(
        "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; img-src data: 'self'; "
    )
    assert "frame-ancestors 'self'" in policy
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["Referrer-Policy"] == "no-referrer"
    assert response["X-Frame-Options"] == "SAMEORIGIN"
    assert "evil.example" not in reading.page
    assert "alert" not in reading.page
    assert f"data:image/png;base64,{base64.b64encode(PIXEL).decode()}" in reading.page
    assert "/compose/?mailto=mailto%3Aa%40b.cn" in reading.page


def test_images_from_the_network_on_request(reading: Browser) -> None:
    response = reading.see("/mail/1/body", images="1")
    assert len(re.findall(r"/picture/[\w.:-]+", reading.page)) == 2
    assert "evil.example" not in reading.page
    assert "img-src data: 'self';" in response["Content-Security-Policy"]


def test_every_page_that_carries_strangers_html_has_the_policy(reading: Browser) -> None:
    for path in ("/mail/1/body", "/mail/1/print"):
        assert reading.see(path)["Content-Security-Policy"].startswith("sandbox ")


FILES = {  # section, view wanted: content type, manner
    ("2", "1"): ("text/plain; charset=utf-8", "inline"),
    ("2", ""): ("text/plain", "attachment"),
    ("3", "1"): ("application/pdf", "inline"),
    ("3", ""): ("application/pdf", "attachment"),
    ("4", "1"): ("application/octet-stream", "attachment"),
    ("4", ""): ("application/octet-stream", "attachment"),
    ("1.2.1", "1"): ("application/octet-stream", "attachment"),
}


@pytest.mark.parametrize(("asked", "given"), FILES.items())
def test_files(reading: Browser, asked: tuple[str, str], given: tuple[str, str]) -> None:
    section, view = asked
    response = reading.get(f"/mail/1/part/{section}", {"view": view})
    assert response["Content-Type"] == given[0]
    assert response["Content-Disposition"].startswith(given[1])
    assert response["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'none'" in response["Content-Security-Policy"]


def test_a_files_name_and_content(reading: Browser) -> None:
    response = reading.get("/mail/1/part/3")
    assert response["Content-Disposition"] == (
        "attachment; filename=\"__ 2026.pdf\"; filename*=UTF-8''%E9%A2%84%E7%AE%97%202026.pdf"
    )
    assert response.content == b"%PDF-1.4"
    assert reading.get("/mail/1/part/2", {"view": "1"}).content.decode() == "会议议程\n"


@pytest.mark.parametrize("path", ["/mail/2", "/mail/1/part/9", "/mail/1/part/x", "/mail/1/part/1]%20BODY[2", "/mail/0", "/mail/99999999999999999999"])  # fmt: skip
def test_what_is_not_there(reading: Browser, path: str) -> None:
    assert reading.get(path).status_code == 404


def test_all_headers_source_download_print(reading: Browser) -> None:
    reading.see("/mail/1", headers="all")
    assert '<th scope="row">Message-Id</th>' in reading.page
    source = reading.get("/mail/1/source")
    assert source["Content-Type"] == "text/plain; charset=utf-8"
    assert b"MIME-Version" in source.content
    download = reading.get("/mail/1/download")
    assert download["Content-Type"] == "message/rfc822"
    assert "filename*=UTF-8''%E5%A4%9A%E7%A7%8D%E5%86%85%E5%AE%B9.eml" in download["Content-Disposition"]
    assert "预算 2026.pdf" in reading.see("/mail/1/print").content.decode()


def test_all_files_in_one_archive(office: PostOffice, lisi: Browser) -> None:
    message = rich()
    message.add_attachment(b"two", "application", "pdf", filename="预算 2026.PDF")
    message.add_attachment(b"three", "application", "octet-stream", filename="../../预算 2026.pdf")
    office.put(message)
    lisi.see("/mail/1")
    assert 'href="/mail/1/files.zip"' in lisi.page
    response = lisi.get("/mail/1/files.zip")
    assert response["Content-Type"] == "application/zip"
    assert "filename*=UTF-8''%E5%A4%9A%E7%A7%8D%E5%86%85%E5%AE%B9.zip" in response["Content-Disposition"]
    with zipfile.ZipFile(io.BytesIO(response.content)) as archive:
        assert archive.namelist() == ["议程.txt", "预算 2026.pdf", "x.html", "预算 2026-2.PDF", "预算 2026-3.pdf"]
        assert archive.read("议程.txt").decode("gbk") == "会议议程\n"
        assert archive.read("预算 2026-3.pdf") == b"three"


def test_an_enclosed_message_opens(office: PostOffice, lisi: Browser) -> None:
    outer = make_message("外面")
    outer.add_attachment(rich())
    office.put(outer)
    lisi.see("/mail/1")
    assert 'href="/mail/1?part=2"' in lisi.page
    lisi.see("/mail/1", part="2")
    assert "<h1>多种内容" in lisi.page
    assert "This message is enclosed in another." in lisi.page
    assert "同事" in lisi.see("/mail/1/body", part="2").content.decode()
    assert lisi.get("/mail/1/part/2.3").content == b"%PDF-1.4"


def test_from_message_to_message(office: PostOffice, lisi: Browser) -> None:
    for subject in ("一", "二", "三"):
        office.put(make_message(subject))
    lisi.see("/mail/2")
    assert 'rel="prev" href="/mail/3"' in lisi.page
    assert 'rel="next" href="/mail/1"' in lisi.page
    lisi.press(
        "/act/", **{"delete-and": "1", "in": "INBOX", "uid": "2", "validity": lisi.field("validity"), "from": "message"}
    )
    assert "<h1>一" in lisi.page
    lisi.see("/mail/1", sort="subject")
    assert "<h1>一" in lisi.page


def test_after_deleting_on_to_the_next_if_wished(office: PostOffice, lisi: Browser) -> None:
    for subject in ("一", "二"):
        office.put(make_message(subject))
    lisi.see("/options/display/")
    lisi.press("/options/display/", after_action="next")
    lisi.see("/mail/2")
    lisi.press(
        "/act/", do="delete", uid="2", then=lisi.field("then"), validity=lisi.field("validity"), **{"in": "INBOX"}
    )
    assert "<h1>一" in lisi.page


TORTURE = {
    "nothing at all": b"\r\n",
    "no body": b"Subject: x\r\n\r\n",
    "no header": b"\r\nhello\r\n",
    "raw GBK": "Subject: 朱镕基\r\nFrom: 朱镕基 <a@b.cn>\r\n\r\n朱镕基\r\n".encode("gbk"),
    "gb2312 by name": b"Subject: =?gb2312?B?1uzpRrv5?=\r\nContent-Type: text/plain; charset=gb2312\r\n\r\n" + "朱镕基".encode("gbk"),
    "broken base64": b"Content-Transfer-Encoding: base64\r\n\r\n!!!!5Lya\r\n",
    "boundary never comes": b'Content-Type: multipart/mixed; boundary="x"\r\n\r\nnothing\r\n',
    "multipart of nothing": b'Content-Type: multipart/mixed; boundary="x"\r\n\r\n--x--\r\n',
    "nested deep": b"".join(b'Content-Type: multipart/mixed; boundary="%d"\r\n\r\n--%d\r\n' % (n, n) for n in range(60)) + b"\r\nx",
    "nulls": b"Subject: a\0b\r\n\r\nx\0y\r\n",
    "a long line": b"Subject: x\r\n\r\n" + b"x" * 200_000 + b"\r\n",
    "nonsense date": b"Date: yesterday\r\nSubject: x\r\n\r\nx\r\n",
    "year zero": b"Date: Mon, 1 Jan 0001 00:00:00 +0000\r\n\r\nx\r\n",
    "far future": b"Date: Mon, 1 Jan 99999 00:00:00 +0000\r\n\r\nx\r\n",
    "recipients galore": b"To: " + b", ".join(b"u%d@b.cn" % n for n in range(2000)) + b"\r\n\r\nx\r\n",
    "quotes": b'From: "\\"<script>" <a@b.cn>\r\nSubject: "\'><script>\r\n\r\nx\r\n',
}  # fmt: skip


@pytest.mark.parametrize("content", TORTURE.values(), ids=TORTURE.keys())
def test_odd_messages_open(office: PostOffice, lisi: Browser, content: bytes) -> None:
    office.put(content)
    for path in ("/", "/mail/1", "/mail/1?view=text&headers=all", "/mail/1/body", "/mail/1/print", "/mail/1/source", "/compose/?mode=all&of=1", "/compose/?mode=forward&of=1"):  # fmt: skip
        response = lisi.get(path, follow=True)
        assert response.status_code == 200, path
        assert b"<script>" not in response.content or path.endswith("source")
    if "朱镕基".encode("gbk") in content:
        assert "朱镕基" in lisi.see("/mail/1", view="text").content.decode()


def test_what_it_was_written_with(office: PostOffice, lisi: Browser) -> None:
    office.put(make_message(X_Mailer="SquirrelMail/1.5.2 <b>"))
    lisi.see("/mail/1")
    assert "SquirrelMail/1.5.2 &lt;b&gt;" in lisi.page


VCARD = """BEGIN:VCARD\r\nVERSION:3.0\r\nN:王;芳;;;\r\nFN:王芳\r\nORG:市\\, 局;邮局\r\nTEL;TYPE=cell:+86 10 1234\r
EMAIL:wang@example.com\r\nURL:javascript:alert(1)\r\nNOTE:<b>x\r\nEND:VCARD\r\nBEGIN:VCARD\r\nFN:No Mail\r\nEND:VCARD\r\n"""


@pytest.mark.parametrize("kind", [("text", "vcard"), ("text", "x-vcard"), ("application", "octet-stream")])
def test_a_card_is_shown_and_goes_into_the_address_book(office: PostOffice, lisi: Browser, kind) -> None:
    message = make_message("名片")
    message.add_attachment(VCARD.encode(), *kind, filename="王芳.vcf")
    office.put(message)
    lisi.see("/mail/1")
    assert "/mail/1/preview/2" in lisi.page
    lisi.see("/mail/1/preview/2")
    for said in ("王芳", "市, 局, 邮局", "+86 10 1234", "wang@example.com", "&lt;b&gt;x", "No Mail"):
        assert said in lisi.page
    assert 'href="javascript' not in lisi.page
    lisi.press("/mail/1/card/2")
    assert "Contacts added: 1, changed: 0, skipped: 0." in lisi.page
    lisi.see("/contacts/")
    assert "wang@example.com" in lisi.page
    assert lisi.get("/mail/1/part/2?view=1").headers["Content-Disposition"].startswith("attachment")


def test_a_card_that_is_none(office: PostOffice, lisi: Browser) -> None:
    message = make_message("名片")
    message.add_attachment(b"nothing", "text", "vcard", filename="x.vcf")
    message.add_attachment(b"nothing", "application", "pdf", filename="x.pdf")
    office.put(message)
    lisi.see("/mail/1/preview/2")
    assert "There is no card in this file." in lisi.page
    assert lisi.press("/mail/1/card/2").status_code == 200
    assert "No card in this file has an e-mail address." in lisi.page
    assert lisi.press("/mail/1/card/3").status_code == 404
