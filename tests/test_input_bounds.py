"""Every pattern and every parser that sees input from outside takes time linear in it: steps are counted, not seconds.

Patterns are found in the source by themselves, so a new one is covered when it is written. A pattern whose input is
short by other means stands in BOUNDED with the reason.
"""

import ast
import contextlib
import importlib
import json
import re
import sys
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from regex_steps import Matcher, TooManySteps, attacks

from mailcore.store.auth import webauthn
from mailcore.wire.files import table_files
from mailcore.wire.imap import threading_algorithms
from mailcore.wire.imap.cursor import BadSyntax, Cursor
from mailcore.wire.imap.list_pattern import compile_pattern
from mailcore.wire.imap.syntax import search_syntax
from mailcore.wire.message import address_list, body_section, body_structure, headers, mime
from mailcore.wire.message import readable_text as texts
from mailcore.wire.sieve import comparison, script_parser
from webmail.address_book import vcard_csv
from webmail.sanitize import css_sanitizer
from webmail.searching import query
from webmail.values import addresses, imap_responses

ROOT = Path(__file__).resolve().parent.parent
METHODS = {
    "match": "match", "fullmatch": "fullmatch", "search": "search", "sub": "finditer", "subn": "finditer",
    "findall": "finditer", "finditer": "finditer", "split": "finditer",
}  # fmt: skip
SHORT, LONG = 60, 240
MOST_GROWTH = 2.0  # of steps per character, from SHORT to LONG: 1 is linear, 4 quadratic
FEW = 10  # steps per character below which nobody asks how they grow
INPUTS = 48  # of a pattern's attacks, evenly chosen

# Patterns that grow faster than their input, and what keeps their input short.
BOUNDED: dict[str, str] = {}
# Patterns made of values that are known only when a function runs: what makes one of the worst sort.
MADE: dict[str, tuple[Callable[[], "re.Pattern[Any]"], str]] = {
    "section._fields_pattern": (lambda: body_section._fields_pattern(("aaaa", "aaab", "a" * 50)), "match"),
}
UNREAD = {"mailadmin.api.schemas"}  # its patterns stand in our own schemas, for values of at most 320 characters


def _modules() -> Iterator[tuple[str, Any, ast.Module]]:
    for top in ("mailcore", "webmail", "mailadmin"):
        for path in sorted((ROOT / top).rglob("*.py")):
            source = path.read_text()
            if "migrations" not in path.parts and re.search(r"\bre\.", source):
                name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
                yield name, importlib.import_module(name), ast.parse(source)


def _patterns() -> Iterator[Any]:
    for name, module, tree in _modules():
        used: dict[str, set[str]] = {}
        for node in ast.walk(tree):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in METHODS):
                continue
            value, method = node.func.value, METHODS[node.func.attr]
            if not isinstance(value, ast.Name):
                continue
            if value.id != "re":
                used.setdefault(value.id, set()).add(method)
            elif name not in UNREAD:
                yield pytest.param(f"{name}:{node.lineno}", _inline(node, module), method, id=f"{name}:{node.lineno}")
        for key, value in vars(module).items():
            if isinstance(value, re.Pattern) and _is_assigned(tree, key):
                for method in sorted(used.get(key, {"match"})):
                    yield pytest.param(f"{name}.{key}", value, method, id=f"{name}.{key}-{method}")
    for name, (make, method) in MADE.items():
        yield pytest.param(name, make(), method, id=name)


def _inline(node: ast.Call, module: Any) -> "re.Pattern[Any]":
    """The pattern of re.METHOD(pattern, …, flags)."""

    def value(expression: ast.expr) -> Any:
        return eval(compile(ast.Expression(expression), "", "eval"), vars(module))

    assert isinstance(node.func, ast.Attribute)
    flags = next((value(each.value) for each in node.keywords if each.arg == "flags"), 0)
    if node.func.attr not in ("sub", "subn", "split") and len(node.args) > 2:
        flags = value(node.args[2])
    return re.compile(value(node.args[0]), flags)


def _is_assigned(tree: ast.Module, name: str) -> bool:
    return any(
        isinstance(target, ast.Name) and target.id == name
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
    )


@pytest.mark.parametrize(("where", "pattern", "method"), list(_patterns()))
def test_a_pattern_is_linear(where: str, pattern: "re.Pattern[Any]", method: str) -> None:
    pairs = list(zip(attacks(pattern, SHORT), attacks(pattern, LONG), strict=False))
    for short, long in [*pairs[:10], *pairs[:: len(pairs) // INPUTS + 1]]:
        try:
            few, many = Matcher(pattern).count(short, method), Matcher(pattern).count(long, method)
        except TooManySteps:
            few, many = 1, 1 << 40
        growth = many / few / (max(len(long), 1) / max(len(short), 1))
        is_linear = many <= FEW * len(long) or growth <= MOST_GROWTH
        assert is_linear or where in BOUNDED, f"{where}: {few} → {many} steps for {long[:40]!r}…{long[-5:]!r}"


def test_what_is_bounded_is_there() -> None:
    found = {param.values[0] for param in _patterns()}
    assert set(BOUNDED) <= found
    assert len(found) > 200, "the source is read"


@pytest.mark.parametrize(
    ("pattern", "method"),
    [
        (r"(a*)*b", "match"),
        (r"a.*a.*a.*b", "match"),
        (r"\s+$", "finditer"),
        (r"(?:a|a)*b", "match"),
        (r".*?\s*y", "match"),
    ],
)
def test_the_counter_sees_patterns_that_are_not_linear(pattern: str, method: str) -> None:
    """The table is worth what its counter is."""
    with pytest.raises(AssertionError):
        test_a_pattern_is_linear("nowhere", re.compile(pattern), method)


# --- Parsers --------------------------------------------------------------------------------------

BASE = 1000


def _program(text: str) -> None:
    with contextlib.suppress(BadSyntax):
        search_syntax.parse_program(Cursor(text.encode()))


def _quietly(function: Callable[[Any], Any], *faults: type[Exception]) -> Callable[[Any], Any]:
    def call(value: Any) -> None:
        with contextlib.suppress(*faults):
            function(value)

    return call


def _multipart(count: int) -> bytes:
    return b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\nx\r\n" * count


def _nested_parts(count: int) -> bytes:
    return b"".join(b"Content-Type: multipart/mixed; boundary=b%06d\r\n\r\n--b%06d\r\n" % (n, n) for n in range(count))


def _structure(content: bytes) -> None:
    body_structure.format_body_structure(content, mime.parse_message(content))


def _answers(references: int, messages: int) -> list[threading_algorithms.ThreadInput]:
    """Messages in a row, each an answer to the one before, which it names last."""
    return [
        threading_algorithms.ThreadInput(
            n + 1, f"m{n}", " ".join(f"m{n - back}" for back in range(references, 0, -1)), "", True, n
        )
        for n in range(messages)
    ]


# What it is, the function, the input of a length.
PARSERS: list[tuple[str, Callable[[Any], Any], Callable[[int], Any]]] = [
    ("LIST pattern", lambda name: compile_pattern("*a%" * 50 + "b").matches(name), lambda n: "a" * n),
    ("SEARCH parentheses", _program, lambda n: "(" * n),
    ("SEARCH ORs", _program, lambda n: "OR SEEN " * n + "SEEN"),
    ("SEARCH NOTs", _program, lambda n: "NOT " * n + "SEEN"),
    ("addresses: comments", address_list.parse_address_list, lambda n: "(" * n),
    ("addresses: comments that end", address_list.parse_address_list, lambda n: "(a)" * n),
    ("addresses: groups", address_list.parse_address_list, lambda n: "a:" * n),
    ("addresses: angles", address_list.parse_address_list, lambda n: "<" * n),
    ("addresses: many", address_list.parse_address_list, lambda n: "a@b, " * n),
    ("addresses: quotes", address_list.parse_address_list, lambda n: '"\\"' * n),
    ("typed addresses", _quietly(addresses.parse_typed, ValueError, addresses.InvalidAddress), lambda n: "a <" + " " * n),
    ("encoded words", headers.decode_value, lambda n: "=?utf-8?q?a?= " * n),
    ("encoded words without end", headers.decode_value, lambda n: "=?utf-8?q?" * n),
    ("parameters", headers.parse_structured, lambda n: "a/b" + "; a=b" * n),
    ("parameters: quotes", headers.parse_structured, lambda n: 'a/b; a="' + '\\"' * n),
    ("parameters: comments", headers.parse_structured, lambda n: "a/b " + "(" * n + ")" * n),
    ("message ids", headers.parse_message_ids, lambda n: "<" * n),
    ("MIME parts", _structure, _multipart),
    ("MIME parts in each other", _structure, _nested_parts),
    ("HTML as text: tags", texts.strip_markup, lambda n: "<" * n),
    ("HTML as text: comments", texts.strip_markup, lambda n: "<!--" * n),
    ("HTML as text: styles", texts.strip_markup, lambda n: "<style>" * n),
    ("Sieve: blocks", _quietly(script_parser.parse_script, script_parser.SieveError), lambda n: "if true {" * n),
    ("Sieve: lists", _quietly(script_parser.parse_script, script_parser.SieveError), lambda n: 'a ["' + '", "' * n),
    ("Sieve :matches", lambda v: comparison.compare("matches", "i;octet", "", v, "*a" * 20 + "b"), lambda n: "a" * n),
    ("Sieve :matches with ?", lambda v: comparison.compare("matches", "i;octet", "", v, "*a?" * 20 + "b"), lambda n: "a" * n),
    ("THREAD: one long chain", lambda v: threading_algorithms.format_threads(threading_algorithms.thread_by_references(v)), lambda n: _answers(n, 1)),
    ("THREAD: a chain of answers", lambda v: threading_algorithms.format_threads(threading_algorithms.thread_by_references(v)), lambda n: _answers(1, n)),
    ("IMAP answers", _quietly(lambda v: list(imap_responses.parse_response([v])), imap_responses.InvalidResponse), lambda n: b"* 1 FETCH (" + b"(" * n),
    ("alias lines", lambda v: list(table_files.parse_aliases([v])), lambda n: "a: " + '"' * n),
    ("alias lines: comments", lambda v: list(table_files.parse_aliases([v])), lambda n: "a: " + "(" * n),
    ("vCard", vcard_csv.read_contacts, lambda n: b"BEGIN:VCARD\r\nFN:" + b'"' * n + b"\r\nEND:VCARD\r\n"),
    ("vCard: folded", vcard_csv.read_contacts, lambda n: b"BEGIN:VCARD\r\nFN:a" + b"\r\n a" * n + b"\r\nEND:VCARD\r\n"),
    ("search box: signs", lambda v: query.parse_query(v, {}, date(2026, 1, 1)), lambda n: "-" * n + "a"),
    ("search box: NOT", lambda v: query.parse_query(v, {}, date(2026, 1, 1)), lambda n: "NOT " * n + "a"),
    ("search box: parentheses", lambda v: query.parse_query(v, {}, date(2026, 1, 1)), lambda n: "(" * n),
    ("CSS: parentheses", css_sanitizer.sanitize_css, lambda n: "color:" + "(" * n),
    ("CSS: brackets", css_sanitizer.sanitize_css, lambda n: "color:" + "[" * n),
    ("CSS: braces", css_sanitizer.sanitize_css, lambda n: "color:" + "{" * n),
    ("CSS: functions", css_sanitizer.sanitize_css, lambda n: "color:" + "calc(" * n),
    ("WebAuthn: JSON", _quietly(lambda v: webauthn._check_client(None, "c", "k", v), webauthn.InvalidAssertion), lambda n: b"[" * n),  # type: ignore[arg-type]
    ("JSON", _quietly(json.loads, ValueError, RecursionError), lambda n: b"[" * n),
]  # fmt: skip


def lines_run(function: Callable[[Any], Any], value: Any) -> int:
    """How many lines of Python a call runs."""
    ran = 0

    def trace(frame: Any, event: str, argument: Any) -> Any:
        nonlocal ran
        ran += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        function(value)
    finally:
        sys.settrace(before)
    return ran


@pytest.fixture
def usual_recursion_limit() -> Iterator[None]:
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(1000)
    yield
    sys.setrecursionlimit(before)


@pytest.mark.usefixtures("usual_recursion_limit")
@pytest.mark.parametrize(("function", "make"), [each[1:] for each in PARSERS], ids=[each[0] for each in PARSERS])
def test_a_parser_is_linear_and_never_too_deep(function: Callable[[Any], Any], make: Callable[[int], Any]) -> None:
    function(make(1))  # imports and caches
    few, many = lines_run(function, make(BASE)), lines_run(function, make(4 * BASE))
    assert many <= 4 * few * 1.3 + 1000
    function(make(100 * BASE))
