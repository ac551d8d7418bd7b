"""The addresses each service listens on: the supervisor binds them, health checks connect to them."""

import ipaddress
import socket
from typing import Any

_PARAMETERS = {
    "smtp": "inet_interfaces",
    "submission": "submission_interfaces",
    "submissions": "submission_interfaces",
    "lmtp": "lmtp_interfaces",
    "imap": "imap_interfaces",
    "imaps": "imap_interfaces",
    "pop3": "pop3_interfaces",
    "pop3s": "pop3_interfaces",
    "sieve": "managesieve_interfaces",
    "web": "web_interfaces",
}
_KEYWORDS = {"all": ["0.0.0.0", "::"], "loopback-only": ["127.0.0.1", "::1"]}  # noqa: S104
_LOCAL_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104


def listen_addresses(service: str, parameters: Any, *, ipv6: bool = True) -> list[str]:
    """Return the addresses to bind for a service; `ipv6` is False on a machine without IPv6."""
    words: tuple[str, ...] = getattr(parameters, _PARAMETERS[service])
    addresses: list[str] = []
    for word in words:
        addresses += _KEYWORDS.get(word, [word.strip("[]")])
    if set(words) & set(_KEYWORDS) and not ipv6:
        addresses = [address for address in addresses if ":" not in address]
    return list(dict.fromkeys(addresses))


def local_address(service: str, parameters: Any) -> str:
    """Return the address at which a program on this machine reaches the service."""
    first = listen_addresses(service, parameters)[0]
    return _LOCAL_ADDRESS.get(first, first)


def is_own_address(address: str) -> bool:
    """Return True for loopback and for the addresses of this machine."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    if parsed.is_loopback:
        return True
    family = socket.AF_INET6 if parsed.version == 6 else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        try:
            sock.bind((address, 0))  # Only an address of this machine can be bound.
        except OSError:
            return False
    return True
