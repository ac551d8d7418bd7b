"""Wake-ups for Celery's workers: at most one is pending, however many machines send them.

A wake-up is a task that makes a worker process the queue. No second one is sent until a worker starts it: workers take
unacknowledged tasks from Redis as fast as they come, and hold thousands in memory when they are busy. If a wake-up is
lost, the next one finds its messages, _LOST seconds later.
"""

import redis

from mailcore.store.notify import redis_relay

QUEUE = "youju"  # The list in Redis that holds Celery's tasks.
_LOST = 15  # Seconds after which a wake-up that no worker started is considered lost.
_client: redis.Redis | None = None


def _redis() -> redis.Redis:
    global _client
    if _client is None:
        _client = redis_relay.connect()
    return _client


def reserve() -> bool:
    """Return True if a wake-up may be sent now; then no other process may until `begin`. Raise RedisError."""
    if _redis().llen(QUEUE):
        return False
    return bool(_redis().set(redis_relay.key("wake-up"), "1", nx=True, ex=_LOST))


def begin() -> None:
    """Allow the next wake-up: a worker has started this one, or it was not sent. Raise RedisError."""
    _redis().delete(redis_relay.key("wake-up"))


def is_redis_there() -> bool:
    """Return True if Redis answers."""
    try:
        with redis_relay.connect() as client:
            return bool(client.ping())
    except (redis.RedisError, OSError, ValueError):
        return False
