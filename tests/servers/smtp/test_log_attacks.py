"""A stranger's HELO name, addresses and Message-ID in the log: one line each, and nothing a terminal obeys."""

from pathlib import Path

import pytest

from mailcore.logs import writer
from smtp_talk import extended, send

pytestmark = pytest.mark.django_db(transaction=True)

ATTACK = "\x1b]0;owned\x07\u202egpj\u2066\u2028Nov 22 14:05:09 mail youju/smtpd[1]: forged\x9b2J"


def test_outside_texts_do_not_reach_the_log_raw(smtp):
    running = smtp()
    client = extended(running)
    client.say(f"HELO x{ATTACK}")
    client.hear()
    client.say(f'MAIL FROM:<"{ATTACK}"@other.example> SMTPUTF8')
    client.hear()
    client.say("RSET")
    client.hear()
    client.say(f"RCPT TO:<{ATTACK}@benet.com>")
    client.hear()
    client.say(f"VRFY <{ATTACK}@benet.com>")
    client.hear()
    content = f"Message-ID: <{ATTACK}@x>\r\nSubject: s\r\n\r\nx\r\n"
    assert send(extended(running), "a@other.example", "xiaoqi@benet.com", content).startswith("250")
    running.do(running.server.close(5))  # The log follows the reply.
    log = Path(writer.log_path()).read_bytes()
    assert b"message-id=<?]0;owned??gpj??Nov" in log
    for raw in (b"\x1b", b"\x07", b"\r", *(each.encode() for each in ("\u202e", "\u2066", "\u2028", "\x9b"))):
        assert raw not in log, raw
    assert all(b" youju/" in line.partition(b"]: ")[0] for line in log.splitlines())
