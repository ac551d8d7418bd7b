"""The audit log: search, changes of one subject, reverting a change; and a user's own log."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST, require_safe

from mailadmin import list_page, revert
from mailadmin.permissions import Permissions, requires_change, requires_login, requires_view
from mailadmin.views.page_responses import render_page
from mailcore.models import Change, KnownAddress
from mailcore.store.directory import DirectoryError

ACTIONS = {
    "domain.create": gettext_lazy("Domain created"),
    "domain.change": gettext_lazy("Domain changed"),
    "domain.delete": gettext_lazy("Domain deleted"),
    "account.create": gettext_lazy("Account created"),
    "account.change": gettext_lazy("Account changed"),
    "account.delete": gettext_lazy("Account deleted"),
    "account.password": gettext_lazy("Password set"),
    "account.import": gettext_lazy("Accounts imported"),
    "account.look": gettext_lazy("Looked up"),
    "app-password.create": gettext_lazy("App password created"),
    "app-password.revoke": gettext_lazy("App password revoked"),
    "session.revoke": gettext_lazy("Browser signed out"),
    "factor.create": gettext_lazy("Second factor set up"),
    "factor.delete": gettext_lazy("Second factor removed"),
    "factor.recovery": gettext_lazy("Recovery codes created"),
    "factor.recovered": gettext_lazy("Signed in with a recovery code"),
    "token.create": gettext_lazy("API token created"),
    "token.revoke": gettext_lazy("API token revoked"),
    "alias.create": gettext_lazy("Alias created"),
    "alias.change": gettext_lazy("Alias changed"),
    "alias.delete": gettext_lazy("Alias deleted"),
    "alias.file": gettext_lazy("Aliases read from a file"),
    "dkim.create": gettext_lazy("DKIM key created"),
    "dkim.sign": gettext_lazy("DKIM key activated"),
    "dkim.delete": gettext_lazy("DKIM key deleted"),
    "setting.change": gettext_lazy("Setting changed"),
    "table.change": gettext_lazy("Table changed"),
    "table.import": gettext_lazy("Table imported"),
    "queue.act": gettext_lazy("Queue"),
}
_MAX_DIFFERENCES = 12  # differences shown per change


@dataclass(frozen=True, slots=True)
class Line:
    """A change as the page shows it."""

    id: int
    at: int  # Unix time
    by: str
    place: str
    words: object
    subject: str
    differences: list[tuple[str, object, object]]
    more: int
    undoable: bool


def describe_changes(permissions: Permissions, rows: Iterable[Change]) -> list[Line]:
    return [
        Line(
            row.pk,
            row.at_us // 1_000_000,
            row.by,
            row.place,
            ACTIONS.get(row.action, row.action),
            row.subject,
            _differences(row)[:_MAX_DIFFERENCES],
            max(0, len(_differences(row)) - _MAX_DIFFERENCES),
            revert.can_revert(permissions, row),
        )
        for row in rows
    ]


def _differences(row: Change) -> list[tuple[str, object, object]]:
    """Return the differences of a change, without empty fields of created rows."""
    return [(name, old, new) for name, (old, new) in row.difference.items() if old is not None or new not in ("", [])]


@require_safe
@requires_view
def audit_log(request: HttpRequest, permissions: Permissions) -> HttpResponse:
    rows = permissions.visible_changes()
    q, action = list_page.search_term(request), list_page.query_choice(request, "action", list(ACTIONS))
    if q:
        rows = rows.filter(Q(subject__icontains=q) | Q(by__icontains=q) | Q(place=q) | Q(difference__icontains=q))
    if action:
        rows = rows.filter(action=action)
    page = _page(request, rows)
    context = {
        "section": "history",
        "page": page,
        "lines": describe_changes(permissions, page),
        "q": q,
        "action": action,
        "actions": list(ACTIONS.items()),
    }
    return render_page(request, permissions, "history", context)


def _page(request: HttpRequest, rows: QuerySet[Change]) -> Iterable[Change]:
    return Paginator(rows.order_by("-at_us", "-pk"), list_page.PAGE_SIZE).get_page(request.GET.get("page"))


@require_safe
@requires_login
def own_audit_log(request: HttpRequest, permissions: Permissions) -> HttpResponse:
    """Show the changes of the user's account, and the client addresses that logged in to it."""
    me = permissions.visitor
    page = _page(request, Change.objects.filter(subject=me.address))
    since = timezone.localdate() - timedelta(days=365)
    places = KnownAddress.objects.filter(account=me, last_used__gte=since).order_by("-last_used", "address")
    context = {
        "section": "own-history",
        "page": page,
        "lines": describe_changes(Permissions(me, frozenset(), sees=False, changes=False), page),
        "places": list(places.values_list("address", "last_used")[:50]),
    }
    return render_page(request, permissions, "own_history", context)


@require_POST
@requires_change
def revert_change(request: HttpRequest, permissions: Permissions, change_id: int) -> HttpResponse:
    change = get_object_or_404(permissions.visible_changes(), pk=change_id)
    if not revert.can_revert(permissions, change):
        messages.error(request, _("This cannot be undone here."))
    else:
        try:
            revert.revert(permissions, change)
        except DirectoryError as problem:
            messages.error(request, str(problem))
        else:
            messages.success(request, _("Undone: %(subject)s is as it was before.") % {"subject": change.subject})
    target = request.POST.get("back", "")
    safe = target.startswith("/") and url_has_allowed_host_and_scheme(target, None)
    return redirect(target if safe else reverse("mailadmin:history"))
