"""Values that packages exchange: frozen dataclasses without Django.

Refusals and outcomes are values; faults are exceptions.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal


class TemporaryFault(Exception):
    """A local failure (database, disk): the client gets 451 4.3.0 and tries again."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An SMTP reply: `code` 250, `enhanced` "2.1.0" or "" (RFC 3463), `text` without either."""

    code: int
    enhanced: str
    text: str

    def __str__(self) -> str:
        return f"{self.code} {self.enhanced} {self.text}" if self.enhanced else f"{self.code} {self.text}"


@dataclass(frozen=True, slots=True)
class Actions:
    """Actions that access tables and policy services request for an accepted message (access(5))."""

    hold: bool = False
    discard: bool = False  # reply 250 and discard the message
    redirect: str = ""  # deliver to this address instead
    bcc: tuple[str, ...] = ()  # deliver to these addresses too
    prepend: tuple[str, ...] = ()  # headers, without line end


@dataclass(frozen=True, slots=True)
class Verdict:
    """The decision of `mta.policy.accept` about one recipient; `reply` is sent to the client.

    `final` is the one local address the message will reach if that is certain already (no alias, no group), so that its
    file can be written with its trace headers; else "".
    """

    accepted: bool
    reply: Reply
    final: str = ""
    actions: Actions = Actions()


@dataclass(frozen=True, slots=True)
class Client:
    """The client of an SMTP session."""

    address: str  # IP address, IPv6 without brackets
    name: str = "unknown"  # reverse DNS name that resolves back, else "unknown"
    helo: str = ""
    protocol: str = "SMTP"  # RFC 3848: SMTP, ESMTP, ESMTPS, ESMTPSA, LMTP, …
    login: str = ""  # address of the account logged in with AUTH, or ""
    tls: str = ""  # "TLSv1.3 with cipher TLS_AES_256_GCM_SHA384", or "" without TLS
    port: int = 0
    reverse_name: str = "unknown"  # name in the PTR record of the address, verified or not
    name_trouble: bool = False  # name is "unknown" because a name server did not reply
    reverse_trouble: bool = False  # reverse_name is "unknown" because a name server did not reply
    method: str = ""  # the AUTH mechanism
    certificate: str = ""  # SHA-256 fingerprint of the client's certificate, "AB:CD:…"
    improper: bool = False  # unauthorized pipelining: it did not wait for replies where it must (RFC 2920)
    service: str = "smtpd"  # the local service of the session, as in log lines


@dataclass(frozen=True, slots=True)
class MessageRecipient:
    """One accepted RCPT; `notify` and `orcpt` are as the client gave them (RFC 3461)."""

    address: str
    notify: str = ""
    orcpt: str = ""
    original: str = ""  # "" = the address itself

    @property
    def given(self) -> str:
        return self.original or self.address


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A message ready to be enqueued: its content file is written and durable."""

    id: int  # queue id
    sender: str  # "" = the null sender
    recipients: tuple[MessageRecipient, ...]
    size: int  # bytes of the content, with this system's Received header, without local trace headers
    received_us: int
    client: Client
    trace_size: int = 0  # bytes of local trace headers at the file's start
    final: str = ""  # the mailbox these headers are for, certain when its only recipient was accepted
    message_id: str = ""
    subject: str = ""  # the base subject, case-folded; only a keyed hash of it is stored
    envelope_id: str = ""
    return_full: bool | None = None
    eight_bit: bool = False
    smtputf8: bool = False
    hold: bool = False
    due_us: int = 0  # earliest delivery (RFC 4865); 0: now
    checksum: int | None = None  # CRC-32 of the content file

    @property
    def queue_id(self) -> str:
        return f"{self.id:X}"


# --- Routes (mta.routing.route) -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Local:
    """Delivery into the mailboxes of an account."""

    account_id: int
    address: str  # the account's own address: Delivered-To
    detail: str = ""  # the part after recipient_delimiter
    filtered: bool = False  # the account has an active Sieve script
    limited: bool = True  # it has a quota
    held: bool = False  # its mail is held in the queue


@dataclass(frozen=True, slots=True)
class Remote:
    """Delivery to another host: `next_hop` is a domain to look up the MX of, or "[host]:port"."""

    address: str
    next_hop: str


@dataclass(frozen=True, slots=True)
class Command:
    """Delivery to a program's standard input, for an alias with a command (`allow_mail_to_commands`)."""

    command: str  # without its |


@dataclass(frozen=True, slots=True)
class MboxFile:
    """Delivery by appending to an mbox file, for an alias with a file (`allow_mail_to_files`)."""

    path: str


@dataclass(frozen=True, slots=True)
class Directory:
    """Delivery into a Maildir outside any account, for an alias with a directory (`allow_mail_to_files`)."""

    path: str


@dataclass(frozen=True, slots=True)
class OwnedTargets:
    """Members of a list that has an owner- alias: they get the message from `sender`, who is notified of failures."""

    sender: str
    targets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Expanded:
    """Replacement by `targets`, and by those of `owned`, with another envelope sender.

    `kinds` has the kinds of the targets that are no addresses, by their texts.
    """

    targets: tuple[str, ...]
    owned: tuple[OwnedTargets, ...] = ()
    kinds: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Refused:
    """No delivery: unknown user, a loop, relaying denied; the recipient fails (or is deferred, code 4xx)."""

    reply: Reply


Route = Local | Remote | Command | MboxFile | Directory | Expanded | Refused


# --- Outcomes of a delivery attempt (mta.delivery, mta.transports) --------------------------------


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of one delivery attempt to one recipient.

    `kind` decides what happens next: delivered and failed complete the recipient, deferred waits. `dsn` is the enhanced
    status code, `text` the text for the log and a bounce, `relay` the host that replied. `action` is what the sender is
    notified of, if requested (RFC 3464 §2.3.3): "relayed" to a host without DSN support; "" to one that will notify the
    sender itself.
    """

    kind: Literal["delivered", "deferred", "failed"]
    dsn: str
    text: str
    relay: str = "local"
    action: Literal["delivered", "relayed", ""] = "delivered"


def delivered_outcome(
    text: str, relay: str = "local", dsn: str = "2.0.0", action: Literal["delivered", "relayed", ""] = "delivered"
) -> Outcome:
    """Return the outcome of a successful delivery."""
    return Outcome("delivered", dsn, text, relay, action)


def deferred_outcome(dsn: str, text: str, relay: str = "none") -> Outcome:
    """Return the outcome of an attempt that will be repeated."""
    return Outcome("deferred", dsn, text, relay)


def failed_outcome(dsn: str, text: str, relay: str = "none") -> Outcome:
    """Return the outcome of an attempt that failed permanently."""
    return Outcome("failed", dsn, text, relay)


@dataclass(frozen=True, slots=True)
class Owner:
    """An account that logged in.

    `address` is its full address, whatever name was typed; `credential` the id of the app password used, 0 for the
    account's own password; `password` then a digest of that password as stored, "" if it was not verified here.
    """

    account_id: int
    address: str
    credential: int = 0
    password: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message to insert into a mailbox.

    `file` is a readable file whose first `skip` bytes are not part of it; `trace` precedes the rest. `link` allows a
    hard link instead of a copy: the first `skip` bytes are exactly `trace`. With `header`, a header that a filter has
    changed, the rest is the body alone. `place` is the mailbox's id and directory if known; otherwise they are queried.
    """

    account_id: int
    base_name: str  # unique for this message and recipient, so that a repeated delivery makes no duplicate
    file: Path
    skip: int
    trace: bytes
    link: bool
    internal_at: int  # seconds
    mailbox: str = "INBOX"
    flags: int = 0
    keywords: tuple[str, ...] = ()
    place: tuple[int, str] | None = None
    header: bytes | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """Refusal of a mailbox operation: `code` of RFC 5530 ("NONEXISTENT", "OVERQUOTA", …) or "", `text` for people."""

    code: str
    text: str
