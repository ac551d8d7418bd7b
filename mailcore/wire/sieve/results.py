"""The result of a script run and the environment a script may query, as frozen values."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from mailcore.wire.sieve.extensions.external_lists import ExternalList
from mailcore.wire.sieve.regex import DEFAULT_LIMITS, RegexLimits


class SieveRunError(Exception):
    """The script failed for this message, which is kept (RFC 5228 §2.10.6); the text is for the script's owner."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one run."""

    actions: int = 32
    redirects: int = 4
    seconds: float = 5.0
    includes: int = 255  # scripts included in one run
    include_depth: int = 10
    header_size: int = 2048  # characters of a field that a script adds
    added_fields: int = 100  # fields that a script adds
    protected_fields: frozenset[str] = frozenset()  # names in lower case that scripts may neither add nor delete
    regex: RegexLimits = DEFAULT_LIMITS


@dataclass(frozen=True, slots=True)
class Envelope:
    """The message's envelope: `sender` is "" for the null sender, `recipient` as given at RCPT."""

    sender: str
    recipient: str
    recipient_delimiter: str = "+"


@dataclass(frozen=True, slots=True)
class ScriptEnvironment:
    """The environment a script may query besides the message, evaluated only when a test needs it."""

    now: float  # seconds
    has_mailbox: Callable[[str], bool]
    mailbox_for: Callable[[str], str]  # "\\Junk" → the mailbox's name, "" if there is none
    was_seen: Callable[[str], bool]  # duplicate test: True if this key was recorded
    # (location, name) of a script to include → its text, or None if there is none; location: "personal" or "global"
    load_script: Callable[[str, str], str | None] = lambda _location, _name: None
    zone_minutes: int = 0  # the owner's zone, in minutes ahead of UTC, used without :zone
    environment: Mapping[str, str] = field(default_factory=dict)
    # whole name of an external list → the list, or None if there is none
    find_list: Callable[[str], ExternalList | None] = lambda _: None
    # results of the filters for spam and viruses: 0.0 (clean) to 1.0, None if the message was not tested; given the
    # function that ends a run which takes too long
    spam_ratio: Callable[[Callable[[], None]], float | None] = lambda _: None
    virus_ratio: Callable[[Callable[[], None]], float | None] = lambda _: None
    limits: Limits = Limits()


@dataclass(frozen=True, slots=True)
class Keep:
    """Put the message into a mailbox; the default is the implicit keep."""

    mailbox: str = "INBOX"
    flags: tuple[str, ...] = ()
    create: bool = False
    header: bytes | None = None  # the header of this copy, if the script has changed it


@dataclass(frozen=True, slots=True)
class Redirect:
    address: str
    header: bytes | None = None  # as in Keep


@dataclass(frozen=True, slots=True)
class Reject:
    reason: str


@dataclass(frozen=True, slots=True)
class VacationReply:
    """A vacation reply, sent if `vacation.should_reply`; `seconds` None: the default period."""

    reason: str
    seconds: int | None = None
    subject: str = ""
    sender: str = ""
    addresses: tuple[str, ...] = ()
    mime: bool = False
    handle: str = ""

    @property
    def key(self) -> str:
        """Return the key that identifies the reply: each correspondent gets one for each key (RFC 5230 §4.2)."""
        return self.handle or f"{self.subject}\0{self.sender}\0{self.mime}\0{self.reason}"


@dataclass(frozen=True, slots=True)
class Notification:
    """A notification by mail (RFC 5436); `importance` is "1" (high) to "3"."""

    recipients: tuple[str, ...]
    subject: str = ""
    body: str = ""
    message: str = ""
    sender: str = ""
    importance: str = "2"


@dataclass(frozen=True, slots=True)
class SieveResult:
    """The actions for one message, each once; none at all means discard."""

    keeps: tuple[Keep, ...] = ()
    redirects: tuple[Redirect, ...] = ()
    reject: Reject | None = None
    vacation: VacationReply | None = None
    notifications: tuple[Notification, ...] = ()
    remember: tuple[tuple[str, int], ...] = ()  # keys of duplicate tests, and for how many seconds to record them

    @property
    def is_plain(self) -> bool:
        """True if the result is that of no script at all."""
        return self.keeps == (Keep(),) and not (
            self.redirects or self.reject or self.vacation or self.notifications or self.remember
        )
