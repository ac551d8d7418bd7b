"""`/healthz`: are all parts up? For load balancers and monitoring; says nothing about anybody's mail."""

import socket

from django.conf import settings
from django.db import DatabaseError, connection
from django.http import HttpRequest, JsonResponse

from mailcore import checks, conf
from mailcore.conf.interfaces import local_address
from mailcore.store.notify import notifications

_PATIENCE = 1.0  # seconds a listener has to take a connection


def healthz(request: HttpRequest) -> JsonResponse:
    """200 and each part's state when every part is up; 503 when one is not."""
    parts = {"database": _check_database(), "couriers": _check_couriers()}
    if settings.REDIS_URL:
        parts["redis"] = _redis()
    for name, port in settings.PORTS.items():
        if port is not None and name != "web" and is_enabled(name):
            parts[name] = _is_listening(local_address(name, conf.current()), port)
    return JsonResponse({"parts": parts}, status=200 if all(parts.values()) else 503)


def _check_database() -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return False
    return True


def _check_couriers() -> bool:
    """With Redis, Celery's workers deliver, and they are watched where they run: here, what wakes them."""
    if settings.REDIS_URL:
        return not list(checks.check_celery())
    return notifications.count_listeners(notifications.COURIERS) > 0


def _redis() -> bool:
    from mailcore.mta.workers import wake_ups  # and Redis, which nobody else needs

    return wake_ups.is_redis_there()


def is_enabled(name: str) -> bool:
    """Do parameters let this service be, if it has a port?"""
    parameters = conf.current()
    if parameters.ssl_disable and name in ("imaps", "pop3s", "submissions"):
        return False
    protocol = name.removesuffix("s") if name in ("imaps", "pop3s") else name
    return protocol not in ("imap", "pop3", "lmtp", "sieve") or protocol in parameters.protocols


def _is_listening(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=_PATIENCE):
            return True
    except OSError:
        return False
