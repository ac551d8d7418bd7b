"""Adding, changing and removing a user's labels, for the message actions and the options page."""

from dataclasses import replace

from webmail.account import preferences
from webmail.account.preferences import RECORDS_AT_MOST
from webmail.account.session import WebmailUser
from webmail.values.labels import COLOURS, LONGEST, keyword_for


def add_label(user: WebmailUser, name: str, colour: int | None = None) -> str | None:
    """Return the keyword of the label with this name, creating the label if needed; None if the name is unusable."""
    name = " ".join(name.split())[:LONGEST]
    keyword = keyword_for(name)
    mine = user.options.labels
    if not keyword or (len(mine) >= RECORDS_AT_MOST and all(keyword != each[0] for each in mine)):
        return None
    if all(keyword != each[0] for each in mine):
        new_colour = len(mine) % COLOURS if colour is None else colour % COLOURS
        preferences.save_preferences(user.address, replace(user.options, labels=(*mine, (keyword, name, new_colour))))
    return keyword


def change_label(user: WebmailUser, keyword: str, name: str, colour: int) -> None:
    """Change a label's name or colour; messages keep their keyword."""
    name = " ".join(name.split())[:LONGEST]
    changed = tuple((k, name or n, colour % COLOURS) if k == keyword else (k, n, c) for k, n, c in user.options.labels)
    preferences.save_preferences(user.address, replace(user.options, labels=changed))


def remove_label(user: WebmailUser, keyword: str) -> None:
    """Remove a label; messages keep its keyword, which is then shown under its own name."""
    remaining = tuple(each for each in user.options.labels if each[0] != keyword)
    preferences.save_preferences(user.address, replace(user.options, labels=remaining))
