"""SORT's order and SEARCH's dates, as the server answers."""

import importlib

import pytest
from django.apps import apps

from imap_client import Mailer
from mailcore.models import MessageSummary

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


@pytest.fixture
def lisi(imap) -> Mailer:
    return imap().dial().sign_in()


def put(client: Mailer, head: str) -> None:
    client.append(head.replace("\n", "\r\n").encode() + b"\r\n\r\n")


def test_the_order_is_that_of_unicode_casemap(lisi: Mailer) -> None:
    for subject in ("a_b", "ab", "AZ", "Zeta", "_a", "[a", "éta", "ezra", "eta"):
        put(lisi, f'Subject: {subject}\nFrom: {subject.strip("[")}@x\nTo: "{subject}" <z@x>')
    lisi.do("SELECT INBOX")
    assert lisi.do("SORT (SUBJECT) UTF-8 ALL") == [b"* SORT 2 3 1 9 8 7 4 6 5"]
    assert lisi.do("SORT (REVERSE SUBJECT) UTF-8 ALL") == [b"* SORT 5 6 4 7 8 9 1 3 2"]
    assert lisi.do("SORT (FROM) UTF-8 NOT 6") == [b"* SORT 2 3 1 9 8 7 4 5"]
    assert lisi.do("SORT (DISPLAYTO) UTF-8 ALL") == [b"* SORT 2 3 1 9 8 7 4 6 5"]


def test_keys_stored_before_are_converted(lisi: Mailer) -> None:
    for subject in ("a_b", "ab", "éta", "ezra"):
        put(lisi, f"Subject: {subject}\nFrom: {subject}@x")
    for name in ("subject_key", "from_key", "from_display"):
        for row in MessageSummary.objects.all():
            MessageSummary.objects.filter(pk=row.pk).update(**{name: getattr(row, name).lower()})
    importlib.import_module("mailcore.migrations.0006_sort_keys").convert_keys(apps, None)
    lisi.do("SELECT INBOX")
    assert lisi.do("SORT (SUBJECT) UTF-8 ALL") == [b"* SORT 2 1 4 3"]
    assert lisi.do("SORT (DISPLAYFROM) UTF-8 ALL") == [b"* SORT 2 1 4 3"]


def test_a_group_counts_with_its_name(lisi: Mailer) -> None:
    for to in ("Middle: zz@x;", "bb@x", "aa@x, Zulu: a@x;", "Omega <cc@x>", "undisclosed-recipients:;"):
        put(lisi, f"To: {to}\nCc: {to}")
    lisi.do("SELECT INBOX")
    assert lisi.do("SORT (TO) UTF-8 ALL") == [b"* SORT 3 2 4 1 5"]
    assert lisi.do("SORT (CC) UTF-8 ALL") == [b"* SORT 3 2 4 1 5"]
    assert lisi.do("SORT (DISPLAYTO) UTF-8 ALL") == [b"* SORT 3 2 1 4 5"]


def test_sent_dates_without_time_and_zone(lisi: Mailer) -> None:
    """RFC 9051 §6.4.4: the Date as it is written; a message without one was sent neither before nor after."""
    for date in (
        "Date: Mon, 1 Jan 2024 23:30:00 -1100",
        "Date: Tue, 2 Jan 2024 00:30:00 +1400",
        "Date: Mon, 1 Jan 2024 23:59:60 +0000",
        "Date: Mon, 1 Jan 2024 12:00:00 +0000\nDate: Fri, 5 Jan 2024 12:00:00 +0000",
        "Subject: no date",
        "Date: some day",
    ):
        put(lisi, date)
    lisi.do("SELECT INBOX")
    for key, numbers in {
        "SENTBEFORE 2-Jan-2024": b" 1 3 4",
        "SENTON 1-Jan-2024": b" 1 3 4",
        "SENTON 2-Jan-2024": b" 2",
        "SENTSINCE 2-Jan-2024": b" 2",
        "SENTSINCE 1-Jan-1990": b" 1 2 3 4",
        "SENTBEFORE 1-Jan-2100": b" 1 2 3 4",
        "NOT SENTSINCE 1-Jan-1990": b" 5 6",
        "SENTON 5-Jan-2024": b"",
    }.items():
        assert lisi.do(f"SEARCH {key}") == [b"* SEARCH" + numbers], key
    assert lisi.do("SORT (DATE) UTF-8 ALL")[0].endswith(b" 5 6")
