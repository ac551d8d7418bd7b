"""Gather, merge and compile the translations, without the gettext programs.

    locale/messages.py [--check]

Texts are found in the Python files and templates of all rooms, merged into every
`LC_MESSAGES/django.po` (new ones empty, ones no longer used dropped) and compiled beside it. With
--check nothing is written: exit status 1 when a text is missing, untranslated, or not compiled.
"""

import argparse
import io
import sys
from collections.abc import Iterator
from pathlib import Path

import django
from babel.messages import Catalog
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
        yield name, templatize(path.read_text(), origin=name)


def gather() -> Catalog:
    found = Catalog()
    for name, text in sources():
        for _, message, comments, context in extract("python", io.BytesIO(text.encode()), KEYWORDS):
            found.add(message, locations=[(name, 0)], auto_comments=comments, context=context)
    return found


def is_translated(catalog: Catalog, message: object) -> bool:
    entry = catalog.get(message.id, message.context)  # type: ignore[attr-defined]
    if entry is None:
        return False
    return all(entry.string) if isinstance(entry.string, tuple) else bool(entry.string)


def check(po: Path, catalog: Catalog, texts: Catalog) -> list[str]:
    wrong = [f"{po}: not translated: {m.id!r}" for m in texts if m.id and not is_translated(catalog, m)]
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
    for po in sorted((ROOT / "locale").glob("*/LC_MESSAGES/django.po")):
        with po.open("rb") as file:
            catalog = read_po(file, locale=po.parent.parent.name)
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
        print(f"{po.parent.parent.name}: {len(texts)} texts, {missing} not translated")
    print("\n".join(wrong), end="\n" if wrong else "")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
