"""List headers: unsubscribing and the other commands a mailing list offers (RFC 2369 §3.2, RFC 8058)."""

import re
from dataclasses import dataclass

from webmail.reading.message_content import MessageHeader
from webmail.sanitize import safe_http

_BODY = b"List-Unsubscribe=One-Click"


@dataclass(frozen=True, slots=True)
class UnsubscribeOffer:
    """The addresses in List-Unsubscribe; some may be empty, but not all."""

    one_click: str  # https URL that receives a POST
    mailto: str
    page: str  # URL for the reader to visit


def parse_offer(head: MessageHeader) -> UnsubscribeOffer | None:
    """Return the ways to unsubscribe that a message offers, or None.

    One click requires https and the List-Unsubscribe-Post field (RFC 8058 §3.1).
    """
    found = [re.sub(r"\s+", "", each) for each in re.findall(r"<([^<>]*)>", head.raw_first("list-unsubscribe"))]
    mailto = next((each for each in found if re.match(r"mailto:", each, re.IGNORECASE)), "")
    page = next((each for each in found if re.match(r"https?://", each, re.IGNORECASE)), "")
    secure = next((each for each in found if re.match(r"https://", each, re.IGNORECASE)), "")
    post_value = head.raw_first("list-unsubscribe-post").strip().casefold()
    one_click = secure if post_value == _BODY.decode().casefold() else ""
    return UnsubscribeOffer(one_click, mailto, page) if one_click or mailto or page else None


def list_commands(head: MessageHeader) -> dict[str, str]:
    """Return the list's other addresses (RFC 2369) by name: "post", "subscribe", "help", "archive"."""
    found = {}
    for name in ("post", "subscribe", "help", "archive"):
        addresses = [re.sub(r"\s+", "", each) for each in re.findall(r"<([^<>]*)>", head.raw_first(f"list-{name}"))]
        if usable := next((each for each in addresses if re.match(r"(?:mailto|https?):", each, re.IGNORECASE)), ""):
            found[name] = usable
    return found


def send_unsubscribe(one_click: str) -> bool:
    """Send the one-click request; return True if the list's server accepted it."""
    try:
        answer = safe_http.safe_post(one_click, _BODY, "application/x-www-form-urlencoded")
    except safe_http.FetchError:
        return False
    return 200 <= answer.status < 300
