"""Changes made by one client, and the untagged responses that another receives."""

import re

import pytest
from django.db import transaction

from imap_client import PLAIN, ImapRunning, Mailer
from mailcore.models import Account
from mailcore.store.mailbox import insert
from mailcore.values import Arrival

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def running(imap) -> ImapRunning:
    return imap()


@pytest.fixture
def two(running) -> tuple[Mailer, Mailer]:
    """Two clients of lisi with five messages before them."""
    one, other = running.dial().sign_in(), running.dial().sign_in()
    for _ in range(5):
        one.append(PLAIN)
    for client in (one, one, other):  # nothing is recent the second time
        client.do("SELECT INBOX")
    return one, other


def test_new_messages_are_told_after_any_command(two) -> None:
    one, other = two
    one.append(PLAIN)
    responses = other.do("FETCH 1 UID")
    assert responses[0] == b"* 1 FETCH (UID 1)"
    assert b"* 6 EXISTS" in responses


def test_flags_are_told_once(two) -> None:
    one, other = two
    one.do("STORE 2 +FLAGS (\\Flagged)")
    assert one.do("NOOP") == []
    assert other.do("NOOP") == [b"* 2 FETCH (FLAGS (\\Flagged))"]
    assert other.do("NOOP") == []
    one.do("STORE 3 +FLAGS.SILENT (\\Seen)")
    other.do("STORE 3 +FLAGS.SILENT (\\Answered)")
    assert one.do("NOOP") == [b"* 3 FETCH (FLAGS (\\Answered \\Seen))"]


def test_numbers_hold_still_while_they_are_used(two) -> None:
    one, other = two
    one.do("STORE 2 +FLAGS.SILENT (\\Deleted)")
    one.do("EXPUNGE")
    # FETCH, STORE, SEARCH, SORT and COPY by number hear nothing of it, and message 2 is just not there.
    assert other.do("FETCH 2:3 UID") == [b"* 3 FETCH (UID 3)"]
    assert other.do("SEARCH ALL") == [b"* SEARCH 1 3 4 5"]
    assert other.do("STORE 3 +FLAGS (\\Seen)") == [b"* 3 FETCH (FLAGS (\\Seen))"]
    other.do("COPY 2:3 Archive")
    assert re.search(r"COPYUID \d+ 3 1\]", other.tagged)
    assert other.do("UID FETCH 3 UID") == [b"* 3 FETCH (UID 3)", b"* 2 EXPUNGE"]
    assert other.do("FETCH 2 UID") == [b"* 2 FETCH (UID 3)"]


def test_many_are_told_from_the_last(two) -> None:
    one, other = two
    one.do("STORE 1,3:4 +FLAGS.SILENT (\\Deleted)")
    one.do("EXPUNGE")
    assert other.do("NOOP") == [b"* 4 EXPUNGE", b"* 3 EXPUNGE", b"* 1 EXPUNGE"]
    assert other.do("FETCH 1:* UID") == [b"* 1 FETCH (UID 2)", b"* 2 FETCH (UID 5)"]


def test_a_message_that_came_and_went_is_never_told(two) -> None:
    one, other = two
    one.append(PLAIN)
    one.do("NOOP")
    one.do("STORE 6 +FLAGS.SILENT (\\Deleted)")
    one.do("EXPUNGE")
    assert [line for line in other.do("NOOP") if b"RECENT" not in line] == []
    assert one.append(PLAIN) == 7


def test_a_mailbox_that_is_deleted_is_empty_to_those_who_have_it_open(two) -> None:
    one, other = two
    one.do("CREATE short")
    one.append(PLAIN, "short")
    other.do("SELECT short")
    one.do("DELETE short")
    assert other.do("NOOP") == [b"* 1 EXPUNGE"]
    assert other.do("SEARCH ALL") == [b"* SEARCH"]


def deliver(tmp_path, name: str) -> None:
    file = tmp_path / name
    file.write_bytes(PLAIN)
    account = Account.objects.get(local_part="lisi")
    staged = insert.stage_files([Arrival(account.pk, name, file, 0, b"", False, 1_200_000_000)])
    with transaction.atomic():
        insert.insert_messages(staged)


def test_who_idles_is_told_at_once(two, tmp_path) -> None:
    one, other = two
    other.talk("C: i IDLE\nS: + idling")
    deliver(tmp_path, "first")
    assert other.hear() == "* 6 EXISTS"
    other.hear()  # RECENT
    one.do("STORE 1 +FLAGS (\\Seen)")
    assert other.hear() == "* 1 FETCH (FLAGS (\\Seen))"
    one.do("STORE 2 +FLAGS.SILENT (\\Deleted)")
    assert other.hear() == "* 2 FETCH (FLAGS (\\Deleted))"
    one.do("EXPUNGE")
    assert other.hear() == "* 2 EXPUNGE"
    other.talk("C: DONE\nS: i OK Idle completed.")
    assert other.do("FETCH 5 UID") == [b"* 5 FETCH (UID 6)"]


def test_idling_without_a_mailbox_and_wrong_ends(running) -> None:
    client = running.dial().sign_in()
    client.talk(
        "C: i IDLE\nS: + idling\nC: done\nS: i OK …\n"
        "C: j IDLE\nS: + idling\nC: k NOOP\nS: j BAD DONE expected\nC: l NOOP\nS: l OK …"
    )


def test_what_came_before_idle_is_told_when_it_begins(two) -> None:
    one, other = two
    one.append(PLAIN)
    other.talk("C: i IDLE\nS: + idling\nS: * 6 EXISTS\nS: * … RECENT\nC: DONE\nS: i OK …")
