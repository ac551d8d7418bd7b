"""The readable text of a message, for search and previews: parts decoded, markup removed.

Bounded: at most MAX_TEXT characters are returned, and little more is ever decoded.
"""

import html
import io
import re

from mailcore.wire.message import headers
from mailcore.wire.message.mime import Content, Part
from mailcore.wire.text.charsets import decode_text

MAX_TEXT = 256 * 1024
# Markup is most of an HTML part: this many bytes are decoded for a character of text.
_HTML_SHARE = 4

_TAG = re.compile(r"<[^<>]*>")
_BLOCK = re.compile(r"</?(?:p|div|br|tr|td|th|li|ul|ol|h[1-6]|table|blockquote|hr|pre)\b[^<>]*>", re.IGNORECASE)
_HIDDEN = re.compile(r"<(script\b|style\b|title\b|head\b|!--)", re.IGNORECASE)
_CLOSE = {name: re.compile(f"</{name}[^<>]*>?", re.IGNORECASE) for name in ("script", "style", "title", "head")}
_CLOSE["!--"] = re.compile("-->")
_CHARSET = re.compile(rb"""<meta[^>]{1,200}?charset\s*=\s*["']?([\w.:-]{2,40})""", re.IGNORECASE)


def decoded_bytes(content: Content, part: Part, limit: int) -> bytes:
    """Return a part's body without its transfer encoding, about `limit` bytes at most."""
    match part.encoding:
        case "base64":
            return headers.decode_base64(
                content[part.body : min(part.end, part.body + limit * 4 // 3 + limit // 16 + 4)]
            )
        case "quoted-printable":
            return headers.decode_quoted_printable(content[part.body : min(part.end, part.body + limit * 3)])
        case "x-uuencode" | "uuencode" | "x-uue":
            return b""
    return content[part.body : min(part.end, part.body + limit)]


def readable_text(content: Content, part: Part, limit: int = MAX_TEXT) -> str:
    """Return the text of one text part, lines separated by LF."""
    text = decoded_text(content, part, limit)
    if _is_html(part):
        text = strip_markup(text)
    # Several times as fast as replacing CRLF, and handles the lone CR of old Mac text.
    return io.IncrementalNewlineDecoder(None, translate=True).decode(text, final=True)


def decoded_text(content: Content, part: Part, limit: int = MAX_TEXT) -> str:
    """Return one text part as characters, with its markup."""
    is_html = _is_html(part)
    data = decoded_bytes(content, part, limit * _HTML_SHARE if is_html else limit)
    return decode_text(data, part.content_type.raw("charset") or (meta_charset(data) if is_html else ""))


def meta_charset(data: bytes) -> str:
    """Return the charset that an HTML document names itself (HTML Living Standard §13.2.3.2), or ""."""
    match = _CHARSET.search(data[:2000])
    return match[1].decode("latin-1") if match else ""


def _is_html(part: Part) -> bool:
    return part.subtype in ("html", "xhtml", "xhtml+xml")


def strip_markup(markup: str) -> str:
    """Return HTML without tags, scripts and styles, in linear time. This is not a sanitizer."""
    out: list[str] = []
    unclosed: set[str] = set()
    at = 0
    while match := _HIDDEN.search(markup, at):
        name = match[1].lower()
        end = None if name in unclosed else _CLOSE[name].search(markup, match.end())
        if end is not None:
            out.append(markup[at : match.start()])
            at = end.end()
        elif name in ("script", "style"):  # never closed: nothing after it is text
            return _strip(" ".join((*out, markup[at : match.start()])))
        else:
            out.append(markup[at : match.end()])
            unclosed.add(name)
            at = match.end()
    return _strip(" ".join((*out, markup[at:])))


def _strip(markup: str) -> str:
    return html.unescape(_TAG.sub("", _BLOCK.sub("\n", markup)))


def leaf_parts(part: Part) -> list[Part]:
    """Return the parts with content of their own, in order, those of nested messages included."""
    if part.children:
        return [leaf for child in part.children for leaf in leaf_parts(child)]
    return leaf_parts(part.message) if part.message is not None else [part]


def make_preview(text: str, length: int = 200) -> str:
    """Return the first words of a text on one line (RFC 8970), quoted lines only if there are no others."""
    # The first 600 characters are enough for nearly every message.
    for share in (3, 10):
        lines = text[: length * share].split("\n")
        words = " ".join(" ".join([line for line in lines if not line.startswith(">")]).split())
        if len(words) >= length:
            break
    words = words or " ".join(" ".join(lines).split())
    return words[:length].replace("\0", "")
