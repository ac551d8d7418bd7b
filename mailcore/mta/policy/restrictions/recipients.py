"""Restrictions on the recipient: local and relay destinations (postconf(5))."""

from mailcore import conf
from mailcore.conf.interfaces import is_own_address
from mailcore.mta.dns import resolver
from mailcore.mta.policy.networks import in_networks
from mailcore.mta.policy.restrictions.evaluation import PERMIT, Evaluation, Result
from mailcore.mta.routing import route
from mailcore.store import directory
from mailcore.values import Refused
from mailcore.wire.message import envelope_address as addresses


def permit(evaluation: Evaluation, _: str) -> Result:
    return PERMIT


def reject(evaluation: Evaluation, _: str) -> Result:
    name, kind = evaluation.subject
    return evaluation.reject(conf.current().reject_code, "5.7.1", f"<{name}>: {kind} rejected: Access denied")


def defer(evaluation: Evaluation, _: str) -> Result:
    name, kind = evaluation.subject
    return evaluation.reject(conf.current().defer_code, "4.3.2", f"<{name}>: {kind} rejected: Try again later")


def defer_if_permit(evaluation: Evaluation, _: str) -> Result:
    name, kind = evaluation.subject
    return evaluation.defer_if_permit(450, "4.7.0", f"<{name}>: {kind} rejected: defer_if_permit requested")


def defer_if_reject(evaluation: Evaluation, _: str) -> Result:
    name, kind = evaluation.subject
    evaluation.defer_if_reject(450, "4.7.0", f"<{name}>: {kind} rejected: defer_if_reject requested")
    return None


def permit_auth_destination(evaluation: Evaluation, _: str) -> Result:
    recipient = evaluation.question.recipient
    return PERMIT if recipient and is_local_destination(recipient) else None


def reject_unauth_destination(evaluation: Evaluation, _: str) -> Result:
    return _unauth_destination(evaluation, conf.current().relay_domains_reject_code, "5.7.1")


def defer_unauth_destination(evaluation: Evaluation, _: str) -> Result:
    return _unauth_destination(evaluation, conf.current().relay_domains_reject_code - 100, "4.7.1")


def _unauth_destination(evaluation: Evaluation, code: int, enhanced: str) -> Result:
    recipient = evaluation.question.recipient
    if recipient is None or is_local_destination(recipient):
        return None
    return evaluation.reject(code, enhanced, f"<{recipient}>: Relay access denied")


def is_local_destination(address: str) -> bool:
    """Return True if the address's domain is local or relayed for, and the local part routes nowhere else."""
    local, domain = addresses.split_address(address)
    if "@" in local or "%" in local or "!" in local:
        # user%elsewhere@ours, elsewhere!user@ours: other systems would relay this (RFC 5321 §3.6.1), unless an account
        # or alias has just this name.
        return directory.find_account(address) is not None or directory.find_alias(address) is not None
    return not domain or route.is_local(domain.lower()) or route.relays_for(domain.lower())


def permit_mx_backup(evaluation: Evaluation, _: str) -> Result:
    """Permit local destinations, and domains with this host among their MX hosts.

    The first MX host must be in permit_mx_backup_networks (empty: any).
    """
    recipient = evaluation.question.recipient
    if not recipient:
        return None
    if is_local_destination(recipient):
        return PERMIT
    parameters, local, domain = conf.current(), *addresses.split_address(recipient)
    if set("@%!") & set(local):
        return None
    try:
        exchanges = resolver.lookup_mx(domain)
        own = any(
            host == parameters.myhostname.lower() or any(map(is_own_address, resolver.lookup_addresses(host)))
            for host in exchanges
        )
        networks = parameters.permit_mx_backup_networks
        if own and (
            not networks or any(in_networks(each, networks) for each in resolver.lookup_addresses(exchanges[0]))
        ):
            return PERMIT
    except resolver.DnsError:
        evaluation.defer_if_reject(
            450, "4.4.4", f"<{recipient}>: Recipient address rejected: Unable to look up mail host"
        )
    return None


def reject_multi_recipient_bounce(evaluation: Evaluation, _: str) -> Result:
    question = evaluation.question
    limit = 0 if question.stage == "RCPT" else 1
    if question.sender != "" or question.recipients <= limit:
        return None
    name, kind = evaluation.subject
    return evaluation.reject(550, "5.5.3", f"<{name}>: {kind} rejected: Multi-recipient bounce")


def reject_unlisted_recipient(evaluation: Evaluation, _: str) -> Result:
    """Reject an unknown recipient in a local domain, or in a relay domain with known recipients."""
    recipient = evaluation.question.recipient
    if not recipient:
        return None
    destination = evaluation.recipient_route = route.route_address(recipient)
    if not isinstance(destination, Refused):
        return None
    text = f"<{recipient}>: Recipient address rejected: {destination.reply.text}"
    return evaluation.reject(destination.reply.code, destination.reply.enhanced, text)
