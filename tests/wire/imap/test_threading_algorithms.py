"""Threads (RFC 5256 §3): who answers whom, written as THREAD responses write it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailcore.wire.imap import threading_algorithms
from mailcore.wire.imap.threading_algorithms import ThreadInput
from mailcore.wire.message.subject_base import strip_to_base


def message(
    number: int, id_: str = "", references: str = "", subject: str = "", reply: bool = False, at: int = 0
) -> ThreadInput:
    return ThreadInput(number, id_, references, subject, reply, at or number)


@pytest.mark.parametrize(
    ("messages", "rendered"),
    [
        ([], b""),
        ([message(1, "a"), message(2, "b")], b"(1)(2)"),
        ([message(1, "a"), message(2, "b", "a"), message(3, "c", "a b")], b"(1 2 3)"),
        ([message(1, "a"), message(2, "b", "a"), message(3, "c", "a")], b"(1 (2)(3))"),
        ([message(2, "b", "a"), message(3, "c", "a")], b"((2)(3))"),  # a is missing
        ([message(2, "b", "a")], b"(2)"),
        ([message(1, "a", "b"), message(2, "b", "a")], b"(2 1)"),  # each says it answers the other
        ([message(1, "a", "a")], b"(1)"),
        ([message(1, "a"), message(2, "a", "")], b"(1)(2)"),  # one id twice
        ([message(3, "c", "a b"), message(1, "a"), message(2, "b", "a")], b"(1 2 3)"),  # the answer came first
        ([message(1, "a", at=9), message(2, "b", at=5)], b"(2)(1)"),
        ([message(1, "a", subject="x"), message(2, "b", subject="x", reply=True)], b"(1 2)"),
        ([message(1, "a", subject="x"), message(2, "b", subject="x")], b"((1)(2))"),
        ([message(1, "a"), message(2, "d", "a b c")], b"(1 2)"),
    ],
)
def test_references(messages: list[ThreadInput], rendered: bytes) -> None:
    assert threading_algorithms.format_threads(threading_algorithms.thread_by_references(messages)) == rendered


def test_refs_ends_with_the_thread_that_was_answered_last() -> None:
    messages = [message(1, "a"), message(2, "b"), message(3, "c", "a")]
    assert (
        threading_algorithms.format_threads(threading_algorithms.thread_by_references(messages, by_subject=False))
        == b"(2)(1 3)"
    )
    assert threading_algorithms.format_threads(threading_algorithms.thread_by_references(messages)) == b"(1 3)(2)"


def test_ordered_subject() -> None:
    messages = [message(1, subject="b"), message(2, subject="a"), message(3, subject="b"), message(4, subject="b")]
    assert threading_algorithms.format_threads(threading_algorithms.thread_by_subject(messages)) == b"(1 (3)(4))(2)"


IDS = st.sampled_from("abcdefgh")


@given(
    st.lists(
        st.tuples(
            st.one_of(st.just(""), IDS),
            st.lists(IDS, max_size=4).map(" ".join),
            st.sampled_from(["", "x", "y"]),
            st.booleans(),
            st.integers(1, 9),
        ),
        max_size=12,
    )
)
def test_every_message_stands_in_it_once(given_messages) -> None:
    messages = [ThreadInput(number, *rest) for number, rest in enumerate(given_messages, 1)]
    for roots in (
        threading_algorithms.thread_by_references(messages),
        threading_algorithms.thread_by_references(messages, by_subject=False),
        threading_algorithms.thread_by_subject(messages),
    ):
        rendered = threading_algorithms.format_threads(roots).decode()
        numbers = [int(word) for word in rendered.replace("(", " ").replace(")", " ").split()]
        assert sorted(numbers) == [each.number for each in messages]
        assert rendered.count("(") == rendered.count(")")


def test_a_chain_of_ten_thousand() -> None:
    messages = [message(n, f"id{n}", f"id{n - 1}") for n in range(1, 10_001)]
    assert (
        threading_algorithms.format_threads(threading_algorithms.thread_by_references(messages))
        == ("(" + " ".join(map(str, range(1, 10_001))) + ")").encode()
    )


@pytest.mark.parametrize(
    ("subject", "wanted", "reply"),
    [
        ("hello", "hello", False),
        ("re: hello", "hello", True),
        ("re[2]: fwd: hello (fwd)", "hello", True),
        ("[list] re: [list] hello", "hello", True),
        ("[fwd: hello]", "hello", True),
        ("[only a blob]", "[only a blob]", False),
        ("回复:答复: 转发: 会议", "会议", True),
        ("re", "re", False),
        ("research: x", "research: x", False),
        ("", "", False),
    ],
)
def test_base_subjects(subject: str, wanted: str, reply: bool) -> None:
    assert strip_to_base(subject) == (wanted, reply)
