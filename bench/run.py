"""Benchmarks of this machine: one JSON line per figure.

    bench/run.py [--only accept,listing,idle,web] [--messages N] [--messages N]
    bench/run.py --drivers DIR [--only smtp,imap,pop3,web]

The first form measures a demo site of its own with the clients of the standard library. The second runs
the load drivers in DIR (smtp.py, imap.py, pop3.py, web.py) against such a site, so that another server
can be measured by the same drivers in the same run; their own JSON lines are passed through, labelled
youju.
"""

import argparse
import http.cookiejar
import imaplib
import json
import re
import smtplib
import socket
import statistics
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path

from demosite import Site, running

PASSWORD = "123456"
SAMPLE = (
    "From: a@other.example\r\nTo: {to}\r\nSubject: message {n}\r\n\r\n"
    + "the quick brown fox jumps over the dog\r\n" * 100
)
MESSAGE = (
    "From: =?utf-8?B?5p2O5Zub?= <person{n}@other.example>\r\nTo: xiaoqi@benet.com\r\nCc: c{n}@other.example\r\n"
    "Subject: report {n} of the quarter\r\nMessage-ID: <{n}@bench>\r\nDate: Sun, 22 Nov 2026 10:00:00 +0800\r\n"
    "MIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\n"
    "Content-Type: text/plain; charset=utf-8\r\n\r\nplain {n}\r\n--b\r\n"
    "Content-Type: text/html\r\n\r\n<p>html {n}\r\n--b--\r\n"
)


def emit(figure: str, value: float, unit: str, **more: object) -> None:
    print(json.dumps({"figure": figure, "value": float(f"{value:.4g}"), "unit": unit, **more}), flush=True)


def accept(site: Site, options: argparse.Namespace) -> None:
    """Messages of 4 KiB over ten sessions, from the first connection to the last one in its mailbox."""
    share = options.messages // 10

    def session(number: int) -> None:
        with smtplib.SMTP("127.0.0.1", site.ports["smtp"]) as client:
            for n in range(share):
                to = f"user{(number * share + n) % 100:03d}@benet.com"
                client.sendmail("a@other.example", [to], SAMPLE.format(to=to, n=n))

    before, began = site.cpu_seconds(), time.perf_counter()
    threads = [threading.Thread(target=session, args=(number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    accepted = time.perf_counter() - began
    site.await_empty_queue()
    visible = time.perf_counter() - began
    spent = {name: after - before[name] for name, after in site.cpu_seconds().items()}
    count = share * 10
    emit("accept_4k_s10", count / accepted, "messages/s", messages=count)
    emit("end_to_end_4k_s10", count / visible, "messages/s", messages=count)
    emit(
        "cpu_per_1000_messages",
        sum(spent.values()) / count * 1000,
        "s",
        processes={k: round(v, 2) for k, v in spent.items()},
    )


def fill(site: Site, messages: int) -> imaplib.IMAP4:
    client = imaplib.IMAP4("127.0.0.1", site.ports["imap"])
    client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    client.login("xiaoqi", PASSWORD)
    have = int(client.select("INBOX")[1][0] or 0)
    for n in range(have, messages):
        client.append("INBOX", None, None, MESSAGE.format(n=n).encode())
    client.select("INBOX")
    return client


def timed(work: Callable[[], object], times: int = 5) -> float:
    """Median, milliseconds."""
    spent = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        spent.append(time.perf_counter() - began)
    return statistics.median(spent) * 1000


def listing(site: Site, options: argparse.Namespace) -> None:
    """A whole mailbox's envelopes, flags and structures in one command each.

    Read raw: a client that parses would measure itself.
    """
    fill(site, options.mailbox_size).logout()
    with socket.create_connection(("127.0.0.1", site.ports["imap"])) as sock:
        file = sock.makefile("rb")
        file.readline()

        def command(text: str) -> None:
            sock.sendall(f"t {text}\r\n".encode())
            held = b"\r\n"
            while not (held.endswith(b"\r\n") and held.rpartition(b"\r\nt OK")[1]):
                held = held[-4096:] + sock.recv(1 << 20)

        command(f"LOGIN xiaoqi {PASSWORD}")
        command("SELECT INBOX")
        for name, items in {
            "envelope": "(UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE)",
            "flags": "(UID FLAGS)",
            "bodystructure": "(BODYSTRUCTURE)",
        }.items():
            emit(
                f"imap_fetch_{name}",
                timed(lambda items=items: command(f"FETCH 1:* {items}")),
                "ms",
                messages=options.mailbox_size,
            )


def idle(site: Site, options: argparse.Namespace) -> None:
    """From SMTP's 250 to the untagged EXISTS in a session that idles."""
    with socket.create_connection(("127.0.0.1", site.ports["imap"])) as sock:
        file = sock.makefile("rb")
        file.readline()
        for line in (f"a LOGIN lisi {PASSWORD}", "b SELECT INBOX"):
            sock.sendall(f"{line}\r\n".encode())
            while not file.readline().startswith(line[:1].encode() + b" OK"):
                pass
        sock.sendall(b"c IDLE\r\n")
        file.readline()
        spent = []
        with smtplib.SMTP("127.0.0.1", site.ports["smtp"]) as client:
            for n in range(20):
                client.sendmail("a@other.example", ["lisi@benet.com"], SAMPLE.format(to="lisi", n=n))
                began = time.perf_counter()
                while b"EXISTS" not in file.readline():
                    pass
                spent.append((time.perf_counter() - began) * 1000)
                time.sleep(0.05)
        emit("imap_idle_notice", statistics.median(spent), "ms", slowest=round(max(spent), 1))


def web(site: Site, options: argparse.Namespace) -> None:
    """The list page of a large mailbox and one message, signed in, over one kept session."""
    fill(site, options.mailbox_size).logout()
    base = f"http://127.0.0.1:{site.ports['web']}"
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))
    page = opener.open(f"{base}/login/").read().decode()
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)
    assert token is not None
    form = {"username": "xiaoqi", "password": PASSWORD, "csrfmiddlewaretoken": token[1]}
    opener.open(f"{base}/login/", urllib.parse.urlencode(form).encode())
    page = opener.open(f"{base}/").read().decode()
    link = re.search(r'href="(/mail/[^"]+)"', page)
    assert link is not None
    emit(
        "web_list_page",
        timed(lambda: opener.open(f"{base}/").read(), 30),
        "ms",
        messages=options.mailbox_size,
        bytes=len(page),
    )
    path = link[1].replace("&amp;", "&")
    emit("web_open_message", timed(lambda: opener.open(f"{base}{path}").read(), 30), "ms")


OWN = {"accept": accept, "listing": listing, "idle": idle, "web": web}


def drive(site: Site, drivers: Path, wanted: list[str]) -> None:
    """The drivers in `drivers`, one after the other; what they print goes to standard output."""
    ports = [f"--{name}-port={site.ports[name]}" for name in ("smtp", "imap", "pop3")]
    for name in wanted or ["smtp", "imap", "pop3", "web"]:
        more = []
        if name == "web":
            more = [
                f"--url=http://127.0.0.1:{site.ports['web']}",
                "--site=form",
                "--login-path=/login/",
                "--user-field=username",
                "--list-path=/",
            ]
        subprocess.run(
            [
                *(sys.executable, str(drivers / f"{name}.py"), "--label", "youju", "--settle", "5", *ports),
                *("--server-pids", str(site.pids["supervisor"]), *more),
            ],
            check=False,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="comma separated")
    parser.add_argument("--messages", type=int, default=3000, help="messages sent in the SMTP figures")
    parser.add_argument(
        "--mailbox-size", type=int, default=10_000, help="messages in the mailbox of the IMAP and POP3 figures"
    )
    parser.add_argument("--drivers", type=Path, help="a folder with load drivers")
    options = parser.parse_args()
    wanted = [word for word in options.only.split(",") if word]
    with running(users=100) as site:
        if options.drivers:
            drive(site, options.drivers, wanted)
        else:
            for name in wanted or OWN:
                OWN[name](site, options)


if __name__ == "__main__":
    main()
