"""Where the mail servers are: the bundled ones, or others the settings name."""

import functools
import ipaddress
import ssl
from dataclasses import dataclass
from urllib.parse import urlsplit

from django.conf import settings


@dataclass(frozen=True, slots=True)
class Server:
    host: str
    port: int
    tls: bool  # from the first octet (imaps, submissions)

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


def imap_server() -> Server:
    return _server(settings.WEBMAIL["IMAP_SERVER"], "imap", "imaps", 993)


def smtp_server() -> Server:
    return _server(settings.WEBMAIL["SMTP_SERVER"], "submission", "submissions", 465)


def sieve_server() -> Server | None:
    """The ManageSieve server; None where filters are nobody's business here."""
    if not settings.WEBMAIL["SIEVE_SERVER"] and (settings.WEBMAIL["IMAP_SERVER"] or settings.PORTS["sieve"] is None):
        return None
    return _server(settings.WEBMAIL["SIEVE_SERVER"], "sieve", "sieve", 4190)


def is_guest() -> bool:
    """The IMAP server judges passwords, not the accounts of this site."""
    return bool(settings.WEBMAIL["GUEST"])


def _server(given: str, service: str, secure_service: str, secure_port: int) -> Server:
    """`given` is "host:port", or "imaps://host:port" and the like for TLS from the start; "" means the
    bundled server, which listens on HOST (every address: reached over loopback)."""
    if not given:
        everywhere = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}  # noqa: S104
        host = everywhere.get(settings.HOST, settings.HOST)
        port = settings.PORTS[service]
        secure = port is None
        return Server(host, (settings.PORTS[secure_service] if secure else port) or 0, secure)
    parts = urlsplit(given if "://" in given else f"//{given}")
    tls = parts.scheme in ("imaps", "smtps", "submissions", "tls", "ssl")
    clear_port = {"imap": 143, "submission": 587, "sieve": 4190}[service]
    return Server(parts.hostname or "", parts.port or (secure_port if tls else clear_port), tls)
