"""Filters: the list of rules, the automatic reply, blocked senders, and the Sieve script itself.

The mail server stores them as a Sieve script (`webmail.mailserver.sieve_client`, `webmail.filtering.rules`); nothing of
them is stored here.
"""

import re
from dataclasses import replace
from datetime import date
from typing import Any

from django.contrib import messages
from django.http import HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from mailcore.wire.message import envelope_address as grammar
from webmail.account.session import Request, requires_login
from webmail.filtering.rules import FilterSet, Rule, VacationSettings
from webmail.mailserver import imap_client, sieve_client
from webmail.values import labels
from webmail.values.addresses import InvalidAddress, parse_typed, split_typed
from webmail.views import layout
from webmail.views.settings.filter_script import (
    ACTIONS,
    FIELDS,
    HOWS,
    clean_text,
    is_stale,
    open_script,
    script_context,
    with_script_errors,
)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@requires_login
@with_script_errors
def filter_list(request: Request, mail: imap_client.MailSession) -> HttpResponse:
    with open_script(request) as script:
        if request.method != "POST":
            described = [_describe_rule(mail, request, rule) for rule in script.filters.rules] if script.filters else []
            return render(request, "webmail/filters.html", script_context(request, mail, script, described=described))
        if request.POST.get("do") == "anew":
            script.start_new_script()
            messages.success(request, _("Your other script is still saved, but no longer active."))
        elif not is_stale(request, script) and script.filters is not None:
            script.save(_apply_button(script.filters, request.POST))
    return redirect("filters")


def _apply_button(filters: FilterSet, post: QueryDict) -> FilterSet:
    """Apply a button beside a rule or a blocked sender."""
    if unblock := post.get("unblock"):
        return replace(filters, blocked=tuple(each for each in filters.blocked if each != unblock))
    what, _colon, given = post.get("do", "").partition(":")
    number = int(given) if given.isdecimal() and len(given) < 5 else -1
    ordered = list(filters.rules)
    if not 0 <= number < len(ordered):
        return filters
    match what:
        case "up" if number:
            ordered[number - 1], ordered[number] = ordered[number], ordered[number - 1]
        case "down" if number + 1 < len(ordered):
            ordered[number + 1], ordered[number] = ordered[number], ordered[number + 1]
        case "switch":
            ordered[number] = replace(ordered[number], enabled=not ordered[number].enabled)
        case "remove":
            del ordered[number]
    return replace(filters, rules=tuple(ordered))


def _describe_rule(mail: imap_client.MailSession, request: Request, rule: Rule) -> dict[str, Any]:
    """Return a description of a rule in words."""
    fields, hows, actions = dict(FIELDS), dict(HOWS), dict(ACTIONS)
    folders = {folder.name: folder.path for folder in mail.folders(younger_than=30)}
    names = {label.keyword: label.name for label in labels.load_labels(request.visitor.options.labels).values()}
    tests = []
    for each in rule.conditions:
        field = each.header or fields[each.field]
        if each.field == "all":
            tests.append(field)
        elif each.field in ("larger", "smaller"):
            tests.append(_("%(what)s: %(value)s") % {"what": field, "value": each.value})
        else:
            given = {"field": field, "how": hows[each.how], "value": each.value}
            tests.append(_("%(field)s %(how)s “%(value)s”") % given)
    actions_text = []
    for action in rule.actions:
        value = folders.get(action.value, names.get(action.value, action.value))
        words = actions[action.kind]
        actions_text.append(_("%(what)s: %(value)s") % {"what": words, "value": value} if value else words)
    return {"rule": rule, "tests": tests, "done": actions_text}


# --- From a message --------------------------------------------------------------------------------


@require_POST
@requires_login
@with_script_errors
def block_sender(request: Request, mail: imap_client.MailSession) -> HttpResponse:
    """Send messages of this sender to the junk folder from now on."""
    try:
        address = grammar.fold_address(grammar.parse_address(request.POST.get("block", "")))
    except grammar.AddressError:
        address = ""
    if "@" not in address or address == grammar.fold_address(request.visitor.address):
        messages.warning(request, _("This sender cannot be blocked."))
        return redirect("box")
    with open_script(request) as script:
        if script.filters is None:
            messages.warning(request, _("Your filters are a script of your own: please add the sender there."))
            return redirect("filters")
        blocked = tuple(dict.fromkeys((*script.filters.blocked, address)))
        script.save(replace(script.filters, blocked=blocked, junk=layout.special_folder(mail, "junk")))
    messages.success(request, _("Messages from %s go to the junk folder from now on.") % address)
    return redirect(layout.list_address(layout.requested_folder(request)))


# --- The automatic reply --------------------------------------------------------------------------


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@requires_login
@with_script_errors
def vacation_page(request: Request, mail: imap_client.MailSession) -> HttpResponse:
    problems: list[str] = []
    with open_script(request) as script:
        if script.filters is None:
            return redirect("filters")
        shown = script.filters.away
        if request.method == "POST":
            shown, problems = _posted_vacation(request.POST)
            if not problems and is_stale(request, script):
                return redirect("away")
            if not problems:
                try:
                    script.save(replace(script.filters, away=shown))
                except sieve_client.SieveRefused as refusal:
                    problems = [str(refusal)]
                else:
                    on, off = _("Your automatic answer is on."), _("Your automatic answer is off.")
                    messages.success(request, on if shown.enabled else off)
                    return redirect("filters")
        today = date.today().isoformat()  # noqa: DTZ011 (the server's day, as Sieve's currentdate)
        context = script_context(request, mail, script, away=shown, problems=problems, today=today)
        return render(request, "webmail/filter_away.html", context, status=422 if problems else 200)


def _posted_vacation(post: QueryDict) -> tuple[VacationSettings, list[str]]:
    problems: list[str] = []
    days = post.get("days", "")
    shown = VacationSettings(
        text=post.get("text", "").replace("\r\n", "\n").replace("\0", "").strip("\n")[:20_000],
        subject=clean_text(post.get("subject", "")),
        days=int(days) if re.fullmatch(r"[0-9]{1,3}", days) else 7,
        addresses=tuple(split_typed(clean_text(post.get("addresses", "")))[:20]),
        first=_parse_day(post.get("first", "")),
        last=_parse_day(post.get("last", "")),
        enabled=post.get("enabled") == "1",
    )
    if shown.enabled and not shown.text.strip():
        problems.append(_("Please write the answer."))
    if shown.first and shown.last and shown.last < shown.first:
        problems.append(_("The last day is before the first."))
    try:
        parse_typed(",".join(shown.addresses))
    except InvalidAddress as error:
        problems.append(str(error))
    return shown, problems


def _parse_day(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        return ""


# --- The script itself ----------------------------------------------------------------------------


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@requires_login
@with_script_errors
def script_page(request: Request, mail: imap_client.MailSession) -> HttpResponse:
    with open_script(request) as script:
        text, problem = script.text, ""
        if request.method == "POST":
            text = request.POST.get("text", "")[:1_000_000]
            if request.POST.get("mark") != script.digest:
                problem = _("The script was changed elsewhere meanwhile. Save once more to keep this version.")
            else:
                try:
                    script.client.put(script.name, text)
                    script.client.activate(script.name)
                except sieve_client.SieveRefused as refusal:
                    problem = str(refusal)
                else:
                    messages.success(request, _("The script was saved and is active."))
                    return redirect("filters")
        context = script_context(
            request, mail, script, text=text, problem=problem, extensions=sorted(script.client.extensions)
        )
        return render(request, "webmail/filter_script.html", context, status=422 if problem else 200)
