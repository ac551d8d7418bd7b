"""DNS lookups about clients, senders and recipients for the restrictions; blocking, so only in threads.

A query takes dns_timeout at most. An answer is cached for its TTL, a negative answer or a failure for less time, so
that a dead name server costs one wait, not one per message.
"""

import ipaddress
import re
import threading
from dataclasses import dataclass
from functools import lru_cache
from time import monotonic

import dns.exception
import dns.nameserver
import dns.resolver
import dns.reversename

from mailcore import conf
from mailcore.conf import caches

_CACHE_LIMIT = 20_000
# Seconds that a positive answer, a negative answer and a failure are cached at most.
_MAX_TTL, _NEGATIVE_TTL, _FAILURE_TTL = 3600.0, 60.0, 20.0

_cache: dict[tuple[str, str], tuple[float, tuple[str, ...] | None]] = {}
_lock = threading.Lock()


class DnsError(Exception):
    """No name server answered in time, or the answer was a failure; retry later."""


def lookup_records(name: str, kind: str) -> tuple[str, ...]:
    """Return the records of a name as text, () if there are none. Raise DnsError."""
    key = (name.lower().rstrip("."), kind)
    cached = _cache.get(key)
    if cached is None or cached[0] <= monotonic():
        seconds, answer = _query(*key)
        cached = (monotonic() + seconds, answer)
        with _lock:
            if len(_cache) >= _CACHE_LIMIT:
                _cache.clear()
            _cache[key] = cached
    if cached[1] is None:
        raise DnsError(f"{kind} of {name}")
    return cached[1]


def _query(name: str, kind: str) -> tuple[float, tuple[str, ...] | None]:
    parameters = conf.current()
    try:
        resolver = _resolver(parameters.dns_servers)
        answer = resolver.resolve(name + ".", kind, lifetime=parameters.dns_timeout, search=False)
        texts = tuple(_record_text(record) for record in answer)
        return min(max(float(answer.rrset.ttl if answer.rrset else 0), 1.0), _MAX_TTL), texts
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer, dns.exception.SyntaxError, dns.exception.FormError):
        return _NEGATIVE_TTL, ()
    except (dns.resolver.NoNameservers, dns.exception.Timeout, dns.resolver.NoResolverConfiguration, OSError):
        return _FAILURE_TTL, None
    except (dns.exception.DNSException, UnicodeError):
        return _NEGATIVE_TTL, ()  # The name is not a valid DNS name.


def _record_text(record: object) -> str:
    strings = getattr(record, "strings", None)  # TXT records only.
    if strings is not None:
        return b"".join(strings).decode("utf-8", "replace")
    return str(record)


@lru_cache(maxsize=4)
def _resolver(servers: tuple[str, ...]) -> dns.resolver.Resolver:
    if not servers:
        return dns.resolver.Resolver()
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers = [parse_server(text) for text in servers]
    return resolver


def parse_server(text: str) -> dns.nameserver.Nameserver:
    """Parse 192.0.2.53, 192.0.2.53:5353, 2001:db8::53 or [2001:db8::53]:5353."""
    match = re.fullmatch(r"(?:\[([^]]*)\]|([^:]*)):(\d+)", text)
    if match is None:
        return dns.nameserver.Do53Nameserver(text.strip("[]"))
    return dns.nameserver.Do53Nameserver(match[1] or match[2], int(match[3]))


def _clear_cache() -> None:
    with _lock:
        _cache.clear()


caches.register(caches.Source.DNS, _clear_cache)


def lookup_addresses(name: str) -> tuple[str, ...]:
    """Return the IPv4, then the IPv6 addresses of a name. Raise DnsError only if neither is known."""
    addresses: list[str] = []
    failure: DnsError | None = None
    for kind in ("A", "AAAA"):
        try:
            addresses += lookup_records(name, kind)
        except DnsError as error:
            failure = error
    if failure is not None and not addresses:
        raise failure
    return tuple(addresses)


def lookup_mx(domain: str) -> tuple[str, ...]:
    """Return the MX hosts of a domain, best first; ("",) is a null MX (RFC 7505). Raise DnsError."""
    records = sorted(
        (int(text.split()[0]), text.split()[1].rstrip(".").lower()) for text in lookup_records(domain, "MX")
    )
    return tuple(host for _, host in records)


@dataclass(frozen=True, slots=True)
class PeerName:
    """The names of a client. `name` is that of the PTR only if it resolves back to the address."""

    name: str = "unknown"
    reverse_name: str = "unknown"
    name_trouble: bool = False
    reverse_trouble: bool = False


def lookup_client_name(address: str) -> PeerName:
    """Look up the name of a client and verify it (postconf(5), reject_unknown_client_hostname)."""
    try:
        names = lookup_records(dns.reversename.from_address(address).to_text(), "PTR")
    except (DnsError, dns.exception.SyntaxError):
        return PeerName(name_trouble=True, reverse_trouble=True)
    if not names:
        return PeerName()
    name = names[0].rstrip(".").lower()
    try:
        own = {ipaddress.ip_address(each) for each in lookup_addresses(name)}
    except DnsError:
        return PeerName(reverse_name=name, name_trouble=True)
    return PeerName(name if ipaddress.ip_address(address) in own else "unknown", name)
