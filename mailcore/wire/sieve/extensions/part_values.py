"""The parts of a message as the mime extension tests them (RFC 5703 §4): their header fields and parameters."""

from collections.abc import Iterator

from mailcore.wire.message import headers, mime
from mailcore.wire.sieve.sieve_message import SieveMessage, split_addresses

# Fields whose value has a type and parameters (RFC 2045 §5.1, RFC 2183 §2).
_STRUCTURED = ("content-type", "content-disposition")


def descendants(part: mime.Part) -> Iterator[mime.Part]:
    """Yield the parts below a part, depth first: those of a multipart, and the message in a message/rfc822."""
    children = [each for each in part.children if not each.is_implied]
    for child in (*children, part.message) if part.message is not None else children:
        yield child
        yield from descendants(child)


def parts_to_visit(message: SieveMessage, part: mime.Part | None) -> Iterator[mime.Part]:
    """Yield the parts of a loop (§3): the whole message first, or for a loop inside another what is below its part."""
    if part is None:
        yield message.root
    yield from descendants(message.root if part is None else part)


def parts_to_test(message: SieveMessage, part: mime.Part | None, *, with_children: bool) -> list[mime.Part]:
    """Return the part whose header a test looks at, and with :anychild all parts below it."""
    own = message.root if part is None else part
    return [own, *descendants(own)] if with_children else [own]


def raw_values(part: mime.Part, name: str) -> list[str]:
    """Return the values of a part's fields of this name (any case), undecoded."""
    return [value for each, value in part.fields if each == name.lower()]


def addresses(part: mime.Part, name: str) -> list[list[str]]:
    """Return the addresses in each of a part's fields of this name."""
    return [list(split_addresses(value)) for value in raw_values(part, name)]


def values(name: str, raw: str, option: str, parameters: tuple[str, ...]) -> list[str]:
    """Return what an option selects of a field's value: "" all of it, "type", "subtype", "contenttype" or "param".

    Only Content-Type and Content-Disposition have such values; for other fields there are none.
    """
    if not option:
        return [headers.decode_value(raw).strip()]
    if name.lower() not in _STRUCTURED:
        return []
    field = headers.parse_structured(raw)
    if option == "param":
        known = {key.removesuffix("*") for key, _ in field.parameters}
        return [field.text(each.lower()) for each in parameters if each.lower() in known]
    kind, _, subtype = field.value.partition("/")
    return [{"type": kind, "subtype": subtype, "contenttype": field.value}[option]]
