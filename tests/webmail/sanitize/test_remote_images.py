"""Pictures from the network: fetched by us, from nobody but public hosts, shown as nothing but pictures."""

import gzip
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.mta.smtp.conftest import authority  # noqa: F401  (fixture)
from tests.webmail.views.test_message import PIXEL
from webmail.sanitize import remote_images, safe_http
from webmail_fixtures import Browser, PostOffice, make_message

pytestmark = pytest.mark.django_db(transaction=True)

CONTENT = {  # path: (status, headers, bytes)
    "/logo.png": (200, {"Content-Type": "image/png"}, PIXEL),
    "/mislabelled": (200, {"Content-Type": "text/html"}, PIXEL),
    "/page.png": (200, {"Content-Type": "image/png"}, b"<script>alert(1)</script>"),
    "/drawing.svg": (200, {"Content-Type": "image/svg+xml"}, b"<svg onload='alert(1)'/>"),
    "/gone.png": (404, {}, PIXEL),
    "/large.png": (200, {}, PIXEL + bytes(20_000)),
    "/packed.png": (200, {"Content-Encoding": "gzip"}, gzip.compress(PIXEL)),
    "/moved": (302, {"Location": "/logo.png"}, b""),
    "/round": (302, {"Location": "/round"}, b""),
    "/inward": (302, {"Location": "http://169.254.169.254/latest/meta-data/"}, b""),
    "/file": (302, {"Location": "file:///etc/passwd"}, b""),
}


class _Host(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.server.asked.append((self.path, dict(self.headers)))
        status, headers, data = CONTENT[self.path]
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_words: object) -> None:
        """Not to the screen."""


@pytest.fixture
def host(parameters: Callable[..., None]) -> Iterator[ThreadingHTTPServer]:
    """A web server on this machine that the address guard permits."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Host)
    server.asked = []
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    parameters(webmail_fetch_networks="127.0.0.1/32", webmail_fetch_ports=str(server.server_port), webmail_fetch_size_limit="10000")  # fmt: skip
    server.url = f"http://127.0.0.1:{server.server_port}"
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize("path", ["/logo.png", "/mislabelled", "/moved"])
def test_a_picture_is_handed_on_as_what_it_is(host, browser: Browser, path: str) -> None:
    response = browser.get(remote_images.proxy_address(host.url + path))
    assert response.content == PIXEL
    assert response["Content-Type"] == "image/png"
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["Content-Security-Policy"].startswith("sandbox; default-src 'none'")
    [(_path, headers), *_rest] = host.asked
    assert not {"Cookie", "Referer"} & headers.keys()


@pytest.mark.parametrize("path", ["/page.png", "/drawing.svg", "/gone.png", "/large.png", "/packed.png", "/round", "/inward", "/file"])  # fmt: skip
def test_what_is_not_handed_on(host, browser: Browser, path: str) -> None:
    assert browser.get(remote_images.proxy_address(host.url + path)).status_code == 404


def test_only_addresses_we_signed(host, browser: Browser) -> None:
    good = remote_images.proxy_address(host.url + "/logo.png")
    assert browser.get(good[:-1] + ("A" if good[-1] != "A" else "B")).status_code == 404
    assert browser.get("/picture/" + host.url.replace("/", "%2F")).status_code == 404
    assert host.asked == []


PRIVATE = [
    "127.0.0.1", "127.1.2.3", "0.0.0.0", "10.0.0.1", "172.16.5.5", "192.168.1.1", "169.254.169.254", "100.64.0.1",
    "192.0.2.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "::", "::1", "fe80::1", "fc00::1", "ff02::1",
    "2001:db8::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "::127.0.0.1",
    # The rest of the IANA special-purpose registries, and addresses of clouds' own services.
    "192.0.0.1", "192.0.0.8", "192.0.0.170", "192.0.0.192", "192.31.196.1", "192.52.193.1", "192.88.99.1", "192.175.48.1",
    "198.51.100.1", "203.0.113.1", "100.100.100.200", "168.63.129.16", "239.255.255.250", "0.1.2.3",
    "fec0::1", "febf::1", "fd00:ec2::254", "100::1", "100:0:0:1::1", "5f00::1", "4000::1", "::2", "ff0e::1",
    "2001::1", "2001:0:909:909::1", "2001:2::1", "2001:10::1", "2001:20::1", "2001:30::1",
    "2001:1::1", "2001:4:112::1", "2620:4f:8000::1", "3fff::1", "3fff:fff::1", "2002:909:909::1",
    # IPv4 inside IPv6: NAT64 (also the local prefix), translated, mapped, compatible, ISATAP.
    "64:ff9b::a9fe:a9fe", "64:ff9b::a83f:8110", "64:ff9b::c000:aa", "64:ff9b:1::909:909", "::ffff:0:909:909",
    "::ffff:168.63.129.16", "::ffff:192.0.0.1", "::9.9.9.9", "2620:fe::5efe:10.0.0.1", "2620:fe::200:5efe:127.0.0.1",
]  # fmt: skip


@pytest.mark.parametrize("ip", PRIVATE)
def test_no_host_of_our_own(ip: str) -> None:
    assert not safe_http.is_public(ip)
    with pytest.raises(safe_http.FetchError, match="not a public host"):
        safe_http.safe_get(f"http://[{ip}]/" if ":" in ip else f"http://{ip}/")


@pytest.mark.parametrize(
    "ip", ["9.9.9.9", "2620:fe::9", "2400:cb00::1", "::ffff:9.9.9.9", "64:ff9b::909:909", "192.0.1.1", "168.63.129.17"]
)
def test_the_world_is_public(ip: str) -> None:
    assert safe_http.is_public(ip)


ODD = [
    "http://localhost/", "http://2130706433/", "http://0x7f.1/", "http://127.1/", "http://0177.0.0.1/", "http://[::1%25lo]/",
    "http://127.0.0.1:22/", "http://9.9.9.9:25/", "ftp://9.9.9.9/", "file:///etc/passwd", "gopher://9.9.9.9/", "//9.9.9.9/",
    "http://user@9.9.9.9/", "http://9.9.9.9:99999/", "http://9.9.9.9/a b", "http://9.9.9.9/\r\nHost: x", "http://", "http://[", "",
    "http://" + "a" * 300 + "/", "http://9.9.9.9/" + "a" * 3000,
]  # fmt: skip


@pytest.mark.parametrize("url", ODD)
def test_odd_addresses_lead_nowhere(url: str) -> None:
    with pytest.raises(safe_http.FetchError):
        safe_http.safe_get(url)


@pytest.mark.parametrize("secure", [False, True])
def test_a_host_that_drips_is_left(parameters: Callable[..., None], authority, monkeypatch, secure: bool) -> None:  # noqa: F811
    """It never stops to send; the clock for the whole answer does."""
    theirs = authority.context("slow.example")
    ours = ssl.create_default_context(cafile=authority.file)
    ours.check_hostname = False  # it is asked for by its number
    monkeypatch.setattr(safe_http, "tls_context", lambda: ours)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        parameters(webmail_fetch_networks="127.0.0.1/32", webmail_fetch_ports=str(port), webmail_fetch_time_limit="1s")
        left = threading.Event()

        def drip() -> None:
            connection, _peer = listening.accept()
            if secure:
                connection = theirs.wrap_socket(connection, server_side=True)
            with connection:
                connection.settimeout(0.1)
                try:
                    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                    while True:
                        connection.sendall(b"x")
                        left.wait(0.2)
                except OSError:
                    left.set()

        thread = threading.Thread(target=drip)
        thread.start()
        with pytest.raises(safe_http.FetchError):
            safe_http.safe_get(f"{'https' if secure else 'http'}://127.0.0.1:{port}/")
        assert left.wait(10)
        thread.join()


def test_a_senders_pictures_are_always_wanted(host, office: PostOffice, lisi: Browser) -> None:
    message = make_message("Werbung", sender="Shop <News@shop.example>")
    message.set_content(f'<img src="{host.url}/logo.png">', subtype="html")
    office.put(message)
    lisi.see("/mail/1")
    assert "Show images" in lisi.page
    lisi.press("/mail/1/pictures", always="1", **{"in": "INBOX"})
    assert "Pictures from News@shop.example are always loaded." in lisi.page
    [frame] = re.findall(r'<iframe src="([^"]*)"', lisi.page)
    [source] = re.findall(r'<img src="([^"]*)"', lisi.see(frame).content.decode())
    assert lisi.get(source).content == PIXEL
    lisi.see("/mail/1")
    lisi.press("/mail/1/pictures", always="0", **{"in": "INBOX"})
    assert "Show images" in lisi.page
