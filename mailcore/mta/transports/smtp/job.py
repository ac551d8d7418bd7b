"""The jobs of the SMTP client."""

from dataclasses import dataclass, field

from mailcore.mta.queue.claim import Claim, PendingRecipient
from mailcore.mta.transports.smtp.dkim_sign import Signing
from mailcore.mta.transports.smtp.tls_policy import TlsPolicy
from mailcore.values import Command, MboxFile, Outcome

Results = list[tuple[PendingRecipient, Outcome]]


@dataclass(frozen=True, slots=True)
class DeliveryJob:
    """The recipients of one message that share a route: a next hop as in `values.Remote`, a command or a file."""

    claim: Claim
    route: str | Command | MboxFile
    pending: tuple[PendingRecipient, ...]
    policy: TlsPolicy = field(default_factory=TlsPolicy)
    login: tuple[str, str] | None = field(default=None, repr=False)  # User and password at the next hop.
    signing: Signing | None = field(default=None, repr=False)

    @property
    def destination(self) -> tuple[object, ...]:
        """The key of the destination; jobs with equal keys may share a connection."""
        return self.route, self.login
