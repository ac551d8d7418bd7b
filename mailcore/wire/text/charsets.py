"""Conversion of bytes to text for every charset label used in mail, and folding of text for comparison.

Labels mean what the WHATWG Encoding Standard says (webencodings has its table), and some more that mail programs use.
No function raises: a byte that cannot be decoded becomes U+FFFD and what follows it is read as if it were not there.
"""

import codecs
import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache

import webencodings  # type: ignore[import-untyped]

from mailcore.wire.text.charset_guess import guess_charset, is_mostly_utf8, is_plausible_utf8, realign_pairs

Decoder = Callable[[bytes], str]

# Labels of mail programs that the Encoding Standard does not have, by the Python codec that reads them.
_MORE_LABELS = {
    "gb18030": "gb-2312 gb2312-1980 cp936 ms936 windows-936 x-cp936 x-cp20936 euc-cn euccn x-euc-cn gb18030-2000"
    " gb18030-2005 gb18030-2022 hz-cp936 csgb18030 zh-cn",
    "big5": "big-5 cp950 ms950 windows-950 x-cp950 big5-tw big5-eten big5-2003 big5hkscs hkscs x-windows-950 zh-tw",
    "cp932": "cp932 windows-932 x-ms-cp932 cswindows31j shift-jisx0213",
    "cp949": "cp949 uhc ms949 windows-949-2000 x-windows-949 x-uhc ksc5601 ks-c-5601-1992 ksc",
    "eucjp": "eucjp euc-jp-ms eucjpms eucjp-ms cp51932 x-eucjp x-euc",
    "iso2022jp": "iso-2022-jp-1 iso-2022-jp-ms cp50220 cp50221 cp50222 csiso2022jp2 jis iso2022jp",
    "cp1252": "latin-1 8859-1 iso-8859-1-windows x-ansi ansi cp819 windows-latin-1",
    "guess": "unknown unknown-8bit x-unknown default 8bit binary none us ascii-8bit windows x-user-defined"
    " us-ascii ascii ansi-x3.4-1968 ansi-x3.4-1986 iso646-us iso-646-us iso-ir-6 cp367 ibm367 csascii",
    "cp1251": "win-1251 windows1251 cp-1251",
    "koi8_r": "koi8r koi-8 koi8-ru",
    "iso2022_kr": "iso-2022-kr csiso2022kr",
    "hz": "hz hz-gb-2312 hz-gb2312",
    "utf-7": "unicode-1-1-utf-7 utf-7 x-unicode-2-0-utf-7 csunicode11utf7",
    "utf-8": "utf8mb4 x-utf-8 utf-8-bom cp65001 unicode-utf-8",
}
_BY_WHATWG_NAME = {
    "gbk": "gb18030", "big5": "big5", "shift_jis": "cp932", "euc-kr": "cp949", "euc-jp": "eucjp",
    "iso-2022-jp": "iso2022jp", "windows-1252": "cp1252", "x-user-defined": "guess", "replacement": "guess",
}  # fmt: skip
# Python's text codecs that are not charsets of mail; punycode takes quadratic time.
_NOT_CHARSETS = frozenset({"punycode", "idna", "unicode_escape", "raw_unicode_escape", "undefined", "mbcs", "oem"})
# Beginnings of the labels under which ASCII bytes mean something else.
_SEVEN_BIT = (
    *("utf-7", "utf7", "unicode", "csunicode", "x-unicode", "utf-16", "utf16", "utf-32", "ucs-2", "hz", "x-imap4"),
    *("iso-2022", "iso2022", "csiso2022", "jis", "cp5022", "cp037", "ibm037", "ebcdic"),
)


def guess_text(data: bytes, hint: str = "") -> str:
    """Decode unlabelled bytes; `hint` is the charset that text beside them has, or ""."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        pass
    else:
        if b"\x1b$" not in data and b"~{" not in data and is_plausible_utf8(text):
            return text
    if hint and (hinted := _decode_strictly(data, hint)) is not None:
        return hinted
    return _DECODERS[guess_charset(data)](data)


def decode_text(data: bytes, label: str) -> str:
    """Decode bytes under a charset label of a message (any case, perhaps unknown or wrong)."""
    if data.isascii() and b"\x1b$" not in data and _ascii_means_itself(label):
        return data.decode("ascii")
    return _decoder(label[:40])(data)


def decode_file(data: bytes) -> str:
    r"""Decode a text file of unknown origin: by its byte order mark, as UTF-16 if it looks so, else guessed.

    Line ends of every kind become "\n".
    """
    for mark, charset in ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16")):
        if data.startswith(mark):
            text = data.decode(charset, "replace")
            break
    else:
        sample = data[:1000]
        text = data.decode(_utf16_order(sample), "replace") if _utf16_order(sample) else guess_text(data)
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def _utf16_order(sample: bytes) -> str:
    """Return the charset of UTF-16 without a mark, in which ASCII signs such as line ends have a zero byte, or ""."""
    zeroes = (sample[0::2].count(0), sample[1::2].count(0))
    if max(zeroes) < len(sample) // 20 or not any(zeroes):
        return ""
    return "utf-16-be" if zeroes[0] > zeroes[1] else "utf-16-le"


def fold_text(text: str) -> str:
    """Return the form in which texts are compared: NFKC, case-folded, without NUL, which databases refuse."""
    folded = text.lower() if text.isascii() else unicodedata.normalize("NFKC", text).casefold()
    return folded.replace("\0", "") if "\0" in folded else folded


def _decode_strictly(data: bytes, label: str) -> str | None:
    """Return the text if every byte of it has a meaning under `label`, else None."""
    text = decode_text(data, label)
    return None if "\ufffd" in text or any("\ue000" <= sign <= "\uf8ff" for sign in text) else text


@lru_cache(256)
def _ascii_means_itself(label: str) -> bool:
    return not label.strip(" '\"").lower().replace("_", "-").startswith(_SEVEN_BIT)


@lru_cache(256)
def _decoder(label: str) -> Decoder:
    name = label.strip(" \t'\"").lower()
    if not name:
        return guess_text
    for spelling in (name, name.replace("_", "-")):
        if found := _MORE.get(spelling):
            return found
        if encoding := webencodings.lookup(spelling):
            known = _BY_LABEL.get(_BY_WHATWG_NAME.get(encoding.name, encoding.name))
            return known or _with_codec(encoding.codec_info)
    try:
        codec = codecs.lookup(name)
    except (LookupError, ValueError):
        return guess_text
    if codec.name in _NOT_CHARSETS or not getattr(codec, "_is_text_encoding", True):
        return guess_text
    return _with_codec(codec)


def _with_codec(codec: codecs.CodecInfo) -> Decoder:
    """Return the decoder of a Python codec; lone surrogates, which databases cannot store, become U+FFFD."""
    return lambda data: codec.decode(data, "replace")[0].encode("utf-8", "replace").decode("utf-8")


def _utf8(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        is_cut = error.end >= len(data) - 3 and error.start > 0  # inside its last character
        return data.decode("utf-8", "replace") if is_cut or is_mostly_utf8(data) else guess_text(data)


def _or_utf8(decoder: Decoder) -> Decoder:
    """Return a decoder for a label that old software also writes over UTF-8 text.

    Text is read as UTF-8 if (nearly) all of it is valid and a character of three bytes is among it, which two bytes of
    another charset hardly ever look like.
    """

    def decode(data: bytes) -> str:
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            if not is_mostly_utf8(data):
                return decoder(data)
            text = data.decode("utf-8", "replace")
        return text if any(sign >= "\u0800" for sign in text) else decoder(data)

    return decode


def _latin(data: bytes) -> str:
    """Decode text labelled Latin-1: Windows-1252, unless it is plainly UTF-8 or a charset of two bytes a character."""
    try:
        text = guess_text(data) if b"\x1b$" in data else data.decode("utf-8")
    except UnicodeDecodeError:
        guessed = guess_charset(data, single_byte="cp1252")
        return data.decode("cp1252", "replace") if guessed == "cp1252" else _DECODERS[guessed](data)
    return text


def _gb18030(data: bytes) -> str:
    return realign_pairs(data).decode("gb18030", "youju.euro")


def _euro(error: UnicodeError) -> tuple[str, int]:
    """Read the byte 80 of GBK as the euro sign, as the Encoding Standard does, and any other as U+FFFD."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return ("€" if error.object[error.start] == 0x80 else "\ufffd"), error.start + 1


codecs.register_error("youju.euro", _euro)


def _big5(data: bytes) -> str:
    """Decode Big5: code page 950, with the Hong Kong supplement where that has no character."""
    try:
        return data.decode("cp950")
    except UnicodeDecodeError:
        plain, extended = data.decode("cp950", "replace"), data.decode("big5hkscs", "replace")
    return extended if extended.count("\ufffd") < plain.count("\ufffd") else plain


def _eucjp(data: bytes) -> str:
    """Decode EUC-JP with NEC row 13 (①, ㈱) and the IBM extensions, as eucJP-ms."""
    try:
        return data.decode("euc_jp")
    except UnicodeDecodeError:
        return data.decode("euc_jp", "youju.jis")


def _jis_extension(error: UnicodeError) -> tuple[str, int]:
    """Read two bytes that JIS X 0208 does not define by code page 932."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    pair = error.object[error.start : error.start + 2]
    if len(pair) == 2 and all(0xA1 <= byte <= 0xFE for byte in pair):
        return _cp932_pair(pair[0] - 0xA0, pair[1] - 0xA0), error.start + 2
    return "\ufffd", error.start + 1


codecs.register_error("youju.jis", _jis_extension)


def _cp932_pair(row: int, cell: int) -> str:
    """Return the character of a row and cell (1 to 94) of JIS X 0208 with the extensions of code page 932."""
    lead = (row - 1) // 2 + (0x81 if row < 63 else 0xC1)
    trail = cell + (0x3F if cell < 64 else 0x40) if row % 2 else cell + 0x9E
    return bytes((lead, trail)).decode("cp932", "replace")[:1]


_ESCAPE = re.compile(rb"\x1b(\([ABHIJ]|\$[@AB]|\$\([CD@AB]|&@\x1b\$B|\.[AF]|N.)|[\x0e\x0f]")


def _iso2022jp(data: bytes) -> str:
    """Decode ISO-2022-JP with half-width katakana and NEC row 13, as code page 50221."""
    out: list[str] = []
    at, charset = 0, "ascii"
    for match in _ESCAPE.finditer(data):
        out.append(_iso2022_piece(data[at : match.start()], charset))
        at = match.end()
        charset = _ISO2022_SETS.get(match[1] or match[0], charset)
    out.append(_iso2022_piece(data[at:], charset))
    return "".join(out)


_ISO2022_SETS = {
    b"(A": "ascii", b"(B": "ascii", b"(H": "ascii", b"(J": "ascii", b"(I": "kana", b"$@": "jis", b"$B": "jis",
    b"$(@": "jis", b"$(B": "jis", b"&@\x1b$B": "jis", b"$A": "gb2312", b"$(A": "gb2312", b"$(C": "cp949",
    b"$(D": "jis2", b"\x0e": "kana", b"\x0f": "ascii",
}  # fmt: skip


def _iso2022_piece(data: bytes, charset: str) -> str:
    """Decode bytes between two escape sequences; a line end or a raw 8-bit byte ends no character set."""
    match charset:
        case "ascii":
            return data.decode("ascii") if data.isascii() else data.decode("cp932", "replace")
        case "kana":
            return bytes(byte | 0x80 if 0x21 <= byte <= 0x5F else byte for byte in data).decode("cp932", "replace")
        case "jis":
            raised = bytes(byte | 0x80 if 0x21 <= byte <= 0x7E else byte for byte in data)
            return _eucjp(raised)
        case "jis2":
            raised = re.sub(rb"([\x21-\x7e])([\x21-\x7e])", lambda m: bytes((0x8F, m[1][0] | 128, m[2][0] | 128)), data)
            return _eucjp(raised)
    return bytes(byte | 0x80 if 0x21 <= byte <= 0x7E else byte for byte in data).decode(charset, "replace")


# What a guess means, by the name of the charset.
_DECODERS: dict[str, Decoder] = {
    "utf-8": lambda data: data.decode("utf-8", "replace"),
    "gb18030": _gb18030,
    "big5": _big5,
    "cp932": lambda data: data.decode("cp932", "replace"),
    "cp949": lambda data: data.decode("cp949", "replace"),
    "eucjp": _eucjp,
    "iso2022jp": _iso2022jp,
    "hz": lambda data: data.decode("hz", "replace"),
    "koi8_r": lambda data: data.decode("koi8_r", "replace"),
    "cp1251": lambda data: data.decode("cp1251", "replace"),
    "cp1252": lambda data: data.decode("cp1252", "replace"),
}
# What a label means: several of them also stand over text in other charsets.
_BY_LABEL: dict[str, Decoder] = _DECODERS | {
    "utf-8": _utf8,
    "utf-7": _with_codec(codecs.lookup("utf-7")),
    "iso2022_kr": _with_codec(codecs.lookup("iso2022_kr")),
    "gb18030": _or_utf8(_gb18030),
    "big5": _or_utf8(_big5),
    "cp1252": _latin,
    "guess": guess_text,
}
_MORE = {label: _BY_LABEL[name] for name, labels in _MORE_LABELS.items() for label in labels.split()}
