"""The automaton of a pattern (Thompson's construction), and steps of sets of states over characters.

A set of states is an integer with one bit each. A state that takes a character goes on to the state after it, so that
a set moves by a shift. Each part of a pattern is a fragment: it begins at its first state and ends when the state after
its last one is reached.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from mailcore.wire.sieve.regex.syntax import (
    Alternatives,
    Assertion,
    Group,
    RegexError,
    RegexLimits,
    Repeat,
    Sequence,
    Symbol,
    Tree,
    is_word,
)

MAX_GROUPS = 31  # that become ${1} to ${31}, as those of :matches
# A place between two characters is a sum of these; 0: within the text, or the pattern has no edges of words.
AT_START, AT_END, WORD_BEFORE, WORD_AFTER = 1, 2, 4, 8
_WORDS = WORD_BEFORE | WORD_AFTER
_HOLDS: dict[str, Callable[[int], bool]] = {
    "`": lambda place: bool(place & AT_START),
    "'": lambda place: bool(place & AT_END),
    "<": lambda place: place & _WORDS == WORD_AFTER,
    ">": lambda place: place & _WORDS == WORD_BEFORE,
    "b": lambda place: place & _WORDS in (WORD_BEFORE, WORD_AFTER),
    "B": lambda place: place & _WORDS in (0, _WORDS),
}
Key = str | tuple[str, int]  # a character, with the place beside it unless that is 0
_MAX_SIGNS = 1000  # characters whose states are cached
_BLOCK = 4096  # characters


@dataclass(frozen=True, slots=True)
class Fragment:
    """A part of the pattern, the states `first` to `end` - 1.

    kind: "sequence" and "alternatives" of `parts`; "group" of one part, with its `number`; "copies": parts of which the
    first `least` are mandatory and each other one needs the one before it; "loop" of one part; "plain": without groups.
    """

    kind: str
    first: int
    end: int
    parts: tuple["Fragment", ...] = ()
    number: int = 0
    least: int = 0

    @property
    def has_groups(self) -> bool:
        return self.kind != "plain"

    @property
    def inside(self) -> int:
        """Return the set of the fragment's states."""
        return (1 << self.end) - (1 << self.first)


class Automaton:
    """The states of a pattern; the last one, whose bit is `final`, is reached where the pattern has matched."""

    def __init__(self, tree: Tree, limits: RegexLimits) -> None:
        self._limit = limits.states
        self._written = 0
        self._following: list[int] = []  # states that a state reaches without a character
        self._signs: dict[str, int] = {}  # character → the states that take it
        self._tests: dict[Callable[[str], bool], int] = {}  # and those that take what a test holds for
        self._assertions: dict[str, int] = {}  # kind → its states
        self._sign_cache: dict[str, int] = {}
        self.root = self._write(tree)
        self.final = 1 << len(self._following)
        self.all = 2 * self.final - 1
        self._preceding = [0] * (len(self._following) + 1)
        for number, targets in enumerate(self._following):
            for target in _members(targets):
                self._preceding[target] |= 1 << number
        self._following.append(0)
        self.has_words = not self._assertions.keys() <= {"`", "'"}
        self._blocked = {place: self._blocked_at(place) for place in range(16)}

    # --- Construction ---

    def _add(self, *targets: int) -> int:
        if len(self._following) >= self._limit:
            raise RegexError("the pattern is too large")
        self._following.append(sum(1 << target for target in set(targets)))
        return len(self._following) - 1

    def _next(self) -> int:
        return len(self._following)

    def _write(self, tree: Tree) -> Fragment:
        """Append the states of a tree."""
        self._written += 1
        if self._written > 2 * self._limit:  # parts without a state, such as (){9999}, cost time as well
            raise RegexError("the pattern is too large")
        first = self._next()
        match tree:
            case Symbol(signs, test):
                bit = 1 << self._add()
                for sign in signs:
                    self._signs[sign] = self._signs.get(sign, 0) | bit
                if test is not None:
                    self._tests[test] = self._tests.get(test, 0) | bit
                parts: list[Fragment] = []
                kind, number = "plain", 0
            case Assertion(kind):
                self._assertions[kind] = self._assertions.get(kind, 0) | 1 << self._add(first + 1)
                kind, number, parts = "plain", 0, []
            case Sequence(items):
                kind, number, parts = "sequence", 0, [self._write(item) for item in items]
            case Group(number, inner):
                kind, parts = "group", [self._write(inner)]
            case Alternatives(branches):
                kind, number, parts = "alternatives", 0, self._write_branches(branches)
            case Repeat():
                return self._write_repeat(tree)
        if not any(part.has_groups for part in parts) and not 0 < number <= MAX_GROUPS:
            kind, parts = "plain", []
        return Fragment(kind, first, self._next(), tuple(parts), number)

    def _write_branches(self, branches: tuple[Tree, ...]) -> list[Fragment]:
        splits = [self._add() for _ in branches[1:]]
        parts: list[Fragment] = []
        jumps: list[int] = []
        for branch in branches:
            parts.append(self._write(branch))
            if len(parts) < len(branches):
                jumps.append(self._add())
        for number, split in enumerate(splits):
            following = split + 1 if split != splits[-1] else parts[-1].first
            self._following[split] = 1 << parts[number].first | 1 << following
        for jump in jumps:
            self._following[jump] = 1 << self._next()
        return parts

    def _write_repeat(self, tree: Repeat) -> Fragment:
        """Append the states of a repetition: x{2,4} as xx(x(x)?)?, x{2,} as x(x)+."""
        first = self._next()
        parts: list[Fragment] = []
        if tree.most < 0:
            parts = [self._write(tree.inner) for _ in range(tree.least - 1)]
            loop = self._write_loop(tree.inner, 1 if tree.least else 0)
            parts.append(loop)
            if len(parts) == 1:
                return loop
            least = len(parts)
        else:
            splits = []
            for number in range(tree.most):
                if number >= tree.least:
                    splits.append(self._add())
                parts.append(self._write(tree.inner))
            for split in splits:
                self._following[split] = 1 << split + 1 | 1 << self._next()
            least = tree.least
        if not any(part.has_groups for part in parts):
            return Fragment("plain", first, self._next())
        return Fragment("copies", first, self._next(), tuple(parts), least=least)

    def _write_loop(self, inner: Tree, least: int) -> Fragment:
        first = self._next()
        split = self._add() if not least else -1
        part = self._write(inner)
        self._add()
        self._following[part.end] = 1 << first | (1 << self._next() if least else 0)
        if split >= 0:
            self._following[split] = 1 << split + 1 | 1 << self._next()
        if not part.has_groups:
            return Fragment("plain", first, self._next())
        return Fragment("loop", first, self._next(), (part,), least=least)

    def _blocked_at(self, place: int) -> int:
        return sum(states for kind, states in self._assertions.items() if not _HOLDS[kind](place))

    # --- Steps ---

    def place(self, text: str, at: int) -> int:
        """Return what stands around the place before character `at` of the text, as far as the pattern asks."""
        found = (AT_START if at == 0 else 0) | (AT_END if at == len(text) else 0)
        if self.has_words:
            found |= WORD_BEFORE if at > 0 and is_word(text[at - 1]) else 0
            found |= WORD_AFTER if at < len(text) and is_word(text[at]) else 0
        return found

    def blocks(self, text: str, start: int, end: int | None = None) -> Iterator[str | list[Key]]:
        """Yield the keys of the characters text[start:end] with the places after them, in blocks."""
        end = len(text) if end is None else end
        size = 16  # as a rule little is read of what follows
        while start < end:
            yield self._keys(text, start, min(start + size, end), 1)
            start += size
            size = min(2 * size, _BLOCK)

    def blocks_back(self, text: str, start: int, end: int) -> Iterator[str | list[Key]]:
        """Yield the keys of the characters text[start:end] with the places before them, the last block first."""
        for high in range(end, start, -_BLOCK):
            yield self._keys(text, max(start, high - _BLOCK), high, 0)

    def _keys(self, text: str, low: int, high: int, side: int) -> str | list[Key]:
        if self.has_words:
            words = {sign: is_word(sign) for sign in {*text[max(low - 1, 0) : high + 1]}}
            flags = [bool(at) and words[text[at - 1]] for at in range(low + side, high + side)]
            places = [
                (WORD_BEFORE if before else 0) | (WORD_AFTER if at < len(text) and words[text[at]] else 0)
                for at, before in enumerate(flags, low + side)
            ]
        elif low + side > 0 and high - 1 + side < len(text):
            return text[low:high]
        else:
            places = [0] * (high - low)
        if low + side == 0:
            places[0] |= AT_START
        if high - 1 + side == len(text):
            places[-1] |= AT_END
        return [(sign, place) if place else sign for sign, place in zip(text[low:high], places, strict=True)]

    def takers(self, sign: str) -> int:
        """Return the states that take a character."""
        found = self._sign_cache.get(sign)
        if found is None:
            found = self._signs.get(sign, 0)
            for test, states in self._tests.items():
                if test(sign):
                    found |= states
            if len(self._sign_cache) >= _MAX_SIGNS:
                self._sign_cache.clear()
            self._sign_cache[sign] = found
        return found

    def reach(self, states: int, place: int, inside: int) -> int:
        """Return the states and all that they reach at this place through states `inside`, which need not be left."""
        blocked = self._blocked[place]
        waiting = states & inside & ~blocked
        while waiting:
            low = waiting & -waiting
            waiting ^= low
            more = self._following[low.bit_length() - 1] & ~states
            states |= more
            waiting |= more & inside & ~blocked
        return states

    def reach_back(self, states: int, place: int, inside: int) -> int:
        """Return the states and all those `inside` from which they are reached at this place."""
        allowed = inside & ~self._blocked[place]
        waiting = states
        while waiting:
            low = waiting & -waiting
            waiting ^= low
            more = self._preceding[low.bit_length() - 1] & allowed & ~states
            states |= more
            waiting |= more
        return states


def _members(states: int) -> list[int]:
    found = []
    while states:
        low = states & -states
        found.append(low.bit_length() - 1)
        states ^= low
    return found
