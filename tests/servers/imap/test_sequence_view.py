"""Sequence numbers: IMAP's hardest idea in one small object."""

from array import array
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailcore.servers.imap.sequence_view import SequenceView
from mailcore.store.mailbox.messages import MailboxChanges
from mailcore.store.mailbox.open_mailbox import MailboxHandle, OpenedMailbox


def view(*uids: int) -> SequenceView:
    uid_next = max(uids, default=0) + 1
    return SequenceView(
        OpenedMailbox(MailboxHandle(1, 1, "INBOX", "/", 1), array("I", uids), uid_next, 1, uid_next, 0, "", 0),
        read_only=False,
    )


def changes(
    modseq: int, new: Sequence[int] = (), flags: Mapping[int, int] = MappingProxyType({}), gone: Sequence[int] = ()
) -> MailboxChanges:
    rows = sorted([(uid, 0, "", modseq) for uid in new] + [(uid, bits, "", modseq) for uid, bits in flags.items()])
    return MailboxChanges(modseq, max(new, default=0) + 1, rows, list(gone), "")


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([changes(2, gone=[10])], [("gone", [1])]),
        ([changes(2, gone=[10, 30])], [("gone", [3, 1])]),
        ([changes(2, new=[40, 50])], [("exists", 5)]),
        ([changes(2, new=[40], gone=[20])], [("gone", [2]), ("exists", 3)]),
        ([changes(2, flags={30: 1}, gone=[10])], [("gone", [1]), ("flags", (2, 30, 1))]),
        ([changes(2, new=[40]), changes(3, gone=[40])], [("exists", 4), ("gone", [4])]),
        ([changes(2, gone=[99])], []),
        ([changes(2, flags={10: 1}), changes(2, flags={10: 1})], [("flags", (1, 10, 1))]),
    ],
)
def test_updates(steps: list[MailboxChanges], expected: list[tuple[str, object]]) -> None:
    seen, heard = view(10, 20, 30), []
    for step in steps:
        telling = seen.update(step, with_expunges=True)
        if telling.vanished:
            heard.append(("gone", telling.vanished))
        if telling.exists is not None:
            heard.append(("exists", telling.exists))
        heard += [("flags", each[:3]) for each in telling.flags]
    assert heard == expected


def test_what_is_gone_waits_until_it_may_be_told() -> None:
    seen = view(10, 20, 30)
    assert not seen.update(changes(2, gone=[10]), with_expunges=False)
    assert seen.sequence(30) == 3
    assert seen.update(changes(3, new=[40]), with_expunges=False).exists == 4
    telling = seen.update(None, with_expunges=True)
    assert (telling.vanished, telling.vanished_uids) == ([1], [10])
    assert [seen.sequence(uid) for uid in (10, 20, 30, 40)] == [0, 1, 2, 3]


def test_own_changes_are_not_told_again() -> None:
    seen = view(10, 20)
    seen.record_own_change(2)
    assert not seen.update(changes(2, flags={10: 1}), with_expunges=True)
    assert seen.update(changes(3, flags={10: 3}), with_expunges=True).flags == [(1, 10, 3, "", 3)]


@given(
    st.sets(st.integers(1, 40), max_size=20),
    st.lists(st.tuples(st.integers(0, 45), st.integers(0, 45)), min_size=1, max_size=4).map(tuple),
)
def test_sets_mean_what_they_say(uids: set[int], ranges) -> None:
    seen = view(*sorted(uids))
    last = max(uids, default=0)
    meant = set()
    for low, high in ranges:
        low, high = sorted((low or last, high or last))
        meant |= {uid for uid in uids if low <= uid <= high}
    assert set(seen.uids_in(seen.uid_ranges(ranges))) == meant
    assert seen.count_in(seen.uid_ranges(ranges)) == len(meant)
    count = len(uids)
    chosen = seen.uids_of_sequences(ranges)
    if chosen is not None:
        numbers = set()
        for low, high in ranges:
            low, high = sorted((low or count, high or count))
            numbers |= set(range(low, high + 1))
        assert seen.sequences(seen.uids_in(chosen)) == sorted(numbers)
    else:
        assert not count or any((low or count) > count or (high or count) > count for low, high in ranges)


@given(st.sets(st.integers(1, 60)), st.data())
def test_ranges_hold_no_other_message(uids: set[int], data) -> None:
    seen = view(*sorted(uids))
    some = sorted(data.draw(st.sets(st.sampled_from(sorted(uids))))) if uids else []
    assert seen.uids_in(seen.ranges_of(some)) == some
