"""Quota limits of accounts and domains, and the replies when they are exceeded."""

from pathlib import Path

import pytest
from django.db import transaction

from mailcore.models import Account, Mailbox
from mailcore.store import directory
from mailcore.store.directory import AccountDraft, DomainDraft
from mailcore.store.mailbox import insert, quota_limits
from mailcore.store.mailbox.insert import StoredMessage
from mailcore.values import Arrival, Reply

pytestmark = [pytest.mark.django_db, pytest.mark.database]

SHUT = "argon2$argon2id$v=19$m=102400,t=2,p=8$cTB2YkdhNzRodUM4Rm5WTmd5RjdWMg$" + "A" * 43
WAIT = Reply(452, "4.2.2", "Mailbox is full")
NEVER = Reply(552, "5.2.2", "Mailbox is full")


def person(name: str = "lisi", **limits: int) -> int:
    return directory.create_account(f"{name}@benet.com", "", AccountDraft(**limits), password_hash=SHUT)


def used(account_id: int, data: int, messages: int = 1) -> None:
    Account.objects.filter(pk=account_id).update(used_bytes=data, used_messages=messages)


@pytest.mark.parametrize(
    ("own", "domain", "counts"),
    [(None, None, 51_200_000), (None, 7, 7), (5, 7, 5), (0, 7, 0), (None, 0, 0), (9, None, 9)],
)
def test_the_narrowest_word_counts_and_0_is_none(own, domain, counts):
    directory.create_domain("benet.com", DomainDraft(account_quota_bytes=domain))
    assert quota_limits.effective_limit(own, domain) == counts
    assert quota_limits.read_allowance(person(quota_bytes=own)).limit_bytes == counts


@pytest.mark.parametrize(
    ("limit", "have", "size", "answer"),
    [
        (100, 0, 100, None),
        (100, 99, 1, None),
        (100, 99, 2, WAIT),
        (100, 100, 0, WAIT),
        (100, 0, 101, NEVER),
        (0, 10**12, 10**9, None),
    ],
)
def test_room_by_bytes(limit, have, size, answer):
    directory.create_domain("benet.com")
    lisi = person(quota_bytes=limit)
    used(lisi, have)
    assert quota_limits.check_room(lisi, size) == answer


def test_room_by_messages():
    directory.create_domain("benet.com", DomainDraft(account_quota_messages=3))
    lisi = person()
    used(lisi, 10, 2)
    assert quota_limits.check_room(lisi, 1) is None
    used(lisi, 10, 3)
    assert quota_limits.check_room(lisi, 1) == WAIT


def test_an_administrator_may_have_mail_returned_at_once(monkeypatch):
    monkeypatch.setenv("MAIL_VIRTUAL_OVERQUOTA_BOUNCE", "yes")
    directory.create_domain("benet.com")
    lisi = person(quota_bytes=100)
    used(lisi, 100)
    assert quota_limits.check_room(lisi, 1) == NEVER


def test_a_domains_own_quota_counts_all_its_accounts():
    directory.create_domain("benet.com", DomainDraft(total_quota_bytes=1000))
    directory.create_domain("accp.com")
    lisi, xiaoqi = person("lisi"), person("xiaoqi")
    used(lisi, 400)
    used(xiaoqi, 500)
    assert quota_limits.check_room(lisi, 100) is None
    assert quota_limits.check_room(lisi, 101) == WAIT
    assert quota_limits.check_room(xiaoqi, 1001) == NEVER
    other = directory.create_account("a@accp.com", "", password_hash=SHUT)
    assert quota_limits.check_room(other, 5000) is None


def test_a_batch_shares_the_room_that_is_left(tmp_path: Path):
    directory.create_domain("benet.com", DomainDraft(total_quota_bytes=25))
    people = [person("lisi"), person("xiaoqi", quota_bytes=15)]
    message = tmp_path / "message"
    message.write_bytes(b"A: 1\r\n\r\nb\r\n"[:10])
    arrivals = [Arrival(who, f"{n}.x", message, 0, b"", False, 0) for n in range(2) for who in people]
    with transaction.atomic():
        stored = insert.insert_messages(insert.stage_files(arrivals))
    assert [isinstance(one, StoredMessage) for one in stored] == [True, True, False, False]
    assert stored[2:] == [WAIT, WAIT]
    assert sorted(Account.objects.values_list("used_bytes", "used_messages")) == [(10, 1), (10, 1)]


def test_counting_anew():
    directory.create_domain("benet.com")
    lisi = person()
    Mailbox.objects.filter(account=lisi, name="INBOX").update(size=451, messages=1)
    used(lisi, 7, 9)
    assert quota_limits.recount_usage(lisi) == (451, 1)
    assert Account.objects.values_list("used_bytes", "used_messages").get(pk=lisi) == (451, 1)


def test_nobody_has_no_purse():
    assert quota_limits.read_allowance(4711) is None
    assert quota_limits.check_room(4711, 10) is None
