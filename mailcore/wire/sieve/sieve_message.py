"""A message as tests see it: decoded header fields, addresses by part, body texts; parsed lazily."""

import re
from collections.abc import Iterator
from functools import cached_property

from mailcore.wire.message import address_list, headers, mime, readable_text
from mailcore.wire.message import envelope_address as addresses
from mailcore.wire.sieve.extensions import header_edits
from mailcore.wire.sieve.results import Envelope


class SieveMessage:
    """A message with its envelope; `content` is the whole message as it will be stored.

    Its first `trace_size` bytes are the fields of this delivery, which a script may not change; `header` is the rest of
    the header after a script changed it, None before.
    """

    def __init__(self, content: mime.Content, envelope: Envelope, trace_size: int = 0) -> None:
        self._content = content
        self._trace_size = trace_size
        self.envelope = envelope
        self.size = len(content)
        self.header: bytes | None = None
        self._mails: dict[str, list[tuple[str, ...]]] = {}

    # --- Changes of the header (RFC 5293) ---

    @cached_property
    def header_end(self) -> int:
        """The offset of the body in the content that was received."""
        return mime.find_header_end(self._content, 0, len(self._content))

    def raw_fields(self) -> tuple[list[bytes], bytes]:
        """Return the raw fields that a script may change, and the empty line after them."""
        if self.header is None:
            return header_edits.split_raw_fields(self._content[self._trace_size : self.header_end])
        return header_edits.split_raw_fields(self.header)

    def replace_header(self, header: bytes) -> None:
        """Use another header from now on. The content is put together only when a test looks at the body."""
        self.size += len(header) - (self.header_end - self._trace_size if self.header is None else len(self.header))
        self.header = header
        self._mails.clear()
        for cached in ("root", "_fields", "_by_name", "_has_body", "_current"):
            self.__dict__.pop(cached, None)

    @cached_property
    def _current(self) -> mime.Content:
        """The message with its present header."""
        if self.header is None:
            return self._content
        return self._content[: self._trace_size] + self.header + self._content[self.header_end :]

    @cached_property
    def root(self) -> mime.Part:
        """The whole message as the root of its parts."""
        return mime.parse_message(self._current)

    def part_text(self, part: mime.Part, limit: int) -> str:
        """Return the readable text of a part, about `limit` characters at most; "" of one that is no text."""
        if not _is_text(part):
            return ""
        text = readable_text.readable_text(self._current, part, 4 * limit)
        # Markup begins with blocks, whose line ends are not text.
        return (text if part.subtype == "plain" else text.strip()).replace("\n", "\r\n")

    @cached_property
    def _fields(self) -> headers.Fields:
        header = self._current[self._trace_size : self.header_end] if self.header is None else self.header
        return headers.split_fields(self._current[: self._trace_size] + header)

    @cached_property
    def _by_name(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for name, value in self._fields:
            found.setdefault(name, []).append(value)
        return found

    def raw(self, name: str) -> list[str]:
        """Return the values of the fields of this name (any case), Latin-1, in order."""
        return self._by_name.get(name.lower(), [])

    def values(self, name: str) -> list[str]:
        """Return the values of the fields of this name, decoded (RFC 5228 §2.7.2)."""
        return [headers.decode_value(value).strip() for value in self.raw(name)]

    def addresses(self, name: str, *, at: int | None = None) -> list[str]:
        """Return the addresses in the fields of this name, or in the field with index `at`."""
        if name.lower() not in self._mails:
            self._mails[name.lower()] = [tuple(split_addresses(value)) for value in self.raw(name)]
        fields = self._mails[name.lower()]
        if at is not None:
            fields = [fields[at]] if -len(fields) <= at < len(fields) else []
        return [mail for mails in fields for mail in mails]

    def has(self, name: str) -> bool:
        return name.lower() in self._by_name

    # --- The body (RFC 5173) ---

    @cached_property
    def _has_body(self) -> bool:
        """False for a header alone, without an empty line after it: no body test holds for it (§4)."""
        end = mime.find_header_end(self._current, 0, len(self._current))
        return end < len(self._current) or self._current[max(0, end - 4) : end].endswith((b"\n\r\n", b"\n\n"))

    def body_raw(self) -> list[str]:
        start = mime.find_header_end(self._current, 0, len(self._current))
        return [self._current[start:].decode("utf-8", "replace")] if self._has_body else []

    def body_text(self) -> list[str]:
        """Return the readable text of each text part, lines separated by CRLF as in scripts."""
        if not self._has_body:
            return []
        leaves = readable_text.leaf_parts(self.root)
        texts = [part for part in leaves if _is_text(part)]
        shown = [readable_text.readable_text(self._current, part, self._whole) for part in texts]
        return [text.replace("\n", "\r\n") for text in shown]

    @property
    def _whole(self) -> int:
        """Return a number of bytes that no part exceeds: tests look at all of a part."""
        return len(self._current)

    def body_of(self, types: tuple[str, ...]) -> list[str]:
        """Return the content of parts by media type (§5.2): "" for all, "text", or "text/plain".

        A multipart is only what stands before and after its parts, an enclosed message only its header: the parts of
        both are tested by themselves.
        """
        found = []
        for part in _all(self.root) if self._has_body else ():
            if not any(_is_type(part, each.lower()) for each in types):
                continue
            if part.kind == "text":
                found.append(readable_text.decoded_text(self._current, part, self._whole))
            elif part.kind == "multipart":
                found += [each.decode("utf-8", "replace") for each in self._around_parts(part)]
            elif part.message is not None:
                header = self._current[part.body : part.message.body]
                if header.endswith((b"\r\n\r\n", b"\n\n")):  # the empty line is none of its fields
                    header = header[:-1].removesuffix(b"\r")
                found.append(header.decode("utf-8", "replace"))
            else:
                found.append(readable_text.decoded_bytes(self._current, part, self._whole).decode("utf-8", "replace"))
        return found

    def _around_parts(self, part: mime.Part) -> list[bytes]:
        """Return the prologue and the epilogue of a multipart, without the boundary lines."""
        if not part.children or part.children[0].is_implied:
            return [self._current[part.body : part.end]]
        before = self._current[part.body : part.children[0].start]
        # The line end before a boundary line belongs to that (RFC 2046 §5.1.1).
        prologue = before[: before.rstrip(b"\r\n").rfind(b"\n") + 1]
        after = self._current[part.children[-1].end : part.end].lstrip(b"\r\n")
        return [prologue.removesuffix(b"\n").removesuffix(b"\r"), after.partition(b"\n")[2]]


def _all(part: mime.Part) -> Iterator[mime.Part]:
    yield part
    for child in part.children:
        yield from _all(child)
    if part.message is not None:
        yield from _all(part.message)


def _is_text(part: mime.Part) -> bool:
    return part.kind == "text" or _is_type(part, "application/xhtml+xml")


def _is_type(part: mime.Part, wanted: str) -> bool:
    if not wanted:
        return True
    kind, slash, subtype = wanted.partition("/")
    if slash and (not kind or not subtype or "/" in subtype):
        return False
    return part.kind == kind and (not slash or part.subtype == subtype)


def split_addresses(value: str) -> Iterator[str]:
    """Yield the addresses of a field's value."""
    for item in address_list.parse_address_list(value):
        if item.host is None or not (item.mailbox or item.host):
            continue
        local, host = (headers.decode_value(each or "") for each in (item.mailbox, item.host))
        yield f"{local}@{host}" if host else local


def part_of(mail: str, part: str, delimiter: str) -> str | None:
    """Return an address part (RFC 5228 §2.7.4, RFC 5233), or None if the address lacks it.

    What is no address has no parts; the null sender is "" in all of them (§5.4).
    """
    local, domain = addresses.split_address(mail)
    if part in ("all", "") or not mail:
        return mail
    if not local or not domain:
        return None
    if part == "domain":
        return domain
    if part == "localpart":
        return local
    name, detail = addresses.split_extension(local, delimiter)
    if part == "user":
        return name
    has_detail = len(name) < len(local)
    return detail if has_detail else None


def to_one_line(value: str) -> str:
    """Return text that is safe in a header field."""
    return re.sub(r"[\x00-\x1f\x7f]+", " ", value).strip()


def parse_target(text: str) -> str:
    """Return the address of `address` or `name <address>` (RFC 5228 §2.4.2.3), or "" if there is none."""
    name, bracket, rest = text.strip().rpartition("<")
    if bracket and rest.endswith(">") and not _UNQUOTED.search(re.sub(r'"(?:[^"\\]|\\.)*+"', "", name)):
        text = rest[:-1]
    local, at, domain = text.strip().rpartition("@")
    try:
        address = addresses.parse_address(f"{local.rstrip()}{at}{domain.lstrip()}")
    except addresses.AddressError:
        return ""
    return address if "@" in address else ""


_UNQUOTED = re.compile(r'[<>@,;:"\\\[\]]')  # signs that no name has outside quotation marks
