"""Changing the labels a visitor has; called where labels are set and by their page of options."""

from dataclasses import replace

from webmail import options
from webmail.labels import COLOURS, LONGEST, keyword_for
from webmail.options import RECORDS_AT_MOST
from webmail.visitor import Visitor


def add(person: Visitor, name: str, colour: int | None = None) -> str | None:
    """The keyword of the label of this name, made if there is none; None if the name will not do."""
    name = " ".join(name.split())[:LONGEST]
    keyword = keyword_for(name)
    mine = person.options.labels
    if not keyword or (len(mine) >= RECORDS_AT_MOST and all(keyword != each[0] for each in mine)):
        return None
    if all(keyword != each[0] for each in mine):
        chosen = len(mine) % COLOURS if colour is None else colour % COLOURS
        options.save(person.address, replace(person.options, labels=(*mine, (keyword, name, chosen))))
    return keyword


def change(person: Visitor, keyword: str, name: str, colour: int) -> None:
    """Another name or colour; letters keep the keyword they have."""
    name = " ".join(name.split())[:LONGEST]
    changed = tuple(
        (k, name or n, colour % COLOURS) if k == keyword else (k, n, c) for k, n, c in person.options.labels
    )
    options.save(person.address, replace(person.options, labels=changed))


def remove(person: Visitor, keyword: str) -> None:
    """Letters keep the keyword; it is only no longer shown under a name."""
    kept = tuple(each for each in person.options.labels if each[0] != keyword)
    options.save(person.address, replace(person.options, labels=kept))
