"""Where the mail servers are: the bundled ones, or others the settings name."""

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
    tls: bool  # from the first byte (imaps, submissions)

    @property
    def near(self) -> bool:
        """On this machine: a password may go there in the clear."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


@functools.cache
def tls_context() -> ssl.SSLContext:
    """Certificates are checked against those this machine trusts; reading them takes 25 ms, so once."""
    return ssl.create_default_context()


def imap_address() -> ServerAddress:
    return _parse_server(settings.WEBMAIL["IMAP_SERVER"], "imap", "imaps", 993)


def smtp_address() -> ServerAddress:
    return _parse_server(settings.WEBMAIL["SMTP_SERVER"], "submission", "submissions", 465)


def sieve_address() -> ServerAddress | None:
    """The ManageSieve server; None where filters are nobody's business here."""
    if not settings.WEBMAIL["SIEVE_SERVER"] and (settings.WEBMAIL["IMAP_SERVER"] or settings.PORTS["sieve"] is None):
        return None
    return _parse_server(settings.WEBMAIL["SIEVE_SERVER"], "sieve", "sieve", 4190)


def is_guest() -> bool:
    """The IMAP server judges passwords, not the accounts of this site."""
    return bool(settings.WEBMAIL["GUEST"])


def _parse_server(given: str, service: str, secure_service: str, secure_port: int) -> ServerAddress:
    """`given` is "host:port", or "imaps://host:port" and the like for TLS from the start; "" means the
    bundled server, which listens on HOST (every address: reached over loopback)."""
    if not given:
        everywhere = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}  # noqa: S104
        host = everywhere.get(settings.HOST, settings.HOST)
        port = settings.PORTS[service]
        secure = port is None
        return ServerAddress(host, (settings.PORTS[secure_service] if secure else port) or 0, secure)
    parts = urlsplit(given if "://" in given else f"//{given}")
    tls = parts.scheme in ("imaps", "smtps", "submissions", "tls", "ssl")
    clear_port = {"imap": 143, "submission": 587, "sieve": 4190}[service]
    return ServerAddress(parts.hostname or "", parts.port or (secure_port if tls else clear_port), tls)
