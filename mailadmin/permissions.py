"""Permissions: what an account may see and change; used by every view.

    administrator   sees and changes everything
    auditor         sees everything, changes nothing
    domain          sees and changes accounts and aliases of the assigned domains
    owner           their own account only, under /account/

A view is decorated with one of the `requires_…` decorators and receives the `Permissions`; it shows what their
querysets return, and checks a row named by number with `covers_domain` or `can_change_account`. A user who is not
logged in is redirected to the login page; one without permission gets 403.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Concatenate, ParamSpec

from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from mailcore import conf
from mailcore.models import Account, Alias, Change, Domain
from mailcore.store.db import audit
from mailcore.wire.message import envelope_address

P = ParamSpec("P")


@dataclass(frozen=True, slots=True)
class Permissions:
    """The permissions of the logged-in account; `domains` is None for all domains."""

    visitor: Account
    domains: frozenset[int] | None
    sees: bool
    changes: bool

    @property
    def system(self) -> bool:
        """Return True if the account sees what belongs to no domain: queue, services, parameters."""
        return self.sees and self.domains is None

    @property
    def can_change_system(self) -> bool:
        """Return True if the account changes domains themselves, roles and parameters."""
        return self.changes and self.domains is None

    def covers_domain(self, domain_id: int) -> bool:
        return self.sees and (self.domains is None or domain_id in self.domains)

    def covers_address(self, address: str) -> bool:
        """Return True if an account or alias of this address belongs to a domain of the user.

        `address` is as it was typed: "benet.com." and "benet。com" are the domain benet.com, as they are in the store.
        """
        if self.domains is None:
            return self.sees
        try:
            name = envelope_address.split_address(envelope_address.parse_address(address.strip().lower()))[1]
        except envelope_address.AddressError:
            return False
        return self.visible_domains().filter(name=name).exists()

    def can_change_account(self, account: Account) -> bool:
        """Return True if `account` may be changed; domain administrators cannot change other administrators."""
        if not (self.changes and self.covers_domain(account.domain_id)):
            return False
        return self.can_change_system or account.role == Account.Role.OWNER

    def visible_domains(self) -> QuerySet[Domain]:
        return Domain.objects.all() if self.domains is None else Domain.objects.filter(pk__in=self.domains)

    def visible_accounts(self) -> QuerySet[Account]:
        return Account.objects.all() if self.domains is None else Account.objects.filter(domain__in=self.domains)

    def visible_aliases(self) -> QuerySet[Alias]:
        return Alias.objects.all() if self.domains is None else Alias.objects.filter(domain__in=self.domains)

    def visible_changes(self) -> QuerySet[Change]:
        """Return the audit log of the whole system, or of what belongs to the user's domains."""
        if self.domains is None:
            return Change.objects.all()
        names = Domain.objects.filter(pk__in=self.domains).values_list("name", flat=True)
        return Change.objects.filter(domain__in=list(names))


def permissions_of(account: Account) -> Permissions:
    role = account.role
    if role == Account.Role.ADMINISTRATOR:
        return Permissions(account, None, sees=True, changes=True)
    if role == Account.Role.AUDITOR:
        return Permissions(account, None, sees=True, changes=False)
    if role == Account.Role.DOMAIN:
        return Permissions(
            account, frozenset(account.managed_domains.values_list("pk", flat=True)), sees=True, changes=True
        )
    return Permissions(account, frozenset(), sees=False, changes=False)


def program_permissions() -> Permissions:
    """Return the permissions of command-line programs: everything."""
    return Permissions(Account(role=Account.Role.ADMINISTRATOR), None, sees=True, changes=True)


# Pages that are usable before a required second factor is set up.
_WITHOUT_FACTOR = ("security", "add_app", "add_passkey", "confirm", "own_password")


def must_set_up_factor(permissions: Permissions) -> bool:
    """Return True if the account must set up a second factor first (second_factor_roles)."""
    return permissions.visitor.role in conf.current().second_factor_roles and not permissions.visitor.second_factor


Page = Callable[Concatenate[HttpRequest, Permissions, P], HttpResponse]


def _guarded_view(
    allows: Callable[[Permissions], bool],
) -> Callable[[Page[P]], Callable[Concatenate[HttpRequest, P], HttpResponse]]:
    def decorate(view: Page[P]) -> Callable[Concatenate[HttpRequest, P], HttpResponse]:
        @functools.wraps(view)
        def guarded(request: HttpRequest, /, *values: P.args, **named: P.kwargs) -> HttpResponse:
            if not isinstance(request.user, Account):
                return redirect_to_login(request.get_full_path())
            permissions = permissions_of(request.user)
            if not allows(permissions):
                raise PermissionDenied
            if must_set_up_factor(permissions) and view.__name__ not in _WITHOUT_FACTOR:
                return redirect("mailadmin:security")
            with audit.acting_as(permissions.visitor.address, request.META.get("REMOTE_ADDR", "")):
                return view(request, permissions, *values, **named)

        return guarded

    return decorate


# Decorators by required permission; the view receives the Permissions as its second argument.
requires_view = _guarded_view(lambda permissions: permissions.sees)
requires_change = _guarded_view(lambda permissions: permissions.changes)
requires_system_view = _guarded_view(lambda permissions: permissions.system)
requires_system_change = _guarded_view(lambda permissions: permissions.can_change_system)
requires_login = _guarded_view(lambda _: True)  # /account/: any account, its own pages
