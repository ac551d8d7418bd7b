"""The pool of IMAP connections kept open between pages of the same user.

A connection is used by one page at a time. Each web process has its own pool; a thread, which runs only while the pool
is not empty, closes idle connections.
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
MAX_PER_USER = 5
MAX_POOLED = 400

_Key = tuple[str, bytes]  # login, and a hash of it and the secret
_pool: dict[_Key, list[tuple[float, imap_client.MailSession]]] = {}
_lock = Lock()
_sweeping = False
_woken = Event()


@contextmanager
def borrow_connection(login: str, secret: str) -> Iterator[imap_client.MailSession]:
    """Lend a connection of this user, pooled or new; after an error other than a refusal it is closed.

    Raise `InvalidCredential` or `ServerUnreachable`.
    """
    key = _key(login, secret)
    mail = _take_connection(key) or _new_connection(login, secret)
    try:
        yield mail
    except imap_client.CommandRefused:
        _return_connection(key, mail)  # a NO leaves the connection usable
        raise
    except BaseException:
        mail.close()
        raise
    _return_connection(key, mail)


def close_connections(login: str, secret: str) -> None:
    """Close the pooled connections of a user who logs out."""
    with _lock:
        closing = _pool.pop(_key(login, secret), [])
    for _since, mail in closing:
        mail.close()


def _key(login: str, secret: str) -> _Key:
    return login, hashlib.sha256(f"{login}\0{secret}".encode()).digest()


def _new_connection(login: str, secret: str) -> imap_client.MailSession:
    """Open a new connection; if the server's limit is reached, close the user's pooled ones and try again."""
    try:
        return imap_client.connect_imap(imap_address(), login, secret)
    except imap_client.TooManyConnections:
        with _lock:
            closing = [mail for key in _connections_of(login) for _since, mail in _pool.pop(key)]
        if not closing:
            raise
        for mail in closing:
            mail.close()
        return imap_client.connect_imap(imap_address(), login, secret)


def _connections_of(login: str) -> list[_Key]:
    """Return the keys of all sessions of this user; the caller holds the lock."""
    return [key for key in _pool if key[0] == login]


def _take_connection(key: _Key) -> imap_client.MailSession | None:
    while True:
        with _lock:
            pooled = _pool.get(key)
            if not pooled:
                return None
            _since, mail = pooled.pop()
        # Unread data on an idle connection is a notification of the folder, or a BYE.
        if not _has_pending_data(mail) or mail.is_alive():
            return mail
        mail.close()


def _has_pending_data(mail: imap_client.MailSession) -> bool:
    poll = select.poll()  # select() supports no file descriptor beyond 1023
    poll.register(mail.socket(), select.POLLIN)
    return bool(poll.poll(0))


def _return_connection(key: _Key, mail: imap_client.MailSession) -> None:
    """Return a connection to the pool; if there are too many, the user's oldest, of any session, is closed."""
    global _sweeping
    with _lock:
        _pool.setdefault(key, []).append((time.monotonic(), mail))
        keys = _connections_of(key[0])
        closing: imap_client.MailSession | None = None
        if sum(len(_pool[each]) for each in keys) > MAX_PER_USER or sum(map(len, _pool.values())) > MAX_POOLED:
            oldest = min((each for each in keys if _pool[each]), key=lambda each: _pool[each][0][0])
            _since, closing = _pool[oldest].pop(0)
        if not _sweeping:
            _sweeping = True
            Thread(target=_close_idle, name="webmail-pool", daemon=True).start()
    if closing is not None:
        closing.close()


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
            is_empty = not _pool
            if is_empty:
                _sweeping = False
        for mail in old:
            mail.close()
        if is_empty:
            return


def close_all() -> None:
    """Close every pooled connection (at process exit, or after a test)."""
    with _lock:
        closing = [mail for pooled in _pool.values() for _since, mail in pooled]
        _pool.clear()
    for mail in closing:
        mail.close()
