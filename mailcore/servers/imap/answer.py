"""What a command answers: the tagged response, as a value (RFC 9051 §7.1, RFC 5530)."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from mailcore.terms import Refusal


@dataclass(frozen=True, slots=True)
class Answer:
    """`code` without brackets: "READ-WRITE". `then` happens after the response is on its way."""

    status: Literal["OK", "NO", "BAD"]
    text: str
    code: str = ""
    then: Callable[[], Awaitable[None]] | None = None

    def render(self, tag: bytes) -> bytes:
        code = f"[{self.code}] " if self.code else ""
        return tag + f" {self.status} {code}{self.text}\r\n".encode()


def ok(text: str, code: str = "") -> Answer:
    return Answer("OK", text, code)


def no(text: str, code: str = "") -> Answer:
    return Answer("NO", text, code)


def bad(text: str, code: str = "") -> Answer:
    return Answer("BAD", text, code)


UID_REQUIRED = bad("Message numbers are not used any more", "UIDREQUIRED")  # RFC 9586 §3


def refused(refusal: Refusal) -> Answer:
    return Answer("NO", refusal.text, refusal.code)


def refused_target(refusal: Refusal) -> Answer:
    """For commands that would put a message into a mailbox: a client may make it and try again."""
    return Answer("NO", refusal.text, "TRYCREATE" if refusal.code == "NONEXISTENT" else refusal.code)
