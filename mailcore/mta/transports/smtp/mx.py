"""The hosts of a next hop: MX records, addresses, and detection of this host (RFC 5321 §5, RFC 7505)."""

import asyncio
import ipaddress
import random
import re
import socket
from dataclasses import dataclass
from functools import lru_cache

import dns.asyncresolver
import dns.exception
import dns.resolver
from django.conf import settings

from mailcore import conf
from mailcore.mta.dns.resolver import parse_server
from mailcore.values import Outcome, deferred_outcome, failed_outcome

_HOP = re.compile(r"\[([^\]]+)\](?::(\d+))?|([^:\[\]]+)(?::(\d+))?")
_PORT = 25


@dataclass(frozen=True, slots=True)
class MxHost:
    """One address of one host. `relay` is its name in the log, `label` its name in texts."""

    name: str
    address: str
    port: int

    @property
    def label(self) -> str:
        return f"{self.name}[{self.address}]"

    @property
    def relay(self) -> str:
        return f"{self.label}:{self.port}"


class NoRoute(Exception):
    """No host accepts mail for this next hop; `outcome` is deferred if that may change."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.text)
        self.outcome = outcome


async def resolve_next_hop(next_hop: str) -> list[MxHost]:
    """Return the hosts to try for a next hop, best first, one at least and smtp_mx_address_limit at most.

    `[host]:port` is used as it is; a domain by its MX records in order of preference (equal ones at random), or by its
    own address if it has none.

    If one of the hosts is this one, it and all that are not better are left out (RFC 5321 §5.1). Raise NoRoute if the
    name does not exist, has a null MX, mail would loop back, or no name server answers.
    """
    match = _HOP.fullmatch(next_hop)
    if match is None:
        raise NoRoute(failed_outcome("5.4.4", f"unable to look up host {next_hop}: bad name"))
    if match[1]:
        peers = await _host_addresses(match[1].removeprefix("IPv6:"), int(match[2] or _PORT))
        return peers[: conf.current().smtp_mx_address_limit or None]
    return await _lookup_exchangers(match[3], int(match[4] or _PORT))


async def _lookup_exchangers(domain: str, port: int) -> list[MxHost]:
    ranked = sorted(await _mx_records(domain), key=lambda record: (record[0], random.random()))
    resolved = await asyncio.gather(*(_host_addresses(name, port) for _, name in ranked), return_exceptions=True)
    candidates: list[tuple[int, MxHost]] = []
    own: list[int] = []
    fault: NoRoute | None = None
    for (preference, name), peers in zip(ranked, resolved, strict=True):
        if isinstance(peers, NoRoute):
            # A temporary failure counts more than a permanent one.
            fault = peers if fault is None or peers.outcome.kind == "deferred" else fault
        elif isinstance(peers, BaseException):
            raise peers
        elif name.lower() == conf.current().myhostname.lower() or any(_is_self(peer) for peer in peers):
            own.append(preference)
        else:
            candidates += [(preference, peer) for peer in peers]
    better = [peer for preference, peer in candidates if not own or preference < min(own)]
    if better:
        return better[: conf.current().smtp_mx_address_limit or None]
    if own:
        raise NoRoute(failed_outcome("5.4.6", f"mail for {domain} loops back to myself"))
    assert fault is not None
    raise fault


async def _mx_records(domain: str) -> list[tuple[int, str]]:
    """Return (preference, host) of a domain's MX records; the domain itself if it has none."""
    try:
        answer = await _resolver().resolve(domain, "MX", lifetime=conf.current().dns_timeout)
    except dns.resolver.NoAnswer:
        return [(0, domain)]
    except dns.resolver.NXDOMAIN:
        if "." not in domain and len(await asyncio.to_thread(_hosts_file_addresses, domain)):
            return [(0, domain)]  # "localhost", and names in a container network.
        raise NoRoute(failed_outcome("5.4.4", _not_found(domain, "MX"))) from None
    except (dns.exception.DNSException, OSError) as error:
        raise NoRoute(deferred_outcome("4.4.3", _not_found(domain, "MX") + ", try again")) from error
    records = [(record.preference, str(record.exchange).rstrip(".")) for record in answer]
    if [name for _, name in records] == [""]:
        raise NoRoute(failed_outcome("5.1.10", f"Domain {domain} does not accept mail (nullMX)"))
    return [(preference, name) for preference, name in records if name]


def _not_found(name: str, kind: str) -> str:
    return f"Host or domain name not found. Name service error for name={name} type={kind}: Host not found"


async def _host_addresses(name: str, port: int) -> list[MxHost]:
    """Return a host's addresses, one at least. Raise NoRoute."""
    if _is_address(name):
        return [MxHost(name, name, port)]
    try:
        answers = await _resolver().resolve_name(name, lifetime=conf.current().dns_timeout)
        return [MxHost(name, address, port) for address in answers.addresses()]
    except (dns.resolver.NoAnswer, dns.resolver.NXDOMAIN):
        addresses = await asyncio.to_thread(_hosts_file_addresses, name)
        if not addresses:
            raise NoRoute(failed_outcome("5.4.4", _not_found(name, "AAAA"))) from None
        return [MxHost(name, address, port) for address in addresses]
    except (dns.exception.DNSException, OSError) as error:
        raise NoRoute(deferred_outcome("4.4.3", _not_found(name, "AAAA") + ", try again")) from error


def _resolver() -> dns.asyncresolver.Resolver:
    """Return the resolver for dns_servers, else for the system's; it caches answers for their TTL."""
    return _resolver_of(conf.current().dns_servers)


@lru_cache(maxsize=4)
def _resolver_of(servers: tuple[str, ...]) -> dns.asyncresolver.Resolver:
    resolver = dns.asyncresolver.Resolver(configure=not servers)
    if servers:
        resolver.nameservers = [parse_server(text) for text in servers]
    resolver.cache = dns.resolver.LRUCache()
    return resolver


def _hosts_file_addresses(name: str) -> list[str]:
    """Return the addresses in /etc/hosts."""
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_self(peer: MxHost) -> bool:
    """Return True if mail to this address would come back, directly or through a proxy (proxy_interfaces)."""
    if peer.address in conf.current().proxy_interfaces:
        return True
    if peer.port != settings.PORTS["smtp"]:
        return False
    family = socket.AF_INET6 if ":" in peer.address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((peer.address, 0))  # The system allows binding only to its own addresses.
        except OSError:
            return False
    return True
