"""Highlighting rules: messages whose sender, recipients or subject hold some words are coloured in lists.

The first rule that fits decides. Comparison is by substring, width and case apart (会议 finds 董事会议程).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mailcore.wire.text.charsets import fold_text
from webmail.values.message_summary import MessageSummary

FIELDS = ("from", "to", "subject", "any")
COLOURS = 8
LONGEST = 200  # characters of a name or of the words


@dataclass(frozen=True, slots=True)
class HighlightRule:
    name: str
    colour: int
    field: str  # of FIELDS
    words: str  # folded


def load_rules(records: Iterable[tuple[str, int, str, str]]) -> list[HighlightRule]:
    """The rules of a visitor's options, ready to compare."""
    return [
        HighlightRule(name, colour % COLOURS, field, fold_text(words))
        for name, colour, field, words in records
        if field in FIELDS and words.strip()
    ]


def highlight_colour(row: MessageSummary, given: Sequence[HighlightRule]) -> int | None:
    """The colour of the first rule that fits."""
    if not given:
        return None
    folded = {
        "from": fold_text(" ".join(f"{a.name} {a.mail}" for a in row.senders)),
        "to": fold_text(" ".join(f"{a.name} {a.mail}" for a in row.recipients)),
        "subject": fold_text(row.subject),
    }
    folded["any"] = "\n".join(folded.values())
    return next((rule.colour for rule in given if rule.words in folded[rule.field]), None)
