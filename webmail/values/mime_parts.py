"""A message's MIME tree from BODYSTRUCTURE (RFC 9051 §7.5.2), and which of its parts a page shows.

`parse_structure` never raises for odd structures; a part it cannot parse becomes an attachment to download.
"""

import binascii
import mimetypes
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from mailcore.wire.message import headers, readable_text
from webmail.values import header_text
from webmail.values.flowed_text import join_flowed_lines
from webmail.values.imap_responses import Value

MAX_DEPTH = 40
_EMPTY = 4  # bytes of a part that holds only line ends
_TEXT = ("text/plain", "text/enriched", "text/richtext", "text/markdown")
_TEXT_FILES = ("text/calendar", "text/vcard", "text/x-vcard", "text/directory", "text/csv", "text/css")
# Extensions for files without a name; Python's table, which depends on the machine, has the others.
_EXTENSIONS = {
    "text/calendar": ".ics", "text/vcard": ".vcf", "text/x-vcard": ".vcf", "text/directory": ".vcf",
    "text/plain": ".txt", "text/html": ".html", "text/csv": ".csv", "text/markdown": ".md", "message/rfc822": ".eml",
    "application/ics": ".ics", "application/msword": ".doc", "application/vnd.ms-excel": ".xls",
    "application/vnd.ms-powerpoint": ".ppt", "application/pdf": ".pdf", "application/zip": ".zip",
    "application/x-rar-compressed": ".rar", "application/vnd.rar": ".rar", "application/x-7z-compressed": ".7z",
    "application/gzip": ".gz", "application/rtf": ".rtf", "application/json": ".json", "application/xml": ".xml",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": ".docx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": ".xlsx",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": ".pptx",
    "application/pkcs7-mime": ".p7m", "application/x-pkcs7-mime": ".p7m", "application/ms-tnef": ".dat",
    "image/jpeg": ".jpg", "image/png": ".png", "image/gif": ".gif", "image/webp": ".webp", "image/bmp": ".bmp",
    "image/tiff": ".tif", "image/heic": ".heic", "image/svg+xml": ".svg", "audio/mpeg": ".mp3", "audio/wav": ".wav",
    "audio/amr": ".amr", "video/mp4": ".mp4", "video/quicktime": ".mov",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class MimePart:
    section: str  # number in FETCH: "1", "2.1"; the only part of a simple message is "1"
    kind: str  # media type in lower case: "text/plain"
    parameters: dict[str, str] = field(default_factory=dict)
    content_id: str = ""
    encoding: str = "7bit"
    size: int = 0  # bytes as transferred
    disposition: str = ""  # "inline", "attachment" or ""
    file_name: str = ""
    children: tuple["MimePart", ...] = ()

    @property
    def main(self) -> str:
        return self.kind.partition("/")[0]

    @property
    def decoded_size(self) -> int:
        """Return the approximate size of the decoded file in bytes."""
        return self.size * 3 // 4 if self.encoding == "base64" else self.size

    @property
    def title(self) -> str:
        return self.file_name or ("message.eml" if self.kind == "message/rfc822" else "")

    @property
    def download_name(self) -> str:
        """Return the file's name, or one made of its section and its media type."""
        extension = _EXTENSIONS.get(self.kind) or mimetypes.guess_extension(self.kind) or ""
        return self.title or f"part-{self.section}{extension if extension != '.bin' else ''}"

    def walk(self) -> Iterator["MimePart"]:
        yield self
        for child in self.children:
            yield from child.walk()


@dataclass(frozen=True, slots=True)
class DisplayedParts:
    """The parts a reading page shows: text and HTML (either may be empty), embedded images, and files."""

    text: tuple[MimePart, ...]
    html: tuple[MimePart, ...]
    inside: tuple[MimePart, ...]  # images with a Content-ID, which the HTML may show as cid:
    files: tuple[MimePart, ...]

    def files_beside(self, embedded: Iterable[str]) -> tuple[MimePart, ...]:
        """Return what to list as files, in the message's order; `embedded` are the Content-IDs that the HTML shows."""
        shown = set(embedded)
        files = (*self.files, *(part for part in self.inside if part.content_id not in shown))
        return tuple(sorted(files, key=lambda part: [int(number) for number in part.section.split(".")]))


def parse_structure(value: Value, section: str = "", depth: int = 0) -> MimePart:
    """Return the tree of a BODYSTRUCTURE.

    A multipart has the section of the level it opens ("" at the top).
    """
    if not isinstance(value, tuple) or not value or depth > MAX_DEPTH:
        return MimePart(section or "1", "application/octet-stream", disposition="attachment")
    if isinstance(value[0], tuple):
        parts: list[MimePart] = []
        index = 0
        while index < len(value) and isinstance(value[index], tuple):
            name = f"{section}.{index + 1}" if section else str(index + 1)
            parts.append(parse_structure(value[index], name, depth + 1))
            index += 1
        rest = value[index:]
        parameters = _parameters(rest[1] if len(rest) > 1 else None)
        subtype = _text(rest[0] if rest else None).lower() or "mixed"
        return MimePart(section, f"multipart/{subtype}", parameters, children=tuple(parts))
    return _parse_leaf(value, section or "1", depth)


def _parse_leaf(value: tuple[Value, ...], section: str, depth: int) -> MimePart:
    fields = (*value, *(None,) * (12 - len(value)))
    kind = f"{_text(fields[0]).lower()}/{_text(fields[1]).lower()}"
    parameters = _parameters(fields[2])
    disposition, disposition_parameters = "", {}
    for item in fields[7:]:
        if isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], bytes):
            disposition, disposition_parameters = _text(item[0]).lower(), _parameters(item[1])
            break
    children: tuple[MimePart, ...] = ()
    if kind == "message/rfc822" and isinstance(fields[8], tuple):
        inner = parse_structure(fields[8], section if isinstance(fields[8][0], tuple) else f"{section}.1", depth + 1)
        children = (inner,)
    return MimePart(
        section=section,
        kind=kind if is_media_type(kind) else "application/octet-stream",
        parameters=parameters,
        content_id=_text(fields[3]).strip("<> "),
        encoding=_text(fields[5]).strip().lower() or "7bit",
        size=fields[6] if isinstance(fields[6], int) else 0,
        disposition=disposition,
        file_name=safe_file_name(disposition_parameters.get("filename") or parameters.get("name") or ""),
        children=children,
    )


def _text(value: Value) -> str:
    return header_text.decode_header(value) if isinstance(value, bytes) else "" if value is None else str(value)


def _parameters(value: Value) -> dict[str, str]:
    """Return the decoded parameters by lower-case name (RFC 2231 continuations joined, RFC 2047 words, raw 8-bit)."""
    if not isinstance(value, tuple):
        return {}
    pieces = []
    for name, content in zip(value[::2], value[1::2], strict=False):
        if isinstance(name, bytes) and name:
            decoded_size = content if isinstance(content, bytes) else str(content or "").encode()
            text = re.sub(r'(["\\])', r"\\\1", decoded_size.decode("latin-1"))
            pieces.append(f'{name.decode("latin-1").lower()}="{text}"')
    field_value = headers.parse_structured("; ".join(["x/x", *pieces]))
    names = {name.rstrip("*") for name, _value in field_value.parameters}
    return {name: " ".join(field_value.text(name).split()) for name in names}


_UNSAFE = re.compile("[\x00-\x1f\x7f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")


def is_media_type(kind: str) -> bool:
    return len(kind) <= 127 and re.fullmatch(r"[A-Za-z0-9.+_-]+/[A-Za-z0-9.+_-]+", kind) is not None


def safe_file_name(name: str) -> str:
    """Return an untrusted file name as a plain last path component without controls or direction overrides."""
    name = _UNSAFE.sub("", name).replace("\\", "/").rpartition("/")[2].strip().strip(".") or ""
    if len(name) > 150:
        stem, dot, end = name.rpartition(".")
        name = f"{stem[:130]}.{end[:15]}" if dot else name[:150]
    return name


def choose_parts(root: MimePart) -> DisplayedParts:
    """Decide which parts the page shows and which it lists as files."""
    text: list[MimePart] = []
    html: list[MimePart] = []
    inside: list[MimePart] = []
    files: list[MimePart] = []

    def visit(part: MimePart, alternative: bool) -> None:
        if part.main == "multipart":
            for child in part.children:
                visit(child, alternative or part.kind == "multipart/alternative")
        elif part.disposition == "attachment" and not (part.content_id and part.main == "image"):
            files.append(part)
        elif part.kind == "text/html" and alternative and part.size <= _EMPTY:
            return  # the other alternatives have the text
        elif part.kind == "text/html" and (alternative or not part.file_name):
            html.append(part)
            if not alternative:
                text.append(part)
        elif part.kind in _TEXT and (alternative or not part.file_name):
            text.append(part)
            if not alternative:
                html.append(part)
        elif part.main == "image" and part.content_id:
            inside.append(part)
        elif part.main == "text" and not (alternative or part.file_name or part.kind in _TEXT_FILES):
            text.append(part)
            html.append(part)
        elif part.kind not in ("application/pgp-signature", "application/pkcs7-signature"):
            files.append(part)

    visit(root, False)
    has_html = any(part.kind == "text/html" for part in html)
    shown = DisplayedParts(tuple(text), tuple(html) if has_html else (), tuple(inside), tuple(files))
    return shown if has_html else replace(shown, inside=(), files=shown.files_beside(()))


def encryption_method(root: MimePart) -> str:
    """Return "OpenPGP" or "S/MIME" if the message can be read only with a key, else "" (RFC 3156 §4, RFC 8551 §3.3)."""
    if root.kind == "multipart/encrypted":
        return "OpenPGP"
    is_smime = root.kind in ("application/pkcs7-mime", "application/x-pkcs7-mime")
    return "S/MIME" if is_smime and root.parameters.get("smime-type", "").lower() != "signed-data" else ""


def decode_part(part: MimePart, raw: bytes) -> bytes:
    """Return a part's bytes without its transfer encoding; damaged input loses bytes but never raises."""
    match part.encoding:
        case "base64":
            return headers.decode_base64(raw)
        case "quoted-printable":
            return headers.decode_quoted_printable(raw)
        case "x-uuencode" | "uuencode" | "x-uue":
            return _decode_uuencode(raw)
    return raw


def _decode_uuencode(raw: bytes) -> bytes:
    out = bytearray()
    for line in raw.splitlines():
        if line.startswith(b"begin ") or line in (b"end", b"`", b""):
            continue
        try:
            out += binascii.a2b_uu(line)
        except binascii.Error:
            continue
    return bytes(out)


def part_text(part: MimePart, raw: bytes, charset: str = "") -> str:
    r"""Return a text part's characters, with \n line ends; `charset` stands for the one that the part names."""
    data = decode_part(part, raw)
    named = charset or part.parameters.get("charset", "")
    if not named and part.kind == "text/html":
        named = readable_text.meta_charset(data)
    text = header_text.decode_body(data, named)
    if part.kind == "text/plain" and part.parameters.get("format", "").lower() == "flowed":
        text = join_flowed_lines(text, delete_space=part.parameters.get("delsp", "").lower() == "yes")
    return text


def text_charset(root: MimePart) -> str:
    """Return the charset that the first text part of a message names, or ""."""
    return next((name for part in root.walk() if part.main == "text" and (name := part.parameters.get("charset"))), "")
