"""Labels: IMAP keywords with a name and a colour.

The keyword is stored with the message, where every mail program sees it; name and colour are stored in the user's
options. Names beyond ASCII are written in modified UTF-7, as Thunderbird does. Keywords that a server or another
program sets for its own purposes are not labels, but labels of other programs are: they are shown under their own name.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mailcore.wire.imap import mailbox_names

COLOURS = 8
LONGEST = 40  # characters of a name
_UNFIT = re.compile(rb'[\x00-\x20\x7f-\xff(){%*"\\\]]+')
_SYSTEM = frozenset({"junk", "nonjunk", "notjunk", "forwarded", "redirected", "mdnsent", "submitted", "submitpending"})
_THUNDERBIRD = {  # names of Thunderbird's first five labels
    "$label1": "Important",
    "$label2": "Work",
    "$label3": "Personal",
    "$label4": "To do",
    "$label5": "Later",
}


@dataclass(frozen=True, slots=True)
class Label:
    keyword: str  # lower case
    name: str
    colour: int  # 0 to COLOURS - 1


def keyword_for(name: str) -> str:
    """Return the keyword that stores a name; "" if no character of it may be in a keyword."""
    return _UNFIT.sub(b"_", mailbox_names.encode_utf7(name.strip())).decode("ascii").lower().strip("_")[:100]


def load_labels(records: Iterable[tuple[str, str, int]]) -> dict[str, Label]:
    """Return the labels of a user's options by keyword, in their order."""
    return {keyword: Label(keyword, name, colour % COLOURS) for keyword, name, colour in records}


def labels_of(flags: Iterable[str], own_labels: Mapping[str, Label]) -> list[Label]:
    """Return the labels among a message's (lower-case) flags: the user's own first, then those of other programs."""
    keywords = [flag for flag in flags if not flag.startswith("\\")]
    if not keywords:
        return []
    named = [label for keyword, label in own_labels.items() if keyword in keywords]
    return named + [
        Label(f, _foreign_label(f), len(f) % COLOURS) for f in sorted(keywords) if f not in own_labels and _is_label(f)
    ]


def _is_label(keyword: str) -> bool:
    return keyword in _THUNDERBIRD or not (keyword.startswith("$") or keyword in _SYSTEM)


def _foreign_label(keyword: str) -> str:
    return _THUNDERBIRD.get(keyword) or keyword.replace("_", " ")
