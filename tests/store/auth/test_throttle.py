"""How long an attempt to sign in waits: by address, by account, not where the owner is known."""

import pytest

from mailcore import rate_counters
from mailcore.store import directory
from mailcore.store.auth import throttle
from mailcore.store.auth.throttle import Attempt, TooManyAttempts, client_network
from mailcore.values import Owner

pytestmark = [pytest.mark.django_db, pytest.mark.database]


@pytest.fixture
def lisi(parameters) -> Owner:
    parameters(auth_failure_limit="3", auth_failure_delay="2s", auth_failure_delay_max="20s")
    directory.create_domain("benet.com")
    return Owner(directory.create_account("lisi@benet.com", "", password_hash="argon2$x"), "lisi@benet.com")


def fail(name: str, client: str, times: int = 1) -> list[float]:
    """The waits of failed attempts, one after another."""
    waits = []
    for _ in range(times):
        attempt = Attempt(name, client)
        waits.append(attempt.wait)
        attempt.end(failed=True)
    return waits


def wait(name: str, client: str) -> float:
    attempt = Attempt(name, client)
    attempt.end(failed=False)
    return attempt.wait


def test_an_address_that_guesses_waits_longer_each_time(lisi):
    assert fail("lisi@benet.com", "192.0.2.1", 8) == [0, 0, 0, 2, 4, 8, 16, 20]
    assert wait("xiaoqi@benet.com", "192.0.2.1") == 20
    assert wait("xiaoqi@benet.com", "192.0.2.2") == 0


def test_an_account_guessed_at_from_many_addresses(lisi):
    assert [fail("lisi@benet.com", f"192.0.2.{n}")[0] for n in range(5)] == [0, 0, 0, 2, 4]


def test_guesses_at_nobody_wait_as_long(lisi):
    assert [fail("nobody@benet.com", f"192.0.2.{n}")[0] for n in range(5)] == [0, 0, 0, 2, 4]


def test_the_owner_is_not_slowed_down_where_they_are_known(lisi):
    throttle.record_known_address(lisi, "198.51.100.7")
    fail(lisi.address, "192.0.2.1", 8)
    assert wait(lisi.address, "198.51.100.8") == 20
    assert wait(lisi.address, "198.51.100.7") == 0
    # What goes wrong at that very place does count …
    assert fail(lisi.address, "198.51.100.7", 5) == [0, 0, 0, 2, 4]
    # … until the owner is right.
    attempt = Attempt(lisi.address, "198.51.100.7")
    attempt.end(failed=False)
    throttle.forgive(lisi.address, "198.51.100.7")
    assert wait(lisi.address, "198.51.100.7") == 0


def test_an_address_not_used_for_long_is_not_known(lisi, parameters):
    throttle.record_known_address(lisi, "198.51.100.7")
    fail(lisi.address, "192.0.2.1", 8)
    parameters(auth_known_address_time="0")
    assert wait(lisi.address, "198.51.100.7") == 0  # today still counts
    from mailcore.models import KnownAddress

    KnownAddress.objects.update(last_used="2020-01-01")
    assert wait(lisi.address, "198.51.100.7") == 20


@pytest.mark.parametrize(("name", "client"), [("lisi@benet.com", "192.0.2.{}"), ("user{}@benet.com", "192.0.2.1")])
def test_past_the_limit_one_attempt_at_a_time_is_judged(lisi, name, client):
    for number in range(3):
        fail(name.format(number), client.format(number))
    first = Attempt(name.format(8), client.format(8))
    for number in range(9, 99):
        with pytest.raises(TooManyAttempts):
            Attempt(name.format(number), client.format(number))
    first.admit()
    first.end(failed=True)
    second = Attempt(name.format(9), client.format(9))  # what was refused holds nothing
    assert second.wait == 4
    second.end(failed=False)


def test_attempts_that_began_together_are_judged_until_enough_have_failed(lisi):
    under_way = [Attempt("lisi@benet.com", "192.0.2.1") for _ in range(100)]
    judged = 0
    for attempt in under_way:
        try:
            attempt.admit()
        except TooManyAttempts:
            attempt.end(failed=False)
        else:
            judged += 1
            attempt.end(failed=True)
    assert judged == 3


def test_the_owner_comes_in_where_they_are_known_while_others_guess(lisi):
    throttle.record_known_address(lisi, "198.51.100.7")
    fail(lisi.address, "192.0.2.1", 8)
    guess = Attempt(lisi.address, "192.0.2.1")
    owner = Attempt(lisi.address, "198.51.100.7")
    owner.admit()
    assert owner.wait == 0
    owner.end(failed=False)
    guess.end(failed=True)


def test_a_wrong_password_counts_though_its_client_has_gone(lisi):
    attempt = Attempt(lisi.address, "192.0.2.1")
    attempt.end(failed=False)
    attempt.fail()
    attempt.fail()
    assert fail(lisi.address, "192.0.2.2", 3) == [0, 0, 2]


def test_codes_have_counters_of_their_own_and_a_right_password_forgives_none(lisi):
    for _ in range(3):
        Attempt(lisi.address, "192.0.2.1", throttle.SECOND).end(failed=True)
    assert wait(lisi.address, "192.0.2.1") == 0
    attempt = Attempt(lisi.address, "192.0.2.1", throttle.SECOND)
    attempt.end(failed=False)
    assert attempt.wait == 2


def test_no_room_for_a_counter_is_suspicious(lisi, monkeypatch):
    monkeypatch.setattr(rate_counters._table, "find", lambda *_, **__: None)
    with pytest.raises(TooManyAttempts):
        Attempt("lisi@benet.com", "192.0.2.1")


def test_a_hundred_at_once_that_are_all_right_wait_for_nothing(lisi):
    under_way = [Attempt(f"user{n}@benet.com", "192.0.2.1") for n in range(100)]
    assert {attempt.wait for attempt in under_way} == {0}
    for attempt in under_way:
        attempt.end(failed=False)


def test_no_limit(lisi, parameters):
    parameters(auth_failure_limit="0")
    assert set(fail("lisi@benet.com", "192.0.2.1", 8)) == {0}


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("", ""),
    ],
)
def test_what_counts_as_one_place(address, place):
    assert client_network(address) == place
