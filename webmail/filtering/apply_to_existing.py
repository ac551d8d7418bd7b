"""A new rule applied to messages that are there already: found by the server's search, looked at once more, and then
done with as the rule says, but for what cannot be undone: nothing is forwarded or deleted in hindsight.
"""

from collections.abc import Sequence

from mailcore.wire.sieve import comparison
from webmail.filtering.rules import Action, Condition, Rule
from webmail.mailserver import imap_client
from webmail.values.addresses import Address
from webmail.values.message_summary import MessageSummary
from webmail.values.search_keys import AllOf, AnyOf, FieldContains, Header, Key, Not, Size

AT_MOST = 2000  # messages, the newest
_ALL = AllOf(())
_ON_ROWS = ("from", "to", "cc", "anyone", "subject")


class RuleNotSearchable(ValueError):
    """The rule asks what no search can tell."""


def apply_rule(mail: imap_client.MailSession, rule: Rule, box: str) -> int:
    """How many messages of the folder were treated as the rule says. Raises Unfit."""
    wanted = [_search_key(each) for each in rule.conditions]
    doable = [action for action in rule.actions if action.kind in ("label", "star", "read", "copy", "move")]
    if not doable:
        raise RuleNotSearchable
    key = (AnyOf(tuple(wanted)) if _ALL not in wanted else _ALL) if rule.any_of else AllOf(tuple(wanted))
    mail.open(box)
    found = mail.search(key)[:AT_MOST]
    # Where any condition will do, those that only the server can judge are asked for alone.
    alone = [key for key, each in zip(wanted, rule.conditions, strict=True) if each.field not in _ON_ROWS]
    judged = set(mail.search(AnyOf(tuple(alone)))) if rule.any_of and alone and found else set()
    uids = [row.uid for row in mail.summaries_of(found) if row.uid in judged or _matches_rule(rule, row)]
    if uids:
        # Where a message is moved to comes last; several copies may come before.
        for action in sorted(doable, key=lambda each: ("label", "star", "read", "copy", "move").index(each.kind)):
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
    """Messages that may fit: all that do are among them. `_fits` looks at the rest."""
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
        case field if field in _ON_ROWS:
            return _ALL
    if how not in ("contains", "lacks"):
        raise RuleNotSearchable
    names = {"list": "List-Id", "header": condition.header}
    found: Key = FieldContains("body", value) if condition.field == "body" else Header(names[condition.field], value)
    return found if how == "contains" else Not(found)


def _matches_rule(rule: Rule, row: MessageSummary) -> bool:
    """What a row can tell, it tells exactly; what it cannot, the search has."""
    told = [_matches_condition(each, row) for each in rule.conditions]
    return True in told if rule.any_of else False not in told


def _matches_condition(condition: Condition, row: MessageSummary) -> bool | None:
    """None: a row does not tell."""
    if condition.field not in _ON_ROWS:
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
    found = any(
        comparison.compare(kind, comparison.DEFAULT, "", value, condition.value) is not None for value in values
    )
    return found != (condition.how in ("lacks", "isnot"))
