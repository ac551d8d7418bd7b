"""Extended regular expressions (POSIX 1003.2) for :regex (draft-ietf-sieve-regex), in time linear in the text.

Python's own engine backtracks: a script could stop the delivery of everybody's mail with one pattern. This one follows
all alternatives at once (Thompson, with captures as in Pike's machine), in at most states × characters steps, and both
are bounded.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

MAX_PATTERN = 1000  # characters
MAX_STATES = 2000  # of a pattern, with its repetitions written out
MAX_REPEAT = 255  # RE_DUP_MAX of POSIX
MAX_TEXT = 8000  # characters of a text that are looked at
MAX_GROUPS = 9  # that become ${1} to ${9}
_MIND = 64  # characters between two looks at the clock: at most 0.1 s, for 2000 states

_CLASSES: dict[str, Callable[[str], bool]] = {
    "alpha": str.isalpha,
    "digit": lambda sign: "0" <= sign <= "9",
    "alnum": lambda sign: sign.isalpha() or "0" <= sign <= "9",
    "upper": str.isupper,
    "lower": str.islower,
    "space": str.isspace,
    "blank": lambda sign: sign in " \t",
    "punct": lambda sign: sign.isascii() and sign.isprintable() and not sign.isalnum() and sign != " ",
    "print": str.isprintable,
    "graph": lambda sign: sign.isprintable() and sign != " ",
    "cntrl": lambda sign: sign < " " or sign == "\x7f",
    "xdigit": lambda sign: sign in "0123456789abcdefABCDEF",
}

Test = Callable[[str], bool]


class RegexError(ValueError):
    """The pattern is not one of POSIX, or too large; the text says why."""


@dataclass(frozen=True, slots=True)
class _State:
    """One step of a pattern.

    kind: "sign" (`test` holds for a character), "split" (go on at `one`, then at `other`), "save" (`one` is next,
    `other` the number of the position), "start", "end" (of the text), "match".
    """

    kind: str
    one: int = 0
    other: int = 0
    test: Test | None = None


# --- Patterns -------------------------------------------------------------------------------------

_Tree = tuple[
    Any, ...
]  # ("sign", test) | ("cat", …) | ("alt", …) | ("repeat", tree, least, most) | ("group", n, tree) | (kind,)


class _Parser:
    def __init__(self, pattern: str, ignore_case: bool) -> None:
        self._pattern = pattern
        self._at = 0
        self._ignore_case = ignore_case
        self.groups = 0

    def parse(self) -> _Tree:
        tree = self._alternatives(0)
        if self._at < len(self._pattern):
            raise RegexError("a ) without (")
        return tree

    def _peek(self) -> str:
        return self._pattern[self._at : self._at + 1]

    def _take(self) -> str:
        sign = self._peek()
        if not sign:
            raise RegexError("the pattern ends too early")
        self._at += 1
        return sign

    def _alternatives(self, depth: int) -> _Tree:
        if depth > 50:
            raise RegexError("too many nested groups")
        branches = [self._branch(depth)]
        while self._peek() == "|":
            self._at += 1
            branches.append(self._branch(depth))
        return branches[0] if len(branches) == 1 else ("alt", *branches)

    def _branch(self, depth: int) -> _Tree:
        pieces: list[_Tree] = []
        while self._peek() not in ("", "|", ")"):
            atom = self._atom(depth)
            while self._peek() in ("*", "+", "?", "{") and self._peek():
                atom = self._repeat(atom)
            pieces.append(atom)
        return ("cat", *pieces)

    def _repeat(self, atom: _Tree) -> _Tree:
        sign = self._take()
        if sign == "{":
            end = self._pattern.find("}", self._at)
            least, comma, most = self._pattern[self._at : max(end, self._at)].partition(",")
            if end < 0 or not least.isdecimal() or (most and not most.isdecimal()) or len(least) > 3 or len(most) > 3:
                raise RegexError("a { without numbers and }")
            self._at = end + 1
            low, high = int(least), (int(most) if most else -1) if comma else int(least)
            if low > MAX_REPEAT or high > MAX_REPEAT or -1 < high < low:
                raise RegexError("an interval that cannot be")
            return ("repeat", atom, low, high)
        return ("repeat", atom, 1 if sign == "+" else 0, 1 if sign == "?" else -1)

    def _atom(self, depth: int) -> _Tree:
        sign = self._take()
        match sign:
            case "(":
                self.groups += 1
                number = self.groups
                tree = self._alternatives(depth + 1)
                if self._peek() != ")":
                    raise RegexError("a ( without )")
                self._at += 1
                return ("group", number, tree)
            case "*" | "+" | "?":
                raise RegexError(f"a {sign} with nothing to repeat")
            case "^":
                return ("start",)
            case "$":
                return ("end",)
            case ".":
                return ("sign", lambda _sign: True)
            case "[":
                return ("sign", self._bracket())
            case "\\":
                return ("sign", self._equals(self._take()))
        return ("sign", self._equals(sign))

    def _equals(self, wanted: str) -> Test:
        if self._ignore_case and wanted.lower() != wanted.upper():
            both = (wanted.lower(), wanted.upper())
            return lambda sign: sign in both
        return lambda sign: sign == wanted

    def _bracket(self) -> Test:
        negated = self._peek() == "^"
        self._at += negated
        tests: list[Test] = []
        first = True
        while first or self._peek() != "]":
            first = False
            if self._pattern.startswith("[:", self._at):
                end = self._pattern.find(":]", self._at)
                name = self._pattern[self._at + 2 : max(end, self._at)]
                if name not in _CLASSES:
                    raise RegexError(f"there is no class [:{name[:20]}:]")
                tests.append(_CLASSES[name])
                self._at = end + 2
                continue
            low = self._take()
            if self._peek() == "-" and self._pattern[self._at + 1 : self._at + 2] not in ("]", ""):
                self._at += 1
                tests.append(_between(low, self._take()))
            else:
                tests.append(_between(low, low))
        self._at += 1
        return _any_of(tests, negated=negated, ignore_case=self._ignore_case)


def _between(low: str, high: str) -> Test:
    if low > high:
        raise RegexError("a range in [ ] that cannot be")
    return lambda sign: low <= sign <= high


def _any_of(tests: list[Test], *, negated: bool, ignore_case: bool) -> Test:
    if ignore_case:
        return lambda sign: any(t(s) for s in {sign, sign.lower(), sign.upper()} for t in tests) != negated
    return lambda sign: any(test(sign) for test in tests) != negated


# --- Machines -------------------------------------------------------------------------------------


class Regex:
    """A compiled pattern."""

    def __init__(self, pattern: str, *, ignore_case: bool) -> None:
        if len(pattern) > MAX_PATTERN:
            raise RegexError("the pattern is too long")
        parser = _Parser(pattern, ignore_case)
        tree = parser.parse()
        self._groups = min(parser.groups, MAX_GROUPS)
        self._states: list[_State] = []
        self._write(tree)
        self._add("match")

    def _add(self, kind: str, one: int = 0, other: int = 0, test: Test | None = None) -> int:
        if len(self._states) >= MAX_STATES:
            raise RegexError("the pattern is too large")
        self._states.append(_State(kind, one, other, test))
        return len(self._states) - 1

    def _next(self) -> int:
        return len(self._states)

    def _write(self, tree: _Tree) -> None:
        """Append the states of a tree; they end before the next state."""
        match tree:
            case ("sign", test):
                self._add("sign", self._next() + 1, test=test)
            case ("cat", *pieces):
                for piece in pieces:
                    self._write(piece)
            case ("alt", first, *rest):
                split = self._add("split")
                self._write(first)
                jump = self._add("split")
                self._states[split] = _State("split", split + 1, self._next())
                self._write(("alt", *rest) if len(rest) > 1 else rest[0])
                self._states[jump] = _State("split", self._next(), self._next())
            case ("group", number, inner):
                self._add("save", self._next() + 1, 2 * number)
                self._write(inner)
                self._add("save", self._next() + 1, 2 * number + 1)
            case ("repeat", inner, least, most):
                self._write_repeat(inner, least, most)
            case (kind,):
                self._add(kind, self._next() + 1)

    def _write_repeat(self, inner: _Tree, least: int, most: int) -> None:
        for _ in range(least):
            self._write(inner)
        if most < 0:
            split = self._add("split")
            self._write(inner)
            self._add("split", split, split)
            self._states[split] = _State("split", split + 1, self._next())
            return
        splits = []
        for _ in range(most - least):
            splits.append(self._add("split"))
            self._write(inner)
        for split in splits:
            self._states[split] = _State("split", split + 1, self._next())

    def search(self, text: str, mind_time: Callable[[], None]) -> tuple[tuple[int, int], ...] | None:
        """Return (start, end) of the leftmost match and of each group, (-1, -1) for one without part in it, or None.

        `mind_time` is called from time to time and may raise.
        """
        text = text[:MAX_TEXT]
        found: tuple[int, ...] | None = None
        threads: list[tuple[int, tuple[int, ...]]] = []
        empty = (-1,) * (2 * self._groups + 2)
        for at in range(len(text) + 1):
            if at % _MIND == 0:
                mind_time()
            if found is None:
                threads = self._follow([*threads, (0, (at, *empty[1:]))], at, len(text))
            else:
                threads = self._follow(threads, at, len(text))
            following: list[tuple[int, tuple[int, ...]]] = []
            for number, saved in threads:
                state = self._states[number]
                if state.kind == "match":
                    found = (saved[0], at, *saved[2:])
                    break  # threads after this one are of lower priority
                if at < len(text) and state.test is not None and state.test(text[at]):
                    following.append((state.one, saved))
            threads = following
            if found is not None and not threads:
                break
        if found is None:
            return None
        return tuple((found[i], found[i + 1]) for i in range(0, len(found), 2))

    def _follow(
        self, threads: list[tuple[int, tuple[int, ...]]], at: int, length: int
    ) -> list[tuple[int, tuple[int, ...]]]:
        """Return the threads at states that take a character or match, each state once, in order of priority."""
        seen: set[int] = set()
        out: list[tuple[int, tuple[int, ...]]] = []
        waiting = threads[::-1]
        while waiting:
            number, saved = waiting.pop()
            if number in seen:
                continue
            seen.add(number)
            state = self._states[number]
            match state.kind:
                case "split":
                    waiting += ((state.other, saved), (state.one, saved))
                case "save":
                    if state.other < len(saved):
                        saved = (*saved[: state.other], at, *saved[state.other + 1 :])
                    waiting.append((state.one, saved))
                case "start" | "end":
                    if at == (0 if state.kind == "start" else length):
                        waiting.append((state.one, saved))
                case _:
                    out.append((number, saved))
        return out


@lru_cache(256)
def compile_regex(pattern: str, *, ignore_case: bool) -> Regex:
    """Return a compiled pattern; raise RegexError."""
    return Regex(pattern, ignore_case=ignore_case)
