"""Tagged responses as values (RFC 9051 §7.1, RFC 5530)."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from mailcore.values import Refusal


@dataclass(frozen=True, slots=True)
class TaggedResponse:
    """A tagged response. `code` is without brackets: "READ-WRITE". `then` is called after the response is sent."""

    status: Literal["OK", "NO", "BAD"]
    text: str
    code: str = ""
    then: Callable[[], Awaitable[None]] | None = None

    def render(self, tag: bytes) -> bytes:
        code = f"[{self.code}] " if self.code else ""
        return tag + f" {self.status} {code}{self.text}\r\n".encode()


def ok(text: str, code: str = "") -> TaggedResponse:
    return TaggedResponse("OK", text, code)


def no(text: str, code: str = "") -> TaggedResponse:
    return TaggedResponse("NO", text, code)


def bad(text: str, code: str = "") -> TaggedResponse:
    return TaggedResponse("BAD", text, code)


UID_REQUIRED = bad("Message numbers are not used any more", "UIDREQUIRED")  # RFC 9586 §3.


def refusal_response(refusal: Refusal) -> TaggedResponse:
    return TaggedResponse("NO", refusal.text, refusal.code)


def target_refusal_response(refusal: Refusal) -> TaggedResponse:
    """Return the response of a command that stores into a mailbox; TRYCREATE if the client could create it."""
    return TaggedResponse("NO", refusal.text, "TRYCREATE" if refusal.code == "NONEXISTENT" else refusal.code)
