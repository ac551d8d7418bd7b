"""DNS blocklists and allowlists of addresses and domains (RFC 5782; postconf(5)).

`zone=127.0.0.[2..11]` restricts a list to some of its answers. A name server that does not answer causes no rejection;
if it could have permitted, a rejection becomes a deferral.
"""

import ipaddress
import re
from functools import lru_cache

from mailcore import conf
from mailcore.conf.value_types import expand
from mailcore.mta.dns import resolver
from mailcore.mta.policy.restrictions.evaluation import PERMIT, Evaluation, Misconfigured, Result
from mailcore.store.settings import lookup_tables
from mailcore.wire.message import envelope_address as addresses


def reject_rbl_client(evaluation: Evaluation, zone: str) -> Result:
    address = evaluation.question.client.address
    return _reject_listed(evaluation, zone, reversed_address(address), address, "Client host")


def permit_dnswl_client(evaluation: Evaluation, zone: str) -> Result:
    return _permit_listed(evaluation, zone, reversed_address(evaluation.question.client.address))


def reject_rhsbl_client(evaluation: Evaluation, zone: str) -> Result:
    return _reject_domain(evaluation, zone, evaluation.question.client.name, "Client host")


def permit_rhswl_client(evaluation: Evaluation, zone: str) -> Result:
    name = evaluation.question.client.name
    return None if name == "unknown" else _permit_listed(evaluation, zone, name)


def reject_rhsbl_reverse_client(evaluation: Evaluation, zone: str) -> Result:
    return _reject_domain(evaluation, zone, evaluation.question.client.reverse_name, "Unverified Client host")


def reject_rhsbl_helo(evaluation: Evaluation, zone: str) -> Result:
    return _reject_domain(evaluation, zone, evaluation.question.client.helo, "Helo command")


def reject_rhsbl_sender(evaluation: Evaluation, zone: str) -> Result:
    return _reject_domain(evaluation, zone, evaluation.question.sender or "", "Sender address")


def reject_rhsbl_recipient(evaluation: Evaluation, zone: str) -> Result:
    return _reject_domain(evaluation, zone, evaluation.question.recipient or "", "Recipient address")


def _reject_domain(evaluation: Evaluation, zone: str, what: str, kind: str) -> Result:
    domain = (addresses.split_address(what)[1] or what).lower() if what else ""
    if not domain or domain == "unknown" or domain.startswith("[") or re.fullmatch(r"[\d.]+|.*:.*", domain):
        return None
    return _reject_listed(evaluation, zone, domain, what, kind)


def _reject_listed(evaluation: Evaluation, zone: str, name: str, what: str, kind: str) -> Result:
    try:
        if not _query_list(name, zone):
            return None
        domain = zone.partition("=")[0]
        reasons = resolver.lookup_records(f"{name}.{domain}", "TXT")
    except resolver.DnsError as error:
        evaluation.notes.append(("warning", f"RBL lookup error: {error}"))
        return None
    return evaluation.reject(*_rejection_reply(evaluation, zone, domain, what, kind, reasons[0] if reasons else ""))


def _permit_listed(evaluation: Evaluation, zone: str, name: str) -> Result:
    try:
        return PERMIT if _query_list(name, zone) else None
    except resolver.DnsError as error:
        evaluation.notes.append(("warning", f"RBL lookup error: {error}"))
        evaluation.defer_if_reject(450, "4.7.1", f"<{name}>: allowlist lookup error: {error}")
        return None


def _query_list(name: str, zone: str) -> bool:
    domain, _, pattern = zone.partition("=")
    found = resolver.lookup_records(f"{name}.{domain}", "A")
    return any(_compile_reply_filter(pattern).fullmatch(answer) for answer in found) if pattern else bool(found)


def reversed_address(address: str) -> str:
    """Return 192.0.2.7 as 7.2.0.192, an IPv6 address by its digits (RFC 5782 §2.1, §2.4)."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped:
        parsed = parsed.ipv4_mapped
    return parsed.reverse_pointer.removesuffix(".in-addr.arpa").removesuffix(".ip6.arpa")


@lru_cache(maxsize=256)
def _compile_reply_filter(text: str) -> re.Pattern[str]:
    """Compile 127.0.[0,1].[2..11] to a regular expression. Raise Misconfigured."""
    parts = re.findall(r"\[[^]]*\]|\d+", text)
    if len(parts) != 4 or ".".join(parts) != text:
        raise Misconfigured(f"bad DNSBL address pattern: {text}")
    return re.compile(r"\.".join(f"(?:{'|'.join(map(str, _parse_byte_range(part)))})" for part in parts))


def _parse_byte_range(text: str) -> list[int]:
    """Parse the values of one part. Postfix writes [2;5..7]; a comma is accepted unless it ends the word."""
    found: list[int] = []
    for part in re.split(r"[;,]", text.strip("[]")):
        low, _, high = part.partition("..")
        if not low.isdigit() or (high and not high.isdigit()):
            raise Misconfigured(f"bad DNSBL address pattern: {text}")
        found += range(int(low), int(high or low) + 1)
    return found


def _rejection_reply(
    evaluation: Evaluation, zone: str, domain: str, what: str, kind: str, reason: str
) -> tuple[int, str, str]:
    """Return (code, enhanced status, text) by rbl_reply_maps or default_rbl_reply."""
    parameters, client = conf.current(), evaluation.question.client
    values = {
        "rbl_code": str(parameters.maps_rbl_reject_code),
        "rbl_class": kind,
        "rbl_domain": domain,
        "rbl_reason": reason,
        "rbl_txt": reason,
        "rbl_what": what,
        "client": evaluation.question.client_label,
        "client_address": client.address,
        "client_name": client.name,
        "reverse_client_name": client.reverse_name,
        "helo_name": client.helo,
        "sender": evaluation.question.sender or "<>",
        "recipient": evaluation.question.recipient or "",
    }
    template = lookup_tables.find_first(parameters.rbl_reply_maps, [zone, domain]) or parameters.default_rbl_reply
    # Text from the DNS or from the client is never itself expanded.
    text = expand(template, lambda name: values.get(name, "").replace("$", "$$"))
    match = re.fullmatch(r"([45]\d\d) (?:([245]\.\d{1,3}\.\d{1,3}) )?(.*)", text, re.DOTALL)
    if match is None:
        return 450, "4.7.1", "Service unavailable"
    return int(match[1]), match[2] or "5.7.1", match[3]
