"""The values a delivery pass works with: claims, their pending recipients, and results.

Created by `states` for couriers; nothing here changes the database.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from mailcore.mta.queue import content_files
from mailcore.values import Outcome


@dataclass(frozen=True, slots=True)
class PendingRecipient:
    """One recipient still to be served."""

    id: int
    address: str
    original: str
    final: bool
    notify: str = ""
    orcpt: str = ""
    delay_notified: bool = False
    kind: str = ""  # "command" or "file"; "" for an address.


@dataclass(slots=True)
class Claim:
    """A message claimed by a courier, with its pending recipients."""

    id: int
    sender: str
    size: int
    trace_size: int
    received_us: int
    claimed_us: int
    is_first_attempt: bool  # True if it was never tried before.
    message_id: str
    login: str
    envelope_id: str
    return_full: bool | None
    eight_bit: bool
    smtputf8: bool
    checksum: int | None = None  # CRC-32 of the content file; None if it was never computed.
    # The message was flushed: it is tried now even if its transport or destination is deferred.
    is_flushed: bool = False
    had_failures: bool = False  # A recipient failed or was deferred in this pass.
    held_recipients: set[int] = field(default_factory=set)  # Ids of recipients whose mailboxes are on hold.
    pending: list[PendingRecipient] = field(default_factory=list)

    @property
    def queue_id(self) -> str:
        return f"{self.id:X}"

    def damage(self) -> str:
        """Return what is wrong with its content file, "" if nothing is. Raise OSError if it cannot be read now."""
        return content_files.damage(self.id, self.trace_size + self.size, self.checksum)


@dataclass(frozen=True, slots=True)
class DeliveryResult:
    """The result of one delivery pass over a message: an outcome for each recipient."""

    claim: Claim
    outcomes: Sequence[tuple[PendingRecipient, Outcome]]
    is_last: bool = True  # False if more outcomes of this pass follow.

    @property
    def is_complete(self) -> bool:
        """True if no recipient is pending.

        `record_results` removes served recipients from the claim.
        """
        return self.is_last and not self.claim.pending
