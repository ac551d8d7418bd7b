"""The leftmost longest match of a pattern, and what its groups stand for.

One pass over the text from its end finds where the first match begins, one from there its longest end. Both move sets
of states whose successors are cached by character, so that most characters cost one look into a dict (a DFA made as it
is needed). Groups are then found within the match alone, from the outermost part of the pattern inwards: POSIX has
each part, from left to right, match the longest text with which the parts after it still match the rest.
"""

from collections.abc import Callable

from mailcore.wire.sieve.regex.automaton import MAX_GROUPS, Automaton, Fragment, Key
from mailcore.wire.sieve.regex.syntax import DEFAULT_LIMITS, RegexError, RegexLimits, parse_pattern

MindTime = Callable[[], None]
_MAX_ROWS, _MAX_STEPS = 4000, 50_000  # that are cached in one pass: at most 10 MB


class Row(dict[Key, "Row"]):
    """A set of states, and by character the set that follows."""

    __slots__ = ("_scan", "is_hit", "states")

    def __init__(self, scan: "_Scan", states: int) -> None:
        self._scan = scan
        self.states = states
        self.is_hit = bool(states & scan.hit)

    def __missing__(self, key: Key) -> "Row":
        return self._scan.follow(self, key)


class _Scan:
    """One pass over a text: `move` takes a set of states over a character, `hit` is the state that is looked for."""

    def __init__(self, move: Callable[[int, str, int], int], hit: int, mind_time: MindTime) -> None:
        self._move = move
        self.hit = hit
        self._mind_time = mind_time
        self._rows: dict[int, Row] = {}
        self._steps = 0

    def row(self, states: int) -> Row:
        found = self._rows.get(states)
        if found is None:
            found = self._rows[states] = Row(self, states)
        return found

    def follow(self, row: Row, key: Key) -> Row:
        self._mind_time()
        if len(self._rows) >= _MAX_ROWS or self._steps >= _MAX_STEPS:
            self.clear()
        self._steps += 1
        sign, place = (key, 0) if isinstance(key, str) else key
        row[key] = found = self.row(self._move(row.states, sign, place))
        return found

    def clear(self) -> None:
        """Empty the cache; rows hold each other, and would stay until the next collection of cycles."""
        for row in self._rows.values():
            row.clear()
        self._rows.clear()
        self._steps = 0


class Regex:
    """A compiled pattern; any number of threads may search with it."""

    def __init__(self, pattern: str, *, ignore_case: bool, limits: RegexLimits = DEFAULT_LIMITS) -> None:
        """Raise RegexError."""
        if len(pattern) > limits.length:
            raise RegexError("the pattern is too long")
        tree, groups = parse_pattern(pattern, ignore_case=ignore_case)
        self._groups = min(groups, MAX_GROUPS)
        self._automaton = Automaton(tree, limits)

    def search(self, text: str, mind_time: MindTime) -> tuple[tuple[int, int], ...] | None:
        """Return (start, end) of the match and of each group, (-1, -1) for one without part in it, or None.

        `mind_time` is called from time to time and may raise.
        """
        mind_time()
        start = self._first_start(text, mind_time)
        if start is None:
            return None
        end = self._longest_end(text, start, mind_time)
        groups = _Groups(self._automaton, text, self._groups, mind_time)
        groups.visit(self._automaton.root, start, end)
        return (start, end), *groups.spans

    def _first_start(self, text: str, mind_time: MindTime) -> int | None:
        """Return where the leftmost match begins: the first place from which the final state is reached."""
        machine = self._automaton

        def move(states: int, sign: str, place: int) -> int:
            return machine.reach_back(states >> 1 & machine.takers(sign) | machine.final, place, machine.all)

        scan = _Scan(move, 1, mind_time)
        row = scan.row(machine.reach_back(machine.final, machine.place(text, len(text)), machine.all))
        found = len(text) if row.is_hit else None
        at = len(text)
        for keys in machine.blocks_back(text, 0, len(text)):
            mind_time()
            for key in reversed(keys):
                row = row[key]
                at -= 1
                if row.is_hit:
                    found = at
        scan.clear()
        return found

    def _longest_end(self, text: str, start: int, mind_time: MindTime) -> int:
        machine = self._automaton

        def move(states: int, sign: str, place: int) -> int:
            return machine.reach((states & machine.takers(sign)) << 1, place, machine.all)

        scan = _Scan(move, machine.final, mind_time)
        row = scan.row(machine.reach(1, machine.place(text, start), machine.all))
        at = found = start
        for keys in machine.blocks(text, start):
            mind_time()
            for key in keys:
                row = row[key]
                at += 1
                if row.is_hit:
                    found = at
            if not row.states:
                break
        scan.clear()
        return found


class _Groups:
    """The texts that the groups of a match stand for; `visit` fills `spans`."""

    def __init__(self, automaton: Automaton, text: str, count: int, mind_time: MindTime) -> None:
        self._automaton = automaton
        self._text = text
        self._mind_time = mind_time
        self.spans = [(-1, -1)] * count

    def visit(self, part: Fragment, start: int, end: int) -> None:
        """Note the groups of a part that matches text[start:end]."""
        if not part.has_groups:
            return
        if part.kind == "group":
            if part.number <= len(self.spans):
                self.spans[part.number - 1] = (start, end)
            self.visit(part.parts[0], start, end)
            return
        ways = self._ways(part, start, end)
        match part.kind:
            case "sequence":
                found = self._in_sequence(part, start, ways)
            case "copies":
                found = self._in_copies(part, start, ways)
            case "loop":
                found = self._in_loop(part, start, ways)
            case _:
                found = [next((each, start, end) for each in part.parts if ways[0] >> each.first & 1)]
        del ways  # 8 bytes for each character, at each level of the pattern
        for each, low, high in found:
            self.visit(each, low, high)

    def _in_sequence(self, part: Fragment, start: int, ways: list[int]) -> list[tuple[Fragment, int, int]]:
        found = []
        at = 0
        last = max(number for number, each in enumerate(part.parts) if each.has_groups)
        for each in part.parts[: last + 1]:
            end = self._longest(self._forward(each), each, start, at, ways)
            assert end is not None
            if each.has_groups:
                found.append((each, start + at, start + end))
            at = end
        return found

    def _in_copies(self, part: Fragment, start: int, ways: list[int]) -> list[tuple[Fragment, int, int]]:
        """Return the last of the copies with its text: only what a group stood for last counts."""
        at = 0
        found: list[tuple[Fragment, int, int]] = []
        for number, each in enumerate(part.parts):
            # An optional copy matches the empty string only where nothing else has matched.
            if number >= part.least and at == len(ways) - 1 and found:
                break
            end = self._longest(self._forward(each), each, start, at, ways)
            if end is None:
                break
            found = [(each, start + at, start + end)]
            at = end
        return found

    def _in_loop(self, part: Fragment, start: int, ways: list[int]) -> list[tuple[Fragment, int, int]]:
        """Return the body with the text of its last round."""
        body, at = part.parts[0], 0
        scan = self._forward(body)
        while True:
            end = self._longest(scan, body, start, at, ways)
            if end is None:
                return []
            if end == len(ways) - 1:
                return [(body, start + at, start + end)]
            at = end

    def _ways(self, part: Fragment, start: int, end: int) -> list[int]:
        """Return for each place from `start` to `end` the states of a part from which it can end just at `end`."""
        machine, text, inside = self._automaton, self._text, part.inside

        def move(states: int, sign: str, place: int) -> int:
            return machine.reach_back(states >> 1 & machine.takers(sign) & inside, place, inside)

        scan = _Scan(move, 0, self._mind_time)
        row = scan.row(machine.reach_back(1 << part.end, machine.place(text, end), inside))
        found = [row.states]
        for keys in machine.blocks_back(text, start, end):
            self._mind_time()
            for key in reversed(keys):
                row = row[key]
                found.append(row.states)
        scan.clear()
        found.reverse()
        return found

    def _forward(self, part: Fragment) -> _Scan:
        machine, inside = self._automaton, part.inside

        def move(states: int, sign: str, place: int) -> int:
            return machine.reach((states & inside & machine.takers(sign)) << 1, place, inside)

        return _Scan(move, 1 << part.end, self._mind_time)

    def _longest(self, scan: _Scan, part: Fragment, start: int, at: int, ways: list[int]) -> int | None:
        """Return the last place where a part of what `ways` leads through can end if it begins at `at`, or None.

        Places count from `start`. No further place is looked at than that: the states in `ways` come to an end.
        """
        machine, text = self._automaton, self._text
        states = machine.reach(1 << part.first, machine.place(text, start + at), part.inside) & ways[at]
        row = scan.row(states)
        found = at if row.is_hit else None
        for keys in machine.blocks(text, start + at, start + len(ways) - 1):
            self._mind_time()
            for key in keys:
                at += 1
                row = scan.row(row[key].states & ways[at])
                if row.is_hit:
                    found = at
                elif not row.states:
                    return found
        return found
