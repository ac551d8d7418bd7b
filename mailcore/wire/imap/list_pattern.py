"""Matching of mailbox names against LIST patterns (RFC 9051 §6.3.9) in linear time.

`*` stands for any characters, `%` for any but the hierarchy separator. A pattern runs as a nondeterministic automaton
whose states are the bits of one number: a name of n characters costs n steps, whatever the pattern. A backtracking
regular expression would take exponential time for `*a*a*a*b`.

Used by every command that takes a pattern: LIST with its extensions, and LSUB.
"""

from functools import lru_cache

from mailcore.wire.imap.mailbox_names import SEPARATOR


class ListPattern:
    """A compiled pattern; `matches` looks at each character of a name once."""

    __slots__ = ("_accept", "_any", "_level", "_literals", "_positions", "_prefix", "_suffix", "_wild")

    def __init__(self, text: str) -> None:
        tokens = _tokens(text)
        wild = [at for at, token in enumerate(tokens) if token in ("*", "%")]
        self._prefix = "".join(tokens[: wild[0]] if wild else tokens)
        self._suffix = "".join(tokens[wild[-1] + 1 :]) if wild else ""
        self._literals = len(tokens) - len(wild)
        self._any = sum(1 << at for at in wild if tokens[at] == "*")
        self._level = sum(1 << at for at in wild if tokens[at] == "%")
        self._wild = self._any | self._level
        self._positions: dict[str, int] = {}
        for at, token in enumerate(tokens):
            if token not in ("*", "%"):
                self._positions[token] = self._positions.get(token, 0) | 1 << at
        self._accept = 1 << len(tokens)

    def matches(self, name: str) -> bool:
        """Return True if the pattern covers the whole name."""
        if len(name) < self._literals or not name.startswith(self._prefix) or not name.endswith(self._suffix):
            return False
        if not self._wild:
            return len(name) == len(self._prefix)
        # Bit i: everything before token i is matched. Two wildcards are never adjacent, so one shift moves a state past
        # a wildcard that stands for nothing.
        states = 1 << len(self._prefix)
        states |= (states & self._wild) << 1
        for at in range(len(self._prefix), len(name)):
            character = name[at]
            kept = states & (self._any if character == SEPARATOR else self._wild)
            states = (states & self._positions.get(character, 0)) << 1 | kept
            states |= (states & self._wild) << 1
            if not states:
                return False
        return bool(states & self._accept)


def _tokens(text: str) -> list[str]:
    """Split a pattern into characters and wildcards; a run of wildcards becomes the stronger one.

    INBOX in any case is INBOX.
    """
    if text[:5].upper() == "INBOX" and (len(text) == 5 or text[5] in "/*%"):
        text = "INBOX" + text[5:]
    tokens: list[str] = []
    for character in text:
        if character in "*%" and tokens and tokens[-1] in ("*", "%"):
            if character == "*":
                tokens[-1] = "*"
        else:
            tokens.append(character)
    return tokens


@lru_cache(256)
def compile_pattern(text: str) -> ListPattern:
    """Return the compiled form of a pattern for canonical names."""
    return ListPattern(text)
