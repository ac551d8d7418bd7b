"""Every word a visitor sees can be said in Chinese."""

import re
from pathlib import Path

import pytest
from django.conf import settings
from django.utils.translation import gettext, override

ROOT = Path(settings.BASE_DIR)
PAGES = [*(ROOT / "templates/webmail").glob("*.html"), ROOT / "templates/base.html", ROOT / "templates/404.html"]
SOURCES = (ROOT / "webmail").rglob("*.py")
CATALOG = (ROOT / "locale/zh_Hans/LC_MESSAGES/django.po").read_text()


def words_of_pages() -> set[str]:
    found = set()
    for page in PAGES:
        text = page.read_text()
        found |= set(re.findall(r'{% translate "([^"]*)"', text))
        found |= set(re.findall(r'_\("([^"]*)"\)', text))
        for block in re.findall(r"{% blocktranslate[^%]*%}(.*?){% endblocktranslate %}", text, re.DOTALL):
            found |= {re.sub(r"{{ (\w+) }}", r"%(\1)s", part) for part in block.split("{% plural %}")[:1]}
    return found


def words_of_sources() -> set[str]:
    found = set()
    for source in SOURCES:
        text = source.read_text()
        found |= set(re.findall(r'(?<!\w)_\(\s*"((?:[^"\\]|\\.)*)"', text))
        found |= set(re.findall(r'ngettext\(\s*"((?:[^"\\]|\\.)*)"', text))
    return found


@pytest.mark.parametrize("words", sorted(words_of_pages() | words_of_sources()))
def test_in_chinese(words: str) -> None:
    assert f'msgid "{words}"' in CATALOG
    entry = CATALOG.split(f'msgid "{words}"')[1].split("\n\n")[0]
    assert re.search(r'msgstr(?:\[0\])? ""\n(?!")', entry) is None, "not translated"


def test_the_compiled_catalog_is_up_to_date() -> None:
    with override("zh-hans"):
        assert gettext("Your message was sent.") == "邮件已发送。"
        for words in re.findall(r'(?<!")\n^msgid "([^"]+)"\nmsgstr "([^"]+)"$', CATALOG, re.MULTILINE):
            assert gettext(words[0]) == words[1]
