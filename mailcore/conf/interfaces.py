"""Which addresses a service of ours listens on: bound by the supervisor, asked by whoever looks whether it answers."""

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
_WORDS = {"all": ["0.0.0.0", "::"], "loopback-only": ["127.0.0.1", "::1"]}  # noqa: S104
_REACHED = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104


def listen_addresses(service: str, parameters: Any, *, ipv6: bool = True) -> list[str]:
    """The addresses to bind for a service; `ipv6`: has this machine any?"""
    words: tuple[str, ...] = getattr(parameters, _PARAMETERS[service])
    found: list[str] = []
    for word in words:
        found += _WORDS.get(word, [word.strip("[]")])
    if set(words) & set(_WORDS) and not ipv6:
        found = [address for address in found if ":" not in address]
    return list(dict.fromkeys(found))


def local_address(service: str, parameters: Any) -> str:
    """Where somebody on this machine reaches the service."""
    first = listen_addresses(service, parameters)[0]
    return _REACHED.get(first, first)
