"""Aliases: list, create, change, delete."""

from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from mailadmin import list_page
from mailadmin.forms import AliasForm
from mailadmin.permissions import Permissions, requires_change, requires_view
from mailadmin.views.page_responses import confirm_and_delete, redirect_with_notice, render_page
from mailcore.models import Alias, Domain
from mailcore.store import directory
from mailcore.store.directory import DirectoryError

_COLUMNS = {"address": "address", "created": "created"}
_VALUES = ("pk", "address", "targets", "active", "comment", "created")


@require_safe
@requires_view
def aliases(request: HttpRequest, permissions: Permissions) -> HttpResponse:
    sorting = list_page.parse_sorting(request, _COLUMNS, "address")
    page = list_page.paginate(request, matching_aliases(request.GET, permissions), _COLUMNS, sorting, _VALUES)
    names = permissions.visible_domains().filter(kind=Domain.Kind.LOCAL).order_by("name").values_list("name", flat=True)
    context = {
        "section": "aliases",
        "page": page,
        "q": list_page.search_term(request),
        "sorting": sorting,
        "domains": names[:200],
    }
    return render_page(request, permissions, "aliases", context)


def matching_aliases(data: QueryDict, permissions: Permissions) -> QuerySet[Alias]:
    """Return the aliases visible to the user that match the search text."""
    rows = permissions.visible_aliases()
    if q := list_page.search_text(data):
        rows = rows.filter(Q(address__icontains=q.lower()) | Q(targets__icontains=q.lower()) | Q(comment__icontains=q))
    return rows


@require_http_methods(["GET", "HEAD", "POST"])
@requires_change
def new_alias(request: HttpRequest, permissions: Permissions) -> HttpResponse:
    address_parts = {name: request.GET.get(name, "")[:255] for name in ("local_part", "domain")}
    form = AliasForm(permissions, request.POST or None, new=True, initial={"active": True, **address_parts})
    if form.is_valid():
        data = form.cleaned_data
        try:
            directory.create_alias(
                form.address, form.split_targets_field, active=data["active"], comment=data["comment"]
            )
        except DirectoryError as problem:
            form.add_store_errors(problem)
        else:
            words = _("%(address)s has been created.") % {"address": form.address.lower()}
            return redirect_with_notice(request, permissions, words, "mailadmin:aliases")
    return render_page(
        request, permissions, "alias", {"section": "aliases", "form": form}, status=400 if form.errors else 200
    )


def _find_alias(permissions: Permissions, alias_id: int) -> Alias:
    row = get_object_or_404(Alias, pk=alias_id)
    if not permissions.covers_domain(row.domain_id):
        raise PermissionDenied
    return row


@require_http_methods(["GET", "HEAD", "POST"])
@requires_view
def alias(request: HttpRequest, permissions: Permissions, alias_id: int) -> HttpResponse:
    row = _find_alias(permissions, alias_id)
    initial = {"targets": "\n".join(row.targets), "active": row.active, "comment": row.comment}
    form = AliasForm(permissions, request.POST or None, new=False, initial=initial)
    if request.method == "POST":
        if not permissions.changes:
            raise PermissionDenied
        if form.is_valid():
            data = form.cleaned_data
            try:
                directory.change_alias(row.pk, form.split_targets_field, active=data["active"], comment=data["comment"])
            except DirectoryError as problem:
                form.add_store_errors(problem)
            else:
                words = _("%(address)s has been saved.") % {"address": row.address}
                return redirect_with_notice(request, permissions, words, "mailadmin:aliases")
    unconfirmed = ", ".join(text for text, kind in row.special.items() if kind == "unconfirmed")
    context = {"section": "aliases", "form": form, "alias": row, "read_only": not permissions.changes}
    context["unconfirmed"] = unconfirmed
    return render_page(request, permissions, "alias", context, status=400 if form.errors else 200)


@require_http_methods(["GET", "HEAD", "POST"])
@requires_change
def delete_alias(request: HttpRequest, permissions: Permissions, alias_id: int) -> HttpResponse:
    row = _find_alias(permissions, alias_id)
    question = {
        "section": "aliases",
        "title": _("Delete %(name)s") % {"name": row.address},
        "name": row.address,
        "losses": [_("Mail to this address no longer reaches %(targets)s.") % {"targets": ", ".join(row.targets[:10])}],
        "back": reverse("mailadmin:alias", args=[row.pk]),
    }
    return confirm_and_delete(
        request, permissions, delete=lambda: directory.delete_alias(row.pk), question=question,
        text=_("%(name)s has been deleted.") % {"name": row.address}, to="mailadmin:aliases",
    )  # fmt: skip
