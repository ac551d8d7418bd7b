"""Delivery status notifications."""

import email

import pytest

from mailcore.wire.message.dsn import Notice, NoticeRecipient, render_notice


def diagnostic(text: str, *, utf8: bool = False, relay: str = "mx.far.example[192.0.2.1]:25") -> str:
    recipient = NoticeRecipient("u0@far.example", "u0@far.example", "", "failed", "5.1.1", text, relay)
    notice = Notice(
        "mail.benet.com", "Youju", "lisi@benet.com", "lisi@benet.com", "x", "y", "", "Q1", "now", "now", "a@b",
        (recipient,), b"Subject: x\r\n\r\n", False, utf8,
    )  # fmt: skip
    status = email.message_from_bytes(render_notice(notice)).get_payload(1).get_payload(1)
    return status["Diagnostic-Code"]


@pytest.mark.parametrize(
    ("text", "written"),
    [
        (
            "host mx.far.example[192.0.2.1]:25 said: 550 5.1.1 <u0@far.example>: unknown (in reply to RCPT TO command)",
            "smtp; 550 5.1.1 <u0@far.example>: unknown",
        ),
        (
            "host mx.far.example[192.0.2.1] said: 550-5.1.1 no such user 550 5.1.1 here (in reply to end of DATA command)",
            "smtp; 550-5.1.1 no such user 550 5.1.1 here",
        ),
        ("connect to mx.far.example[192.0.2.1]:25: Connection timed out", "X-Youju; connect to mx.far.example"),
        ("host x said: nothing sensible (in reply to MAIL FROM command)", "X-Youju; host x said: nothing sensible"),
    ],
)
def test_a_diagnostic_begins_with_the_code_of_the_reply(text: str, written: str) -> None:
    """RFC 3461 §9.2: an exact transcription of the reply; other reasons are of our own type."""
    assert diagnostic(text).startswith(written)


def test_a_notification_without_utf8_is_ascii() -> None:
    """RFC 3464 §2.1 and RFC 6533 §3."""
    text = "host x said: 550 5.1.1 用户不存在\udcff (in reply to RCPT TO command)"
    assert diagnostic(text) == r"smtp; 550 5.1.1 \x{7528}\x{6237}\x{4E0D}\x{5B58}\x{5728}?"
