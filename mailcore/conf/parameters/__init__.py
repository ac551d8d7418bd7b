"""Every mail parameter: its name (Postfix's or Dovecot's), type, default in main.cf's notation, and help text.

The rest of the project reads a parameter as an attribute of `conf.current()`. To add one, add a line to the module of
its group: `postconf`, the settings screen, the environment (`MAIL_<NAME>`) and docs/parameters.md take it from there.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from mailcore.conf.declaration import Spec
from mailcore.conf.parameters.login import SubmissionAndLogin
from mailcore.conf.parameters.mail_access import MailAccess
from mailcore.conf.parameters.names import Names
from mailcore.conf.parameters.processes import Processes
from mailcore.conf.parameters.queue import QueueAndDelivery
from mailcore.conf.parameters.restrictions import Restrictions
from mailcore.conf.parameters.routing import AliasesAndRouting
from mailcore.conf.parameters.sieve import Sieve
from mailcore.conf.parameters.smtp_client import SmtpClient
from mailcore.conf.parameters.smtp_server import SmtpServer
from mailcore.conf.parameters.storage import Storage
from mailcore.conf.parameters.tls import Tls
from mailcore.conf.parameters.web import Web

# The groups of docs/parameters.md and of the settings screen, in their order.
GROUPS = (
    Names,
    SmtpServer,
    Restrictions,
    SubmissionAndLogin,
    AliasesAndRouting,
    QueueAndDelivery,
    SmtpClient,
    MailAccess,
    Web,
    Storage,
    Sieve,
    Tls,
    Processes,
)


@dataclass(frozen=True)
class Parameters(
    Names,
    SmtpServer,
    Restrictions,
    SubmissionAndLogin,
    AliasesAndRouting,
    QueueAndDelivery,
    SmtpClient,
    MailAccess,
    Web,
    Storage,
    Sieve,
    Tls,
    Processes,
):
    """One consistent set of values. Times are seconds, sizes bytes; 0 as a limit means no limit."""

    # Not a parameter of its own: the lists that smtpd_restriction_classes names.
    restriction_classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


SPECS: dict[str, Spec] = {
    f.name: Spec(
        f.name, f.metadata["kind"], f.metadata["default"], f.metadata["help"], group.title, f.metadata["secret"]
    )
    for group in GROUPS
    for f in fields(group)
}
