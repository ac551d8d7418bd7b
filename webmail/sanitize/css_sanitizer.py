"""Sanitizer for untrusted CSS declarations: allowed properties only, values parsed, never matched as text.

The HTML sanitizer calls it for style attributes. A declaration is dropped if it loads something (url(), image-set(),
…), moves out of the message's frame (position, z-index) or cannot be parsed; the others remain.
"""

from collections.abc import Callable
from functools import lru_cache
from urllib.parse import urlsplit

import tinycss2  # type: ignore[import-untyped]
from tinycss2.ast import Declaration, FunctionBlock, Node, ParseError, URLToken  # type: ignore[import-untyped]
from tinycss2.serializer import serialize_string_value  # type: ignore[import-untyped]

_PROPERTIES = frozenset(
    """
    background background-clip background-color background-image background-origin background-position
    background-repeat background-size border border-bottom border-bottom-color border-bottom-left-radius
    border-bottom-right-radius border-bottom-style border-bottom-width border-collapse border-color border-left
    border-left-color border-left-style border-left-width border-radius border-right border-right-color
    border-right-style border-right-width border-spacing border-style border-top border-top-color
    border-top-left-radius border-top-right-radius border-top-style border-top-width border-width box-shadow
    box-sizing caption-side clear color column-count column-gap direction display empty-cells flex flex-basis
    flex-direction flex-grow flex-shrink flex-wrap float font font-family font-feature-settings font-size
    font-size-adjust font-stretch font-style font-variant font-weight gap height hyphens justify-content
    align-items align-self letter-spacing line-break line-height list-style list-style-position list-style-type
    margin margin-bottom margin-left margin-right margin-top max-height max-width min-height min-width
    mso-line-height-rule object-fit opacity outline outline-color outline-style outline-width overflow
    overflow-wrap overflow-x overflow-y padding padding-bottom padding-left padding-right padding-top quotes
    row-gap tab-size table-layout text-align text-align-last text-decoration text-decoration-color
    text-decoration-line text-decoration-style text-emphasis text-indent text-orientation text-overflow
    text-shadow text-transform text-underline-position unicode-bidi vertical-align visibility white-space
    width word-break word-spacing word-wrap writing-mode
    """.split()  # noqa: SIM905
)
_FUNCTIONS = frozenset(
    """rgb rgba hsl hsla hwb lab lch oklab oklch color calc min max clamp
    linear-gradient radial-gradient repeating-linear-gradient repeating-radial-gradient conic-gradient""".split()  # noqa: SIM905
)
_LONGEST = 20_000  # characters of one attribute
_DEEPEST = 12  # nested functions


Remote = Callable[[str], str]  # maps a remote URL to the one to write in its place
Embedded = Callable[[str], str | None]  # maps a cid: URL to a data: URL, or to None if no image has that Content-ID


def sanitize_css(text: str, remote: Remote | None = None, embedded: Embedded | None = None) -> tuple[str, int]:
    """Return (the permitted declarations, how many were dropped because they load something remote).

    With `remote`, http and https images stay, under the URL it returns for them; with `embedded`, images of the message
    itself do (RFC 2392).
    """
    if remote or (embedded and "cid:" in text.lower()):
        return _sanitize_declarations(text, remote, embedded)
    return _sanitize_local(text)


@lru_cache(4096)
def _sanitize_local(text: str) -> tuple[str, int]:
    return _sanitize_declarations(text, None, None)


def _sanitize_declarations(text: str, remote: Remote | None, embedded: Embedded | None) -> tuple[str, int]:
    kept: list[str] = []
    blocked = 0
    if text.count("(") > _DEEPEST * 20:
        return "", 0  # parsing is recursive
    for item in tinycss2.parse_blocks_contents(text[:_LONGEST], skip_comments=True, skip_whitespace=True):
        if not isinstance(item, Declaration) or item.lower_name not in _PROPERTIES:
            continue
        addresses: list[str] = []
        if not _is_harmless(item.value, addresses):
            continue
        new_addresses = [_new_address(address.strip(), remote, embedded) for address in addresses]
        if None in new_addresses:
            blocked += any(is_remote(address) for address in addresses)
            continue
        if addresses:
            item.value = _replace_urls(item.value, new_addresses)
        mark = " !important" if item.important else ""
        kept.append(f"{item.lower_name}:{tinycss2.serialize(item.value).strip()}{mark}")
    return ";".join(kept), blocked


def _new_address(address: str, remote: Remote | None, embedded: Embedded | None) -> str | None:
    """Return the URL to write for one that a declaration loads, or None if it may not be loaded."""
    if remote and is_remote(address):
        return remote(address)
    return embedded(address) if embedded and address[:4].lower() == "cid:" else None


def _replace_urls(nodes: list[Node], new_addresses: list[str | None]) -> list[Node]:
    """Return the values with every URL replaced by the next of `new_addresses`; none is inside another function."""
    left = iter(new_addresses)
    return [_write_url(node, next(left) or "") if _url_of(node) is not None else node for node in nodes]


def _write_url(node: Node, address: str) -> URLToken:
    return URLToken(node.source_line, node.source_column, address, f'url("{serialize_string_value(address)}")')


def _url_of(node: Node) -> str | None:
    """Return the URL that url(…) or url("…") loads, or None for any other node."""
    if isinstance(node, URLToken):
        return str(node.value)
    if isinstance(node, FunctionBlock) and node.lower_name == "url":
        return "".join(n.value for n in node.arguments if n.type == "string")
    return None


def is_remote(address: str) -> bool:
    try:
        return urlsplit(address.strip()).scheme.lower() in ("http", "https")
    except ValueError:
        return False


def _is_harmless(nodes: list[Node], addresses: list[str]) -> bool:
    """Return True if only known functions and plain tokens occur.

    URLs that would be loaded are appended to `addresses`; inside another function they are refused.
    """
    for node in nodes:
        address = _url_of(node)
        if address is not None:
            addresses.append(address)
        elif isinstance(node, FunctionBlock):
            if node.lower_name not in _FUNCTIONS or not _loads_nothing(node.arguments):
                return False
        elif node.type == "() block":
            if not _loads_nothing(node.content):
                return False
        elif isinstance(node, ParseError) or node.type in ("{} block", "[] block", "at-keyword", "at-rule"):
            return False
    return True


def _loads_nothing(nodes: list[Node]) -> bool:
    addresses: list[str] = []
    return _is_harmless(nodes, addresses) and not addresses
