"""Quota warnings at 80 and at 95 percent, once each, in the account's language."""

from email import message_from_bytes, policy

import pytest

from mailcore.conf import caches
from mailcore.models import Account, Queued
from mailcore.mta.workers.courier import Courier

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

FULL = 1_000_000


@pytest.fixture
def use(post, inbox):
    """Let lisi use so many percent, then deliver a small message; return the subjects of the warnings."""
    Account.objects.filter(address="lisi@benet.com").update(quota_bytes=FULL, language="en")

    def at(percent: float) -> list[str]:
        Account.objects.filter(address="lisi@benet.com").update(used_bytes=int(FULL * percent / 100))
        before = len(inbox("lisi"))
        post("lisi")
        Courier().run_until_idle()
        messages = [message_from_bytes(each, policy=policy.default) for each in inbox("lisi")[before:]]
        return [each["Subject"] for each in messages if each["Auto-Submitted"]]

    return at


def test_once_per_crossing(use):
    assert use(79) == []
    assert use(79.99) == ["Your mailbox is 80% full"]
    assert use(85) == []
    assert use(94.99) == ["Your mailbox is 95% full"]
    assert use(96) == []
    assert use(85) == []
    assert use(94.99) == ["Your mailbox is 95% full"]
    assert use(10) == []
    assert use(79.99) == ["Your mailbox is 80% full"]


def test_both_levels_at_once_are_one_warning(use):
    assert use(97) == ["Your mailbox is 97% full"]


def test_what_was_uploaded_counts_at_the_next_message(use):
    assert use(85) == ["Your mailbox is 85% full"]


def test_falling_below_unnoticed_and_coming_back_is_a_crossing(use):
    use(85)
    Account.objects.filter(address="lisi@benet.com").update(used_bytes=FULL // 2)
    assert use(79.99) == ["Your mailbox is 80% full"]


def test_messages_count_too(post, inbox):
    Account.objects.filter(address="lisi@benet.com").update(quota_messages=10, used_messages=7, language="en")
    post("lisi")
    Courier().run_until_idle()
    [_, warning] = inbox("lisi")
    assert b"Your mailbox is 80% full" in warning


def test_no_levels_no_warnings(use, parameters):
    parameters(quota_warning_levels="")
    assert use(99) == []


def test_in_the_owners_language(post, inbox):
    Account.objects.filter(address="lisi@benet.com").update(quota_bytes=FULL, used_bytes=850_000, language="zh-hans")
    caches.clear_all()
    post("lisi")
    Courier().run_until_idle()
    message = message_from_bytes(inbox("lisi")[1], policy=policy.default)
    assert message["Subject"] == "您的邮箱已用 85%"
    assert "lisi@benet.com" in message.get_content()
    assert message["Return-Path"] == "<>"


def test_a_warning_that_finds_no_room_ends_quietly(post, parameters):
    parameters(virtual_overquota_bounce="yes")
    Account.objects.filter(address="lisi@benet.com").update(quota_bytes=1000, used_bytes=780)
    post("lisi")
    Courier().run_until_idle()
    assert set(Queued.objects.values_list("state", flat=True)) == {"done"}
    assert Queued.objects.count() == 2
