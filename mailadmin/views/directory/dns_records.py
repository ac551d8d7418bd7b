"""A domain's DNS: the records it needs, their state in the DNS, and DKIM keys."""

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from mailadmin import system_warnings
from mailadmin.permissions import Permissions, requires_change, requires_view
from mailadmin.views.page_responses import redirect_with_notice, render_page
from mailcore.models import DkimKey, Domain
from mailcore.mta.dns import domain_check
from mailcore.store.settings import dkim_keys
from mailcore.store.settings.dkim_keys import KeyEntry


def _find_domain(permissions: Permissions, domain_id: int) -> Domain:
    if not permissions.covers_domain(domain_id):
        raise PermissionDenied
    return get_object_or_404(Domain, pk=domain_id)


@require_safe
@requires_view
def dns_records(request: HttpRequest, permissions: Permissions, domain_id: int) -> HttpResponse:
    """Show the records at once; the DNS is queried on request (?check=1)."""
    row = _find_domain(permissions, domain_id)
    records = domain_check.expected_records(row)
    checked = domain_check.check_records(records) if request.GET.get("check") else []
    if checked:
        system_warnings.cache_dns_result(row.name, checked)
    context = {
        "section": "domains",
        "domain": row,
        "rows": checked or [domain_check.CheckedRecord(record, "unknown") for record in records],
        "asked": bool(checked),
        "wrong": sum(each.state in ("missing", "other") and not each.record.optional for each in checked),
        "zone": domain_check.render_zone(records),
        "keys": dkim_keys.list_keys(row),
        "algorithms": DkimKey.Algorithm.choices,
    }
    return render_page(request, permissions, "dns", context)


@require_POST
@requires_change
def change_key(request: HttpRequest, permissions: Permissions, domain_id: int) -> HttpResponse:
    """Create, activate or delete a key, as the form's button says."""
    row = _find_domain(permissions, domain_id)
    number = request.POST.get("key", "")
    key_id = int(number) if number.isdecimal() and len(number) < 19 else 0
    match request.POST.get("action"):
        case "make":
            try:
                dkim_keys.create_key(row.pk, request.POST.get("algorithm", ""))
            except ValueError:
                raise Http404 from None
            text = _("The key has been created. Publish its DNS record, then activate the key.")
        case "sign" if dkim_keys.activate_key(row.pk, key_id):
            text = _("Outgoing mail is signed with this key now.")
        case "delete" if "sure" not in request.POST and (entry := _find_key(row, key_id)):
            return render_page(request, permissions, "delete", _confirmation(row, entry))
        case "delete" if dkim_keys.delete_key(row.pk, key_id):
            text = _("The key has been deleted.")
        case _:
            return redirect("mailadmin:dns", row.pk)
    return redirect_with_notice(request, permissions, text, "mailadmin:dns", row.pk)


def _find_key(row: Domain, key_id: int) -> KeyEntry | None:
    return next((each for each in dkim_keys.list_keys(row) if each.id == key_id), None)


def _confirmation(row: Domain, entry: KeyEntry) -> dict[str, object]:
    losses = [_("the key %(selector)s of %(domain)s") % {"selector": entry.selector, "domain": row.name}]
    if entry.state == DkimKey.State.SIGNING:
        losses.append(_("the signature of outgoing mail: it is sent unsigned until another key is activated"))
    return {
        "section": "domains",
        "title": _("Delete %(name)s") % {"name": entry.selector},
        "name": row.name,
        "losses": losses,
        "back": reverse("mailadmin:dns", args=[row.pk]),
        "fields": {"action": "delete", "key": entry.id, "sure": "1"},
    }
