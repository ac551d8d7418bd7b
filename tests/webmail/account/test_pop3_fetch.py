"""Mail fetched from an account elsewhere: another POP3 server of ours, with 小七's mail."""

import contextlib
import itertools
import socket
import threading
import tracemalloc
from collections.abc import Iterator

import pytest

from mailcore.servers.pop3.session import Pop3Server
from webmail.models import FetchedFrom
from webmail_fixtures import PASSWORD, Browser, PostOffice, make_message

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def port(office: PostOffice, parameters) -> str:
    """That of a POP3 server that holds three messages of 小七."""
    for number in range(3):
        office.put(make_message(f"第{number}封", f".\n{'x' * 5000}\n"), "xiaoqi")
    found = str(office._serve(lambda: Pop3Server(office.executor, None, implicit_tls=False)))
    parameters(webmail_fetch_networks="127.0.0.0/8", webmail_fetch_mail_ports=found)
    return found


def add(browser: Browser, at: str, **more: str):
    browser.see("/transfer/fetch")
    form = {"do": "add", "host": "127.0.0.1", "port": at, "login": "xiaoqi", "password": PASSWORD, "in": "INBOX"}
    return browser.press("/transfer/fetch", **(form | more))


def again(browser: Browser, password: str = PASSWORD):
    account = FetchedFrom.objects.get()
    return browser.press("/transfer/fetch", do="fetch", id=str(account.pk), password=password)


def test_mail_comes_once_and_stays_there(office: PostOffice, lisi: Browser, port: str) -> None:
    add(lisi, port, leave="1")
    assert "3 messages were fetched." in lisi.page
    assert office.messages("lisi") == office.messages("xiaoqi")
    again(lisi)
    assert "0 messages were fetched." in lisi.page
    office.put(make_message("neu"), "xiaoqi")
    again(lisi)
    assert "1 message was fetched." in lisi.page
    assert len(office.messages("lisi")) == 4
    assert PASSWORD not in str(FetchedFrom.objects.values())


def test_mail_is_taken_away_there(office: PostOffice, lisi: Browser, port: str, parameters) -> None:
    parameters(webmail_fetch_mail_limit="2")
    lisi.see("/folders/")
    lisi.press("/folders/", do="create", new="Anderswo", parent="")
    add(lisi, port, **{"in": "Anderswo"})
    assert "2 messages were fetched." in lisi.page
    assert "1 more is waiting there." in lisi.page
    assert len(office.messages("xiaoqi")) == 1
    again(lisi)
    assert office.messages("xiaoqi") == []
    assert len(office.messages("lisi", "Anderswo")) == 3


def test_what_is_too_large_stays_there(office: PostOffice, lisi: Browser, port: str, parameters) -> None:
    office.put(make_message("groß", "x\n" * 20_000), "xiaoqi")
    parameters(message_size_limit="20000")
    add(lisi, port)
    assert "1 message is too large for here." in lisi.page
    assert len(office.messages("xiaoqi")) == 1


def test_a_wrong_password(office: PostOffice, lisi: Browser, port: str) -> None:
    assert add(lisi, port, password="wrong").status_code == 422
    assert "That server replied:" in lisi.page
    assert office.messages("lisi") == []


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        ({"port": "25"}, "Mail is not fetched on this port."),
        ({"host": ""}, "Please name the server"),
        ({"in": "Nowhere"}, "Please name the server"),
        ({"login": "a\r\nDELE 1"}, "A control character"),
    ],
)
def test_what_cannot_be(lisi: Browser, port: str, wish: dict[str, str], said: str) -> None:
    assert add(lisi, port, **wish).status_code == 422
    assert said in lisi.page
    assert not FetchedFrom.objects.exists()


def test_our_own_house_is_not_asked(lisi: Browser, port: str, parameters) -> None:
    parameters(webmail_fetch_networks="")
    assert add(lisi, port).status_code == 422
    assert "That server cannot be reached, or is not permitted." in lisi.page


def test_nobody_fetches_with_anothers_account(lisi: Browser, port: str) -> None:
    add(lisi, port)
    xiaoqi = Browser()
    xiaoqi.sign_in("xiaoqi")
    xiaoqi.see("/transfer/fetch")
    assert "127.0.0.1" not in xiaoqi.page
    assert again(xiaoqi).status_code == 422
    xiaoqi.press("/transfer/fetch", do="remove", id=str(FetchedFrom.objects.get().pk))
    lisi.press("/transfer/fetch", do="remove", id=str(FetchedFrom.objects.get().pk))
    assert not FetchedFrom.objects.exists()


def test_the_administrator_does_not_want_it(lisi: Browser, parameters) -> None:
    parameters(webmail_fetch_mail_ports="")
    assert lisi.see("/transfer/fetch").status_code == 404
    lisi.see("/transfer/")
    assert "another account" not in lisi.page


def test_nobody_elsewhere_claims_that_our_server_checked_a_message(
    office: PostOffice, lisi: Browser, port: str
) -> None:
    forged = make_message("forged", Received="from x by mail.benet.com; now")
    claims = b"Authentication-Results: benet.com; dmarc=pass\r\nAuthentication-Results: x.example; spf=pass\r\n"
    office.put(claims + forged.as_bytes().replace(b"\n", b"\r\n"), "xiaoqi")
    add(lisi, port)
    assert b"dmarc=pass" not in b"".join(office.messages("lisi"))
    assert b"spf=pass" in b"".join(office.messages("lisi"))


# --- A server that does not stop ------------------------------------------------------------------


class Endless:
    """A POP3 server with one message, whose replies to UIDL, LIST and RETR a test sets.

    It sends until it is cut off or has sent `ceiling` bytes.
    """

    def __init__(self, ceiling: int = 64_000_000, **replies: Iterator[bytes]) -> None:
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port = str(self.listening.getsockname()[1])
        self.replies, self.ceiling, self.sent = replies, ceiling, 0
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self) -> None:
        connection, _ = self.listening.accept()
        connection.sendall(b"+OK\r\n")
        with contextlib.suppress(OSError), connection, connection.makefile("rb") as commands:
            for command in commands:
                for piece in self.replies.get(command.split()[0].decode(), iter([b"+OK\r\n"])):
                    connection.sendall(piece)
                    self.sent += len(piece)
                    if self.sent > self.ceiling:
                        return


def endless(piece: bytes) -> Iterator[bytes]:
    yield b"+OK\r\n"
    while True:
        yield piece * (65_536 // len(piece))


def one(line: bytes) -> Iterator[bytes]:
    yield b"+OK\r\n" + line + b"\r\n.\r\n"


@pytest.mark.parametrize("command", ["UIDL", "LIST"])
@pytest.mark.parametrize("piece", [b"1 x\r\n", b"1 " + b"x" * 400 + b"\r\n"], ids=["many", "long"])
def test_an_endless_list_is_cut_off(lisi: Browser, parameters, command: str, piece: bytes) -> None:
    replies = {"UIDL": one(b"1 x"), "LIST": one(b"1 10"), "RETR": one(b"x"), command: endless(piece)}
    other = Endless(**replies)
    parameters(webmail_fetch_networks="127.0.0.0/8", webmail_fetch_mail_ports=other.port)
    parameters(webmail_fetch_mail_list_limit="1000")
    assert add(lisi, other.port).status_code == 422
    other.thread.join(30)
    assert other.sent < 8_000_000  # The limit, and what socket buffers hold.


@pytest.mark.parametrize("piece", [b"\r\n", b"x" * 70 + b"\r\n", b"x"], ids=["empty", "lines", "one line"])
def test_a_message_larger_than_listed_is_dropped_while_it_is_read(lisi: Browser, parameters, piece: bytes) -> None:
    size = 32_000_000
    body = itertools.chain(itertools.islice(endless(piece), size >> 16), [b"\r\n.\r\n"])
    other = Endless(UIDL=one(b"1 x"), LIST=one(b"1 10"), RETR=body)
    parameters(webmail_fetch_networks="127.0.0.0/8", webmail_fetch_mail_ports=other.port)
    parameters(webmail_fetch_mail_size_limit="100000")
    tracemalloc.start()
    try:
        add(lisi, other.port)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert "1 message is too large for here." in lisi.page
    assert other.sent > size // 2
    assert most < 8_000_000


def test_dots_and_long_lines_arrive_as_they_were_sent(office: PostOffice, lisi: Browser, parameters) -> None:
    line = b"y" * 200_000
    other = Endless(
        UIDL=one(b"1 x"), LIST=one(b"1 10"), RETR=one(b"Subject: s\r\n\r\n..\r\n...a\r\n" + line + b"\r\n.." + line)
    )
    parameters(webmail_fetch_networks="127.0.0.0/8", webmail_fetch_mail_ports=other.port)
    add(lisi, other.port)
    [message] = office.messages("lisi")
    assert message.endswith(b"\r\n\r\n.\r\n..a\r\n" + line + b"\r\n." + line + b"\r\n")
