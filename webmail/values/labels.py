"""Labels: IMAP keywords with a name and a colour.

The keyword lies with the message, where every mail program sees it; name and colour lie in the options.
Names beyond ASCII are written in modified UTF-7, as Thunderbird does. Keywords a server or another
program sets for itself are no labels, but its own labels are: they are shown under the name they have.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mailcore.wire.imap import mailbox_names

COLOURS = 8
LONGEST = 40  # characters of a name
_UNFIT = re.compile(rb'[\x00-\x20\x7f-\xff(){%*"\\\]]+')
_SYSTEM = frozenset({"junk", "nonjunk", "notjunk", "forwarded", "redirected", "mdnsent", "submitted", "submitpending"})
_THUNDERBIRD = {  # what its five first labels are called
    "$label1": "Important",
    "$label2": "Work",
    "$label3": "Personal",
    "$label4": "To do",
    "$label5": "Later",
}


@dataclass(frozen=True, slots=True)
class Label:
    keyword: str  # folded to lower case
    name: str
    colour: int  # 0 … COLOURS - 1


def keyword_for(name: str) -> str:
    """The keyword a name is kept as; "" if nothing is left of it."""
    return _UNFIT.sub(b"_", mailbox_names.encode_utf7(name.strip())).decode("ascii").lower().strip("_")[:100]


def load_labels(records: Iterable[tuple[str, str, int]]) -> dict[str, Label]:
    """The labels of a visitor's options by keyword, in their order."""
    return {keyword: Label(keyword, name, colour % COLOURS) for keyword, name, colour in records}


def labels_of(flags: Iterable[str], mine: Mapping[str, Label]) -> list[Label]:
    """The labels a message with these (lower-case) flags has: the visitor's first, then other programs'."""
    found = [flag for flag in flags if not flag.startswith("\\")]
    if not found:
        return []
    named = [label for keyword, label in mine.items() if keyword in found]
    return named + [
        Label(f, _foreign_label(f), len(f) % COLOURS) for f in sorted(found) if f not in mine and _is_label(f)
    ]


def _is_label(keyword: str) -> bool:
    return keyword in _THUNDERBIRD or not (keyword.startswith("$") or keyword in _SYSTEM)


def _foreign_label(keyword: str) -> str:
    return _THUNDERBIRD.get(keyword) or keyword.replace("_", " ")
