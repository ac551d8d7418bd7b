"""Aliases: list, make, change, delete."""

from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from mailadmin import listing
from mailadmin.forms import AliasForm
from mailadmin.pages.answers import confirm_and_delete, done, show
from mailadmin.permissions import Reach, changing, seeing
from mailcore.models import Alias, Domain
from mailcore.store import directory
from mailcore.store.directory import Problem

_COLUMNS = {"address": "address", "created": "created"}
_VALUES = ("pk", "address", "targets", "active", "comment", "created")


@require_safe
@seeing
def aliases(request: HttpRequest, reach: Reach) -> HttpResponse:
    chosen = listing.sorting(request, _COLUMNS, "address")
    page = listing.page(request, matching(request.GET, reach), _COLUMNS, chosen, _VALUES)
    names = reach.see_domains().filter(kind=Domain.Kind.LOCAL).order_by("name").values_list("name", flat=True)
    context = {
        "section": "aliases",
        "page": page,
        "q": listing.term(request),
        "sorting": chosen,
        "domains": names[:200],
    }
    return show(request, reach, "aliases", context)


def matching(given: QueryDict, reach: Reach) -> QuerySet[Alias]:
    """The aliases the visitor sees that the search leaves."""
    rows = reach.see_aliases()
    if q := listing.words(given):
        rows = rows.filter(Q(address__icontains=q.lower()) | Q(targets__icontains=q.lower()) | Q(comment__icontains=q))
    return rows


@require_http_methods(["GET", "HEAD", "POST"])
@changing
def new_alias(request: HttpRequest, reach: Reach) -> HttpResponse:
    place = {name: request.GET.get(name, "")[:255] for name in ("local_part", "domain")}
    form = AliasForm(reach, request.POST or None, new=True, initial={"active": True, **place})
    if form.is_valid():
        given = form.cleaned_data
        try:
            directory.create_alias(form.address, form.targets_given, active=given["active"], comment=given["comment"])
        except Problem as problem:
            form.take(problem)
        else:
            words = _("%(address)s has been created.") % {"address": form.address.lower()}
            return done(request, reach, words, "mailadmin:aliases")
    return show(request, reach, "alias", {"section": "aliases", "form": form}, status=400 if form.errors else 200)


def _row(reach: Reach, alias_id: int) -> Alias:
    row = get_object_or_404(Alias, pk=alias_id)
    if not reach.covers(row.domain_id):
        raise PermissionDenied
    return row


@require_http_methods(["GET", "HEAD", "POST"])
@seeing
def alias(request: HttpRequest, reach: Reach, alias_id: int) -> HttpResponse:
    row = _row(reach, alias_id)
    initial = {"targets": "\n".join(row.targets), "active": row.active, "comment": row.comment}
    form = AliasForm(reach, request.POST or None, new=False, initial=initial)
    if request.method == "POST":
        if not reach.changes:
            raise PermissionDenied
        if form.is_valid():
            given = form.cleaned_data
            try:
                directory.change_alias(row.pk, form.targets_given, active=given["active"], comment=given["comment"])
            except Problem as problem:
                form.take(problem)
            else:
                words = _("%(address)s has been saved.") % {"address": row.address}
                return done(request, reach, words, "mailadmin:aliases")
    unconfirmed = ", ".join(text for text, kind in row.special.items() if kind == "unconfirmed")
    context = {"section": "aliases", "form": form, "alias": row, "read_only": not reach.changes}
    context["unconfirmed"] = unconfirmed
    return show(request, reach, "alias", context, status=400 if form.errors else 200)


@require_http_methods(["GET", "HEAD", "POST"])
@changing
def delete_alias(request: HttpRequest, reach: Reach, alias_id: int) -> HttpResponse:
    row = _row(reach, alias_id)
    question = {
        "section": "aliases",
        "title": _("Delete %(name)s") % {"name": row.address},
        "name": row.address,
        "losses": [_("Mail to this address no longer reaches %(targets)s.") % {"targets": ", ".join(row.targets[:10])}],
        "back": reverse("mailadmin:alias", args=[row.pk]),
    }
    return confirm_and_delete(
        request, reach, delete=lambda: directory.delete_alias(row.pk), question=question,
        words=_("%(name)s has been deleted.") % {"name": row.address}, to="mailadmin:aliases",
    )  # fmt: skip
