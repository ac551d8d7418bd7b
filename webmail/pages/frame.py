"""What stands around every page: the folder pane, the quota, who is signed in."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest
from django.urls import reverse

from webmail import folders, imap, labels
from webmail.folders import Folder
from webmail.servers import is_guest, sieve_server
from webmail.visitor import Request

INBOX = "INBOX"


def around(request: Request, mail: imap.Mail, box: str = "", *, fresh: bool = False) -> dict[str, Any]:
    """The context every page begins with. `fresh` asks the server for the counts; else those of the last
    half minute will do."""
    pane = mail.folders(younger_than=0 if fresh else 30)
    role = getattr(request.user, "role", "owner")
    return {
        "folders": pane,
        "shown_folders": [
            f for f in pane if f.subscribed or f.role or f.name == box or not request.visitor.options.only_subscribed
        ],
        "folder": folder_named(pane, box) if box else None,
        "box": box,
        "in_box": in_box(box),
        "quota": mail.quota(),
        "visitor": request.visitor,
        "options": request.visitor.options,
        "labels": labels.known(request.visitor.options.labels),
        "has_filters": sieve_server() is not None,
        "is_guest": is_guest(),
        "is_administrator": role != "owner" and not is_guest(),
    }


def folder_named(pane: tuple[Folder, ...], name: str) -> Folder:
    return next((folder for folder in pane if folder.name == name), Folder(name, role=folders.role_of(name, ())))


def home_of(mail: imap.Mail, role: str) -> str:
    """The folder of a role ("sent", "trash", …), made where there is none. The open folder stays open."""
    found = folders.find(mail.folders(younger_than=30), role)
    if found is not None:
        return found.name
    opened = mail.opened_name()
    mail.create(folders.STANDARD_NAMES[role])
    if opened:
        mail.open(opened)
    return folders.STANDARD_NAMES[role]


def box_of(request: HttpRequest) -> str:
    """The folder a request is about. A name with control characters is no folder: INBOX then."""
    name = (request.POST if request.method == "POST" else request.GET).get("in", "") or INBOX
    try:
        return imap.clean(name[:1000])
    except ValueError:
        return INBOX


def kept(values: Mapping[str, str]) -> dict[str, str]:
    """What a list keeps from page to page: its order, its page, what it is narrowed to."""
    return {name: values.get(name, "")[:200] for name in ("sort", "page", "show")}


def list_query(box: str, **more: object) -> str:
    """A list's address, ready for one more name=value."""
    return reverse("box") + open_query(box, **more)


def in_box(box: str, **more: object) -> str:
    """The query that carries a folder (INBOX needs none) and what else a link must keep."""
    values = {"in": box if box != INBOX else "", **more}
    kept = {name: value for name, value in values.items() if value not in ("", None, 0)}
    return "?" + urlencode(kept) if kept else ""


def open_query(box: str, **more: object) -> str:
    """The same, ready for one more name=value."""
    query = in_box(box, **more)
    return query + "&" if query else "?"


def list_address(box: str, **more: object) -> str:
    return reverse("box") + in_box(box, **more)
