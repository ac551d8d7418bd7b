"""The overview: what needs attention, and how many messages an hour."""

import time
from datetime import timedelta

import pytest
from django.core.cache import cache
from django.utils import timezone
from markup import compact

from mailadmin import system_warnings
from mailcore.logs import writer
from mailcore.models import Account, Queued, Recipient, Traffic
from mailcore.mta.history import statistics
from mailcore.store.settings import dkim_keys

pytestmark = pytest.mark.django_db
NOW = int(time.time() * 1_000_000)


@pytest.fixture(autouse=True)
def due(monkeypatch: pytest.MonkeyPatch, settings) -> None:
    """Counting is due, and no service is asked for."""
    monkeypatch.setattr(statistics, "_counted", 0.0)
    settings.PORTS = dict.fromkeys(settings.PORTS)


def findings(browser) -> str:
    cache.clear()
    return "\n".join(each.words for each in browser.get("/admin/").context["findings"])


def test_what_needs_attention(office, visit, parameters):
    ann = visit("ann")
    parameters(virtual_mailbox_limit="1000")
    calm = findings(ann)
    assert "nearly full" not in calm
    Account.objects.filter(pk=office.lisi.pk).update(used_bytes=950)
    Account.objects.filter(pk=office.wang.pk).update(used_bytes=950, quota_bytes=0)
    Account.objects.filter(pk=office.dora.pk).update(expires=timezone.localdate() + timedelta(days=2))
    Queued.objects.create(id=1, state="corrupt", due_us=0, received_us=0, size=1)
    Queued.objects.create(id=2, state="hold", due_us=0, received_us=0, size=1)
    Queued.objects.create(id=3, state="incoming", due_us=NOW - 3600_000_000, received_us=0, size=1)
    shown = findings(ann)
    for words in ("1 mailbox is nearly full", "1 account ends within a week", "1 message cannot be read",
                  "1 message is on hold", "1 message waits for a courier", "Messages of benet.com are not signed"):  # fmt: skip
        assert words in shown
    assert addresses(ann.get("/admin/accounts/?full=1")) == ["lisi@benet.com"]
    assert addresses(ann.get("/admin/accounts/?ending=1")) == ["dora@accp.com"]


def addresses(answer) -> list[str]:
    return [row.address for row, _ in answer.context["rows"]]


@pytest.mark.parametrize(
    ("before", "last", "now", "grows"),
    [
        (20, 60, 100, True),  # from hour to hour
        (300, 301, 320, False),  # by too little
        (1000, 1100, 1200, False),  # large, but not half as much again
        (20, 120, 100, False),  # it sinks again
        (None, 60, 100, False),  # nobody looked two hours ago
    ],
)
def test_a_queue_that_grows(office, visit, before, last, now, grows):
    hour = int(time.time() // 3600)
    for back, messages in {2: before, 1: last, 24: 7}.items():
        if messages is not None:
            Traffic.objects.create(machine="", hour=hour - back, kind=statistics.WAITING, messages=messages)
    Queued.objects.bulk_create(
        Queued(id=n, state="deferred", due_us=1, received_us=1, size=1) for n in range(1, now + 1)
    )
    shown = findings(visit("ann"))
    assert (
        f"The queue grows: {now} messages wait. An hour ago it was {last}, two hours ago {before}." in shown
    ) is grows
    page = compact(visit("ann").get("/admin/").text)
    assert f"Waiting now: {now:,}; at the end of the last hour: {last:,}. A day ago: 7." in page


def test_the_queues_length_is_kept_for_each_hour(office, monkeypatch):
    for n, state in enumerate(("incoming", "deferred", "hold", "corrupt"), 1):
        Queued.objects.create(id=n, state=state, due_us=1, received_us=1, size=1)
    statistics.count_log()
    assert Traffic.objects.get(kind=statistics.WAITING).messages == 2
    Queued.objects.filter(id=1).delete()
    again(monkeypatch)
    assert Traffic.objects.get(kind=statistics.WAITING).messages == 1


def test_a_domains_administrator_hears_of_their_own_only(office, visit, parameters):
    parameters(virtual_mailbox_limit="1000")
    Account.objects.filter(pk=office.lisi.pk).update(used_bytes=950)
    Queued.objects.create(id=1, state="corrupt", due_us=0, received_us=0, size=1)
    dkim_keys.activate_key(office.accp.pk, dkim_keys.create_key(office.accp.pk, "ed25519-sha256"))
    assert findings(visit("dora")) == ""


def test_why_messages_wait(office, visit):
    message = Queued.objects.create(id=1, state="deferred", due_us=0, received_us=0, size=1)
    for name in "abc":
        Recipient.objects.create(queued=message, address=f"{name}@x", original=f"{name}@x", reason="connection refused")
    Recipient.objects.create(queued=message, address="d@x", original="d@x", reason="greylisted")
    assert visit("ann").get("/admin/").context["reasons"] == [("connection refused", 3), ("greylisted", 1)]


LINES = {
    "smtpd": ["6F24D1484401: client=unknown[192.0.2.7]", "6F24D1484402: client=x.example[192.0.2.8]",
              "NOQUEUE: reject: RCPT from x[192.0.2.1]: 554 5.7.1 <a@b>: Relay access denied; status=sent ("],
    "qmgr": ["6F24D1484401: to=<a@b>, relay=virtual, delay=1, delays=0/0/0/1, dsn=2.0.0, status=sent (delivered to maildir)",
             "6F24D1484402: to=<a@c>, relay=none, delay=1, delays=0/0/0/1, dsn=4.4.1, status=deferred (timed out)",
             "6F24D1484402: to=<a@d>, relay=none, delay=1, delays=0/0/0/1, dsn=5.1.1, status=bounced (nobody)"],
    "login": ["warning: auth failed: service=imap, user=<x>, client=192.0.2.1"],
}  # fmt: skip


def write() -> None:
    for program, lines in LINES.items():
        writer.write(program, *lines)


def counted() -> dict[str, int]:
    return {
        kind: sum(Traffic.objects.filter(kind=kind).values_list("messages", flat=True)) for kind in statistics.KINDS
    }


def again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "_counted", 0.0)
    assert statistics.count_log()


def test_messages_are_counted_from_the_log_once(office, monkeypatch):
    write()
    assert statistics.count_log()
    assert counted() == {"received": 2, "sent": 1, "deferred": 1, "bounced": 1, "refused": 1}
    assert Traffic.objects.get(kind="sign-in").messages == 1
    assert not statistics.count_log()
    again(monkeypatch)
    assert counted()["received"] == 2
    write()
    again(monkeypatch)
    assert counted() == {"received": 4, "sent": 2, "deferred": 2, "bounced": 2, "refused": 2}


def test_a_rotated_log_is_read_on(office, monkeypatch):
    import os

    write()
    statistics.count_log()
    os.rename(writer.log_path(), writer.log_path() + ".1")
    writer.reopen()
    write()
    again(monkeypatch)
    assert counted()["received"] == 4


def test_half_a_line_waits_for_its_other_half(office, monkeypatch):
    write()
    with open(writer.log_path(), "r+") as file:
        line = file.readline().rstrip("\n")
        file.seek(0, 2)
        file.write(line)
    statistics.count_log()
    assert counted()["received"] == 2
    with open(writer.log_path(), "a") as file:
        file.write("\n")
    again(monkeypatch)
    assert counted()["received"] == 3


def test_the_chart_and_its_table(office, visit):
    write()
    page = visit("ann").get("/admin/")
    assert '<rect class="c-received"' in page.text
    assert "received <strong>2</strong>" in page.text
    assert len(page.context["chart"].bars) == 24
    assert page.context["chart"].bars[-1][1] == [2, 1, 1, 1, 1]
    month = visit("ann").get("/admin/?span=month").context["chart"]
    assert len(month.bars) == 30
    assert month.bars[-1][1] == [2, 1, 1, 1, 1]


def test_nobody_logs_here(office, visit, parameters):
    parameters(maillog_file="/dev/stdout")
    assert statistics.count_log()
    assert set(Traffic.objects.values_list("kind", flat=True)) == {statistics.WAITING}
    assert visit("ann").get("/admin/").status_code == 200


def test_a_certificate_that_ends_soon(office, visit, parameters, tmp_path):
    import datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "mail.benet.com")])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(7).not_valid_before(now).not_valid_after(now + datetime.timedelta(days=5, hours=1))
    (tmp_path / "c.pem").write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    parameters(smtpd_tls_cert_file=str(tmp_path / "c.pem"))
    assert "The certificate ends in 5 days." in findings(visit("ann"))
    parameters(smtpd_tls_cert_file=str(tmp_path / "none.pem"))
    assert "cannot be read" in findings(visit("ann"))


def test_a_disk_that_is_nearly_full(office, visit, monkeypatch):
    monkeypatch.setattr(system_warnings, "_MIN_FREE_DISK", 1.0)  # no disk has more free than there is of it
    assert "are free on the disk of" in findings(visit("ann"))


def test_sign_ins_that_fail(office, visit, monkeypatch):
    writer.write("login", *LINES["login"] * 50)
    statistics.count_log()
    assert "50 sign-ins failed within the last two hours." in findings(visit("ann"))
    Traffic.objects.update(messages=49)
    assert "sign-ins failed" not in findings(visit("ann"))
