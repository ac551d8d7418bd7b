"""Envelope addresses (RFC 5321 §4.1.2) and the forms people type.

Everywhere in the system an address is text: local part, "@", domain; the null sender is "". The local part is written
without needless quotes, the domain in lower case and, unless it needs SMTPUTF8, as A-labels.
"""

import re

_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\x80-\U0010ffff-]+"
_DOT_STRING = re.compile(rf"{_ATOM}(?:\.{_ATOM})*")
_QUOTED = re.compile(r'"((?:[^"\\\x00-\x1f\x7f]|\\[\x20-\x7e])*)"')
_LABEL = r"[A-Za-z0-9\x80-\U0010ffff](?:[A-Za-z0-9_\x80-\U0010ffff-]*[A-Za-z0-9\x80-\U0010ffff])?"
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?")
_LITERAL = re.compile(r"\[(?:\d{1,3}(?:\.\d{1,3}){3}|[Ii][Pp][Vv]6:[0-9A-Fa-f:.]+)\]")
_SOURCE_ROUTE = re.compile(r"@[^:,@\s]+(?:,@[^:,@\s]+)*:")
# the form of nearly every address, accepted without further parsing
_COMMON = re.compile(r"[a-z0-9._+-]{1,64}@[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?")


class AddressError(ValueError):
    """The text is not an address of RFC 5321."""


def parse_address(text: str) -> str:
    """Parse `text` (without angle brackets) and return the address in canonical form.

    A source route ("@relay:user@domain") is dropped as RFC 5321 appendix C asks. A bare local part ("postmaster") is
    returned as it is; the caller adds a domain.

    Raise AddressError if the text is not an address.
    """
    if len(text) < 256 and _COMMON.fullmatch(text) and ".." not in text and text[0] != "." and ".@" not in text:
        return text
    route = _SOURCE_ROUTE.match(text)
    if route:
        text = text[route.end() :]
    quoted = _QUOTED.match(text)
    if quoted:
        local, rest = re.sub(r"\\(.)", r"\1", quoted[1]), text[quoted.end() :]
    else:
        local, at, domain = text.rpartition("@")
        if not at:
            local, domain = domain, ""
        rest = at + domain
        if not _DOT_STRING.fullmatch(local):
            raise AddressError("the local part is not allowed")
    if len(local.encode("utf-8", "surrogateescape")) > 64 or not local:
        raise AddressError("the local part is empty or longer than 64 bytes")
    if not rest:
        return local
    domain = rest[1:]
    if rest[0] != "@" or len(domain.encode("utf-8", "surrogateescape")) > 255:
        raise AddressError("the domain is missing or longer than 255 bytes")
    if not (_DOMAIN.fullmatch(domain) or _LITERAL.fullmatch(domain)):
        raise AddressError("the domain is not allowed")
    return f"{local}@{ascii_domain(domain)}"


def is_bare(text: str) -> bool:
    """Return True if `text`, which `parse_address` accepts, is a local part alone, quoted or not."""
    text = text[route.end() :] if (route := _SOURCE_ROUTE.match(text)) else text
    quoted = _QUOTED.match(text)
    return quoted.end() == len(text) if quoted else "@" not in text


def split_address(address: str) -> tuple[str, str]:
    """Split an address into (local part, domain); the domain is "" if there is none."""
    local, at, domain = address.rpartition("@")
    return (local, domain) if at else (domain, "")


def ascii_domain(domain: str) -> str:
    """Return a domain as it is stored and compared: lower case, no final dot, A-labels (RFC 5890)."""
    domain = domain.rstrip(".").lower()
    if domain.isascii():
        return domain
    try:
        return domain.encode("idna").decode("ascii")
    except UnicodeError as error:
        raise AddressError("the domain is not allowed") from error


def unicode_address(address: str) -> str:
    """Return an address for its owner's eyes, with U-labels (RFC 5890) for the A-labels of its domain."""
    local, domain = split_address(address)
    if "xn--" not in domain:
        return address
    try:
        written = domain.encode("ascii").decode("idna")
        return f"{local}@{written}" if ascii_domain(written) == domain else address
    except (UnicodeError, AddressError):
        return address


def fold_address(address: str) -> str:
    """Return the form in which addresses are compared: lower case throughout, as in Postfix's tables."""
    return address.lower()


def format_address(address: str) -> str:
    """Return the address as it is written between angle brackets, its local part quoted where necessary."""
    local, domain = split_address(address)
    if not address or _DOT_STRING.fullmatch(local):
        return address
    quoted = '"' + re.sub(r'(["\\])', r"\\\1", local) + '"'
    return f"{quoted}@{domain}" if domain else quoted


def split_extension(local: str, delimiter: str) -> tuple[str, str]:
    """Split "user+extension" into ("user", "extension"); the extension is "" if there is none."""
    for position, character in enumerate(local):
        if character in delimiter and position:
            return local[:position], local[position + 1 :]
    return local, ""
