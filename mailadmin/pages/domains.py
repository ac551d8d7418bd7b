"""Domains: list, make, change, delete."""

from django.core.exceptions import PermissionDenied
from django.db.models import Count, QuerySet, Sum
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods, require_safe

from mailadmin import listing
from mailadmin.forms import DomainForm
from mailadmin.octets import readable
from mailadmin.pages.answers import confirm_and_delete, done, show
from mailadmin.permissions import Reach, changing_system, seeing
from mailcore.models import Domain
from mailcore.store import directory
from mailcore.store.directory import Problem

_COLUMNS = {"name": "name", "kind": "kind", "created": "created"}
_VALUES = ("pk", "name", "kind", "active", "target__name", "catch_all", "max_accounts", "created")


@require_safe
@seeing
def domains(request: HttpRequest, reach: Reach) -> HttpResponse:
    q = listing.term(request)
    rows = matching(request.GET, reach)
    chosen = listing.sorting(request, _COLUMNS, "name")
    page = listing.page(request, rows, _COLUMNS, chosen, _VALUES)
    # Counted for the page's domains only.
    shown = [row.pk for row in page]
    people = reach.see_accounts().filter(domain__in=shown).values_list("domain").order_by()
    usage = {pk: (n, octets) for pk, n, octets in people.annotate(Count("pk"), Sum("used_bytes"))}
    names = dict(reach.see_aliases().filter(domain__in=shown).values_list("domain").order_by().annotate(Count("pk")))
    context = {
        "section": "domains",
        "page": page,
        "q": q,
        "sorting": chosen,
        "rows": [(row, *usage.get(row.pk, (0, 0)), names.get(row.pk, 0)) for row in page],
        "kinds": dict(Domain.Kind.choices),
    }
    return show(request, reach, "domains", context)


def matching(given: QueryDict, reach: Reach) -> QuerySet[Domain]:
    """The domains the visitor sees that the search leaves."""
    rows = reach.see_domains()
    q = listing.words(given)
    return rows.filter(name__icontains=q) if q else rows


@require_http_methods(["GET", "HEAD", "POST"])
@changing_system
def new_domain(request: HttpRequest, reach: Reach) -> HttpResponse:
    form = DomainForm(request.POST or None, new=True, initial={"kind": "local", "active": True})
    if form.is_valid():
        try:
            name = form.cleaned_data["name"]
            directory.create_domain(name, form.draft())
        except Problem as problem:
            form.take(problem)
        else:
            return done(request, reach, _("%(name)s has been created.") % {"name": name}, "mailadmin:domains")
    return show(request, reach, "domain", {"section": "domains", "form": form}, status=400 if form.errors else 200)


@require_http_methods(["GET", "HEAD", "POST"])
@seeing
def domain(request: HttpRequest, reach: Reach, domain_id: int) -> HttpResponse:
    row = _row(reach, domain_id)
    form = DomainForm(request.POST or None, new=False, initial=_initial(row))
    if request.method == "POST":
        if not reach.changes_system:
            raise PermissionDenied
        if form.is_valid():
            try:
                directory.change_domain(row.pk, form.draft())
            except Problem as problem:
                form.take(problem)
            else:
                return done(request, reach, _("%(name)s has been saved.") % {"name": row.name}, "mailadmin:domains")
    context = {
        "section": "domains",
        "form": form,
        "domain": row,
        "contents": directory.domain_contents(row.pk),
        "read_only": not reach.changes_system,
    }
    return show(request, reach, "domain", context, status=400 if form.errors else 200)


def _row(reach: Reach, domain_id: int) -> Domain:
    if not reach.covers(domain_id):
        raise PermissionDenied
    return get_object_or_404(Domain.objects.select_related("target"), pk=domain_id)


def _initial(row: Domain) -> dict[str, object]:
    return {
        "kind": row.kind,
        "target": row.target.name if row.target else "",
        "active": row.active,
        "account_quota_bytes": row.account_quota_bytes,
        "account_quota_messages": row.account_quota_messages,
        "total_quota_bytes": row.total_quota_bytes,
        "max_accounts": row.max_accounts,
        "max_aliases": row.max_aliases,
        "catch_all": row.catch_all,
    }


@require_http_methods(["GET", "HEAD", "POST"])
@changing_system
def delete_domain(request: HttpRequest, reach: Reach, domain_id: int) -> HttpResponse:
    row = _row(reach, domain_id)
    contents = directory.domain_contents(row.pk)
    losses = [
        ngettext("%(n)d account", "%(n)d accounts", contents.accounts) % {"n": contents.accounts},
        ngettext("%(n)d message, %(size)s", "%(n)d messages, %(size)s", contents.messages)
        % {"n": contents.messages, "size": readable(contents.octets)},
        ngettext("%(n)d alias", "%(n)d aliases", contents.aliases) % {"n": contents.aliases},
    ]
    question = {
        "section": "domains",
        "title": _("Delete %(name)s") % {"name": row.name},
        "name": row.name,
        "losses": losses,
        "back": reverse("mailadmin:domain", args=[row.pk]),
    }
    return confirm_and_delete(
        request, reach, delete=lambda: directory.delete_domain(row.pk), question=question,
        words=_("%(name)s has been deleted.") % {"name": row.name}, to="mailadmin:domains",
    )  # fmt: skip
