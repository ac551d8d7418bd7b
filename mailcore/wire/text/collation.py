"""Sort keys for names in each language: the necessary part of UTS #10 and CLDR's tailorings, in pure Python.

Letters are compared first, accents only where letters are equal. The language's own script comes before others. The
order of Chinese characters is that of dictionaries, and the old character sets were laid out as dictionaries: GB 2312
by pinyin, Big5 by strokes, JIS X 0208 by reading. The rarer characters of their second levels follow by radical or
strokes.
"""

import functools
import re
import unicodedata
from collections.abc import Callable

Key = tuple[tuple[int, ...], tuple[int, ...], str]

# Alphabets in which a letter with a mark is a letter of its own; in all other languages marks are accents.
_ALPHABETS = {
    "es": "abcdefghijklmnñopqrstuvwxyz",
    "fa": "ءآاأؤئبپتثجچحخدذرزژسشصضطظعغفقکگلمنوهی",
    "pl": "aąbcćdeęfghijklłmnńoóprqsśtuvwxyzźż",
    "ru": "абвгдежзийклмнопрстуфхцчшщъыьэюя",
    "tr": "abcçdefgğhıijklmnoöpqrsştuüvwxyz",
    "uk": "абвгґдеєжзиіїйклмнопрстуфхцчшщьюя",
    "vi": "aăâbcdđeêfghijklmnoôơpqrstuưvwxyz",
}
_PLAIN = {"ł": "l", "đ": "d", "ø": "o", "ı": "i", "æ": "ae", "œ": "oe", "þ": "th", "ð": "d"}
# Scripts in the order of the language, by the first word of their characters' Unicode names.
_OWN = {
    "ar": ("ARABIC",), "fa": ("ARABIC",), "he": ("HEBREW",), "ja": ("LATIN", "HIRAGANA", "CJK"),
    "ko": ("HANGUL", "CJK"), "ru": ("CYRILLIC",), "th": ("THAI",), "uk": ("CYRILLIC",), "zh": ("CJK",),
}  # fmt: skip
_DICTIONARIES = {"zh-hans": "gb2312", "zh-hant": "big5", "ja": "euc_jp"}
_SMALL_KANA = dict(zip("ぁぃぅぇぉっゃゅょゎ", "あいうえおつやゆよわ", strict=True))
# vowels written before the consonant that they follow in the dictionary
_LEADING_VOWEL = re.compile("([เแโใไ])([ก-ฮ])")
_OTHERS, _UNLISTED = 9, 0x20_0000


@functools.cache
def sort_key(language: str) -> Callable[[str], Key]:
    """Return the key function that sorts names for readers of `language` (a Django language code)."""
    base = language.split("-")[0]
    alphabet = {letter: place for place, letter in enumerate(_ALPHABETS.get(base, ""), 1)}
    scripts = _OWN.get(base, ("LATIN",))
    dictionary = _DICTIONARIES.get(language) or _DICTIONARIES.get(base)

    @functools.lru_cache(8192)
    def letters(sign: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return the weights of a character and of its accents."""
        first, *marks = list(unicodedata.normalize("NFD", sign))
        accents: list[int] = []
        for mark in marks:
            whole = unicodedata.normalize("NFC", first + mark)
            if whole in alphabet:
                first = whole
            elif unicodedata.category(mark) == "Mn":
                accents.append(ord(mark))
            else:  # parts of a Hangul syllable
                first = sign
        if unicodedata.category(first) == "Mn" and not ("\u0e31" <= first <= "\u0e3a"):
            return (), (ord(first),)
        plain = first if first in alphabet else _PLAIN.get(first, first)
        if plain != first:
            accents.append(ord(first))
        return tuple(weight(each) for each in plain), tuple(accents)

    def weight(sign: str) -> int:
        kind = unicodedata.category(sign)[0]
        if kind in "ZPSC":
            return ord(sign)
        if kind == "N":
            return 1 << 24 | int(unicodedata.numeric(sign) * 100)
        script = unicodedata.name(sign, "?").split()[0]
        if "KATAKANA" <= script <= "KATAKANA-HIRAGANA":
            script, sign = "HIRAGANA", chr(ord(sign) - 0x60) if "ァ" <= sign <= "ヶ" else "\0" if sign == "ー" else sign
        rank = 2 + scripts.index(script) if script in scripts else _OTHERS
        return rank << 24 | place(_SMALL_KANA.get(sign, sign), script)

    def place(sign: str, script: str) -> int:
        if sign in alphabet:
            return alphabet[sign]
        if dictionary and script == "CJK":
            code = sign.encode(dictionary, "ignore")
            return int.from_bytes(code, "big") if len(code) == 2 else _UNLISTED | ord(sign)
        return ord(sign) if not alphabet else len(alphabet) + ord(sign)

    def key(text: str) -> Key:
        folded = text.replace("I", "ı").replace("İ", "i") if base == "tr" else text
        folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", folded).casefold())
        if base == "th":
            folded = _LEADING_VOWEL.sub(r"\2\1", folded)
        primary: list[int] = []
        secondary: list[int] = []
        for sign in folded:
            weights, accents = letters(sign)
            primary += weights
            secondary += (len(primary) << 24 | each for each in accents)
        return tuple(primary), tuple(secondary), text

    return key
