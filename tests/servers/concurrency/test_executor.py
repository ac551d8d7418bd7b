"""Writes that share a commit: each is done or not by itself, and each is answered for itself."""

import asyncio
import threading
from collections.abc import Iterator

import pytest
from django.db import connection, transaction

from mailcore.models import Domain
from mailcore.servers.concurrency.executor import Executor
from mailcore.store import directory

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "sqlite", reason="other databases write many at a time"),
]


@pytest.fixture
def executor() -> Iterator[Executor]:
    made = Executor(2)
    yield made
    made.close()


def make(name: str) -> str:
    with transaction.atomic():
        Domain.objects.create(name=name)
        if name.startswith("bad"):
            raise ValueError(name)
    return name


def test_what_goes_wrong_in_one_undoes_only_that_one(executor):
    """All of them wait behind the first, and are done together."""
    begun, go_on = threading.Event(), threading.Event()

    def first() -> str:
        begun.set()
        assert go_on.wait(30)
        return make("first.example")

    async def work() -> list[object]:
        waiting = [asyncio.ensure_future(executor.run_write(first))]
        await asyncio.get_running_loop().run_in_executor(None, begun.wait)
        waiting += [asyncio.ensure_future(executor.run_write(make, f"{word}.example")) for word in ("a", "bad", "b")]
        await asyncio.sleep(0)  # they are in the queue now
        go_on.set()
        return await asyncio.gather(*waiting, return_exceptions=True)

    done = asyncio.run(work())
    assert [each for each in done if isinstance(each, str)] == ["first.example", "a.example", "b.example"]
    assert isinstance(done[2], ValueError)
    assert set(Domain.objects.values_list("name", flat=True)) == {"first.example", "a.example", "b.example"}


def test_a_commit_that_fails_is_told_to_all(executor, monkeypatch):
    directory.create_domain("benet.com")
    begun, go_on = threading.Event(), threading.Event()

    def first() -> None:
        begun.set()
        assert go_on.wait(30)

    def no_more() -> str:
        """Inside the transaction of all: what it leaves behind cannot be committed."""
        connection.cursor().execute("PRAGMA defer_foreign_keys = ON")
        connection.cursor().execute("INSERT INTO mailcore_subscription (account_id, name) VALUES (99999, 'x')")
        return "done"

    async def work() -> list[object]:
        waiting = [asyncio.ensure_future(executor.run_write(first))]
        await asyncio.get_running_loop().run_in_executor(None, begun.wait)
        waiting += [
            asyncio.ensure_future(executor.run_write(make, "a.example")),
            asyncio.ensure_future(executor.run_write(no_more)),
        ]
        await asyncio.sleep(0)
        go_on.set()
        return await asyncio.gather(*waiting, return_exceptions=True)

    done = asyncio.run(work())
    assert all(isinstance(each, Exception) for each in done[1:]), done
    assert not Domain.objects.filter(name="a.example").exists()


def where() -> int:
    return threading.get_ident()


@pytest.mark.parametrize("sessions", [1, 2])
def test_only_for_a_session_that_is_alone_the_loop_waits_for_the_disk(monkeypatch, sessions):
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
    executor = Executor(1, is_single_session=lambda: sessions < 2)
    done = asyncio.run(executor.run_write(where))
    executor.close()
    assert (done == where()) == (sessions < 2)


def test_what_goes_wrong_on_the_loop_is_told(monkeypatch):
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
    executor = Executor(1, is_single_session=lambda: True)
    with pytest.raises(ValueError, match=r"bad\.example"):
        asyncio.run(executor.run_write(make, "bad.example"))
    executor.close()
    assert not Domain.objects.exists()
