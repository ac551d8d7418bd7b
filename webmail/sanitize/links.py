"""Web and mail addresses in plain text: found word by word in linear time, written as links by bleach.

A web address with a scheme may have any host: an IP address, an intranet name, an internationalised domain. One
without a scheme begins with "www." or lies under one of `_BARE_DOMAINS`. Delimiters follow RFC 3986 appendix C.
"""

import html
import re
import string
from typing import Final, NamedTuple
from urllib.parse import quote

from bleach.linkifier import Linker  # type: ignore[import-untyped]

LONGEST: Final = 4000  # characters of one address; longer words stay text

# Domains below which a name without scheme is a link; endings of file names (.py, .md, .sh, .zip) are none of them.
_BARE_DOMAINS = "com|net|org|edu|gov|info|biz|cn|hk|tw|eu|de|uk|fr|jp|kr|ru|xyz|top|vip|shop|中国|中國|公司|网络|網絡"
# Words end at white space, quotation marks, angle brackets, and full-width or typographic punctuation.
_WORD = re.compile(
    r"""[^\s<>"`\\\u00ab\u00bb\u2013\u2014\u2018-\u201f\u2026\u3000-\u303f\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65]++"""
)
_MAY_LINK = re.compile(rf"://|www\.|@|\.(?:{_BARE_DOMAINS})", re.IGNORECASE)
_ALPHABETIC = r"a-z\u00c0-\u024f\u0370-\u1fff"  # letters of scripts that put spaces between words
# A label in such a script that CJK text follows directly is the last one: the host of "x.com谢谢" is x.com.
_HOST = rf"(?:[\w-]++\.)*(?:[{_ALPHABETIC}0-9_-]++|[\w-]++)"
_DOMAIN = rf"(?:[\w-]++\.)+(?:[{_ALPHABETIC}][{_ALPHABETIC}0-9-]++|(?![{_ALPHABETIC}0-9_])\w++)"
_REST = r"(?::[0-9]{1,5})?(?:[/?#].*)?"
_WEB_START = re.compile(r"https?://|(?<![a-z0-9@./_-])www\.", re.IGNORECASE)
_WEB = re.compile(rf"(?:https?://(?:[^/?#@\[\]]++@)?(?:\[[0-9a-f:.]++\]|{_HOST})|www\.{_HOST}){_REST}", re.IGNORECASE)
_BARE = re.compile(rf"(?<![a-z0-9@./_-])(?:[a-z0-9-]++\.)+(?:{_BARE_DOMAINS})(?![\w@-]|\.\w){_REST}", re.IGNORECASE)
_ATEXT = string.ascii_letters + string.digits + ".!#$%&*+/=?^_{|}~-"
_LOCAL_OTHER = re.compile(r"[\w.]++")
_MAIL_DOMAIN = re.compile(_DOMAIN, re.IGNORECASE)
_DECORATION = ".*~/&!?|="
_TRAILING = ".,;:!?'*_~|"
_PAIRS = {")": "(", "]": "[", "}": "{"}
_LINKER = Linker(callbacks=[], url_re=re.compile(r"\A\S+\Z"), email_re=re.compile(r"\A\S+\Z"), parse_email=False)


def link_addresses(line: str, most: int) -> tuple[str, int]:
    """Return (a line of text as HTML, the number of links in it); only the first `most` addresses become links."""
    if not _MAY_LINK.search(line):
        return html.escape(line), 0
    out: list[str] = []
    at = count = 0
    for word in _WORD.finditer(line):
        if word.end() - word.start() > 2 * LONGEST:
            continue
        end = 0
        while count < most and (found := _find_address(word[0], end)):
            start, end = found.start, found.end
            out += (html.escape(line[at : word.start() + start]), _write_link(word[0][start:end], found.is_mail))
            at = word.start() + end
            count += 1
    return "".join((*out, html.escape(line[at:]))), count


def _write_link(address: str, is_mail: bool) -> str:
    shown = html.escape(address)
    if is_mail:
        return f'<a href="mailto:{quote(address, safe="@.+-_=~!$*")}">{shown}</a>'
    return str(_LINKER.linkify(shown))


class _Found(NamedTuple):
    start: int
    end: int
    is_mail: bool


def _find_address(word: str, at: int) -> _Found | None:
    """Return the first address at or after `at` in a word without white space."""
    if (start := _WEB_START.search(word, at)) and (match := _WEB.match(word, start.start())):
        return _trim(match)
    while (sign := word.find("@", at)) >= 0:
        if found := _mail_around(word, at, sign):
            return found
        at = sign + 1
    match = _BARE.search(word, at)
    return _trim(match) if match else None


def _trim(match: re.Match[str]) -> _Found | None:
    """Return a web address without the sentence's punctuation after it and without unbalanced brackets."""
    address = match[0]
    if len(address) > LONGEST:
        return None
    surplus = {close: address.count(close) - address.count(open_) for close, open_ in _PAIRS.items()}
    end = len(address)
    while address[end - 1] in _TRAILING or surplus.get(address[end - 1], 0) > 0:
        if address[end - 1] in surplus:
            surplus[address[end - 1]] -= 1
        end -= 1
    return _Found(match.start(), match.start() + end, is_mail=False)


def _mail_around(word: str, at: int, sign: int) -> _Found | None:
    """Return the mail address around the "@" at `sign`, of which nothing stands before `at`.

    Of text that precedes an ASCII local part directly, nothing belongs to the address ("联系zs@x.top"); a local part
    in another script must begin the word, for nothing else tells where it begins.
    """
    domain = _MAIL_DOMAIN.match(word, sign + 1)
    if domain is None or word[domain.end() : domain.end() + 1] == "@":
        return None
    before = word[max(at, sign - 64) : sign]  # 64: the longest local part (RFC 5321 §4.5.3.1.1)
    local = before[len(before.rstrip(_ATEXT)) :]
    if not local and _LOCAL_OTHER.fullmatch(other := word[at:sign].lstrip(",;")):
        local = other
    if word[: sign - len(local)].endswith("@") or not (local := local.lstrip(_DECORATION)):
        return None
    return _Found(sign - len(local), domain.end(), is_mail=True)
