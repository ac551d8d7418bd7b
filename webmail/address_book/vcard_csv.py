"""Contacts as files: vCard (RFC 6350, RFC 2426, and 2.1 as telephones write it) and CSV as other programs write it.

`read_contacts` accepts both and never raises for invalid content: entries without an address are skipped.
"""

import csv
import io
import quopri
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mailcore.wire.text.charsets import decode_file

LARGEST = 5_000_000  # bytes of a file
MAX_CONTACTS = 10_000  # contacts in one file
_CONTROLS = re.compile(r"[\x00-\x1f\x7f\u2028\u2029]+")
# Column headings of programs in several languages, case-folded.
_COLUMNS = {
    "name": ("name", "full name", "display name", "姓名", "名称", "显示名称", "表示名"),
    "first": ("first name", "given name", "firstname", "名"),
    "last": ("last name", "family name", "surname", "lastname", "姓"),
    "mail": ("mail", "email", "e-mail", "e-mail address", "email address", "primary email", "e-mail 1 - value",
             "邮箱", "电子邮件", "电子邮件地址", "邮件地址", "メールアドレス"),
    "nickname": ("nickname", "alias", "昵称", "ニックネーム"),
    "note": ("note", "notes", "info", "备注", "メモ"),
    "groups": ("groups", "group", "categories", "labels", "group membership", "分组", "グループ"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class ContactCard:
    name: str
    mail: str
    nickname: str = ""
    note: str = ""
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Person:
    """A vCard as a page shows it: a name, and (property, value) in the order of DETAILS."""

    name: str
    details: tuple[tuple[str, str], ...]

    @property
    def mail(self) -> str:
        return next((value for kind, value in self.details if kind == "EMAIL"), "")


# Properties that are shown (RFC 6350 §6), each with the separator of its values' components.
DETAILS = {"EMAIL": "", "TEL": "", "ORG": ";", "TITLE": "", "ROLE": "", "ADR": ";", "URL": "", "BDAY": ""}
DETAILS |= {"NICKNAME": ",", "NOTE": ""}
MAX_SHOWN = 200  # cards of one file, and details of one card


def make_card(name: str, mail: str, nickname: str = "", note: str = "", groups: Iterable[str] = ()) -> ContactCard:
    """Return a card from untrusted values: one line each, of limited length."""
    names = dict.fromkeys(one for group in groups if (one := _clean_line(group, 100)))
    return ContactCard(
        _clean_line(name, 200),
        _clean_line(mail, 320),
        _clean_line(nickname, 100),
        _clean_line(note, 1000),
        tuple(names),
    )


def _clean_line(text: str, longest: int) -> str:
    return " ".join(_CONTROLS.sub(" ", text).split())[:longest]


def read_contacts(content: bytes) -> list[ContactCard]:
    """Return the contacts of a vCard or CSV file, at most MAX_CONTACTS; one for each address."""
    text = decode_file(content)
    found = _from_vcard(text) if re.search(r"^BEGIN:VCARD", text, re.I | re.M) else _from_csv(text)
    return [each for each, _n in zip((c for c in found if "@" in c.mail), range(MAX_CONTACTS), strict=False)]


# --- vCard ----------------------------------------------------------------------------------------


def read_vcards(content: bytes) -> list[Person]:
    """Return the vCards of a file for display, also those without an address; at most MOST_SHOWN."""
    return [_parse_person(fields) for fields, _n in zip(_vcards(decode_file(content)), range(MAX_SHOWN), strict=False)]


def _parse_person(fields: list[tuple[str, str]]) -> Person:
    details: list[tuple[str, str]] = []
    for kind, separator in DETAILS.items():
        for value in (value for key, value in fields if key == kind):
            pieces = [
                _unescape(piece).strip() for piece in (_split_escaped(value, separator) if separator else [value])
            ]
            shown = _clean_line(", ".join(filter(None, pieces)), 500).removeprefix("mailto:").removeprefix("tel:")
            if shown and (kind, shown) not in details:
                details.append((kind, shown))
    first = dict(reversed(fields))
    name = _unescape(first.get("FN", "")) or _join_name_parts(first.get("N", ""))
    return Person(_clean_line(name, 200), tuple(details[:MAX_SHOWN]))


def write_vcards(people: Iterable[ContactCard]) -> str:
    """Return the contacts as vCard 4.0, one after the other."""
    return "".join(_write_vcard(each) for each in people)


def _write_vcard(each: ContactCard) -> str:
    lines = ["BEGIN:VCARD", "VERSION:4.0", f"FN:{_escape(each.name or each.mail)}", f"EMAIL:{_escape(each.mail)}"]
    if each.nickname:
        lines.append(f"NICKNAME:{_escape(each.nickname)}")
    if each.note:
        lines.append(f"NOTE:{_escape(each.note)}")
    if each.groups:
        lines.append("CATEGORIES:" + ",".join(map(_escape, each.groups)))
    return "".join(f"{_fold_line(line)}\r\n" for line in [*lines, "END:VCARD"])


def _escape(text: str) -> str:
    return re.sub(r"([\\,;])", r"\\\1", text).replace("\n", "\\n")


def _fold_line(line: str) -> str:
    """Fold a line at 75 bytes (RFC 6350 §3.2), never inside a character."""
    out, length = [], 0
    for character in line:
        size = len(character.encode("utf-8", "replace"))
        if length + size > 74:
            out.append("\r\n ")
            length = 1
        out.append(character)
        length += size
    return "".join(out)


def _from_vcard(text: str) -> Iterator[ContactCard]:
    for fields in _vcards(text):
        yield from _cards_from_fields(fields)


def _vcards(text: str) -> Iterator[list[tuple[str, str]]]:
    """Yield (NAME, value) of the lines of each vCard."""
    fields: list[tuple[str, str]] = []
    for line in _unfold_lines(text):
        name, value = _property(line)
        if name == "BEGIN":
            fields = []
        elif name == "END":
            yield fields
            fields = []
        else:
            fields.append((name, value))


def _unfold_lines(text: str) -> list[str]:
    text = re.sub(r"\r\n?", "\n", text)
    text = re.sub(r"\n[ \t]", "", text)
    # vCard 2.1: a line of quoted-printable that ends in = continues in the next one.
    joined = re.sub(
        r"(?im)^([^:\n]*QUOTED-PRINTABLE[^:\n]*:(?:[^\n]*=\n)+[^\n]*)", lambda m: m[1].replace("=\n", ""), text
    )
    return joined.split("\n")


def _property(line: str) -> tuple[str, str]:
    """Return (NAME, value) of a content line without its group; the value is decoded except for its escapes."""
    match = re.match(r'((?:[^":]|"[^"]*")*):(.*)', line)
    if match is None:
        return "", ""
    name, *parameters = match[1].upper().split(";")
    value = match[2]
    if any("QUOTED-PRINTABLE" in parameter for parameter in parameters):
        value = decode_file(quopri.decodestring(value.encode("utf-8", "replace")))
    return name.rpartition(".")[2].strip(), value


def _cards_from_fields(fields: list[tuple[str, str]]) -> Iterator[ContactCard]:
    first = dict(reversed(fields))
    name = _unescape(first.get("FN", "")) or _join_name_parts(first.get("N", ""))
    nickname = _unescape(_split_escaped(first.get("NICKNAME", ""), ",")[0])
    categories = [_unescape(each) for each in _split_escaped(first.get("CATEGORIES", ""), ",")]
    for key, value in fields:
        if key == "EMAIL":
            yield make_card(
                name, _unescape(value).removeprefix("mailto:"), nickname, _unescape(first.get("NOTE", "")), categories
            )
            nickname = ""  # a nickname names one address


def _join_name_parts(value: str) -> str:
    """Return the name of an N value, family;given;…: Chinese names are written together, family first."""
    family, given = ([_unescape(part) for part in _split_escaped(value, ";")] + ["", ""])[:2]
    return _join_name(family, given)


def _join_name(family: str, given: str) -> str:
    if any("\u3400" <= character <= "\u9fff" for character in family + given):
        return family + given
    return f"{given} {family}".strip()


def _split_escaped(value: str, separator: str) -> list[str]:
    return [piece.replace("\0", "\\" + separator) for piece in value.replace("\\" + separator, "\0").split(separator)]


def _unescape(value: str) -> str:
    return re.sub(r"\\(.)", lambda m: " " if m[1] in "nN" else m[1], value)


# --- CSV ------------------------------------------------------------------------------------------


def write_csv(people: Iterable[ContactCard]) -> str:
    """Return the contacts as CSV, with a byte order mark that tells spreadsheets it is UTF-8.

    A cell that a spreadsheet would take for a formula gets an apostrophe, which `read_contacts` removes.
    """
    out = io.StringIO()
    out.write("\ufeff")
    table = csv.writer(out)
    table.writerow(["Name", "E-mail", "Nickname", "Notes", "Groups"])
    for each in people:
        cells = (each.name, each.mail, each.nickname, each.note, "; ".join(each.groups))
        table.writerow([f"'{cell}" if cell[:1] in ("=", "+", "-", "@", "'") else cell for cell in cells])
    return out.getvalue()


def _from_csv(text: str) -> Iterator[ContactCard]:
    first = text.lstrip("\ufeff\n\r").partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    lines = csv.reader(io.StringIO(text.lstrip("\ufeff").replace("\0", ""), newline=""), delimiter=delimiter)
    column_of: dict[str, int] = {}
    try:
        heads = [head.strip().casefold() for head in next(lines, [])]
        column_of = {key: heads.index(n) for key, names in _COLUMNS.items() for n in reversed(names) if n in heads}
        for cells in lines:
            yield _from_cells({key: _cell(cells[n]) for key, n in column_of.items() if n < len(cells)})
    except csv.Error:
        return


def _cell(text: str) -> str:
    return text[1:] if text[:1] == "'" and text[1:2] in ("=", "+", "-", "@", "'") else text


def _from_cells(cells: dict[str, str]) -> ContactCard:
    name = cells.get("name", "") or _join_name(cells.get("last", ""), cells.get("first", ""))
    groups = [group.strip() for group in cells.get("groups", "").replace(":::", ";").split(";")]
    return make_card(name, cells.get("mail", ""), cells.get("nickname", ""), cells.get("note", ""), groups)
