"""One filter rule: its conditions and actions, row by row, and their validation."""

import re
from dataclasses import replace

from django.contrib import messages
from django.http import Http404, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from webmail.account import edit_labels
from webmail.account.session import Request, requires_login
from webmail.filtering import apply_to_existing, rules
from webmail.filtering.rules import Action, Condition, Rule
from webmail.mailserver import imap_client, sieve_client
from webmail.values import labels
from webmail.values.addresses import InvalidAddress, parse_typed
from webmail.views import layout
from webmail.views.settings.filter_script import (
    ACTIONS,
    FIELDS,
    HOWS,
    FilterScript,
    clean_text,
    is_stale,
    open_script,
    script_context,
    with_script_errors,
)

MAX_ROWS = 20  # conditions, or actions, of one rule


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@requires_login
@with_script_errors
def rule_page(request: Request, mail: imap_client.MailSession, number: int | None = None) -> HttpResponse:
    """Edit a rule or a new one, perhaps started from a message (?from=…&list=…&subject=…)."""
    with open_script(request) as script:
        if script.filters is None:
            return redirect("filters")
        if number is not None and number >= len(script.filters.rules):
            raise Http404
        if request.method != "POST":
            initial = script.filters.rules[number] if number is not None else _rule_from_message(request.GET)
            return _rule_page(request, mail, script, initial, number)
        rule = _posted_rule(request.POST)
        action_name, _colon, which = request.POST.get("do", "").partition(":")
        if action_name != "save":
            return _rule_page(request, mail, script, _resize_rows(rule, action_name, which), number)
        rule, problems = _validate_rule(request, mail, rule)
        if problems:
            return _rule_page(request, mail, script, rule, number, problems)
        if is_stale(request, script):
            return redirect("filters")
        try:
            script.save(script.filters.with_rule(number, rule))
        except sieve_client.SieveRefused as refusal:
            return _rule_page(request, mail, script, rule, number, [str(refusal)])
    messages.success(request, _("The rule was saved. It is applied to messages from now on."))
    if request.POST.get("now") == "1":
        _apply_now(request, mail, rule)
    return redirect("filters")


def _apply_now(request: Request, mail: imap_client.MailSession, rule: Rule) -> None:
    try:
        count = apply_to_existing.apply_rule(mail, rule, layout.INBOX)
    except apply_to_existing.RuleNotSearchable:
        messages.info(request, _("The rule was not applied to the inbox: it only works as messages arrive."))
    else:
        text = ngettext(
            "The rule was applied to %d message in the inbox.",
            "The rule was applied to %d messages in the inbox.",
            count,
        )
        messages.success(request, text % count)


def _rule_page(
    request: Request,
    mail: imap_client.MailSession,
    script: FilterScript,
    shown: Rule,
    number: int | None,
    problems: list[str] | None = None,
) -> HttpResponse:
    names = {label.keyword: label.name for label in labels.load_labels(request.visitor.options.labels).values()}
    context = script_context(request, mail, script) | {
        "rule": shown,
        "number": number,
        "problems": problems or [],
        "fields": FIELDS,
        "hows": HOWS,
        "actions": ACTIONS,
        "targets": [folder for folder in mail.folders(younger_than=30) if folder.selectable],
        "label_names": names,
        "done": [(each.kind, each.value, names.get(each.value, each.value)) for each in shown.actions],
        "most": MAX_ROWS,
        "now": request.POST.get("now") == "1" or "from" in request.GET,
    }
    return render(request, "webmail/filter_rule.html", context, status=422 if problems else 200)


def _rule_from_message(given: QueryDict) -> Rule:
    """Return a rule that matches messages like the one a link came from."""
    conditions = []
    for name, how in (("list", "contains"), ("from", "is"), ("subject", "contains")):
        value = clean_text(given.get(name, ""))
        if name == "list" and (match := re.search(r"<[^<>]+>", value)):
            value = match[0]  # the id without the description before it, which changes
        if value and not conditions:
            conditions.append(Condition(name, how, value))
    name = conditions[0].value[:80] if conditions else ""
    return Rule(name, tuple(conditions) or (Condition("from"),), (Action("move"),))


def _posted_rule(post: QueryDict) -> Rule:
    """Return the rule as typed, valid or not."""
    rows = zip(post.getlist("field"), post.getlist("how"), post.getlist("value"), post.getlist("header"), strict=False)
    known = {name for name, _words in FIELDS}
    conditions = tuple(
        Condition(
            field if field in known else "from",
            how if how in rules.HOWS else "contains",
            clean_text(value),
            clean_text(header) if field == "header" else "",
        )
        for field, how, value, header in rows
    )
    done = zip(
        post.getlist("act"), post.getlist("folder"), post.getlist("label"), post.getlist("address"), strict=False
    )
    actions = []
    for kind, folder, label, address in done:
        value = {"move": folder, "copy": folder, "label": label, "forward": address, "pass": address}.get(kind, "")
        actions.append(Action(kind if kind in rules.ACTIONS else "move", clean_text(value)))
    return Rule(
        name=clean_text(post.get("name", ""))[:100],
        conditions=conditions[:MAX_ROWS] or (Condition("from"),),
        actions=tuple(actions[:MAX_ROWS]) or (Action("move"),),
        any_of=post.get("of") == "any",
        stop=post.get("stop") == "1",
        enabled=post.get("enabled") == "1",
    )


def _resize_rows(shown: Rule, action_name: str, which: str) -> Rule:
    """Add or remove one row."""
    number = int(which) if which.isdecimal() and len(which) < 5 else -1
    match action_name:
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


def _validate_rule(request: Request, mail: imap_client.MailSession, rule: Rule) -> tuple[Rule, list[str]]:
    """Return the rule as it can be stored, and the problems in it."""
    problems: list[str] = []
    for each in rule.conditions:
        if each.field != "all" and not each.value:
            problems.append(_("Please say what to look for."))
        if each.field in ("larger", "smaller") and not re.fullmatch(r"[1-9][0-9]{0,8}", each.value):
            problems.append(_("A size is a number of KB."))
        if each.field == "header" and not re.fullmatch(r"[!-9;-~]{1,100}", each.header):
            problems.append(_("“%s” is not the name of a header.") % each.header)
    names = {folder.name for folder in mail.folders(younger_than=30) if folder.selectable}
    actions = []
    for action in rule.actions:
        value = action.value
        if action.kind in ("move", "copy") and value not in names:
            problems.append(_("Please choose a folder."))
        elif action.kind == "label":
            known = {label.name: label.keyword for label in labels.load_labels(request.visitor.options.labels).values()}
            value = known.get(value) or edit_labels.add_label(request.visitor, value) or ""
            if not value:
                problems.append(_("Please choose a label."))
        elif action.kind in ("forward", "pass"):
            try:
                [person] = parse_typed(value)
                value = person.mail
            except (InvalidAddress, ValueError):
                problems.append(_("“%s” is not an e-mail address.") % value)
        actions.append(replace(action, value=value))
    header = tuple(replace(each, header=each.header.lower()) for each in rule.conditions)
    named = rule.name or rule.conditions[0].value[:80] or _("Rule")
    return replace(rule, name=named, conditions=header, actions=tuple(actions)), list(dict.fromkeys(problems))
