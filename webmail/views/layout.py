"""The frame of every page: folder pane, quota, logged-in user."""

import hashlib
from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import get_language

from mailcore import conf
from webmail.account import access_keys, snooze
from webmail.account.preferences import WebmailPreferences
from webmail.account.session import Request
from webmail.mailserver import imap_client
from webmail.mailserver.server_addresses import is_guest, sieve_address
from webmail.values import folder_tree, labels
from webmail.values.folder_tree import Folder

INBOX = "INBOX"


def page_context(
    request: Request, mail: imap_client.MailSession, box: str = "", *, fresh: bool = False
) -> dict[str, Any]:
    """Return the context common to all pages.

    `fresh` queries the server for the message counts; otherwise they may be up to 30 seconds old.
    """
    pane = mail.folders(younger_than=0 if fresh else 30)
    options = request.visitor.options
    shown = tuple(f for f in pane if f.subscribed or f.role or f.name == box or not options.only_subscribed)
    role = getattr(request.user, "role", "owner")
    return {
        "folders": pane,
        "pane": _folder_pane(
            get_language() or "", access_keys.current_keys(), shown, box, options.labels, count_all=options.count_all
        ),
        "folder": find_folder(pane, box) if box else None,
        "box": box,
        "in_box": folder_query(box),
        "quota": mail.quota(),
        "visitor": request.visitor,
        "options": options,
        "labels": labels.load_labels(options.labels),
        "has_filters": sieve_address() is not None,
        "is_guest": is_guest(),
        "is_administrator": role != "owner" and not is_guest(),
    }


@lru_cache(512)
def _folder_pane(
    language: str,
    key_choices: access_keys.KeyChoices,
    shown: tuple[Folder, ...],
    box: str,
    label_records: tuple[tuple[str, str, int], ...],
    *,
    count_all: bool,
) -> SafeString:
    """Render folders and labels, cached by their content."""
    context = {
        "tree": folder_tree.build_tree(shown),
        "box": box,
        "labels": labels.load_labels(label_records),
        "count_all": count_all,
    }
    return render_to_string("webmail/pane.html", context)


def action_bar(
    role: str, targets: Iterable[Folder], label_records: tuple[tuple[str, str, int], ...], *, marks: bool = False
) -> SafeString:
    """Render the actions on messages of a list.

    `role` is that of the list's folder. With `marks`, messages marked as deleted can be unmarked and expunged.
    """
    return _rendered("webmail/bar.html", role, targets, label_records, marks)


def action_menus(targets: Iterable[Folder], label_records: tuple[tuple[str, str, int], ...]) -> SafeString:
    """Render the menus above a message: target folder, label, snooze time."""
    return _rendered("webmail/menus.html", "", targets, label_records, False)


def _rendered(
    template: str, role: str, targets: Iterable[Folder], label_records: tuple[tuple[str, str, int], ...], marks: bool
) -> SafeString:
    places = tuple((folder.name, folder.path) for folder in targets)
    times = tuple(
        (name, label, moment.replace(second=0, microsecond=0)) for name, label, moment in snooze.snooze_choices()
    )
    locale_key = f"{get_language()} {timezone.get_current_timezone_name()}"
    return _cached_template(template, locale_key, access_keys.current_keys(), role, marks, places, label_records, times)


@lru_cache(512)
def _cached_template(
    template: str,
    locale_key: str,  # language and time zone
    key_choices: access_keys.KeyChoices,
    role: str,
    marks: bool,
    places: tuple[tuple[str, str], ...],
    label_records: tuple[tuple[str, str, int], ...],
    times: tuple[tuple[str, str, datetime], ...],
) -> SafeString:
    context = {
        "folder": Folder("", role=role),
        "marks": marks,
        "targets": [{"name": name, "path": path} for name, path in places],
        "labels": labels.load_labels(label_records),
        "snooze_times": times,
    }
    return render_to_string(template, context)


def message_of_the_day(options: WebmailPreferences) -> dict[str, str] | None:
    """Return the administrator's message of the day, or None once the user has dismissed it.

    `digest` identifies the text.
    """
    text = conf.current().webmail_message_of_the_day
    digest = hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
    return {"text": text, "digest": digest} if text and digest != options.motd_read else None


def find_folder(pane: tuple[Folder, ...], name: str) -> Folder:
    return next((folder for folder in pane if folder.name == name), Folder(name, role=folder_tree.role_of(name, ())))


def special_folder(mail: imap_client.MailSession, role: str) -> str:
    """Return the folder of a role ("sent", "trash", …), creating it if needed; the open folder stays open."""
    found = folder_tree.find_by_role(mail.folders(younger_than=30), role)
    if found is not None:
        return found.name
    opened, name = mail.selected_name(), mail.namespace_prefix() + folder_tree.STANDARD_NAMES[role]
    mail.create(name)
    if opened:
        mail.open(opened)
    return name


def requested_folder(request: HttpRequest) -> str:
    """Return the folder a request names; INBOX if its name has control characters."""
    name = (request.POST if request.method == "POST" else request.GET).get("in", "") or INBOX
    try:
        return imap_client.reject_controls(name[:1000])
    except ValueError:
        return INBOX


def list_state(values: Mapping[str, str]) -> dict[str, str]:
    """Return the state a list passes from page to page: sort order, page number and filter."""
    return {name: values.get(name, "")[:200] for name in ("sort", "page", "show")}


def list_query_prefix(box: str, **more: object) -> str:
    """Return a list's URL with the separator for one more name=value."""
    return reverse("box") + query_prefix(box, **more)


def folder_query(box: str, **more: object) -> str:
    """Return a query string with the folder (INBOX needs none) and the other values a link must have."""
    values = {"in": box if box != INBOX else "", **more}
    parameters = {name: value for name, value in values.items() if value not in ("", None, 0)}
    return "?" + urlencode(parameters) if parameters else ""


def query_prefix(box: str, **more: object) -> str:
    """Return `folder_query` with the separator for one more name=value."""
    query = folder_query(box, **more)
    return query + "&" if query else "?"


def list_address(box: str, **more: object) -> str:
    return reverse("box") + folder_query(box, **more)
