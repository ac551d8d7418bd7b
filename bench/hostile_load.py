#!/usr/bin/env python
"""A stranger's load: 1,000 connections from ten addresses, while a user reads and an honest client sends.

    bench/hostile_load.py [--seconds N] [--idle-seconds N] [--connections N] [--addresses N] [--only KIND,…] [--bar X]

The stranger has no credentials, knows an account's name, and keeps the connections open from 127.0.1.1, 127.0.1.2, …:
slow bodies, slow headers and uploads on the web, literals on IMAP, idle connections on IMAP, POP3, ManageSieve and
SMTP, and guesses of a password on IMAP, POP3, SMTP and the web. A connection that the server closes is opened again.
Once a second a signed-in user loads the list page, and a client at another address delivers a message. One JSON line
for the median and the 95th percentile of both without the load, with it, and their ratio; then how the connections
fared. Exit status 1 if a ratio reaches --bar or a page or message failed. Stranger, user, client and server share this
machine's cores.
"""

import argparse
import asyncio
import base64
import collections
import contextlib
import http.client
import json
import multiprocessing
import os
import re
import smtplib
import statistics
import sys
import threading
import time
import urllib.parse
from collections.abc import Awaitable, Callable
from multiprocessing.synchronize import Event

from run import MESSAGE, PASSWORD, fill

from demosite import Site, running

USER, VICTIM = "xiaoqi", "lisi"
HONEST_ADDRESS = "127.0.0.2"  # Of the user and of the SMTP client: neither this machine's own nor the stranger's.
# The parameters that the other benchmarks relax, at their defaults; and addresses of loopback are strangers.
ENVIRONMENT = {
    "MAIL_SMTPD_CLIENT_CONNECTION_COUNT_LIMIT": "50",
    "MAIL_MAIL_MAX_USERIP_CONNECTIONS": "10",
    "MAIL_MYNETWORKS": "127.0.0.1/32",
    "MAIL_SMTPD_CLIENT_EVENT_LIMIT_EXCEPTIONS": "127.0.0.1/32",
}
PAUSE = 1.0  # Seconds before a closed connection is opened again, and between two bytes of a slow one.
FORM = b"application/x-www-form-urlencoded"


class Peer:
    """A stranger's connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def ask(self, data: bytes) -> bytes:
        await self.send(data)
        line = await self.reader.readline()
        if not line:
            raise ConnectionError
        return line

    async def wait(self) -> None:
        """Return when the server closes the connection."""
        while await self.reader.read(65536):
            pass

    async def drip(self, data: bytes) -> None:
        """Send a byte at a time until the server closes the connection."""
        closed = asyncio.ensure_future(self.wait())
        try:
            for byte in data:
                await self.send(bytes((byte,)))
                await asyncio.wait([closed], timeout=PAUSE)
                if closed.done():
                    return
            await closed
        finally:
            closed.cancel()


def _post(length: int, kind: bytes = FORM) -> bytes:
    return b"POST /login/ HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n" % (
        kind,
        length,
    )


async def slow_body(peer: Peer) -> None:
    await peer.send(_post(1000))
    await peer.drip(b"a" * 1000)


async def slow_header(peer: Peer) -> None:
    await peer.drip(b"GET /login/ HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: " + b"a" * 1000)


async def upload(peer: Peer) -> None:
    """A file of 100 MB to the log-in page, as fast as it is read."""
    await peer.send(_post(100 << 20, b"multipart/form-data; boundary=b"))
    await peer.send(b'--b\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n')
    while True:
        await peer.send(bytes(65536))


async def chunked_upload(peer: Peer) -> None:
    """A body of unknown length, up to what the log-in page takes."""
    head = _post(0).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    await peer.send(head + b"8000\r\n" + b"a" * 0x8000 + b"\r\n7f00\r\n")
    await peer.drip(b"a" * 0x7F00)


async def imap_literals(peer: Peer) -> None:
    """Commands of very many literals, and of one that never ends."""
    await peer.reader.readline()
    await peer.send(b"a LOGIN" + b" {0+}\r\n" * 10_000 + b"\r\n")
    await peer.send(b"b LOGIN {60000+}\r\n")
    await peer.drip(b"a" * 60_000)


async def idle(peer: Peer) -> None:
    await peer.wait()


async def slow_commands(peer: Peer) -> None:
    await peer.drip(b"NOOP" + b" " * 2000)


async def smtp_transactions(peer: Peer) -> None:
    """Commands that never become a message."""
    await peer.reader.readline()
    await peer.ask(b"HELO other.example\r\n")
    while True:
        await peer.ask(b"MAIL FROM:<a@other.example>\r\n")
        await peer.ask(b"RCPT TO:<%s@benet.com>\r\n" % VICTIM.encode())
        await peer.ask(b"RCPT TO:<nobody@benet.com>\r\n")
        await peer.ask(b"RSET\r\n")
        await asyncio.sleep(PAUSE)


async def guess_imap(peer: Peer) -> None:
    await peer.reader.readline()
    while True:
        await peer.ask(b"a LOGIN %s wrong\r\n" % VICTIM.encode())


async def guess_pop3(peer: Peer) -> None:
    await peer.reader.readline()
    while True:
        await peer.ask(b"USER %s\r\n" % VICTIM.encode())
        await peer.ask(b"PASS wrong\r\n")


async def guess_smtp(peer: Peer) -> None:
    await peer.reader.readline()
    line = await peer.ask(b"EHLO other.example\r\n")
    while line[3:4] == b"-":
        line = await peer.reader.readline()
    response = base64.b64encode(b"\0%s\0wrong" % VICTIM.encode())
    while True:
        await peer.ask(b"AUTH PLAIN " + response + b"\r\n")


async def guess_web(peer: Peer) -> None:
    _, headers, page = await _request(peer, b"GET /login/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    token = re.search(rb'name="csrfmiddlewaretoken" value="([^"]+)"', page)
    cookie = re.search(rb"csrftoken=[^;]+", headers)
    assert token is not None
    assert cookie is not None
    fields = {"username": VICTIM, "password": "wrong", "csrfmiddlewaretoken": token[1].decode()}
    form = urllib.parse.urlencode(fields).encode()
    head = _post(len(form)).replace(b"\r\n\r\n", b"\r\nCookie: " + cookie[0] + b"\r\n\r\n")
    while True:
        await _request(peer, head + form)


async def _request(peer: Peer, request: bytes) -> tuple[bytes, bytes, bytes]:
    """(status line, header, body) of one exchange."""
    status = await peer.ask(request)
    header = b""
    while (line := await peer.reader.readline()) not in (b"\r\n", b""):
        header += line
    length = re.search(rb"(?im)^content-length: *(\d+)", header)
    if length is None:
        raise ConnectionError
    return status, header, await peer.reader.readexactly(int(length[1]))


KINDS: dict[str, tuple[str, Callable[[Peer], Awaitable[None]]]] = {
    "web, slow bodies": ("web", slow_body),
    "web, slow headers": ("web", slow_header),
    "web, uploads": ("web", upload),
    "web, chunked uploads": ("web", chunked_upload),
    "web, guesses": ("web", guess_web),
    "imap, literals": ("imap", imap_literals),
    "imap, idle": ("imap", idle),
    "imap, guesses": ("imap", guess_imap),
    "pop3, idle": ("pop3", idle),
    "pop3, guesses": ("pop3", guess_pop3),
    "sieve, idle": ("sieve", idle),
    "smtp, idle": ("smtp", idle),
    "smtp, slow commands": ("smtp", slow_commands),
    "smtp, transactions": ("smtp", smtp_transactions),
    "submission, guesses": ("submission", guess_smtp),
    "imaps, no handshake": ("imaps", idle),
}


class Stranger:
    """All the connections of the load, on one event loop."""

    def __init__(self, ports: dict[str, int], connections: int, addresses: int, kinds: list[str]) -> None:
        self._ports = ports
        self._opened: collections.Counter[str] = collections.Counter()
        self._refused: collections.Counter[str] = collections.Counter()
        self._open: collections.Counter[str] = collections.Counter()
        self._plan = [(kinds[n // addresses % len(kinds)], f"127.0.1.{n % addresses + 1}") for n in range(connections)]

    async def run(self, ending: Event) -> dict[str, dict[str, int]]:
        tasks = [asyncio.create_task(self._keep_open(*each)) for each in self._plan]
        while not ending.is_set():
            await asyncio.sleep(0.2)
        result = {
            kind: {"opened": self._opened[kind], "refused": self._refused[kind], "open at the end": self._open[kind]}
            for kind in KINDS
            if self._opened[kind]
        }
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return result

    async def _keep_open(self, kind: str, address: str) -> None:
        service, behave = KINDS[kind]
        while True:
            try:
                streams = await asyncio.open_connection("127.0.0.1", self._ports[service], local_addr=(address, 0))
            except OSError:
                self._refused[kind] += 1
                await asyncio.sleep(PAUSE)
                continue
            self._opened[kind] += 1
            self._open[kind] += 1
            try:
                with contextlib.suppress(OSError, asyncio.IncompleteReadError, ValueError):
                    await behave(Peer(*streams))
            finally:
                self._open[kind] -= 1
                streams[1].transport.abort()
            await asyncio.sleep(PAUSE)


def attack(
    ports: dict[str, int], options: argparse.Namespace, kinds: list[str], ending: Event, results: object
) -> None:
    """Run the stranger in a process of its own."""
    result = asyncio.run(Stranger(ports, options.connections, options.addresses, kinds).run(ending))
    used = os.times()
    results.put((result, used.user + used.system))  # type: ignore[attr-defined]


class Reader:
    """A signed-in user of the webmail."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._cookies: dict[str, str] = {}
        page = self._fetch("GET", "/login/")
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)
        assert token is not None
        form = {"username": USER, "password": PASSWORD, "csrfmiddlewaretoken": token[1]}
        self._fetch("POST", "/login/", urllib.parse.urlencode(form))
        self.load()

    def load(self) -> None:
        """Load the list page; raise an error if it is another."""
        if "/mail/" not in self._fetch("GET", "/"):
            raise RuntimeError("this is not the list page")

    def _fetch(self, method: str, path: str, body: str | None = None) -> str:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, 60, source_address=(HONEST_ADDRESS, 0))
        headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in self._cookies.items())}
        if body is not None:
            headers["Content-Type"] = FORM.decode()
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        text = response.read().decode()
        for cookie in response.headers.get_all("Set-Cookie") or ():
            name, _, value = cookie.partition(";")[0].partition("=")
            self._cookies[name] = value
        connection.close()
        return text


def deliver(port: int) -> None:
    """One message of an honest client, from the connection to the reply that takes it."""
    with smtplib.SMTP("127.0.0.1", port, "client.other.example", 60, (HONEST_ADDRESS, 0)) as client:
        client.sendmail("a@other.example", [f"{VICTIM}@benet.com"], MESSAGE.format(n=0))


class Timings:
    """Milliseconds of `work`, done once a second in a thread."""

    def __init__(self, work: Callable[[], None]) -> None:
        self._work = work
        self.spent: list[float] = []
        self.failures: list[str] = []

    def run(self, seconds: float) -> None:
        ends = time.monotonic() + seconds
        while (began := time.monotonic()) < ends:
            try:
                self._work()
            except Exception as error:
                self.failures.append(repr(error)[:120])
            self.spent.append((time.monotonic() - began) * 1000)
            time.sleep(max(0.0, began + 1 - time.monotonic()))

    def summary(self) -> dict[str, float]:
        return {"median": statistics.median(self.spent), "95th": statistics.quantiles(self.spent, n=20)[-1]}


def measure(site: Site, reader: Reader, seconds: float) -> dict[str, Timings]:
    """The list page and the delivery side by side."""
    figures = {"list page": Timings(reader.load), "delivery": Timings(lambda: deliver(site.ports["smtp"]))}
    threads = [threading.Thread(target=each.run, args=(seconds,)) for each in figures.values()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return figures


def emit(**values: object) -> None:
    rounded = {name: round(value, 2) if isinstance(value, float) else value for name, value in values.items()}
    print(json.dumps(rounded), flush=True)


def compare(idle: dict[str, Timings], loaded: dict[str, Timings], bar: float) -> bool:
    """Print the figures; return True if all ratios stay below `bar` and nothing failed."""
    passed = True
    for figure in idle:
        before, during = idle[figure].summary(), loaded[figure].summary()
        for name in before:
            ratio = during[name] / before[name]
            passed = passed and ratio < bar
            emit(figure=f"{figure}, {name}", idle_ms=before[name], loaded_ms=during[name], ratio=ratio)
        failures = idle[figure].failures + loaded[figure].failures
        spent = loaded[figure].spent
        emit(
            figure=f"{figure}, failures", value=len(failures), of=len(spent), slowest_ms=max(spent), errors=failures[:5]
        )
        passed = passed and not failures
    return passed


def run(site: Site, options: argparse.Namespace) -> bool:
    fill(site, options.mailbox_size).logout()
    reader = Reader(site.ports["web"])
    kinds = [each for each in KINDS if not options.only or any(word in each for word in options.only.split(","))]
    measure(site, reader, 5)  # Warm: templates, caches, connections.
    idle_figures = measure(site, reader, options.idle_seconds)
    context = multiprocessing.get_context("spawn")
    ending, results = context.Event(), context.Queue()
    stranger = context.Process(target=attack, args=(site.ports, options, kinds, ending, results))
    before = site.cpu_seconds()
    stranger.start()
    loaded_figures = measure(site, reader, options.seconds)
    ending.set()
    connections, attack_cpu = results.get(timeout=60)
    stranger.join()
    after = site.cpu_seconds()
    passed = compare(idle_figures, loaded_figures, options.bar)
    for kind, counts in connections.items():
        emit(figure=kind, **counts)
    emit(figure="processor seconds", stranger=attack_cpu, **{name: after[name] - before[name] for name in after})
    emit(figure="passed", value=passed, bar=options.bar, seconds=options.seconds, connections=options.connections)
    return passed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--idle-seconds", type=float, default=60)
    parser.add_argument("--connections", type=int, default=1000)
    parser.add_argument("--addresses", type=int, default=10)
    parser.add_argument("--mailbox-size", type=int, default=1000, help="messages in the user's mailbox")
    parser.add_argument("--only", default="", help="words of the kinds wanted, comma separated")
    parser.add_argument("--bar", type=float, default=3.0)
    options = parser.parse_args()
    with running(environment=ENVIRONMENT) as site:
        return 0 if run(site, options) else 1


if __name__ == "__main__":
    sys.exit(main())
