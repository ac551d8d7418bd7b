"""The values that cross rooms: frozen, Django-free, the field's own words.

Refusals and outcomes are values; faults are exceptions.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal


class TemporaryFault(Exception):
    """Something of ours failed (database, disk): the client is told 451 4.3.0 and tries again."""


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
    """What access tables and policy services ask to be done with a message that is accepted (access(5))."""

    hold: bool = False
    discard: bool = False  # say 250 and forget it
    redirect: str = ""  # everything goes to this address instead
    bcc: tuple[str, ...] = ()  # and to these
    prepend: tuple[str, ...] = ()  # headers, without line end


@dataclass(frozen=True, slots=True)
class Verdict:
    """What `post.accept` decides about one recipient. `reply` is what the client is told.

    `final` is the one local address the message will reach when that is certain already (no alias,
    no group), so that its file can be written with its trace headers; else "".
    """

    accepted: bool
    reply: Reply
    final: str = ""
    actions: Actions = Actions()


@dataclass(frozen=True, slots=True)
class Client:
    """Who is at the other end of an SMTP session."""

    address: str  # IP address, IPv6 without brackets
    name: str = "unknown"  # reverse DNS name that resolves back, else "unknown"
    helo: str = ""
    protocol: str = "SMTP"  # RFC 3848: SMTP, ESMTP, ESMTPS, ESMTPSA, LMTP, …
    login: str = ""  # address signed in with, "" without AUTH
    tls: str = ""  # "TLSv1.3 with cipher TLS_AES_256_GCM_SHA384", "" in the clear
    port: int = 0
    reverse_name: str = "unknown"  # what the address's PTR record says, believed or not
    name_trouble: bool = False  # name is "unknown" because a name server did not answer
    reverse_trouble: bool = False  # the same of reverse_name
    method: str = ""  # of AUTH
    certificate: str = ""  # SHA-256 fingerprint of the certificate it showed, "AB:CD:…"
    improper: bool = False  # it did not wait for our answers where it must (RFC 2920)
    service: str = "smtpd"  # ours that it speaks with, as in log lines


@dataclass(frozen=True, slots=True)
class MessageRecipient:
    """One RCPT that was accepted. `notify` and `orcpt` as the client gave them (RFC 3461)."""

    address: str
    notify: str = ""
    orcpt: str = ""
    original: str = ""  # "" = the address itself

    @property
    def given(self) -> str:
        return self.original or self.address


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A message whose content file is written and durable, about to enter the queue."""

    id: int  # queue id
    sender: str  # "" = the null sender
    recipients: tuple[MessageRecipient, ...]
    size: int  # bytes of the content, our Received included, local trace headers not
    received_us: int
    client: Client
    trace_size: int = 0  # bytes of local trace headers at the file's start
    final: str = ""  # the mailbox those are for: it was certain when its only recipient was accepted
    message_id: str = ""
    subject: str = ""  # the base of it, folded; only a mark of it is kept
    envelope_id: str = ""
    return_full: bool | None = None
    eight_bit: bool = False
    smtputf8: bool = False
    hold: bool = False
    due_us: int = 0  # not before (RFC 4865); 0 = now
    checksum: int | None = None  # CRC-32 of the content file

    @property
    def queue_id(self) -> str:
        return f"{self.id:X}"


# --- Where a recipient's way leads (post.route) ---------------------------------------------------


@dataclass(frozen=True, slots=True)
class Local:
    """Into the mailboxes of an account."""

    account_id: int
    address: str  # the account's own address: Delivered-To
    detail: str = ""  # what stood after recipient_delimiter
    filtered: bool = False  # the account has an active Sieve script
    limited: bool = True  # it has a quota
    held: bool = False  # its mail waits in the queue


@dataclass(frozen=True, slots=True)
class Remote:
    """To another host: `next_hop` is a domain to look up MX for, or "[host]:port" to go straight to."""

    address: str
    next_hop: str


@dataclass(frozen=True, slots=True)
class Command:
    """Into a program's standard input, by an alias that says so (`allow_mail_to_commands`)."""

    command: str  # without its |


@dataclass(frozen=True, slots=True)
class MboxFile:
    """At the end of a file of messages (mbox), by an alias that says so (`allow_mail_to_files`)."""

    path: str


@dataclass(frozen=True, slots=True)
class Directory:
    """Into a Maildir that is no account's, by an alias that says so (`allow_mail_to_files`)."""

    path: str


@dataclass(frozen=True, slots=True)
class OwnedTargets:
    """Members of a list that has an owner-: they get the message from `sender`, who hears of failures."""

    sender: str
    targets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Expanded:
    """Replaced by `targets`, and by those of `owned`, whose messages have another envelope sender. `kinds` has the
    kinds of the targets that are no addresses, by their texts."""

    targets: tuple[str, ...]
    owned: tuple[OwnedTargets, ...] = ()
    kinds: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Refused:
    """Nobody by that name, a loop, a relay we do not do: the recipient fails (or waits, code 4xx)."""

    reply: Reply


Route = Local | Remote | Command | MboxFile | Directory | Expanded | Refused


# --- How an attempt ended (post.deliver, post.smtp) ---------------------------------------------


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of one delivery attempt to one recipient.

    `kind` decides what happens next: delivered and failed settle the recipient, deferred waits.
    `dsn` is the enhanced status code, `text` the words for the log and a bounce, `relay` who said so.
    `action` is what a sender who asked for it is told of a delivery (RFC 3464 §2.3.3): "relayed" to a host
    that tells nobody what becomes of it; "" to one that will tell the sender itself.
    """

    kind: Literal["delivered", "deferred", "failed"]
    dsn: str
    text: str
    relay: str = "local"
    action: Literal["delivered", "relayed", ""] = "delivered"


def delivered_outcome(
    text: str, relay: str = "local", dsn: str = "2.0.0", action: Literal["delivered", "relayed", ""] = "delivered"
) -> Outcome:
    return Outcome("delivered", dsn, text, relay, action)


def deferred_outcome(dsn: str, text: str, relay: str = "none") -> Outcome:
    return Outcome("deferred", dsn, text, relay)


def failed_outcome(dsn: str, text: str, relay: str = "none") -> Outcome:
    return Outcome("failed", dsn, text, relay)


@dataclass(frozen=True, slots=True)
class Owner:
    """An account that signed in. `address` is its full address whatever name was typed, `credential` the id of the
    app password it came with, 0 for its own password; `password` then is a digest of how that was stored, "" where no
    password of ours was asked."""

    account_id: int
    address: str
    credential: int = 0
    password: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message to put into a mailbox: `file` is a readable file whose first `skip` bytes are not
    part of it; `trace` goes before what remains. `link` says the file may be hard-linked instead of
    copied: its first `skip` bytes are exactly `trace`. `place` is the mailbox's id and directory, where known: they
    are asked for if not."""

    account_id: int
    base_name: str  # unique for this message and recipient: makes delivery happen once
    file: Path
    skip: int
    trace: bytes
    link: bool
    internal_at: int  # seconds
    mailbox: str = "INBOX"
    flags: int = 0
    keywords: tuple[str, ...] = ()
    place: tuple[int, str] | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why something asked of mailboxes is not done: `code` of RFC 5530 ("NONEXISTENT", "OVERQUOTA", …) or "",
    `text` for a person."""

    code: str
    text: str
