"""Gather, merge and compile the translations, without the gettext programs.

    locale/messages.py [--check]

A new language begins with an empty folder `locale/ll_CC`.

Texts are found in the Python files and templates of all rooms, merged into every
`LC_MESSAGES/django.po` (new ones empty, ones no longer used dropped) and compiled beside it. With
--check nothing is written: exit status 1 when a text is missing, untranslated or not compiled, when a
placeholder or tag of the English is not in its translation, or when a plural form is missing.
"""

import argparse
import io
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import django
from babel.messages import Catalog, Message
from babel.messages.extract import extract
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po
from django.conf import settings
from django.utils.translation.template import templatize

ROOT = Path(__file__).resolve().parent.parent
KEYWORDS = {
    **dict.fromkeys(("_", "gettext", "gettext_lazy", "gettext_noop"), None),
    **dict.fromkeys(("ngettext", "ngettext_lazy"), (1, 2)),
    **dict.fromkeys(("pgettext", "pgettext_lazy"), ((1, "c"), 2)),
    **dict.fromkeys(("npgettext", "npgettext_lazy"), ((1, "c"), 2, 3)),
}


def sources() -> Iterator[tuple[str, str]]:
    """(path below the root, Python text); a template as the Python its tags stand for."""
    for room in ("mailcore", "webmail", "mailadmin"):
        for path in sorted((ROOT / room).rglob("*.py")):
            yield str(path.relative_to(ROOT)), path.read_text()
    for path in sorted((ROOT / "templates").rglob("*.html")):
        name = str(path.relative_to(ROOT))
        # A template's indentation is not Python's: without it every line is a statement.
        yield name, "\n".join(line.lstrip() for line in templatize(path.read_text(), origin=name).split("\n"))


def gather() -> Catalog:
    found = Catalog()
    for name, text in sources():
        for _, message, comments, context in extract("python", io.BytesIO(text.encode()), KEYWORDS):
            found.add(message, locations=[(name, 0)], auto_comments=comments, context=context)
    return found


def begin(language: str) -> Catalog:
    """An empty catalog with the plural forms Django has for this language."""
    catalog = Catalog(locale=language, fuzzy=False)
    with (Path(django.__file__).parent / "conf/locale" / language / "LC_MESSAGES/django.po").open("rb") as file:
        plurals = read_po(file).plural_forms
    catalog.mime_headers = [("Plural-Forms", plurals)]
    return catalog


def is_translated(catalog: Catalog, message: object) -> bool:
    entry = catalog.get(message.id, message.context)  # type: ignore[attr-defined]
    if entry is None or entry.fuzzy:  # a guess is not compiled
        return False
    return all(entry.string) if isinstance(entry.string, tuple) else bool(entry.string)


HELD = re.compile(r"%\(\w+\)[sd]|%[sd%]|\{\w*\}|</?\w+[^>]*>")


def flaw(catalog: Catalog, message: Message) -> str:
    """Return the error in a translation, or ""."""
    entry = catalog.get(message.id, message.context)
    if isinstance(message.id, str):
        same = sorted(HELD.findall(message.id)) == sorted(HELD.findall(entry.string))
        return "" if same else "its placeholders are others"
    if len(entry.string) != catalog.num_plurals:
        return f"it has {len(entry.string)} plural forms, not {catalog.num_plurals}"
    # A form for exactly one, or for two, may do without the number.
    known = set(HELD.findall(" ".join(message.id)))
    if any(not set(HELD.findall(form)) <= known for form in entry.string):
        return "its placeholders are others"
    whole = set(HELD.findall(message.id[1]))
    return "" if set(HELD.findall(entry.string[-1])) == whole else "its last form has other placeholders"


def check(po: Path, catalog: Catalog, texts: Catalog) -> list[str]:
    wrong = [f"{po}: not translated: {m.id!r}" for m in texts if m.id and not is_translated(catalog, m)]
    translated = [m for m in texts if m.id and is_translated(catalog, m)]
    wrong += [f"{po}: {fault}: {m.id!r}" for m in translated if (fault := flaw(catalog, m))]
    compiled = io.BytesIO()
    write_mo(compiled, catalog)
    if compiled.getvalue() != po.with_suffix(".mo").read_bytes():
        wrong.append(f"{po}: not compiled since it changed")
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    settings.configure(USE_I18N=True)
    django.setup()
    texts, wrong = gather(), []
    for folder in sorted(each for each in (ROOT / "locale").iterdir() if each.is_dir() and each.name[0] != "_"):
        po = folder / "LC_MESSAGES" / "django.po"
        if po.exists():
            with po.open("rb") as file:
                catalog = read_po(file, locale=folder.name)
        else:
            po.parent.mkdir(exist_ok=True)
            catalog = begin(folder.name)
        if options.check:
            wrong += check(po, catalog, texts)
            continue
        catalog.update(texts, no_fuzzy_matching=True)
        catalog.obsolete.clear()
        with po.open("wb") as file:
            write_po(file, catalog, sort_output=True, include_lineno=False, width=0)
        with po.with_suffix(".mo").open("wb") as file:
            write_mo(file, catalog)
        missing = sum(1 for m in texts if m.id and not is_translated(catalog, m))
        print(f"{folder.name}: {len(texts)} texts, {missing} not translated")
    print("\n".join(wrong), end="\n" if wrong else "")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
