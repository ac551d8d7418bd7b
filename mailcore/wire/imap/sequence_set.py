"""Sets of message numbers (RFC 9051 §9 sequence-set): ranges of sequence numbers or UIDs."""

import re
from collections.abc import Iterable, Sequence
from enum import Enum

STAR = 0  # "*", the largest number in use
MAX = (1 << 32) - 1

Ranges = tuple[tuple[int, int], ...]  # as given: either end may be STAR, ends in any order


class SavedResult(Enum):
    """The set "$", the result of the last SEARCH RETURN (SAVE) (RFC 5182)."""

    RESULT = "$"


SAVED_RESULT = SavedResult.RESULT
NumberSet = Ranges | SavedResult

_ITEM = re.compile(rb"(?:[1-9]\d{0,9}|\*)(?::(?:[1-9]\d{0,9}|\*))?")


def parse_ranges(text: bytes) -> Ranges | None:
    """Parse a sequence set; return None if it is invalid."""
    if text.isdigit() and text[0] != 0x30 and len(text) < 10:  # a single number, the most frequent set
        number = int(text)
        return ((number, number),)
    found = []
    for item in text.split(b","):
        if not _ITEM.fullmatch(item):
            return None
        first, _, last = item.partition(b":")
        low = STAR if first == b"*" else int(first)
        high = (STAR if last == b"*" else int(last)) if last else low
        if low > MAX or high > MAX:
            return None
        found.append((low, high))
    return tuple(found)


def resolve_ranges(ranges: Ranges, largest: int) -> list[tuple[int, int]]:
    """Return ranges in order, joined where adjacent; "*" becomes `largest` (0: "*" matches no message)."""
    if len(ranges) == 1:
        low, high = ranges[0]
        low, high = low or largest, high or largest
        return [(low, high) if low <= high else (high, low)] if low and high else []
    ends = [(low or largest, high or largest) for low, high in ranges]
    return merge_ranges((low, high) if low <= high else (high, low) for low, high in ends if low and high)


def merge_ranges(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return ranges in order, joined where they overlap or are adjacent."""
    out: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if out and low <= out[-1][1] + 1:
            if high > out[-1][1]:
                out[-1] = (out[-1][0], high)
        else:
            out.append((low, high))
    return out


def to_ranges(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """Convert numbers in rising order to ranges."""
    out: list[tuple[int, int]] = []
    start = previous = -1
    for number in numbers:
        if number == previous + 1 and start >= 0:
            previous = number
            continue
        if start >= 0:
            out.append((start, previous))
        start = previous = number
    if start >= 0:
        out.append((start, previous))
    return out


def format_ranges(ranges: Iterable[tuple[int, int]]) -> bytes:
    """Return a set such as 1:3,5,7:*."""
    return ",".join([_end(low) if low == high else f"{_end(low)}:{_end(high)}" for low, high in ranges]).encode("ascii")


def _end(number: int) -> str:
    return str(number) if number else "*"


def format_numbers(numbers: Iterable[int]) -> bytes:
    """Return the shortest set for numbers in rising order."""
    return format_ranges(to_ranges(numbers))


def slice_partial(wanted: tuple[int, int], numbers: Sequence[int]) -> Sequence[int]:
    """Return the numbers of a PARTIAL range (RFC 9394 §3.1), counted from one, or from the end if negative."""
    low, high = sorted((abs(wanted[0]), abs(wanted[1])))
    if wanted[0] > 0:
        return numbers[low - 1 : high]
    return numbers[max(len(numbers) - high, 0) : len(numbers) - low + 1] if len(numbers) >= low else ()
