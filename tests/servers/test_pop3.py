"""POP3 conversations with a real server on a real socket. `C:` is what the client says, `S:` what it hears."""

import contextlib
import ssl
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from django.contrib.auth.hashers import make_password
from django.db import connection, transaction

from conversation import Conversation, Running
from mailcore.models import Account, Mailbox, Message
from mailcore.servers.pop3.session import Pop3Server
from mailcore.store import directory
from mailcore.store.mailbox import insert
from mailcore.store.mailbox.insert import StoredMessage
from mailcore.store.maildir import maildir_files
from mailcore.values import Arrival
from mailcore.wire.imap import system_flags

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

PASSWORD = "123456"
HASH = make_password(PASSWORD)

# 451 bytes, as in the book.
BOOK = (
    b"Return-Path: <xiaoqi@benet.com>\r\nX-Original-To: lisi@benet.com\r\nDelivered-To: lisi@benet.com\r\n"
    b"Received: from mail.benet.com (mail.benet.com [127.0.0.1])\r\n"
    b"\tby mail.benet.com (Youju) with SMTP id 6F24D148440\r\n"
    b"\tfor <lisi@benet.com>; Sat, 17 Jan 2009 17:34:01 +0800 (CST)\r\n"
    b"Message-Id: <20090117093401.6F24D148440@mail.benet.com>\r\nDate: Sat, 17 Jan 2009 17:33:50 +0800 (CST)\r\n"
    b"From: xiaoqi@benet.com\r\nSubject: A Test Mail\r\n\r\nHELLO!\r\n"
)
BOOK += b"." * (449 - len(BOOK)) + b"\r\n"


@pytest.fixture
def lisi() -> int:
    directory.create_domain("benet.com")
    return directory.create_account("lisi@benet.com", "", password_hash=HASH)


@pytest.fixture
def put(tmp_path: Path) -> Callable[..., int]:
    """Delivers a message; returns its UID."""
    names = iter(range(10_000))

    def deliver(account_id: int, content: bytes, **more: object) -> int:
        file = tmp_path / f"message{next(names)}"
        file.write_bytes(content)
        staged = insert.stage_files([Arrival(account_id, file.name, file, 0, b"", False, 1_200_000_000, **more)])
        with transaction.atomic():
            [stored] = insert.insert_messages(staged)
        assert isinstance(stored, StoredMessage)
        return stored.uid

    return deliver


def sign_in(client: Conversation, name: str = "lisi") -> None:
    client.talk(f"S: +OK Youju ready.\nC: USER {name}\nS: +OK\nC: PASS {PASSWORD}\nS: +OK Logged in.")


@pytest.fixture
def serve(serve, parameters) -> Callable[..., Running]:
    """`serve()` starts a POP3 server; options: `context` for TLS, `implicit`."""
    parameters(mail_name="Youju")

    def start(context: ssl.SSLContext | None = None, *, implicit: bool = False) -> Running:
        return serve(lambda executor: Pop3Server(executor, context, implicit))

    return start


# --- The book's dialogue --------------------------------------------------------------------------


def test_the_books_dialogue(lisi, put, serve):
    assert len(BOOK) == 451
    put(lisi, BOOK)
    client = serve().dial()
    client.talk("""
        S: +OK Youju ready.
        C: USER lisi
        S: +OK
        C: PASS 123456
        S: +OK Logged in.
        C: LIST
        S: +OK 1 messages:
        S: 1 451
        S: .
        C: RETR 1
        S: +OK 451 octets
        S: Return-Path: <xiaoqi@benet.com>
        S: X-Original-To: lisi@benet.com
        S: Delivered-To: lisi@benet.com
        S: Received: from mail.benet.com (mail.benet.com [127.0.0.1])
    """)
    assert client.hear_all()[-1].startswith("....")
    client.talk("C: QUIT\nS: +OK Logging out.\nS: ")
    assert Message.objects.get().flags == system_flags.SEEN
    assert Mailbox.objects.get(account=lisi, name="INBOX").unseen == 0


def test_the_whole_session(lisi, put, serve):
    for size in (120, 200, 300):
        put(lisi, b"Subject: x\r\n\r\n" + b"a" * (size - 16) + b"\r\n")
    client = serve().dial()
    sign_in(client, "LISI@benet.com")
    client.talk("""
        C: STAT
        S: +OK 3 620
        C: LIST 2
        S: +OK 2 200
        C: UIDL 2
        S: +OK 2 00000002…
        C: DELE 2
        S: +OK Marked to be deleted.
        C: DELE 2
        S: -ERR Message is deleted.
        C: RETR 2
        S: -ERR Message is deleted.
        C: STAT
        S: +OK 2 420
        C: LIST
        S: +OK 2 messages:
        S: 1 120
        S: 3 300
        S: .
        C: UIDL
        S: +OK
        S: 1 00000001…
        S: 3 00000003…
        S: .
        C: RSET
        S: +OK
        C: TOP 1 0
        S: +OK
        S: Subject: x
        S:
        S: .
        C: NOOP
        S: +OK
        C: STAT
        S: +OK 3 620
        C: RETR 4
        S: -ERR There's no message 4.
        C: FROB
        S: -ERR Unknown command: FROB
        C: QUIT
        S: +OK Logging out.
    """)


def test_deletions_happen_at_quit_and_are_counted(lisi, put, serve):
    for text in (b"one\r\n", b"two two\r\n", b"three\r\n"):
        put(lisi, b"\r\n" + text)
    server = serve()
    client = server.dial()
    sign_in(client)
    client.talk("C: DELE 2\nS: +OK Marked to be deleted.\nC: DELE 3\nS: +OK Marked to be deleted.")
    assert Message.objects.count() == 3
    client.talk("C: QUIT\nS: +OK Logging out, messages deleted.\nS: ")
    assert list(Message.objects.values_list("uid", flat=True)) == [1]
    box = Mailbox.objects.get(account=lisi, name="INBOX")
    assert (box.messages, box.unseen, box.size, box.uid_next) == (1, 1, 7, 4)
    assert list(box.expunged.values_list("uid", "modseq")) == [(2, box.highest_modseq), (3, box.highest_modseq)]
    assert Account.objects.values_list("used_bytes", "used_messages").get(pk=lisi) == (7, 1)
    assert len(list(Path(maildir_files.folder_directory("lisi@benet.com", "")).glob("new/*"))) == 1
    again = server.dial()
    sign_in(again)
    again.talk("C: UIDL\nS: +OK\nS: 1 00000001…\nS: .\nC: QUIT\nS: +OK Logging out.")


def test_without_quit_nothing_is_deleted(lisi, put, serve):
    put(lisi, b"\r\none\r\n")
    server = serve()
    client = server.dial()
    sign_in(client)
    client.talk("C: DELE 1\nS: +OK Marked to be deleted.")
    client.close()
    server.do(server.server.close(5))
    assert Message.objects.count() == 1
    assert Message.objects.get().flags == 0


def test_what_imap_deleted_meanwhile_does_not_disturb(lisi, put, serve):
    put(lisi, b"\r\none\r\n"), put(lisi, b"\r\ntwo\r\n")
    client = serve().dial()
    sign_in(client)
    row = Message.objects.get(uid=1)
    maildir_files.remove_file(maildir_files.folder_directory("lisi@benet.com", ""), row.base_name, 0)
    Message.objects.filter(uid=1).delete()
    Mailbox.objects.filter(account=lisi, name="INBOX").update(messages=1, unseen=1, size=7)
    Account.objects.filter(pk=lisi).update(used_bytes=7, used_messages=1)
    client.talk("""
        C: RETR 1
        S: -ERR [SYS/PERM] This message cannot be read.
        C: DELE 1
        S: +OK Marked to be deleted.
        C: DELE 2
        S: +OK Marked to be deleted.
        C: QUIT
        S: +OK Logging out, messages deleted.
        S:
    """)
    assert Account.objects.values_list("used_bytes", "used_messages").get(pk=lisi) == (0, 0)


def test_one_session_at_a_time(lisi, serve):
    one, two = serve(), serve()
    first, second = one.dial(), two.dial()
    sign_in(first)
    second.talk(f"""
        S: +OK Youju ready.
        C: USER lisi
        S: +OK
        C: PASS {PASSWORD}
        S: -ERR [IN-USE] Mailbox is locked by another POP3 session.
    """)
    first.talk("C: QUIT\nS: +OK Logging out.\nS: ")
    second.talk(f"C: USER lisi\nS: +OK\nC: PASS {PASSWORD}\nS: +OK Logged in.")


def test_messages_that_come_during_a_session_wait_for_the_next(lisi, put, serve):
    client = serve().dial()
    sign_in(client)
    put(lisi, b"\r\nnew\r\n")
    client.talk("C: STAT\nS: +OK 0 0\nC: LIST\nS: +OK 0 messages:\nS: .\nC: QUIT\nS: +OK Logging out.")


# --- Signing in -----------------------------------------------------------------------------------


def test_the_same_answer_for_a_wrong_name_and_a_wrong_password(lisi, serve):
    client = serve().dial()
    client.talk("""
        S: +OK Youju ready.
        C: USER lisi
        S: +OK
        C: PASS wrong
        S: -ERR [AUTH] Authentication failed.
        C: USER nobody
        S: +OK
        C: PASS 123456
        S: -ERR [AUTH] Authentication failed.
        C: PASS 123456
        S: -ERR No username given.
        C: USER
        S: -ERR No username given.
        C: STAT
        S: -ERR Unknown command.
        C: QUIT
        S: +OK Logging out
    """)


def test_sasl(lisi, serve):
    server = serve()
    client = server.dial()
    client.talk("""
        S: +OK Youju ready.
        C: AUTH
        S: +OK
        S: SCRAM-SHA-256
        S: PLAIN
        S: LOGIN
        S: .
        C: AUTH CRAM-MD5
        S: -ERR Unsupported authentication mechanism.
        C: AUTH PLAIN
        S: +
        C: *
        S: -ERR [AUTH] Authentication aborted by client.
        C: AUTH PLAIN AGxpc2kAd3Jvbmc=
        S: -ERR [AUTH] Authentication failed.
        C: AUTH PLAIN
        S: +
        C: AGxpc2kAMTIzNDU2
        S: +OK Logged in.
    """)
    client.talk("C: QUIT\nS: +OK Logging out.\nS: ")
    server.dial().talk("""
        S: +OK Youju ready.
        C: AUTH LOGIN
        S: + VXNlcm5hbWU6
        C: bGlzaUBiZW5ldC5jb20=
        S: + UGFzc3dvcmQ6
        C: MTIzNDU2
        S: +OK Logged in.
    """)


def test_capabilities(lisi, serve):
    client = serve().dial()
    client.talk("S: +OK Youju ready.\nC: CAPA\nS: +OK")
    assert client.hear_all() == [
        "TOP", "UIDL", "RESP-CODES", "PIPELINING", "AUTH-RESP-CODE", "UTF8 USER", "LANG", "USER", "SASL SCRAM-SHA-256 PLAIN LOGIN",
        "EXPIRE NEVER", "LOGIN-DELAY 0", "IMPLEMENTATION Youju",
    ]  # fmt: skip
    client.talk("""
        C: UTF8
        S: +OK
        C: LANG
        S: +OK Language listing follows:
        S: en English
        S: .
        C: LANG en
        S: +OK en Language changed.
        C: LANG tlh
        S: -ERR This language is not supported.
        C: STLS
        S: -ERR TLS support isn't enabled.
    """)


def test_plain_passwords_need_tls_where_the_administrator_says_so(lisi, serve, monkeypatch, certificate, parameters):
    parameters(disable_plaintext_auth="yes")
    # A client on this machine is exempt; let it look as if it came from elsewhere.
    monkeypatch.setattr(
        "mailcore.servers.transport.connection.LineConnection.local_address", property(lambda self: "192.0.2.7")
    )
    server_context, client_context = certificate
    client = serve(server_context).dial()
    refusal = "-ERR [AUTH] Plaintext authentication disallowed on non-secure (SSL/TLS) connections."
    client.talk(f"S: +OK Youju ready.\nC: USER lisi\nS: {refusal}\nC: AUTH PLAIN AAA=\nS: {refusal}\nC: CAPA\nS: +OK")
    tags = client.hear_all()
    assert "STLS" in tags
    assert "USER" not in tags
    client.talk("C: STLS\nS: +OK Begin TLS negotiation now.")
    client.start_tls(client_context)
    client.talk("C: STLS\nS: -ERR TLS is already active.\nC: CAPA\nS: +OK")
    tags = client.hear_all()
    assert "STLS" not in tags
    assert "USER" in tags
    client.talk(f"C: USER lisi\nS: +OK\nC: PASS {PASSWORD}\nS: +OK Logged in.\nC: QUIT\nS: +OK Logging out.")


def test_what_was_said_before_tls_is_forgotten(lisi, serve, certificate):
    server_context, client_context = certificate
    client = serve(server_context).dial()
    client.talk("S: +OK Youju ready.\nC: USER lisi\nS: +OK")
    client.say("STLS\r\nPASS 123456\r\nNOOP")  # somebody in the middle adds commands
    client.talk("S: +OK Begin TLS negotiation now.")
    client.start_tls(client_context)
    client.talk("C: PASS 123456\nS: -ERR No username given.")


def test_port_995(lisi, put, serve, certificate):
    server_context, client_context = certificate
    put(lisi, b"\r\n" + b"x" * 3_000_000 + b"\r\n")
    client = serve(server_context, implicit=True).dial()
    client.start_tls(client_context)
    sign_in(client)
    client.talk("C: RETR 1\nS: +OK 3000004 octets")
    assert [len(line) for line in client.hear_all()] == [0, 3_000_000]


# --- Content --------------------------------------------------------------------------------------


def test_lines_that_begin_with_dots_and_bare_line_feeds(lisi, put, serve):
    put(lisi, b"Subject: dots\r\n\r\n.\r\n..\r\nend\r\n")
    put(lisi, b"Subject: unix\n\n.one\ntwo")
    client = serve().dial()
    sign_in(client)
    client.talk("""
        C: RETR 1
        S: +OK 29 octets
        S: Subject: dots
        S:
        S: ..
        S: ...
        S: end
        S: .
        C: RETR 2
        S: +OK 28 octets
        S: Subject: unix
        S:
        S: ..one
        S: two
        S: .
        C: TOP 2 1
        S: +OK
        S: Subject: unix
        S:
        S: ..one
        S: .
    """)


def test_sizes_are_those_of_what_is_sent(lisi, put, serve):
    """Every line ends in CRLF, also in a file that mixes line ends, and LIST tells the size of that (RFC 1939 §11)."""
    mixed = b"Subject: x\r\n\r\none\n.two\r\n\nlast"
    put(lisi, mixed), put(lisi, b"\r\none\r\n"), put(lisi, mixed * 40_000)
    Message.objects.filter(uid=1).update(line_end_growth=None)  # from before it was counted
    sent = mixed.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    first, third = len(sent) + 2, len(sent) * 40_000 + 2
    for _ in range(2):
        client = serve().dial()
        sign_in(client)
        client.talk(f"""
            C: STAT
            S: +OK 3 {first + 7 + third}
            C: LIST
            S: +OK 3 messages:
            S: 1 {first}
            S: 2 7
            S: 3 {third}
            S: .
            C: RETR 1
            S: +OK {first} octets
            S: Subject: x
            S:
            S: one
            S: ..two
            S:
            S: last
            S: .
            C: RETR 3
            S: +OK {third} octets
        """)
        lines = client.hear_all()
        assert sum(len(line) + 2 - line.startswith(".") for line in lines) == third
        client.talk("C: QUIT\nS: +OK Logging out.\nS: ")
    assert list(Message.objects.order_by("uid").values_list("line_end_growth", flat=True)[:2]) == [4, 0]


def test_a_large_message_goes_in_pieces(lisi, put, serve):
    body = b"".join(b".%d\r\n" % number for number in range(400_000))
    put(lisi, b"Subject: large\r\n\r\n" + body)
    client = serve().dial()
    sign_in(client)
    client.talk(f"C: RETR 1\nS: +OK {len(body) + 18} octets")
    heard = client.hear_all()
    assert len(heard) == 400_002
    assert heard[2] == "..0"
    assert heard[-1] == "..399999"
    client.talk("C: NOOP\nS: +OK")


def test_pipelining(lisi, put, serve):
    for number in range(100):
        put(lisi, b"Subject: %d\r\n\r\n\r\n" % number)
    client = serve().dial()
    sign_in(client)
    client.say("\r\n".join(f"RETR {n}" for n in range(1, 101)) + "\r\nSTAT")
    for number in range(100):
        client.talk(f"S: +OK …\nS: Subject: {number}\nS: \nS: \nS: .")
    client.talk("S: +OK 100 …")


def test_fifty_clients_at_once(serve, put):
    directory.create_domain("benet.com")
    people = [directory.create_account(f"user{n:03d}@benet.com", "", password_hash=HASH) for n in range(50)]
    for person in people:
        for _ in range(3):
            put(person, b"Subject: x\r\n\r\n" + b"a" * 2000 + b"\r\n")
    server = serve()

    def fetch(number: int) -> int:
        client = Conversation(server.port)
        with contextlib.closing(client):
            sign_in(client, f"user{number:03d}")
            data = 0
            for message in (1, 2, 3):
                client.talk(f"C: RETR {message}\nS: +OK …")
                data += sum(len(line) + 2 for line in client.hear_all())
                client.talk(f"C: DELE {message}\nS: +OK Marked to be deleted.")
            client.talk("C: QUIT\nS: +OK Logging out, messages deleted.")
            return data

    with ThreadPoolExecutor(50) as pool:
        assert set(pool.map(fetch, range(50))) == {3 * 2016}
    assert not Message.objects.exists()


def test_a_large_message_whose_file_is_gone(lisi, put, serve):
    put(lisi, b"Subject: large\r\n\r\n" + b"x" * 1_500_000)
    client = serve().dial()
    sign_in(client)
    row = Message.objects.get()
    maildir_files.remove_file(maildir_files.folder_directory("lisi@benet.com", ""), row.base_name, 0)
    lost = "-ERR [SYS/PERM] This message cannot be read."
    client.talk(f"C: RETR 1\nS: {lost}\nC: TOP 1 0\nS: {lost}\nC: STAT\nS: +OK 1 …")


# --- Limits ---------------------------------------------------------------------------------------


def test_lines_that_are_too_long(lisi, serve):
    client = serve().dial()
    client.talk("S: +OK Youju ready.")
    client.say("USER " + "x" * 300_000)
    client.talk("S: -ERR Input line too long.\nC: NOOP\nS: -ERR Unknown command.\nC: USER lisi\nS: +OK")


def test_too_many_bad_commands(lisi, serve, parameters):
    parameters(mail_max_bad_commands="3")
    client = serve().dial()
    client.talk("""
        S: +OK Youju ready.
        C: A
        S: -ERR Unknown command.
        C: B
        S: -ERR Unknown command.
        C: CAPA
        S: +OK
    """)
    client.hear_all()
    client.talk("C: A\nS: -ERR …\nC: A\nS: -ERR …\nC: A\nS: -ERR …\nS: -ERR Too many bad commands.\nS: ")


def test_silence_ends_a_session(lisi, serve, parameters):
    parameters(login_timeout="1s")
    client = serve().dial()
    client.talk("S: +OK Youju ready.\nS: -ERR [SYS/TEMP] Disconnected for inactivity during authentication.\nS: ")


def test_the_server_goes(lisi, put, serve):
    put(lisi, b"\r\none\r\n")
    server = serve()
    client = server.dial()
    sign_in(client)
    client.talk("C: DELE 1\nS: +OK Marked to be deleted.")
    server.do(server.server.close(5))
    client.talk("S: -ERR [SYS/TEMP] Server shutting down.\nS: ")
    assert Message.objects.count() == 1
    with pytest.raises(ConnectionRefusedError):
        Conversation(server.port)


def test_a_fault_is_told_without_its_reason(lisi, put, serve, caplog):
    put(lisi, b"\r\none\r\n")
    client = serve().dial()
    sign_in(client)
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {Message._meta.db_table} RENAME TO away")
    try:
        client.talk("C: DELE 1\nS: +OK …\nC: QUIT\nS: -ERR [SYS/TEMP] Internal error.\nS: ")
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER TABLE away RENAME TO {Message._meta.db_table}")
