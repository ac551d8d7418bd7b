"""TLS with other hosts (RFC 3207, RFC 7435): smtp_tls_security_level, or what smtp_tls_policy_maps says instead.

none     no TLS
may      where it is offered; a host whose TLS is broken is spoken to in the clear, certificates are not judged
encrypt  TLS or no mail; certificates are not judged
verify   the certificate must be one we trust, in the name of the host (smtp_tls_verify_cert_match)
secure   the same in the name of the destination (smtp_tls_secure_cert_match), which no forged MX can change
"""

import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from mailcore import conf
from mailcore.logs import writer
from mailcore.store.settings import lookup_tables

LEVELS = ("none", "may", "encrypt", "verify", "secure")


@dataclass(frozen=True, slots=True)
class TlsPolicy:
    """`level` is one of LEVELS, or what somebody wrote instead; `match` the names a certificate may have."""

    level: str = "may"
    match: tuple[str, ...] = ()

    @property
    def mandatory(self) -> bool:
        return self.level not in ("none", "may")

    @property
    def judged(self) -> bool:
        """Does the certificate matter?"""
        return self.level in ("verify", "secure")

    @property
    def problem(self) -> str:
        """What is wrong with the policy itself, "" for nothing."""
        return "" if self.level in LEVELS else f"no such TLS security level: {self.level}"


def policy_for(next_hop: str) -> TlsPolicy:
    """The policy of a destination, as the table has it under the next hop's own words, its domain or its
    parents (".example"); the general one where the table has nothing."""
    parameters = conf.current()
    value = lookup_tables.find_first(parameters.smtp_tls_policy_maps, _keys(next_hop))
    level, *attributes = value.split() if value else [parameters.smtp_tls_security_level]
    names = tuple(name for each in attributes if each.startswith("match=") for name in each[6:].split(":"))
    if not names:
        names = {
            "verify": parameters.smtp_tls_verify_cert_match,
            "secure": parameters.smtp_tls_secure_cert_match,
        }.get(level, ())
    policy = TlsPolicy(level, names)
    if policy.problem:
        writer.write("smtp", f"warning: TLS policy of {next_hop}: {policy.problem}")
    return policy


def _keys(next_hop: str) -> list[str]:
    domain = domain_of(next_hop)
    parts = domain.split(".")
    return list(dict.fromkeys([next_hop, domain, *("." + ".".join(parts[at:]) for at in range(1, len(parts)))]))


def domain_of(next_hop: str) -> str:
    """ "mx.example" of "[mx.example]:25", "example.org" of "example.org:26"."""
    return next_hop[1:].partition("]")[0] if next_hop.startswith("[") else next_hop.partition(":")[0]


@lru_cache(maxsize=8)
def client_context(ca_file: str, *, judged: bool) -> ssl.SSLContext:
    """For a connection to another host. Making one reads all certificates we trust, so they are kept. OSError or
    ssl.SSLError: the file of certificates cannot be used."""
    made = ssl.create_default_context(cafile=ca_file or None)
    made.check_hostname = False  # `is_named` knows more kinds of names
    if not judged:
        made.verify_mode = ssl.CERT_NONE
    return made


def certificate_matches(certificate: dict[str, Any] | None, policy: TlsPolicy, host: str, next_hop: str) -> bool:
    """Is the certificate (as ssl's getpeercert gives it) in one of the names the policy allows (RFC 6125 §6.4)?"""
    said = [value.lower() for kind, value in (certificate or {}).get("subjectAltName", ()) if kind == "DNS"]
    domain = domain_of(next_hop).lower()
    wanted = [
        {"hostname": host, "nexthop": domain, "dot-nexthop": f".{domain}"}.get(name, name).lower()
        for name in policy.match
    ]
    return any(_name_matches(name, said) for name in wanted)


def _name_matches(wanted: str, said: Sequence[str]) -> bool:
    """ ".example.org" stands for every name below it; "*." in a certificate for one label."""
    if wanted.startswith("."):
        return any(name.endswith(wanted) for name in said)
    _, _, parent = wanted.partition(".")
    return wanted in said or ("." in parent and f"*.{parent}" in said)
