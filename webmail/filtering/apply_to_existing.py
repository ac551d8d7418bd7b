"""Applying a new rule to existing messages, found by the server's search and checked again by their summary.

Actions that cannot be undone (forward, discard) are never applied retroactively.
"""

from collections.abc import Sequence

from mailcore.wire.sieve import comparison
from webmail.filtering.rules import Action, Condition, Rule
from webmail.mailserver import imap_client
from webmail.values.addresses import Address
from webmail.values.message_summary import MessageSummary
from webmail.values.search_keys import AllOf, AnyOf, FieldContains, Header, Key, Not, Size

MAX_MESSAGES = 2000  # newest messages of the folder
_ALL = AllOf(())
_SUMMARY_FIELDS = ("from", "to", "cc", "anyone", "subject")


class RuleNotSearchable(ValueError):
    """The rule has a condition that no IMAP search can express."""


def apply_rule(mail: imap_client.MailSession, rule: Rule, box: str) -> int:
    """Apply the rule to the folder; return how many messages matched.

    Raise `RuleNotSearchable`.
    """
    condition_keys = [_search_key(each) for each in rule.conditions]
    applicable = [action for action in rule.actions if action.kind in ("label", "star", "read", "copy", "move")]
    if not applicable:
        raise RuleNotSearchable
    key = (
        (AnyOf(tuple(condition_keys)) if _ALL not in condition_keys else _ALL)
        if rule.any_of
        else AllOf(tuple(condition_keys))
    )
    mail.open(box)
    matches = mail.search(key)[:MAX_MESSAGES]
    # If any condition suffices, those that only the server can evaluate are searched for separately.
    server_only_keys = [
        key for key, each in zip(condition_keys, rule.conditions, strict=True) if each.field not in _SUMMARY_FIELDS
    ]
    matched_by_server = (
        set(mail.search(AnyOf(tuple(server_only_keys)))) if rule.any_of and server_only_keys and matches else set()
    )
    uids = [row.uid for row in mail.summaries_of(matches) if row.uid in matched_by_server or _matches_rule(rule, row)]
    if uids:
        # The move is last, because copies are made from the messages where they are now.
        for action in sorted(applicable, key=lambda each: ("label", "star", "read", "copy", "move").index(each.kind)):
            _do_action(mail, uids, action)
    return len(uids)


def _do_action(mail: imap_client.MailSession, uids: Sequence[int], action: Action) -> None:
    match action.kind:
        case "label":
            mail.set_flag(uids, action.value, on=True)
        case "star":
            mail.set_flag(uids, "flagged", on=True)
        case "read":
            mail.set_flag(uids, "seen", on=True)
        case "copy":
            mail.copy(uids, action.value)
        case "move":
            mail.move(uids, action.value)


def _search_key(condition: Condition) -> Key:
    """Return a search key for candidates: every match is among them, and `_matches_rule` excludes the others."""
    how, value = condition.how, condition.value
    match condition.field:
        case "all":
            return _ALL
        case "larger" | "smaller":
            return Size(condition.field == "larger", int(value) * 1024)
        case "anyone" if how in ("contains", "is"):
            return AnyOf((FieldContains("to", value), FieldContains("cc", value)))
        case ("from" | "to" | "cc" | "subject") as field if how in ("contains", "is"):
            return FieldContains(field, value)
        case field if field in _SUMMARY_FIELDS:
            return _ALL
    if how not in ("contains", "lacks"):
        raise RuleNotSearchable
    names = {"list": "List-Id", "header": condition.header}
    search_key: Key = (
        FieldContains("body", value) if condition.field == "body" else Header(names[condition.field], value)
    )
    return search_key if how == "contains" else Not(search_key)


def _matches_rule(rule: Rule, row: MessageSummary) -> bool:
    """Return True if the summary matches the rule; conditions it cannot evaluate were evaluated by the search."""
    outcomes = [_matches_condition(each, row) for each in rule.conditions]
    return True in outcomes if rule.any_of else False not in outcomes


def _matches_condition(condition: Condition, row: MessageSummary) -> bool | None:
    """Return whether the summary matches, or None if it does not have the field."""
    if condition.field not in _SUMMARY_FIELDS:
        return None
    people: dict[str, tuple[Address, ...]] = {
        "from": row.senders,
        "to": row.recipients,
        "cc": row.copied,
        "anyone": (*row.recipients, *row.copied),
    }
    whole = condition.how in ("is", "isnot")
    if condition.field == "subject":
        values = [row.subject]
    else:
        values = [each.mail if whole else f"{each.name} <{each.mail}>" for each in people[condition.field]]
    kind = {"is": "is", "isnot": "is", "matches": "matches"}.get(condition.how, "contains")
    matches = any(
        comparison.compare(kind, comparison.DEFAULT, "", value, condition.value) is not None for value in values
    )
    return matches != (condition.how in ("lacks", "isnot"))
