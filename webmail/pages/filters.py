"""Filters: the list of rules, the automatic answer, blocked senders, and the script itself for who wants it.

They are kept by the mail server as a Sieve script (`webmail.sieve`, `webmail.rules`); nothing of them is here.
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

from mailcore.wire import address as grammar
from webmail import imap, labels, sieve
from webmail.addresses import BadAddress, pieces, typed
from webmail.pages import frame
from webmail.pages.filter_shelf import ACTIONS, FIELDS, HOWS, around, at_the_server, clean, is_stale, open_shelf
from webmail.rules import Away, Filters, Rule
from webmail.visitor import Request, signed_in


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
@at_the_server
def index(request: Request, mail: imap.Mail) -> HttpResponse:
    with open_shelf(request) as shelf:
        if request.method != "POST":
            described = [_described(mail, request, rule) for rule in shelf.filters.rules] if shelf.filters else []
            return render(request, "webmail/filters.html", around(request, mail, shelf, described=described))
        if request.POST.get("do") == "anew":
            shelf.begin_anew()
            messages.success(request, _("Your other script is kept, and no longer active."))
        elif not is_stale(request, shelf) and shelf.filters is not None:
            shelf.save(_changed(shelf.filters, request.POST))
    return redirect("filters")


def _changed(filters: Filters, post: QueryDict) -> Filters:
    """One press of a button beside a rule or a blocked sender."""
    if unblock := post.get("unblock"):
        return replace(filters, blocked=tuple(each for each in filters.blocked if each != unblock))
    what, _colon, given = post.get("do", "").partition(":")
    number = int(given) if given.isdecimal() and len(given) < 5 else -1
    found = list(filters.rules)
    if not 0 <= number < len(found):
        return filters
    match what:
        case "up" if number:
            found[number - 1], found[number] = found[number], found[number - 1]
        case "down" if number + 1 < len(found):
            found[number + 1], found[number] = found[number], found[number + 1]
        case "switch":
            found[number] = replace(found[number], enabled=not found[number].enabled)
        case "remove":
            del found[number]
    return replace(filters, rules=tuple(found))


def _described(mail: imap.Mail, request: Request, rule: Rule) -> dict[str, Any]:
    """A rule in words."""
    fields, hows, actions = dict(FIELDS), dict(HOWS), dict(ACTIONS)
    folders = {folder.name: folder.path for folder in mail.folders(younger_than=30)}
    names = {label.keyword: label.name for label in labels.known(request.visitor.options.labels).values()}
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
    done = []
    for action in rule.actions:
        value = folders.get(action.value, names.get(action.value, action.value))
        words = actions[action.kind]
        done.append(_("%(what)s: %(value)s") % {"what": words, "value": value} if value else words)
    return {"rule": rule, "tests": tests, "done": done}


# --- From a letter --------------------------------------------------------------------------------


@require_POST
@signed_in
@at_the_server
def block(request: Request, mail: imap.Mail) -> HttpResponse:
    """No more letters of this sender in INBOX: they go to the junk folder."""
    try:
        address = grammar.fold(grammar.parse(request.POST.get("block", "")))
    except grammar.AddressError:
        address = ""
    if "@" not in address or address == grammar.fold(request.visitor.address):
        messages.warning(request, _("This sender cannot be blocked."))
        return redirect("box")
    with open_shelf(request) as shelf:
        if shelf.filters is None:
            messages.warning(request, _("Your filters are a script of your own: please add the sender there."))
            return redirect("filters")
        blocked = tuple(dict.fromkeys((*shelf.filters.blocked, address)))
        shelf.save(replace(shelf.filters, blocked=blocked, junk=frame.home_of(mail, "junk")))
    messages.success(request, _("Messages from %s go to the junk folder from now on.") % address)
    return redirect(frame.list_address(frame.box_of(request)))


# --- The automatic answer -------------------------------------------------------------------------


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
@at_the_server
def away(request: Request, mail: imap.Mail) -> HttpResponse:
    problems: list[str] = []
    with open_shelf(request) as shelf:
        if shelf.filters is None:
            return redirect("filters")
        shown = shelf.filters.away
        if request.method == "POST":
            shown, problems = _posted_away(request.POST)
            if not problems and is_stale(request, shelf):
                return redirect("away")
            if not problems:
                try:
                    shelf.save(replace(shelf.filters, away=shown))
                except sieve.Refused as refusal:
                    problems = [str(refusal)]
                else:
                    on, off = _("Your automatic answer is on."), _("Your automatic answer is off.")
                    messages.success(request, on if shown.enabled else off)
                    return redirect("filters")
        context = around(request, mail, shelf, away=shown, problems=problems, today=date.today().isoformat())  # noqa: DTZ011
        return render(request, "webmail/filter_away.html", context, status=422 if problems else 200)


def _posted_away(post: QueryDict) -> tuple[Away, list[str]]:
    problems: list[str] = []
    days = post.get("days", "")
    shown = Away(
        text=post.get("text", "").replace("\r\n", "\n").replace("\0", "").strip("\n")[:20_000],
        subject=clean(post.get("subject", "")),
        days=int(days) if re.fullmatch(r"[0-9]{1,3}", days) else 7,
        addresses=tuple(pieces(clean(post.get("addresses", "")))[:20]),
        first=_day(post.get("first", "")),
        last=_day(post.get("last", "")),
        enabled=post.get("enabled") == "1",
    )
    if shown.enabled and not shown.text.strip():
        problems.append(_("Please write the answer."))
    if shown.first and shown.last and shown.last < shown.first:
        problems.append(_("The last day is before the first."))
    try:
        typed(",".join(shown.addresses))
    except BadAddress as error:
        problems.append(str(error))
    return shown, problems


def _day(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        return ""


# --- The script itself ----------------------------------------------------------------------------


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
@at_the_server
def script(request: Request, mail: imap.Mail) -> HttpResponse:
    with open_shelf(request) as shelf:
        text, problem = shelf.text, ""
        if request.method == "POST":
            text = request.POST.get("text", "")[:1_000_000]
            if request.POST.get("mark") != shelf.mark:
                problem = _("The script was changed elsewhere meanwhile. Save once more to keep this version.")
            else:
                try:
                    shelf.keeper.put(shelf.name, text)
                    shelf.keeper.activate(shelf.name)
                except sieve.Refused as refusal:
                    problem = str(refusal)
                else:
                    messages.success(request, _("The script was saved and is active."))
                    return redirect("filters")
        context = around(request, mail, shelf, text=text, problem=problem, extensions=sorted(shelf.keeper.extensions))
        return render(request, "webmail/filter_script.html", context, status=422 if problem else 200)
