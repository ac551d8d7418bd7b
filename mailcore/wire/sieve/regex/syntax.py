r"""Parser of patterns into trees, as glibc's regcomp reads them with REG_EXTENDED.

That is the grammar of POSIX 1003.2 §9.4, and where POSIX leaves it open: a ) without ( is a character, {,3} is {0,3},
an empty branch matches the empty string, \\w \\s \\b \\< and the like are known. Back-references are refused: no
automaton has them.
"""

from collections.abc import Callable
from dataclasses import dataclass

MAX_REPEAT = 32767  # RE_DUP_MAX of glibc; what such an interval may cost is limited by RegexLimits.states
_MAX_DEPTH = 100  # nested groups and intervals: every one takes four frames of Python's stack of 1000
_STAR, _PLUS, _OPTIONAL = (0, -1), (1, -1), (0, 1)
_REPEATS = {"*": _STAR, "+": _PLUS, "?": _OPTIONAL}


class RegexError(ValueError):
    """The pattern is not one of POSIX, or too large; the text says why."""


@dataclass(frozen=True, slots=True)
class RegexLimits:
    """Limits of one pattern: its characters, and the states of its automaton with repetitions written out."""

    length: int = 4000
    states: int = 4000


DEFAULT_LIMITS = RegexLimits()


@dataclass(frozen=True, slots=True)
class Symbol:
    """One character: any of `signs`, or one for which `test` holds."""

    signs: str = ""
    test: Callable[[str], bool] | None = None


@dataclass(frozen=True, slots=True)
class Assertion:
    """A place between characters, by the sign of its escape: "`" start, "'" end, "b" "B" "<" ">" edges of words."""

    kind: str


@dataclass(frozen=True, slots=True)
class Sequence:
    items: tuple["Tree", ...]


@dataclass(frozen=True, slots=True)
class Alternatives:
    branches: tuple["Tree", ...]


@dataclass(frozen=True, slots=True)
class Group:
    number: int
    inner: "Tree"


@dataclass(frozen=True, slots=True)
class Repeat:
    """Between `least` and `most` times `inner`; `most` -1: no limit."""

    inner: "Tree"
    least: int
    most: int


Tree = Symbol | Assertion | Sequence | Alternatives | Group | Repeat

_CLASSES: dict[str, Callable[[str], bool]] = {
    "alpha": str.isalpha,
    "digit": lambda sign: "0" <= sign <= "9",
    "alnum": lambda sign: sign.isalpha() or "0" <= sign <= "9",
    "upper": str.isupper,
    "lower": str.islower,
    "space": str.isspace,
    "blank": lambda sign: sign in " \t",
    "punct": lambda sign: sign.isprintable() and not sign.isalnum() and not sign.isspace(),
    "print": str.isprintable,
    "graph": lambda sign: sign.isprintable() and not sign.isspace(),
    "cntrl": lambda sign: sign < " " or "\x7f" <= sign < "\xa0",
    "xdigit": lambda sign: sign in "0123456789abcdefABCDEF",
}
# Collating symbols of more than one letter (POSIX 1003.1 §6.1) that are no letters or digits of the alphabet.
_COLLATING = {
    "NUL": "\0",
    "alert": "\a",
    "backspace": "\b",
    "tab": "\t",
    "newline": "\n",
    "vertical-tab": "\v",
    "form-feed": "\f",
    "carriage-return": "\r",
    "space": " ",
    "exclamation-mark": "!",
    "quotation-mark": '"',
    "number-sign": "#",
    "dollar-sign": "$",
    "percent-sign": "%",
    "ampersand": "&",
    "apostrophe": "'",
    "left-parenthesis": "(",
    "right-parenthesis": ")",
    "asterisk": "*",
    "plus-sign": "+",
    "comma": ",",
    "hyphen": "-",
    "hyphen-minus": "-",
    "period": ".",
    "full-stop": ".",
    "slash": "/",
    "solidus": "/",
    "zero": "0",
    "one": "1",
    "two": "2",
    "three": "3",
    "four": "4",
    "five": "5",
    "six": "6",
    "seven": "7",
    "eight": "8",
    "nine": "9",
    "colon": ":",
    "semicolon": ";",
    "less-than-sign": "<",
    "equals-sign": "=",
    "greater-than-sign": ">",
    "question-mark": "?",
    "commercial-at": "@",
    "left-square-bracket": "[",
    "backslash": "\\",
    "reverse-solidus": "\\",
    "right-square-bracket": "]",
    "circumflex": "^",
    "circumflex-accent": "^",
    "underscore": "_",
    "low-line": "_",
    "grave-accent": "`",
    "tilde": "~",
    "DEL": "\x7f",
    "left-brace": "{",
    "left-curly-bracket": "{",
    "vertical-line": "|",
    "right-brace": "}",
    "right-curly-bracket": "}",
}


def is_word(sign: str) -> bool:
    r"""Return True for the characters of words, \\w."""
    return sign == "_" or _CLASSES["alnum"](sign)


_ANY = Symbol(test=lambda _sign: True)
_ESCAPES: dict[str, Tree] = {
    "w": Symbol(test=is_word),
    "W": Symbol(test=lambda sign: not is_word(sign)),
    "s": Symbol(test=str.isspace),
    "S": Symbol(test=lambda sign: not sign.isspace()),
    **{sign: Assertion(sign) for sign in "`'bB<>"},
}


def parse_pattern(pattern: str, *, ignore_case: bool) -> tuple[Tree, int]:
    """Return (tree, number of groups); raise RegexError."""
    parser = _Parser(pattern, ignore_case)
    return parser.alternatives(0), parser.groups


class _Parser:
    def __init__(self, pattern: str, ignore_case: bool) -> None:
        self._pattern = pattern
        self._at = 0
        self._ignore_case = ignore_case
        self.groups = 0

    def _peek(self) -> str:
        return self._pattern[self._at : self._at + 1]

    def _take(self) -> str:
        sign = self._peek()
        if not sign:
            raise RegexError("the pattern ends too early")
        self._at += 1
        return sign

    def alternatives(self, depth: int) -> Tree:
        if depth > _MAX_DEPTH:
            raise RegexError("too many nested groups")
        branches = [self._branch(depth)]
        while self._peek() == "|":
            self._at += 1
            branches.append(self._branch(depth))
        return branches[0] if len(branches) == 1 else Alternatives(tuple(branches))

    def _branch(self, depth: int) -> Tree:
        items: list[Tree] = []
        while (sign := self._peek()) not in ("", "|") and not (sign == ")" and depth):
            item = self._atom(depth)
            nested = depth
            # After ^ and the like a repetition has nothing to repeat, and is taken for an atom.
            while not isinstance(item, Assertion) and (sign := self._peek()) and sign in "*+?{":
                item = self._repeat(item)
                nested += sign == "{"
                if nested > _MAX_DEPTH:
                    raise RegexError("too many repetitions of repetitions")
            items.append(item)
        return items[0] if len(items) == 1 else Sequence(tuple(items))

    def _repeat(self, item: Tree) -> Tree:
        sign = self._take()
        if sign == "{":
            return Repeat(item, *self._interval())
        least, most = _REPEATS[sign]
        if isinstance(item, Repeat) and (item.least, item.most) in _REPEATS.values():
            return Repeat(item.inner, item.least * least, 1 if item.most == most == 1 else -1)
        return Repeat(item, least, most)

    def _interval(self) -> tuple[int, int]:
        end = self._pattern.find("}", self._at)
        least, comma, most = self._pattern[self._at : max(end, self._at)].partition(",")
        written = least + most
        if end < 0 or not (least or comma) or (written and not (written.isascii() and written.isdigit())):
            raise RegexError("a { without numbers and }")
        self._at = end + 1
        low = _bounded_number(least or "0")
        high = (_bounded_number(most) if most else -1) if comma else low
        if low > MAX_REPEAT or high > MAX_REPEAT:
            raise RegexError(f"an interval of more than {MAX_REPEAT}")
        if -1 < high < low:
            raise RegexError("an interval that cannot be")
        return low, high

    def _atom(self, depth: int) -> Tree:
        sign = self._take()
        match sign:
            case "(":
                self.groups += 1
                number = self.groups
                tree = self.alternatives(depth + 1)
                if self._peek() != ")":
                    raise RegexError("a ( without )")
                self._at += 1
                return Group(number, tree)
            case "*" | "+" | "?" | "{":
                raise RegexError(f"a {sign} with nothing to repeat")
            case "^":
                return Assertion("`")
            case "$":
                return Assertion("'")
            case ".":
                return _ANY
            case "[":
                return self._bracket()
            case "\\":
                return self._escape()
        return self._literal(sign)

    def _escape(self) -> Tree:
        sign = self._take()
        if sign in "123456789":
            raise RegexError(f"back-references such as \\{sign} are not supported")
        return _ESCAPES.get(sign) or self._literal(sign)

    def _literal(self, sign: str) -> Symbol:
        if self._ignore_case:
            return Symbol("".join({each for each in (sign, sign.lower(), sign.upper()) if len(each) == 1}))
        return Symbol(sign)

    # --- [ ] ---

    def _bracket(self) -> Symbol:
        negated = self._peek() == "^"
        self._at += negated
        signs: set[str] = set()
        ranges: list[tuple[str, str]] = []
        classes: set[str] = set()
        first = True
        while first or self._peek() != "]":
            if self._pattern.startswith("[:", self._at):
                classes.add(self._class_name())
            else:
                low, high = self._element(may_be_hyphen=first), self._range_end()
                if self._ignore_case:  # as glibc does: [A-z] is [A-Z] then, and [Z-a] no range
                    low, high = _upper(low), high and _upper(high)
                if high is None:
                    signs.add(low)
                elif low > high:
                    raise RegexError("a range in [ ] that cannot be")
                else:
                    ranges.append((low, high))
            first = False
        self._at += 1
        return Symbol(test=_set_test(signs, ranges, classes, negated=negated, ignore_case=self._ignore_case))

    def _class_name(self) -> str:
        name = self._delimited(":")
        if name not in _CLASSES:
            raise RegexError(f"there is no class [:{name[:20]}:]")
        if self._pattern.startswith("-", self._at) and not self._pattern.startswith("-]", self._at):
            raise RegexError("a range in [ ] that cannot be")
        return name

    def _range_end(self) -> str | None:
        """Return the second character of a range, or None if the first one stands alone."""
        if self._peek() != "-" or self._pattern.startswith("-]", self._at):
            return None
        self._at += 1
        if self._pattern.startswith(("[:", "[="), self._at):
            raise RegexError("a range in [ ] that cannot be")
        return self._element(may_be_hyphen=True)

    def _element(self, *, may_be_hyphen: bool) -> str:
        """Return a character in [ ], which may be written as [.name.] or [=name=]."""
        for mark in ".=":
            if self._pattern.startswith(f"[{mark}", self._at):
                name = self._delimited(mark)
                found = name if len(name) == 1 else _COLLATING.get(name, "")
                if not found:
                    raise RegexError(f"there is no character [{mark}{name[:20]}{mark}]")
                if mark == "=" and self._peek() == "-" and not self._pattern.startswith("-]", self._at):
                    raise RegexError("a range in [ ] that cannot be")
                return found
        sign = self._take()
        if sign == "-" and not may_be_hyphen and self._peek() != "]":
            raise RegexError("a - in [ ] that is neither first nor last")
        return sign

    def _delimited(self, mark: str) -> str:
        """Return the name in [:name:] and the like, and go on after it."""
        end = self._pattern.find(f"{mark}]", self._at + 2)
        if end < 0:
            raise RegexError("the pattern ends too early")
        name = self._pattern[self._at + 2 : end]
        self._at = end + 2
        return name


def _bounded_number(digits: str) -> int:
    digits = digits.lstrip("0") or "0"
    return int(digits) if len(digits) < 6 else MAX_REPEAT + 1


def _upper(sign: str) -> str:
    """Return a character in upper case where that is one character, too."""
    return folded if len(folded := sign.upper()) == 1 else sign


def _set_test(
    signs: set[str], ranges: list[tuple[str, str]], classes: set[str], *, negated: bool, ignore_case: bool
) -> Callable[[str], bool]:
    if ignore_case and classes & {"upper", "lower"}:
        classes |= {"alpha"}
    tests = [_CLASSES[name] for name in classes]

    def has(sign: str) -> bool:
        sign = _upper(sign) if ignore_case else sign
        return sign in signs or any(low <= sign <= high for low, high in ranges) or any(test(sign) for test in tests)

    return lambda sign: has(sign) != negated
