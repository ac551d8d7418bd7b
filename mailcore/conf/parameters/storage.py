"""Parameters: storage and quotas."""

from dataclasses import dataclass
from typing import ClassVar

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from mailcore.conf.declaration import boolean, byte_size, percentages, text


@dataclass(frozen=True)
class Storage:
    title: ClassVar[Promise | str] = _("Storage and quotas")

    home_mailbox: str = text("Maildir/", _("The mailbox below an account's directory; always a Maildir."))
    message_size_limit: int = byte_size("10240000", _("Largest message in bytes, header included; 0: no limit."))
    mailbox_size_limit: int = byte_size("51200000", _("Default quota of accounts in mydestination; 0: no limit."))
    virtual_mailbox_limit: int = byte_size("51200000", _("Default quota of accounts; 0: no limit."))
    virtual_overquota_bounce: bool = boolean("no", _("Return mail for a full mailbox at once instead of retrying."))
    quota_warning_levels: tuple[int, ...] = percentages(
        "80, 95", _("Percent of a quota at which its owner gets a warning; empty: no warnings.")
    )
