"""Domains: list, create, change, delete."""

from django.core.exceptions import PermissionDenied
from django.db.models import Count, QuerySet, Sum
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods, require_safe

from mailadmin import list_page
from mailadmin.forms import DomainForm
from mailadmin.permissions import Permissions, requires_system_change, requires_view
from mailadmin.views.page_responses import confirm_and_delete, redirect_with_notice, render_page
from mailcore.conf.size_format import format_size
from mailcore.models import Domain
from mailcore.store import directory
from mailcore.store.directory import DirectoryError

_COLUMNS = {"name": "name", "kind": "kind", "created": "created"}
_VALUES = ("pk", "name", "kind", "active", "target__name", "catch_all", "max_accounts", "created")


@require_safe
@requires_view
def domains(request: HttpRequest, permissions: Permissions) -> HttpResponse:
    q = list_page.search_term(request)
    rows = matching_domains(request.GET, permissions)
    sorting = list_page.parse_sorting(request, _COLUMNS, "name")
    page = list_page.paginate(request, rows, _COLUMNS, sorting, _VALUES)
    # Counts are queried only for the domains on the page.
    shown = [row.pk for row in page]
    people = permissions.visible_accounts().filter(domain__in=shown).values_list("domain").order_by()
    usage = {pk: (n, total) for pk, n, total in people.annotate(Count("pk"), Sum("used_bytes"))}
    names = dict(
        permissions.visible_aliases().filter(domain__in=shown).values_list("domain").order_by().annotate(Count("pk"))
    )
    context = {
        "section": "domains",
        "page": page,
        "q": q,
        "sorting": sorting,
        "rows": [(row, *usage.get(row.pk, (0, 0)), names.get(row.pk, 0)) for row in page],
        "kinds": dict(Domain.Kind.choices),
    }
    return render_page(request, permissions, "domains", context)


def matching_domains(given: QueryDict, permissions: Permissions) -> QuerySet[Domain]:
    """Return the domains visible to the user that match the search text."""
    rows = permissions.visible_domains()
    q = list_page.search_text(given)
    return rows.filter(name__icontains=q) if q else rows


@require_http_methods(["GET", "HEAD", "POST"])
@requires_system_change
def new_domain(request: HttpRequest, permissions: Permissions) -> HttpResponse:
    form = DomainForm(request.POST or None, new=True, initial={"kind": "local", "active": True})
    if form.is_valid():
        try:
            name = form.cleaned_data["name"]
            directory.create_domain(name, form.draft())
        except DirectoryError as problem:
            form.add_store_errors(problem)
        else:
            return redirect_with_notice(
                request, permissions, _("%(name)s has been created.") % {"name": name}, "mailadmin:domains"
            )
    return render_page(
        request, permissions, "domain", {"section": "domains", "form": form}, status=400 if form.errors else 200
    )


@require_http_methods(["GET", "HEAD", "POST"])
@requires_view
def domain(request: HttpRequest, permissions: Permissions, domain_id: int) -> HttpResponse:
    row = _find_domain(permissions, domain_id)
    form = DomainForm(request.POST or None, new=False, initial=directory.domain_snapshot(row))
    if request.method == "POST":
        if not permissions.can_change_system:
            raise PermissionDenied
        if form.is_valid():
            try:
                directory.change_domain(row.pk, form.draft())
            except DirectoryError as problem:
                form.add_store_errors(problem)
            else:
                return redirect_with_notice(
                    request, permissions, _("%(name)s has been saved.") % {"name": row.name}, "mailadmin:domains"
                )
    context = {
        "section": "domains",
        "form": form,
        "domain": row,
        "contents": directory.domain_contents(row.pk),
        "read_only": not permissions.can_change_system,
    }
    return render_page(request, permissions, "domain", context, status=400 if form.errors else 200)


def _find_domain(permissions: Permissions, domain_id: int) -> Domain:
    if not permissions.covers_domain(domain_id):
        raise PermissionDenied
    return get_object_or_404(Domain.objects.select_related("target"), pk=domain_id)


@require_http_methods(["GET", "HEAD", "POST"])
@requires_system_change
def delete_domain(request: HttpRequest, permissions: Permissions, domain_id: int) -> HttpResponse:
    row = _find_domain(permissions, domain_id)
    contents = directory.domain_contents(row.pk)
    losses = [
        ngettext("%(n)d account", "%(n)d accounts", contents.accounts) % {"n": contents.accounts},
        ngettext("%(n)d message, %(size)s", "%(n)d messages, %(size)s", contents.messages)
        % {"n": contents.messages, "size": format_size(contents.byte_count)},
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
        request, permissions, delete=lambda: directory.delete_domain(row.pk), question=question,
        text=_("%(name)s has been deleted.") % {"name": row.name}, to="mailadmin:domains",
    )  # fmt: skip
