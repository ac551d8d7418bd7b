"""Access keys: what a browser presses with Alt (or what it takes instead) and a letter, as each visitor wants it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

# By the pages where they are: what is pressed → its usual key, and its name. SquirrelMail's keys, where it had one.
EVERYWHERE = {
    "compose": ("c", _("Compose")),
    "inbox": ("i", _("Inbox")),
    "find": ("q", _("Search")),
    "options": ("o", _("Options")),
    "leave": ("z", _("Sign out")),
}
READING = {
    "reply": ("r", _("Reply")),
    "reply-all": ("a", _("Reply all")),
    "forward": ("f", _("Forward")),
    "forward-attached": ("h", _("Forward as attachment")),
    "delete": ("d", _("Delete")),
    "destroy": ("b", _("Delete forever")),
    "move": ("m", _("Move")),
    "copy": ("y", _("Copy")),
}
WRITING = {
    "from": ("f", _("From")),
    "to": ("t", _("To")),
    "cc": ("x", _("Cc")),
    "bcc": ("y", _("Bcc")),
    "subject": ("j", _("Subject")),
    "priority": ("p", _("Priority")),
    "attach": ("w", _("Attach files")),
    "draft": ("d", _("Save draft")),
    "send": ("s", _("Send")),
}
PLACES = (
    (_("Everywhere"), EVERYWHERE),
    (pgettext_lazy("pages", "Reading"), READING),
    (pgettext_lazy("pages", "Writing"), WRITING),
)
USUAL: Mapping[str, str] = {name: key for place in (EVERYWHERE, READING, WRITING) for name, (key, _w) in place.items()}

KeyChoices = tuple[tuple[str, str], ...]  # what, key ("" for none); others are as usual
_current: ContextVar[KeyChoices] = ContextVar("access keys", default=())


@contextmanager
def use_keys(chosen: KeyChoices) -> Iterator[None]:
    """Pages made meanwhile have these keys."""
    token = _current.set(chosen)
    try:
        yield
    finally:
        _current.reset(token)


def current_keys() -> KeyChoices:
    return _current.get()


def access_key(name: str) -> str:
    return dict(_current.get()).get(name, USUAL[name])


def find_clash(wanted: Mapping[str, str]) -> str:
    """A key that two things on one page would have; "" if there is none."""
    for place in (READING, WRITING):
        keys = [wanted[name] for name in (*EVERYWHERE, *place) if wanted[name]]
        twice = next((each for each in keys if keys.count(each) > 1), "")
        if twice:
            return twice
    return ""
