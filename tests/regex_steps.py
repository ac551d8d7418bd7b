"""How many steps a backtracking matcher takes: bounds on patterns that no clock can blur.

`count` runs a pattern as Python's own engine does, without its shortcuts, and counts what it tries. `attacks` makes
the inputs a pattern is worst at: what begins a repetition, the repetition's own text many times, and something that
fits nothing.
"""

import re
import sys
from collections.abc import Callable, Iterator
from re import _constants as c
from re import _parser as parser
from typing import Any

Next = Callable[[int], int]  # the rest of the pattern from a position on: where it ends, or -1
LIMIT = 2_000_000  # steps after which nobody asks any more


class TooManySteps(Exception):
    """The pattern has taken LIMIT steps."""


class Matcher:
    def __init__(self, pattern: "re.Pattern[Any]") -> None:
        text = pattern.pattern
        self.flags = pattern.flags
        self._latin = isinstance(text, bytes)
        self.tree = parser.parse(text, pattern.flags & ~(0 if self._latin else re.UNICODE))
        self._singles: dict[int, re.Pattern[str]] = {}
        self.steps = 0

    def count(self, subject: str, method: str) -> int:
        """Steps of `method` ("match", "fullmatch", "search", or "finditer" for all that go through a text)."""
        self.subject, self.steps = subject, 0
        sys.setrecursionlimit(1_000_000)
        whole = method == "fullmatch"
        at = 0
        while at <= len(subject):
            self.groups: dict[int, tuple[int, int]] = {}
            end = self._sequence(self.tree, at, lambda here: here if not whole or here == len(subject) else -1)
            if method in ("match", "fullmatch") or (method == "search" and end >= 0):
                break
            at = end if end > at else at + 1
        return self.steps

    def _sequence(self, nodes: Any, at: int, then: Next, index: int = 0) -> int:
        self.steps += 1
        if self.steps > LIMIT:
            raise TooManySteps
        if index == len(nodes):
            return then(at)
        node = nodes[index]
        return self._node(node, at, lambda here: self._sequence(nodes, here, then, index + 1))

    def _node(self, node: Any, at: int, then: Next) -> int:
        op, value = node
        if op in (c.MAX_REPEAT, c.MIN_REPEAT, c.POSSESSIVE_REPEAT):
            return self._repeat(op, *value, at, then)
        if op is c.BRANCH:
            for each in value[1]:
                if (end := self._sequence(each, at, then)) >= 0:
                    return end
            return -1
        if op is c.SUBPATTERN:

            def close(here: int) -> int:
                before = self.groups.get(value[0])
                self.groups[value[0]] = (at, here)
                end = then(here)
                if end < 0 and before is not None:
                    self.groups[value[0]] = before
                return end

            return self._sequence(value[3], at, close)
        if op is c.ATOMIC_GROUP:
            end = self._sequence(value, at, lambda here: here)
            return then(end) if end >= 0 else -1
        if op in (c.ASSERT, c.ASSERT_NOT):
            return then(at) if self._looks(value, at) == (op is c.ASSERT) else -1
        if op is c.AT:
            return then(at) if self._is_at(value, at) else -1
        if op is c.GROUPREF:
            start, end = self.groups.get(value, (0, -1))
            text = self.subject[start:end] if end >= 0 else "\0"
            return then(at + len(text)) if self.subject.startswith(text, at) else -1
        return then(at + 1) if at < len(self.subject) and self._single(node, self.subject[at]) else -1

    def _looks(self, value: Any, at: int) -> bool:
        direction, inner = value
        if direction > 0:
            return self._sequence(inner, at, lambda here: here) >= 0
        low, _high = inner.getwidth()
        return at >= low and self._sequence(inner, at - low, lambda here: here if here == at else -1) >= 0

    def _repeat(self, op: Any, low: int, high: int, body: Any, at: int, then: Next) -> int:
        if len(body) == 1 and body[0][0] in _SINGLES:
            return self._repeat_single(op, low, high, body[0], at, then)
        if op is c.POSSESSIVE_REPEAT:
            times = 0
            while times < high:
                end = self._sequence(body, at, lambda here: here)
                if end < 0 or (end == at and times >= low):
                    break
                at, times = end, times + 1
            return then(at) if times >= low else -1

        def again(here: int, times: int) -> int:
            if times < low:
                return self._sequence(body, here, lambda end: again(end, times + 1))
            if op is c.MIN_REPEAT and (end := then(here)) >= 0:
                return end
            if times < high:
                end = self._sequence(body, here, lambda end: again(end, times + 1) if end > here else -1)
                if end >= 0:
                    return end
            return then(here) if op is c.MAX_REPEAT else -1

        return again(at, 0)

    def _repeat_single(self, op: Any, low: int, high: int, single: Any, at: int, then: Next) -> int:
        if op is c.MIN_REPEAT:
            times = 0
            while True:
                if times >= low and (end := then(at + times)) >= 0:
                    return end
                if times >= high or at + times >= len(self.subject) or not self._step(single, at + times):
                    return -1
                times += 1
        times = 0
        while times < high and at + times < len(self.subject) and self._step(single, at + times):
            times += 1
        if op is c.POSSESSIVE_REPEAT:
            return then(at + times) if times >= low else -1
        for taken in range(times, low - 1, -1):
            if (end := then(at + taken)) >= 0:
                return end
        return -1

    def _step(self, single: Any, at: int) -> bool:
        self.steps += 1
        if self.steps > LIMIT:
            raise TooManySteps
        return self._single(single, self.subject[at])

    def _single(self, node: Any, character: str) -> bool:
        if node[0] is c.ANY:
            return bool(self.flags & re.DOTALL) or character != "\n"
        if self.flags & re.IGNORECASE:
            return any(self._same(node, each) for each in (character.lower(), character.upper()))
        return self._same(node, character)

    def _same(self, node: Any, character: str) -> bool:
        op, value = node
        if op is c.LITERAL:
            return ord(character) == value
        if op is c.NOT_LITERAL:
            return ord(character) != value
        negated = bool(value) and value[0][0] is c.NEGATE
        return any(self._in(each, character) for each in value if each[0] is not c.NEGATE) != negated

    def _in(self, each: Any, character: str) -> bool:
        op, value = each
        if op is c.LITERAL:
            return ord(character) == value
        if op is c.RANGE:
            return value[0] <= ord(character) <= value[1]
        narrow = self._latin or self.flags & re.ASCII
        if narrow and ord(character) > 127:
            return value in (c.CATEGORY_NOT_DIGIT, c.CATEGORY_NOT_SPACE, c.CATEGORY_NOT_WORD)
        match value:
            case c.CATEGORY_DIGIT:
                return character.isdigit()
            case c.CATEGORY_NOT_DIGIT:
                return not character.isdigit()
            case c.CATEGORY_SPACE:
                return character.isspace()
            case c.CATEGORY_NOT_SPACE:
                return not character.isspace()
            case c.CATEGORY_WORD:
                return character.isalnum() or character == "_"
        return not (character.isalnum() or character == "_")

    def _is_at(self, value: Any, at: int) -> bool:
        subject, multiline = self.subject, bool(self.flags & re.MULTILINE)
        if value is c.AT_BEGINNING:
            return at == 0 or (multiline and subject[at - 1] == "\n")
        if value is c.AT_BEGINNING_STRING:
            return at == 0
        if value is c.AT_END:
            return at == len(subject) or subject[at:] == "\n" or (multiline and subject[at] == "\n")
        if value is c.AT_END_STRING:
            return at == len(subject)
        before = at > 0 and (subject[at - 1].isalnum() or subject[at - 1] == "_")
        after = at < len(subject) and (subject[at].isalnum() or subject[at] == "_")
        return (before != after) == (value is c.AT_BOUNDARY)


_SINGLES = (c.LITERAL, c.NOT_LITERAL, c.ANY, c.IN)
_CHARACTERS = "aA0_ -.,;:=@<>()[]{}\"'\\/%*+?!#&\t\n\r|~^$`é字\x00"


# --- Inputs ---------------------------------------------------------------------------------------


def attacks(pattern: "re.Pattern[Any]", length: int) -> Iterator[str]:
    """Inputs of about `length` characters that make a pattern try as much as it can."""
    matcher = Matcher(pattern)
    seen: set[str] = set()
    for prefix, pumps in _repeats(matcher, matcher.tree, ""):
        for pump in pumps:
            for suffix in ("", "\x01", "\n\x01", " \x01", "é"):
                made = prefix + pump * max((length - len(prefix) - len(suffix)) // max(len(pump), 1), 1) + suffix
                if made not in seen:
                    seen.add(made)
                    yield made


def _repeats(matcher: Matcher, nodes: Any, prefix: str) -> Iterator[tuple[str, list[str]]]:
    """(shortest text before it, texts to repeat) of every repetition; of its neighbours' common text, too."""
    for node in nodes:
        op, value = node
        if op in (c.MAX_REPEAT, c.MIN_REPEAT, c.POSSESSIVE_REPEAT):
            if value[1] > 32:
                bodies = list(_texts(matcher, value[2]))
                yield prefix, [*bodies, *[a + b for a in bodies[:4] for b in bodies[:4] if a != b]]
            yield from _repeats(matcher, value[2], prefix)
        elif op is c.BRANCH:
            for each in value[1]:
                yield from _repeats(matcher, each, prefix)
        elif op is c.SUBPATTERN:
            yield from _repeats(matcher, value[3], prefix)
        elif op is c.ATOMIC_GROUP:
            yield from _repeats(matcher, value, prefix)
        elif op in (c.ASSERT, c.ASSERT_NOT):
            yield from _repeats(matcher, value[1], prefix)
        prefix += next(_texts(matcher, [node]), "")


def _texts(matcher: Matcher, nodes: Any) -> Iterator[str]:
    """Short texts that nodes match: a dozen at most."""
    if not nodes:
        yield ""
        return
    first = list(_text(matcher, nodes[0]))[:12]
    rest = next(_texts(matcher, nodes[1:]), "")
    for each in first:
        yield each + rest
    if len(nodes) > 1 and first:
        for other in list(_texts(matcher, nodes[1:]))[1:4]:
            yield first[0] + other


def _text(matcher: Matcher, node: Any) -> Iterator[str]:
    op, value = node
    if op in _SINGLES:
        if op is c.LITERAL:
            yield chr(value)
        else:
            yield from [each for each in _CHARACTERS if matcher._single(node, each)][:8]
    elif op in (c.MAX_REPEAT, c.MIN_REPEAT, c.POSSESSIVE_REPEAT):
        low = value[0]
        if not low:
            yield ""
        yield from (each * max(low, 1) for each in list(_texts(matcher, value[2]))[:4])
    elif op is c.BRANCH:
        for each in value[1]:
            yield from list(_texts(matcher, each))[:3]
    elif op is c.SUBPATTERN:
        yield from _texts(matcher, value[3])
    elif op is c.ATOMIC_GROUP:
        yield from _texts(matcher, value)
    else:
        yield ""
