"""Addresses of the mail servers: the bundled ones, or others configured in the settings."""

import functools
import ipaddress
import ssl
from dataclasses import dataclass
from urllib.parse import urlsplit

from django.conf import settings


@dataclass(frozen=True, slots=True)
class ServerAddress:
    host: str
    port: int
    tls: bool  # TLS from the first byte (imaps, submissions)

    @property
    def is_local(self) -> bool:
        """Return True if the server is on this machine, so that a password may be sent without TLS."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


@functools.cache
def tls_context() -> ssl.SSLContext:
    """Return a TLS context with the system's trusted certificates, cached because loading them takes 25 ms."""
    return ssl.create_default_context()


def imap_address() -> ServerAddress:
    return _parse_server(settings.WEBMAIL["IMAP_SERVER"], "imap", "imaps", 993)


def smtp_address() -> ServerAddress:
    return _parse_server(settings.WEBMAIL["SMTP_SERVER"], "submission", "submissions", 465)


def sieve_address() -> ServerAddress | None:
    """Return the ManageSieve server's address, or None if filters are not offered."""
    if not settings.WEBMAIL["SIEVE_SERVER"] and (settings.WEBMAIL["IMAP_SERVER"] or settings.PORTS["sieve"] is None):
        return None
    return _parse_server(settings.WEBMAIL["SIEVE_SERVER"], "sieve", "sieve", 4190)


def is_guest() -> bool:
    """Return True if the IMAP server, and not the accounts of this site, checks passwords."""
    return bool(settings.WEBMAIL["GUEST"])


def _parse_server(setting: str, service: str, secure_service: str, secure_port: int) -> ServerAddress:
    """Return the address written as "host:port", or "imaps://host:port" and the like for implicit TLS.

    "" means the bundled server, which listens on HOST (all addresses: reached over loopback).
    """
    if not setting:
        loopback_of = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}  # noqa: S104
        host = loopback_of.get(settings.HOST, settings.HOST)
        port = settings.PORTS[service]
        secure = port is None
        return ServerAddress(host, (settings.PORTS[secure_service] if secure else port) or 0, secure)
    parts = urlsplit(setting if "://" in setting else f"//{setting}")
    tls = parts.scheme in ("imaps", "smtps", "submissions", "tls", "ssl")
    clear_port = {"imap": 143, "submission": 587, "sieve": 4190}[service]
    return ServerAddress(parts.hostname or "", parts.port or (secure_port if tls else clear_port), tls)
