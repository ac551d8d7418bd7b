"""Comparison of strings (RFC 5228 §2.7, RFC 4790, RFC 5231): comparators and match types.

Wildcards are matched without backtracking over more than one star, so that no pattern is slow; the matched parts become
variables (RFC 5229 §3.2).
"""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

T = TypeVar("T", str, bytes, tuple[float, str])
_RELATIONS: dict[str, Callable[[int, int], bool]] = {
    "gt": lambda a, b: a > b,
    "ge": lambda a, b: a >= b,
    "lt": lambda a, b: a < b,
    "le": lambda a, b: a <= b,
    "eq": lambda a, b: a == b,
    "ne": lambda a, b: a != b,
}
RELATIONS = frozenset(_RELATIONS)
_UPPER = {code: code - 32 for code in range(ord("a"), ord("z") + 1)}
MAX_CAPTURES = 31  # as Pigeonhole has them; RFC 5229 §3.2 asks for 9


def _ascii_casemap(text: str) -> str:
    return text.translate(_UPPER)


def _octet_fold(text: str) -> str:
    return text


# Comparators by name: the folding applied before bytes are compared. Numbers are compared separately.
FOLDINGS: dict[str, Callable[[str], str]] = {
    "i;octet": _octet_fold,
    "i;ascii-casemap": _ascii_casemap,
    "i;unicode-casemap": str.casefold,
    "i;ascii-numeric": _octet_fold,
}
NUMERIC = "i;ascii-numeric"
OCTET = "i;octet"
DEFAULT = "i;ascii-casemap"


def compare(
    kind: str, comparator: str, relation: str, value: str, key: str, mind_time: Callable[[], None] = lambda: None
) -> tuple[str, ...] | None:
    """Return the captures if `value` matches `key`, else None.

    For :matches the captures are the whole value and each wildcard's part; otherwise (). `mind_time` is called from
    time to time and may raise.
    """
    if comparator == NUMERIC:
        order = _order(_number(value), _number(key))
        return () if _RELATIONS[relation if kind == "value" else "eq"](order, 0) else None
    fold = FOLDINGS[comparator]
    if kind == "matches":
        return _match_glob(value, key, comparator, mind_time)
    folded, wanted = fold(value), fold(key)
    match kind:
        case "is":
            found = folded == wanted
        case "contains":
            found = wanted in folded
        case _:
            found = _RELATIONS[relation](_order(folded.encode(), wanted.encode()), 0)
    return () if found else None


def compare_count(relation: str, comparator: str, count: int, key: str) -> bool:
    """Return True if a count has the relation to `key` (:count, RFC 5231 §4.2)."""
    if comparator == NUMERIC:
        return _RELATIONS[relation](_order(_number(str(count)), _number(key)), 0)
    return _RELATIONS[relation](_order(str(count), key), 0)


def _order(a: T, b: T) -> int:
    return (a > b) - (a < b)


def _number(text: str) -> tuple[float, str]:
    """Return the number at the start of `text`, exact and in the order of numbers: how many digits, and which.

    Text without a number is larger than any number (RFC 4790 §9.1).
    """
    match = re.match(r"0*([0-9]*)", text)
    return (len(match[1]), match[1]) if match and match[0] else (math.inf, "")


# --- Wildcards ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Piece:
    """The part of a pattern between two stars: its texts and its "?", by their places in it."""

    length: int
    texts: tuple[tuple[int, str], ...]
    wildcards: tuple[int, ...]

    def stands_at(self, folded: str, at: int) -> bool:
        return at + self.length <= len(folded) and all(
            folded.startswith(text, at + place) for place, text in self.texts
        )

    def spans(self, at: int) -> list[tuple[int, int]]:
        return [(at + place, at + place + 1) for place in self.wildcards[:MAX_CAPTURES]]


def _split_pattern(key: str, comparator: str) -> tuple[_Piece, ...]:
    return (_split_cache if len(key) <= _CACHE_LIMIT else _split)(key, comparator)


def _split(key: str, comparator: str) -> tuple[_Piece, ...]:
    """Split a pattern at its stars."""
    fold = FOLDINGS[comparator]
    pieces: list[_Piece] = []
    texts: list[tuple[int, str]] = []
    wildcards: list[int] = []
    length = 0
    for part in _PARTS.finditer(key):
        sign = part[0]
        if sign == "*":
            pieces.append(_Piece(length, tuple(texts), tuple(wildcards)))
            length, texts, wildcards = 0, [], []
        elif sign == "?":
            wildcards.append(length)
            length += 1
        else:
            text = fold(re.sub(r"\\(.)", r"\1", sign, flags=re.DOTALL))
            texts.append((length, text))
            length += len(text)
    return (*pieces, _Piece(length, tuple(texts), tuple(wildcards)))


_PARTS = re.compile(r"[*?]|(?:[^*?\\]|\\.|\\\Z)+", re.DOTALL)
_CACHE_LIMIT = 1000  # characters
_split_cache = lru_cache(512)(_split)


def _match_glob(value: str, key: str, comparator: str, mind_time: Callable[[], None]) -> tuple[str, ...] | None:
    """Match a pattern; each star takes as little as possible, from the left (RFC 5229 §3.2)."""
    folded = FOLDINGS[comparator](value)
    # folding may change the length; the captures are then folded, too
    shown = value if len(folded) == len(value) else folded
    first, *rest = _split_pattern(key, comparator)
    if not first.stands_at(folded, 0):
        return None
    spans, at = first.spans(0), first.length
    if not rest:
        return _captured(shown, spans) if at == len(folded) else None
    for piece in rest[:-1]:
        start = _find(piece, folded, at, mind_time)
        if start < 0:
            return None
        spans += [(at, start), *piece.spans(start)]
        at = start + piece.length
    last = rest[-1]
    start = len(folded) - last.length
    if start < at or not last.stands_at(folded, start):
        return None
    return _captured(shown, [*spans, (at, start), *last.spans(start)])


def _find(piece: _Piece, folded: str, at: int, mind_time: Callable[[], None]) -> int:
    """Return the first place of a piece at or after `at`, or -1."""
    place, text = max(piece.texts, key=lambda each: len(each[1]), default=(0, ""))
    start = folded.find(text, at + place) - place
    if start < at or start + piece.length > len(folded):
        return -1
    if len(piece.texts) < 2 or piece.stands_at(folded, start):
        return start
    return _shift_and(piece, folded, start, mind_time)


def _shift_and(piece: _Piece, folded: str, at: int, mind_time: Callable[[], None]) -> int:
    """Return the first place of a piece at or after `at`, or -1, by Baeza-Yates and Gonnet's algorithm.

    A "?" makes other ones, which skip parts of the text, quadratic. This one takes one step for each character, on a
    number with as many bits as the piece has characters: 0.2 s for 1 MB and 500 characters.
    """
    wildcards = 0
    for place in piece.wildcards:
        wildcards |= 1 << place
    masks: dict[str, int] = {}
    places = [(place + offset, sign) for place, text in piece.texts for offset, sign in enumerate(text)]
    for number, (place, sign) in enumerate(places):
        if number % _BLOCK == 0:
            mind_time()
        masks[sign] = masks.get(sign, wildcards) | 1 << place
    found, state = 1 << piece.length - 1, 0
    for low in range(at, len(folded), _BLOCK):
        mind_time()
        for number, sign in enumerate(folded[low : low + _BLOCK], low):
            state = (state << 1 | 1) & masks.get(sign, wildcards)
            if state & found:
                return number - piece.length + 1
    return -1


_BLOCK = 1024  # characters between two looks at the clock


def _captured(value: str, spans: Sequence[tuple[int, int]]) -> tuple[str, ...]:
    return (value, *(value[start:end] for start, end in spans[:MAX_CAPTURES]))
