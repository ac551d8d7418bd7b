"""Mail addresses: parsed from servers and from input, formatted for pages and headers."""

import re
import unicodedata
from dataclasses import dataclass
from email.header import Header

from django.utils.translation import gettext as _

from mailcore.wire.message import address_list
from mailcore.wire.message import envelope_address as grammar
from webmail.values import header_text
from webmail.values.imap_responses import Value

# Full-width punctuation and the enumeration comma, which Chinese input methods insert between addresses.
_WIDE = str.maketrans("，、；;＠（）＜＞《》〈〉\u3000\xa0", ",,,,@()<><><>  ")
# Characters that nobody sees: zero-width ones, marks of direction, soft hyphens; pasted text is full of them.
_INVISIBLE = re.compile("[\xad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
_FIELDS = ("from", "sender", "reply-to", "to", "cc", "bcc", "subject")  # a pasted header is no group
_COMMENT = re.compile(r"(\S+@\S+) +\(([^()]*)\)")
_NAME_PLAIN = re.compile(r"[A-Za-z0-9 !#$%&'*+\-/=?^_`{|}~]{0,70}")
_WORD_LINE = 75  # bytes of an encoded word, and of a line with one, at most (RFC 2047 §2)


class InvalidAddress(ValueError):
    """The input is not an address; the error text says which part."""


@dataclass(frozen=True, slots=True)
class Address:
    name: str
    mail: str

    @property
    def short(self) -> str:
        """Return the name, else the local part, for lists."""
        return self.name or self.mail.partition("@")[0] or self.mail

    @property
    def full(self) -> str:
        """Return `name <address>` as a person would type it, the name quoted where it must be."""
        if not (self.name and self.mail):
            return self.mail or self.name
        name = self.name if not re.search(r'[",;<>@()\\:\[\]]', self.name) else _quote_name(self.name)
        return f"{name} <{self.mail}>"

    @property
    def coded(self) -> str:
        """Return the address for a header field (RFC 5322 §3.4), with the name encoded (RFC 2047) if needed."""
        mail = grammar.format_address(self.mail)
        name = " ".join(self.name.split())  # no character that any program takes for the end of a line
        if not name:
            return mail
        if _NAME_PLAIN.fullmatch(name):
            return f"{name} <{mail}>"
        if name.isascii() and len(name) <= 70:
            return f"{_quote_name(name)} <{mail}>"
        # The longest name of a field before it is that of read receipts.
        words = Header(name, "utf-8", header_name="Disposition-Notification-To")
        encoded = words.encode(linesep="\r\n", maxlinelen=_WORD_LINE)
        space = " " if len(encoded.rpartition("\n")[2]) + len(mail) + 3 <= _WORD_LINE else "\r\n "
        return f"{encoded}{space}<{mail}>"


def _quote_name(name: str) -> str:
    return '"' + re.sub(r'(["\\])', r"\\\1", name) + '"'


def parse_envelope(value: Value, charset: str = "") -> tuple[Address, ...]:
    """Return an address list of ENVELOPE (RFC 9051 §7.5.2) with the members of groups.

    Of a group only its name is returned if it has no members, as an entry without address.
    """
    if not isinstance(value, tuple):
        return ()
    addresses = []
    group = ""
    for item in value:
        if not isinstance(item, tuple) or len(item) < 4:
            continue
        name, local, host = (
            header_text.decode_header(x if isinstance(x, bytes) else None, charset) for x in (item[0], item[2], item[3])
        )
        if item[3] is None:  # a group begins, or ends
            if group and not local:
                addresses.append(Address(group, ""))
            group = local
            continue
        group = ""
        # Dovecot writes these where an address has no local part or no host.
        host = "" if host.upper() in (".MISSING-HOST-NAME.", "MISSING_DOMAIN") else host
        local = "" if local.upper() == "MISSING_MAILBOX" else local
        mail = f"{local}@{host}" if host else local
        if mail or name:
            addresses.append(Address(name, mail))
    return tuple(addresses)


def parse_header(value: str, charset: str = "") -> tuple[Address, ...]:
    """Return the addresses of a raw field (Latin-1), with each group's name as an entry without address.

    Encoded words are decoded after splitting, never before.
    """
    addresses = []
    for item in address_list.parse_address_list(value):
        name, local, host = (
            header_text.decode_header((x or "").encode("latin-1"), charset)
            for x in (item.name, item.mailbox, item.host)
        )
        if item.host is None:
            if local:
                addresses.append(Address(local, ""))
        elif local or name:
            addresses.append(Address(name, f"{local}@{host}" if host else local))
    return tuple(addresses)


def parse_typed(text: str) -> tuple[Address, ...]:
    """Return the addresses typed into a recipient field, each once.

    Raise `InvalidAddress` with a text for the user.
    """
    if re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]", text):
        raise InvalidAddress(_("A control character is not allowed here."))
    addresses: dict[str, Address] = {}
    for piece in split_typed(text):
        found = _parse_piece(piece)
        if not found:
            raise InvalidAddress(_("“%s” is not an e-mail address.") % piece[:80])
        for address in found:
            addresses.setdefault(grammar.fold_address(address.mail), address)
    return tuple(addresses.values())


def _parse_piece(piece: str) -> list[Address]:
    """Return the addresses of a piece between commas, or an empty list if something in it is none.

    A piece is an address, `name <address>`, `address (name)`, several addresses between spaces, or a row of a
    spreadsheet, in which a name may stand in the cell before the address. The name of a group before it is dropped.
    """
    if address := _parse_one(piece):
        return [address]
    prefix, colon, rest = piece.partition(":")
    if colon and not re.search(r'[@<"]', prefix) and prefix.strip().lower() not in _FIELDS:
        return _parse_piece(rest.strip()) if rest.strip() else []
    cells = piece.split("\t")
    if len(cells) == 1:
        found = [_parse_one(word) for word in piece.split()]
        return [each for each in found if each] if all(found) and len(found) > 1 else []
    row: list[Address] = []
    name = ""
    for cell in (each.strip() for each in cells):
        if "@" not in cell:
            name = cell or name
        elif addresses := _parse_piece(cell):
            row += [Address(each.name or name, each.mail) for each in addresses]
            name = ""
        else:
            return []
    return row


def _parse_one(text: str) -> Address | None:
    before, bracket, rest = text.rpartition("<")
    name, mail = "", text
    if bracket and rest.find(">") == len(rest) - 1 >= 0:
        name, mail = before.strip(), rest[:-1].strip()
    elif comment := _COMMENT.fullmatch(text):
        mail, name = comment[1], comment[2].strip()
    if len(name) > 1 and name[0] == name[-1] == '"':
        name = re.sub(r"\\(.)", r"\1", name[1:-1])
    mail = unicodedata.normalize("NFKC", mail.removeprefix("mailto:"))
    # Signs other than letters and digits stand in no address outside ASCII: they come from the text around it.
    if any(not sign.isascii() and unicodedata.category(sign)[0] not in "LMN" for sign in mail):
        return None
    try:
        mail = grammar.parse_address(mail)
    except grammar.AddressError:
        return None
    return Address(name, mail) if "@" in mail else None


def split_typed(text: str) -> list[str]:
    """Split input at commas (full-width ones too) and line ends outside quotes; empty pieces are dropped."""
    pieces: list[str] = []
    current: list[str] = []
    quoted = False
    for character in _INVISIBLE.sub("", text).translate(_WIDE):
        if character == '"' and (not current or current[-1] != "\\"):
            quoted = not quoted
        if character in "\r\n" or (character == "," and not quoted):
            pieces.append("".join(current))
            current, quoted = [], False
        else:
            current.append(character)
    pieces.append("".join(current))
    return [piece.strip() for piece in pieces if piece.strip()]
