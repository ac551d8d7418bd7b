"""What the SMTP client is given."""

from dataclasses import dataclass, field

from mailcore.post.queue import Claim, Duty
from mailcore.post.sign import Signing
from mailcore.post.smtp.policy import Policy
from mailcore.terms import Command, MailFile, Outcome

Results = list[tuple[Duty, Outcome]]


@dataclass(frozen=True, slots=True)
class Job:
    """Recipients of one letter that share a way: the next hop as `terms.Remote` has it, a command or a file."""

    claim: Claim
    way: str | Command | MailFile
    duties: tuple[Duty, ...]
    policy: Policy = field(default_factory=Policy)
    login: tuple[str, str] | None = field(default=None, repr=False)  # user and password at the next hop
    signing: Signing | None = field(default=None, repr=False)

    @property
    def destination(self) -> tuple[object, ...]:
        """Jobs of one destination may share a connection."""
        return self.way, self.login
