"""Filters as pages show them, and as the one Sieve script they are stored in: `written` and `read` are each other's
inverse. A script that says more than these pages can show is not touched by them: `read` raises NotOurs.

Rules are `if` commands, their name in the comment before them; a rule that is switched off tests `false` first. The
automatic answer is a `vacation`, blocked senders one rule of their own at the top.
"""

from dataclasses import dataclass, field, replace

from mailcore.wire.sieve import grammar
from mailcore.wire.sieve.grammar import Argument, Node, SieveError, listed, quoted

NAME = "Youju"  # of the script we write
_HEAD = "# Mail filters. Written by the webmail, and read again by it.\n"
_RULE, _BLOCKED, _AWAY = "Rule:", "Blocked senders", "Automatic answer"
FIELDS = ("from", "to", "cc", "anyone", "subject", "body", "header", "list", "larger", "smaller", "all")
HOWS = ("contains", "lacks", "is", "isnot", "matches")
ACTIONS = ("move", "copy", "label", "star", "read", "forward", "pass", "discard")
_HEADERS = {"from": ("from",), "to": ("to",), "cc": ("cc",), "anyone": ("to", "cc"), "subject": ("subject",)}
_FIELDS = {names: field for field, names in _HEADERS.items()}
_TAGS = {"contains": ":contains", "lacks": ":contains", "is": ":is", "isnot": ":is", "matches": ":matches"}
_PEOPLE = ("from", "to", "cc", "anyone")
_FLAGS = {"star": "\\Flagged", "read": "\\Seen"}


class NotOurs(ValueError):
    """The script holds something these pages cannot show."""


@dataclass(frozen=True, slots=True)
class Condition:
    """`field` of FIELDS, `how` of HOWS (of no meaning for sizes and "all"); sizes are in KB; `header` names the field
    where `field` is "header"."""

    field: str
    how: str = "contains"
    value: str = ""
    header: str = ""


@dataclass(frozen=True, slots=True)
class Action:
    """`kind` of ACTIONS; `value` is a folder, a keyword or an address. "forward" keeps no copy, "pass" does."""

    kind: str
    value: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    name: str
    conditions: tuple[Condition, ...]
    actions: tuple[Action, ...]
    any_of: bool = False  # one condition will do
    stop: bool = True  # rules below are not asked
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class Away:
    """The automatic answer; dates as 2026-09-12, "" for no limit."""

    text: str = ""
    subject: str = ""
    days: int = 7
    addresses: tuple[str, ...] = ()
    first: str = ""
    last: str = ""
    enabled: bool = False


@dataclass(frozen=True, slots=True)
class Filters:
    rules: tuple[Rule, ...] = ()
    away: Away = field(default_factory=Away)
    blocked: tuple[str, ...] = ()  # addresses, and domains that begin with "@"
    junk: str = "Junk"  # where letters of blocked senders go

    def with_rule(self, number: int | None, rule: Rule) -> "Filters":
        """With `rule` in place of the one of that number, or at the end."""
        rules = list(self.rules)
        if number is None:
            rules.append(rule)
        else:
            rules[number] = rule
        return replace(self, rules=tuple(rules))


# --- Writing --------------------------------------------------------------------------------------


def written(filters: Filters) -> str:
    parts = []
    if filters.blocked:
        parts.append(_blocked(filters))
    if filters.away.text:
        parts.append(_away(filters.away))
    parts += [_rule(rule) for rule in filters.rules]
    body = "\n".join(parts)
    needed = [name for name, sign in _NEEDED if sign in body]
    require = f"require {listed(needed)};\n\n" if needed else ""
    return _HEAD + require + body


# What a script needs where these words stand in it (perhaps only in a string: then it is one too many).
_NEEDED = (
    ("fileinto", "fileinto "),
    ("copy", ":copy"),
    ("imap4flags", "addflag "),
    ("body", "body :text"),
    ("vacation", "vacation "),
    ("date", "currentdate "),
    ("relational", ":value "),
)


def _blocked(filters: Filters) -> str:
    people = [each for each in filters.blocked if not each.startswith("@")]
    domains = [each[1:] for each in filters.blocked if each.startswith("@")]
    tests = []
    if people:
        tests.append(f'address :is "from" {listed(people)}')
    if domains:
        tests.append(f'address :domain :is "from" {listed(domains)}')
    test = tests[0] if len(tests) == 1 else f"anyof ({', '.join(tests)})"
    return f"# {_BLOCKED}\nif {test} {{\n    fileinto {quoted(filters.junk)};\n    stop;\n}}\n"


def _away(away: Away) -> str:
    tags = f":days {away.days}"
    if away.subject:
        tags += f" :subject {quoted(away.subject)}"
    if away.addresses:
        tags += f" :addresses {listed(away.addresses)}"
    command = f"vacation {tags} {grammar.multiline(away.text)};\n"
    tests = [] if away.enabled else ["false"]
    if away.first:
        tests.append(f'currentdate :value "ge" "date" {quoted(away.first)}')
    if away.last:
        tests.append(f'currentdate :value "le" "date" {quoted(away.last)}')
    if not tests:
        return f"# {_AWAY}\n{command}"
    test = tests[0] if len(tests) == 1 else f"allof ({', '.join(tests)})"
    return f"# {_AWAY}\nif {test} {{\n{command}}}\n"


def _rule(rule: Rule) -> str:
    tests = [_condition(each) for each in rule.conditions]
    test = tests[0] if len(tests) == 1 else f"{'anyof' if rule.any_of else 'allof'} ({', '.join(tests)})"
    if not rule.enabled:
        test = f"allof (false, {test})"
    # Flags first: what is filed below carries them.
    ordered = sorted(rule.actions, key=lambda action: action.kind not in ("label", *_FLAGS))
    commands = [_action(each) for each in ordered] + (["stop;"] if rule.stop else [])
    block = "".join(f"    {command}\n" for command in commands)
    return f"# {_RULE} {' '.join(rule.name.split())}\nif {test} {{\n{block}}}\n"


def _condition(condition: Condition) -> str:
    value, tag = quoted(condition.value), _TAGS.get(condition.how, ":contains")
    negation = "not " if condition.how in ("lacks", "isnot") else ""
    match condition.field:
        case "all":
            return "true"
        case "larger":
            return f"size :over {int(condition.value)}K"
        case "smaller":
            return f"size :under {int(condition.value)}K"
        case "body":
            return f"{negation}body :text {tag} {value}"
        case "list":
            return f'{negation}header {tag} "list-id" {value}'
        case "header":
            return f"{negation}header {tag} {quoted(condition.header.lower())} {value}"
    # A whole address is compared without the name beside it.
    names = listed(_HEADERS[condition.field])
    test = "address" if condition.field in _PEOPLE and tag == ":is" else "header"
    return f"{negation}{test} {tag} {names} {value}"


def _action(action: Action) -> str:
    value = quoted(action.value)
    match action.kind:
        case "move":
            return f"fileinto {value};"
        case "copy":
            return f"fileinto :copy {value};"
        case "label":
            return f"addflag {value};"
        case "forward":
            return f"redirect {value};"
        case "pass":
            return f"redirect :copy {value};"
        case "discard":
            return "discard;"
    return f"addflag {quoted(_FLAGS[action.kind])};"


# --- Reading --------------------------------------------------------------------------------------


def read(text: str) -> Filters:
    """Raises NotOurs."""
    try:
        nodes = grammar.parse(text)
    except SieveError as error:
        raise NotOurs(str(error)) from error
    found = Filters()
    for node in nodes:
        if node.name == "require":
            continue
        if _BLOCKED in node.comment.split("\n"):
            found = _read_blocked(node, found)
        elif (vacation := _vacation_of(node)) is not None:
            if found.away.text:
                raise NotOurs("two automatic answers")
            found = replace(found, away=_read_away(node, vacation))
        else:
            found = replace(found, rules=(*found.rules, _read_rule(node)))
    return found


def _shape(node: Node) -> tuple[str, list[str], list[Argument]]:
    """(name, its tags in order, the other arguments)."""
    tags = [str(argument.value) for argument in node.arguments if argument.kind == "tag"]
    return node.name, tags, [argument for argument in node.arguments if argument.kind != "tag"]


def _strings(argument: Argument) -> tuple[str, ...]:
    if argument.kind == "strings" and isinstance(argument.value, tuple):
        return argument.value
    if argument.kind == "string":
        return (str(argument.value),)
    raise NotOurs(f"line {argument.line}")


def _one(argument: Argument) -> str:
    found = _strings(argument)
    if len(found) != 1:
        raise NotOurs(f"line {argument.line}")
    return found[0]


def _read_blocked(node: Node, found: Filters) -> Filters:
    if node.name != "if" or [each.name for each in node.block or ()] != ["fileinto", "stop"] or found.blocked:
        raise NotOurs(f"line {node.line}")
    [test] = node.tests
    blocked: list[str] = []
    for each in test.tests if test.name == "anyof" else (test,):
        match _shape(each):
            case "address", ["is"], [header, values] if _strings(header) == ("from",):
                blocked += _strings(values)
            case "address", ["domain", "is"], [header, values] if _strings(header) == ("from",):
                blocked += [f"@{value}" for value in _strings(values)]
            case _:
                raise NotOurs(f"line {each.line}")
    junk = (node.block or ())[0]
    if len(junk.arguments) != 1:
        raise NotOurs(f"line {junk.line}")
    return replace(found, blocked=tuple(blocked), junk=_one(junk.arguments[0]))


def _vacation_of(node: Node) -> Node | None:
    if node.name == "vacation":
        return node
    if node.name == "if" and node.block and len(node.block) == 1 and node.block[0].name == "vacation":
        return node.block[0]
    return None


def _read_away(node: Node, vacation: Node) -> Away:
    away = Away(enabled=True)
    waiting = list(vacation.arguments)
    while waiting:
        argument = waiting.pop(0)
        if argument.kind == "tag" and waiting:
            value = waiting.pop(0)
            match argument.value:
                case "days" if isinstance(value.value, int):
                    away = replace(away, days=value.value)
                case "subject":
                    away = replace(away, subject=_one(value))
                case "addresses":
                    away = replace(away, addresses=_strings(value))
                case _:
                    raise NotOurs(f"line {argument.line}")
        else:
            away = replace(away, text=_one(argument).replace("\r\n", "\n").rstrip("\n"))
    for test in _parts(node.tests[0]) if node.name == "if" else ():
        match _shape(test):
            case "false", [], []:
                away = replace(away, enabled=False)
            case "currentdate", ["value"], [relation, part, day] if _one(part) == "date":
                match _one(relation):
                    case "ge":
                        away = replace(away, first=_one(day))
                    case "le":
                        away = replace(away, last=_one(day))
                    case _:
                        raise NotOurs(f"line {test.line}")
            case _:
                raise NotOurs(f"line {test.line}")
    return away


def _parts(test: Node) -> tuple[Node, ...]:
    return test.tests if test.name == "allof" else (test,)


def _read_rule(node: Node) -> Rule:
    if node.name != "if":
        raise NotOurs(f"line {node.line}")
    named = [line[len(_RULE) :].strip() for line in node.comment.split("\n") if line.startswith(_RULE)]
    [test] = node.tests
    enabled = True
    if test.name == "allof" and len(test.tests) == 2 and test.tests[0].name == "false":
        enabled, test = False, test.tests[1]
    any_of = test.name == "anyof"
    tests = test.tests if test.name in ("allof", "anyof") else (test,)
    commands = list(node.block or ())
    stop = bool(commands) and commands[-1].name == "stop"
    return Rule(
        name=named[-1] if named else "",
        conditions=tuple(_read_condition(each) for each in tests),
        actions=tuple(_read_action(each) for each in (commands[:-1] if stop else commands)),
        any_of=any_of,
        stop=stop,
        enabled=enabled,
    )


def _read_condition(test: Node) -> Condition:
    negated = test.name == "not"
    if negated:
        [test] = test.tests
    hows = {"contains": ("contains", "lacks"), "is": ("is", "isnot"), "matches": ("matches", "")}
    match _shape(test):
        case "true", [], [] if not negated:
            return Condition("all", "contains")
        case "size", [way], [limit] if not negated and isinstance(limit.value, int) and limit.value % 1024 == 0:
            return Condition("larger" if way == "over" else "smaller", "contains", str(limit.value // 1024))
        case "body", ["text", way], [value] if how := hows.get(way, ("", ""))[negated]:
            return Condition("body", how, _one(value))
        case ("header" | "address") as kind, [way], [names, value] if how := hows.get(way, ("", ""))[negated]:
            fields = tuple(name.lower() for name in _strings(names))
            found = _FIELDS.get(fields, "list" if fields == ("list-id",) else "header")
            if len(fields) > 1 and found == "header":
                raise NotOurs(f"line {test.line}")
            if (kind == "address") != (found in _PEOPLE and way == "is"):
                raise NotOurs(f"line {test.line}")
            return Condition(found, how, _one(value), fields[0] if found == "header" else "")
    raise NotOurs(f"line {test.line}")


def _read_action(command: Node) -> Action:
    if command.block is not None or command.tests:
        raise NotOurs(f"line {command.line}")
    match _shape(command):
        case "fileinto", [], [name]:
            return Action("move", _one(name))
        case "fileinto", ["copy"], [name]:
            return Action("copy", _one(name))
        case "addflag", [], [flag]:
            value = _one(flag)
            marks = {mark.lower(): kind for kind, mark in _FLAGS.items()}
            if value.startswith("\\") and value.lower() not in marks:
                raise NotOurs(f"line {command.line}")
            return Action(marks[value.lower()]) if value.lower() in marks else Action("label", value)
        case "redirect", [], [address]:
            return Action("forward", _one(address))
        case "redirect", ["copy"], [address]:
            return Action("pass", _one(address))
        case "discard", [], []:
            return Action("discard")
    raise NotOurs(f"line {command.line}")
