"""POP3 conversations with a real server on a real socket. `C:` is what the client says, `S:` what it hears."""

import asyncio
import contextlib
import datetime
import ipaddress
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from django.contrib.auth.hashers import make_password
from django.db import connection, transaction

from mailcore import conf
from mailcore.models import Account, Mailbox, Message
from mailcore.servers.bridge import Bridge
from mailcore.servers.pop3 import Pop3Server
from mailcore.store import delivery, directory, maildir
from mailcore.store.delivery import Stored
from mailcore.terms import Arrival
from mailcore.wire import flags

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

PASSWORD = "123456"
HASH = make_password(PASSWORD)

# 451 octets, as in the book.
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
        file = tmp_path / f"letter{next(names)}"
        file.write_bytes(content)
        staged = delivery.stage([Arrival(account_id, file.name, file, 0, b"", False, 1_200_000_000, **more)])
        with transaction.atomic():
            [stored] = delivery.enter(staged)
        assert isinstance(stored, Stored)
        return stored.uid

    return deliver


class Conversation:
    """One connection. `talk` plays a transcript; in its S: lines `…` stands for anything."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), 10)
        self.file = self.socket.makefile("rb")

    def say(self, line: str | bytes) -> None:
        self.socket.sendall((line.encode() if isinstance(line, str) else line) + b"\r\n")

    def hear(self) -> str:
        line = self.file.readline()
        assert line.endswith(b"\r\n") or not line
        return line[:-2].decode()

    def hear_all(self) -> list[str]:
        """The rest of a multi-line answer, without the final dot."""
        return list(iter(self.hear, "."))

    def talk(self, transcript: str) -> None:
        for step in transcript.strip().splitlines():
            side, _, text = step.strip().partition(":")
            text = text.removeprefix(" ")
            if side == "C":
                self.say(text)
            elif side == "S":
                heard = self.hear().rstrip()
                assert re.fullmatch(re.escape(text).replace("…", ".*"), heard), f"{heard!r} is not {text!r}"

    def sign_in(self, name: str = "lisi") -> None:
        self.talk(f"S: +OK Youju ready.\nC: USER {name}\nS: +OK\nC: PASS {PASSWORD}\nS: +OK Logged in.")

    def start_tls(self, context: ssl.SSLContext) -> None:
        self.socket = context.wrap_socket(self.socket, server_hostname="localhost")
        self.file = self.socket.makefile("rb")

    def close(self) -> None:
        self.file.close()
        self.socket.close()


class Running:
    """A server in a thread with its own loop."""

    def __init__(self, context: ssl.SSLContext | None, implicit: bool) -> None:
        conf.current()
        self.bridge = Bridge(4)
        self.server = Pop3Server(self.bridge, context, implicit)
        listening = socket.create_server(("127.0.0.1", 0))
        self.port = listening.getsockname()[1]
        self.loop = uvloop.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        self.do(self.server.listen(listening))
        self.open: list[Conversation] = []

    def do(self, work) -> None:
        asyncio.run_coroutine_threadsafe(work, self.loop).result(30)

    def dial(self) -> Conversation:
        self.open.append(Conversation(self.port))
        return self.open[-1]

    def stop(self) -> None:
        for conversation in self.open:
            conversation.close()
        self.do(self.server.close(5))
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()
        self.bridge.close()


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Running]]:
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
    monkeypatch.setenv("MAIL_MAIL_NAME", "Youju")
    monkeypatch.setenv("MAIL_AUTH_FAILURE_DELAY", "0")
    running: list[Running] = []

    def start(context: ssl.SSLContext | None = None, *, implicit: bool = False) -> Running:
        running.append(Running(context, implicit))
        return running[-1]

    yield start
    for server in running:
        server.stop()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """(server's context, context of a client that trusts it)."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    path.write_bytes(private + made)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(path)
    return server, ssl.create_default_context(cadata=made.decode())


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
    assert Message.objects.get().flags == flags.SEEN
    assert Mailbox.objects.get(account=lisi, name="INBOX").unseen == 0


def test_the_whole_session(lisi, put, serve):
    for size in (120, 200, 300):
        put(lisi, b"Subject: x\r\n\r\n" + b"a" * (size - 16) + b"\r\n")
    client = serve().dial()
    client.sign_in("LISI@benet.com")
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
    client.sign_in()
    client.talk("C: DELE 2\nS: +OK Marked to be deleted.\nC: DELE 3\nS: +OK Marked to be deleted.")
    assert Message.objects.count() == 3
    client.talk("C: QUIT\nS: +OK Logging out, messages deleted.\nS: ")
    assert list(Message.objects.values_list("uid", flat=True)) == [1]
    box = Mailbox.objects.get(account=lisi, name="INBOX")
    assert (box.messages, box.unseen, box.size, box.uid_next) == (1, 1, 7, 4)
    assert list(box.expunged.values_list("uid", "modseq")) == [(2, box.highest_modseq), (3, box.highest_modseq)]
    assert Account.objects.values_list("used_bytes", "used_messages").get(pk=lisi) == (7, 1)
    assert len(list(Path(maildir.directory("lisi@benet.com", "")).glob("new/*"))) == 1
    again = server.dial()
    again.sign_in()
    again.talk("C: UIDL\nS: +OK\nS: 1 00000001…\nS: .\nC: QUIT\nS: +OK Logging out.")


def test_without_quit_nothing_is_deleted(lisi, put, serve):
    put(lisi, b"\r\none\r\n")
    server = serve()
    client = server.dial()
    client.sign_in()
    client.talk("C: DELE 1\nS: +OK Marked to be deleted.")
    client.close()
    server.do(server.server.close(5))
    assert Message.objects.count() == 1
    assert Message.objects.get().flags == 0


def test_what_imap_deleted_meanwhile_does_not_disturb(lisi, put, serve):
    put(lisi, b"\r\none\r\n"), put(lisi, b"\r\ntwo\r\n")
    client = serve().dial()
    client.sign_in()
    row = Message.objects.get(uid=1)
    maildir.remove(maildir.directory("lisi@benet.com", ""), row.base_name, 0)
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
    first.sign_in()
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
    client.sign_in()
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
        "TOP", "UIDL", "RESP-CODES", "PIPELINING", "AUTH-RESP-CODE", "UTF8 USER", "LANG", "USER", "SASL PLAIN LOGIN",
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


def test_plain_passwords_need_tls_where_the_administrator_says_so(lisi, serve, monkeypatch, certificate):
    monkeypatch.setenv("MAIL_DISABLE_PLAINTEXT_AUTH", "yes")
    # A client on this machine is exempt; let it look as if it came from elsewhere.
    monkeypatch.setattr("mailcore.servers.lines.LineConnection.own", property(lambda self: "192.0.2.7"))
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
    client.sign_in()
    client.talk("C: RETR 1\nS: +OK 3000004 octets")
    assert [len(line) for line in client.hear_all()] == [0, 3_000_000]


# --- Content --------------------------------------------------------------------------------------


def test_lines_that_begin_with_dots_and_bare_line_feeds(lisi, put, serve):
    put(lisi, b"Subject: dots\r\n\r\n.\r\n..\r\nend\r\n")
    put(lisi, b"Subject: unix\n\n.one\ntwo")
    client = serve().dial()
    client.sign_in()
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


def test_a_large_message_goes_in_pieces(lisi, put, serve):
    body = b"".join(b".%d\r\n" % number for number in range(400_000))
    put(lisi, b"Subject: large\r\n\r\n" + body)
    client = serve().dial()
    client.sign_in()
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
    client.sign_in()
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
            client.sign_in(f"user{number:03d}")
            octets = 0
            for message in (1, 2, 3):
                client.talk(f"C: RETR {message}\nS: +OK …")
                octets += sum(len(line) + 2 for line in client.hear_all())
                client.talk(f"C: DELE {message}\nS: +OK Marked to be deleted.")
            client.talk("C: QUIT\nS: +OK Logging out, messages deleted.")
            return octets

    with ThreadPoolExecutor(50) as pool:
        assert set(pool.map(fetch, range(50))) == {3 * 2016}
    assert not Message.objects.exists()


def test_a_large_message_whose_file_is_gone(lisi, put, serve):
    put(lisi, b"Subject: large\r\n\r\n" + b"x" * 1_500_000)
    client = serve().dial()
    client.sign_in()
    row = Message.objects.get()
    maildir.remove(maildir.directory("lisi@benet.com", ""), row.base_name, 0)
    lost = "-ERR [SYS/PERM] This message cannot be read."
    client.talk(f"C: RETR 1\nS: {lost}\nC: TOP 1 0\nS: {lost}\nC: STAT\nS: +OK 1 …")


# --- Limits ---------------------------------------------------------------------------------------


def test_lines_that_are_too_long(lisi, serve):
    client = serve().dial()
    client.talk("S: +OK Youju ready.")
    client.say("USER " + "x" * 300_000)
    client.talk("S: -ERR Input line too long.\nC: NOOP\nS: -ERR Unknown command.\nC: USER lisi\nS: +OK")


def test_too_many_bad_commands(lisi, serve, monkeypatch):
    monkeypatch.setenv("MAIL_MAIL_MAX_BAD_COMMANDS", "3")
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


def test_silence_ends_a_session(lisi, serve, monkeypatch):
    monkeypatch.setenv("MAIL_LOGIN_TIMEOUT", "0")
    client = serve().dial()
    client.talk("S: +OK Youju ready.\nS: -ERR Disconnected for inactivity.\nS: ")


def test_the_server_goes(lisi, put, serve):
    put(lisi, b"\r\none\r\n")
    server = serve()
    client = server.dial()
    client.sign_in()
    client.talk("C: DELE 1\nS: +OK Marked to be deleted.")
    server.do(server.server.close(5))
    client.talk("S: -ERR [SYS/TEMP] Server shutting down.\nS: ")
    assert Message.objects.count() == 1
    with pytest.raises(ConnectionRefusedError):
        Conversation(server.port)


def test_a_fault_is_told_without_its_reason(lisi, put, serve, caplog):
    put(lisi, b"\r\none\r\n")
    client = serve().dial()
    client.sign_in()
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {Message._meta.db_table} RENAME TO away")
    try:
        client.talk("C: DELE 1\nS: +OK …\nC: QUIT\nS: -ERR [SYS/TEMP] Internal error.\nS: ")
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER TABLE away RENAME TO {Message._meta.db_table}")
