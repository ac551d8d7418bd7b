"""One pass over a message, at delivery, for everything listings, sorting and searching need later."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scan:
    """What a message says about itself. Rendered parts are ready to be sent by FETCH."""

    envelope: bytes  # "(...)" as FETCH ENVELOPE sends it
    body_structure: bytes  # "(...)" as FETCH BODYSTRUCTURE sends it
    sent_at: int | None  # Date: in seconds; None where there is none that can be read
    subject_key: str  # base subject (RFC 5256 §2.1), folded, at most 255 characters; so are the next five
    from_key: str
    to_key: str
    cc_key: str
    from_display: str
    to_display: str
    message_id: str  # without <>
    references: str  # message-ids, oldest first, space separated (References, else In-Reply-To)
    preview: str  # RFC 8970, at most 200 characters
    has_attachment: bool
    headers_text: str  # for searches: "name: value" lines, decoded and folded, names lower case
    body_text: str  # for searches: decoded and folded text of all text parts


def scan(content: bytes) -> Scan:
    """Never raises, whatever the octets are."""
    raise NotImplementedError
