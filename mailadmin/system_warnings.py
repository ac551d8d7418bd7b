"""Warnings for the administrator's dashboard: quotas, queue, disk, certificates, parameters, logins, DNS.

They are evaluated at most once a minute. Each has a level, a text and a link to the page that shows the details.
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

from mailadmin.permissions import Permissions
from mailcore import conf
from mailcore.conf.size_format import format_size
from mailcore.models import Account, DkimKey, Domain, Queued, Recipient
from mailcore.mta.dns import domain_check
from mailcore.mta.dns.domain_check import CheckedRecord
from mailcore.mta.history import statistics

_FULL_QUOTA = 0.9  # of a quota
_MAX_WAIT = 300  # seconds a new message may wait for a courier
_MIN_FREE_DISK = 0.1  # fraction of the file system that must be free
_EXPIRY_DAYS = 21  # days before a certificate expires
_MAX_FAILED_LOGINS = 50  # failed logins within the last two hours
_DNS_INTERVAL = 3600  # seconds
_DNS_DOMAINS = 30
_REASONS = 5


@dataclass(frozen=True, slots=True)
class SystemWarning:
    level: str  # "error" or "warning"
    words: str
    url: str  # URL on this site, or ""


def find_warnings(permissions: Permissions) -> list[SystemWarning]:
    """Return the warnings for the user, errors first."""
    found = list(_account_warnings(permissions))
    if permissions.system:
        found += [*_queue_warnings(), *_machine_warnings(), *_setting_warnings(), *_login_warnings()]
    found += _dns_warnings(permissions)
    return sorted(found, key=lambda each: each.level != "error")


def accounts_near_quota(permissions: Permissions) -> QuerySet[Account]:
    """Return accounts that have used nine tenths of their quota."""
    limit = Coalesce("quota_bytes", "domain__account_quota_bytes", Value(conf.current().virtual_mailbox_limit))
    rows = permissions.visible_accounts().annotate(limit=limit)
    return rows.filter(limit__gt=0, used_bytes__gte=F("limit") * _FULL_QUOTA)


def _account_warnings(permissions: Permissions) -> Iterator[SystemWarning]:
    full = accounts_near_quota(permissions).count()
    if full:
        words = ngettext("%(n)d mailbox is nearly full.", "%(n)d mailboxes are nearly full.", full) % {"n": full}
        yield SystemWarning("warning", words, reverse("mailadmin:accounts") + "?full=1&sort=-used")
    soon = timezone.localdate() + timedelta(days=7)
    ending = permissions.visible_accounts().filter(expires__range=(timezone.localdate(), soon)).count()
    if ending:
        words = ngettext("%(n)d account ends within a week.", "%(n)d accounts end within a week.", ending)
        yield SystemWarning("warning", words % {"n": ending}, reverse("mailadmin:accounts") + "?ending=1")


def _queue_warnings() -> Iterator[SystemWarning]:
    address = reverse("mailadmin:queue")
    overdue = int((time.time() - _MAX_WAIT) * 1_000_000)
    waiting = Queued.objects.filter(state=Queued.State.INCOMING, due_us__lt=overdue).count()
    if waiting:
        words = ngettext(
            "%(n)d message waits for a courier: does one run?",
            "%(n)d messages wait for a courier: does one run?",
            waiting,
        )
        yield SystemWarning("error", words % {"n": waiting}, f"{address}?state=incoming")
    queue = statistics.waiting_counts()
    if queue.growing:
        words = ngettext(
            "The queue grows: %(now)d message waits. An hour ago it was %(last)d, two hours ago %(before)d.",
            "The queue grows: %(now)d messages wait. An hour ago it was %(last)d, two hours ago %(before)d.",
            queue.now,
        )
        numbers = {"now": queue.now, "last": queue.last_hour, "before": queue.hour_before}
        yield SystemWarning("warning", words % numbers, reverse("mailadmin:destinations"))
    if corrupt := Queued.unsettled.filter(state=Queued.State.CORRUPT).count():
        words = ngettext("%(n)d message cannot be read.", "%(n)d messages cannot be read.", corrupt)
        yield SystemWarning("error", words % {"n": corrupt}, f"{address}?state=corrupt")
    if held := Queued.unsettled.filter(state=Queued.State.HOLD).count():
        words = ngettext("%(n)d message is on hold.", "%(n)d messages are on hold.", held)
        yield SystemWarning("warning", words % {"n": held}, f"{address}?state=hold")


def deferred_reasons() -> list[tuple[str, int]]:
    """Return the most frequent reasons of deferred recipients with their counts."""
    waiting = Recipient.objects.filter(state=Recipient.State.WAITING, queued__state=Queued.State.DEFERRED)
    rows = (
        waiting.annotate(why=Substr("reason", 1, 80)).values_list("why").annotate(n=Count("pk")).order_by("-n", "why")
    )
    return list(rows[:_REASONS])


def _machine_warnings() -> Iterator[SystemWarning]:
    paths_by_device = {
        os.stat(path).st_dev: path for path in (settings.DATA_DIR, settings.QUEUE_ROOT) if Path(path).exists()
    }
    for path in paths_by_device.values():
        usage = shutil.disk_usage(path)
        if usage.free < usage.total * _MIN_FREE_DISK:
            words = _("Only %(free)s are free on the disk of %(path)s.") % {
                "free": format_size(usage.free),
                "path": path,
            }
            yield SystemWarning("error", words, "")
    for path in _certificate_warnings():
        yield from _check_certificate(path)


def _certificate_warnings() -> list[Path]:
    certificate_file = conf.expand_value("smtpd_tls_cert_file", conf.effective()["smtpd_tls_cert_file"])
    return [Path(certificate_file)] if certificate_file else sorted(settings.TLS_ROOT.glob("*.pem"))


def _check_certificate(path: Path) -> Iterator[SystemWarning]:
    url = reverse("mailadmin:setting", args=["smtpd_tls_cert_file"])
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError):
        if conf.current().smtpd_tls_cert_file:
            yield SystemWarning("error", _("The certificate %(path)s cannot be read.") % {"path": path}, url)
        return
    days_left = (certificate.not_valid_after_utc - datetime.now(UTC)).days
    if days_left < _EXPIRY_DAYS:
        words = ngettext("The certificate ends in %(n)d day.", "The certificate ends in %(n)d days.", days_left) % {
            "n": days_left
        }
        yield SystemWarning("error" if days_left < 7 else "warning", words, url)


def _setting_warnings() -> Iterator[SystemWarning]:
    for name, why in conf.problems().items():
        yield SystemWarning("error", f"{name}: {why}", reverse("mailadmin:setting", args=[name]))
    if not conf.rejects_open_relay():
        yield SystemWarning("error", _("This is an open relay."), reverse("mailadmin:settings") + "?q=restrictions")


def _login_warnings() -> Iterator[SystemWarning]:
    now = int(time.time() // 3600)
    failed = sum(kinds.get(statistics.SIGN_IN, 0) for kinds in statistics.hourly_counts(now - 1, now).values())
    if failed >= _MAX_FAILED_LOGINS:
        words = ngettext(
            "%(n)d sign-in failed within the last two hours.",
            "%(n)d sign-ins failed within the last two hours.",
            failed,
        )
        yield SystemWarning("warning", words % {"n": failed}, reverse("mailadmin:log") + "?q=auth+failed")


# --- DNS: queried in a background thread, because answers may take long ----------------------------


def cache_dns_result(name: str, checked: Sequence[CheckedRecord]) -> None:
    wrong = sum(each.state in ("missing", "other") and not each.record.optional for each in checked)
    cache.set(f"mailadmin.dns.{name}", (time.time(), wrong), 86400)


def _dns_warnings(permissions: Permissions) -> list[SystemWarning]:
    domains = list(
        permissions.visible_domains().filter(kind=Domain.Kind.LOCAL, active=True).order_by("name")[:_DNS_DOMAINS]
    )
    known = cache.get_many([f"mailadmin.dns.{row.name}" for row in domains])
    found = []
    for row in domains:
        _checked_at, wrong = known.get(f"mailadmin.dns.{row.name}", (0, 0))
        if wrong:
            words = ngettext(
                "DNS of %(name)s: %(n)d record is wrong.", "DNS of %(name)s: %(n)d records are wrong.", wrong
            )
            url = reverse("mailadmin:dns", args=[row.pk]) + "?check=1"
            found.append(SystemWarning("warning", words % {"name": row.name, "n": wrong}, url))
    signing = set(DkimKey.objects.filter(state=DkimKey.State.SIGNING).values_list("domain_id", flat=True))
    for row in domains:
        if row.pk not in signing:
            words = _("Messages of %(name)s are not signed (DKIM).") % {"name": row.name}
            found.append(SystemWarning("warning", words, reverse("mailadmin:dns", args=[row.pk])))
    overdue = [
        row for row in domains if known.get(f"mailadmin.dns.{row.name}", (0, 0))[0] < time.time() - _DNS_INTERVAL
    ]
    if overdue and settings.DNS_WATCH and cache.add("mailadmin.dns", 1, _DNS_INTERVAL):
        threading.Thread(target=_query_domains, args=(overdue,), name="dns-watch", daemon=True).start()
    return found


def _query_domains(domains: Sequence[Domain]) -> None:
    try:
        for row in domains:
            cache_dns_result(row.name, domain_check.check_records(domain_check.expected_records(row)))
    finally:
        close_old_connections()
