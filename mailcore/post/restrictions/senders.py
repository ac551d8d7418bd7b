"""Restrictions about the sender, and whose address it is (postconf(5), smtpd_sender_restrictions)."""

import re

from mailcore import conf
from mailcore.post import expansion, resolver, route
from mailcore.post.restrictions.clients import is_qualified
from mailcore.post.restrictions.evaluation import Evaluation, Result
from mailcore.store import directory, tables
from mailcore.terms import Refused
from mailcore.wire import address as addresses


def reject_non_fqdn_sender(evaluation: Evaluation, _: str) -> Result:
    return _non_fqdn(evaluation, evaluation.question.sender, "Sender address")


def reject_non_fqdn_recipient(evaluation: Evaluation, _: str) -> Result:
    return _non_fqdn(evaluation, evaluation.question.recipient, "Recipient address")


def _non_fqdn(evaluation: Evaluation, address: str | None, kind: str) -> Result:
    domain = addresses.split(address or "")[1]
    if not address or domain.startswith("[") or is_qualified(domain):
        return None
    code = conf.current().non_fqdn_reject_code
    return evaluation.reject(code, "5.5.2", f"<{address}>: {kind} rejected: need fully-qualified address")


def reject_unknown_sender_domain(evaluation: Evaluation, _: str) -> Result:
    return _unknown_domain(evaluation, evaluation.question.sender, "Sender address", "5.1.8", (550, "5.7.27"))


def reject_unknown_recipient_domain(evaluation: Evaluation, _: str) -> Result:
    return _unknown_domain(evaluation, evaluation.question.recipient, "Recipient address", "5.1.2", (556, "5.1.10"))


def _unknown_domain(
    evaluation: Evaluation, address: str | None, kind: str, status: str, null: tuple[int, str]
) -> Result:
    """A domain that neither takes mail nor has an address cannot have sent, or get, a letter."""
    domain = addresses.split(address or "")[1].lower()
    if not domain or domain.startswith("[") or route.is_local(domain):
        return None
    text = f"<{address}>: {kind} rejected: Domain not found"
    try:
        exchanges = resolver.exchanges(domain)
        if exchanges == ("",):
            text = f"<{address}>: {kind} rejected: Domain {domain} does not accept mail (nullMX)"
            return evaluation.reject(*null, text)
        if exchanges or resolver.addresses(domain):
            return None
    except resolver.Trouble:
        return evaluation.defer_if_permit(450, status, text)
    return evaluation.reject(conf.current().unknown_address_reject_code, status, text)


def reject_unlisted_sender(evaluation: Evaluation, _: str) -> Result:
    sender = evaluation.question.sender
    if not sender or not route.is_local(addresses.split(sender)[1].lower()):
        return None
    way = route.route(sender)
    if isinstance(way, Refused):
        return evaluation.reject(way.reply.code, "5.1.0", f"<{sender}>: Sender address rejected: {way.reply.text}")
    return None


# --- Whose address --------------------------------------------------------------------------------


def reject_sender_login_mismatch(evaluation: Evaluation, _: str) -> Result:
    login = evaluation.question.client.login
    return _not_own(evaluation, unknown=True) if login else _not_signed_in(evaluation)


def reject_authenticated_sender_login_mismatch(evaluation: Evaluation, _: str) -> Result:
    return _not_own(evaluation, unknown=True) if evaluation.question.client.login else None


def reject_unauthenticated_sender_login_mismatch(evaluation: Evaluation, _: str) -> Result:
    return None if evaluation.question.client.login else _not_signed_in(evaluation)


def reject_known_sender_login_mismatch(evaluation: Evaluation, _: str) -> Result:
    login = evaluation.question.client.login
    return _not_own(evaluation, unknown=False) if login else _not_signed_in(evaluation)


def _not_own(evaluation: Evaluation, *, unknown: bool) -> Result:
    """Refuse a sender that is somebody else's; where `unknown`, one that is nobody's too."""
    sender, login = evaluation.question.sender, evaluation.question.client.login
    if not sender:
        return None
    found = owners(sender)
    if login.lower() in found or (not found and not unknown):
        return None
    return evaluation.reject(553, "5.7.1", f"<{sender}>: Sender address rejected: not owned by user {login}")


def _not_signed_in(evaluation: Evaluation) -> Result:
    sender = evaluation.question.sender
    if not sender or not owners(sender):
        return None
    return evaluation.reject(553, "5.7.1", f"<{sender}>: Sender address rejected: not logged in")


def owners(sender: str) -> frozenset[str]:
    """The sign-in names (addresses of accounts, lower case) that may send as this address.

    What smtpd_sender_login_maps says where they say something. Else an account owns its own address, with
    any extension and under every name of its domain, and the aliases that lead to nobody but it.
    """
    sender = expansion.full(sender)
    local, domain = addresses.split(sender)
    keys = [*(f"{each}@{domain}" for each in expansion.candidates(local)), f"@{domain}"]
    tabled = tables.first(conf.current().smtpd_sender_login_maps, keys)
    if tabled is not None:
        return frozenset(re.split(r"[,\s]+", tabled.strip().lower()))
    if (own := _account(sender)) is not None:
        return frozenset((own,))
    try:
        expanded = expansion.expand(sender)
    except (expansion.Unreasonable, expansion.Misconfigured):
        return frozenset()
    if len(expanded.targets) != 1 or expanded.owned:
        return frozenset()
    only = _account(expanded.targets[0])
    return frozenset((only,)) if only else frozenset()


def _account(address: str) -> str | None:
    """The account that an address names by itself, whatever aliases make of it, and whether it receives or not."""
    local, domain_name = addresses.split(address)
    domain = expansion.domain_of(domain_name)
    if domain is None:
        return None
    for candidate in expansion.candidates(local):
        account = directory.find_account(f"{candidate}@{domain.target or domain.name}")
        if account is not None:
            return account.address
    return None
