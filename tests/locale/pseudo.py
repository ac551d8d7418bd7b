"""A language nobody speaks, made of the English: every text 40 % longer, accented, in brackets.

What a page shows without an accent in it was never given to a translator; what does not fit in this
language will not fit in one with long words.
"""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import django
from babel.messages import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

ROOT = Path(__file__).resolve().parent.parent.parent
CODE = "qps"  # as Unicode's locale data call a pseudo-language
_PLAIN = "AaBbCcDdEeFfGgHhIiJjKkLlMmNnOoPpQqRrSsTtUuVvWwXxYyZz"
_ACCENTED = "ÀàƁƀÇçĐđÈèƑƒĜĝĤĥÎîĴĵĶķĻļṀṁÑñÖöÞþɊɋŘřŠšŢţÛûṼṽŴŵẊẋÝýŽž"
_ACCENTS = str.maketrans(dict(zip(_PLAIN, _ACCENTED, strict=True)))


def messages() -> ModuleType:
    """locale/messages.py, which is a program."""
    spec = importlib.util.spec_from_file_location("messages", ROOT / "locale/messages.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def accented(text: str, held: re.Pattern[str]) -> str:
    """`text` in the pseudo-language; what `held` finds in it (placeholders, tags) stays."""
    out, at = [], 0
    for match in [*held.finditer(text), None]:
        piece = text[at : match.start() if match else len(text)]
        # Two messages of five are doubled: words grow, not only sentences.
        longer = (sign * (1 + (n % 5 in (1, 3) and sign.isalpha())) for n, sign in enumerate(piece))
        out.append("".join(longer).translate(_ACCENTS))
        if match:
            out.append(match[0])
            at = match.end()
    return f"⟦{''.join(out)}⟧"


def write(folder: Path) -> None:
    """The compiled catalog below `folder`: our texts, and those Django's own forms and dates show."""
    program = messages()
    catalog = Catalog()
    with (Path(django.__file__).parent / "conf/locale/en/LC_MESSAGES/django.po").open("rb") as file:
        texts = [*read_po(file), *program.gather()]
    for message in texts:
        if message.id:
            forms = (message.id,) if isinstance(message.id, str) else message.id
            written = tuple(accented(each, program.HELD) for each in forms)
            catalog.add(message.id, written if len(written) > 1 else written[0], context=message.context)
    target = folder / CODE / "LC_MESSAGES/django.mo"
    target.parent.mkdir(parents=True)
    with target.open("wb") as file:
        write_mo(file, catalog)
