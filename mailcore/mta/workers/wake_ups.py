"""Wake-ups for Celery's workers: at most one is under way, however many machines send them.

A wake-up is a task that says "look at the queue". Until a worker begins with it nobody sends another: workers take
tasks without acknowledgement from Redis as fast as they come, and keep thousands in memory when they are busy.
What a wake-up that got lost would have found is found by the next one, _LOST seconds later.
"""

import redis

from mailcore.store.notify import redis_relay

QUEUE = "youju"  # the list in Redis in which Celery's tasks wait
_LOST = 15  # seconds after which a wake-up that no worker began with does not count any more
_client: redis.Redis | None = None


def _redis() -> redis.Redis:
    global _client
    if _client is None:
        _client = redis_relay.connect()
    return _client


def reserve() -> bool:
    """May a wake-up be sent now? Then nobody else may until `begin`. RedisError."""
    if _redis().llen(QUEUE):
        return False
    return bool(_redis().set(redis_relay.key("wake-up"), "1", nx=True, ex=_LOST))


def begin() -> None:
    """A worker begins with a wake-up, or it was not sent after all. RedisError."""
    _redis().delete(redis_relay.key("wake-up"))


def is_redis_there() -> bool:
    """Does Redis answer?"""
    try:
        with redis_relay.connect() as client:
            return bool(client.ping())
    except (redis.RedisError, OSError, ValueError):
        return False
