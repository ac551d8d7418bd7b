"""Leaving a mailing list, and what else its messages offer (RFC 2369 §3.2, RFC 8058), called by the reading page."""

import re
from dataclasses import dataclass

from webmail.reading.message_content import MessageHeader
from webmail.sanitize import safe_http

_BODY = b"List-Unsubscribe=One-Click"


@dataclass(frozen=True, slots=True)
class UnsubscribeOffer:
    """Addresses from List-Unsubscribe; each may be empty, not all are."""

    one_click: str  # https, to be posted to
    mailto: str
    page: str  # to be visited by the reader


def parse_offer(head: MessageHeader) -> UnsubscribeOffer | None:
    """What a message offers. One click needs https and the field that says so (RFC 8058 §3.1)."""
    found = [re.sub(r"\s+", "", each) for each in re.findall(r"<([^<>]*)>", head.raw_first("list-unsubscribe"))]
    mailto = next((each for each in found if re.match(r"mailto:", each, re.IGNORECASE)), "")
    page = next((each for each in found if re.match(r"https?://", each, re.IGNORECASE)), "")
    secure = next((each for each in found if re.match(r"https://", each, re.IGNORECASE)), "")
    said = head.raw_first("list-unsubscribe-post").strip().casefold()
    one_click = secure if said == _BODY.decode().casefold() else ""
    return UnsubscribeOffer(one_click, mailto, page) if one_click or mailto or page else None


def list_commands(head: MessageHeader) -> dict[str, str]:
    """What else a list offers by mail or web (RFC 2369): "post", "subscribe", "help", "archive" → address."""
    found = {}
    for name in ("post", "subscribe", "help", "archive"):
        given = [re.sub(r"\s+", "", each) for each in re.findall(r"<([^<>]*)>", head.raw_first(f"list-{name}"))]
        if usable := next((each for each in given if re.match(r"(?:mailto|https?):", each, re.IGNORECASE)), ""):
            found[name] = usable
    return found


def send_unsubscribe(one_click: str) -> bool:
    """Whether the list's server took it."""
    try:
        answer = safe_http.safe_post(one_click, _BODY, "application/x-www-form-urlencoded")
    except safe_http.FetchError:
        return False
    return 200 <= answer.status < 300
