"""HTTP requests to addresses from untrusted messages, protected against server-side request forgery (SSRF).

Used for remote images and one-click unsubscription; `safe_connect` serves POP3 (`webmail.account.pop3_fetch`).

A host name is resolved once, all its addresses must be public, and the connection is made to the very address that was
checked, so a DNS answer that changes a moment later (rebinding) has no effect. Each redirect is checked again. Only
http and https are allowed, and only the ports of `webmail_fetch_ports`; time and size limits apply to the whole
exchange, not to each packet.
"""

import functools
import http.client
import ipaddress
import logging
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

from mailcore import conf
from webmail.mailserver.server_addresses import tls_context

log = logging.getLogger("webmail.http")

REDIRECTS = 3
LONGEST = 2000  # characters of a URL
_REDIRECTING = frozenset([301, 302, 303, 307, 308])
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class FetchError(Exception):
    """The request was refused by the checks, or the server sent no valid response; `str()` is the reason in English."""


class ServerBusy(FetchError):
    """All threads that may wait for other hosts are in use."""


class _Slots:
    """A counter of the threads of this process that wait for other hosts: at most all but two, which are left for
    pages.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._in_use = 0

    def __enter__(self) -> None:
        with self._lock:
            if self._in_use >= max(1, conf.current().web_threads - 2):
                raise ServerBusy
            self._in_use += 1

    def __exit__(self, *_fault: object) -> None:
        with self._lock:
            self._in_use -= 1


_slots = _Slots()


@dataclass(frozen=True, slots=True)
class HttpResponse:
    status: int
    content: bytes


@dataclass(frozen=True, slots=True)
class _Target:
    """A checked URL: `ip` is the address to connect to, `host` the name to request."""

    secure: bool
    host: str
    ip: str
    port: int
    path: str


def safe_get(url: str) -> HttpResponse:
    """Return the response to GET `url`, following up to REDIRECTS redirects.

    Raise `FetchError` or `ServerBusy`.
    """
    with _slots:
        for _hop in range(REDIRECTS + 1):
            answer, location = _send_request(_resolve_url(url), "GET", b"", "")
            if answer.status not in _REDIRECTING or not location:
                return answer
            url = urljoin(url, location)
    raise FetchError("too many redirects")


def safe_post(url: str, content: bytes, media_type: str) -> HttpResponse:
    """Return the response to one POST; redirects are not followed (RFC 8058 §3.1).

    Raise `FetchError` or `ServerBusy`.
    """
    with _slots:
        return _send_request(_resolve_url(url), "POST", content, media_type)[0]


def is_public(ip: str) -> bool:
    """Return True if `ip` is a public address.

    Private, loopback, link-local, multicast and reserved addresses are not, nor is an IPv6 address that contains such
    an IPv4 address (mapped, 6to4, NAT64, Teredo).
    """
    address = ipaddress.ip_address(ip)
    if any(address in network for network in _allowed(conf.current().webmail_fetch_networks)):
        return True
    return all(_is_public(each) for each in (address, *_embedded_address(address)))


@functools.cache
def _allowed(networks: tuple[str, ...]) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    """Return the networks that the administrator allows besides; invalid ones are logged and skipped."""
    found = []
    for text in networks:
        try:
            found.append(ipaddress.ip_network(text, strict=False))
        except ValueError:
            log.warning("webmail_fetch_networks: “%s” is not a network", text)
    return found


def _is_public(address: _Address) -> bool:
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


def _embedded_address(address: _Address) -> list[_Address]:
    if not isinstance(address, ipaddress.IPv6Address):
        return []
    found: list[_Address | None] = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if address in ipaddress.ip_network("64:ff9b::/96") or int(address) >> 32 == 0:  # NAT64; IPv4-compatible
        found.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return [each for each in found if each is not None]


def _resolve_url(url: str) -> _Target:
    """Check a URL and the host it names.

    Raise `FetchError`.
    """
    if len(url) > LONGEST or any(ord(character) < 33 or ord(character) == 127 for character in url):
        raise FetchError("not a URL")
    try:
        split = urlsplit(url)
        port = split.port or (443 if split.scheme == "https" else 80)
        host = (split.hostname or "").encode("idna" if not (split.hostname or "").isascii() else "ascii").decode()
    except (ValueError, UnicodeError) as error:
        raise FetchError("not a URL") from error
    if split.scheme not in ("http", "https") or not host or split.username is not None:
        raise FetchError("not an http or https URL")
    if str(port) not in conf.current().webmail_fetch_ports:
        raise FetchError("port not permitted")
    path = _ascii(f"{split.path or '/'}?{split.query}" if split.query else split.path or "/")
    return _Target(split.scheme == "https", host, _check_host(host, port), port, path)


def _check_host(host: str, port: int) -> str:
    """Return the IP address to connect to for a host that has only public addresses.

    Raise `FetchError`.
    """
    try:
        found = [str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    except (OSError, UnicodeError) as error:
        raise FetchError("no such host") from error
    if not found or not all("%" not in ip and is_public(ip) for ip in found):
        raise FetchError("not a public host")
    return found[0]


@contextmanager
def safe_connect(host: str, port: int, seconds: float) -> Iterator[socket.socket]:
    """Connect to a public host; the connection is closed after `seconds` in any case.

    Raise `FetchError` or `ServerBusy`; using the connection after its time raises `OSError`.
    """
    with _slots:
        try:
            connection = socket.create_connection(
                (_check_host(host, port), port), conf.current().webmail_fetch_time_limit
            )
        except OSError as error:
            raise FetchError("no connection") from error
        with _close_after(connection, seconds):
            try:
                yield connection
            finally:
                connection.close()


def _ascii(path: str) -> str:
    return "".join(
        character if character.isascii() else "".join(f"%{o:02X}" for o in character.encode("utf-8", "replace"))
        for character in path
    )


def _send_request(target: _Target, method: str, content: bytes, media_type: str) -> tuple[HttpResponse, str]:
    """Send one request to a checked target; return (response, Location)."""
    limits = conf.current()
    client = http.client.HTTPConnection(target.host, target.port)
    try:
        connection = socket.create_connection((target.ip, target.port), limits.webmail_fetch_time_limit)
    except OSError as error:
        raise FetchError("no connection") from error
    try:
        with _close_after(connection, limits.webmail_fetch_time_limit) as timed_out:
            secure = target.secure
            client.sock = tls_context().wrap_socket(connection, server_hostname=target.host) if secure else connection
            client.request(method, target.path, content or None, _headers(media_type))
            response = client.getresponse()
            found = response.read(limits.webmail_fetch_size_limit + 1)
            location = response.getheader("Location") or ""
            coding = response.getheader("Content-Encoding", "identity").strip().lower()
    except (OSError, ssl.SSLError, http.client.HTTPException, ValueError) as error:
        raise FetchError("invalid response") from error
    finally:
        client.close()
        connection.close()
    if timed_out.is_set():
        raise FetchError("too slow")
    if len(found) > limits.webmail_fetch_size_limit or coding not in ("", "identity"):
        raise FetchError("too large, or compressed against our request")
    return HttpResponse(response.status, found), location


@contextmanager
def _close_after(connection: socket.socket, seconds: float) -> Iterator[threading.Event]:
    """Close the connection after `seconds`; the event is set if that happened.

    A server that sends a byte now and then never reaches the socket's own timeout.
    """
    timed_out = threading.Event()
    handle = connection.dup()  # wrap_socket detaches the socket itself
    timer = threading.Timer(seconds, _close_connection, (handle, timed_out))
    timer.daemon = True
    timer.start()
    try:
        yield timed_out
    finally:
        timer.cancel()
        handle.close()


def _close_connection(connection: socket.socket, timed_out: threading.Event) -> None:
    timed_out.set()
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def _headers(media_type: str) -> dict[str, str]:
    """Return request headers that disclose neither the reader nor the program."""
    headers = {"Accept-Encoding": "identity", "User-Agent": "Mozilla/5.0", "Connection": "close"}
    return headers | ({"Content-Type": media_type} if media_type else {"Accept": "image/*"})
