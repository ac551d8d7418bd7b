"""Restrictions on the client and its HELO name (postconf(5), smtpd_client_restrictions, smtpd_helo_restrictions)."""

import ipaddress
import re

from mailcore import conf
from mailcore.conf.interfaces import is_own_address
from mailcore.mta.dns import resolver
from mailcore.mta.policy.networks import in_networks
from mailcore.mta.policy.restrictions.evaluation import PERMIT, Evaluation, Result
from mailcore.store.settings import lookup_tables

_LABEL = r"[a-zA-Z0-9_](?:[a-zA-Z0-9_-]{0,61}[a-zA-Z0-9_])?"
_HOSTNAME = re.compile(rf"(?=.{{1,255}}$){_LABEL}(?:\.{_LABEL})*")


def permit_mynetworks(evaluation: Evaluation, _: str) -> Result:
    return PERMIT if in_networks(evaluation.question.client.address, conf.current().mynetworks) else None


def permit_inet_interfaces(evaluation: Evaluation, _: str) -> Result:
    return PERMIT if is_own_address(evaluation.question.client.address) else None


def permit_sasl_authenticated(evaluation: Evaluation, _: str) -> Result:
    return PERMIT if evaluation.question.client.login else None


def permit_tls_clientcerts(evaluation: Evaluation, _: str) -> Result:
    certificate = evaluation.question.client.certificate
    return PERMIT if certificate and lookup_tables.find_first(conf.current().relay_clientcerts, [certificate]) else None


def permit_tls_all_clientcerts(evaluation: Evaluation, _: str) -> Result:
    return PERMIT if evaluation.question.client.certificate else None


def reject_plaintext_session(evaluation: Evaluation, _: str) -> Result:
    if evaluation.question.client.tls:
        return None
    return evaluation.reject(conf.current().plaintext_reject_code, "5.7.1", "Session encryption is required")


def reject_unauth_pipelining(evaluation: Evaluation, _: str) -> Result:
    if not evaluation.question.client.improper:
        return None
    name, kind = evaluation.subject
    return evaluation.reject(503, "5.5.0", f"<{name}>: {kind} rejected: Improper use of SMTP command pipelining")


def reject_unknown_client_hostname(evaluation: Evaluation, _: str) -> Result:
    client = evaluation.question.client
    if client.name != "unknown":
        return None
    code = 450 if client.name_trouble else conf.current().unknown_client_reject_code
    return evaluation.reject(code, "5.7.25", f"Client host rejected: cannot find your hostname, [{client.address}]")


def reject_unknown_reverse_client_hostname(evaluation: Evaluation, _: str) -> Result:
    client = evaluation.question.client
    if client.reverse_name != "unknown" or client.name != "unknown":
        return None
    code = 450 if client.reverse_trouble else conf.current().unknown_client_reject_code
    return evaluation.reject(
        code, "5.7.1", f"Client host rejected: cannot find your reverse hostname, [{client.address}]"
    )


# --- HELO -----------------------------------------------------------------------------------------


def reject_invalid_helo_hostname(evaluation: Evaluation, _: str) -> Result:
    helo = evaluation.question.client.helo
    if helo.startswith("["):
        return _invalid_literal(evaluation, helo)
    if not helo or _HOSTNAME.fullmatch(helo) or _is_address(helo):
        return None
    code = conf.current().invalid_hostname_reject_code
    return evaluation.reject(code, "5.5.2", f"<{helo}>: Helo command rejected: Invalid name")


def reject_non_fqdn_helo_hostname(evaluation: Evaluation, _: str) -> Result:
    helo = evaluation.question.client.helo
    if helo.startswith("["):
        return _invalid_literal(evaluation, helo)
    if not helo or (is_qualified(helo)):
        return None
    code = conf.current().non_fqdn_reject_code
    return evaluation.reject(code, "5.5.2", f"<{helo}>: Helo command rejected: need fully-qualified hostname")


def reject_unknown_helo_hostname(evaluation: Evaluation, _: str) -> Result:
    helo = evaluation.question.client.helo
    if helo.startswith("["):
        return _invalid_literal(evaluation, helo)
    text = f"<{helo}>: Helo command rejected: Host not found"
    try:
        if not helo or resolver.lookup_addresses(helo) or resolver.lookup_mx(helo):
            return None
    except resolver.DnsError:
        return evaluation.defer_if_permit(450, "5.7.1", text)
    return evaluation.reject(conf.current().unknown_hostname_reject_code, "5.7.1", text)


def _invalid_literal(evaluation: Evaluation, helo: str) -> Result:
    """Reject unless the name is [192.0.2.7] or [IPv6:2001:db8::7] (RFC 5321 §4.1.3)."""
    address = helo.removeprefix("[").removesuffix("]")
    if helo.endswith("]") and _is_address(address[5:] if address.lower().startswith("ipv6:") else address):
        return None
    code = conf.current().invalid_hostname_reject_code
    return evaluation.reject(code, "5.5.2", f"<{helo}>: Helo command rejected: invalid ip address")


def is_qualified(name: str) -> bool:
    """Return True if this is a host name with a domain."""
    return "." in name and _HOSTNAME.fullmatch(name) is not None


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
