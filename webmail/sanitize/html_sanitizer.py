"""Sanitizer for untrusted HTML (nh3, an allow-list); its output goes to the page unchanged.

Links, images and styles are rewritten during sanitizing, in nh3's attribute filter, so nothing edits the HTML
afterwards. Used for whole HTML messages, which are shown in a sandboxed frame with a URL of its own, and for the links
that `webmail.sanitize.plain_text` creates.
"""

import hashlib
import logging
import re
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape, unescape
from html.entities import html5
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import nh3

from webmail.sanitize import css_sanitizer

log = logging.getLogger("webmail.sanitizer")

LARGEST = 2_000_000  # characters; longer messages are truncated

_TAGS = set(
    """a abbr acronym address area article aside b bdi bdo big blockquote br caption center cite code col colgroup
    dd del details dfn dir div dl dt em figcaption figure font footer h1 h2 h3 h4 h5 h6 header hgroup hr i img ins
    kbd li main map mark nav ol p pre q rp rt ruby s samp section small span strike strong sub summary sup table
    tbody td tfoot th thead time tr tt u ul var wbr""".split()  # noqa: SIM905
)
_DROPPED_WHOLE = set(
    """applet audio canvas embed frame frameset head iframe math noembed noframes noscript object option
    plaintext script select style svg template textarea title video xmp""".split()  # noqa: SIM905
)
_ATTRIBUTES = {
    "*": {"style", "dir", "lang", "title", "align", "valign", "width", "height", "bgcolor", "color"},
    "a": {"href", "name"},
    "area": {"href", "shape", "coords", "alt"},
    "img": {"src", "alt", "border", "hspace", "vspace"},
    "map": {"name"},
    "table": {"background", "border", "cellpadding", "cellspacing", "rules", "frame", "summary"},
    "td": {"background", "colspan", "rowspan", "nowrap", "abbr", "scope", "headers"},
    "th": {"background", "colspan", "rowspan", "nowrap", "abbr", "scope", "headers"},
    "tr": {"background"},
    "tbody": {"background"},
    "div": {"background"},
    "col": {"span"},
    "colgroup": {"span"},
    "font": {"face", "size"},
    "ol": {"start", "type", "reversed"},
    "ul": {"type"},
    "li": {"value", "type"},
    "hr": {"size", "noshade"},
    "br": {"clear"},
    "time": {"datetime"},
    "blockquote": {"type"},
    "details": {"open"},
}
_SCHEMES = {"http", "https", "mailto", "tel", "cid", "data"}
_DATA_IMAGE = re.compile(r"data:image/(?:png|gif|jpe?g|webp|bmp);base64,[A-Za-z0-9+/=\s]*")
_TAG = re.compile(r"<(/?)([a-zA-Z][^\s/>]*)")
_VOID = frozenset(
    ["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr"]
)
# Elements that the next one closes: a thousand unclosed ones are merely sloppy, not an attack.
_SELF_ENDING = frozenset(["p", "li", "dt", "dd", "tr", "td", "th", "thead", "tbody", "tfoot", "colgroup", "option"])
DEEPEST = 400
# Noncharacters (Unicode §23.7), which no text contains, for the characters that nh3 is slow at.
_HIDDEN_AMPERSAND = "\ufffe"
_HIDDEN = {0xA0 + index: 0xFDD0 + index for index in range(32)}
_HIDING = dict.fromkeys([*range(0x80, 0xA0), *range(0xFDD0, 0xFDF0), 0xFFFE]) | _HIDDEN
_SHOWING = {hidden: "&nbsp;" if sign == 0xA0 else chr(sign) for sign, hidden in _HIDDEN.items()}
_SHOWING_IN_ATTRIBUTE = {hidden: chr(sign) for sign, hidden in _HIDDEN.items()} | {0xFFFE: "&"}
_REFERENCE = re.compile(r"&(?:#(?:[0-9]{1,7}+|[xX][0-9A-Fa-f]{1,6}+);?|([A-Za-z][A-Za-z0-9]{0,31};?))?")
_BODY = re.compile(r"<(/?)body(?=[\s>/])", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class SanitizedHtml:
    html: str
    blocked: int  # number of remote resources removed
    cut: bool = False  # too long or too deeply nested to be shown completely
    embedded: frozenset[str] = frozenset()  # Content-IDs of the message's own images that the HTML shows


class _Cache:
    """The sanitized HTML of messages read last, up to a total size; safe for threads.

    A page and its frame sanitize the same HTML one after the other: 140 ms for 1 MB of text with tags.
    """

    def __init__(self, most: int) -> None:
        self._most = most  # characters
        self._entries: OrderedDict[bytes, SanitizedHtml] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()

    def get(self, key: bytes) -> SanitizedHtml | None:
        with self._lock:
            if found := self._entries.get(key):
                self._entries.move_to_end(key)
            return found

    def add(self, key: bytes, entry: SanitizedHtml) -> None:
        with self._lock:
            if key not in self._entries and len(entry.html) <= self._most:
                self._entries[key] = entry
                self._size += len(entry.html)
            while self._size > self._most:
                self._size -= len(self._entries.popitem(last=False)[1].html)


_cache = _Cache(8_000_000)


def sanitize_html(
    html: str, images: Mapping[str, str] | None = None, *, remote: css_sanitizer.Remote | None = None
) -> SanitizedHtml:
    """Return a message's HTML, safe to show in its frame.

    `images` maps Content-IDs to data: URLs ("" for an image that is not shown). `remote` lets http and https images
    pass; it maps their URL to the one to write instead.
    """
    if remote or any((images or {}).values()):  # the output holds images or links that expire
        return _sanitize(html, images or {}, remote)
    key = hashlib.sha256("\0".join([*(images or ()), html]).encode("utf-8", "surrogatepass")).digest()
    if not (found := _cache.get(key)):
        found = _sanitize(html, images or {}, None)
        _cache.add(key, found)
    return found


def _sanitize(html: str, inside: Mapping[str, str], remote: css_sanitizer.Remote | None) -> SanitizedHtml:
    if is_too_deep(html[:LARGEST]):
        return SanitizedHtml(sanitize_text_markup(f"<div>{escape(_without_tags(html[:LARGEST]))}</div>"), 0, cut=True)
    embedded: set[str] = set()
    blocked = 0

    def embedded_image(value: str) -> str | None:
        """Return the data: URL of a cid: URL, whose Content-ID is percent-encoded (RFC 2392)."""
        written = value[4:].strip("<>")
        content_id = next((each for each in (written, unquote(written)) if each in inside), None)
        if content_id is None:
            return None
        embedded.add(content_id)
        return inside[content_id] or None

    def filter_image(value: str) -> str | None:
        nonlocal blocked
        value = value.strip()
        match value.partition(":")[0].lower():
            case "cid":
                return embedded_image(value)
            case "data":
                return value if _DATA_IMAGE.fullmatch(value) else None
            case "http" | "https":
                if remote:
                    return remote(value)
                blocked += 1
        if value.startswith("//"):
            if remote:
                return remote(f"https:{value}")
            blocked += 1
        return None

    def filter_attribute(_tag: str, name: str, value: str) -> str | None:
        nonlocal blocked
        # nh3 keeps a value unchanged if its filter raises: no exception may leave this function.
        try:
            value = value.translate(_SHOWING_IN_ATTRIBUTE)
            match name:
                case "style":
                    sanitized, dropped = css_sanitizer.sanitize_css(value, remote, embedded_image)
                    blocked += dropped
                    return sanitized or None
                case "src" | "background":
                    return filter_image(value)
                case "href":
                    return safe_link(value)
            return value
        except Exception:
            log.warning("cannot sanitize an attribute of a message; attribute dropped")
            return None

    sanitized = _clean(
        _BODY.sub(r"<\1div", html[:LARGEST]),
        tags=_TAGS,
        clean_content_tags=_DROPPED_WHOLE,
        attributes=_ATTRIBUTES,
        attribute_filter=filter_attribute,
        url_schemes=_SCHEMES,
        link_rel="noopener noreferrer",
        set_tag_attribute_values={"a": {"target": "_blank"}, "area": {"target": "_blank"}},
    )
    return SanitizedHtml(sanitized, blocked, len(html) > LARGEST, frozenset(embedded))


def _clean(html: str, **options: Any) -> str:
    """Return the output of nh3 for `html`, in linear time.

    For a text with n ampersands or signs from U+00A0 to U+00BF nh3's serializer takes n² steps (6 s for a million), so
    that noncharacters take their place meanwhile. An attribute filter sees these noncharacters.
    """
    html = _REFERENCE.sub(_hide_reference, html.translate(_HIDING))
    return nh3.clean(html, **options).replace(_HIDDEN_AMPERSAND, "&amp;").translate(_SHOWING)


def _hide_reference(match: re.Match[str]) -> str:
    """Return a character reference unless it means a hidden character, which is returned instead.

    A named one that runs on into other letters ("&copyright") counts as text, as it does in an attribute.
    """
    reference, name = match[0], match[1]
    if name and not name.endswith(";") and match.string.startswith("=", match.end()):
        return _HIDDEN_AMPERSAND + name  # text in an attribute (HTML Living Standard §13.2.5.73)
    meaning = html5.get(name, "") if name else unescape(reference)
    if reference == "&" or (name and not meaning):
        return _HIDDEN_AMPERSAND + reference[1:]
    if meaning == "&":
        return _HIDDEN_AMPERSAND
    hidden = meaning.translate(_HIDDEN)
    return reference if hidden == meaning else hidden


def is_too_deep(html: str) -> bool:
    """Return True if more elements are open at once, or on one tag more attributes, than any message needs.

    An HTML parser would take quadratic time for them.
    """
    for piece in html.split(">"):
        if len(piece) > 5000 and (tag := piece.rpartition("<"))[1] and _count_attributes(tag[2]) > 500:
            return True
    unclosed: dict[str, int] = {}
    depth = 0
    for closing, name in _TAG.findall(html):
        name = name.lower()
        if name in _VOID or name in _SELF_ENDING:
            continue
        if not closing:
            unclosed[name] = unclosed.get(name, 0) + 1
            depth += 1
            if depth > DEEPEST:
                return True
        elif unclosed.get(name):
            unclosed[name] -= 1
            depth -= 1
    return False


def _count_attributes(tag: str) -> int:
    return len(re.split(r"[\s/]+", re.sub(r"\"[^\"]*\"|'[^']*'", "", tag)))


def _without_tags(html: str) -> str:
    return re.sub(r"<[^<>]*>", " ", html)


def sanitize_text_markup(html: str) -> str:
    """Sanitize the output of `webmail.sanitize.plain_text`: only links and quotations remain."""
    return _clean(
        html,
        tags={"a", "blockquote", "div", "span"},
        clean_content_tags=_DROPPED_WHOLE,
        attributes={"a": {"href"}},
        allowed_classes={"div": {"sig"}, "span": {"flowed"}},
        attribute_filter=_text_attribute,
        url_schemes={"http", "https", "mailto", "tel"},
        link_rel="noopener noreferrer",
        set_tag_attribute_values={"a": {"target": "_blank"}},
    )


def _text_attribute(_tag: str, name: str, value: str) -> str | None:
    try:
        value = value.translate(_SHOWING_IN_ATTRIBUTE)
        return safe_link(value) if name == "href" else value
    except Exception:  # see sanitize_html
        return None


def safe_link(value: str) -> str | None:
    """Return a link's permitted target.

    Web addresses and telephone numbers stay, mail addresses lead to our own compose page; relative links are removed,
    for they have no base.
    """
    value = re.sub(r"[\x00-\x20]+", "", value) if value[:1].isspace() else value.strip()
    try:
        scheme = urlsplit(value).scheme.lower()
    except ValueError:
        return None
    if scheme in ("http", "https", "tel"):
        return value
    if scheme == "mailto":
        return f"/compose/?mailto={quote(value, safe='')}"
    return None
