r"""Flags that a FETCH changes or shows: \Seen in the same response, new keywords announced before."""

import re

import pytest

from imap_client import MIXED, PLAIN, ImapRunning, Mailer

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def running(imap) -> ImapRunning:
    return imap()


@pytest.fixture
def two(running) -> tuple[Mailer, Mailer]:
    """Lisi twice, with three messages in INBOX, which is selected by both; nothing is recent."""
    one, other = running.dial().sign_in(), running.dial().sign_in()
    for content in (PLAIN, MIXED, PLAIN):
        one.append(content)
    for client in (one, one, other):
        client.do("SELECT INBOX")
    return one, other


def test_the_fetch_that_sets_seen_carries_the_flags(two) -> None:
    """RFC 3501 §6.4.5."""
    one, other = two
    one.do("STORE 2 +FLAGS.SILENT (\\Flagged work)")
    assert one.do("FETCH 2 BODY[1]")[-1] == b"* 2 FETCH (FLAGS (\\Flagged \\Seen work) BODY[1] {5}\r\nfirst)"
    assert one.do("FETCH 2 BODY[1]") == [b"* 2 FETCH (BODY[1] {5}\r\nfirst)"]  # nothing changed
    assert one.do("NOOP") == []
    assert other.do("NOOP")[-1] == b"* 2 FETCH (FLAGS (\\Flagged \\Seen work))"


def test_only_messages_that_change_carry_the_flags(two) -> None:
    one, _ = two
    one.do("STORE 2 +FLAGS.SILENT (\\Seen)")
    responses = one.do("UID FETCH 1:3 BODY[HEADER.FIELDS (X)]")
    assert [answer.partition(b" BODY")[0] for answer in responses] == [
        b"* 1 FETCH (UID 1 FLAGS (\\Seen)",
        b"* 2 FETCH (UID 2",
        b"* 3 FETCH (UID 3 FLAGS (\\Seen)",
    ]


def test_flags_that_were_requested_are_given_once(two) -> None:
    one, _ = two
    assert one.do("FETCH 2 (FLAGS BODY[1])") == [b"* 2 FETCH (FLAGS (\\Seen) BODY[1] {5}\r\nfirst)"]
    assert one.do("NOOP") == []


def test_with_condstore_the_new_modseq_is_there_too(two) -> None:
    """RFC 7162 §3.1: after CONDSTORE every report of flags has MODSEQ."""
    one, _ = two
    one.do("ENABLE CONDSTORE")
    for number, items in ((1, "BODY[]"), (2, "(FLAGS BODY[])"), (3, "(MODSEQ BODY[])")):
        [answer] = one.do(f"FETCH {number} {items}")
        assert answer.count(b"FLAGS (\\Seen)") == 1
        assert len(re.findall(rb"MODSEQ \(\d+\)", answer)) == 1
    assert one.do("NOOP") == []


def test_without_the_right_or_writing_nothing_is_set(two) -> None:
    one, _ = two
    one.do("EXAMINE INBOX")
    assert b"FLAGS" not in one.do("FETCH 1 BODY[]")[0]


@pytest.mark.parametrize("command", ["FETCH 1 FLAGS", "UID FETCH 1:* (FLAGS UID)", "FETCH 1 (FLAGS BODY.PEEK[1])"])
@pytest.mark.parametrize("count", [3, 150])
def test_a_new_keyword_is_announced_before_it_is_shown(two, command: str, count: int) -> None:
    one, other = two
    for _ in range(3, count):
        one.append(b"A: b\r\n\r\n")
    other.do("NOOP")
    other.do("FETCH 1:* FLAGS")
    one.do("STORE 1 +FLAGS.SILENT ($New)")
    responses = other.do(command)
    assert responses[0].startswith(b"* FLAGS (")
    assert responses[0].endswith(b" $New)")
    assert responses[1].startswith(b"* OK [PERMANENTFLAGS (")
    assert b"$New" in responses[2]
    assert all(b"FETCH" in answer for answer in responses[2 : 2 + (count if "*" in command else 1)])


@pytest.mark.parametrize(
    "command",
    [
        "FETCH 1 MODSEQ",
        "FETCH 1 FLAGS (CHANGEDSINCE 1)",
        "STORE 1 (UNCHANGEDSINCE 1) FLAGS ()",
        "SEARCH MODSEQ 1",
        "SORT (DATE) UTF-8 MODSEQ 1",
        "STATUS INBOX (HIGHESTMODSEQ)",
        "ENABLE CONDSTORE",
        "ENABLE QRESYNC",
    ],
)
def test_the_first_command_that_enables_condstore_tells_the_highest_modseq(two, command: str) -> None:
    """RFC 7162 §3.1: once, if a mailbox is selected."""
    one, other = two
    [state] = other.do("STATUS INBOX (HIGHESTMODSEQ)")[-1:]
    highest = b"* OK [HIGHESTMODSEQ %b] Highest" % re.findall(rb"\d+", state)[-1]
    assert one.do(command).count(highest) == 1
    assert highest not in one.do("FETCH 1 MODSEQ")
    one.do("UNSELECT")
    one.do("UNAUTHENTICATE")
    one.do("LOGIN lisi 123456")
    assert highest not in one.do("STATUS INBOX (HIGHESTMODSEQ)")


def test_notify_status_has_the_highest_modseq(two) -> None:
    """RFC 5465 §3.1, §5.3: also for a client without CONDSTORE."""
    one, other = two
    one.do("CREATE Work"), one.append(PLAIN, "Work")
    responses = other.do("NOTIFY SET STATUS (mailboxes (Work) (MessageNew MessageExpunge FlagChange))")
    assert re.fullmatch(
        rb"\* STATUS Work \(MESSAGES 1 UIDNEXT 2 UIDVALIDITY \d+ UNSEEN 1 HIGHESTMODSEQ 2\)", responses[0]
    )
