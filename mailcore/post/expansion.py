"""What an address stands for when no alias is left: aliases, groups, lists with owners, includes, catch-alls.

Called by `route`. Every address once, in order; a circle ends where it closes; an alias that names itself
means the account of the same name (virtual(5), aliases(5)).
"""

import os
import stat
from collections.abc import Mapping

from mailcore import conf, log
from mailcore.store import directory
from mailcore.terms import Expanded, Owned
from mailcore.wire import address as addresses
from mailcore.wire import tables
from mailcore.wire.tables import Target

_INCLUDES = 10  # how deep includes may nest


class Unreasonable(Exception):
    """More addresses than virtual_alias_expansion_limit."""


class Misconfigured(Exception):
    """An include that cannot be read, or that anybody could have written."""


def expand(address: str) -> Expanded:
    """The targets of a full address; just itself where it stands for itself. Raises Unreasonable, Misconfigured."""
    expansion = _Expansion()
    expansion.visit(address, "", 0)
    found = expansion.found
    lists: dict[str, list[str]] = {}
    for target, sender in found.items():
        lists.setdefault(sender, []).append(target)
    plain = tuple(lists.pop("", ()))
    owned = tuple(Owned(sender, tuple(targets)) for sender, targets in lists.items())
    return Expanded(plain, owned, expansion.kinds)


def full(address: str) -> str:
    """Folded, and with a domain."""
    local, domain = addresses.split(addresses.fold(address))
    return f"{local}@{domain or conf.current().myorigin.lower()}"


def domain_of(name: str) -> directory.DomainEntry | None:
    """The domain we answer for by this name; the host's own names stand for the home domain."""
    domain = directory.find_domain(name)
    if domain is None and name in conf.current().mydestination:
        domain = directory.find_domain(directory.home_domain())
    return domain


def candidates(local: str) -> tuple[str, ...]:
    """user+extension is looked for before user (recipient_delimiter)."""
    name, extension = addresses.without_detail(local, conf.current().recipient_delimiter)
    return (local, name) if extension else (local,)


class _Expansion:
    def __init__(self) -> None:
        self.found: dict[str, str] = {}  # target → sender where a list's owner replaces it, else ""
        self.kinds: dict[str, str] = {}  # commands and files among them: target → kind
        self._seen: set[str] = set()
        self._limit = conf.current().virtual_alias_expansion_limit
        self._deepest = conf.current().virtual_alias_recursion_limit

    def visit(self, name: str, sender: str, depth: int) -> None:
        if name in self._seen:
            return
        self._seen.add(name)
        alias, targets, special = lookup(name)
        if targets is None or depth > self._deepest:
            self._keep(name, sender)
            return
        sender = _owner(alias) or sender
        for target in targets:
            if target == name:
                self._keep(name, sender)
            else:
                self._follow(Target(target, special.get(target, "")), sender, depth + 1, 0)

    def _follow(self, target: Target, sender: str, depth: int, included: int) -> None:
        match target.kind:
            case "":
                self.visit(full(target.text), sender, depth)
            case "include":
                self._include(tables.unquoted(target.text), sender, depth, included)
            case "command" | "file":
                self.kinds[target.text] = target.kind
                self._keep(target.text, sender)
            case _:
                log.write("local", "warning: a target that came from no aliases file is passed over")

    def _include(self, name: str, sender: str, depth: int, included: int) -> None:
        if name in self._seen:
            return
        self._seen.add(name)
        path = name.removeprefix(":include:").strip()
        if included >= _INCLUDES:
            raise Misconfigured(f"{path}: includes nest too deeply")
        for inner in _included(path):
            if inner.kind in ("command", "file"):
                log.write("local", f"warning: {path}: a command or file in an include is passed over")
            else:
                self._follow(inner, sender, depth + 1, included + 1)

    def _keep(self, target: str, sender: str) -> None:
        self.found.setdefault(target, sender)
        if len(self.found) > self._limit:
            raise Unreasonable(target)


_NO_KINDS: Mapping[str, str] = {}


def lookup(address: str) -> tuple[str, tuple[str, ...] | None, Mapping[str, str]]:
    """What one lookup makes of an address: (the alias's own address, its targets, the kinds of those that are no
    addresses); the same name in the domain another stands for; a catch-all; (…, None, …) where it stands for itself."""
    local, domain_name = addresses.split(address)
    domain = domain_of(domain_name)
    if domain is None or domain.kind == "relay":
        return "", None, _NO_KINDS
    if domain.kind == "alias":
        return "", (f"{local}@{domain.target}",), _NO_KINDS
    for candidate in candidates(local):
        whole = f"{candidate}@{domain.name}"
        if (alias := directory.find_alias(whole)) is not None:
            # The alias of user may name user itself; for user+extension that is the same address.
            named = (target if target in alias.special else full(target) for target in alias.targets)
            return whole, tuple(address if target == whole else target for target in named), alias.special
        if directory.find_account(whole) is not None:
            return "", None, _NO_KINDS
    if domain.catch_all and domain.catch_all != address:
        return "", (domain.catch_all,), _NO_KINDS
    return "", None, _NO_KINDS


def _owner(alias: str) -> str:
    """owner-name@domain where somebody has that address, "" else."""
    if not alias or alias.startswith("owner-"):
        return ""
    owner = f"owner-{alias}"
    return owner if directory.find_alias(owner) or directory.find_account(owner) else ""


def _included(path: str) -> list[Target]:
    """The targets in an include file: one or several a line, parted by commas; lines with # are passed over.
    Misconfigured: not absolute, no regular file, writable for everybody, or not readable."""
    if not os.path.isabs(path):
        raise Misconfigured(f"{path}: not an absolute path")
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise Misconfigured(f"{path}: not a regular file")
            if status.st_mode & stat.S_IWOTH:
                raise Misconfigured(f"{path}: everybody may write it")
            return tables.included(file)
    except OSError as error:
        raise Misconfigured(f"{path}: {error.strerror}") from error
