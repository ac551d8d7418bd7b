"""The database tables; constraints rule out invalid states.

Functions that change rows are in `mailcore.store` (accounts, mailboxes, settings) and `mailcore.mta` (the queue). May
import `mailcore.wire` and `mailcore.values` only.

Times that mail software compares are integers: microseconds since 1970 UTC in columns that end in `_us`, seconds in
those that end in `_at`. Times for people are DateTimeFields.
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
