"""Threads (RFC 5256 §3): who answers whom, written as THREAD responses write it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailcore.wire.imap import thread
from mailcore.wire.imap.thread import Threaded
from mailcore.wire.subject import base


def letter(
    number: int, id_: str = "", references: str = "", subject: str = "", reply: bool = False, at: int = 0
) -> Threaded:
    return Threaded(number, id_, references, subject, reply, at or number)


@pytest.mark.parametrize(
    ("letters", "rendered"),
    [
        ([], b""),
        ([letter(1, "a"), letter(2, "b")], b"(1)(2)"),
        ([letter(1, "a"), letter(2, "b", "a"), letter(3, "c", "a b")], b"(1 2 3)"),
        ([letter(1, "a"), letter(2, "b", "a"), letter(3, "c", "a")], b"(1 (2)(3))"),
        ([letter(2, "b", "a"), letter(3, "c", "a")], b"((2)(3))"),  # a is missing
        ([letter(2, "b", "a")], b"(2)"),
        ([letter(1, "a", "b"), letter(2, "b", "a")], b"(2 1)"),  # each says it answers the other
        ([letter(1, "a", "a")], b"(1)"),
        ([letter(1, "a"), letter(2, "a", "")], b"(1)(2)"),  # one id twice
        ([letter(3, "c", "a b"), letter(1, "a"), letter(2, "b", "a")], b"(1 2 3)"),  # the answer came first
        ([letter(1, "a", at=9), letter(2, "b", at=5)], b"(2)(1)"),
        ([letter(1, "a", subject="x"), letter(2, "b", subject="x", reply=True)], b"(1 2)"),
        ([letter(1, "a", subject="x"), letter(2, "b", subject="x")], b"((1)(2))"),
        ([letter(1, "a"), letter(2, "d", "a b c")], b"(1 2)"),
    ],
)
def test_references(letters: list[Threaded], rendered: bytes) -> None:
    assert thread.render(thread.references(letters)) == rendered


def test_refs_ends_with_the_thread_that_was_answered_last() -> None:
    letters = [letter(1, "a"), letter(2, "b"), letter(3, "c", "a")]
    assert thread.render(thread.references(letters, by_subject=False)) == b"(2)(1 3)"
    assert thread.render(thread.references(letters)) == b"(1 3)(2)"


def test_ordered_subject() -> None:
    letters = [letter(1, subject="b"), letter(2, subject="a"), letter(3, subject="b"), letter(4, subject="b")]
    assert thread.render(thread.ordered_subject(letters)) == b"(1 (3)(4))(2)"


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
def test_every_message_stands_in_it_once(given_letters) -> None:
    letters = [Threaded(number, *rest) for number, rest in enumerate(given_letters, 1)]
    for roots in (
        thread.references(letters),
        thread.references(letters, by_subject=False),
        thread.ordered_subject(letters),
    ):
        rendered = thread.render(roots).decode()
        numbers = [int(word) for word in rendered.replace("(", " ").replace(")", " ").split()]
        assert sorted(numbers) == [each.number for each in letters]
        assert rendered.count("(") == rendered.count(")")


def test_a_chain_of_ten_thousand() -> None:
    letters = [letter(n, f"id{n}", f"id{n - 1}") for n in range(1, 10_001)]
    assert thread.render(thread.references(letters)) == ("(" + " ".join(map(str, range(1, 10_001))) + ")").encode()


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
    assert base(subject) == (wanted, reply)
