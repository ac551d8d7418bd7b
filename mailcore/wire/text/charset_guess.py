"""Guessing the charset of unlabelled text from its bytes: which reading makes common characters of nearly all of it.

Each candidate is judged by the part of the non-ASCII text that it reads as common characters of its language: the
first level of GB 2312, Big5 or JIS X 0208, Hangul syllables, small Cyrillic letters. Text of a few characters that
fits several is simplified Chinese.
"""

import re
import unicodedata

SAMPLE = 4096  # bytes that are looked at; more do not make the guess better

_UTF8_CHARACTER = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
_HIGH_RUN = re.compile(rb"[\x80-\xff]+")
# What each charset has: a character (lead and trail byte), and among the characters the common ones.
_GB = re.compile(
    rb"(?P<common>[\xb0-\xd7][\xa1-\xfe]|[\xa1\xa3][\xa1-\xfe])|[\x81-\xfe][\x40-\x7e\x80-\xfe]|(?P<bad>[\x80-\xff])"
)
_BIG5 = re.compile(
    rb"(?P<common>[\xa4-\xc6][\x40-\x7e\xa1-\xfe]|[\xa1-\xa2][\x40-\x7e\xa1-\xfe])|[\xc9-\xf9][\x40-\x7e\xa1-\xfe]|(?P<bad>[\x80-\xff])"
)
_SJIS = re.compile(
    rb"(?P<common>\x82[\x9f-\xf1]|\x83[\x40-\x96]|\x81[\x40-\x7e\x80-\xac]|[\x88-\x97][\x40-\x7e\x80-\xfc])"
    rb"|[\x81-\x9f\xe0-\xfc][\x40-\x7e\x80-\xfc]|(?P<half>[\xa1-\xdf])|(?P<bad>[\x80-\xff])"
)
_EUCJP = re.compile(
    rb"(?P<common>[\xa4\xa5\xa1\xb0-\xcf][\xa1-\xfe])|[\xa1-\xfe]{2}|\x8e[\xa1-\xdf]|(?P<bad>[\x80-\xff])"
)
_EUCKR = re.compile(
    rb"(?P<common>[\xb0-\xc8\xa1\xa3][\xa1-\xfe])|[\x81-\xfe][\x41-\x5a\x61-\x7a\x81-\xfe]|(?P<bad>[\x80-\xff])"
)
_KANA_SJIS = re.compile(rb"\x82[\x9f-\xf1]|\x83[\x40-\x96]")
_KANA_EUC = re.compile(rb"[\xa4\xa5][\xa1-\xf6]")
_ISO_2022_JP = re.compile(rb"\x1b(?:\$[@B]|\([BIJ])")
_HZ = re.compile(rb"~\{(?:[\x21-\x7e]{2})+~\}")


def is_mostly_utf8(data: bytes) -> bool:
    """Return True if nearly all non-ASCII bytes are part of valid UTF-8 characters: all but two, or one in twenty."""
    valid = sum(len(each) for each in _UTF8_CHARACTER.findall(data))
    stray = sum(len(run) for run in _HIGH_RUN.findall(_UTF8_CHARACTER.sub(b"", data)))
    return stray <= max(2, valid // 20) and stray * 5 <= valid


def is_plausible_utf8(text: str) -> bool:
    """Return False for valid UTF-8 that is rather a few Chinese characters of GBK, read as lone accents."""
    return not any("\x80" <= sign < "\u0800" and unicodedata.category(sign)[0] in "MC" for sign in text[:SAMPLE])


def guess_charset(data: bytes, *, single_byte: str = "") -> str:
    """Return the likely charset of bytes that are not plainly UTF-8, as a name of `charsets`.

    With `single_byte` that charset is returned unless the text is plainly in one of two bytes a character.
    """
    sample = data[:SAMPLE]
    if sample.isascii():
        return "iso2022jp" if _ISO_2022_JP.search(sample) else "hz" if _HZ.search(sample) else "utf-8"
    runs = _HIGH_RUN.findall(sample)
    high = b"".join(runs)
    scores = _scores(sample, high)
    best = max(scores, key=lambda name: scores[name])
    if is_mostly_utf8(sample) and scores[best] < 0.9:
        return "utf-8"
    if scores[best] < 0.75 and _is_latin(sample, runs):
        return single_byte or "cp1252"
    if single_byte:
        return best if scores[best] >= 0.9 and len(high) >= 8 else single_byte
    if cyrillic := _cyrillic(high, runs, scores["gb18030"]):
        return cyrillic
    if scores[best] < 0.3:
        return "cp1252"
    return best if scores[best] > scores["gb18030"] + 0.02 else "gb18030"


def _scores(sample: bytes, high: bytes) -> dict[str, float]:
    """Return for each charset of two bytes the part of the text it reads as common characters, less what is broken."""
    scores = {
        "gb18030": _score(_GB, realign_pairs(sample)),
        "big5": _score(_BIG5, sample),
        "cp932": _score(_SJIS, sample) if _share(_KANA_SJIS, sample, high) >= 0.2 else 0.0,
        "eucjp": _score(_EUCJP, sample) if _share(_KANA_EUC, sample, high) >= 0.2 else 0.0,
        "cp949": _score(_EUCKR, sample),
    }
    # Hangul has the rows of half of the common Chinese characters: only a text wholly in them, of some length, is it.
    pairs = [lead for lead in high[::2] if lead >= 0xB0]
    spaced = re.search(rb"[\xa1-\xfe] [\xa1-\xfe]", sample) is not None
    if len(pairs) < (4 if spaced else 6) or max(pairs) > 0xC8:
        scores["cp949"] = 0.0
    elif scores["cp949"] > 0.9:
        scores["cp949"] += 0.1
    if scores["eucjp"] > 0.9:
        scores["eucjp"] += 0.1
    return scores


def _score(characters: re.Pattern[bytes], sample: bytes) -> float:
    common = other = bad = 0
    for match in characters.finditer(sample):
        if match.lastgroup == "common":
            common += 1
        elif match.lastgroup == "bad":
            bad += 1
        else:
            other += 1
    total = common + other + bad
    return (common - 2 * bad) / total if total else 0.0


def _share(kana: re.Pattern[bytes], sample: bytes, high: bytes) -> float:
    return 2 * len(kana.findall(sample)) / max(len(high), 1)


def _is_latin(sample: bytes, runs: list[bytes]) -> bool:
    """Return True if most non-ASCII bytes stand alone among ASCII letters, as in Western European text."""
    alone = sum(len(run) == 1 for run in runs)
    return alone * 2 >= sum(map(len, runs)) and len(runs) * 2 < sum(byte < 0x80 for byte in sample) + len(runs)


_KOI8_SMALL, _KOI8_FREQUENT = range(0xC0, 0xE0), frozenset("оеаинт".encode("koi8_r"))
_1251_SMALL, _1251_FREQUENT = range(0xE0, 0x100), frozenset("оеаинт".encode("cp1251"))


def _cyrillic(high: bytes, runs: list[bytes], chinese: float) -> str:
    """Return the charset if the text is Russian, else "".

    Its words are of small letters, the usual ones frequent; they have odd lengths too, or do not read as Chinese.
    """
    odd = any(len(run) % 2 for run in runs)
    for name, small, frequent in (
        ("koi8_r", _KOI8_SMALL, _KOI8_FREQUENT),
        ("cp1251", _1251_SMALL, _1251_FREQUENT),
    ):
        share = sum(byte in small for byte in high) / len(high)
        usual = sum(byte in frequent for byte in high) / len(high)
        if share >= 0.75 and usual >= 0.3 and min(high) >= 0xA3 and (odd or chinese < 0.75):
            return name
    return ""


def realign_pairs(data: bytes) -> bytes:
    """Return GBK text without the stray bytes that shift its pairs, for runs of an odd number of bytes.

    After a lost or added byte every pair of the run begins one byte late. The cheapest reading leaves out one byte for
    it: a pair of a common character costs 0, another pair 3, a byte left out 8.
    """
    return _ODD_RUN.sub(lambda match: _realign(match[0]), data)


_ODD_RUN = re.compile(rb"(?<![\x80-\xff])(?:[\x80-\xff]{2}){2,1000}[\x80-\xff](?![\x30-\x39\x40-\x7e\x80-\xff])")


def _realign(run: bytes) -> bytes:
    costs, choices = [0, 8], [0, 1]  # of the first n bytes; how many bytes the last step takes
    for end in range(2, len(run) + 1):
        lead, trail = run[end - 2], run[end - 1]
        pair = costs[end - 2] + (0 if 0xB0 <= lead <= 0xD7 or (lead in (0xA1, 0xA3) and trail >= 0xA1) else 3)
        single = costs[end - 1] + 8
        costs.append(min(pair, single))
        choices.append(2 if pair <= single else 1)
    kept: list[bytes] = []
    end = len(run)
    while end:
        kept.append(run[end - 2 : end] if choices[end] == 2 else b"\xff")
        end -= choices[end]
    return b"".join(reversed(kept))
