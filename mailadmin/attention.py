"""What needs an administrator's attention: looked for at most once a minute, for the overview.

Each finding is a level, words, and the page where something can be done. Nothing here is the only place where it can be
seen.
"""

import os
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from django.conf import settings
from django.core.cache import cache
from django.db import close_old_connections
from django.db.models import Count, F, QuerySet, Value
from django.db.models.functions import Coalesce, Substr
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from mailadmin.octets import readable
from mailadmin.permissions import Reach
from mailcore import conf
from mailcore.models import Account, DkimKey, Domain, Queued, Recipient
from mailcore.post import dnscheck, traffic
from mailcore.post.dnscheck import Checked

_FULL = 0.9  # of a quota
_LATE = 300  # seconds a new letter may wait for a courier
_DISK = 0.1  # of the file system must be free
_CERTIFICATE = 21  # days before its end
_GUESSES = 50  # failed sign-ins an hour
_DNS_EVERY = 3600  # seconds
_DNS_DOMAINS = 30
_REASONS = 5


@dataclass(frozen=True, slots=True)
class Finding:
    level: str  # "error", "warning"
    words: str
    where: str  # an address on this site, or ""


def findings(reach: Reach) -> list[Finding]:
    """The worst first."""
    found = list(_of_accounts(reach))
    if reach.system:
        found += [*_of_queue(), *_of_machine(), *_of_settings(), *_of_sign_ins()]
    found += _of_dns(reach)
    return sorted(found, key=lambda each: each.level != "error")


def nearly_full(reach: Reach) -> QuerySet[Account]:
    """Accounts that have used nine tenths of their quota."""
    limit = Coalesce("quota_bytes", "domain__account_quota_bytes", Value(conf.current().virtual_mailbox_limit))
    rows = reach.see_accounts().annotate(limit=limit)
    return rows.filter(limit__gt=0, used_bytes__gte=F("limit") * _FULL)


def _of_accounts(reach: Reach) -> Iterator[Finding]:
    full = nearly_full(reach).count()
    if full:
        words = ngettext("%(n)d mailbox is nearly full.", "%(n)d mailboxes are nearly full.", full) % {"n": full}
        yield Finding("warning", words, reverse("mailadmin:accounts") + "?full=1&sort=-used")
    soon = timezone.localdate() + timedelta(days=7)
    ending = reach.see_accounts().filter(expires__range=(timezone.localdate(), soon)).count()
    if ending:
        words = ngettext("%(n)d account ends within a week.", "%(n)d accounts end within a week.", ending)
        yield Finding("warning", words % {"n": ending}, reverse("mailadmin:accounts") + "?ending=1")


def _of_queue() -> Iterator[Finding]:
    address = reverse("mailadmin:queue")
    late = int((time.time() - _LATE) * 1_000_000)
    waiting = Queued.objects.filter(state=Queued.State.INCOMING, due_us__lt=late).count()
    if waiting:
        words = ngettext(
            "%(n)d letter waits for a courier: does one run?",
            "%(n)d letters wait for a courier: does one run?",
            waiting,
        )
        yield Finding("error", words % {"n": waiting}, f"{address}?state=incoming")
    queue = traffic.waiting()
    if queue.growing:
        words = ngettext(
            "The queue grows: %(now)d letter waits. An hour ago it was %(last)d, two hours ago %(before)d.",
            "The queue grows: %(now)d letters wait. An hour ago it was %(last)d, two hours ago %(before)d.",
            queue.now,
        )
        numbers = {"now": queue.now, "last": queue.last_hour, "before": queue.hour_before}
        yield Finding("warning", words % numbers, reverse("mailadmin:destinations"))
    if corrupt := Queued.unsettled.filter(state=Queued.State.CORRUPT).count():
        words = ngettext("%(n)d letter cannot be read.", "%(n)d letters cannot be read.", corrupt)
        yield Finding("error", words % {"n": corrupt}, f"{address}?state=corrupt")
    if held := Queued.unsettled.filter(state=Queued.State.HOLD).count():
        words = ngettext("%(n)d letter is on hold.", "%(n)d letters are on hold.", held)
        yield Finding("warning", words % {"n": held}, f"{address}?state=hold")


def deferred_reasons() -> list[tuple[str, int]]:
    """Why letters wait, the most frequent reasons first."""
    waiting = Recipient.objects.filter(state=Recipient.State.WAITING, letter__state=Queued.State.DEFERRED)
    rows = (
        waiting.annotate(why=Substr("reason", 1, 80)).values_list("why").annotate(n=Count("pk")).order_by("-n", "why")
    )
    return list(rows[:_REASONS])


def _of_machine() -> Iterator[Finding]:
    places = {os.stat(path).st_dev: path for path in (settings.DATA_DIR, settings.QUEUE_ROOT) if Path(path).exists()}
    for path in places.values():
        usage = shutil.disk_usage(path)
        if usage.free < usage.total * _DISK:
            words = _("Only %(free)s are free on the disk of %(path)s.") % {"free": readable(usage.free), "path": path}
            yield Finding("error", words, "")
    for path in _certificates():
        yield from _of_certificate(path)


def _certificates() -> list[Path]:
    given = conf.expanded("smtpd_tls_cert_file", conf.effective()["smtpd_tls_cert_file"])
    return [Path(given)] if given else sorted(settings.TLS_ROOT.glob("*.pem"))


def _of_certificate(path: Path) -> Iterator[Finding]:
    where = reverse("mailadmin:setting", args=["smtpd_tls_cert_file"])
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError):
        if conf.current().smtpd_tls_cert_file:
            yield Finding("error", _("The certificate %(path)s cannot be read.") % {"path": path}, where)
        return
    left = (certificate.not_valid_after_utc - datetime.now(UTC)).days
    if left < _CERTIFICATE:
        words = ngettext("The certificate ends in %(n)d day.", "The certificate ends in %(n)d days.", left) % {
            "n": left
        }
        yield Finding("error" if left < 7 else "warning", words, where)


def _of_settings() -> Iterator[Finding]:
    for name, why in conf.problems().items():
        yield Finding("error", f"{name}: {why}", reverse("mailadmin:setting", args=[name]))
    if not conf.stops_strangers():
        yield Finding("error", _("This is an open relay."), reverse("mailadmin:settings") + "?q=restrictions")


def _of_sign_ins() -> Iterator[Finding]:
    now = int(time.time() // 3600)
    failed = sum(kinds.get(traffic.SIGN_IN, 0) for kinds in traffic.by_hour(now - 1, now).values())
    if failed >= _GUESSES:
        words = ngettext(
            "%(n)d sign-in failed within the last two hours.",
            "%(n)d sign-ins failed within the last two hours.",
            failed,
        )
        yield Finding("warning", words % {"n": failed}, reverse("mailadmin:log") + "?q=auth+failed")


# --- DNS: asked in the background, for answers may take their time --------------------------------


def remember_dns(name: str, checked: Sequence[Checked]) -> None:
    wrong = sum(each.state in ("missing", "other") and not each.record.optional for each in checked)
    cache.set(f"mailadmin.dns.{name}", (time.time(), wrong), 86400)


def _of_dns(reach: Reach) -> list[Finding]:
    domains = list(reach.see_domains().filter(kind=Domain.Kind.LOCAL, active=True).order_by("name")[:_DNS_DOMAINS])
    known = cache.get_many([f"mailadmin.dns.{row.name}" for row in domains])
    found = []
    for row in domains:
        _asked, wrong = known.get(f"mailadmin.dns.{row.name}", (0, 0))
        if wrong:
            words = ngettext(
                "DNS of %(name)s: %(n)d record is wrong.", "DNS of %(name)s: %(n)d records are wrong.", wrong
            )
            where = reverse("mailadmin:dns", args=[row.pk]) + "?check=1"
            found.append(Finding("warning", words % {"name": row.name, "n": wrong}, where))
    signing = set(DkimKey.objects.filter(state=DkimKey.State.SIGNING).values_list("domain_id", flat=True))
    for row in domains:
        if row.pk not in signing:
            words = _("Letters of %(name)s are not signed (DKIM).") % {"name": row.name}
            found.append(Finding("warning", words, reverse("mailadmin:dns", args=[row.pk])))
    late = [row for row in domains if known.get(f"mailadmin.dns.{row.name}", (0, 0))[0] < time.time() - _DNS_EVERY]
    if late and settings.DNS_WATCH and cache.add("mailadmin.dns", 1, _DNS_EVERY):
        threading.Thread(target=_ask, args=(late,), name="dns-watch", daemon=True).start()
    return found


def _ask(domains: Sequence[Domain]) -> None:
    try:
        for row in domains:
            remember_dns(row.name, dnscheck.check(dnscheck.wanted(row)))
    finally:
        close_old_connections()
