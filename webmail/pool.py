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

_Key = tuple[str, bytes]  # login, and a hash of it with the secret
_kept: dict[_Key, list[tuple[float, imap.Mail]]] = {}
_lock = Lock()
_sweeping = False
_woken = Event()


@contextmanager
def borrow(login: str, secret: str) -> Iterator[imap.Mail]:
    """A connection of this visitor, a kept one if there is one. After an error it is not kept.
    Raises BadCredential, Unreachable."""
    key = _key(login, secret)
    mail = _take(key) or _connected(login, secret)
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
    with _lock:
        gone = _kept.pop(_key(login, secret), [])
    for _since, mail in gone:
        mail.close()


def _key(login: str, secret: str) -> _Key:
    return login, hashlib.sha256(f"{login}\0{secret}".encode()).digest()


def _connected(login: str, secret: str) -> imap.Mail:
    """A new connection; where the server has enough of this visitor's, in place of those kept here."""
    try:
        return imap.connect(imap_server(), login, secret)
    except imap.Full:
        with _lock:
            gone = [mail for key in _of(login) for _since, mail in _kept.pop(key)]
        if not gone:
            raise
        for mail in gone:
            mail.close()
        return imap.connect(imap_server(), login, secret)


def _of(login: str) -> list[_Key]:
    """What is kept for any session of this visitor; the lock is held."""
    return [key for key in _kept if key[0] == login]


def _take(key: _Key) -> imap.Mail | None:
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


def _keep(key: _Key, mail: imap.Mail) -> None:
    """Keep a connection; the visitor's oldest one, of whichever session, goes where there are too many."""
    global _sweeping
    with _lock:
        _kept.setdefault(key, []).append((time.monotonic(), mail))
        mine = _of(key[0])
        gone: imap.Mail | None = None
        if sum(len(_kept[each]) for each in mine) > KEPT_PER_VISITOR or sum(map(len, _kept.values())) > KEPT_AT_MOST:
            oldest = min((each for each in mine if _kept[each]), key=lambda each: _kept[each][0][0])
            _since, gone = _kept[oldest].pop(0)
        if not _sweeping:
            _sweeping = True
            Thread(target=_sweep, name="webmail-pool", daemon=True).start()
    if gone is not None:
        gone.close()


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
