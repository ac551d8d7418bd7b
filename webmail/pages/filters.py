"""Filters: rules, the automatic answer, blocked senders, and the script itself for who wants it.

They are kept by the mail server as a Sieve script (`webmail.sieve`, `webmail.rules`); nothing of them is here. A page
says which script it was made from, so that two windows do not undo each other's work.
"""

import functools
import hashlib
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from itertools import chain, count
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from mailcore.wire import address as grammar
from webmail import hindsight, imap, label_options, labels, rules, sieve, visitor
from webmail.addresses import BadAddress, pieces, typed
from webmail.pages import frame
from webmail.rules import Action, Away, Condition, Filters, NotOurs, Rule
from webmail.servers import sieve_server
from webmail.visitor import Request, signed_in

log = logging.getLogger(__name__)

MOST_ROWS = 20  # conditions, or actions, of one rule
LONGEST = 500  # characters of one value
FIELDS = (
    ("from", gettext_lazy("Sender")),
    ("anyone", gettext_lazy("Recipient (To or Cc)")),
    ("to", gettext_lazy("To")),
    ("cc", gettext_lazy("Cc")),
    ("subject", gettext_lazy("Subject")),
    ("body", gettext_lazy("Text")),
    ("list", gettext_lazy("Mailing list")),
    ("header", gettext_lazy("Another header")),
    ("larger", gettext_lazy("Larger than (KB)")),
    ("smaller", gettext_lazy("Smaller than (KB)")),
    ("all", gettext_lazy("All messages")),
)
HOWS = (
    ("contains", gettext_lazy("contains")),
    ("lacks", gettext_lazy("does not contain")),
    ("is", gettext_lazy("is")),
    ("isnot", gettext_lazy("is not")),
    ("matches", gettext_lazy("matches (* and ?)")),
)
ACTIONS = (
    ("move", gettext_lazy("Move to folder")),
    ("copy", gettext_lazy("Copy to folder")),
    ("label", gettext_lazy("Add label")),
    ("star", gettext_lazy("Add star")),
    ("read", gettext_lazy("Mark as read")),
    ("forward", gettext_lazy("Forward, keep no copy")),
    ("pass", gettext_lazy("Forward, keep a copy")),
    ("discard", gettext_lazy("Delete at once")),
)


@dataclass(slots=True)
class Shelf:
    """The visitor's script as it is kept, and as these pages can show it: `filters` is None where they cannot."""

    keeper: sieve.Keeper
    name: str
    text: str
    filters: Filters | None
    active: bool

    @property
    def mark(self) -> str:
        return hashlib.sha256(f"{self.name}\0{self.text}".encode()).hexdigest()[:16]

    def begin_anew(self) -> None:
        """A script of ours beside the one that is there."""
        taken = {each.name for each in self.keeper.scripts()}
        name = next(each for each in chain([rules.NAME], (f"{rules.NAME} {n}" for n in count(2))) if each not in taken)
        self.keeper.put(name, rules.written(Filters()))
        self.keeper.activate(name)

    def save(self, filters: Filters) -> None:
        """Raises sieve.Refused. No filters at all are no script: letters then go the shortest way."""
        if not (filters.rules or filters.blocked or filters.away.text):
            self.keeper.activate("")
            if self.text:
                self.keeper.delete(self.name)
            return
        self.keeper.put(self.name, rules.written(filters))
        if not self.active:
            self.keeper.activate(self.name)


@contextmanager
def _shelf(request: Request) -> Iterator[Shelf]:
    server = sieve_server()
    if server is None:
        raise Http404
    with sieve.signed_in(server, request.visitor.login, request.visitor.secret) as keeper:
        stored = keeper.scripts()
        chosen = next((each for each in stored if each.active), None)
        chosen = chosen or next((each for each in stored if each.name == rules.NAME), None)
        text = keeper.script(chosen.name) if chosen else ""
        try:
            filters: Filters | None = rules.read(text)
        except NotOurs:
            filters = None
        yield Shelf(keeper, chosen.name if chosen else rules.NAME, text, filters, chosen is not None and chosen.active)


Page = Callable[..., HttpResponse]


def _at_the_server(page: Page) -> Page:
    """Faults of the server that keeps filters end here, as a page."""

    @functools.wraps(page)
    def inner(request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            return page(request, *args, **kwargs)
        except sieve.Refused as refusal:
            return visitor.problem(request, _("The mail server refused this."), str(refusal), 409)
        except sieve.Unreachable as fault:
            log.warning("managesieve: %s", fault)
            title = _("The server that keeps your filters cannot be reached.")
            return visitor.problem(request, title, _("Please try again in a moment."), 503)

    return inner


def _shown(request: Request, mail: imap.Mail, shelf: Shelf, **more: Any) -> dict[str, Any]:
    return frame.around(request, mail) | {"filters": shelf.filters, "mark": shelf.mark, "script": shelf.name} | more


def _is_stale(request: Request, shelf: Shelf) -> bool:
    """Was the posted page made from another version?"""
    if request.POST.get("mark") == shelf.mark and shelf.filters is not None:
        return False
    messages.warning(request, _("Your filters were changed elsewhere meanwhile. Please look at them again."))
    return True


# --- The list -------------------------------------------------------------------------------------


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
@_at_the_server
def index(request: Request, mail: imap.Mail) -> HttpResponse:
    with _shelf(request) as shelf:
        if request.method != "POST":
            described = [_described(mail, request, rule) for rule in shelf.filters.rules] if shelf.filters else []
            return render(request, "webmail/filters.html", _shown(request, mail, shelf, described=described))
        if request.POST.get("do") == "anew":
            shelf.begin_anew()
            messages.success(request, _("Your other script is kept, and no longer active."))
        elif not _is_stale(request, shelf) and shelf.filters is not None:
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
        words = [str(each.header or fields[each.field])]
        if each.field not in ("all", "larger", "smaller"):
            words.append(str(hows[each.how]))
        tests.append((" ".join(words), each.value))
    done = [
        (str(actions[each.kind]), folders.get(each.value, names.get(each.value, each.value))) for each in rule.actions
    ]
    return {"rule": rule, "tests": tests, "done": done}


# --- One rule -------------------------------------------------------------------------------------


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
@_at_the_server
def rule(request: Request, mail: imap.Mail, number: int | None = None) -> HttpResponse:
    """A rule to be changed, or a new one, perhaps begun from a letter (?from=…&list=…&subject=…)."""
    with _shelf(request) as shelf:
        if shelf.filters is None:
            return redirect("filters")
        if number is not None and number >= len(shelf.filters.rules):
            raise Http404
        if request.method != "POST":
            begun = shelf.filters.rules[number] if number is not None else _from_letter(request.GET)
            return _rule_page(request, mail, shelf, begun, number)
        wanted = _posted_rule(request.POST)
        do, _colon, which = request.POST.get("do", "").partition(":")
        if do != "save":
            return _rule_page(request, mail, shelf, _resized(wanted, do, which), number)
        wanted, problems = _checked(request, mail, wanted)
        if problems:
            return _rule_page(request, mail, shelf, wanted, number, problems)
        if _is_stale(request, shelf):
            return redirect("filters")
        try:
            shelf.save(shelf.filters.with_rule(number, wanted))
        except sieve.Refused as refusal:
            return _rule_page(request, mail, shelf, wanted, number, [str(refusal)])
    messages.success(request, _("The rule was saved. It is applied to messages from now on."))
    if request.POST.get("now") == "1":
        _apply_now(request, mail, wanted)
    return redirect("filters")


def _apply_now(request: Request, mail: imap.Mail, wanted: Rule) -> None:
    try:
        count = hindsight.apply(mail, wanted, frame.INBOX)
    except hindsight.Unfit:
        messages.info(request, _("Messages in the inbox were left alone: this rule only works as they arrive."))
    else:
        said = ngettext(
            "%d message in the inbox was treated alike.", "%d messages in the inbox were treated alike.", count
        )
        messages.success(request, said % count)


def _rule_page(
    request: Request, mail: imap.Mail, shelf: Shelf, shown: Rule, number: int | None, problems: list[str] | None = None
) -> HttpResponse:
    names = {label.keyword: label.name for label in labels.known(request.visitor.options.labels).values()}
    context = _shown(request, mail, shelf) | {
        "rule": shown,
        "number": number,
        "problems": problems or [],
        "fields": FIELDS,
        "hows": HOWS,
        "actions": ACTIONS,
        "targets": [folder for folder in mail.folders(younger_than=30) if folder.selectable],
        "label_names": names,
        "done": [(each.kind, each.value, names.get(each.value, each.value)) for each in shown.actions],
        "most": MOST_ROWS,
        "now": request.POST.get("now") == "1" or "from" in request.GET,
    }
    return render(request, "webmail/filter_rule.html", context, status=422 if problems else 200)


def _from_letter(given: QueryDict) -> Rule:
    """A rule that finds letters like the one a link came from."""
    conditions = []
    for name, how in (("list", "contains"), ("from", "is"), ("subject", "contains")):
        value = _clean(given.get(name, ""))
        if name == "list" and (match := re.search(r"<[^<>]+>", value)):
            value = match[0]  # the id without the words before it, which change
        if value and not conditions:
            conditions.append(Condition(name, how, value))
    name = conditions[0].value[:80] if conditions else ""
    return Rule(name, tuple(conditions) or (Condition("from"),), (Action("move"),))


def _posted_rule(post: QueryDict) -> Rule:
    """As it was typed, right or wrong."""
    rows = zip(post.getlist("field"), post.getlist("how"), post.getlist("value"), post.getlist("header"), strict=False)
    known = {name for name, _words in FIELDS}
    conditions = tuple(
        Condition(
            field if field in known else "from",
            how if how in rules.HOWS else "contains",
            _clean(value),
            _clean(header) if field == "header" else "",
        )
        for field, how, value, header in rows
    )
    done = zip(
        post.getlist("act"), post.getlist("folder"), post.getlist("label"), post.getlist("address"), strict=False
    )
    actions = []
    for kind, folder, label, address in done:
        value = {"move": folder, "copy": folder, "label": label, "forward": address, "pass": address}.get(kind, "")
        actions.append(Action(kind if kind in rules.ACTIONS else "move", _clean(value)))
    return Rule(
        name=_clean(post.get("name", ""))[:100],
        conditions=conditions[:MOST_ROWS] or (Condition("from"),),
        actions=tuple(actions[:MOST_ROWS]) or (Action("move"),),
        any_of=post.get("of") == "any",
        stop=post.get("stop") == "1",
        enabled=post.get("enabled") == "1",
    )


def _clean(text: str) -> str:
    return re.sub(r"[\x00-\x1f\x7f]+", " ", text)[:LONGEST].strip()


def _resized(shown: Rule, do: str, which: str) -> Rule:
    """One row more, or one less."""
    number = int(which) if which.isdecimal() and len(which) < 5 else -1
    match do:
        case "more-conditions":
            return replace(shown, conditions=(*shown.conditions, Condition("from")))
        case "more-actions":
            return replace(shown, actions=(*shown.actions, Action("read")))
        case "less-conditions":
            kept = tuple(each for at, each in enumerate(shown.conditions) if at != number)
            return replace(shown, conditions=kept or (Condition("from"),))
        case "less-actions":
            left = tuple(each for at, each in enumerate(shown.actions) if at != number)
            return replace(shown, actions=left or (Action("move"),))
    return shown


def _checked(request: Request, mail: imap.Mail, wanted: Rule) -> tuple[Rule, list[str]]:
    """The rule as it can be kept, and what is wrong with it."""
    problems: list[str] = []
    for each in wanted.conditions:
        if each.field != "all" and not each.value:
            problems.append(_("Please say what to look for."))
        if each.field in ("larger", "smaller") and not re.fullmatch(r"[1-9][0-9]{0,8}", each.value):
            problems.append(_("A size is a number of KB."))
        if each.field == "header" and not re.fullmatch(r"[!-9;-~]{1,100}", each.header):
            problems.append(_("“%s” is not the name of a header.") % each.header)
    names = {folder.name for folder in mail.folders(younger_than=30) if folder.selectable}
    actions = []
    for action in wanted.actions:
        value = action.value
        if action.kind in ("move", "copy") and value not in names:
            problems.append(_("Please choose a folder."))
        elif action.kind == "label":
            known = {label.name: label.keyword for label in labels.known(request.visitor.options.labels).values()}
            value = known.get(value) or label_options.add(request.visitor, value) or ""
            if not value:
                problems.append(_("Please choose a label."))
        elif action.kind in ("forward", "pass"):
            try:
                [person] = typed(value)
                value = person.mail
            except (BadAddress, ValueError):
                problems.append(_("“%s” is not an e-mail address.") % value)
        actions.append(replace(action, value=value))
    header = tuple(replace(each, header=each.header.lower()) for each in wanted.conditions)
    named = wanted.name or wanted.conditions[0].value[:80] or _("Rule")
    return replace(wanted, name=named, conditions=header, actions=tuple(actions)), list(dict.fromkeys(problems))


# --- From a letter --------------------------------------------------------------------------------


@require_POST
@signed_in
@_at_the_server
def block(request: Request, mail: imap.Mail) -> HttpResponse:
    """No more letters of this sender in INBOX: they go to the junk folder."""
    try:
        address = grammar.fold(grammar.parse(request.POST.get("block", "")))
    except grammar.AddressError:
        address = ""
    if "@" not in address or address == grammar.fold(request.visitor.address):
        messages.warning(request, _("This sender cannot be blocked."))
        return redirect("box")
    with _shelf(request) as shelf:
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
@_at_the_server
def away(request: Request, mail: imap.Mail) -> HttpResponse:
    problems: list[str] = []
    with _shelf(request) as shelf:
        if shelf.filters is None:
            return redirect("filters")
        shown = shelf.filters.away
        if request.method == "POST":
            shown, problems = _posted_away(request.POST)
            if not problems and _is_stale(request, shelf):
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
        context = _shown(request, mail, shelf, away=shown, problems=problems, today=date.today().isoformat())  # noqa: DTZ011
        return render(request, "webmail/filter_away.html", context, status=422 if problems else 200)


def _posted_away(post: QueryDict) -> tuple[Away, list[str]]:
    problems: list[str] = []
    days = post.get("days", "")
    shown = Away(
        text=post.get("text", "").replace("\r\n", "\n").replace("\0", "").strip("\n")[:20_000],
        subject=_clean(post.get("subject", "")),
        days=int(days) if re.fullmatch(r"[0-9]{1,3}", days) else 7,
        addresses=tuple(pieces(_clean(post.get("addresses", "")))[:20]),
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
@_at_the_server
def script(request: Request, mail: imap.Mail) -> HttpResponse:
    with _shelf(request) as shelf:
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
        context = _shown(request, mail, shelf, text=text, problem=problem, extensions=sorted(shelf.keeper.extensions))
        return render(request, "webmail/filter_script.html", context, status=422 if problem else 200)
