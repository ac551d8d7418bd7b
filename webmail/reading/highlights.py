"""Highlighting rules: lists colour messages by a text in their sender, recipients or subject.

The first matching rule applies. Comparison is by substring, ignoring case and width (会议 matches 董事会议程).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mailcore.wire.text.charsets import fold_text
from webmail.values.message_summary import MessageSummary

FIELDS = ("from", "to", "subject", "any")
COLOURS = 8
LONGEST = 200  # characters of a name or of the text


@dataclass(frozen=True, slots=True)
class HighlightRule:
    name: str
    colour: int
    field: str  # one of FIELDS
    words: str  # case-folded


def load_rules(records: Iterable[tuple[str, int, str, str]]) -> list[HighlightRule]:
    """Return the rules of a user's options, ready for comparison."""
    return [
        HighlightRule(name, colour % COLOURS, field, fold_text(words))
        for name, colour, field, words in records
        if field in FIELDS and words.strip()
    ]


def highlight_colour(row: MessageSummary, rules: Sequence[HighlightRule]) -> int | None:
    """Return the colour of the first matching rule, or None."""
    if not rules:
        return None
    folded = {
        "from": fold_text(" ".join(f"{a.name} {a.mail}" for a in row.senders)),
        "to": fold_text(" ".join(f"{a.name} {a.mail}" for a in row.recipients)),
        "subject": fold_text(row.subject),
    }
    folded["any"] = "\n".join(folded.values())
    return next((rule.colour for rule in rules if rule.words in folded[rule.field]), None)
