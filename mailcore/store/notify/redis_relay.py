"""Notifications between machines through Redis (REDIS_URL).

One thread publishes, and one for each audience listens; no caller ever waits for Redis. While Redis is away,
notifications are lost, since they are hints only; when it is back, listeners are notified to check everything once.
"""

import atexit
import hashlib
import os
import queue
import threading
from collections.abc import Callable
from contextlib import closing

import redis
from django.conf import settings

from mailcore.logs import writer
from mailcore.store.processes import sockets

_QUEUE_LIMIT = 10_000  # notifications that wait to be published at most
_BATCH = 500
_RETRY_DELAY = 1.0  # seconds until Redis is tried again
_TIMEOUT = 5  # seconds after which a silent connection is checked
_CLOSE_TIMEOUT = 1.0  # seconds a process that ends spends on publishing what is left


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()


def key(name: str) -> str:
    """Return the name of a key in Redis; the digest separates systems that share one Redis."""
    return f"youju:{_digest(settings.SECRET_KEY)}:{name}"


def connect() -> redis.Redis:
    """Return a client that does not wait long for a Redis that is away."""
    return redis.Redis.from_url(
        settings.REDIS_URL, socket_connect_timeout=_TIMEOUT, socket_timeout=_TIMEOUT, health_check_interval=_TIMEOUT
    )


# --- Publishing -----------------------------------------------------------------------------------


class _RedisPublisher:
    """A thread that publishes the notifications of this process."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self._pending: queue.SimpleQueue[tuple[str, bytes] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="redis-publisher", daemon=True)
        self._thread.start()

    def put(self, audience: str, payload: bytes) -> None:
        if self._pending.qsize() < _QUEUE_LIMIT:
            self._pending.put((audience, payload))

    def close(self) -> None:
        self._pending.put(None)
        self._thread.join(_CLOSE_TIMEOUT)

    def _run(self) -> None:
        own_scope, ending = sockets.scope().encode(), False
        with closing(connect()) as connection:
            while not ending:
                batch = [self._pending.get()]
                while len(batch) < _BATCH and not self._pending.empty():
                    batch.append(self._pending.get())
                ending = None in batch
                try:
                    pipeline = connection.pipeline(transaction=False)
                    # Duplicates within a batch are published once.
                    for audience, payload in dict.fromkeys(each for each in batch if each is not None):
                        pipeline.publish(key(audience), own_scope + b" " + payload)
                    pipeline.execute()
                except redis.RedisError:
                    ending = ending or self._is_closing()

    def _is_closing(self) -> bool:
        """Wait before Redis is tried again; return True if the process ends meanwhile."""
        try:
            return self._pending.get(timeout=_RETRY_DELAY) is None
        except queue.Empty:
            return False


_publisher: _RedisPublisher | None = None


def publish_remote(audience: str, payload: bytes) -> None:
    """Queue a notification for listeners on other machines; a forked process gets a publisher of its own."""
    global _publisher
    if _publisher is None or _publisher.pid != os.getpid():
        _publisher = _RedisPublisher()
        atexit.register(_publisher.close)
    _publisher.put(audience, payload)


# --- Listening ------------------------------------------------------------------------------------


class RedisListener:
    """A thread that passes notifications from other machines to `on_message`.

    It calls `on_reconnect` after an interruption.
    """

    def __init__(self, audience: str, on_message: Callable[[bytes], None], on_reconnect: Callable[[], None]) -> None:
        self._audience, self._on_message, self._on_reconnect = audience, on_message, on_reconnect
        self._closed = threading.Event()
        self.connected = threading.Event()
        threading.Thread(target=self._run, name=f"redis-{audience}", daemon=True).start()

    def close(self) -> None:
        self._closed.set()

    def _run(self) -> None:
        own_scope, first = sockets.scope().encode(), True
        while not self._closed.is_set():
            try:
                with closing(connect()) as connection, closing(connection.pubsub()) as subscription:  # type: ignore[no-untyped-call]
                    subscription.subscribe(key(self._audience))
                    subscription.get_message(timeout=_TIMEOUT)
                    self.connected.set()
                    if not first:
                        self._on_reconnect()
                    first = False
                    self._listen(subscription, own_scope)
            except redis.RedisError as error:
                if self.connected.is_set() or first:
                    writer.write("news", f"warning: Redis does not answer: {error}")
                self.connected.clear()
                first = False
                self._closed.wait(_RETRY_DELAY)

    def _listen(self, subscription: redis.client.PubSub, own_scope: bytes) -> None:
        while not self._closed.is_set():
            message = subscription.get_message(ignore_subscribe_messages=True, timeout=1.0)
            if message is not None:
                sender, _, payload = message["data"].partition(b" ")
                if sender != own_scope:
                    self._on_message(payload)
