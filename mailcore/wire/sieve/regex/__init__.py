"""Extended regular expressions (POSIX 1003.2) for :regex (draft-ietf-sieve-regex), in time linear in the text.

syntax      a pattern → its tree, as glibc's regcomp reads it with REG_EXTENDED
automaton   the tree → states, and steps of sets of states over the characters of a text
matcher     the leftmost longest match and what each group stands for

Python's own engine backtracks: a script could stop the delivery of everybody's mail with one pattern. This one follows
all alternatives at once. Imports the standard library only.
"""

from functools import lru_cache

from mailcore.wire.sieve.regex.matcher import Regex
from mailcore.wire.sieve.regex.syntax import DEFAULT_LIMITS, RegexError, RegexLimits

__all__ = ["DEFAULT_LIMITS", "Regex", "RegexError", "RegexLimits", "compile_regex"]


@lru_cache(64)  # at most 2 MB each
def compile_regex(pattern: str, *, ignore_case: bool, limits: RegexLimits = DEFAULT_LIMITS) -> Regex:
    """Return a compiled pattern; raise RegexError."""
    return Regex(pattern, ignore_case=ignore_case, limits=limits)
