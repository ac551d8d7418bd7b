"""Charset labels, and text without one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailcore.wire.text import charsets

CHINESE = "各位同事：明天下午三点在二楼会议室开会，请准时参加。谢谢！"
TRADITIONAL = "各位同事：明天下午三點在二樓會議室開會，請準時參加。謝謝！"
JAPANESE = "会議は明日の午後三時から始まります。よろしくお願いします。"
KOREAN = "안녕하세요. 내일 오후 세 시에 회의가 있습니다. 감사합니다."
RUSSIAN = "Здравствуйте! Завтра в три часа дня состоится собрание. Спасибо."
FRENCH = "Voilà, l’été à Besançon: où est-ce que ça a été prêt?"

LABELS = {
    "gb2312": ("gbk", CHINESE),
    "x-gbk": ("gbk", CHINESE),
    "csGB2312": ("gbk", CHINESE),
    "CP936": ("gbk", CHINESE),
    "gb18030-2005": ("gb18030", CHINESE + "㐂"),
    "big5-hkscs": ("big5hkscs", TRADITIONAL + "嘅咗"),
    "x-x-big5": ("big5", TRADITIONAL),
    "cp950": ("cp950", TRADITIONAL + "€"),
    "Windows-31J": ("cp932", JAPANESE + "①㈱髙ﾊﾝｶｸ"),
    "csShiftJIS": ("cp932", JAPANESE + "①"),
    "ms_kanji": ("cp932", JAPANESE),
    "cp932": ("cp932", JAPANESE),
    "euc-jp": ("euc_jp", JAPANESE),
    "iso-2022-jp": ("iso2022_jp", JAPANESE),
    "csISO2022JP": ("iso2022_jp", JAPANESE),
    "iso-2022-jp-2": ("iso2022_jp_2", JAPANESE),
    "KS_C_5601-1987": ("cp949", KOREAN),
    "iso-2022-kr": ("iso2022_kr", KOREAN),
    "uhc": ("cp949", KOREAN),
    "koi8-r": ("koi8_r", RUSSIAN),
    "win-1251": ("cp1251", RUSSIAN),
    "x-cp1251": ("cp1251", RUSSIAN),
    "iso_8859-5:1988": ("iso8859_5", RUSSIAN),
    "l1": ("cp1252", FRENCH),
    "ANSI_X3.4-1968": ("cp1252", FRENCH),
    "windows-1252": ("cp1252", FRENCH),
    "unicode-1-1-utf-7": ("utf_7", CHINESE),
    "utf8": ("utf-8", CHINESE),
    "hz-gb-2312": ("hz", CHINESE),
    "tis-620": ("cp874", "สวัสดี"),
    "x-mac-cyrillic": ("mac_cyrillic", RUSSIAN),
    "iso-8859-8-i": ("iso8859_8", "שלום"),
}


@pytest.mark.parametrize(("label", "codec", "text"), [(label, *each) for label, each in LABELS.items()], ids=LABELS)
def test_a_label_is_read_as_it_is_meant(label: str, codec: str, text: str) -> None:
    assert charsets.decode_text(text.encode(codec), label) == text
    assert charsets.decode_text(text.encode(codec), label.upper()) == text


BYTES = {
    "the euro sign of GBK": (b"\x80100", "gbk", "€100"),
    "half-width katakana in ISO-2022-JP": (b"\x1b(I6@6E\x1b(B!", "iso-2022-jp", "ｶﾀｶﾅ!"),
    "katakana by shift out": (b"\x0e6@\x0f!", "iso-2022-jp", "ｶﾀ!"),
    "row 13 in ISO-2022-JP": (b"\x1b$B-!-j\x1b(B", "iso-2022-jp", "①㈱"),
    "JIS X 0212 in ISO-2022-JP": (b"\x1b$(D0!\x1b(B", "iso-2022-jp", "丂"),
    "row 13 in EUC-JP": (b"\xad\xa1\xad\xea", "euc-jp", "①㈱"),
    "an escape sequence under another label": (b"\x1b$B2q5D\x1b(B", "us-ascii", "会議"),
    "UTF-8 under a label of GB 2312": ("您好".encode(), "gb2312", "您好"),
    "UTF-8 under a label of Big5": ("您好".encode(), "big5", "您好"),
    "UTF-8 under a label of Latin-1": ("您好".encode(), "iso-8859-1", "您好"),
    "GBK under a label of Latin-1": (CHINESE.encode("gbk"), "iso-8859-1", CHINESE),
    "French under a label of Latin-1": (FRENCH.encode("cp1252"), "iso-8859-1", FRENCH),
    "two characters of GBK that are valid UTF-8": ("通知".encode("gbk"), "", "通知"),
    "an unknown label": (CHINESE.encode("gbk"), "x-nonsense", CHINESE),
    "a label in quotation marks": (CHINESE.encode("gbk"), '"gb2312"', CHINESE),
}


@pytest.mark.parametrize(("data", "label", "text"), BYTES.values(), ids=BYTES.keys())
def test_bytes_are_read_as_they_are_meant(data: bytes, label: str, text: str) -> None:
    assert charsets.decode_text(data, label) == text


UNLABELLED = [
    *((CHINESE, codec) for codec in ("gbk", "gb18030", "utf-8", "hz")),
    *((text, "gbk") for text in ("会议", "你好", "老张", "关于期末考试的通知", "请查收附件", "发票")),
    *((text, "big5") for text in (TRADITIONAL, "會議通知", "你好", "關於期末考試", "請查收附件")),
    *((text, codec) for codec in ("cp932", "euc_jp", "iso2022_jp") for text in (JAPANESE, "会議のお知らせ")),
    *((text, "euc_kr") for text in (KOREAN, "회의 안내", "견적서 송부 드립니다")),
    *((text, codec) for codec in ("koi8_r", "cp1251") for text in (RUSSIAN, "Привет", "Отчёт за май", "Тест")),
    *((text, "cp1252") for text in (FRENCH, "Voilà", "Müller", "Ärger mit Übergröße", "Blåbærgrød", "Ação")),
]


@pytest.mark.parametrize(("text", "codec"), UNLABELLED)
def test_text_without_a_label_is_recognised(text: str, codec: str) -> None:
    assert charsets.guess_text(text.encode(codec)) == text


def test_a_hint_decides_what_the_bytes_do_not() -> None:
    assert charsets.guess_text("Глухих".encode("koi8_r"), "koi8-r") == "Глухих"
    assert charsets.guess_text("安".encode("big5"), "big5") == "安"
    assert charsets.guess_text("老张".encode("gbk"), "utf-8") == "老张", "the hint does not fit"


@pytest.mark.parametrize("label", ["", "gb2312"])
@pytest.mark.parametrize("at", [10, 11])
def test_a_byte_too_many_or_too_few_spoils_only_its_neighbourhood(label: str, at: int) -> None:
    data = CHINESE.encode("gbk")
    for damaged in (data[:at] + b"\xff" + data[at:], data[:at] + data[at + 1 :]):
        text = charsets.decode_text(damaged, label)
        assert text.startswith("各位同"), text
        assert text.endswith("三点在二楼会议室开会，请准时参加。谢谢！"), text


@pytest.mark.parametrize("label", ["", "utf-8", "gb2312"])
def test_utf8_with_one_byte_lost_is_still_utf8(label: str) -> None:
    data = CHINESE.encode()
    assert charsets.decode_text(data[:20] + data[21:], label).replace("\ufffd", "") == CHINESE.replace("天", "")


@given(st.binary(max_size=200), st.sampled_from([*LABELS, "", "utf-16", "replacement", "x-user-defined"]))
def test_no_bytes_raise(data: bytes, label: str) -> None:
    charsets.decode_text(data, label).encode("utf-8")
