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

from webmail.mailserver import imap_client
from webmail.mailserver.server_addresses import imap_address

IDLE_SECONDS = 240
KEPT_PER_VISITOR = 5
KEPT_AT_MOST = 400

_Key = tuple[str, bytes]  # login, and a hash of it with the secret
_pool: dict[_Key, list[tuple[float, imap_client.MailSession]]] = {}
_lock = Lock()
_sweeping = False
_woken = Event()


@contextmanager
def borrow_connection(login: str, secret: str) -> Iterator[imap_client.MailSession]:
    """A connection of this visitor, a kept one if there is one. After an error it is not kept.
    Raises BadCredential, Unreachable."""
    key = _key(login, secret)
    mail = _take_connection(key) or _new_connection(login, secret)
    try:
        yield mail
    except imap_client.CommandRefused:
        _keep_connection(key, mail)  # a NO leaves the connection as it was
        raise
    except BaseException:
        mail.close()
        raise
    _keep_connection(key, mail)


def close_connections(login: str, secret: str) -> None:
    """Close what is kept for this visitor, who signs out."""
    with _lock:
        gone = _pool.pop(_key(login, secret), [])
    for _since, mail in gone:
        mail.close()


def _key(login: str, secret: str) -> _Key:
    return login, hashlib.sha256(f"{login}\0{secret}".encode()).digest()


def _new_connection(login: str, secret: str) -> imap_client.MailSession:
    """A new connection; where the server has enough of this visitor's, in place of those kept here."""
    try:
        return imap_client.connect_imap(imap_address(), login, secret)
    except imap_client.TooManyConnections:
        with _lock:
            gone = [mail for key in _connections_of(login) for _since, mail in _pool.pop(key)]
        if not gone:
            raise
        for mail in gone:
            mail.close()
        return imap_client.connect_imap(imap_address(), login, secret)


def _connections_of(login: str) -> list[_Key]:
    """What is kept for any session of this visitor; the lock is held."""
    return [key for key in _pool if key[0] == login]


def _take_connection(key: _Key) -> imap_client.MailSession | None:
    while True:
        with _lock:
            waiting = _pool.get(key)
            if not waiting:
                return None
            _since, mail = waiting.pop()
        # Something to read while nobody asked: news of the folder, or a farewell.
        if not _has_pending_data(mail) or mail.is_alive():
            return mail
        mail.close()


def _has_pending_data(mail: imap_client.MailSession) -> bool:
    poll = select.poll()  # select() knows no file descriptor beyond 1023
    poll.register(mail.socket(), select.POLLIN)
    return bool(poll.poll(0))


def _keep_connection(key: _Key, mail: imap_client.MailSession) -> None:
    """Keep a connection; the visitor's oldest one, of whichever session, goes where there are too many."""
    global _sweeping
    with _lock:
        _pool.setdefault(key, []).append((time.monotonic(), mail))
        mine = _connections_of(key[0])
        gone: imap_client.MailSession | None = None
        if sum(len(_pool[each]) for each in mine) > KEPT_PER_VISITOR or sum(map(len, _pool.values())) > KEPT_AT_MOST:
            oldest = min((each for each in mine if _pool[each]), key=lambda each: _pool[each][0][0])
            _since, gone = _pool[oldest].pop(0)
        if not _sweeping:
            _sweeping = True
            Thread(target=_close_idle, name="webmail-pool", daemon=True).start()
    if gone is not None:
        gone.close()


def _close_idle() -> None:
    global _sweeping
    while True:
        _woken.wait(IDLE_SECONDS / 4)
        old: list[imap_client.MailSession] = []
        with _lock:
            before = time.monotonic() - IDLE_SECONDS
            for key in list(_pool):
                old += [mail for since, mail in _pool[key] if since < before]
                _pool[key] = [(since, mail) for since, mail in _pool[key] if since >= before]
                if not _pool[key]:
                    del _pool[key]
            done = not _pool
            if done:
                _sweeping = False
        for mail in old:
            mail.close()
        if done:
            return


def close_all() -> None:
    """Close every kept connection (the process ends, or a test)."""
    with _lock:
        gone = [mail for waiting in _pool.values() for _since, mail in waiting]
        _pool.clear()
    for mail in gone:
        mail.close()
