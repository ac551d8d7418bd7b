"""Sizes, counts and percentages with the signs and words of each language."""

import pytest
from django.template import Context, Template
from django.utils import translation

from mailadmin import file_sizes
from mailcore.conf import size_format

# 1.5 KB, 2.4 MB, 1,234,567 things, 80 percent. Where Django's formats group no digits, none are grouped.
WRITTEN = {
    "zh-hans": ("1.5 KB", "2.4 MB", "1234567", "80%"),
    "ja": ("1.5 KB", "2.4 MB", "1,234,567", "80%"),
    "en": ("1.5 KB", "2.4 MB", "1,234,567", "80%"),
    "de": ("1,5 KB", "2,4 MB", "1.234.567", "80 %"),
    "fr": ("1,5 Ko", "2,4 Mo", "1\N{NO-BREAK SPACE}234\N{NO-BREAK SPACE}567", "80 %"),
    "ru": ("1,5 КБ", "2,4 МБ", "1\N{NO-BREAK SPACE}234\N{NO-BREAK SPACE}567", "80 %"),
    "tr": ("1,5 KB", "2,4 MB", "1.234.567", "%80"),
    "ar": ("1,5 ك.ب", "2,4 م.ب", "1234567", "80%"),
    "fa": ("1.5 کیلوبایت", "2.4 مگابایت", "1234567", "80%"),
    "he": ("\N{LEFT-TO-RIGHT MARK}1.5 KB", "\N{LEFT-TO-RIGHT MARK}2.4 MB", "1234567", "80%"),
}


@pytest.mark.parametrize("language", WRITTEN)
def test_each_language_has_its_signs(language: str) -> None:
    small, large, many, percent = WRITTEN[language]
    with translation.override(language):
        assert size_format.format_size(1536) == small
        assert size_format.format_size(5 << 19) == large.replace("2.4", "2.5").replace("2,4", "2,5")
        assert str(size_format.Count(1234567)) == many
        assert translation.gettext("%(percent)s%%") % {"percent": 80} == percent


@pytest.mark.parametrize("language", WRITTEN)
def test_what_is_read_can_be_typed(language: str) -> None:
    with translation.override(language):
        for size in (300, 1536, 5 << 19, 3 << 30, 7 << 40):
            assert file_sizes.parse_size(size_format.format_size(size)) == size
            assert file_sizes.parse_size(file_sizes.format_exact_size(size)) == size
    assert file_sizes.parse_size("۵۰۰ MB") == 500 << 20


@pytest.mark.parametrize(("language", "one", "two", "many"), [
    ("en", "1 unread", "2 unread", "1,234 unread"),
    ("ru", "1 непрочитанное", "2 непрочитанных", "1\N{NO-BREAK SPACE}234 непрочитанных"),
    ("ar", "واحدة غير مقروءة", "اثنتان غير مقروءتين", "1234 غير مقروءة"),
    ("he", "1 שלא נקראה", "2 שלא נקראו", "1234 שלא נקראו"),
    ("zh-hans", "1 封未读", "2 封未读", "1234 封未读"),
])  # fmt: skip
def test_a_count_chooses_its_form_and_is_grouped(language: str, one: str, two: str, many: str) -> None:
    page = Template(
        "{% load i18n webmail %}{% blocktranslate count n=number|count %}{{ n }} unread{% plural %}{{ n }} unread"
        "{% endblocktranslate %}"
    )
    with translation.override(language):
        for number, written in {1: one, 2: two, 1234: many}.items():
            assert page.render(Context({"number": number})) == written
