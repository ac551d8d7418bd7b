"""Where a recipient's way leads: an account here, other addresses, another host, or nowhere.

Called by couriers for every recipient and by `accept` at RCPT, so that both always agree.

An address is first expanded through aliases, to the end and in one go (virtual(5)); what comes out is
final: it is an account of ours, another host's, or nobody. So an alias may name itself to keep a copy,
and a circle of aliases ends where it closes.
"""

from mailcore import conf
from mailcore.store import directory
from mailcore.terms import Expanded, Local, Refused, Remote, Reply, Route
from mailcore.wire import address as addresses

UNKNOWN = Reply(550, "5.1.1", "User unknown in virtual mailbox table")
_TOO_MANY = Reply(550, "5.4.6", "alias expands to too many addresses")


def route(address: str, *, final: bool = False) -> Route:
    """The next step for `address`; `final` says that it came out of an alias already."""
    address = _full(address)
    if not final:
        try:
            targets = _expand(address)
        except _Unreasonable:
            return Refused(_TOO_MANY)
        if targets != (address,):
            return Expanded(targets) if targets else Refused(UNKNOWN)
    return _destination(address)


def is_local(domain_name: str) -> bool:
    """Is mail for this domain delivered (or renamed) here?"""
    domain = _domain(domain_name)
    return domain is not None and domain.kind != "relay"


def relays_for(domain_name: str) -> bool:
    """Is this a domain whose mail we pass on for anybody?"""
    domain = directory.find_domain(domain_name)
    return domain is not None and domain.kind == "relay"


def _full(address: str) -> str:
    local, domain = addresses.split(addresses.fold(address))
    return f"{local}@{domain or conf.current().myorigin.lower()}"


def _domain(name: str) -> directory.DomainEntry | None:
    domain = directory.find_domain(name)
    if domain is None and name in conf.current().mydestination:
        # A name of this host itself ("localhost", myhostname): its users are those of the home domain.
        domain = directory.find_domain(directory.home_domain())
    return domain


class _Unreasonable(Exception):
    pass


def _expand(address: str) -> tuple[str, ...]:
    """The addresses `address` stands for when no alias is left, each once, in order."""
    parameters = conf.current()
    found: dict[str, None] = {}
    seen: set[str] = set()

    def visit(name: str, depth: int) -> None:
        if name in seen:
            return
        seen.add(name)
        targets = _targets(name)
        if targets is None or depth > parameters.virtual_alias_recursion_limit:
            found[name] = None
        else:
            for target in targets:
                if target == name:
                    found[name] = None
                else:
                    visit(target, depth + 1)
        if len(found) > parameters.virtual_alias_expansion_limit:
            raise _Unreasonable(address)

    visit(address, 0)
    return tuple(found)


def _targets(address: str) -> tuple[str, ...] | None:
    """What one lookup makes of an address: an alias's targets, the same name in the domain another
    stands for, a catch-all; None where it stands for itself."""
    local, domain_name = addresses.split(address)
    domain = _domain(domain_name)
    if domain is None or domain.kind == "relay":
        return None
    if domain.kind == "alias":
        return (f"{local}@{domain.target}",)
    for candidate in _candidates(local):
        full = f"{candidate}@{domain.name}"
        if (alias := directory.find_alias(full)) is not None:
            # The alias of user may name user itself; for user+extension that is the same address.
            return tuple(address if _full(t) == full else _full(t) for t in alias.targets)
        if directory.find_account(full) is not None:
            return None
    if domain.catch_all and domain.catch_all != address:
        return (domain.catch_all,)
    return None


def _candidates(local: str) -> tuple[str, ...]:
    """user+extension is looked for before user (recipient_delimiter)."""
    name, extension = addresses.without_detail(local, conf.current().recipient_delimiter)
    return (local, name) if extension else (local,)


def _destination(address: str) -> Route:
    local, domain_name = addresses.split(address)
    domain = _domain(domain_name)
    if domain is None or domain.kind == "relay":
        return Remote(address, domain_name)
    for candidate in _candidates(local):
        account = directory.find_account(f"{candidate}@{domain.name}")
        if account is not None:
            if not account.receives:
                return Refused(UNKNOWN)
            return Local(account.id, account.address, local[len(candidate) + 1 :])
    return Refused(UNKNOWN)
