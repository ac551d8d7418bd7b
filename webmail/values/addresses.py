"""Addresses: as servers give them, as pages show them, as persons type them."""

import re
from dataclasses import dataclass
from email.header import Header

from django.utils.translation import gettext as _

from mailcore.wire.message import address_list
from mailcore.wire.message import envelope_address as grammar
from webmail.values import header_text
from webmail.values.imap_responses import Value

# Full-width signs and the enumeration comma, which Chinese keyboards write between addresses.
_WIDE = str.maketrans("，、；;＠（）＜＞\u3000", ",,,,@()<> ")
_NAME_PLAIN = re.compile(r"[A-Za-z0-9 !#$%&'*+\-/=?^_`{|}~]*")


class InvalidAddress(ValueError):
    """What was typed is not an address; the words say which part."""


@dataclass(frozen=True, slots=True)
class Address:
    name: str
    mail: str

    @property
    def short(self) -> str:
        """For lists: the name, else the part before the @."""
        return self.name or self.mail.partition("@")[0] or self.mail

    @property
    def full(self) -> str:
        """As a person would type it."""
        if not self.name:
            return self.mail
        name = self.name if not re.search(r'[",;<>@()\\:\[\]]', self.name) else _quote_name(self.name)
        return f"{name} <{self.mail}>"

    @property
    def coded(self) -> str:
        """As a header field carries it (RFC 5322 §3.4, the name as RFC 2047 words where it must be)."""
        mail = grammar.format_address(self.mail)
        name = " ".join(self.name.split())  # no sign that any program takes for a line's end
        if not name:
            return mail
        if _NAME_PLAIN.fullmatch(name):
            return f"{name} <{mail}>"
        if name.isascii():
            return f"{_quote_name(name)} <{mail}>"
        return f"{Header(name, 'utf-8').encode(maxlinelen=0)} <{mail}>"


def _quote_name(name: str) -> str:
    return '"' + re.sub(r'(["\\])', r"\\\1", name) + '"'


def parse_envelope(value: Value) -> tuple[Address, ...]:
    """An address list of ENVELOPE (RFC 9051 §7.5.2); group marks are left out, their members kept."""
    if not isinstance(value, tuple):
        return ()
    found = []
    for item in value:
        if not isinstance(item, tuple) or len(item) < 4 or item[3] is None:
            continue
        name, local, host = (
            header_text.decode_header(x if isinstance(x, bytes) else None) for x in (item[0], item[2], item[3])
        )
        # What Dovecot writes where an address has no such part.
        host = "" if host.upper() in (".MISSING-HOST-NAME.", "MISSING_DOMAIN") else host
        local = "" if local.upper() == "MISSING_MAILBOX" else local
        mail = f"{local}@{host}" if host else local
        if mail or name:
            found.append(Address(name, mail))
    return tuple(found)


def parse_header(value: str) -> tuple[Address, ...]:
    """The addresses of a raw field (Latin-1). Encoded words are decoded after parting, never before."""
    found = []
    for item in address_list.parse_address_list(value):
        if item.host is None:
            continue
        name, local, host = (
            header_text.decode_header((x or "").encode("latin-1")) for x in (item.name, item.mailbox, item.host)
        )
        if local or name:
            found.append(Address(name, f"{local}@{host}" if host else local))
    return tuple(found)


def parse_typed(text: str) -> tuple[Address, ...]:
    """What a person typed into a recipient field; each address once. Raises BadAddress with words
    for that person."""
    if re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]", text):
        raise InvalidAddress(_("A control character is not allowed here."))
    found: dict[str, Address] = {}
    for piece in split_typed(text):
        before, bracket, rest = piece.rpartition("<")
        is_named = bracket and rest.find(">") == len(rest) - 1 >= 0
        name, mail = (before.strip(), rest[:-1].strip()) if is_named else ("", piece)
        if len(name) > 1 and name[0] == name[-1] == '"':
            name = re.sub(r"\\(.)", r"\1", name[1:-1])
        try:
            mail = grammar.parse_address(mail)
        except grammar.AddressError:
            mail = ""
        if "@" not in mail:
            raise InvalidAddress(_("“%s” is not an e-mail address.") % piece[:80])
        found.setdefault(grammar.fold_address(mail), Address(name, mail))
    return tuple(found.values())


def split_typed(text: str) -> list[str]:
    """What was typed, parted at commas (full-width ones too) and line ends outside quotes; none is empty."""
    found: list[str] = []
    current: list[str] = []
    quoted = False
    for sign in text.translate(_WIDE):
        if sign == '"' and (not current or current[-1] != "\\"):
            quoted = not quoted
        if sign in "\r\n" or (sign == "," and not quoted):
            found.append("".join(current))
            current, quoted = [], False
        else:
            current.append(sign)
    found.append("".join(current))
    return [piece.strip() for piece in found if piece.strip()]
