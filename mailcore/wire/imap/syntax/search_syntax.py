"""Arguments of SEARCH, SORT and THREAD (RFC 9051 §6.4.4, RFC 5256, RFC 5032, RFC 7162, RFC 8474, RFC 8514).

A program is a tree of keys that hold their meaning, not their spelling.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from mailcore.wire.imap import system_flags as wire_flags
from mailcore.wire.imap.cursor import BadSyntax, Cursor, TooComplicated
from mailcore.wire.imap.sequence_set import SAVED_RESULT, NumberSet
from mailcore.wire.text.charsets import fold_text


@dataclass(frozen=True, slots=True)
class SearchLimits:
    """The limits of a program.

    `depth`: nesting of parentheses and NOTs; the second argument of OR counts as no deeper than the OR. `keys`: search
    keys. `string`: characters of a string, since databases compare strings in time proportional to the product of their
    lengths. `alternations`: nested ANDs and ORs of the normalized program.
    """

    depth: int = 50
    keys: int = 1000
    string: int = 1024
    alternations: int = 20


DEFAULT_LIMITS = SearchLimits()


class UnknownCharset(Exception):
    """The charset of the strings is unknown; the response is NO [BADCHARSET]."""


@dataclass(frozen=True, slots=True)
class All:
    """Every message."""


@dataclass(frozen=True, slots=True)
class And:
    keys: "tuple[SearchKey, ...]"


@dataclass(frozen=True, slots=True)
class Or:
    keys: "tuple[SearchKey, ...]"


@dataclass(frozen=True, slots=True)
class Not:
    key: "SearchKey"


@dataclass(frozen=True, slots=True)
class HasFlag:
    bit: int


@dataclass(frozen=True, slots=True)
class HasKeyword:
    word: str


@dataclass(frozen=True, slots=True)
class IsRecent:
    r"""The \\Recent flag, known to the session only."""


@dataclass(frozen=True, slots=True)
class Numbers:
    ranges: NumberSet
    uid: bool


@dataclass(frozen=True, slots=True)
class Day:
    """A date without time and zone, in days since 1970.

    `sent` is taken in the message's own zone, the others in the server's.
    """

    field: Literal["internal", "sent", "saved"]
    relation: Literal["<", "=", ">="]
    day: int


@dataclass(frozen=True, slots=True)
class Size:
    relation: Literal["<", ">"]
    size: int


@dataclass(frozen=True, slots=True)
class Age:
    """Seconds since INTERNALDATE (RFC 5032)."""

    relation: Literal["younger", "older"]
    seconds: int


@dataclass(frozen=True, slots=True)
class Contains:
    """A substring of the folded body, or of header and body."""

    where: Literal["body", "text"]
    value: str


@dataclass(frozen=True, slots=True)
class HeaderContains:
    """A header field (name in lower case) with this folded substring; "" asks for the field only."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Modseq:
    at_least: int


@dataclass(frozen=True, slots=True)
class SameObject:
    field: Literal["email_id", "thread_id"]
    value: str


SearchKey = (
    All | And | Or | Not | HasFlag | HasKeyword | IsRecent | Numbers | Day | Size | Age | Contains | HeaderContains
    | Modseq | SameObject
)  # fmt: skip

_FLAG_KEYS = {
    "ANSWERED": wire_flags.ANSWERED,
    "DELETED": wire_flags.DELETED,
    "DRAFT": wire_flags.DRAFT,
    "FLAGGED": wire_flags.FLAGGED,
    "SEEN": wire_flags.SEEN,
}
_DAY_KEYS: dict[str, tuple[Literal["internal", "sent", "saved"], Literal["<", "=", ">="]]] = {
    "BEFORE": ("internal", "<"),
    "ON": ("internal", "="),
    "SINCE": ("internal", ">="),
    "SENTBEFORE": ("sent", "<"),
    "SENTON": ("sent", "="),
    "SENTSINCE": ("sent", ">="),
    "SAVEDBEFORE": ("saved", "<"),
    "SAVEDON": ("saved", "="),
    "SAVEDSINCE": ("saved", ">="),
}


class _Reader:
    def __init__(self, cursor: Cursor, charset: str, limits: SearchLimits) -> None:
        self._cursor = cursor
        self._charset = charset
        self._limits = limits
        self._keys = 0

    def program(self, depth: int = 0) -> SearchKey:
        """Parse search-key *(SP search-key), up to the end or ")"."""
        keys = [self._key(depth)]
        while not self._cursor.at_end() and not self._cursor.next_is(b")"):
            if not self._cursor.skip_space():
                raise BadSyntax("Space expected")
            if self._cursor.at_end() or self._cursor.next_is(b")"):
                break
            keys.append(self._key(depth))
        return keys[0] if len(keys) == 1 else And(tuple(keys))

    def _key(self, depth: int) -> SearchKey:
        self._keys += 1
        if depth > self._limits.depth or self._keys > self._limits.keys:
            raise TooComplicated("Search is too complicated")
        cursor = self._cursor
        if cursor.next_is(b"("):
            cursor.open_list()
            found = self.program(depth + 1)
            cursor.close_list()
            return found
        if cursor.text[cursor.at : cursor.at + 1] in _NUMBER_STARTS:
            return Numbers(cursor.sequence_set(), uid=False)
        word = cursor.keyword()
        if word in _FLAG_KEYS:
            return HasFlag(_FLAG_KEYS[word])
        if word.startswith("UN") and word[2:] in _FLAG_KEYS:
            return Not(HasFlag(_FLAG_KEYS[word[2:]]))
        if word in _SIMPLE:
            return _SIMPLE[word]
        if cursor.at_end():
            raise BadSyntax("Missing argument" if word in _KNOWN else f"Unknown search key {word[:30]}")
        return self._with_argument(word, depth)

    def _with_argument(self, word: str, depth: int) -> SearchKey:
        cursor = self._cursor
        if word not in _KNOWN:
            raise BadSyntax(f"Unknown search key {word[:30]}")
        cursor.space()
        if word in _DAY_KEYS:
            field, relation = _DAY_KEYS[word]
            return Day(field, relation, cursor.date())
        match word:
            case "NOT":
                return Not(self._key(depth + 1))
            case "OR":
                return self._alternatives(depth)
            case "FUZZY":  # RFC 6203: this server's matching is as fuzzy as it gets
                return self._key(depth + 1)
            case "UID":
                return Numbers(cursor.sequence_set(), uid=True)
            case "KEYWORD" | "UNKEYWORD":
                word_key = HasKeyword(cursor.atom().decode("ascii"))
                return word_key if word == "KEYWORD" else Not(word_key)
            case "LARGER" | "SMALLER":
                return Size(">" if word == "LARGER" else "<", cursor.number())
            case "OLDER" | "YOUNGER":
                return Age("older" if word == "OLDER" else "younger", cursor.nz_number())
            case "BODY" | "TEXT":
                return Contains("body" if word == "BODY" else "text", self._folded())
            case "HEADER":
                name = cursor.astring().decode("latin-1").strip().lower()
                cursor.space()
                return HeaderContains(name, self._folded())
            case "MODSEQ":
                return self._modseq()
            case "EMAILID" | "THREADID":
                field_name: Literal["email_id", "thread_id"] = "email_id" if word == "EMAILID" else "thread_id"
                name = cursor.atom().decode("ascii")  # with the prefix M or T that FETCH writes
                return SameObject(field_name, name[1:] if name[0] == ("M" if word == "EMAILID" else "T") else "")
        return HeaderContains(word.lower(), self._folded())  # BCC, CC, FROM, SUBJECT, TO

    def _alternatives(self, depth: int) -> SearchKey:
        """Parse the arguments of OR; a chain OR a OR b OR c d becomes one key with n alternatives."""
        cursor = self._cursor
        found = [self._key(depth + 1)]
        cursor.space()
        while cursor.skip_word(b"OR"):
            cursor.space()
            found.append(self._key(depth + 1))
            cursor.space()
        return Or((*found, self._key(depth + 1)))

    def _modseq(self) -> SearchKey:
        """Parse ["/flags/…" SP ("priv" / "shared" / "all") SP] number (RFC 7162 §3.1.5).

        A message has only one MODSEQ here.
        """
        cursor = self._cursor
        if cursor.next_is(b'"'):
            cursor.string()
            cursor.space()
            if cursor.keyword() not in ("PRIV", "SHARED", "ALL"):
                raise BadSyntax("priv, shared or all expected")
            cursor.space()
        return Modseq(cursor.number())

    def _folded(self) -> str:
        raw = self._cursor.astring()
        try:
            text = raw.decode(self._charset)
        except UnicodeDecodeError:
            raise BadSyntax("String is not of its charset") from None
        if len(text) > self._limits.string:
            raise TooComplicated("Search string is too long")
        return " ".join(fold_text(text).splitlines())


_NUMBER_STARTS = frozenset(b"%d" % digit for digit in range(10)) | {b"*", b"$"}
_SIMPLE: dict[str, SearchKey] = {
    "ALL": All(),
    "RECENT": IsRecent(),
    "OLD": Not(IsRecent()),
    "NEW": And((IsRecent(), Not(HasFlag(wire_flags.SEEN)))),
    "SAVEDATESUPPORTED": All(),
}
_KNOWN = {
    *_DAY_KEYS, "NOT", "OR", "FUZZY", "UID", "KEYWORD", "UNKEYWORD", "LARGER", "SMALLER", "OLDER", "YOUNGER", "BODY",
    "TEXT", "HEADER", "MODSEQ", "EMAILID", "THREADID", "BCC", "CC", "FROM", "SUBJECT", "TO",
}  # fmt: skip
# Charsets of strings in SEARCH, and Python's names for them.
CHARSETS = {"US-ASCII": "ascii", "ASCII": "ascii", "UTF-8": "utf-8", "GB18030": "gb18030", "GBK": "gbk",
            "GB2312": "gb18030", "BIG5": "cp950", "ISO-8859-1": "latin-1"}  # fmt: skip


def parse_program(cursor: Cursor, charset: str = "UTF-8", limits: SearchLimits = DEFAULT_LIMITS) -> SearchKey:
    """Parse all keys and normalize them; raise UnknownCharset if `charset` is not in CHARSETS."""
    codec = CHARSETS.get(charset.upper())
    if codec is None:
        raise UnknownCharset(charset)
    found = normalize(_Reader(cursor, codec, limits).program())
    cursor.end()
    if _alternations(found) > limits.alternations:
        raise TooComplicated("Search is too deeply nested")
    return found


def normalize(key: SearchKey, negated: bool = False) -> SearchKey:
    """Return an equal program in which NOT applies to single keys and no AND or OR directly contains its own kind."""
    match key:
        case Not(inner):
            return normalize(inner, not negated)
        case And(keys) | Or(keys):
            kind = Or if isinstance(key, And) == negated else And  # De Morgan
            found: list[SearchKey] = []
            for each in keys:
                part = normalize(each, negated)
                found += part.keys if isinstance(part, kind) else (part,)
            return kind(tuple(found))
    return Not(key) if negated else key


def _alternations(key: SearchKey) -> int:
    """Return the nesting depth of ANDs and ORs in a normalized program."""
    if isinstance(key, And | Or):
        return 1 + max(_alternations(each) for each in key.keys)
    return 0


def parse_charset(cursor: Cursor) -> str:
    """Parse the charset argument of SORT, THREAD or SEARCH CHARSET."""
    return cursor.astring().decode("latin-1")


def walk_keys(key: SearchKey, visit: Callable[[SearchKey], None]) -> None:
    """Call `visit` for every key of a program."""
    visit(key)
    match key:
        case And(keys) | Or(keys):
            for each in keys:
                walk_keys(each, visit)
        case Not(inner):
            walk_keys(inner, visit)


def uses_modseq(key: SearchKey) -> bool:
    """Return True if the program has a MODSEQ key, so that the response carries MODSEQ (RFC 7162 §3.1.5)."""
    found = False

    def visit(each: SearchKey) -> None:
        nonlocal found
        found = found or isinstance(each, Modseq)

    walk_keys(key, visit)
    return found


def uses_texts(key: SearchKey) -> bool:
    """Return True if the program looks at headers or bodies."""
    found = False

    def visit(each: SearchKey) -> None:
        nonlocal found
        found = found or isinstance(each, Contains | HeaderContains)

    walk_keys(key, visit)
    return found


def uses_sequence_numbers(key: SearchKey) -> bool:
    """Return True if the program has a set of sequence numbers."""
    found = False

    def visit(each: SearchKey) -> None:
        nonlocal found
        found = found or (isinstance(each, Numbers) and not each.uid and each.ranges is not SAVED_RESULT)

    walk_keys(key, visit)
    return found


# --- RETURN options (RFC 4731, RFC 5182, RFC 5267, RFC 9394) --------------------------------------


@dataclass(frozen=True, slots=True)
class ReturnOptions:
    """RETURN options; `extended` is True if RETURN was given, which asks for an ESEARCH response."""

    extended: bool = False
    minimum: bool = False
    maximum: bool = False
    all: bool = False
    count: bool = False
    save: bool = False
    update: bool = False
    context: bool = False
    partial: tuple[int, int] | None = None


def parse_return_options(cursor: Cursor, read_partial: Callable[[Cursor], tuple[int, int]]) -> ReturnOptions:
    """Parse [SP "RETURN" SP "(" options ")"]."""
    if not cursor.skip_word(b"RETURN"):
        return ReturnOptions()
    cursor.space()
    given: set[str] = set()
    partial: tuple[int, int] | None = None

    def one() -> None:
        nonlocal partial
        word = cursor.keyword()
        if word == "PARTIAL":
            cursor.space()
            partial = read_partial(cursor)
        elif word not in ("MIN", "MAX", "ALL", "COUNT", "SAVE", "UPDATE", "CONTEXT"):
            raise BadSyntax(f"Unknown RETURN option {word[:30]}")
        given.add(word)

    cursor.list_of(one)
    cursor.space()
    if "PARTIAL" in given and "ALL" in given:
        raise BadSyntax("PARTIAL and ALL exclude each other")
    shows = bool(given - {"SAVE", "UPDATE", "CONTEXT"})
    return ReturnOptions(
        extended=True,
        minimum="MIN" in given,
        maximum="MAX" in given,
        all="ALL" in given or (not shows and "SAVE" not in given),
        count="COUNT" in given,
        save="SAVE" in given,
        update="UPDATE" in given,
        context="CONTEXT" in given,
        partial=partial,
    )


# --- SORT and THREAD (RFC 5256, RFC 5957) ---------------------------------------------------------

SORT_KEYS = ("ARRIVAL", "CC", "DATE", "FROM", "SIZE", "SUBJECT", "TO", "DISPLAYFROM", "DISPLAYTO")


def parse_sort_criteria(cursor: Cursor) -> tuple[tuple[str, bool], ...]:
    """Parse "(" [REVERSE SP] key … ")" into (key, reverse) pairs."""

    def one() -> tuple[str, bool]:
        word = cursor.keyword()
        if word == "REVERSE":
            cursor.space()
            return _sort_key(cursor.keyword()), True
        return _sort_key(word), False

    found = tuple(cursor.list_of(one))
    if not found or len(found) > 20:
        raise BadSyntax("Sort criteria expected")
    return found


def _sort_key(word: str) -> str:
    if word not in SORT_KEYS:
        raise BadSyntax(f"Unknown sort key {word[:30]}")
    return word
