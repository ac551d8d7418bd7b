"""Restrictions about the sender, and whose address it is (postconf(5), smtpd_sender_restrictions)."""

import re

from mailcore import conf
from mailcore.mta.dns import resolver
from mailcore.mta.policy.restrictions.clients import is_qualified
from mailcore.mta.policy.restrictions.evaluation import Evaluation, Result
from mailcore.mta.routing import alias_expansion, route
from mailcore.store import directory
from mailcore.store.settings import lookup_tables
from mailcore.values import Refused
from mailcore.wire.message import envelope_address as addresses


def reject_non_fqdn_sender(evaluation: Evaluation, _: str) -> Result:
    return _reject_non_fqdn(evaluation, evaluation.question.sender, "Sender address")


def reject_non_fqdn_recipient(evaluation: Evaluation, _: str) -> Result:
    return _reject_non_fqdn(evaluation, evaluation.question.recipient, "Recipient address")


def _reject_non_fqdn(evaluation: Evaluation, address: str | None, kind: str) -> Result:
    domain = addresses.split_address(address or "")[1]
    if not address or domain.startswith("[") or is_qualified(domain):
        return None
    code = conf.current().non_fqdn_reject_code
    return evaluation.reject(code, "5.5.2", f"<{address}>: {kind} rejected: need fully-qualified address")


def reject_unknown_sender_domain(evaluation: Evaluation, _: str) -> Result:
    return _reject_unknown_domain(evaluation, evaluation.question.sender, "Sender address", "5.1.8", (550, "5.7.27"))


def reject_unknown_recipient_domain(evaluation: Evaluation, _: str) -> Result:
    return _reject_unknown_domain(
        evaluation, evaluation.question.recipient, "Recipient address", "5.1.2", (556, "5.1.10")
    )


def _reject_unknown_domain(
    evaluation: Evaluation, address: str | None, kind: str, status: str, null: tuple[int, str]
) -> Result:
    """A domain that neither takes mail nor has an address cannot have sent, or get, a message."""
    domain = addresses.split_address(address or "")[1].lower()
    if not domain or domain.startswith("[") or route.is_local(domain):
        return None
    text = f"<{address}>: {kind} rejected: Domain not found"
    try:
        exchanges = resolver.lookup_mx(domain)
        if exchanges == ("",):
            text = f"<{address}>: {kind} rejected: Domain {domain} does not accept mail (nullMX)"
            return evaluation.reject(*null, text)
        if exchanges or resolver.lookup_addresses(domain):
            return None
    except resolver.DnsError:
        return evaluation.defer_if_permit(450, status, text)
    return evaluation.reject(conf.current().unknown_address_reject_code, status, text)


def reject_unlisted_sender(evaluation: Evaluation, _: str) -> Result:
    sender = evaluation.question.sender
    if not sender or not route.is_local(addresses.split_address(sender)[1].lower()):
        return None
    way = route.route_address(sender)
    if isinstance(way, Refused):
        return evaluation.reject(way.reply.code, "5.1.0", f"<{sender}>: Sender address rejected: {way.reply.text}")
    return None


# --- Whose address --------------------------------------------------------------------------------


def reject_sender_login_mismatch(evaluation: Evaluation, _: str) -> Result:
    login = evaluation.question.client.login
    return _reject_login_mismatch(evaluation, unknown=True) if login else _reject_unauthenticated(evaluation)


def reject_authenticated_sender_login_mismatch(evaluation: Evaluation, _: str) -> Result:
    return _reject_login_mismatch(evaluation, unknown=True) if evaluation.question.client.login else None


def reject_unauthenticated_sender_login_mismatch(evaluation: Evaluation, _: str) -> Result:
    return None if evaluation.question.client.login else _reject_unauthenticated(evaluation)


def reject_known_sender_login_mismatch(evaluation: Evaluation, _: str) -> Result:
    login = evaluation.question.client.login
    return _reject_login_mismatch(evaluation, unknown=False) if login else _reject_unauthenticated(evaluation)


def _reject_login_mismatch(evaluation: Evaluation, *, unknown: bool) -> Result:
    """Refuse a sender that is somebody else's; where `unknown`, one that is nobody's too."""
    sender, login = evaluation.question.sender, evaluation.question.client.login
    if not sender:
        return None
    found = sender_owners(sender)
    if login.lower() in found or (not found and not unknown):
        return None
    return evaluation.reject(553, "5.7.1", f"<{sender}>: Sender address rejected: not owned by user {login}")


def _reject_unauthenticated(evaluation: Evaluation) -> Result:
    sender = evaluation.question.sender
    if not sender or not sender_owners(sender):
        return None
    return evaluation.reject(553, "5.7.1", f"<{sender}>: Sender address rejected: not logged in")


def sender_owners(sender: str) -> frozenset[str]:
    """The sign-in names (addresses of accounts, lower case) that may send as this address.

    What smtpd_sender_login_maps says where they say something. Else an account owns its own address, with
    any extension and under every name of its domain, and the aliases that lead to nobody but it.
    """
    sender = alias_expansion.qualify(sender)
    local, domain = addresses.split_address(sender)
    keys = [*(f"{each}@{domain}" for each in alias_expansion.local_part_candidates(local)), f"@{domain}"]
    tabled = lookup_tables.find_first(conf.current().smtpd_sender_login_maps, keys)
    if tabled is not None:
        return frozenset(re.split(r"[,\s]+", tabled.strip().lower()))
    if (own := _account_for(sender)) is not None:
        return frozenset((own,))
    try:
        expanded = alias_expansion.expand_address(sender)
    except (alias_expansion.TooManyTargets, alias_expansion.IncludeError):
        return frozenset()
    if len(expanded.targets) != 1 or expanded.owned:
        return frozenset()
    only = _account_for(expanded.targets[0])
    return frozenset((only,)) if only else frozenset()


def _account_for(address: str) -> str | None:
    """The account that an address names by itself, whatever aliases make of it, and whether it receives or not."""
    local, domain_name = addresses.split_address(address)
    domain = alias_expansion.local_domain_of(domain_name)
    if domain is None:
        return None
    for candidate in alias_expansion.local_part_candidates(local):
        account = directory.find_account(f"{candidate}@{domain.target or domain.name}")
        if account is not None:
            return account.address
    return None
