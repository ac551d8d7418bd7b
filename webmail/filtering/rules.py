"""Mail filters as pages show them, stored as one Sieve script.

`render_script` and `parse_script` are each other's inverse. `parse_script` raises `UnknownScript` for a script that
says more than these pages can show, and such a script is never changed.

Rules are `if` commands with their name in the comment before them; a disabled rule tests `false` first. The automatic
reply is a `vacation` command; blocked senders are one rule at the top.
"""

from dataclasses import dataclass, field, replace

from mailcore.wire.sieve import script_parser
from mailcore.wire.sieve.script_parser import Argument, Node, SieveError, format_string_list, quote_string

NAME = "Youju"  # name of the script we write
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


class UnknownScript(ValueError):
    """The script has something these pages cannot show."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A test of one message property.

    `field` is one of FIELDS and `how` one of HOWS (unused for sizes and "all"); sizes are in KB; `header` names the
    header field if `field` is "header".
    """

    field: str
    how: str = "contains"
    value: str = ""
    header: str = ""


@dataclass(frozen=True, slots=True)
class Action:
    """An action of a rule.

    `kind` is one of ACTIONS; `value` is a folder, a keyword or an address. "forward" keeps no copy, "pass" does.
    """

    kind: str
    value: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    name: str
    conditions: tuple[Condition, ...]
    actions: tuple[Action, ...]
    any_of: bool = False  # any condition suffices
    stop: bool = True  # later rules are skipped after a match
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class VacationSettings:
    """The automatic reply; dates as 2026-09-12, "" for no limit."""

    text: str = ""
    subject: str = ""
    days: int = 7
    addresses: tuple[str, ...] = ()
    first: str = ""
    last: str = ""
    enabled: bool = False


@dataclass(frozen=True, slots=True)
class FilterSet:
    rules: tuple[Rule, ...] = ()
    away: VacationSettings = field(default_factory=VacationSettings)
    blocked: tuple[str, ...] = ()  # addresses, and domains with a leading "@"
    junk: str = "Junk"  # destination of messages from blocked senders

    def with_rule(self, number: int | None, rule: Rule) -> "FilterSet":
        """Return the filters with `rule` in place of rule `number`, or added at the end if that is None."""
        rules = list(self.rules)
        if number is None:
            rules.append(rule)
        else:
            rules[number] = rule
        return replace(self, rules=tuple(rules))


# --- Writing --------------------------------------------------------------------------------------


def render_script(filters: FilterSet) -> str:
    parts = []
    if filters.blocked:
        parts.append(_render_blocked(filters))
    if filters.away.text:
        parts.append(_render_vacation(filters.away))
    parts += [_render_rule(rule) for rule in filters.rules]
    body = "\n".join(parts)
    needed = [name for name, sign in _NEEDED if sign in body]
    require = f"require {format_string_list(needed)};\n\n" if needed else ""
    return _HEAD + require + body


# Extensions required by these words of a script; in a string a word may require one too many.
_NEEDED = (
    ("fileinto", "fileinto "),
    ("copy", ":copy"),
    ("imap4flags", "addflag "),
    ("body", "body :text"),
    ("vacation", "vacation "),
    ("date", "currentdate "),
    ("relational", ":value "),
)


def _render_blocked(filters: FilterSet) -> str:
    people = [each for each in filters.blocked if not each.startswith("@")]
    domains = [each[1:] for each in filters.blocked if each.startswith("@")]
    tests = []
    if people:
        tests.append(f'address :is "from" {format_string_list(people)}')
    if domains:
        tests.append(f'address :domain :is "from" {format_string_list(domains)}')
    test = tests[0] if len(tests) == 1 else f"anyof ({', '.join(tests)})"
    return f"# {_BLOCKED}\nif {test} {{\n    fileinto {quote_string(filters.junk)};\n    stop;\n}}\n"


def _render_vacation(away: VacationSettings) -> str:
    tags = f":days {away.days}"
    if away.subject:
        tags += f" :subject {quote_string(away.subject)}"
    if away.addresses:
        tags += f" :addresses {format_string_list(away.addresses)}"
    command = f"vacation {tags} {script_parser.format_multiline(away.text)};\n"
    tests = [] if away.enabled else ["false"]
    if away.first:
        tests.append(f'currentdate :value "ge" "date" {quote_string(away.first)}')
    if away.last:
        tests.append(f'currentdate :value "le" "date" {quote_string(away.last)}')
    if not tests:
        return f"# {_AWAY}\n{command}"
    test = tests[0] if len(tests) == 1 else f"allof ({', '.join(tests)})"
    return f"# {_AWAY}\nif {test} {{\n{command}}}\n"


def _render_rule(rule: Rule) -> str:
    tests = [_render_condition(each) for each in rule.conditions]
    test = tests[0] if len(tests) == 1 else f"{'anyof' if rule.any_of else 'allof'} ({', '.join(tests)})"
    if not rule.enabled:
        test = f"allof (false, {test})"
    # Flags come first, so that the copies filed below have them.
    ordered = sorted(rule.actions, key=lambda action: action.kind not in ("label", *_FLAGS))
    commands = [_render_action(each) for each in ordered] + (["stop;"] if rule.stop else [])
    block = "".join(f"    {command}\n" for command in commands)
    return f"# {_RULE} {' '.join(rule.name.split())}\nif {test} {{\n{block}}}\n"


def _render_condition(condition: Condition) -> str:
    value, tag = quote_string(condition.value), _TAGS.get(condition.how, ":contains")
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
            return f"{negation}header {tag} {quote_string(condition.header.lower())} {value}"
    # An "is" comparison of people tests the address alone, without the display name.
    names = format_string_list(_HEADERS[condition.field])
    test = "address" if condition.field in _PEOPLE and tag == ":is" else "header"
    return f"{negation}{test} {tag} {names} {value}"


def _render_action(action: Action) -> str:
    value = quote_string(action.value)
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
    return f"addflag {quote_string(_FLAGS[action.kind])};"


# --- Reading --------------------------------------------------------------------------------------


def parse_script(text: str) -> FilterSet:
    """Parse a script these pages wrote.

    Raise `UnknownScript`.
    """
    try:
        nodes = script_parser.parse_script(text)
    except SieveError as error:
        raise UnknownScript(str(error)) from error
    found = FilterSet()
    for node in nodes:
        if node.name == "require":
            continue
        if _BLOCKED in node.comment.split("\n"):
            found = _read_blocked(node, found)
        elif (vacation := _vacation_of(node)) is not None:
            if found.away.text:
                raise UnknownScript("two automatic replies")
            found = replace(found, away=_read_away(node, vacation))
        else:
            found = replace(found, rules=(*found.rules, _read_rule(node)))
    return found


def _shape(node: Node) -> tuple[str, list[str], list[Argument]]:
    """Return (name, tags in their order, other arguments)."""
    tags = [str(argument.value) for argument in node.arguments if argument.kind == "tag"]
    return node.name, tags, [argument for argument in node.arguments if argument.kind != "tag"]


def _strings(argument: Argument) -> tuple[str, ...]:
    if argument.kind == "strings" and isinstance(argument.value, tuple):
        return argument.value
    if argument.kind == "string":
        return (str(argument.value),)
    raise UnknownScript(f"line {argument.line}")


def _single_string(argument: Argument) -> str:
    found = _strings(argument)
    if len(found) != 1:
        raise UnknownScript(f"line {argument.line}")
    return found[0]


def _read_blocked(node: Node, found: FilterSet) -> FilterSet:
    if node.name != "if" or [each.name for each in node.block or ()] != ["fileinto", "stop"] or found.blocked:
        raise UnknownScript(f"line {node.line}")
    [test] = node.tests
    blocked: list[str] = []
    for each in test.tests if test.name == "anyof" else (test,):
        match _shape(each):
            case "address", ["is"], [header, values] if _strings(header) == ("from",):
                blocked += _strings(values)
            case "address", ["domain", "is"], [header, values] if _strings(header) == ("from",):
                blocked += [f"@{value}" for value in _strings(values)]
            case _:
                raise UnknownScript(f"line {each.line}")
    junk = (node.block or ())[0]
    if len(junk.arguments) != 1:
        raise UnknownScript(f"line {junk.line}")
    return replace(found, blocked=tuple(blocked), junk=_single_string(junk.arguments[0]))


def _vacation_of(node: Node) -> Node | None:
    if node.name == "vacation":
        return node
    if node.name == "if" and node.block and len(node.block) == 1 and node.block[0].name == "vacation":
        return node.block[0]
    return None


def _read_away(node: Node, vacation: Node) -> VacationSettings:
    away = VacationSettings(enabled=True)
    arguments_left = list(vacation.arguments)
    while arguments_left:
        argument = arguments_left.pop(0)
        if argument.kind == "tag" and arguments_left:
            value = arguments_left.pop(0)
            match argument.value:
                case "days" if isinstance(value.value, int):
                    away = replace(away, days=value.value)
                case "subject":
                    away = replace(away, subject=_single_string(value))
                case "addresses":
                    away = replace(away, addresses=_strings(value))
                case _:
                    raise UnknownScript(f"line {argument.line}")
        else:
            away = replace(away, text=_single_string(argument).replace("\r\n", "\n").rstrip("\n"))
    for test in _parts(node.tests[0]) if node.name == "if" else ():
        match _shape(test):
            case "false", [], []:
                away = replace(away, enabled=False)
            case "currentdate", ["value"], [relation, part, day] if _single_string(part) == "date":
                match _single_string(relation):
                    case "ge":
                        away = replace(away, first=_single_string(day))
                    case "le":
                        away = replace(away, last=_single_string(day))
                    case _:
                        raise UnknownScript(f"line {test.line}")
            case _:
                raise UnknownScript(f"line {test.line}")
    return away


def _parts(test: Node) -> tuple[Node, ...]:
    return test.tests if test.name == "allof" else (test,)


def _read_rule(node: Node) -> Rule:
    if node.name != "if":
        raise UnknownScript(f"line {node.line}")
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
        case "size", [match_tag], [limit] if not negated and isinstance(limit.value, int) and limit.value % 1024 == 0:
            return Condition("larger" if match_tag == "over" else "smaller", "contains", str(limit.value // 1024))
        case "body", ["text", match_tag], [value] if how := hows.get(match_tag, ("", ""))[negated]:
            return Condition("body", how, _single_string(value))
        case ("header" | "address") as kind, [match_tag], [names, value] if how := hows.get(match_tag, ("", ""))[
            negated
        ]:
            fields = tuple(name.lower() for name in _strings(names))
            found = _FIELDS.get(fields, "list" if fields == ("list-id",) else "header")
            if len(fields) > 1 and found == "header":
                raise UnknownScript(f"line {test.line}")
            if (kind == "address") != (found in _PEOPLE and match_tag == "is"):
                raise UnknownScript(f"line {test.line}")
            return Condition(found, how, _single_string(value), fields[0] if found == "header" else "")
    raise UnknownScript(f"line {test.line}")


def _read_action(command: Node) -> Action:
    if command.block is not None or command.tests:
        raise UnknownScript(f"line {command.line}")
    match _shape(command):
        case "fileinto", [], [name]:
            return Action("move", _single_string(name))
        case "fileinto", ["copy"], [name]:
            return Action("copy", _single_string(name))
        case "addflag", [], [flag]:
            value = _single_string(flag)
            marks = {mark.lower(): kind for kind, mark in _FLAGS.items()}
            if value.startswith("\\") and value.lower() not in marks:
                raise UnknownScript(f"line {command.line}")
            return Action(marks[value.lower()]) if value.lower() in marks else Action("label", value)
        case "redirect", [], [address]:
            return Action("forward", _single_string(address))
        case "redirect", ["copy"], [address]:
            return Action("pass", _single_string(address))
        case "discard", [], []:
            return Action("discard")
    raise UnknownScript(f"line {command.line}")
