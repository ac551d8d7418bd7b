"""May this client send this letter to this recipient? Asked at RCPT, while the client is still on the
line: unknown users, relaying and full mailboxes are refused here, so nothing bounces later.

Called by the SMTP and LMTP servers. Answers are `Verdict`s, the texts are Postfix's (compat: replies).
"""

import ipaddress
from functools import lru_cache

from mailcore import conf
from mailcore.post import route
from mailcore.store import quota
from mailcore.terms import Client, Local, Refused, Reply, Verdict
from mailcore.wire import address as addresses

_OK = Reply(250, "2.1.5", "Ok")


def recipient(client: Client, sender: str, address: str, size: int) -> Verdict:
    """The verdict on RCPT TO:<address>; `size` is MAIL's SIZE= or 0."""
    refusal = _may_relay(client, address)
    if refusal is not None:
        return Verdict(False, refusal)
    way = route.route(address)
    if isinstance(way, Refused):
        text = f"<{address}>: Recipient address rejected: {way.reply.text}"
        return Verdict(False, Reply(way.reply.code, way.reply.enhanced, text))
    if isinstance(way, Local):
        full = quota.room_for(way.account_id, size)
        if full is not None:
            text = f"<{address}>: Recipient address rejected: {full.text}"
            return Verdict(False, Reply(full.code, full.enhanced, text))
        return Verdict(True, _OK, final=way.address)
    return Verdict(True, _OK)


def _may_relay(client: Client, address: str) -> Reply | None:
    """smtpd_relay_restrictions, then smtpd_recipient_restrictions: the first decision of each list counts."""
    parameters = conf.current()
    for restrictions in (parameters.smtpd_relay_restrictions, parameters.smtpd_recipient_restrictions):
        for restriction in restrictions:
            decision = _RESTRICTIONS[restriction](client, address)
            if decision is True:
                break
            if isinstance(decision, Reply):
                return decision
    return None


def _permit(client: Client, address: str) -> bool:
    return True


def _permit_mynetworks(client: Client, address: str) -> bool:
    return in_networks(client.address, conf.current().mynetworks)


def _permit_sasl_authenticated(client: Client, address: str) -> bool:
    return bool(client.login)


def _is_ours(address: str) -> bool:
    """Is the address's domain ours, and is it no trick to make us relay for a stranger?"""
    local, domain = addresses.split(address)
    if "@" in local or "%" in local or "!" in local:
        # user%elsewhere@ours, elsewhere!user@ours: other systems would send this on (RFC 5321 §3.6.1).
        return False
    return not domain or route.is_local(domain.lower()) or route.relays_for(domain.lower())


def _permit_auth_destination(client: Client, address: str) -> bool:
    return _is_ours(address)


def _reject_unauth_destination(client: Client, address: str) -> Reply | None:
    return None if _is_ours(address) else Reply(554, "5.7.1", f"<{address}>: Relay access denied")


def _defer_unauth_destination(client: Client, address: str) -> Reply | None:
    return None if _is_ours(address) else Reply(454, "4.7.1", f"<{address}>: Relay access denied")


def _reject(client: Client, address: str) -> Reply:
    return Reply(554, "5.7.1", f"<{address}>: Recipient address rejected: Access denied")


def _defer(client: Client, address: str) -> Reply:
    return Reply(450, "4.7.1", f"<{address}>: Recipient address rejected: Try again later")


_RESTRICTIONS = {
    "permit": _permit,
    "permit_mynetworks": _permit_mynetworks,
    "permit_sasl_authenticated": _permit_sasl_authenticated,
    "permit_auth_destination": _permit_auth_destination,
    "reject_unauth_destination": _reject_unauth_destination,
    "defer_unauth_destination": _defer_unauth_destination,
    "reject": _reject,
    "defer": _defer,
}


@lru_cache(maxsize=4096)
def in_networks(client_address: str, networks: tuple[str, ...]) -> bool:
    """Is the address in a list such as mynetworks? Left to right, the first match counts, "!" excludes."""
    try:
        address = ipaddress.ip_address(client_address)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    for word in networks:
        pattern = word.removeprefix("!").replace("[", "").replace("]", "")
        try:
            network = ipaddress.ip_network(pattern, strict=False)
        except ValueError:
            continue
        if address.version == network.version and address in network:
            return not word.startswith("!")
    return False


def sender_size(size: int) -> Reply | None:
    """The refusal at MAIL for a letter of `size` octets (SIZE=, or what has come so far); None: it may come."""
    limit = conf.current().message_size_limit
    if limit and size > limit:
        return Reply(552, "5.3.4", "Message size exceeds fixed limit")
    return None
