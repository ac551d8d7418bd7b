"""Comparison of strings (RFC 5228 §2.7, RFC 4790, RFC 5231): comparators and match types.

Wildcards are matched without backtracking over more than one star, so that no pattern is slow; the matched parts become
variables (RFC 5229 §3.2).
"""

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TypeVar

T = TypeVar("T", float, str, bytes)
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
_MAX_CAPTURES = 9


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


def compare(kind: str, comparator: str, relation: str, value: str, key: str) -> tuple[str, ...] | None:
    """Return the captures if `value` matches `key`, else None.

    For :matches the captures are the whole value and each wildcard's part; otherwise ().
    """
    if comparator == NUMERIC:
        order = _order(_number(value), _number(key))
        return () if _RELATIONS[relation if kind == "value" else "eq"](order, 0) else None
    fold = FOLDINGS[comparator]
    if kind == "matches":
        return _match_glob(value, key, fold)
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
        return _RELATIONS[relation](_order(float(count), _number(key)), 0)
    return _RELATIONS[relation](_order(str(count), key), 0)


def _order(a: T, b: T) -> int:
    return (a > b) - (a < b)


def _number(text: str) -> float:
    """Return the number at the start of `text`; text without one is larger than any number (RFC 4790 §9.1)."""
    match = re.match(r"[0-9]{1,300}", text)
    return float(match[0]) if match else float("inf")


# --- Wildcards ------------------------------------------------------------------------------------


@lru_cache(512)
def _split_pattern(key: str) -> tuple[tuple[str, ...], ...]:
    """Split a pattern at its stars into rows of characters; "" stands for "?"."""
    pieces: list[list[str]] = [[]]
    at = 0
    while at < len(key):
        sign = key[at]
        if sign == "*":
            pieces.append([])
        elif sign == "?":
            pieces[-1].append("")
        elif sign == "\\" and at + 1 < len(key):
            at += 1
            pieces[-1].append(key[at])
        else:
            pieces[-1].append(sign)
        at += 1
    return tuple(map(tuple, pieces))


def _match_glob(value: str, key: str, fold: Callable[[str], str]) -> tuple[str, ...] | None:
    """Match a pattern; each star takes as little as possible, from the left (RFC 5229 §3.2)."""
    folded = fold(value)
    # folding may change the length; the captures are then folded, too
    shown = value if len(folded) == len(value) else folded
    pieces = [tuple(fold(sign) if sign else "" for sign in piece) for piece in _split_pattern(key)]
    first = _compiled(pieces[0]).match(folded)
    if first is None:
        return None
    spans, at = _spans(first), first.end()
    if len(pieces) == 1:
        return _captured(shown, spans) if at == len(folded) else None
    for piece in pieces[1:-1]:
        place = _find(piece, folded, at)
        if place is None:
            return None
        start, end, marks = place
        spans += [(at, start), *marks]
        at = end
    start = len(folded) - sum(len(sign) or 1 for sign in pieces[-1])
    last = _compiled(pieces[-1]).match(folded, start) if start >= at else None
    return _captured(shown, [*spans, (at, start), *_spans(last)]) if last is not None else None


def _find(piece: tuple[str, ...], folded: str, at: int) -> tuple[int, int, list[tuple[int, int]]] | None:
    """Return (start, end, captures of "?") of the first place of a piece at or after `at`, or None.

    Plain text is found in linear time. With a "?" every place may cost the piece's length, so such a piece of more than
    256 characters never matches.
    """
    if "" not in piece:
        text = "".join(piece)
        start = folded.find(text, at)
        return (start, start + len(text), []) if start >= 0 else None
    found = _compiled(piece).search(folded, at) if len(piece) <= _LONGEST_PIECE else None
    return (found.start(), found.end(), _spans(found)) if found is not None else None


_LONGEST_PIECE = 256


@lru_cache(512)
def _compiled(piece: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("".join(re.escape(sign) if sign else "(.)" for sign in piece), re.DOTALL)


def _spans(match: re.Match[str]) -> list[tuple[int, int]]:
    return [match.span(number) for number in range(1, match.re.groups + 1)]


def _captured(value: str, spans: Sequence[tuple[int, int]]) -> tuple[str, ...]:
    return (value, *(value[start:end] for start, end in spans[:_MAX_CAPTURES]))
