#!/usr/bin/env python
"""The administrator's lists at size: 100,000 accounts, a queue of 100,000; how long a page takes, how many queries.

    bench/screens.py [--accounts N] [--messages N] [--rounds N]

Fills a database of its own (DATABASE_URL, else SQLite in a temporary folder) and asks every page in this process,
signed in as an administrator. One JSON line a page: milliseconds at the median and at the 95th percentile, those of
the processor, queries of one page.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
FOLDER = tempfile.mkdtemp(prefix="youju-screens-")
os.environ.update(
    DATA_DIR=FOLDER, DJANGO_SETTINGS_MODULE="mailcore.settings", DNS_WATCH="no", MAIL_MYHOSTNAME="mail.d0.example"
)

import django  # noqa: E402

django.setup()

from django.core.management import call_command  # noqa: E402
from django.db import connection  # noqa: E402
from django.test import Client  # noqa: E402
from django.test.utils import CaptureQueriesContext  # noqa: E402

from mailcore.models import Account, Alias, Change, Domain, Queued, Recipient, Traffic  # noqa: E402
from mailcore.mta.queue import content_files  # noqa: E402

DOMAINS = 100
PAGES = {
    "overview": "/admin/",
    "domains": "/admin/domains/",
    "accounts": "/admin/accounts/",
    "accounts, last page": "/admin/accounts/?page=99999",
    "accounts by use": "/admin/accounts/?sort=-used",
    "accounts by name": "/admin/accounts/?sort=name",
    "accounts searched": "/admin/accounts/?q=u77777",
    "accounts searched, nobody": "/admin/accounts/?q=nosuchname",
    "accounts of a domain": "/admin/accounts/?domain=d7.example",
    "accounts nearly full": "/admin/accounts/?full=1",
    "aliases": "/admin/aliases/",
    "aliases searched": "/admin/aliases/?q=u4242",
    "queue": "/admin/queue/",
    "queue, last page": "/admin/queue/?page=99999",
    "queue by sender": "/admin/queue/?sort=sender",
    "queue, one state": "/admin/queue/?state=hold",
    "queue searched": "/admin/queue/?q=far77.example",
    "queue by destination": "/admin/queue/destinations",
    "where is my mail": "/admin/tracking?q=a777@far77.example",
    "where is my mail, by subject": "/admin/tracking?q=a subject nobody wrote",
    "changes": "/admin/history/",
    "changes searched": "/admin/history/?q=u777@",
    "settings": "/admin/settings/",
    "api: accounts": "/api/v1/accounts",
}


def some(rows: Iterable[object], size: int = 2000) -> Iterator[list[object]]:
    batch: list[object] = []
    for row in rows:
        batch.append(row)
        if len(batch) == size:
            yield batch
            batch = []
    yield batch


def fill(accounts: int, messages: int) -> None:
    now = int(time.time() * 1_000_000)
    Domain.objects.bulk_create(Domain(name=f"d{n}.example", max_accounts=None) for n in range(DOMAINS))
    domains = list(Domain.objects.order_by("pk"))
    people = (
        Account(address=f"u{n}@{domains[n % DOMAINS].name}", local_part=f"u{n}", domain=domains[n % DOMAINS],
                name=f"Person {n}", password="!", used_bytes=n * 7919 % 60_000_000, used_messages=n % 5000,
                role="administrator" if n == 0 else "owner")
        for n in range(accounts)
    )  # fmt: skip
    for batch in some(people):
        Account.objects.bulk_create(batch)
    aliases = (
        Alias(address=f"g{n}@{domains[n % DOMAINS].name}", local_part=f"g{n}", domain=domains[n % DOMAINS],
              targets=[f"u{n}@{domains[n % DOMAINS].name}", f"u{n + 1}@{domains[(n + 1) % DOMAINS].name}"])
        for n in range(accounts // 5)
    )  # fmt: skip
    for batch in some(aliases):
        Alias.objects.bulk_create(batch)
    base = content_files.first_id_at(now - 86_400_000_000)
    states = ("deferred", "deferred", "deferred", "incoming", "hold")
    waiting = (
        Queued(
            id=base + n * 64,
            state=states[n % 5],
            due_us=now + n,
            received_us=now - n,
            sender=f"s{n % 999}@x.example",
            size=2000,
        )
        for n in range(messages)
    )
    for batch in some(waiting):
        Queued.objects.bulk_create(batch)
    to = (
        Recipient(queued_id=base + n * 64, address=f"a{n}@far{n % 500}.example", original=f"a{n}@far{n % 500}.example",
                  reason=f"connect to far{n % 500}.example: Connection refused")
        for n in range(messages)
    )  # fmt: skip
    for batch in some(to):
        Recipient.objects.bulk_create(batch)
    changes = (
        Change(at_us=now - n, by="u0@d0.example", action="account.change", subject=f"u{n}@d{n % DOMAINS}.example",
               domain=f"d{n % DOMAINS}.example", difference={"state": ["active", "hold"]})
        for n in range(accounts)
    )  # fmt: skip
    for batch in some(changes):
        Change.objects.bulk_create(batch)
    hour = now // 3_600_000_000
    Traffic.objects.bulk_create(
        Traffic(machine="m", hour=hour - n, kind=kind, messages=n % 977)
        for n in range(400 * 24)
        for kind in ("received", "sent", "deferred", "refused")
    )
    if connection.vendor != "mysql":
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")


def measure(client: Client, path: str, rounds: int) -> dict[str, object]:
    with CaptureQueriesContext(connection) as queries:
        answer = client.get(path, HTTP_HOST="localhost")
    asked = len(queries)  # the next request begins to count anew
    assert answer.status_code == 200, (path, answer.status_code)
    times = []
    spent = time.process_time()
    for _ in range(rounds):
        began = time.perf_counter()
        client.get(path, HTTP_HOST="localhost")
        times.append((time.perf_counter() - began) * 1000)
    spent = (time.process_time() - spent) * 1000 / rounds
    times.sort()
    p95 = times[min(len(times) - 1, int(len(times) * 0.95))]
    median = times[len(times) // 2]
    return {"median_ms": round(median, 1), "p95_ms": round(p95, 1), "cpu_ms": round(spent, 1), "queries": asked}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--accounts", type=int, default=100_000)
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=40)
    options = parser.parse_args()
    try:
        call_command("migrate", verbosity=0)
        fill(options.accounts, options.messages)
        from mailcore.store.credentials import api_tokens

        first = Account.objects.get(address="u0@d0.example")
        client = Client()
        client.force_login(first, "mailcore.store.auth.account_login.AccountBackend")
        token = api_tokens.create_token(first.pk, "bench", writes=False, expires=None)
        script = Client(headers={"authorization": f"Bearer {token}"})
        for name, path in PAGES.items():
            told = measure(script if path.startswith("/api/") else client, path, options.rounds)
            print(json.dumps({"page": name, **told}), flush=True)
    finally:
        shutil.rmtree(FOLDER, ignore_errors=True)


if __name__ == "__main__":
    main()
