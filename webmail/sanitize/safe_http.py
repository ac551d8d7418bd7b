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
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")  # all that IANA gives out; else ULA, site-local, discard-only, …
_MAPPED = ipaddress.ip_network("::ffff:0:0/96")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
# The IANA special-purpose address registries, besides what `ipaddress` knows: its list differs from one version of
# Python to the next. Anycast services of a network (AS112, AMT) and all tunnels are left out too: no picture is there.
_SPECIAL: dict[int, tuple[_Network, ...]] = {
    4: tuple(
        map(
            ipaddress.ip_network,
            (
                *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
                *("192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24"),
                *("192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24"),
                *("224.0.0.0/4", "240.0.0.0/4"),
            ),
        )
    ),
    # 2001::/23 has Teredo (2001::/32), benchmarking, and ORCHID; 2002::/16 is 6to4.
    6: tuple(
        map(
            ipaddress.ip_network,
            ("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20"),
        )
    ),
}


class FetchError(Exception):
    """The request was refused by the checks, or the server sent no valid response; `str()` is the reason in English."""


class ServerBusy(FetchError):
    """All threads that may wait for other hosts are in use."""


class _Slots:
    """A counter of the threads of this process that wait for other hosts.

    At most all but two may wait; these are left for pages.
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

    Addresses of the IANA special-purpose registries (RFC 6890) are not, nor is an IPv6 address that contains such an
    IPv4 address. `webmail_fetch_networks` allows further networks, `webmail_fetch_blocked_networks` refuses some.
    """
    address = ipaddress.ip_address(ip)
    parameters = conf.current()
    if any(address in network for network in _networks(parameters.webmail_fetch_networks)):
        return True
    blocked = _networks(parameters.webmail_fetch_blocked_networks)
    return all(
        _is_public(each) and not any(each in network for network in blocked)
        for each in _embedded_address(address) or [address]
    )


@functools.cache
def _networks(networks: tuple[str, ...]) -> list[_Network]:
    """Return the networks of a parameter; invalid ones are logged and skipped."""
    found = []
    for text in networks:
        try:
            found.append(ipaddress.ip_network(text, strict=False))
        except ValueError:
            log.warning("webmail_fetch_networks or webmail_fetch_blocked_networks: “%s” is not a network", text)
    return found


def _is_public(address: _Address) -> bool:
    if address.version == 6 and address not in _GLOBAL_UNICAST:
        return False
    return address.is_global and not any(address in network for network in _SPECIAL[address.version])


def _embedded_address(address: _Address) -> list[_Address]:
    """Return the IPv4 address in an IPv6 address, and the IPv6 address itself if that is what routers see.

    Mapped addresses reach the IPv4 address from this host (RFC 4291 §2.5.5.2), those of NAT64 by a translator (RFC
    6052 §2.1), those of ISATAP by a router of their network (RFC 5214 §6.1).
    """
    if not isinstance(address, ipaddress.IPv6Address):
        return []
    last = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    if address in _MAPPED or address in _NAT64:
        return [last]
    return [address, last] if int(address) >> 32 & 0xFDFFFFFF == 0x00005EFE else []


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
