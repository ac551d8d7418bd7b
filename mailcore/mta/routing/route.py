"""The route of a recipient: a local account, other addresses, another host, or a refusal.

Called by couriers for every recipient and by `accept` at RCPT, so that both always agree.

An address is first expanded through all aliases in one step (`alias_expansion`); the results are final: a local
account, an address at another host, a command or a directory, or unknown. The next hop of non-local mail comes from the
transport table, the sender's relay host, `relayhost`, or the domain itself, in this order (transport(5), postconf(5)).
"""

import re
from collections.abc import Sequence

from mailcore import conf
from mailcore.logs import writer
from mailcore.mta.routing import alias_expansion
from mailcore.store import directory
from mailcore.store.settings import lookup_tables
from mailcore.values import Command, Directory, Local, MboxFile, Refused, Remote, Reply, Route
from mailcore.wire.files.table_files import unquoted
from mailcore.wire.message import envelope_address as addresses

UNKNOWN = Reply(550, "5.1.1", "User unknown in virtual mailbox table")
_UNKNOWN_RELAY = Reply(550, "5.1.1", "User unknown in relay recipient table")
_TOO_MANY = Reply(550, "5.4.6", "alias expands to too many addresses")
_MISCONFIGURED = Reply(451, "4.3.5", "mail system configuration error")
_RESTRICTED = Reply(550, "5.7.1", "mail to this destination is not allowed")
_STATUS = re.compile(r"([45]\.\d{1,3}\.\d{1,3})\s*(.*)", re.DOTALL)


def route_address(address: str, *, final: bool = False, sender: str = "", kind: str = "") -> Route:
    """Return the route of an address.

    `final`: the address came out of an alias already. `kind`: "command" or "file" if it is not an address.
    """
    if kind:
        return _route_special(kind, unquoted(address))
    address = alias_expansion.qualify(address)
    if not final:
        try:
            expanded = alias_expansion.expand_address(address)
        except alias_expansion.TooManyTargets:
            return Refused(_TOO_MANY)
        except alias_expansion.IncludeError as fault:
            writer.write("local", f"warning: {address}: {fault}")
            return Refused(_MISCONFIGURED)
        if expanded.targets != (address,) or expanded.owned:
            return expanded if expanded.targets or expanded.owned else Refused(UNKNOWN)
    return _route_to_host(address, sender)


def is_local(domain_name: str) -> bool:
    """Return True if mail for this domain is delivered or redirected here."""
    domain = alias_expansion.local_domain_of(domain_name)
    return domain is not None and domain.kind != "relay"


def is_own_name(name: str) -> bool:
    """Return True for this host's name and for every domain with mailboxes here.

    No field of an incoming message may claim these names as its author's (RFC 8601 §5).
    """
    parameters = conf.current()
    return name in (parameters.myhostname.lower(), parameters.mydomain.lower()) or is_local(name)


def relays_for(domain_name: str) -> bool:
    """Return True if this is a domain whose mail is relayed for any client."""
    domain = directory.find_domain(domain_name)
    if domain is not None:
        return domain.kind == "relay"
    return domain_name in conf.current().relay_domains


def _route_special(kind: str, target: str) -> Route:
    """Return the route to a command or a file, refused unless the administrator allows it."""
    parameters = conf.current()
    if kind == "command" and "alias" in parameters.allow_mail_to_commands:
        return Command(target.removeprefix("|").strip())
    if kind != "file" or "alias" not in parameters.allow_mail_to_files:
        return Refused(_RESTRICTED)
    return Directory(target) if target.endswith("/") else MboxFile(target)


def _route_to_host(address: str, sender: str) -> Route:
    local, domain_name = addresses.split_address(address)
    if route := _lookup_transport(address, local, domain_name):
        return route
    domain = alias_expansion.local_domain_of(domain_name)
    if domain is None or domain.kind == "relay":
        if relays_for(domain_name) and not _is_relay_recipient(address, domain_name):
            return Refused(_UNKNOWN_RELAY)
        return Remote(address, relay_host(sender) or domain_name)
    for candidate in alias_expansion.local_part_candidates(local):
        account = directory.find_account(f"{candidate}@{domain.name}")
        if account is not None:
            if not account.can_receive:
                return Refused(UNKNOWN)
            detail = local[len(candidate) + 1 :]
            return Local(account.id, account.address, detail, account.filtered, account.limited, account.held)
    return Refused(UNKNOWN)


def _is_relay_recipient(address: str, domain_name: str) -> bool:
    maps = conf.current().relay_recipient_maps
    return not maps or lookup_tables.find_first(maps, (address, f"@{domain_name}")) is not None


# --- Next hops ------------------------------------------------------------------------------------


def _lookup_transport(address: str, local: str, domain_name: str) -> Route | None:
    """Look an address up in transport_maps: user+ext@domain, user@domain, domain, .parents, "*" (transport(5)).

    Return None if there is no entry, or it names local delivery.
    """
    maps = conf.current().transport_maps
    users = [f"{each}@{domain_name}" for each in alias_expansion.local_part_candidates(local)]
    parts = domain_name.split(".")
    parents = ["." + ".".join(parts[at:]) for at in range(1, len(parts))]
    value = lookup_tables.find_first(maps, (*users, domain_name, *parents, "*"))
    if not value:
        return None
    transport, _, next_hop = value.partition(":")
    next_hop = next_hop.strip()
    match transport.strip().lower():
        case "smtp" | "relay":
            return Remote(address, next_hop or domain_name)
        case "":
            return Remote(address, next_hop) if next_hop else None
        case "local" | "virtual":
            return None
        case "error":
            return Refused(_error_transport(550, "5.0.0", next_hop))
        case "retry":
            return Refused(_error_transport(450, "4.0.0", next_hop))
    return Refused(Reply(451, "4.3.5", "mail transport unavailable"))


def _error_transport(code: int, status: str, text: str) -> Reply:
    """Return the reply of an entry such as "error:5.1.1 mailbox moved" (error(8))."""
    match = _STATUS.fullmatch(text)
    if match is None:
        return Reply(code, status, text or "Address is undeliverable")
    return Reply(code, match[1], match[2] or "Address is undeliverable")


def relay_host(sender: str) -> str:
    """Return the relay host of a sender by sender_dependent_relayhost_maps, then relayhost; "" if there is none."""
    parameters = conf.current()
    if sender:
        _, domain = addresses.split_address(sender)
        relayhost = lookup_tables.find_first(parameters.sender_dependent_relayhost_maps, (sender, f"@{domain}"))
        if relayhost:
            return "" if relayhost.upper() == "DUNNO" else relayhost
    return parameters.relayhost


def relay_credentials(next_hop: str, sender: str) -> tuple[str, str] | None:
    """Return (user, password) to log in with at a next hop, by smtp_sasl_password_maps.

    Looked up in order: the sender, the next hop as written, its host.
    """
    host = next_hop.rsplit("]", 1)[0].lstrip("[").rsplit(":", 1)[0] if next_hop else ""
    credentials = lookup_tables.find_first(
        conf.current().smtp_sasl_password_maps, _without_empty((sender, next_hop, host))
    )
    if not credentials:
        return None
    user, _, password = credentials.partition(":")
    return user, password


def _without_empty(keys: Sequence[str]) -> list[str]:
    return [key for key in dict.fromkeys(keys) if key]
