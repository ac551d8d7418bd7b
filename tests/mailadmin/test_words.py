"""Every word of these screens stands in Chinese too."""

import re
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.extract import extract
from babel.messages.mofile import read_mo
from babel.messages.pofile import read_po
from django.conf import settings
from django.test import Client

ROOT = Path(settings.BASE_DIR)
CATALOG = ROOT / "locale/zh_Hans/LC_MESSAGES/django.po"
KEYWORDS = {"_": None, "gettext": None, "gettext_lazy": None, "ngettext": (1, 2)}


def words_of_python(path: Path) -> set[str]:
    with path.open("rb") as file:
        found = extract("python", file, keywords=KEYWORDS)
        return {message if isinstance(message, str) else message[0] for _, message, _, _ in found}


def words_of_template(path: Path) -> set[str]:
    text = path.read_text()
    words = set(re.findall(r'{%\s*translate\s+"([^"]+)"', text))
    for body in re.findall(r"{%\s*blocktranslate.*?%}(.*?){%\s*endblocktranslate\s*%}", text, re.DOTALL):
        words.add(re.sub(r"{{\s*(\w+)\s*}}", r"%(\1)s", re.split(r"{%\s*plural\s*%}", body)[0]))
    return words


def test_nothing_is_left_in_english():
    words: set[str] = set()
    for path in [*ROOT.glob("mailadmin/**/*.py"), *ROOT.glob("mailcore/store/directory/*.py")]:
        words |= words_of_python(path)
    words |= words_of_python(ROOT / "mailcore/models/directory.py")
    for path in (ROOT / "templates/mailadmin").glob("*.html"):
        words |= words_of_template(path)
    assert len(words) > 150
    with CATALOG.open("rb") as file:
        catalog = read_po(file)
    assert sorted(word for word in words if not (catalog.get(word) and catalog.get(word).string)) == []


def test_the_compiled_catalog_is_the_written_one():
    with CATALOG.open("rb") as written, CATALOG.with_suffix(".mo").open("rb") as compiled:
        known, wanted = words_of_catalog(read_mo(compiled)), words_of_catalog(read_po(written))
    assert known == wanted


def words_of_catalog(catalog: Catalog) -> dict[str, str]:
    """First message id → everything it becomes, whichever way the catalog was kept."""
    return {
        message.id if isinstance(message.id, str) else message.id[0]: "".join(message.string)
        for message in catalog
        if message.id and message.string
    }


@pytest.mark.django_db
def test_a_page_in_chinese(office):
    browser = Client(headers={"accept-language": "zh-CN"})
    browser.force_login(office.ann, "mailcore.store.login.AccountBackend")
    page = browser.get("/admin/accounts/").text
    assert '<html lang="zh-hans">' in page
    for word in ("新建账号", "所有状态", "管理员", "启用", "共 5 个"):
        assert word in page
