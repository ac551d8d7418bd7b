"""CSS declarations of strangers: properties from an allow-list, values parsed, never matched as text.

Called by the HTML gate for style attributes. What loads something (url(), image-set(), …), moves out
of the letter's frame (position, z-index) or is not understood is dropped, one declaration at a time.
"""

from functools import lru_cache
from urllib.parse import urlsplit

import tinycss2  # type: ignore[import-untyped]
from tinycss2.ast import Declaration, FunctionBlock, Node, ParseError, URLToken  # type: ignore[import-untyped]

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
_DEEPEST = 12  # functions inside functions


@lru_cache(4096)
def clean(text: str, *, remote: bool) -> tuple[str, int]:
    """(the declarations that may stay, how many were dropped because they load something from afar).

    `remote`: http and https images may stay.
    """
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
        if addresses and not (remote and all(is_remote(address) for address in addresses)):
            blocked += any(is_remote(address) for address in addresses)
            continue
        mark = " !important" if item.important else ""
        kept.append(f"{item.lower_name}:{tinycss2.serialize(item.value).strip()}{mark}")
    return ";".join(kept), blocked


def is_remote(address: str) -> bool:
    try:
        return urlsplit(address.strip()).scheme.lower() in ("http", "https")
    except ValueError:
        return False


def _is_harmless(nodes: list[Node], addresses: list[str]) -> bool:
    """Whether only known functions and plain tokens occur; addresses that would be loaded are collected."""
    for node in nodes:
        if isinstance(node, URLToken):
            addresses.append(node.value)
        elif isinstance(node, FunctionBlock):
            if node.lower_name == "url":
                addresses.append("".join(n.value for n in node.arguments if n.type == "string"))
            elif node.lower_name not in _FUNCTIONS or not _is_harmless(node.arguments, addresses):
                return False
        elif node.type == "() block":
            if not _is_harmless(node.content, addresses):
                return False
        elif isinstance(node, ParseError) or node.type in ("{} block", "[] block", "at-keyword", "at-rule"):
            return False
    return True
