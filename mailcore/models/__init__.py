"""The tables, and nothing but tables: what makes wrong states impossible is a constraint here,
what makes them right is a function in `store` (messages at rest) or `post` (messages on the way).

Times that mail software compares are whole numbers: microseconds since 1970 UTC where the name
ends in `_us`, seconds where it ends in `_at` on an index row. Calendar things are DateTimeFields.
"""

from mailcore.models.directory import (
    Account,
    Alias,
    ApiToken,
    AppPassword,
    DkimKey,
    Domain,
    Factor,
    KnownAddress,
)
from mailcore.models.events import Change, Event, Traffic, TrafficMark
from mailcore.models.mail_queue import Attempt, Queued, QueueIdRange, Recipient
from mailcore.models.mailbox import (
    AccessRight,
    Annotation,
    Expunged,
    Mailbox,
    Message,
    MessageSummary,
    MessageText,
    Subscription,
    Unsynced,
)
from mailcore.models.setting import AccessEntry, Setting
from mailcore.models.sieve import SieveMemory, SieveScript

__all__ = [
    "AccessEntry",
    "AccessRight",
    "Account",
    "Alias",
    "Annotation",
    "ApiToken",
    "AppPassword",
    "Attempt",
    "Change",
    "DkimKey",
    "Domain",
    "Event",
    "Expunged",
    "Factor",
    "KnownAddress",
    "Mailbox",
    "Message",
    "MessageSummary",
    "MessageText",
    "QueueIdRange",
    "Queued",
    "Recipient",
    "Setting",
    "SieveMemory",
    "SieveScript",
    "Subscription",
    "Traffic",
    "TrafficMark",
    "Unsynced",
]
