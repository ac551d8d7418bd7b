"""Images with a Content-ID: shown in the HTML that names them, else listed as files."""

import base64
import io
import zipfile

import pytest

from webmail_fixtures import Browser, PostOffice

pytestmark = pytest.mark.django_db(transaction=True)

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def message(html: str, disposition: str, *, kind: str = "mixed", content_id: str = "f_m3abc0") -> bytes:
    part = "\r\n".join(
        [
            'Content-Type: image/png; name="photo.png"',
            *([f'Content-Disposition: {disposition}; filename="photo.png"'] if disposition else []),
            "Content-Transfer-Encoding: base64",
            f"Content-ID: <{content_id}>",
            "",
            base64.b64encode(PIXEL).decode(),
        ]
    )
    text = "\r\n".join(
        [
            'Content-Type: multipart/alternative; boundary="c2"',
            "",
            "--c2\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n照片",
            f"--c2\r\nContent-Type: text/html; charset=utf-8\r\n\r\n{html}",
            "--c2--",
        ]
    )
    return (
        f'Subject: photo\r\nFrom: ww@far.example\r\nMIME-Version: 1.0\r\nContent-Type: multipart/{kind}; boundary="c4"'
        f"\r\n\r\n--c4\r\n{text}\r\n--c4\r\n{part}\r\n--c4--\r\n"
    ).encode()


def archive_of(browser: Browser, query: str = "") -> list[str]:
    reply = browser.get(f"/mail/1/files.zip{query}")
    return zipfile.ZipFile(io.BytesIO(reply.content)).namelist()


@pytest.mark.parametrize("kind", ["mixed", "related"])
@pytest.mark.parametrize("disposition", ["attachment", "inline", ""])
def test_an_image_the_html_does_not_name_is_a_file(
    office: PostOffice, lisi: Browser, disposition: str, kind: str
) -> None:
    office.put(message("<p>照片</p>", disposition, kind=kind))
    for page in ("/mail/1?view=html", "/mail/1?view=text", "/mail/1/print"):
        assert "photo.png" in lisi.get(page).content.decode(), page
    assert archive_of(lisi) == ["photo.png"]
    lisi.see("/mail/1/preview/2")
    assert "photo.png" in lisi.page


@pytest.mark.parametrize(
    ("html", "content_id"),
    [
        ('<img src="cid:f_m3abc0">', "f_m3abc0"),
        ('<img src="CID:image001.png%4001D5">', "image001.png@01D5"),
        ('<p style="background:url(cid:image001.png@01D5)">x</p>', "image001.png@01D5"),
        ("<p style=\"background-image:url('cid:a%25b')\">x</p>", "a%b"),
        ('<table background="cid:a%25b"><tr><td>x</table>', "a%b"),
    ],
)
def test_an_image_the_html_names_is_shown_in_it(office: PostOffice, lisi: Browser, html: str, content_id: str) -> None:
    office.put(message(html, "inline", kind="related", content_id=content_id))
    lisi.see("/mail/1", view="html")
    assert "photo.png" not in lisi.page
    assert base64.b64encode(PIXEL).decode() in lisi.get("/mail/1/body").content.decode()
    assert archive_of(lisi) == []


def test_the_plain_text_names_no_image(office: PostOffice, lisi: Browser) -> None:
    """A reader of the text sees every image as a file, alone and in the archive."""
    office.put(message('<img src="cid:f_m3abc0">', "inline", kind="related"))
    lisi.see("/mail/1", view="text")
    assert "photo.png" in lisi.page
    assert archive_of(lisi, "?embedded=1") == ["photo.png"]


def test_a_hidden_name_counts_only_where_it_shows_something(office: PostOffice, lisi: Browser) -> None:
    """A comment or a removed element that names an image does not hide it from the list of files."""
    office.put(message("<!-- <img src=cid:f_m3abc0> --><svg><image href='cid:f_m3abc0'/></svg>x", "attachment"))
    lisi.see("/mail/1", view="html")
    assert "photo.png" in lisi.page
