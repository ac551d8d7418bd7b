"""Trace headers, theirs and ours."""

from mailcore.wire.message import dsn, trace_headers


def received(**more: str) -> str:
    values = {
        "helo": "client.example",
        "client_name": "unknown",
        "client_address": "192.0.2.7",
        "hostname": "mail.benet.com",
        "mail_name": "Youju",
        "protocol": "ESMTP",
        "queue_id": "6F24D148440",
        "recipient": "lisi@benet.com",
        **more,
    }
    return trace_headers.format_received(at=0, **values).decode()


def test_received_is_written_as_postfix_does():
    lines = received().split("\r\n")
    assert lines[:2] == [
        "Received: from client.example (unknown [192.0.2.7])",
        "\tby mail.benet.com (Youju) with ESMTP id 6F24D148440",
    ]
    assert lines[2].startswith("\tfor <lisi@benet.com>; ")
    assert "\tfor" not in received(recipient="")
    assert "[IPv6:2001:db8::1]" in received(client_address="2001:db8::1")


def test_a_helo_cannot_break_out_of_its_header():
    text = received(helo="x)\r\nBcc: everybody@example.org (")
    assert text.count("\r\n") == received().count("\r\n")
    assert "\nBcc" not in text


def test_headers_are_read_from_the_header_only():
    content = (
        b"Received: a\r\nreceived: b\r\nMessage-ID:\r\n <1@x>\r\nDelivered-To: Lisi@benet.com\r\n\r\nReceived: c\r\n"
    )
    header = trace_headers.split_off_header(content)
    assert trace_headers.count_hops(header) == 2
    assert trace_headers.find_message_id(header) == "1@x"
    assert trace_headers.find_delivered_to(header) == {"lisi@benet.com"}
    assert trace_headers.split_off_header(b"\r\nReceived: a\r\n") == b""


def test_a_notice_stays_well_formed_whatever_the_other_host_said():
    notice = dsn.Notice(
        reporting_mta="mail.benet.com",
        mail_name="Youju",
        to="lisi@benet.com",
        sender="lisi@benet.com",
        subject="Undelivered",
        words="<a@b.example>: no",
        envelope_id="",
        queue_id="6F24D148440",
        arrived="Sun, 22 Nov 2026 10:00:00 +0800",
        now="Sun, 22 Nov 2026 10:00:01 +0800",
        message_id="1@mail.benet.com",
        recipients=(
            dsn.NoticeRecipient(
                "a@b.example", "a@b.example", "", "failed", "5.1.1", "550 no\r\nStatus: 2.0.0", "mx[1]"
            ),
        ),
        original=b"Subject: x\r\n\r\nsecret\r\n",
        whole=False,
    )
    text = dsn.render_notice(notice)
    assert b"\r\nStatus: 2.0.0" not in text
    assert b"Remote-MTA: dns; mx\r\n" in text
    assert b"text/rfc822-headers" in text
    assert b"secret" not in text
    assert b"\r\n\r\nSubject: x\r\n\r\n--" in text
