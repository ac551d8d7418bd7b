"""The visitor's options."""

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

from webmail import imap
from webmail import options as kept
from webmail.addresses import BadAddress, typed
from webmail.pages import frame
from webmail.pages.entrance import remembered_language
from webmail.servers import is_guest
from webmail.visitor import Request, signed_in


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def options(request: Request, mail: imap.Mail) -> HttpResponse:
    person = request.visitor
    errors: dict[str, str] = {}
    chosen = person.options
    if request.method == "POST":
        chosen, errors = _posted(request, person.options)
        if not errors:
            kept.save(person.address, chosen)
            if not is_guest():
                import_string(settings.WEBMAIL["PROFILE_KEEPER"])(request.user, chosen.language, chosen.time_zone)
            with override(chosen.language or None):
                messages.success(request, _("Your options were saved."))
            return remembered_language(redirect("options"), chosen)
    context = frame.around(request, mail) | {
        "chosen": chosen,
        "errors": errors,
        "languages": settings.LANGUAGES,
        "zones": _zones(),
        "editor_rows": kept.EDITOR_ROWS,
        "undo_seconds": kept.UNDO_SECONDS[1:],
    }
    return render(request, "webmail/options.html", context, status=422 if errors else 200)


@require_POST
@signed_in
def welcome(request: Request, mail: imap.Mail) -> HttpResponse:
    """The name that was asked for once, at the first visit; "not now" is an answer too."""
    name = _clean(request.POST.get("name", "")) if request.POST.get("do") == "save" else ""
    before = request.visitor.options
    kept.save(request.visitor.address, kept.changed(before, {"name": name or before.name, "greeted": True}))
    return redirect("box")


@require_POST
@signed_in
def message_read(request: Request, mail: imap.Mail) -> HttpResponse:
    """The message of the day was read: it is not shown again until it says something else."""
    read = re.sub(r"[^0-9a-f]", "", request.POST.get("read", ""))[:32]
    kept.save(request.visitor.address, kept.changed(request.visitor.options, {"motd_read": read}))
    return redirect("box")


def _clean(text: str) -> str:
    return " ".join(re.sub(r"[\x00-\x1f\x7f]", " ", text).split())[:200]


def _posted(request: HttpRequest, before: kept.Options) -> tuple[kept.Options, dict[str, str]]:
    post, errors = request.POST, {}
    name = " ".join(post.get("name", "").split())[:200]
    if any(ord(sign) < 32 or ord(sign) == 127 for sign in name):
        errors["name"] = _("A control character is not allowed here.")
    try:
        typed(post.get("reply_to", ""))
    except BadAddress as error:
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
    return kept.changed(before, values), errors


def _number(given: str) -> int | None:
    return int(given) if re.fullmatch(r"-?[0-9]{1,3}", given) else None


def _zones() -> list[tuple[str, str]]:
    """Time zones by name, with their offset today."""
    names = sorted(name for name in available_timezones() if "/" in name and not name.startswith("Etc/"))
    return [(name, f"{name} ({datetime.now(ZoneInfo(name)):%z})") for name in ["UTC", *names]]
