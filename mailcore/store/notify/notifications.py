"""Notifications between processes: "mailbox 7 changed", "there is work in the queue", "settings changed".

A notification is a hint: its receiver looks at the database, and a process that missed one finds out at its next look.
Every listening process binds one datagram socket in RUN_ROOT, named after its audience; senders write to all sockets of
that audience and never block. With REDIS_URL the same payload also goes to other machines (`redis_relay`, imported only
then).

`publish_mailboxes` is called by everything that changes a mailbox, inside its transaction: the notification is sent on
commit.
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

# Audiences: each listening process belongs to one of these.
SERVERS = "servers"  # changes of mailboxes and settings
COURIERS = "couriers"  # work in the queue and changes of settings
WEBS = "webs"  # changes of settings

_AUDIENCES = (SERVERS, COURIERS, WEBS)

MAILBOX, QUEUE, SETTINGS = b"M", b"Q", b"S"
EVERYTHING = b"A"  # notifications may have been missed: check everything

_sender: socket.socket | None = None
_listeners: tuple[int, dict[str, list[str]]] = (-1, {})
_redis_listeners: "dict[int, RedisListener]" = {}  # by the descriptor of the socket they write to


def publish_mailboxes(mailbox_ids: Iterable[int]) -> None:
    """Notify the servers on commit that these mailboxes changed.

    The negative of an account's id stands for the list of its mailboxes.
    """
    ids = sorted(set(mailbox_ids))
    if ids:
        transaction.on_commit(lambda: _send_ids(ids), robust=True)


def _send_ids(ids: Sequence[int]) -> None:
    if settings.REDIS_URL or watchers.has_watcher(ids):
        _send_audience(SERVERS, b" ".join([MAILBOX, *(b"%d" % each for each in ids)]))


def notify_couriers() -> None:
    """Notify the couriers on commit that there is, or may be, work in the queue."""
    transaction.on_commit(lambda: _send_audience(COURIERS, QUEUE), robust=True)


def publish_settings_changed() -> None:
    """Notify every process on commit that parameters, domains or accounts changed."""
    transaction.on_commit(announce_settings, robust=True)


def announce_settings() -> None:
    """Notify every process now to read its settings again."""
    for audience in _AUDIENCES:
        _send_audience(audience, SETTINGS)


def open_listener(audience: str) -> socket.socket:
    """Return a non-blocking datagram socket that receives the notifications sent to `audience` from now on.

    Each datagram is words separated by spaces: `M 7 12` (mailbox ids), `Q`, `S`, `A`. Close it with `close_listener`.
    """
    settings.RUN_ROOT.mkdir(parents=True, exist_ok=True, mode=0o750)
    name = sockets.own(audience)
    (settings.RUN_ROOT / name).unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.setblocking(False)
    listener.bind(_short_path(name))
    if settings.REDIS_URL:
        from mailcore.store.notify import redis_relay

        _redis_listeners[listener.fileno()] = redis_relay.RedisListener(
            audience, lambda payload: _send_to_sockets([name], payload), lambda: _send_to_sockets([name], EVERYTHING)
        )
    return listener


def count_listeners(audience: str) -> int:
    """Return the number of live processes that listen as `audience`."""
    live = 0
    for path in settings.RUN_ROOT.glob(f"{sockets.prefix(audience)}*"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
            live += probe.connect_ex(_short_path(path.name)) == 0
    return live


def close_listener(listener: socket.socket, audience: str) -> None:
    """Close a socket of `open_listener` and remove its name."""
    if (redis_listener := _redis_listeners.pop(listener.fileno(), None)) is not None:
        redis_listener.close()
    listener.close()
    (settings.RUN_ROOT / sockets.own(audience)).unlink(missing_ok=True)


def read_notifications(listener: socket.socket) -> set[bytes]:
    """Read all waiting notifications and return their kinds, each once."""
    kinds: set[bytes] = set()
    while True:
        try:
            kinds.add(listener.recv(1 << 16)[:1])
        except BlockingIOError:
            return kinds


_run_root: tuple[Path, int] | None = None


def _short_path(name: str) -> str:
    """Return a path to a socket in RUN_ROOT that is short enough for sun_path (108 bytes on Linux)."""
    global _run_root
    path = str(settings.RUN_ROOT / name)
    if len(path.encode()) < 100 or not sys.platform.startswith("linux"):
        return path
    if _run_root is None or _run_root[0] != settings.RUN_ROOT:
        _run_root = (settings.RUN_ROOT, os.open(settings.RUN_ROOT, os.O_RDONLY | os.O_DIRECTORY))
    return f"/proc/self/fd/{_run_root[1]}/{name}"


def _send_audience(audience: str, payload: bytes) -> None:
    global _listeners
    if settings.REDIS_URL:
        from mailcore.store.notify import redis_relay

        redis_relay.publish_remote(audience, payload)
    try:
        modified_ns = os.stat(settings.RUN_ROOT).st_mtime_ns
    except FileNotFoundError:
        return  # no process has ever listened
    if modified_ns != _listeners[0]:
        names = os.listdir(settings.RUN_ROOT)
        audiences = {a: [n for n in names if n.startswith(sockets.prefix(a))] for a in _AUDIENCES}
        _listeners = (modified_ns, audiences)
    _send_to_sockets(_listeners[1][audience], payload)


def _send_to_sockets(names: Iterable[str], payload: bytes) -> None:
    global _sender
    if _sender is None:
        _sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        _sender.setblocking(False)
    for name in names:
        try:
            _sender.sendto(payload, _short_path(name))
        except ConnectionRefusedError:  # its process died
            (settings.RUN_ROOT / name).unlink(missing_ok=True)
        except OSError:
            pass  # its buffer is full, so it has enough to check already; or it has just closed
