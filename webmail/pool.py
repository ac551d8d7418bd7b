"""Connections kept open between two pages of the same visitor.

A connection is used by one page at a time. Each web process keeps its own; what was idle too long is
closed by a thread that lives only while there is something to close.
"""

import hashlib
import select
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Lock, Thread

from webmail import imap
from webmail.servers import imap_server

IDLE_SECONDS = 240
KEPT_PER_VISITOR = 5
KEPT_AT_MOST = 400

_kept: dict[bytes, list[tuple[float, imap.Mail]]] = {}
_lock = Lock()
_sweeping = False
_woken = Event()


@contextmanager
def borrow(login: str, secret: str) -> Iterator[imap.Mail]:
    """A connection of this visitor, a kept one if there is one. After an error it is not kept.
    Raises BadCredential, Unreachable."""
    key = hashlib.sha256(f"{login}\0{secret}".encode()).digest()
    mail = _take(key) or imap.connect(imap_server(), login, secret)
    try:
        yield mail
    except imap.Refused:
        _keep(key, mail)  # a NO leaves the connection as it was
        raise
    except BaseException:
        mail.close()
        raise
    _keep(key, mail)


def forget(login: str, secret: str) -> None:
    """Close what is kept for this visitor, who signs out."""
    key = hashlib.sha256(f"{login}\0{secret}".encode()).digest()
    with _lock:
        gone = _kept.pop(key, [])
    for _since, mail in gone:
        mail.close()


def _take(key: bytes) -> imap.Mail | None:
    while True:
        with _lock:
            waiting = _kept.get(key)
            if not waiting:
                return None
            _since, mail = waiting.pop()
        # Something to read while nobody asked: news of the folder, or a farewell.
        if not _has_news(mail) or mail.is_alive():
            return mail
        mail.close()


def _has_news(mail: imap.Mail) -> bool:
    poll = select.poll()  # select() knows no file descriptor beyond 1023
    poll.register(mail.socket(), select.POLLIN)
    return bool(poll.poll(0))


def _keep(key: bytes, mail: imap.Mail) -> None:
    global _sweeping
    with _lock:
        waiting = _kept.setdefault(key, [])
        room = len(waiting) < KEPT_PER_VISITOR and sum(map(len, _kept.values())) < KEPT_AT_MOST
        if room:
            waiting.append((time.monotonic(), mail))
        if not _sweeping:
            _sweeping = True
            Thread(target=_sweep, name="webmail-pool", daemon=True).start()
    if not room:
        mail.close()


def _sweep() -> None:
    global _sweeping
    while True:
        _woken.wait(IDLE_SECONDS / 4)
        old: list[imap.Mail] = []
        with _lock:
            before = time.monotonic() - IDLE_SECONDS
            for key in list(_kept):
                old += [mail for since, mail in _kept[key] if since < before]
                _kept[key] = [(since, mail) for since, mail in _kept[key] if since >= before]
                if not _kept[key]:
                    del _kept[key]
            done = not _kept
            if done:
                _sweeping = False
        for mail in old:
            mail.close()
        if done:
            return


def close_all() -> None:
    """Close every kept connection (the process ends, or a test)."""
    with _lock:
        gone = [mail for waiting in _kept.values() for _since, mail in waiting]
        _kept.clear()
    for mail in gone:
        mail.close()
