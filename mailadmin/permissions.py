"""Who may see and change what: the one place that decides, asked by every view.

    administrator   sees and changes everything
    auditor         sees everything, changes nothing
    domain          sees and changes accounts and aliases of the domains given to them
    owner           their own account only, under /account/

A view stands under `seeing` or `changing`; what it shows comes from the permissions's querysets, and a row it is
asked for by number goes through `covers`. Whoever is not signed in is sent to the sign-in page; whoever
may not gets 403.
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

P = ParamSpec("P")


@dataclass(frozen=True, slots=True)
class Permissions:
    """How far one visitor's hand goes. `domains` None: all of them."""

    visitor: Account
    domains: frozenset[int] | None
    sees: bool
    changes: bool

    @property
    def system(self) -> bool:
        """Sees what belongs to no domain: queue, services, settings."""
        return self.sees and self.domains is None

    @property
    def can_change_system(self) -> bool:
        """Changes domains themselves, roles, settings."""
        return self.changes and self.domains is None

    def covers_domain(self, domain_id: int) -> bool:
        return self.sees and (self.domains is None or domain_id in self.domains)

    def can_change_account(self, account: Account) -> bool:
        """An administrator of domains changes ordinary accounts there, not those of other administrators."""
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
        """What was changed: of the system, or of what belongs to the visitor's domains."""
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
    """Whoever may start programs on this machine reaches everything."""
    return Permissions(Account(role=Account.Role.ADMINISTRATOR), None, sees=True, changes=True)


# Pages on which a second factor is set up, and left.
_WITHOUT_FACTOR = ("security", "add_app", "add_passkey", "confirm", "own_password")


def _must_set_up_factor(permissions: Permissions) -> bool:
    """Must this visitor set up a second factor first (second_factor_roles)?"""
    return permissions.visitor.role in conf.current().second_factor_roles and not permissions.visitor.second_factor


Page = Callable[Concatenate[HttpRequest, Permissions, P], HttpResponse]


def _guarded_view(
    allows: Callable[[Permissions], bool],
) -> Callable[[Page[P]], Callable[Concatenate[HttpRequest, P], HttpResponse]]:
    def wrap(view: Page[P]) -> Callable[Concatenate[HttpRequest, P], HttpResponse]:
        @functools.wraps(view)
        def asked(request: HttpRequest, /, *values: P.args, **named: P.kwargs) -> HttpResponse:
            if not isinstance(request.user, Account):
                return redirect_to_login(request.get_full_path())
            permissions = permissions_of(request.user)
            if not allows(permissions):
                raise PermissionDenied
            if _must_set_up_factor(permissions) and view.__name__ not in _WITHOUT_FACTOR:
                return redirect("mailadmin:security")
            with audit.acting_as(permissions.visitor.address, request.META.get("REMOTE_ADDR", "")):
                return view(request, permissions, *values, **named)

        return asked

    return wrap


# What a view needs; it gets the visitor's Reach as its second argument.
requires_view = _guarded_view(lambda permissions: permissions.sees)
requires_change = _guarded_view(lambda permissions: permissions.changes)
requires_system_view = _guarded_view(lambda permissions: permissions.system)
requires_system_change = _guarded_view(lambda permissions: permissions.can_change_system)
requires_login = _guarded_view(lambda _: True)  # /account/: everybody's own
