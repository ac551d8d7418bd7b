"""The user's general options."""

import re
from datetime import datetime
from zoneinfo import ZoneInfo, available_timezones

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.module_loading import import_string
from django.utils.translation import gettext as _
from django.utils.translation import override
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from webmail.account import preferences
from webmail.account.session import Request, requires_login
from webmail.mailserver import imap_client
from webmail.mailserver.server_addresses import is_guest
from webmail.values.addresses import InvalidAddress, parse_typed
from webmail.views import layout
from webmail.views.login import set_language_cookie


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@requires_login
def options_page(request: Request, mail: imap_client.MailSession) -> HttpResponse:
    person = request.visitor
    errors: dict[str, str] = {}
    chosen = person.options
    if request.method == "POST":
        chosen, errors = _posted_options(request, person.options)
        if not errors:
            preferences.save_preferences(person.address, chosen)
            if not is_guest():
                import_string(settings.WEBMAIL["PROFILE_KEEPER"])(request.user, chosen.language, chosen.time_zone)
            with override(chosen.language or None):
                messages.success(request, _("Your options were saved."))
            return set_language_cookie(redirect("options"), chosen)
    context = layout.page_context(request, mail) | {
        "chosen": chosen,
        "errors": errors,
        "languages": settings.LANGUAGES,
        "zones": _time_zone_choices(),
        "editor_rows": preferences.EDITOR_ROWS,
        "undo_seconds": preferences.UNDO_SECONDS[1:],
    }
    return render(request, "webmail/options.html", context, status=422 if errors else 200)


@require_POST
@requires_login
def welcome(request: Request, mail: imap_client.MailSession) -> HttpResponse:
    """Save the name requested at the first visit; "not now" is recorded too."""
    name = _clean_text(request.POST.get("name", "")) if request.POST.get("do") == "save" else ""
    before = request.visitor.options
    preferences.save_preferences(
        request.visitor.address, preferences.with_changes(before, {"name": name or before.name, "greeted": True})
    )
    return redirect("box")


@require_POST
@requires_login
def dismiss_message(request: Request, mail: imap_client.MailSession) -> HttpResponse:
    """Record that the message of the day was read: it is hidden until its text changes."""
    read = re.sub(r"[^0-9a-f]", "", request.POST.get("read", ""))[:32]
    preferences.save_preferences(
        request.visitor.address, preferences.with_changes(request.visitor.options, {"motd_read": read})
    )
    return redirect("box")


def _clean_text(text: str) -> str:
    return " ".join(re.sub(r"[\x00-\x1f\x7f]", " ", text).split())[:200]


def _posted_options(
    request: HttpRequest, before: preferences.WebmailPreferences
) -> tuple[preferences.WebmailPreferences, dict[str, str]]:
    post, errors = request.POST, {}
    name = " ".join(post.get("name", "").split())[:200]
    if any(ord(character) < 32 or ord(character) == 127 for character in name):
        errors["name"] = _("A control character is not allowed here.")
    try:
        parse_typed(post.get("reply_to", ""))
    except InvalidAddress as error:
        errors["reply_to"] = str(error)
    values = {
        "name": name,
        "reply_to": post.get("reply_to", "").strip()[:1000],
        "signature": post.get("signature", "").replace("\r\n", "\n"),
        "language": post.get("language", ""),
        "time_zone": post.get("time_zone", ""),
        "reply_above": post.get("reply_above") == "1",
        "sign_above": post.get("sign_above") == "1",
        "all_but_me": post.get("all_but_me") == "1",
        "citation": post.get("citation", ""),
        "back_to": post.get("back_to", ""),
        "editor_rows": _number(post.get("editor_rows", "")),
        "undo_seconds": _number(post.get("undo_seconds", "")),
        "collect": post.get("collect") == "1",
        "greeted": True,
    }
    return preferences.with_changes(before, values), errors


def _number(given: str) -> int | None:
    return int(given) if re.fullmatch(r"-?[0-9]{1,3}", given) else None


def _time_zone_choices() -> list[tuple[str, str]]:
    """Return time zones by name, with their present offset."""
    names = sorted(name for name in available_timezones() if "/" in name and not name.startswith("Etc/"))
    return [(name, f"{name} ({datetime.now(ZoneInfo(name)):%z})") for name in ["UTC", *names]]
