"""Addresses that strangers wrote, asked over HTTP on behalf of a reader: pictures, and being unsubscribed. So are
POP3 servers that a visitor names (`webmail.account.pop3_fetch`).

The guard against being sent around our own house (SSRF): a host is resolved once, all its addresses must
be public, and the connection goes to the very address that was judged, so a name that means something
else a moment later changes nothing. Each redirect is judged anew. Only http and https, only the ports
of `webmail_fetch_ports`; time and size have limits for the whole exchange, not for each packet.
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
LONGEST = 2000  # characters of an address
_REDIRECTING = frozenset([301, 302, 303, 307, 308])
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class FetchError(Exception):
    """Refused by the guard, or the other side did not answer properly; `str()` says why, in English."""


class ServerBusy(FetchError):
    """All threads that may wait for other hosts do so already."""


class _Slots:
    """How many threads of this process may wait for other hosts: all but two, which stay for pages."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken = 0

    def __enter__(self) -> None:
        with self._lock:
            if self._taken >= max(1, conf.current().web_threads - 2):
                raise ServerBusy
            self._taken += 1

    def __exit__(self, *_fault: object) -> None:
        with self._lock:
            self._taken -= 1


_slots = _Slots()


@dataclass(frozen=True, slots=True)
class HttpResponse:
    status: int
    content: bytes


@dataclass(frozen=True, slots=True)
class _Target:
    """Where a checked address leads: `ip` is what is connected to, `host` what is asked for."""

    secure: bool
    host: str
    ip: str
    port: int
    path: str


def safe_get(url: str) -> HttpResponse:
    """What lies at `url`, through up to REDIRECTS redirects. Raises NotFetched, Busy."""
    with _slots:
        for _hop in range(REDIRECTS + 1):
            answer, location = _send_request(_resolve_url(url), "GET", b"", "")
            if answer.status not in _REDIRECTING or not location:
                return answer
            url = urljoin(url, location)
    raise FetchError("too many redirects")


def safe_post(url: str, content: bytes, media_type: str) -> HttpResponse:
    """The answer to one POST; redirects are not followed (RFC 8058 §3.1). Raises NotFetched, Busy."""
    with _slots:
        return _send_request(_resolve_url(url), "POST", content, media_type)[0]


def is_public(ip: str) -> bool:
    """Whether `ip` is out in the world: not private, loopback, link-local, multicast or reserved, nor an
    IPv6 address that carries such an IPv4 one (mapped, 6to4, NAT64, Teredo)."""
    address = ipaddress.ip_address(ip)
    if any(address in network for network in _allowed(conf.current().webmail_fetch_networks)):
        return True
    return all(_is_public(each) for each in (address, *_embedded_address(address)))


@functools.cache
def _allowed(networks: tuple[str, ...]) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    """The administrator's exceptions; one that cannot be read is none, and the log says so."""
    found = []
    for written in networks:
        try:
            found.append(ipaddress.ip_network(written, strict=False))
        except ValueError:
            log.warning("webmail_fetch_networks: “%s” is no network", written)
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
    """Judge an address and the host it names. Raises NotFetched."""
    if len(url) > LONGEST or any(ord(sign) < 33 or ord(sign) == 127 for sign in url):
        raise FetchError("not an address")
    try:
        split = urlsplit(url)
        port = split.port or (443 if split.scheme == "https" else 80)
        host = (split.hostname or "").encode("idna" if not (split.hostname or "").isascii() else "ascii").decode()
    except (ValueError, UnicodeError) as error:
        raise FetchError("not an address") from error
    if split.scheme not in ("http", "https") or not host or split.username is not None:
        raise FetchError("not an address of the web")
    if str(port) not in conf.current().webmail_fetch_ports:
        raise FetchError("not a port of the web")
    path = _ascii(f"{split.path or '/'}?{split.query}" if split.query else split.path or "/")
    return _Target(split.scheme == "https", host, _check_host(host, port), port, path)


def _check_host(host: str, port: int) -> str:
    """The IP address of a host that may be asked. Raises NotFetched."""
    try:
        found = [str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    except (OSError, UnicodeError) as error:
        raise FetchError("no such host") from error
    if not found or not all("%" not in ip and is_public(ip) for ip in found):
        raise FetchError("not a public host")
    return found[0]


@contextmanager
def safe_connect(host: str, port: int, seconds: float) -> Iterator[socket.socket]:
    """A connection to a host that may be asked, which ends after so many seconds whatever happens. Raises NotFetched,
    Busy; OSError once it has ended."""
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
        sign if sign.isascii() else "".join(f"%{o:02X}" for o in sign.encode("utf-8", "replace")) for sign in path
    )


def _send_request(place: _Target, method: str, content: bytes, media_type: str) -> tuple[HttpResponse, str]:
    """One request to a judged place: (answer, Location)."""
    limits = conf.current()
    client = http.client.HTTPConnection(place.host, place.port)
    try:
        connection = socket.create_connection((place.ip, place.port), limits.webmail_fetch_time_limit)
    except OSError as error:
        raise FetchError("no connection") from error
    try:
        with _close_after(connection, limits.webmail_fetch_time_limit) as ended:
            secure = place.secure
            client.sock = tls_context().wrap_socket(connection, server_hostname=place.host) if secure else connection
            client.request(method, place.path, content or None, _headers(media_type))
            response = client.getresponse()
            found = response.read(limits.webmail_fetch_size_limit + 1)
            location = response.getheader("Location") or ""
            coding = response.getheader("Content-Encoding", "identity").strip().lower()
    except (OSError, ssl.SSLError, http.client.HTTPException, ValueError) as error:
        raise FetchError("no proper answer") from error
    finally:
        client.close()
        connection.close()
    if ended.is_set():
        raise FetchError("too slow")
    if len(found) > limits.webmail_fetch_size_limit or coding not in ("", "identity"):
        raise FetchError("too large, or packed though asked not to be")
    return HttpResponse(response.status, found), location


@contextmanager
def _close_after(connection: socket.socket, seconds: float) -> Iterator[threading.Event]:
    """Everything said over the connection meanwhile ends after so many seconds; the event says whether it did. A
    server that sends one byte now and then never meets a socket's own limit."""
    ended = threading.Event()
    handle = connection.dup()  # TLS takes the socket itself away
    clock = threading.Timer(seconds, _close_connection, (handle, ended))
    clock.daemon = True
    clock.start()
    try:
        yield ended
    finally:
        clock.cancel()
        handle.close()


def _close_connection(connection: socket.socket, ended: threading.Event) -> None:
    ended.set()
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def _headers(media_type: str) -> dict[str, str]:
    """Nothing that tells who reads, or with what."""
    headers = {"Accept-Encoding": "identity", "User-Agent": "Mozilla/5.0", "Connection": "close"}
    return headers | ({"Content-Type": media_type} if media_type else {"Accept": "image/*"})
