"""Expansion of an address through all aliases: groups, lists with owners, includes, catch-alls.

Called by `route`. Each address occurs once, in order; a loop ends where it closes; an alias that lists itself means the
account with its name (virtual(5), aliases(5)).
"""

import os
import stat
from collections.abc import Mapping

from mailcore import conf
from mailcore.conf.interfaces import is_own_address
from mailcore.logs import writer
from mailcore.store import directory
from mailcore.values import Expanded, OwnedTargets
from mailcore.wire.files import table_files
from mailcore.wire.files.table_files import Target
from mailcore.wire.message import envelope_address as addresses

_INCLUDES = 10  # The maximum nesting of includes.


class TooManyTargets(Exception):
    """An alias expands to more than virtual_alias_expansion_limit addresses."""


class IncludeError(Exception):
    """An include file cannot be read, or is writable by everyone."""


def expand_address(address: str) -> Expanded:
    """Return the targets of a full address, itself alone if it has none. Raise TooManyTargets or IncludeError."""
    expansion = _Expansion()
    expansion.visit(address, "", 0)
    targets_found = expansion.found
    lists: dict[str, list[str]] = {}
    for target, sender in targets_found.items():
        lists.setdefault(sender, []).append(target)
    plain = tuple(lists.pop("", ()))
    owned = tuple(OwnedTargets(sender, tuple(targets)) for sender, targets in lists.items())
    return Expanded(plain, owned, expansion.kinds)


def qualify(address: str) -> str:
    """Return the address case-folded and with a domain."""
    local, domain = addresses.split_address(addresses.fold_address(address))
    return f"{local}@{domain or conf.current().myorigin.lower()}"


def local_domain_of(name: str) -> directory.DomainEntry | None:
    """Return the local domain of this name; the host's own names and addresses stand for the home domain."""
    domain = directory.find_domain(name)
    if domain is None and (name in conf.current().mydestination or _is_own_literal(name)):
        domain = directory.find_domain(directory.home_domain())
    return domain


def local_part_candidates(local: str) -> tuple[str, ...]:
    """Return the local parts to look up in order: user+extension, then user (recipient_delimiter)."""
    name, extension = addresses.split_extension(local, conf.current().recipient_delimiter)
    return (local, name) if extension else (local,)


class _Expansion:
    def __init__(self) -> None:
        self.found: dict[str, str] = {}  # Target → sender: the owner of its list, "" otherwise.
        self.kinds: dict[str, str] = {}  # Commands and files among the targets: target → kind.
        self._seen: set[str] = set()
        self._limit = conf.current().virtual_alias_expansion_limit
        self._max_depth = conf.current().virtual_alias_recursion_limit

    def visit(self, name: str, sender: str, depth: int) -> None:
        if name in self._seen:
            return
        self._seen.add(name)
        alias, targets, special = lookup_alias(name)
        if targets is None or depth > self._max_depth:
            self._add(name, sender)
            return
        sender = _list_owner(alias) or sender
        for target in targets:
            if target == name:
                self._add(name, sender)
            else:
                self._visit_target(Target(target, special.get(target, "")), sender, depth + 1, 0)

    def _visit_target(self, target: Target, sender: str, depth: int, included: int) -> None:
        match target.kind:
            case "":
                self.visit(qualify(target.text), sender, depth)
            case "include":
                self._visit_include(table_files.unquoted(target.text), sender, depth, included)
            case "command" | "file":
                self.kinds[target.text] = target.kind
                self._add(target.text, sender)
            case _:
                writer.write("local", "warning: a target that came from no aliases file is passed over")

    def _visit_include(self, name: str, sender: str, depth: int, included: int) -> None:
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
                self._visit_target(inner, sender, depth + 1, included + 1)

    def _add(self, target: str, sender: str) -> None:
        self.found.setdefault(target, sender)
        if len(self.found) > self._limit:
            raise TooManyTargets(target)


_NO_KINDS: Mapping[str, str] = {}


def lookup_alias(address: str) -> tuple[str, tuple[str, ...] | None, Mapping[str, str]]:
    """Look an address up once: return (the alias's own address, its targets, the kinds of non-address targets).

    The targets may be the address in the domain that an alias domain stands for, or a catch-all. They are None if the
    address stands for itself.
    """
    local, domain_name = addresses.split_address(address)
    domain = local_domain_of(domain_name)
    if domain is None and _is_own_host(domain_name):
        return "", _role_targets(local, domain_name), _NO_KINDS
    if domain is None or domain.kind == "relay":
        return "", None, _NO_KINDS
    if domain.kind == "alias":
        return "", (f"{local}@{domain.target}",), _NO_KINDS
    for candidate in local_part_candidates(local):
        whole = f"{candidate}@{domain.name}"
        if (alias := directory.find_alias(whole)) is not None:
            # The alias of user may list user itself; for user+extension that is the original address.
            named = (target if target in alias.special else qualify(target) for target in alias.targets)
            return whole, tuple(address if target == whole else target for target in named), alias.special
        if directory.find_account(whole) is not None:
            return "", None, _NO_KINDS
    if domain.catch_all and domain.catch_all != address:
        return "", (domain.catch_all,), _NO_KINDS
    return "", _role_targets(local, domain.name), _NO_KINDS


def _is_own_literal(name: str) -> bool:
    """Return True for an address literal (RFC 5321 §4.1.3) of this machine or of a proxy in front of it."""
    if not (name.startswith("[") and name.endswith("]")):
        return False
    address = name[1:-1].removeprefix("ipv6:")
    return is_own_address(address) or address in conf.current().proxy_interfaces


def _is_own_host(name: str) -> bool:
    """Return True for this host's own names, to which an address without a domain belongs."""
    parameters = conf.current()
    return name in (parameters.myorigin.lower(), parameters.myhostname.lower()) or name in parameters.mydestination


def _role_targets(local: str, domain: str) -> tuple[str, ...] | None:
    """Return the administrators that a role address of a domain reaches (RFC 5321 §4.5.1), or None if it is none."""
    if local.lower() not in conf.current().role_addresses:
        return None
    return directory.administrators_of(domain) or None


def _list_owner(alias: str) -> str:
    """Return owner-name@domain if that address exists, "" otherwise."""
    if not alias or alias.startswith("owner-"):
        return ""
    owner = f"owner-{alias}"
    return owner if directory.find_alias(owner) or directory.find_account(owner) else ""


def _read_include(path: str) -> list[Target]:
    """Return the targets in an include file: one or more per line, separated by commas; # starts a comment line.

    Raise IncludeError if the path is not absolute or the file is not regular, writable by everyone, or not readable.
    """
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
