"""What a script decides (`Result`) and what it may ask (`Surroundings`): frozen values."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


class SieveRunError(Exception):
    """A script cannot be carried out for this message; the words are for its owner. The message is kept (RFC 5228
    §2.10.6)."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one run may do."""

    actions: int = 32
    redirects: int = 4
    seconds: float = 5.0


@dataclass(frozen=True, slots=True)
class Envelope:
    """How the message came. `sender` is "" for the null sender; `recipient` as it was given at RCPT."""

    sender: str
    recipient: str
    recipient_delimiter: str = "+"


@dataclass(frozen=True, slots=True)
class ScriptEnvironment:
    """What a script can ask besides the message. All of it is asked only where a test wants it."""

    now: float  # seconds
    has_mailbox: Callable[[str], bool]
    mailbox_for: Callable[[str], str]  # "\\Junk" → the mailbox's name, "" without
    was_seen: Callable[[str], bool]  # duplicate: does this key stand in memory?
    zone_minutes: int = 0  # of :zone where none is given: the owner's, ahead of UTC
    environment: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = Limits()


@dataclass(frozen=True, slots=True)
class Keep:
    """Put the message into a mailbox. `wanted` by the script; else it is the implicit keep."""

    mailbox: str = "INBOX"
    flags: tuple[str, ...] = ()
    create: bool = False


@dataclass(frozen=True, slots=True)
class Redirect:
    address: str


@dataclass(frozen=True, slots=True)
class Reject:
    reason: str


@dataclass(frozen=True, slots=True)
class VacationReply:
    """An automatic answer, if one is right for this message (`vacation.answer`). `seconds` None: the default."""

    reason: str
    seconds: int | None = None
    subject: str = ""
    sender: str = ""
    addresses: tuple[str, ...] = ()
    mime: bool = False
    handle: str = ""

    @property
    def key(self) -> str:
        """What answers are told apart by: one to each correspondent for each (RFC 5230 §4.2)."""
        return self.handle or f"{self.subject}\0{self.sender}\0{self.mime}\0{self.reason}"


@dataclass(frozen=True, slots=True)
class SieveResult:
    """What is to be done with one message, each thing once. Nothing at all means: forget it (discard)."""

    keeps: tuple[Keep, ...] = ()
    redirects: tuple[Redirect, ...] = ()
    reject: Reject | None = None
    vacation: VacationReply | None = None
    remember: tuple[tuple[str, int], ...] = ()  # keys of duplicate tests, and for how many seconds

    @property
    def is_plain(self) -> bool:
        """Just what happens without a script."""
        return self.keeps == (Keep(),) and not (self.redirects or self.reject or self.vacation or self.remember)
