"""Fuzz the SMTP server: sessions of random, broken and hostile commands against the real session code.

    make fuzz ARGS="--sessions 1000000 --seed 7"

Sessions run in one process on an in-memory transport: no sockets, all else real, but that messages are
discarded where they would enter the queue (an access table says so). Each is cut into pieces at random. What
must hold for every one: each line of output is a standard reply, no command ends in "internal error", the
session ends, and memory does not grow.
"""

import argparse
import asyncio
import gc
import json
import os
import random
import re
import resource
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

REPLY = re.compile(rb"[2-5]\d\d[ -](?:[245]\.\d{1,3}\.\d{1,3} )?[\x20-\x7e\x80-\xff]*\r\n")
_WORDS = [
    *("HELO", "EHLO", "LHLO", "MAIL FROM:", "RCPT TO:", "DATA", "BDAT", "RSET", "NOOP", "VRFY", "ETRN", "HELP", "QUIT"),
    *("AUTH", "STARTTLS", "EXPN", "GET /", "Subject: x", "XYZZY", "", " ", ".", "mail from:", "rcpt to:", "data"),
]
_ADDRESSES = [
    *("<lisi@benet.com>", "<>", "<a@other.example>", "lisi", "<all@benet.com>", "<@a:lisi@benet.com>", "a b", "<a@@b>"),
    *('<"li si"@benet.com>', "<a%b@benet.com>", "<b!a@benet.com>", "<lisi@[127.0.0.1]>", "<lisi@benet.com", "<\0>"),
    *(
        "<李四@例子.中国>",
        "<" + "a" * 70 + "@b>",
        "<a@" + "b." * 200 + "c>",
        '<"\\">',
        "<lisi+x@BENET.COM.>",
        "<postmaster>",
    ),
]
_OPTIONS = [
    *("", "", "", " SIZE=100", " SIZE=99999999999", " SIZE=x", " BODY=8BITMIME", " BODY=x", " SMTPUTF8", " RET=HDRS"),
    *(" ENVID=+", " NOTIFY=NEVER", " NOTIFY=x", " ORCPT=rfc822;a+40b", " AUTH=<>", " HOLDFOR=1", " X", " ="),
    *(" SIZE=1 SIZE=2", " NOTIFY=SUCCESS,FAILURE", " ORCPT=x"),
]
_CONTENT = [
    *(b"Subject: x\r\n\r\n", b"a line\r\n", b"..\r\n", b".", b"\r\n", b"\n", b"\r", b"\r\n.\r\n", b"\n.\r\n"),
    *(b"\r\n.\n", b"Received: x\r\n" * 60, b"x" * 3000, b"\0\xff\xfe", b"Delivered-To: lisi@benet.com\r\n"),
]


def session(chance: random.Random) -> bytes:
    """Return the bytes of one client session."""
    parts = [b"EHLO x\r\n"] if chance.random() < 0.8 else []
    parts += [_command(chance) for _ in range(chance.randrange(1, 14))]
    if chance.random() < 0.05:
        parts.append(chance.randbytes(chance.randrange(300)))
    if chance.random() < 0.02:
        parts.append(b"A" * 70000 + b"\r\n")
    return b"".join(parts)


def _command(chance: random.Random) -> bytes:
    kind = chance.random()
    if kind < 0.25:  # a message, more or less
        body = b"".join(chance.choices(_CONTENT, k=chance.randrange(5)))
        end = b"\r\n.\r\n" if chance.random() < 0.8 else b""
        return b"MAIL FROM:<a@other.example>\r\nRCPT TO:<lisi@benet.com>\r\nDATA\r\n" + body + end
    if kind < 0.32:
        body = b"".join(chance.choices(_CONTENT, k=chance.randrange(3)))
        return b"BDAT %d%s\r\n" % (len(body) + chance.choice((0, 0, 0, 1, -1)), chance.choice((b"", b" LAST"))) + body
    word = chance.choice(_WORDS)
    line = word + chance.choice(("", " ", "x")) * chance.randrange(2)
    if word.upper().startswith(("MAIL", "RCPT", "VRFY")) or chance.random() < 0.2:
        line += chance.choice(_ADDRESSES) + chance.choice(_OPTIONS)
    raw = line.encode("utf-8", "surrogateescape")
    if chance.random() < 0.05 and raw:
        at = chance.randrange(len(raw))
        raw = raw[:at] + chance.randbytes(1) + raw[at:]
    return raw + chance.choice((b"\r\n", b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r"))


class Wire(asyncio.Transport):
    """The transport of a session without a socket."""

    def __init__(self) -> None:
        super().__init__({"peername": ("192.0.2.7", 4711)})
        self.said = bytearray()
        self.protocol: Any = None
        self._closing = False

    def write(self, data: bytes) -> None:  # type: ignore[override]
        self.said += data

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)

    abort = close

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


async def converse(server: Any, data: bytes, chance: random.Random) -> bytes:
    """Play one session to its end; what was answered."""
    from mailcore.servers.smtp.session import SmtpSession

    wire = Wire()
    protocol = wire.protocol = SmtpSession(server, asyncio.get_running_loop())
    protocol.connection_made(wire)
    start = 0
    while start < len(data) and not wire.is_closing():
        end = start + chance.choice((1, 7, 60, 500, 5000, 100_000))
        protocol.data_received(data[start:end])
        start = end
        await asyncio.sleep(0)
    if not wire.is_closing():
        protocol.eof_received()
    await protocol._handler_coroutine
    await asyncio.sleep(0)
    return bytes(wire.said)


class Broken(Exception):
    """A session that did not go as it must."""


def judge(said: bytes) -> Counter[str]:
    """How often each reply code came. Broken: something was no standard reply, or an internal error."""
    for line in said.splitlines(keepends=True):
        if not REPLY.fullmatch(line) and not line.startswith(b"334"):
            raise Broken(f"no reply: {line!r}")
        if b"internal error" in line:
            raise Broken("internal error")
    return Counter(line[:3].decode() for line in said.split(b"\r\n") if line[3:4] == b" ")


async def run(sessions: int, seed: int, report: float) -> dict[str, Any]:
    """Play so many sessions; figures. Broken: with the seed of the session that went wrong."""
    from mailcore.mta.queue import queue_ids
    from mailcore.servers.concurrency.executor import Executor
    from mailcore.servers.smtp import SmtpServer
    from mailcore.servers.smtp.committer import Committer

    executor = Executor(2)
    queue_ids.reserve_ahead()
    server = SmtpServer("smtp", executor, None, Committer(executor))
    codes: Counter[str] = Counter()
    start = told = time.monotonic()
    settled = 0
    for number in range(sessions):
        chance = random.Random(seed * 1_000_003 + number)
        data = session(chance)
        try:
            async with asyncio.timeout(30):
                codes += judge(await converse(server, data, chance))
        except Exception as error:
            raise Broken(
                f"session {number} of seed {seed}: {type(error).__name__}: {error}: {bytes[:2000]!r}"
            ) from error
        if number == min(sessions // 10, 20_000):
            gc.collect()
            settled = _resident()
        if report and time.monotonic() - told > report:
            told = time.monotonic()
            print(
                f"{number + 1} sessions, {(number + 1) / (told - start):.0f}/s, {_resident() // 1024} KiB", flush=True
            )
    seconds = time.monotonic() - start
    gc.collect()
    left = len(server.sessions)
    executor.close()
    return {
        "sessions": sessions,
        "seconds": round(seconds, 1),
        "sessions_per_second": round(sessions / seconds),
        "codes": dict(sorted(codes.items())),
        "sessions_left": left,
        "grown_kib": (_resident() - settled) // 1024,
    }


def _resident() -> int:
    """Bytes of memory this process has now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="fuzz-")
    os.environ.update(DATA_DIR=folder, DJANGO_ALLOW_ASYNC_UNSAFE="true", DJANGO_SETTINGS_MODULE="mailcore.settings")
    for name in [name for name in os.environ if name.startswith("MAIL_") or name == "DATABASE_URL"]:
        del os.environ[name]
    os.environ.update(
        MAIL_MYHOSTNAME="mail.benet.com", MAIL_MYDOMAIN="benet.com", MAIL_MYNETWORKS="",
        MAIL_SMTPD_PEERNAME_LOOKUP="no", MAIL_DIRECT_DELIVERY="no",
        MAIL_SMTPD_ERROR_SLEEP_TIME="0", MAIL_SMTPD_FORBID_UNAUTH_PIPELINING="no", MAIL_MAILLOG_FILE="/dev/null",
        MAIL_SMTPD_HARD_ERROR_LIMIT="1000", MAIL_VIRTUAL_MAILBOX_LIMIT="0", MAIL_MAILBOX_SIZE_LIMIT="0",
        MAIL_SMTPD_END_OF_DATA_RESTRICTIONS="check_sender_access senders",
    )  # fmt: skip
    import django

    django.setup()
    prepare()
    try:
        figures = asyncio.run(run(options.sessions, options.seed, 30.0))
    except Broken as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(figures))
    return 0


def prepare() -> None:
    """benet.com with lisi and a group, whose messages nobody keeps."""
    from django.core.management import call_command

    from mailcore.mta.queue import content_files
    from mailcore.store import directory
    from mailcore.store.settings import lookup_tables

    call_command("migrate", verbosity=0)
    content_files.make_directories()
    directory.create_domain("benet.com")
    directory.create_account("lisi@benet.com", "correct horse battery")
    directory.create_alias("all@benet.com", ["lisi@benet.com"])
    # Messages go all the way but into the queue: the database is not what is fuzzed.
    lookup_tables.replace_entries("senders", {"other.example": "DISCARD"})


if __name__ == "__main__":
    sys.exit(main())
