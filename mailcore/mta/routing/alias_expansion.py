"""What an address stands for when no alias is left: aliases, groups, lists with owners, includes, catch-alls.

Called by `route`. Every address once, in order; a circle ends where it closes; an alias that names itself
means the account of the same name (virtual(5), aliases(5)).
"""

import os
import stat
from collections.abc import Mapping

from mailcore import conf
from mailcore.logs import writer
from mailcore.store import directory
from mailcore.values import Expanded, OwnedTargets
from mailcore.wire.files import table_files
from mailcore.wire.files.table_files import Target
from mailcore.wire.message import envelope_address as addresses

_INCLUDES = 10  # how deep includes may nest


class TooManyTargets(Exception):
    """More addresses than virtual_alias_expansion_limit."""


class IncludeError(Exception):
    """An include that cannot be read, or that anybody could have written."""


def expand_address(address: str) -> Expanded:
    """The targets of a full address; just itself where it stands for itself. Raises Unreasonable, Misconfigured."""
    expansion = _Expansion()
    expansion.visit(address, "", 0)
    found = expansion.found
    lists: dict[str, list[str]] = {}
    for target, sender in found.items():
        lists.setdefault(sender, []).append(target)
    plain = tuple(lists.pop("", ()))
    owned = tuple(OwnedTargets(sender, tuple(targets)) for sender, targets in lists.items())
    return Expanded(plain, owned, expansion.kinds)


def qualify(address: str) -> str:
    """Folded, and with a domain."""
    local, domain = addresses.split_address(addresses.fold_address(address))
    return f"{local}@{domain or conf.current().myorigin.lower()}"


def local_domain_of(name: str) -> directory.DomainEntry | None:
    """The domain we answer for by this name; the host's own names stand for the home domain."""
    domain = directory.find_domain(name)
    if domain is None and name in conf.current().mydestination:
        domain = directory.find_domain(directory.home_domain())
    return domain


def local_part_candidates(local: str) -> tuple[str, ...]:
    """user+extension is looked for before user (recipient_delimiter)."""
    name, extension = addresses.split_extension(local, conf.current().recipient_delimiter)
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
        alias, targets, special = lookup_alias(name)
        if targets is None or depth > self._deepest:
            self._keep(name, sender)
            return
        sender = _list_owner(alias) or sender
        for target in targets:
            if target == name:
                self._keep(name, sender)
            else:
                self._follow(Target(target, special.get(target, "")), sender, depth + 1, 0)

    def _follow(self, target: Target, sender: str, depth: int, included: int) -> None:
        match target.kind:
            case "":
                self.visit(qualify(target.text), sender, depth)
            case "include":
                self._include(table_files.unquoted(target.text), sender, depth, included)
            case "command" | "file":
                self.kinds[target.text] = target.kind
                self._keep(target.text, sender)
            case _:
                writer.write("local", "warning: a target that came from no aliases file is passed over")

    def _include(self, name: str, sender: str, depth: int, included: int) -> None:
        if name in self._seen:
            return
        self._seen.add(name)
        path = name.removeprefix(":include:").strip()
        if included >= _INCLUDES:
            raise IncludeError(f"{path}: includes nest too deeply")
        for inner in _read_include(path):
            if inner.kind in ("command", "file"):
                writer.write("local", f"warning: {path}: a command or file in an include is passed over")
            else:
                self._follow(inner, sender, depth + 1, included + 1)

    def _keep(self, target: str, sender: str) -> None:
        self.found.setdefault(target, sender)
        if len(self.found) > self._limit:
            raise TooManyTargets(target)


_NO_KINDS: Mapping[str, str] = {}


def lookup_alias(address: str) -> tuple[str, tuple[str, ...] | None, Mapping[str, str]]:
    """What one lookup makes of an address: (the alias's own address, its targets, the kinds of those that are no
    addresses); the same name in the domain another stands for; a catch-all; (…, None, …) where it stands for itself."""
    local, domain_name = addresses.split_address(address)
    domain = local_domain_of(domain_name)
    if domain is None or domain.kind == "relay":
        return "", None, _NO_KINDS
    if domain.kind == "alias":
        return "", (f"{local}@{domain.target}",), _NO_KINDS
    for candidate in local_part_candidates(local):
        whole = f"{candidate}@{domain.name}"
        if (alias := directory.find_alias(whole)) is not None:
            # The alias of user may name user itself; for user+extension that is the same address.
            named = (target if target in alias.special else qualify(target) for target in alias.targets)
            return whole, tuple(address if target == whole else target for target in named), alias.special
        if directory.find_account(whole) is not None:
            return "", None, _NO_KINDS
    if domain.catch_all and domain.catch_all != address:
        return "", (domain.catch_all,), _NO_KINDS
    return "", None, _NO_KINDS


def _list_owner(alias: str) -> str:
    """owner-name@domain where somebody has that address, "" else."""
    if not alias or alias.startswith("owner-"):
        return ""
    owner = f"owner-{alias}"
    return owner if directory.find_alias(owner) or directory.find_account(owner) else ""


def _read_include(path: str) -> list[Target]:
    """The targets in an include file: one or several a line, parted by commas; lines with # are passed over.
    Misconfigured: not absolute, no regular file, writable for everybody, or not readable."""
    if not os.path.isabs(path):
        raise IncludeError(f"{path}: not an absolute path")
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise IncludeError(f"{path}: not a regular file")
            if status.st_mode & stat.S_IWOTH:
                raise IncludeError(f"{path}: everybody may write it")
            return table_files.parse_include(file)
    except OSError as error:
        raise IncludeError(f"{path}: {error.strerror}") from error
