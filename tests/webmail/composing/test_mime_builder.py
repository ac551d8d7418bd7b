"""Messages as bytes, read back by a program that is not ours: Python's email package."""

import email
import email.policy
import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webmail.composing import mime_builder
from webmail.composing.mime_builder import AttachmentFile, OutgoingMessage
from webmail.sanitize import plain_text
from webmail.values.addresses import Address

XIAOQI = Address("小七", "xiaoqi@benet.com")
LISI = Address("李四", "lisi@benet.com")


def outgoing(**more: object) -> OutgoingMessage:
    values = {
        "sender": XIAOQI, "to": (LISI,), "cc": (), "bcc": (), "subject": "会议", "body": "您好\n",
        "date": datetime(2026, 9, 12, 6, 5, tzinfo=UTC), "token": "abc123",
    }  # fmt: skip
    return OutgoingMessage(**(values | more))


def parsed(content: bytes) -> email.message.EmailMessage:
    assert b"\n" not in content.replace(b"\r\n", b"")
    assert max(len(line) for line in content.split(b"\r\n")) <= 998
    return email.message_from_bytes(content, policy=email.policy.default)


def test_a_message_reads_back() -> None:
    message = parsed(mime_builder.render_message(outgoing(cc=(Address("", "a@b.cn"),)), with_bcc=False))
    assert message["From"].addresses[0].display_name == "小七"
    assert message["To"].addresses[0].addr_spec == "lisi@benet.com"
    assert str(message["Cc"]) == "a@b.cn"
    assert message["Subject"] == "会议"
    assert message["Message-ID"] == "<abc123@benet.com>"
    assert message["Date"] == "Sat, 12 Sep 2026 06:05:00 +0000"
    assert message.get_content() == "您好\r\n" or message.get_content() == "您好\n"


def test_bcc_is_in_our_copy_only() -> None:
    message = outgoing(bcc=(Address("", "secret@b.cn"),))
    assert b"secret@b.cn" not in mime_builder.render_message(message, with_bcc=False)
    assert parsed(mime_builder.render_message(message, with_bcc=True))["Bcc"] == "secret@b.cn"
    assert "secret@b.cn" in message.recipients


NAMES = ["预算 2026.pdf", "plain.txt", 'quote".txt', "a;b.txt", "很长的名字" * 12 + ".xlsx", "emoji 📎.png"]


@pytest.mark.parametrize("name", NAMES)
def test_file_names_for_new_programs_and_old(name: str) -> None:
    content = mime_builder.render_message(
        outgoing(files=(AttachmentFile(name, "application/pdf", b"%PDF-1.4\0\xff" * 40),)), with_bcc=False
    )
    [file] = parsed(content).iter_attachments()
    assert file.get_filename() == name
    assert file.get_content() == b"%PDF-1.4\0\xff" * 40
    old = email.message_from_bytes(content, policy=email.policy.compat32).get_payload()[1]
    coded = re.sub(r"\s+(?==\?)", " ", old.get_param("name"))
    assert str(email.header.make_header(email.header.decode_header(coded))) == name


@pytest.mark.parametrize(
    "name",
    ['x"; charset="utf-7', "x\\", 'x\\"; boundary="b', '"', 'x"\r\nX-Evil: 1', '预算"; charset="utf-7', 'x\x00\x7f"y'],
)
def test_a_file_name_adds_no_parameter_and_no_field(name: str) -> None:
    content = mime_builder.render_message(outgoing(files=(AttachmentFile(name, "text/plain", b"x"),)), with_bcc=False)
    head = content.partition(b"\r\nContent-Type: text/plain;\r\n name=")[2].partition(b"\r\nContent-Disposition")[0]
    assert re.fullmatch(rb'"(?:[^"\\\r\n]|\\["\\]|\r\n )*"', head), head
    [file] = parsed(content).iter_attachments()
    assert file["Content-Type"].params.keys() == {"name"}
    assert file["X-Evil"] is None


def test_a_forwarded_message_is_not_encoded() -> None:
    inner = "Subject: x\n\n会议\n".encode()
    message = parsed(
        mime_builder.render_message(outgoing(files=(AttachmentFile("x.eml", "message/rfc822", inner),)), with_bcc=False)
    )
    [enclosed] = message.iter_attachments()
    assert enclosed["Content-Transfer-Encoding"] == "8bit"
    assert enclosed.get_payload(0)["Subject"] == "x"


@given(st.text(max_size=300), st.text(max_size=2000))
def test_whatever_is_typed_arrives(subject: str, body: str) -> None:
    subject = "".join(c for c in subject if c.isprintable())
    body = body.replace("\r\n", "\n").replace("\r", "\n").encode("utf-8", "replace").decode()
    content = mime_builder.render_message(outgoing(subject=subject, body=body), with_bcc=False)
    message = email.message_from_bytes(content, policy=email.policy.compat32)
    assert message.get_payload(decode=True).decode().replace("\r\n", "\n").rstrip("\n") == body.rstrip("\n")
    words = str(email.header.make_header(email.header.decode_header(message["Subject"] or "")))
    assert words.split() == subject.encode("utf-8", "replace").decode().split()


@given(st.text(max_size=60), st.text(max_size=60))
def test_no_field_can_smuggle_another(subject: str, name: str) -> None:
    content = mime_builder.render_message(
        outgoing(subject=f"{subject}\r\nX-Evil: 1", to=(Address("", "a@b.cn"),)), with_bcc=False
    )
    assert "X-Evil" not in email.message_from_bytes(content)
    assert mime_builder.parse_ids(f"<a@b>\r\nX-Evil: {name}") == ""


SUBJECTS = {
    "会议": "Re: 会议",
    "Re: 会议": "Re: 会议",
    "RE: Re: 会议": "Re: 会议",
    "回复：会议": "Re: 会议",
    "答复: 回复：会议": "Re: 会议",
    "Re[2]: 会议": "Re: 会议",
    "回覆: 會議": "Re: 會議",
    "Report": "Re: Report",
}


@pytest.mark.parametrize(("old", "new"), SUBJECTS.items())
def test_subjects_of_answers(old: str, new: str) -> None:
    assert mime_builder.reply_subject(old) == new


def test_a_signature_is_not_quoted() -> None:
    assert mime_builder.strip_signature("您好\n\n-- \n王小明\n友居") == "您好"
    assert mime_builder.strip_signature("a\n-- \nb\n" + "c\n" * 30).startswith("a\n-- ")
    long = "a\n--\n" + "x" * 5000 + "\n" + "y\n" * 5000  # no signature, however one looks at it
    assert mime_builder.strip_signature(long) == long.strip()


def test_quotations_nest() -> None:
    assert plain_text.quote_text("您好\n\n> 上一封\n") == "> 您好\n>\n>> 上一封"


def test_html_as_text() -> None:
    html = "<p>各位<br>同事</p><blockquote><p>上一封</p></blockquote><ul><li>一<li>二</ul><table><tr><td>差旅</td><td>¥1,200</td></tr></table>"
    assert plain_text.from_html(html) == "各位\n同事\n\n> 上一封\n\n• 一\n• 二\n\n差旅\t¥1,200"


@pytest.mark.parametrize("length", [1, 40, 140])
def test_a_long_file_name_is_written_in_short_lines(length: int) -> None:
    """RFC 2231 §3 continuations keep every line below 78 bytes (RFC 5322 §2.1.1)."""
    name = "报" * length + ".pdf"
    file = mime_builder.AttachmentFile(name, "application/pdf", b"x")
    head = mime_builder._file_part(file).partition(b"\r\n\r\n")[0]
    assert max(map(len, head.split(b"\r\n"))) <= 78
    assert email.message_from_bytes(head).get_filename() == name
