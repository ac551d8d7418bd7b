"""Names in the order readers of different languages look for them."""

import random

import pytest

from mailcore.wire.text import collation

ORDERS = {
    "zh-hans": ["2026", "阿里", "北京", "财务", "会议", "李娜", "李四", "王芳", "张三", "Anna", "Zoo"],
    "zh-hant": ["一般", "人事", "公司", "會議", "Anna"],  # 1, 2, 4, 13 strokes
    "ja": ["Anna", "あさひ", "カード", "がっこう", "さくら", "サッカー", "伊藤", "加藤", "佐藤"],
    "ko": ["가나", "나무", "다리", "하늘", "Anna"],
    "de": ["Affe", "Äpfel", "Apfelmus", "Arzt", "Öl", "Ost", "Straße", "Strauß", "Zebra"],
    "fr": ["cote", "côte", "coté", "Été", "événement", "Zoé"],
    "es": ["nube", "Nuñez", "ñame", "oso"],
    "pl": ["arka", "ąka", "baza", "lato", "ława", "łódź"],
    "tr": ["cam", "çam", "IĞDIR", "ılık", "İzmir", "şeker"],
    "vi": ["anh", "ăn", "ân", "đi", "em"],
    "ru": ["Ёлка", "ель", "жук", "ива", "йод", "Anna"],
    "uk": ["гора", "ґанок", "дім", "єнот", "ива", "іній", "їжак", "йод"],
    "fa": ["آب", "بابا", "پدر", "چای", "ژاله", "گل", "نان", "وزیر", "هوا", "یار"],
    "ar": ["أحمد", "باب", "تفاح", "Anna"],
    "he": ["אבא", "בית", "שלום", "Anna"],
    "th": ["กา", "เกม", "ขา", "แขน", "Anna"],
    "en": ["10", "Ana", "anchor", "Ångström", "Zoë", "会议"],
}  # fmt: skip


@pytest.mark.parametrize("language", ORDERS)
def test_names_stand_where_they_are_looked_for(language: str) -> None:
    expected = ORDERS[language]
    shuffled = random.Random(8).sample(expected, len(expected))
    assert sorted(shuffled, key=collation.sort_key(language)) == expected


@pytest.mark.parametrize("language", ORDERS)
def test_every_character_has_a_place_and_no_two_names_are_the_same(language: str) -> None:
    key = collation.sort_key(language)
    signs = [chr(code) for code in range(0, 0x20000, 7) if not 0xD800 <= code < 0xE000]
    assert len({key(sign) for sign in signs}) == len(signs)


def test_case_and_accents_decide_last() -> None:
    key = collation.sort_key("de")
    assert key("müller")[0] == key("MULLER")[0]
    assert sorted(["Müller", "muller", "Mullers", "MULLER"], key=key) == ["MULLER", "muller", "Müller", "Mullers"]
