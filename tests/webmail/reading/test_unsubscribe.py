"""Leaving a list: by one click, by mail, on its page, or not at all."""

import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from mailcore.servers.transport import tls
from webmail.mailserver import server_addresses
from webmail_fixtures import Browser, PostOffice, make_message

pytestmark = pytest.mark.django_db(transaction=True)

ONE_CLICK = "List-Unsubscribe=One-Click"


class _List(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append((self.path, self.headers["Content-Type"], body.decode(), self.headers["Cookie"]))
        self.send_response(302 if self.path == "/moved" else 404 if self.path == "/gone" else 200)
        self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_words: object) -> None:
        """Not to the screen."""


@pytest.fixture
def mailing_list(office, monkeypatch: pytest.MonkeyPatch, parameters: Callable[..., None]) -> Iterator[HTTPServer]:
    """A list's web server with a certificate this machine trusts."""
    certificate, key = tls._self_signed("localhost")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    server_addresses.tls_context.cache_clear()
    server = HTTPServer(("127.0.0.1", 0), _List)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.asked = []
    parameters(webmail_fetch_networks="127.0.0.1/32", webmail_fetch_ports=str(server.server_port))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()
    server_addresses.tls_context.cache_clear()


def offer(office: PostOffice, field: str, post: str = ONE_CLICK) -> None:
    message = make_message("Angebote", "x\n")
    message["List-Unsubscribe"] = field
    if post:
        message["List-Unsubscribe-Post"] = post
    office.put(message)


def test_one_click(mailing_list, office: PostOffice, lisi: Browser) -> None:
    offer(office, f"<mailto:leave@list.example>, <https://127.0.0.1:{mailing_list.server_port}/leave?id=7>")
    lisi.see("/mail/1")
    assert mailing_list.asked == []  # looking at it asks nobody
    lisi.press("/mail/1/unsubscribe", **{"in": "INBOX"})
    assert "The list has received your request to unsubscribe." in lisi.page
    assert mailing_list.asked == [("/leave?id=7", "application/x-www-form-urlencoded", ONE_CLICK, None)]


@pytest.mark.parametrize("path", ["/moved", "/gone"])
def test_a_list_that_does_not_take_it(mailing_list, office: PostOffice, lisi: Browser, path: str) -> None:
    offer(office, f"<https://127.0.0.1:{mailing_list.server_port}{path}>")
    lisi.see("/mail/1")
    lisi.press("/mail/1/unsubscribe", **{"in": "INBOX"})
    assert "Nothing was changed." in lisi.page
    assert len(mailing_list.asked) == 1


OFFERS = [
    ("<https://list.example/leave>", ONE_CLICK, "Unsubscribe</button>"),
    ("<http://list.example/leave>", ONE_CLICK, "Unsubscribe on its page"),
    ("<https://list.example/leave>", "", "Unsubscribe on its page"),
    ("<mailto:leave@list.example?subject=x>", "", "/compose/?mailto=mailto%3Aleave%40list.example%3Fsubject%3Dx"),
    ("<https://list.example/leave>, <mailto:leave@list.example>", "", "Unsubscribe by mail"),
]


@pytest.mark.parametrize(("field", "post", "shown"), OFFERS)
def test_what_is_offered(office: PostOffice, lisi: Browser, field: str, post: str, shown: str) -> None:
    offer(office, field, post)
    lisi.see("/mail/1")
    assert shown in lisi.page


@pytest.mark.parametrize("field", ["<javascript:alert(1)>", "leave@list.example", "<ftp://list.example/>", "<>"])
def test_what_is_no_offer(office: PostOffice, lisi: Browser, field: str) -> None:
    offer(office, field)
    lisi.see("/mail/1")
    assert "mailing list" not in lisi.page


def test_no_click_reaches_our_own_house(office: PostOffice, lisi: Browser) -> None:
    offer(office, "<https://127.0.0.1/leave>")
    lisi.see("/mail/1")
    lisi.press("/mail/1/unsubscribe", **{"in": "INBOX"})
    assert "Nothing was changed." in lisi.page
