"""Results of spam and virus filters for the tests spamtest and virustest (RFC 5235), read from header fields.

The settings are Pigeonhole's. A result is a ratio, 0 (certainly clean) to 1 (certainly not); None: not tested.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from mailcore.wire.message import headers
from mailcore.wire.sieve.regex import RegexError, RegexLimits, compile_regex
from mailcore.wire.sieve.sieve_message import SieveMessage

_NUMBER = re.compile(r"[+-]?\d{1,15}(?:\.\d{0,15})?")


@dataclass(frozen=True, slots=True)
class ScoreSource:
    """The place and kind of a filter's result.

    `header` is "NAME" or "NAME: PATTERN", whose first group is the result (or all of what matches). `status_type` says
    what that is: "score", a number; "strlen", as many characters as the score; "text", one of `texts`, whose first
    means not tested, the second clean, the last the worst. The worst score is `max_value`, or stands in `max_header`.
    The filter must remove the field from incoming mail, or a sender could write the result.
    """

    header: str
    status_type: str = "score"
    max_value: str = ""
    max_header: str = ""
    texts: tuple[str, ...] = ()


def find_ratio(
    source: ScoreSource, message: SieveMessage, limits: RegexLimits, mind_time: Callable[[], None]
) -> float | None:
    """Return the result of a filter for a message; None also where it cannot be read."""

    def find(header: str) -> str | None:
        return _find(header, message, limits, mind_time)

    found = find(source.header)
    if found is None:
        return None
    if source.status_type == "text":
        return _text_ratio(found.strip(), source.texts)
    score = float(len(found.strip())) if source.status_type == "strlen" else _number(found)
    worst = _number(find(source.max_header) if source.max_header else source.max_value)
    if score is None or worst is None or worst <= 0:
        return None
    return min(max(score / worst, 0.0), 1.0)


def level(ratio: float | None, worst: int) -> int:
    """Return a result as a number: 0 not tested, 1 clean, `worst` the worst (§2.2, §2.5)."""
    return 0 if ratio is None else int(ratio * (worst - 1) + 1.001)


def percentage(ratio: float | None) -> int:
    """Return a result as a number of 0 to 100 (§2.3)."""
    return 0 if ratio is None else int(ratio * 100 + 0.001)


def _find(header: str, message: SieveMessage, limits: RegexLimits, mind_time: Callable[[], None]) -> str | None:
    """Return what the pattern of "NAME: PATTERN" finds in the first field of the name."""
    name, _, pattern = header.partition(":")
    values = message.raw(name.strip()) if name.strip() else []
    if not values:
        return None
    value = headers.decode_value(values[0]).strip()
    if not pattern.strip():
        return value
    try:
        spans = compile_regex(pattern.strip(), ignore_case=False, limits=limits).search(value, mind_time)
    except RegexError:
        return None
    if spans is None:
        return None
    start, end = spans[1] if len(spans) > 1 else spans[0]
    return value[start:end] if start >= 0 else None


def _number(text: str | None) -> float | None:
    match = _NUMBER.match((text or "").strip())
    return float(match[0]) if match else None


def _text_ratio(found: str, texts: tuple[str, ...]) -> float | None:
    folded = [text.casefold() for text in texts]
    if found.casefold() not in folded[1:] or len(texts) < 3:
        return None
    return (folded.index(found.casefold(), 1) - 1) / (len(texts) - 2)
