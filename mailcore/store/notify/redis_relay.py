"""News between machines: what `news` says here goes through Redis to listeners elsewhere (REDIS_URL).

One thread says, one for each audience hears; nobody ever waits for Redis. While it is away, news is lost, as bells may
be; when it is back, listeners are told to look at everything once.
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

_QUEUE_LIMIT = 10_000  # pieces of news that wait to be said at most
_TOGETHER = 500
_AGAIN = 1.0  # seconds until Redis is tried again
_ALIVE = 5  # seconds after which a silent connection is asked for a sign of life
_LAST_WORDS = 1.0  # seconds a process gives to what it still has to say when it ends


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()


def key(name: str) -> str:
    """Return a name for Redis. Several systems may share one: their keys tell them apart."""
    return f"youju:{_digest(settings.SECRET_KEY)}:{name}"


def connect() -> redis.Redis:
    """Return a client that does not wait long for a Redis that is away."""
    return redis.Redis.from_url(
        settings.REDIS_URL, socket_connect_timeout=_ALIVE, socket_timeout=_ALIVE, health_check_interval=_ALIVE
    )


# --- Saying ---------------------------------------------------------------------------------------


class _RedisPublisher:
    def __init__(self) -> None:
        self.pid = os.getpid()
        self._said: queue.SimpleQueue[tuple[str, bytes] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="newswire", daemon=True)
        self._thread.start()

    def say(self, audience: str, words: bytes) -> None:
        if self._said.qsize() < _QUEUE_LIMIT:
            self._said.put((audience, words))

    def end(self) -> None:
        self._said.put(None)
        self._thread.join(_LAST_WORDS)

    def _run(self) -> None:
        here, ending = sockets.scope().encode(), False
        with closing(connect()) as connection:
            while not ending:
                news = [self._said.get()]
                while len(news) < _TOGETHER and not self._said.empty():
                    news.append(self._said.get())
                ending = None in news
                try:
                    pipeline = connection.pipeline(transaction=False)
                    # The same news twice is one piece of news.
                    for audience, words in dict.fromkeys(each for each in news if each is not None):
                        pipeline.publish(key(audience), here + b" " + words)
                    pipeline.execute()
                except redis.RedisError:
                    ending = ending or self._is_over()

    def _is_over(self) -> bool:
        """Wait before Redis is tried again; True: the process ends meanwhile."""
        try:
            return self._said.get(timeout=_AGAIN) is None
        except queue.Empty:
            return False


_speaker: _RedisPublisher | None = None


def publish_remote(audience: str, words: bytes) -> None:
    """To listeners on other machines, soon. A process that was forked gets a speaker of its own."""
    global _speaker
    if _speaker is None or _speaker.pid != os.getpid():
        _speaker = _RedisPublisher()
        atexit.register(_speaker.end)
    _speaker.say(audience, words)


# --- Hearing --------------------------------------------------------------------------------------


class RedisListener:
    """Calls `heard` with what other machines say to an audience, and `returned` when it was deaf for a while."""

    def __init__(self, audience: str, heard: Callable[[bytes], None], returned: Callable[[], None]) -> None:
        self._audience, self._heard, self._returned = audience, heard, returned
        self._ended = threading.Event()
        self.connected = threading.Event()
        threading.Thread(target=self._run, name=f"newswire-{audience}", daemon=True).start()

    def end(self) -> None:
        self._ended.set()

    def _run(self) -> None:
        here, first = sockets.scope().encode(), True
        while not self._ended.is_set():
            try:
                with closing(connect()) as connection, closing(connection.pubsub()) as subscription:  # type: ignore[no-untyped-call]
                    subscription.subscribe(key(self._audience))
                    subscription.get_message(timeout=_ALIVE)
                    self.connected.set()
                    if not first:
                        self._returned()
                    first = False
                    self._listen(subscription, here)
            except redis.RedisError as error:
                if self.connected.is_set() or first:
                    writer.write("news", f"warning: Redis does not answer: {error}")
                self.connected.clear()
                first = False
                self._ended.wait(_AGAIN)

    def _listen(self, subscription: redis.client.PubSub, here: bytes) -> None:
        while not self._ended.is_set():
            message = subscription.get_message(ignore_subscribe_messages=True, timeout=1.0)
            if message is not None:
                sender, _, words = message["data"].partition(b" ")
                if sender != here:
                    self._heard(words)
