"""Access keys: the characters a browser combines with Alt (or its own modifier), as each user configures them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

# Name of the command → its default key and its label, by the pages that have it; SquirrelMail's keys where it had one.
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
DEFAULT_KEYS: Mapping[str, str] = {
    name: key for place in (EVERYWHERE, READING, WRITING) for name, (key, _w) in place.items()
}

KeyChoices = tuple[tuple[str, str], ...]  # command, key ("" for none); the others have their default
_current: ContextVar[KeyChoices] = ContextVar("access keys", default=())


@contextmanager
def use_keys(choices: KeyChoices) -> Iterator[None]:
    """Set the access keys of pages rendered within the context."""
    token = _current.set(choices)
    try:
        yield
    finally:
        _current.reset(token)


def current_keys() -> KeyChoices:
    return _current.get()


def access_key(name: str) -> str:
    return dict(_current.get()).get(name, DEFAULT_KEYS[name])


def find_clash(keys_by_command: Mapping[str, str]) -> str:
    """Return a key that is assigned twice on one page, or ""."""
    for place in (READING, WRITING):
        keys = [keys_by_command[name] for name in (*EVERYWHERE, *place) if keys_by_command[name]]
        duplicate = next((each for each in keys if keys.count(each) > 1), "")
        if duplicate:
            return duplicate
    return ""
