"""A domain's DNS: the records it needs, as they are to be entered; what the DNS says now; DKIM keys."""

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from mailadmin import attention
from mailadmin.pages.answers import done, show
from mailadmin.permissions import Reach, changing, seeing
from mailcore.models import DkimKey, Domain
from mailcore.post import dnscheck
from mailcore.store import dkim
from mailcore.store.dkim import KeyEntry


def _row(reach: Reach, domain_id: int) -> Domain:
    if not reach.covers(domain_id):
        raise PermissionDenied
    return get_object_or_404(Domain, pk=domain_id)


@require_safe
@seeing
def dns(request: HttpRequest, reach: Reach, domain_id: int) -> HttpResponse:
    """The records at once; the DNS is asked when somebody wants to know (?check=1)."""
    row = _row(reach, domain_id)
    records = dnscheck.wanted(row)
    checked = dnscheck.check(records) if request.GET.get("check") else []
    if checked:
        attention.remember_dns(row.name, checked)
    context = {
        "section": "domains",
        "domain": row,
        "rows": checked or [dnscheck.Checked(record, "unknown") for record in records],
        "asked": bool(checked),
        "wrong": sum(each.state in ("missing", "other") and not each.record.optional for each in checked),
        "zone": dnscheck.zone(records),
        "keys": dkim.keys(row),
        "algorithms": DkimKey.Algorithm.choices,
    }
    return show(request, reach, "dns", context)


@require_POST
@changing
def key(request: HttpRequest, reach: Reach, domain_id: int) -> HttpResponse:
    """Make a key, put one to work, delete one: the form's button says which."""
    row = _row(reach, domain_id)
    number = request.POST.get("key", "")
    key_id = int(number) if number.isdecimal() and len(number) < 19 else 0
    match request.POST.get("action"):
        case "make":
            try:
                dkim.make(row.pk, request.POST.get("algorithm", ""))
            except ValueError:
                raise Http404 from None
            words = _("The key has been made. Enter its record, then put it to work.")
        case "sign" if dkim.put_to_work(row.pk, key_id):
            words = _("Outgoing mail is signed with this key now.")
        case "delete" if "sure" not in request.POST and (entry := _entry(row, key_id)):
            return show(request, reach, "delete", _question(row, entry))
        case "delete" if dkim.delete(row.pk, key_id):
            words = _("The key has been deleted.")
        case _:
            return redirect("mailadmin:dns", row.pk)
    return done(request, reach, words, "mailadmin:dns", row.pk)


def _entry(row: Domain, key_id: int) -> KeyEntry | None:
    return next((each for each in dkim.keys(row) if each.id == key_id), None)


def _question(row: Domain, entry: KeyEntry) -> dict[str, object]:
    losses = [_("the key %(selector)s of %(domain)s") % {"selector": entry.selector, "domain": row.name}]
    if entry.state == DkimKey.State.SIGNING:
        losses.append(_("the signature of outgoing mail: it goes out unsigned until another key is put to work"))
    return {
        "section": "domains",
        "title": _("Delete %(name)s") % {"name": entry.selector},
        "name": row.name,
        "losses": losses,
        "back": reverse("mailadmin:dns", args=[row.pk]),
        "fields": {"action": "delete", "key": entry.id, "sure": "1"},
    }
