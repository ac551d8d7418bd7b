"""Conversion of bytes to text for every charset label used in mail, and folding of text for comparison.

No function raises: what cannot be decoded becomes U+FFFD. Labels of old Chinese software mean more than they say: every
name of GB 2312 and GBK is read as GB 18030, Big5 as code page 950 and then with the Hong Kong supplement.
"""

import codecs
import unicodedata
from collections.abc import Callable
from functools import lru_cache

Decoder = Callable[[bytes], str]

_GB = ("gb2312 gbk cp936 x-gbk gb_2312-80 gb231280 gb2312-80 euc-cn euccn gb18030 gb18030-2000 gb18030-2005 "
       "ms936 windows-936 csgb2312 iso-ir-58 chinese gb_2312 gb-2312 x-cp20936 hz-cp936")  # fmt: skip
_BIG5 = "big5 big-5 cp950 big5-tw csbig5 x-x-big5 ms950 windows-950 big5-hkscs big5hkscs big5_hkscs"
_LATIN = "iso-8859-1 iso8859-1 iso_8859-1 latin1 latin-1 l1 cp819 windows-1252 cp1252 x-ansi iso-8859-1-windows"
_ASCII = (
    "us-ascii ascii ansi_x3.4-1968 iso646-us iso-646-us x-unknown unknown-8bit unknown default 8bit binary"
    " x-user-defined"
)
# Python's text codecs that are not charsets of mail; punycode takes quadratic time.
_NOT_CHARSETS = frozenset({"punycode", "idna", "unicode_escape", "raw_unicode_escape", "undefined", "mbcs", "oem"})


def guess_text(data: bytes) -> str:
    """Decode unlabelled bytes: strict UTF-8, then GB 18030, then Big5, then Windows-1252."""
    for charset in ("utf-8", "gb18030", "cp950", "big5hkscs"):
        try:
            return data.decode(charset)
        except UnicodeDecodeError:
            pass
    return data.decode("cp1252", "replace")


def decode_text(data: bytes, label: str) -> str:
    """Decode bytes under a charset label of a message (any case, perhaps unknown or wrong)."""
    if data.isascii() and _ascii_means_itself(label):
        return data.decode("ascii")
    return _decoder(label[:40].strip(" '\"").lower())(data)


def fold_text(text: str) -> str:
    """Return the form in which texts are compared: NFKC, case-folded, without NUL, which databases refuse."""
    folded = text.lower() if text.isascii() else unicodedata.normalize("NFKC", text).casefold()
    return folded.replace("\0", "") if "\0" in folded else folded


@lru_cache(256)
def _ascii_means_itself(label: str) -> bool:
    lowered = label.lower()
    return not lowered.startswith(
        ("utf-7", "utf7", "unicode-1-1-utf-7", "utf-16", "utf16", "utf-32", "hz", "iso-2022", "x-imap4")
    )


@lru_cache(256)
def _decoder(label: str) -> Decoder:
    name = label.replace("_", "-")
    if name in _GB.replace("_", "-").split():
        return lambda data: data.decode("gb18030", "replace")
    if name in _BIG5.replace("_", "-").split():
        return _big5
    if name in _LATIN.replace("_", "-").split():
        return lambda data: data.decode("cp1252", "replace")
    if name in _ASCII.replace("_", "-").split() or not name:
        return guess_text
    if name in ("utf-8", "utf8", "unicode-1-1-utf-8", "x-utf-8", "utf8mb4"):
        return _utf8
    if name in ("hz", "hz-gb-2312", "hz-gb2312"):
        return lambda data: data.decode("hz", "replace")
    if name == "unicode-1-1-utf-7":
        name = "utf-7"
    if name in ("ks-c-5601-1987", "ks-c-5601", "euc-kr", "ksc5601"):
        name = "cp949"
    if name in ("shift-jis", "sjis", "x-sjis", "ms-kanji"):
        name = "cp932"
    try:
        found = codecs.lookup(name)
    except (LookupError, ValueError):
        return guess_text
    if found.name in _NOT_CHARSETS or not getattr(found, "_is_text_encoding", True):
        return guess_text
    return lambda data: _strip_surrogates(found.decode(data, "replace")[0])


def _utf8(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        # Text cut inside its last character is still UTF-8; anything else may have a wrong label.
        if error.end >= len(data) - 3 and error.start > 0:
            return data.decode("utf-8", "replace")
        decoded = guess_text(data)
        return data.decode("utf-8", "replace") if "\ufffd" in decoded else decoded


def _big5(data: bytes) -> str:
    for charset in ("cp950", "big5hkscs"):
        try:
            return data.decode(charset)
        except UnicodeDecodeError:
            pass
    return data.decode("cp950", "replace")


def _strip_surrogates(text: str) -> str:
    """Return `text` without lone surrogates, which UTF-7 and UTF-16 can express and databases cannot store."""
    return text.encode("utf-8", "replace").decode("utf-8")
