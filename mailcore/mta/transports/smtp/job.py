"""What the SMTP client is given."""

from dataclasses import dataclass, field

from mailcore.mta.queue.states import Claim, PendingRecipient
from mailcore.mta.transports.smtp.dkim_sign import Signing
from mailcore.mta.transports.smtp.tls_policy import TlsPolicy
from mailcore.values import Command, MboxFile, Outcome

Results = list[tuple[PendingRecipient, Outcome]]


@dataclass(frozen=True, slots=True)
class DeliveryJob:
    """Recipients of one message that share a way: the next hop as `terms.Remote` has it, a command or a file."""

    claim: Claim
    way: str | Command | MboxFile
    pending: tuple[PendingRecipient, ...]
    policy: TlsPolicy = field(default_factory=TlsPolicy)
    login: tuple[str, str] | None = field(default=None, repr=False)  # user and password at the next hop
    signing: Signing | None = field(default=None, repr=False)

    @property
    def destination(self) -> tuple[object, ...]:
        """Jobs of one destination may share a connection."""
        return self.way, self.login
