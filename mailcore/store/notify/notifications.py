"""News between processes: "mailbox 7 changed", "there is work in the queue", "settings changed".

News is only a bell: whoever hears it looks at the database, whoever misses it finds out at the next
look. Every process that listens binds one datagram socket in RUN_ROOT, named after its audience;
whoever has news writes to all sockets of that audience and never waits. With REDIS_URL the same words also go
to other machines (`newswire`, imported only then).

`publish` is called by whatever changes a mailbox, inside its transaction: the news goes out on commit.
"""

import os
import socket
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import transaction

from mailcore.store.notify import watchers
from mailcore.store.processes import sockets

if TYPE_CHECKING:
    from mailcore.store.notify.redis_relay import RedisListener

# Audiences: a process listens as one of these.
SERVERS = "servers"  # mailbox and settings news
COURIERS = "couriers"  # queue and settings news
WEBS = "webs"  # settings news

_AUDIENCES = (SERVERS, COURIERS, WEBS)

MAILBOX, QUEUE, SETTINGS = b"M", b"Q", b"S"
EVERYTHING = b"A"  # news may have been missed: look at everything

_sender: socket.socket | None = None
_listeners: tuple[int, dict[str, list[str]]] = (-1, {})
_wires: "dict[int, RedisListener]" = {}  # by the descriptor of the socket they speak to


def publish_mailboxes(mailbox_ids: Iterable[int]) -> None:
    """These mailboxes change when the running transaction commits. The negative of an account's id stands for the
    list of its mailboxes."""
    ids = sorted(set(mailbox_ids))
    if ids:
        transaction.on_commit(lambda: _send_ids(ids), robust=True)


def _send_ids(ids: Sequence[int]) -> None:
    if settings.REDIS_URL or watchers.has_watcher(ids):
        _send_audience(SERVERS, b" ".join([MAILBOX, *(b"%d" % each for each in ids)]))


def notify_couriers() -> None:
    """There is (or may be) work in the queue, once the running transaction commits."""
    transaction.on_commit(lambda: _send_audience(COURIERS, QUEUE), robust=True)


def publish_settings_changed() -> None:
    """Parameters, domains or accounts changed, once the running transaction commits."""
    transaction.on_commit(announce_settings, robust=True)


def announce_settings() -> None:
    """Every process reads its settings anew, now."""
    for audience in _AUDIENCES:
        _send_audience(audience, SETTINGS)


def open_listener(audience: str) -> socket.socket:
    """A non-blocking datagram socket that hears what is said to `audience` from now on. Each datagram
    is words parted by spaces: `M 7 12` (mailbox ids), `Q`, `S`, `A`. Close it with `stop_listening`."""
    settings.RUN_ROOT.mkdir(parents=True, exist_ok=True, mode=0o750)
    name = sockets.own(audience)
    (settings.RUN_ROOT / name).unlink(missing_ok=True)
    hearing = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    hearing.setblocking(False)
    hearing.bind(_short_path(name))
    if settings.REDIS_URL:
        from mailcore.store.notify import redis_relay

        _wires[hearing.fileno()] = redis_relay.RedisListener(
            audience, lambda words: _send_to_sockets([name], words), lambda: _send_to_sockets([name], EVERYTHING)
        )
    return hearing


def count_listeners(audience: str) -> int:
    """How many living processes listen as `audience`."""
    living = 0
    for path in settings.RUN_ROOT.glob(f"{sockets.prefix(audience)}*"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
            living += probe.connect_ex(_short_path(path.name)) == 0
    return living


def close_listener(hearing: socket.socket, audience: str) -> None:
    if (wire := _wires.pop(hearing.fileno(), None)) is not None:
        wire.end()
    hearing.close()
    (settings.RUN_ROOT / sockets.own(audience)).unlink(missing_ok=True)


def read_notifications(hearing: socket.socket) -> set[bytes]:
    """The kinds of everything that was said since; the same news twice is one piece of news."""
    kinds: set[bytes] = set()
    while True:
        try:
            kinds.add(hearing.recv(1 << 16)[:1])
        except BlockingIOError:
            return kinds


_run_root: tuple[Path, int] | None = None


def _short_path(name: str) -> str:
    """A path to a socket in RUN_ROOT short enough for sun_path (108 bytes on Linux)."""
    global _run_root
    path = str(settings.RUN_ROOT / name)
    if len(path.encode()) < 100 or not sys.platform.startswith("linux"):
        return path
    if _run_root is None or _run_root[0] != settings.RUN_ROOT:
        _run_root = (settings.RUN_ROOT, os.open(settings.RUN_ROOT, os.O_RDONLY | os.O_DIRECTORY))
    return f"/proc/self/fd/{_run_root[1]}/{name}"


def _send_audience(audience: str, words: bytes) -> None:
    global _listeners
    if settings.REDIS_URL:
        from mailcore.store.notify import redis_relay

        redis_relay.publish_remote(audience, words)
    try:
        changed = os.stat(settings.RUN_ROOT).st_mtime_ns
    except FileNotFoundError:
        return  # nobody ever listened
    if changed != _listeners[0]:
        names = os.listdir(settings.RUN_ROOT)
        audiences = {a: [n for n in names if n.startswith(sockets.prefix(a))] for a in _AUDIENCES}
        _listeners = (changed, audiences)
    _send_to_sockets(_listeners[1][audience], words)


def _send_to_sockets(names: Iterable[str], words: bytes) -> None:
    global _sender
    if _sender is None:
        _sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        _sender.setblocking(False)
    for name in names:
        try:
            _sender.sendto(words, _short_path(name))
        except ConnectionRefusedError:  # its process died
            (settings.RUN_ROOT / name).unlink(missing_ok=True)
        except OSError:
            pass  # its buffer is full: it has much to look at already; or it has just gone
