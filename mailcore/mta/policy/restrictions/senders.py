"""Restrictions on the sender and the ownership of its address (postconf(5), smtpd_sender_restrictions)."""

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
    """Reject a domain that has neither MX nor address records: it can neither send nor receive mail."""
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
    destination = route.route_address(sender)
    if isinstance(destination, Refused):
        return evaluation.reject(
            destination.reply.code, "5.1.0", f"<{sender}>: Sender address rejected: {destination.reply.text}"
        )
    return None


# --- Ownership ------------------------------------------------------------------------------------


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
    """Reject a sender that another account owns; with `unknown`, also one that no account owns."""
    sender, login = evaluation.question.sender, evaluation.question.client.login
    if not sender:
        return None
    owners = sender_owners(sender)
    if login.lower() in owners or (not owners and not unknown):
        return None
    return evaluation.reject(553, "5.7.1", f"<{sender}>: Sender address rejected: not owned by user {login}")


def _reject_unauthenticated(evaluation: Evaluation) -> Result:
    sender = evaluation.question.sender
    if not sender or not sender_owners(sender):
        return None
    return evaluation.reject(553, "5.7.1", f"<{sender}>: Sender address rejected: not logged in")


def sender_owners(sender: str) -> frozenset[str]:
    """Return the log-in names (addresses of accounts, lower case) that may send as this address.

    smtpd_sender_login_maps decides if it has an entry. Otherwise an account owns its own address, with any extension
    and under every name of its domain, and the aliases that lead to it alone.
    """
    sender = alias_expansion.qualify(sender)
    local, domain = addresses.split_address(sender)
    keys = [*(f"{each}@{domain}" for each in alias_expansion.local_part_candidates(local)), f"@{domain}"]
    mapped = lookup_tables.find_first(conf.current().smtpd_sender_login_maps, keys)
    if mapped is not None:
        return frozenset(re.split(r"[,\s]+", mapped.strip().lower()))
    if (own := _account_for(sender)) is not None:
        return frozenset((own,))
    try:
        expanded = alias_expansion.expand_address(sender)
    except (alias_expansion.TooManyTargets, alias_expansion.IncludeError):
        return frozenset()
    if len(expanded.targets) != 1 or expanded.owned:
        return frozenset()
    owner = _account_for(expanded.targets[0])
    return frozenset((owner,)) if owner else frozenset()


def _account_for(address: str) -> str | None:
    """Return the account an address names directly, ignoring aliases and whether it receives mail."""
    local, domain_name = addresses.split_address(address)
    domain = alias_expansion.local_domain_of(domain_name)
    if domain is None:
        return None
    for candidate in alias_expansion.local_part_candidates(local):
        account = directory.find_account(f"{candidate}@{domain.target or domain.name}")
        if account is not None:
            return account.address
    return None
