"""Highlighting rules: letters whose sender, recipients or subject hold some words are coloured in lists.

The first rule that fits decides. Comparison is by substring, width and case apart (会议 finds 董事会议程).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mailcore.wire.charsets import fold
from webmail.rows import Row

FIELDS = ("from", "to", "subject", "any")
COLOURS = 8
LONGEST = 200  # characters of a name or of the words


@dataclass(frozen=True, slots=True)
class Rule:
    name: str
    colour: int
    field: str  # of FIELDS
    words: str  # folded


def rules(records: Iterable[tuple[str, int, str, str]]) -> list[Rule]:
    """The rules of a visitor's options, ready to compare."""
    return [
        Rule(name, colour % COLOURS, field, fold(words))
        for name, colour, field, words in records
        if field in FIELDS and words.strip()
    ]


def colour(row: Row, given: Sequence[Rule]) -> int | None:
    """The colour of the first rule that fits."""
    if not given:
        return None
    folded = {
        "from": fold(" ".join(f"{a.name} {a.mail}" for a in row.senders)),
        "to": fold(" ".join(f"{a.name} {a.mail}" for a in row.recipients)),
        "subject": fold(row.subject),
    }
    folded["any"] = "\n".join(folded.values())
    return next((rule.colour for rule in given if rule.words in folded[rule.field]), None)
