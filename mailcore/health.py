"""The health check `/healthz`, for load balancers and monitoring; it reveals nothing about accounts or mail."""

import socket
from threading import Lock
from time import monotonic

from django.conf import settings
from django.db import DatabaseError, connection
from django.http import HttpRequest, JsonResponse

from mailcore import checks, conf
from mailcore.conf.interfaces import local_address
from mailcore.store.notify import notifications

_CONNECT_TIMEOUT = 1.0  # seconds a listener has to accept a connection
_LIFETIME = 1.0  # seconds a result is used again: anybody may ask, and each check opens a connection to each listener


class _LastResult:
    """The latest result, found by one thread at a time."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._until = 0.0
        self._parts: dict[str, bool] = {}

    def get(self) -> dict[str, bool]:
        with self._lock:
            if monotonic() >= self._until:
                self._parts = _check_parts()
                self._until = monotonic() + _LIFETIME
            return self._parts

    def clear(self) -> None:
        self._until = 0.0


last_result = _LastResult()


def healthz(request: HttpRequest) -> JsonResponse:
    """Return 200 and the state of each part if every part is up, else 503."""
    parts = last_result.get()
    return JsonResponse({"parts": parts}, status=200 if all(parts.values()) else 503)


def _check_parts() -> dict[str, bool]:
    parts = {"database": _check_database(), "couriers": _check_couriers()}
    if settings.REDIS_URL:
        parts["redis"] = _check_redis()
    for name, port in settings.PORTS.items():
        if port is not None and name != "web" and is_enabled(name):
            parts[name] = _is_listening(local_address(name, conf.current()), port)
    return parts


def _check_database() -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return False
    return True


def _check_couriers() -> bool:
    """Return True if couriers run; with Redis, Celery's workers deliver, and only what wakes them is checked here."""
    if settings.REDIS_URL:
        return not list(checks.check_celery())
    return notifications.count_listeners(notifications.COURIERS) > 0


def _check_redis() -> bool:
    from mailcore.mta.workers import wake_ups  # imports redis, which is needed only with REDIS_URL

    return wake_ups.is_redis_there()


def is_enabled(name: str) -> bool:
    """Return True if the parameters enable this service, provided it has a port."""
    parameters = conf.current()
    if parameters.ssl_disable and name in ("imaps", "pop3s", "submissions"):
        return False
    protocol = name.removesuffix("s") if name in ("imaps", "pop3s") else name
    return protocol not in ("imap", "pop3", "lmtp", "sieve") or protocol in parameters.protocols


def _is_listening(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=_CONNECT_TIMEOUT):
            return True
    except OSError:
        return False
