"""Folders in display order: special ones first, named in the user's language, then the others as a tree."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _

from mailcore.wire.imap import mailbox_names
from mailcore.wire.text import collation
from webmail.values import imap_responses

ROLES = {
    "inbox": _("Inbox"),
    "drafts": _("Drafts"),
    "sent": _("Sent"),
    "archive": _("Archive"),
    "snoozed": _("Snoozed"),
    "junk": _("Junk"),
    "trash": _("Trash"),
}
_SPECIAL_USE = {  # RFC 6154
    b"\\drafts": "drafts",
    b"\\sent": "sent",
    b"\\archive": "archive",
    b"\\junk": "junk",
    b"\\trash": "trash",
    b"\\snoozed": "snoozed",  # draft-ietf-mailmaint-imap-snooze
}
# Names that other programs give these folders, for servers without SPECIAL-USE.
_USUAL_NAMES = {
    "drafts": ("drafts", "draft", "草稿箱", "草稿"),
    "sent": ("sent", "sent messages", "sent items", "sent mail", "已发送", "寄件備份"),
    "archive": ("archive", "archives", "存档"),
    "snoozed": ("snoozed",),
    "junk": ("junk", "spam", "junk e-mail", "垃圾邮件"),
    "trash": ("trash", "deleted messages", "deleted items", "已删除"),
}
STANDARD_NAMES = {"drafts": "Drafts", "sent": "Sent", "archive": "Archive", "junk": "Junk", "trash": "Trash"}
STANDARD_NAMES["snoozed"] = "Snoozed"


Branch = tuple["Folder", list["Branch"]]  # a folder and its children


@dataclass(frozen=True, slots=True)
class Folder:
    """One folder; `name` is the whole decoded name, its levels separated by `delimiter` ("" = no hierarchy)."""

    name: str
    delimiter: str = "/"
    role: str = ""  # a key of ROLES, or ""
    selectable: bool = True
    subscribed: bool = True
    messages: int = 0
    unseen: int = 0

    @property
    def leaf(self) -> str:
        return self.name.rpartition(self.delimiter)[2] if self.delimiter else self.name

    @property
    def depth(self) -> int:
        return self.name.count(self.delimiter) if self.delimiter else 0

    @property
    def parent(self) -> str:
        return self.name.rpartition(self.delimiter)[0] if self.delimiter else ""

    @property
    def title(self) -> str:
        """Return the localised name of a special folder, else the last level of the name."""
        return str(ROLES[self.role]) if self.role else self.leaf

    @property
    def path(self) -> str:
        """Return the whole name for a selection list, with visible separators."""
        return str(ROLES[self.role]) if self.role else self.name.replace(self.delimiter or "/", " / ")


Lines = Sequence[bytes | tuple[bytes, bytes] | None]


def parse_list(lines: Lines) -> dict[bytes, Folder]:
    """Parse LIST responses (RFC 9051 §7.3.1) into folders by their name on the wire.

    Raise `InvalidResponse`.
    """
    values = list(imap_responses.parse_response([line for line in lines if line]))
    found: dict[bytes, Folder] = {}
    for attributes, delimiter, name in zip(values[::3], values[1::3], values[2::3], strict=False):
        raw = imap_responses.to_bytes(name)
        marks = (
            {imap_responses.to_bytes(mark).lower() for mark in attributes} if isinstance(attributes, tuple) else set()
        )
        text = decode_folder_name(raw)
        found[raw] = Folder(
            name=text,
            delimiter=imap_responses.to_bytes(delimiter).decode("ascii", "replace"),
            role=role_of(text, marks),
            selectable=not marks & {b"\\noselect", b"\\nonexistent"},
            subscribed=b"\\subscribed" in marks or text == "INBOX",
        )
    return found


def decode_folder_name(raw: bytes) -> str:
    """Decode a mailbox name: modified UTF-7, or UTF-8 from servers that send it instead."""
    try:
        text = mailbox_names.decode_utf7(raw)
    except ValueError:
        text = raw.decode("utf-8", "replace")
    return "INBOX" if text.upper() == "INBOX" else text


def with_counts(folders: dict[bytes, Folder], status: Lines) -> list[Folder]:
    """Return the folders with the message and unread counts of STATUS responses."""
    values = imap_responses.parse_response([line for line in status if line])
    for name, items in zip(values, values, strict=False):
        raw = imap_responses.to_bytes(name)
        if raw in folders and isinstance(items, tuple):
            counts = {imap_responses.to_bytes(key).upper(): n for key, n in zip(items[::2], items[1::2], strict=False)}
            messages, unseen = counts.get(b"MESSAGES"), counts.get(b"UNSEEN")
            folders[raw] = replace(
                folders[raw],
                messages=messages if isinstance(messages, int) else 0,
                unseen=unseen if isinstance(unseen, int) else 0,
            )
    return list(folders.values())


def role_of(name: str, attributes: Iterable[bytes]) -> str:
    """Return the role the server gives a folder (SPECIAL-USE), "inbox", or ""."""
    if name.upper() == "INBOX":
        return "inbox"
    return next((_SPECIAL_USE[a.lower()] for a in attributes if a.lower() in _SPECIAL_USE), "")


def arrange_folders(folders: Iterable[Folder], special: Mapping[str, str] | None = None) -> tuple[Folder, ...]:
    """Sort folders: special ones first in the order of ROLES, then the others as a tree.

    Names are collated in the active language.
    `special` maps roles to the folders the user chose, which count if they exist. Next comes the server's SPECIAL-USE
    attribute, then a usual name; the first folder with a claim to a role gets it.
    """
    by_name = {folder.name: folder for folder in folders}
    assigned = {role: name for role, name in (special or {}).items() if name in by_name and by_name[name].selectable}
    for folder in by_name.values():
        if folder.role and folder.name not in assigned.values():
            assigned.setdefault(folder.role, folder.name)
    for role, usual in _USUAL_NAMES.items():
        if role not in assigned:
            for folder in by_name.values():
                free = not folder.role and folder.selectable and folder.name not in assigned.values()
                if free and folder.leaf.casefold() in usual and _near_top(folder):
                    assigned[role] = folder.name
                    break
    roles = {name: role for role, name in assigned.items()}
    order, key = list(ROLES), collation.sort_key(get_language() or "en")

    def sort_position(folder: Folder) -> tuple[object, ...]:
        levels = folder.name.split(folder.delimiter) if folder.delimiter else [folder.name]
        tops = [roles.get(folder.delimiter.join(levels[: n + 1]), "") for n in range(len(levels))]
        # Folders below INBOX (some servers put every folder there) do not share its place.
        near = [role for role in reversed(tops) if role]
        first = order.index(near[0]) if near and (near[0] != "inbox" or len(levels) == 1) else len(order)
        return (first, [key(level) for level in levels])

    named = (replace(folder, role=roles.get(folder.name, "")) for folder in by_name.values())
    return tuple(sorted(named, key=sort_position))


def _near_top(folder: Folder) -> bool:
    return folder.depth == 0 or (folder.depth == 1 and folder.parent.upper() == "INBOX")


def find_by_role(folders: Iterable[Folder], role: str) -> Folder | None:
    return next((folder for folder in folders if folder.role == role), None)


def is_outgoing(folders: Iterable[Folder], folder: Folder) -> bool:
    """Return True if `folder` is Drafts, Sent or below Sent: its list shows recipients instead of senders."""
    if folder.role in ("drafts", "sent"):
        return True
    sent = find_by_role(folders, "sent")
    return sent is not None and bool(sent.delimiter) and folder.name.startswith(sent.name + sent.delimiter)


def build_tree(shown: Iterable[Folder]) -> "list[Branch]":
    """Return sorted folders as a tree.

    Children of INBOX are placed beside it, for some servers put every folder there; so are children of a folder that is
    not shown.
    """
    top: list[Branch] = []
    known: dict[str, list[Branch]] = {}
    for folder in shown:
        below: list[Branch] = []
        known[folder.name] = below
        above = "" if folder.parent.upper() == "INBOX" else folder.parent
        known.get(above, top).append((folder, below))
    return top
