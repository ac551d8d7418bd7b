"""Accounts: list with search, filters and sorting; create, change, set password, delete; bulk changes."""

from datetime import timedelta

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet, Sum
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from mailadmin import list_page, security_notice, system_warnings
from mailadmin.forms import AccountForm, BulkForm, NewAccountForm, ResetPasswordForm
from mailadmin.permissions import Permissions, requires_change, requires_view
from mailadmin.recent_login import ask_for_proof, has_recent_login, requires_recent_login
from mailadmin.views.page_responses import (
    confirm_and_delete,
    generate_password,
    redirect_with_notice,
    render_page,
    show_secret_once,
)
from mailcore.conf.size_format import format_size
from mailcore.models import Account, Domain
from mailcore.store import directory
from mailcore.store.auth import account_login
from mailcore.store.directory import DirectoryError
from mailcore.store.mailbox import quota_limits

_COLUMNS = {"address": "address", "name": "name", "state": "state", "used": "used_bytes", "created": "created"}
_VALUES = (
    "pk", "address", "name", "state", "role", "used_bytes", "used_messages", "quota_bytes",
    "domain__account_quota_bytes", "created",
)  # fmt: skip


def parse_filters(given: QueryDict) -> dict[str, str]:
    """Return the list's filters from its URL or a form below it; "" for those not set."""
    return {
        "q": list_page.search_text(given),
        "state": list_page.parse_choice(given, "state", Account.State.values),
        "role": list_page.parse_choice(given, "role", Account.Role.values),
        "domain": given.get("domain", "").replace("\0", "")[:255],
        "full": "1" if given.get("full") else "",
        "ending": "1" if given.get("ending") else "",
    }


def matching_accounts(given: QueryDict, permissions: Permissions) -> QuerySet[Account]:
    """Return the accounts visible to the user that match the filters."""
    filters = parse_filters(given)
    rows = system_warnings.accounts_near_quota(permissions) if filters["full"] else permissions.visible_accounts()
    if filters["ending"]:
        rows = rows.filter(expires__isnull=False, expires__lte=timezone.localdate() + timedelta(days=7))
    if q := filters["q"]:
        rows = rows.filter(Q(address__icontains=q.lower()) | Q(name__icontains=q))
    for name, field in {"state": "state", "role": "role", "domain": "domain__name"}.items():
        if filters[name]:
            rows = rows.filter(**{field: filters[name]})
    return rows


@require_safe
@requires_view
def accounts(request: HttpRequest, permissions: Permissions) -> HttpResponse:
    names = permissions.visible_domains().filter(kind=Domain.Kind.LOCAL).order_by("name").values_list("name", flat=True)
    given = parse_filters(request.GET)
    sorting = list_page.parse_sorting(request, _COLUMNS, "address")
    page = list_page.paginate(
        request, matching_accounts(request.GET, permissions), _COLUMNS, sorting, _VALUES, names=("name",)
    )
    context = {
        "section": "accounts",
        "page": page,
        "rows": [(row, quota_limits.effective_limit(row.quota_bytes, row.domain__account_quota_bytes)) for row in page],
        **given,
        "filter": request.GET.urlencode(),
        "filtered": any(given.values()),
        "sorting": sorting,
        "states": Account.State.choices,
        "roles": Account.Role.choices,
        "domains": names,
    }
    return render_page(request, permissions, "accounts", context)


@sensitive_post_parameters("password")
@require_http_methods(["GET", "HEAD", "POST"])
@requires_change
@requires_recent_login
def new_account(request: HttpRequest, permissions: Permissions) -> HttpResponse:
    initial = {"state": "active", "role": "owner", "domain": request.GET.get("domain", "")}
    form = NewAccountForm(permissions, request.POST or None, initial=initial)
    if form.is_valid():
        given = form.cleaned_data["password"]
        password = given or generate_password()
        try:
            directory.create_account(form.address, password, form.draft())
        except DirectoryError as problem:
            form.add_store_errors(problem)
        else:
            address = form.address.lower()
            if given:
                words = _("%(address)s has been created.") % {"address": address}
                return redirect_with_notice(request, permissions, words, "mailadmin:accounts")
            title = _("%(address)s has been created.") % {"address": address}
            back = reverse("mailadmin:accounts")
            return show_secret_once(request, permissions, title=title, address=address, secret=password, back=back)
    return render_page(
        request, permissions, "account_new", {"section": "accounts", "form": form}, 400 if form.errors else 200
    )


def _find_account(permissions: Permissions, account_id: int) -> Account:
    row = get_object_or_404(Account.objects.select_related("domain"), pk=account_id)
    if not permissions.covers_domain(row.domain_id):
        raise PermissionDenied
    return row


def _find_changeable_account(permissions: Permissions, account_id: int) -> Account:
    row = _find_account(permissions, account_id)
    if not permissions.can_change_account(row):
        raise PermissionDenied
    return row


@require_http_methods(["GET", "HEAD", "POST"])
@requires_view
def account(request: HttpRequest, permissions: Permissions, account_id: int) -> HttpResponse:
    row = _find_account(permissions, account_id)
    form = AccountForm(permissions, request.POST or None, initial=_initial_values(row))
    if request.method == "POST":
        if not permissions.can_change_account(row):
            raise PermissionDenied
        changes_role = form.is_valid() and form.draft().role != row.role
        if changes_role and not has_recent_login(request):
            return ask_for_proof(request)
        if form.is_valid():
            try:
                directory.change_account(row.pk, form.draft())
            except DirectoryError as problem:
                form.add_store_errors(problem)
            else:
                if changes_role:
                    security_notice.notify_owner(request, permissions, row.pk, "role")
                words = _("%(address)s has been saved.") % {"address": row.address}
                return redirect_with_notice(request, permissions, words, "mailadmin:account", row.pk)
    context = {
        "section": "accounts",
        "form": form,
        "account": row,
        "limit": quota_limits.effective_limit(row.quota_bytes, row.domain.account_quota_bytes),
        "aliases": directory.aliases_naming(row.address),
        "read_only": not permissions.can_change_account(row),
    }
    return render_page(request, permissions, "account", context, status=400 if form.errors else 200)


def _initial_values(row: Account) -> dict[str, object]:
    return {
        "name": row.name,
        "state": row.state,
        "expires": row.expires,
        "quota_bytes": row.quota_bytes,
        "quota_messages": row.quota_messages,
        "language": row.language,
        "time_zone": row.time_zone,
        "role": row.role,
        "managed_domains": list(row.managed_domains.values_list("pk", flat=True)),
    }


@sensitive_post_parameters("password", "again")
@require_http_methods(["GET", "HEAD", "POST"])
@requires_change
@requires_recent_login
def password(request: HttpRequest, permissions: Permissions, account_id: int) -> HttpResponse:
    row = _find_changeable_account(permissions, account_id)
    form = ResetPasswordForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        given = form.cleaned_data["password"]
        secret = given or generate_password()
        try:
            directory.set_password(row.pk, secret)
        except DirectoryError as problem:
            form.add_store_errors(problem)
        else:
            account_login.end_sessions(row.pk)
            if form.cleaned_data["revoke"]:
                account_login.revoke_issued_secrets(row.pk)
            security_notice.notify_owner(request, permissions, row.pk, "password")
            title = _("The password of %(address)s has been changed.") % {"address": row.address}
            if given:
                return redirect_with_notice(request, permissions, title, "mailadmin:account", row.pk)
            back = reverse("mailadmin:account", args=[row.pk])
            return show_secret_once(request, permissions, title=title, address=row.address, secret=secret, back=back)
    context = {"section": "accounts", "form": form, "account": row}
    return render_page(request, permissions, "password", context, status=400 if form.errors else 200)


@require_http_methods(["GET", "HEAD", "POST"])
@requires_change
def delete_account(request: HttpRequest, permissions: Permissions, account_id: int) -> HttpResponse:
    row = _find_changeable_account(permissions, account_id)
    losses = [
        ngettext("%(n)d message, %(size)s", "%(n)d messages, %(size)s", row.used_messages)
        % {"n": row.used_messages, "size": format_size(row.used_bytes)}
    ]
    if aliases := directory.aliases_naming(row.address):
        losses.append(_("its place in %(aliases)s") % {"aliases": ", ".join(aliases)})
    question = {
        "section": "accounts",
        "title": _("Delete %(name)s") % {"name": row.address},
        "name": row.address,
        "losses": losses,
        "back": reverse("mailadmin:account", args=[row.pk]),
    }
    return confirm_and_delete(
        request, permissions, delete=lambda: directory.delete_account(row.pk), question=question,
        text=_("%(name)s has been deleted.") % {"name": row.address}, to="mailadmin:accounts",
    )  # fmt: skip


# --- Bulk changes ---------------------------------------------------------------------------------


def _selected_accounts(request: HttpRequest, permissions: Permissions) -> QuerySet[Account]:
    """Return the selected accounts, or all that match the filters, limited to those the user may change."""
    rows = matching_accounts(QueryDict(request.POST.get("filter", "")), permissions)
    if not request.POST.get("all"):
        ids = [int(value) for value in request.POST.getlist("id") if value.isdecimal() and len(value) < 19]
        rows = permissions.visible_accounts().filter(pk__in=ids)
    return rows if permissions.can_change_system else rows.filter(role=Account.Role.OWNER)


@require_POST
@requires_change
def bulk_change(request: HttpRequest, permissions: Permissions) -> HttpResponse:
    """Show the form for a bulk change; apply it when submitted."""
    rows = _selected_accounts(request, permissions)
    count = rows.count()
    if not count:
        messages.info(request, _("No account has been chosen."))
        return redirect("mailadmin:accounts")
    form = BulkForm(request.POST if "apply" in request.POST else None)
    if form.is_valid():
        try:
            if form.cleaned_data["delete"]:
                changed = _delete_accounts(rows)
            else:
                changed = directory.change_accounts(list(rows.values_list("pk", flat=True)), form.changes())
        except DirectoryError as problem:
            form.add_store_errors(problem)
        else:
            words = ngettext("Done for %(n)d account.", "Done for %(n)d accounts.", changed) % {"n": changed}
            return redirect_with_notice(request, permissions, words, "mailadmin:accounts")
    sums = rows.aggregate(used_bytes=Sum("used_bytes"), messages=Sum("used_messages"))
    context = {
        "section": "accounts",
        "form": form,
        "count": count,
        "examples": list(rows.order_by("address").values_list("address", flat=True)[:5]),
        "sums": sums,
        "filter": request.POST.get("filter", ""),
        "ids": [] if request.POST.get("all") else request.POST.getlist("id")[:_MAX_SELECTED],
        "everything": bool(request.POST.get("all")),
        "too_many": count > _MAX_DELETED,
    }
    return render_page(request, permissions, "bulk", context, status=400 if form.errors else 200)


_MAX_SELECTED = 1000
_MAX_DELETED = 500


def _delete_accounts(rows: QuerySet[Account]) -> int:
    ids = list(rows.order_by("pk").values_list("pk", flat=True)[: _MAX_DELETED + 1])
    if len(ids) > _MAX_DELETED:
        words = ngettext(
            "At most %(n)d account is deleted at once.", "At most %(n)d accounts are deleted at once.", _MAX_DELETED
        )
        raise DirectoryError({"delete": words % {"n": _MAX_DELETED}})
    for account_id in ids:
        directory.delete_account(account_id)
    return len(ids)
