"""Changing the labels a visitor has; called where labels are set and by their page of options."""

from dataclasses import replace

from webmail.account import preferences
from webmail.account.preferences import RECORDS_AT_MOST
from webmail.account.session import WebmailUser
from webmail.values.labels import COLOURS, LONGEST, keyword_for


def add_label(person: WebmailUser, name: str, colour: int | None = None) -> str | None:
    """The keyword of the label of this name, made if there is none; None if the name will not do."""
    name = " ".join(name.split())[:LONGEST]
    keyword = keyword_for(name)
    mine = person.options.labels
    if not keyword or (len(mine) >= RECORDS_AT_MOST and all(keyword != each[0] for each in mine)):
        return None
    if all(keyword != each[0] for each in mine):
        chosen = len(mine) % COLOURS if colour is None else colour % COLOURS
        preferences.save_preferences(person.address, replace(person.options, labels=(*mine, (keyword, name, chosen))))
    return keyword


def change_label(person: WebmailUser, keyword: str, name: str, colour: int) -> None:
    """Another name or colour; messages keep the keyword they have."""
    name = " ".join(name.split())[:LONGEST]
    changed = tuple(
        (k, name or n, colour % COLOURS) if k == keyword else (k, n, c) for k, n, c in person.options.labels
    )
    preferences.save_preferences(person.address, replace(person.options, labels=changed))


def remove_label(person: WebmailUser, keyword: str) -> None:
    """Messages keep the keyword; it is only no longer shown under a name."""
    kept = tuple(each for each in person.options.labels if each[0] != keyword)
    preferences.save_preferences(person.address, replace(person.options, labels=kept))
