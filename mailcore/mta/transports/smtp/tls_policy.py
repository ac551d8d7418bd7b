"""TLS with other hosts (RFC 3207, RFC 7435): smtp_tls_security_level, overridden by smtp_tls_policy_maps.

none     no TLS
may      opportunistic: cleartext if the host has no or broken TLS; certificates are not verified
encrypt  mandatory TLS; certificates are not verified
verify   the certificate must be trusted and match the host's name (smtp_tls_verify_cert_match)
secure   the certificate must be trusted and match the destination (smtp_tls_secure_cert_match), which a forged MX
         record cannot change
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
    """The TLS policy of a destination. `match` holds the names a certificate may have.

    `level` is one of LEVELS, or an invalid word from the configuration.
    """

    level: str = "may"
    match: tuple[str, ...] = ()

    @property
    def mandatory(self) -> bool:
        return self.level not in ("none", "may")

    @property
    def verifies_certificate(self) -> bool:
        """True if the certificate is verified."""
        return self.level in ("verify", "secure")

    @property
    def problem(self) -> str:
        """The error in the policy itself, "" if there is none."""
        return "" if self.level in LEVELS else f"no such TLS security level: {self.level}"


def policy_for(next_hop: str) -> TlsPolicy:
    """Return the policy of a destination: the table's entry for the next hop as written, its domain or its parents.

    Parents are written ".example"; without an entry the general policy applies.
    """
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
    """Return "mx.example" for "[mx.example]:25", "example.org" for "example.org:26"."""
    return next_hop[1:].partition("]")[0] if next_hop.startswith("[") else next_hop.partition(":")[0]


@lru_cache(maxsize=8)
def client_context(ca_file: str, *, verify: bool) -> ssl.SSLContext:
    """Return the TLS context for connections to other hosts, cached, since creating one reads all trusted certificates.

    Raise OSError or ssl.SSLError if the CA file cannot be used.
    """
    context = ssl.create_default_context(cafile=ca_file or None)
    context.check_hostname = False  # `certificate_matches` supports more kinds of names.
    if not verify:
        context.verify_mode = ssl.CERT_NONE
    return context


def certificate_matches(certificate: dict[str, Any] | None, policy: TlsPolicy, host: str, next_hop: str) -> bool:
    """Return True if the certificate (as from ssl's getpeercert) matches the policy's names (RFC 6125 §6.4)."""
    names = [value.lower() for kind, value in (certificate or {}).get("subjectAltName", ()) if kind == "DNS"]
    domain = domain_of(next_hop).lower()
    patterns = [
        {"hostname": host, "nexthop": domain, "dot-nexthop": f".{domain}"}.get(name, name).lower()
        for name in policy.match
    ]
    return any(_name_matches(name, names) for name in patterns)


def _name_matches(pattern: str, names: Sequence[str]) -> bool:
    """Match one name: ".example.org" matches every subdomain; "*." in a certificate matches one label."""
    if pattern.startswith("."):
        return any(name.endswith(pattern) for name in names)
    _, _, parent = pattern.partition(".")
    return pattern in names or ("." in parent and f"*.{parent}" in names)
