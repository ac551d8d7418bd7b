"""Display options: appearance, folders, labels, highlighting, access keys; and the quick switches of a list."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from django.contrib import messages
from django.http import HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from webmail.account import access_keys, edit_labels, preferences
from webmail.account.session import Request, requires_login
from webmail.mailserver import imap_client
from webmail.reading import highlights
from webmail.values import labels
from webmail.values.folder_tree import ROLES
from webmail.views import layout

COLUMN_NAMES = {
    "from": gettext_lazy("From"),
    "subject": gettext_lazy("Subject"),
    "date": gettext_lazy("Date"),
    "attachment": gettext_lazy("Attachment"),
    "size": gettext_lazy("Size"),
    "priority": gettext_lazy("Priority"),
    "to": gettext_lazy("To"),
    "cc": gettext_lazy("Cc"),
    "received": gettext_lazy("Received"),
}
FIELD_NAMES = {
    "from": gettext_lazy("From"),
    "to": gettext_lazy("To"),
    "subject": gettext_lazy("Subject"),
    "any": gettext_lazy("any of these"),
}
_SWITCHES: Mapping[str, tuple[str, Mapping[str, object]]] = {
    "threads": ("threads", {"1": True, "0": False}),
    "layout": ("layout", {name: name for name in preferences.LAYOUTS}),
    "snippets": ("snippets", {"1": True, "0": False}),
    "theme": ("theme", {name: name for name in preferences.THEMES}),
}


@require_POST
@requires_login
def quick_switch(request: Request, mail: imap_client.MailSession) -> HttpResponse:
    """Change one option from beside a list: threads=1, layout=pane and so on."""
    person, post = request.visitor, request.POST
    wanted = {name: values[post[field]] for field, (name, values) in _SWITCHES.items() if post.get(field, "") in values}
    preferences.save_preferences(person.address, preferences.with_changes(person.options, wanted))
    back = request.POST.get("back", "")
    return redirect(back if back.startswith("/") and url_has_allowed_host_and_scheme(back, None) else "box")


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@requires_login
def display_options(request: Request, mail: imap_client.MailSession) -> HttpResponse:
    return _options_form(request, mail, "webmail/options_display.html", _posted_display)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@requires_login
def folder_options(request: Request, mail: imap_client.MailSession) -> HttpResponse:
    return _options_form(request, mail, "webmail/options_folders.html", _posted_folders)


def _options_form(request: Request, mail: imap_client.MailSession, template: str, read: Any) -> HttpResponse:
    person = request.visitor
    if request.method == "POST":
        preferences.save_preferences(
            person.address, preferences.with_changes(person.options, read(request.POST, person.options))
        )
        messages.success(request, _("Your options were saved."))
        return redirect(request.path)
    context = layout.page_context(request, mail) | {
        "chosen": person.options,
        "page_sizes": preferences.PAGE_SIZES,
        "wraps": preferences.WRAP_WIDTHS,
        "refreshes": preferences.REFRESH_MINUTES,
        "homes": [(role, ROLES[role], dict(person.options.homes).get(role, "")) for role in preferences.HOMES],
        "columns": [
            (name, COLUMN_NAMES[name], name in person.options.columns, name in preferences.ALWAYS, number)
            for number, name in enumerate(
                [*person.options.columns, *(n for n in preferences.COLUMNS if n not in person.options.columns)], 1
            )
        ],
    }
    return render(request, template, context)


def _posted_display(post: QueryDict, before: preferences.WebmailPreferences) -> dict[str, object]:
    """Return the options of the form; invalid numbers leave an option unchanged."""

    def number(name: str, old: int) -> int:
        value = post.get(name, "")
        return int(value) if value.isdecimal() and len(value) < 5 else old

    def position(name: str) -> tuple[int, int]:
        return number(f"place-{name}", 99), preferences.COLUMNS.index(name)

    switches = ("snippets", "threads", "sound", "html_first", "remote_images", "dark_letters", "mark_read")
    return {
        "theme": post.get("theme", ""),
        "layout": post.get("layout", ""),
        "page_size": number("page_size", before.page_size),
        "date_format": post.get("date_format", ""),
        "columns": sorted((name for name in post.getlist("column") if name in preferences.COLUMNS), key=position),
        "refresh": number("refresh", before.refresh),
        "wrap": number("wrap", before.wrap),
        "receipts": post.get("receipts", ""),
        "after_action": post.get("after_action", ""),
        **{name: post.get(name) == "1" for name in switches},
    }


def _posted_folders(post: QueryDict, before: preferences.WebmailPreferences) -> dict[str, object]:
    homes = [(role, post.get(f"home-{role}", "")[:1000]) for role in preferences.HOMES]
    return {
        "only_subscribed": post.get("only_subscribed") == "1",
        "count_all": post.get("count_all") == "1",
        "deletion": post.get("deletion", ""),
        "sent_copies": post.get("sent_copies", ""),
        "homes": [(role, name) for role, name in homes if name],
    }


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@requires_login
def label_page(request: Request, mail: imap_client.MailSession) -> HttpResponse:
    person, post = request.visitor, request.POST
    if request.method == "POST":
        colour = _colour(post)
        match post.get("do"):
            case "add":
                if edit_labels.add_label(person, post.get("name", ""), colour) is None:
                    messages.warning(request, _("Please enter a name for the label."))
            case "change":
                edit_labels.change_label(person, post.get("keyword", ""), post.get("name", ""), colour)
            case "remove":
                edit_labels.remove_label(person, post.get("keyword", ""))
        return redirect("options-labels")
    context = layout.page_context(request, mail) | {"colours": range(labels.COLOURS), "longest": labels.LONGEST}
    return render(request, "webmail/options_labels.html", context)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@requires_login
def highlighting(request: Request, mail: imap_client.MailSession) -> HttpResponse:
    person = request.visitor
    rules = list(person.options.highlights)
    if request.method == "POST":
        changed = _edit_rules(request.POST, rules)
        if changed is None:
            messages.warning(request, _("Please enter the words to look for."))
        else:
            preferences.save_preferences(person.address, replace(person.options, highlights=tuple(changed)))
        return redirect("options-highlighting")
    context = layout.page_context(request, mail) | {
        "rules": list(enumerate(rules)),
        "colours": range(highlights.COLOURS),
        "fields": FIELD_NAMES.items(),
    }
    return render(request, "webmail/options_highlighting.html", context)


def _colour(post: QueryDict) -> int:
    number_text = post.get("colour", "")
    return int(number_text) if number_text.isdecimal() and len(number_text) < 4 else 0


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@requires_login
def key_page(request: Request, mail: imap_client.MailSession) -> HttpResponse:
    """Change access keys, and turn single-key shortcuts on or off (WCAG 2.1.4)."""
    person, problem = request.visitor, ""
    wanted = {name: access_keys.access_key(name) for name in access_keys.DEFAULT_KEYS}
    if request.method == "POST":
        wanted = {name: request.POST.get(name, "").strip().lower()[:1] for name in access_keys.DEFAULT_KEYS}
        if request.POST.get("do") == "usual":
            wanted = dict(access_keys.DEFAULT_KEYS)
        invalid = next((key for key in wanted.values() if key and not (key.isascii() and key.isalnum())), "")
        if invalid:
            problem = _("“%s” is not a letter or digit.") % invalid
        elif duplicate := access_keys.find_clash(wanted):
            problem = _("The key “%s” would do two things on one page.") % duplicate
        else:
            chosen = tuple((name, key) for name, key in wanted.items() if key != access_keys.DEFAULT_KEYS[name])
            preferences.save_preferences(
                person.address, replace(person.options, keys=chosen, shortcuts=request.POST.get("shortcuts") == "1")
            )
            messages.success(request, _("Your options were saved."))
            return redirect("options-keys")
    context = layout.page_context(request, mail) | {
        "problem": problem,
        "places": [
            (title, [(name, words, wanted[name]) for name, (_key, words) in position.items()])
            for title, position in access_keys.PLACES
        ],
    }
    return render(request, "webmail/options_keys.html", context, status=422 if problem else 200)


Rules = list[tuple[str, int, str, str]]


def _edit_rules(post: QueryDict, rules: Rules) -> Rules | None:
    """Return the rules after a form's action: add, change, remove, up or down; None if its text is missing."""
    number_text = post.get("at", "")
    at = int(number_text) if number_text.isdecimal() and len(number_text) < 4 else -1
    action = post.get("do")
    if action in ("change", "remove", "up", "down") and not 0 <= at < len(rules):
        return rules
    if action in ("add", "change"):
        colour = _colour(post) % highlights.COLOURS
        field, words = post.get("field", ""), " ".join(post.get("words", "").split())[: highlights.LONGEST]
        if not words or field not in highlights.FIELDS:
            return None
        rule = (" ".join(post.get("name", "").split())[: highlights.LONGEST], colour, field, words)
        return [*rules, rule] if action == "add" else [*rules[:at], rule, *rules[at + 1 :]]
    if action == "remove":
        return [*rules[:at], *rules[at + 1 :]]
    other = at - 1 if action == "up" else at + 1
    if action in ("up", "down") and 0 <= other < len(rules):
        rules[at], rules[other] = rules[other], rules[at]
    return rules
