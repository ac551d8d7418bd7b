"""Parameters: queue and delivery."""

from dataclasses import dataclass
from typing import ClassVar

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from mailcore.conf.declaration import boolean, byte_size, days, hours, integer, seconds, text, words


@dataclass(frozen=True)
class QueueAndDelivery:
    title: ClassVar[Promise | str] = _("Queue and delivery")

    bounce_size_limit: int = byte_size("50000", _("Largest message that a bounce returns in full."))
    direct_delivery: bool = boolean(
        "yes", _("Deliver a message for one local mailbox in the server that accepts it, without a courier.")
    )
    queue_minfree: int = byte_size("0", _("Free bytes the queue's file system must have; 0: 1.5 × message_size_limit."))
    minimal_backoff_time: int = seconds("300s", _("Shortest time between two delivery attempts."))
    maximal_backoff_time: int = seconds("4000s", _("Longest time between two delivery attempts."))
    queue_run_delay: int = seconds("300s", _("Time between two scans of the queue."))
    maximal_queue_lifetime: int = days("5d", _("Time after which an undeliverable message is returned to its sender."))
    bounce_queue_lifetime: int = days("5d", _("Time after which an undeliverable bounce is discarded."))
    delay_warning_time: int = hours(
        "0h", _("Time after which the sender is notified that a message is delayed; 0: never.")
    )
    qmgr_message_active_limit: int = integer("20000", _("Messages in delivery at once."))
    default_process_limit: int = integer("500", _("Simultaneous connections of one courier to other hosts."))
    initial_destination_concurrency: int = integer(
        "5", _("Simultaneous connections to a destination at the start of deliveries to it.")
    )
    default_destination_concurrency_limit: int = integer(
        "20", _("Largest number of simultaneous connections to one destination.")
    )
    default_destination_concurrency_failed_cohort_limit: int = integer(
        "1", _("Rounds of failed connections after which a destination is skipped for minimal_backoff_time.")
    )
    default_destination_recipient_limit: int = integer(
        "50", _("Recipients of one message in one delivery to another host.")
    )
    default_destination_rate_delay: int = seconds("0s", _("Pause between two deliveries to one destination."))
    defer_transports: tuple[str, ...] = words(
        "", _("Transports (smtp) whose mail is deferred until the queue is flushed by hand.")
    )
    notify_classes: tuple[str, ...] = words(
        "resource, software", _("Events that postmaster is notified of: bounce, 2bounce (bounces that fail), delay.")
    )
    bounce_notice_recipient: str = text("postmaster", _("The recipient of notices that notify_classes selects."))
    double_bounce_sender: str = text(
        "double-bounce", _("The sender of notices to postmaster; notices that fail are discarded.")
    )
    courier_batch: int = integer("100", _("Messages a courier claims from the queue at once."))
    courier_lease_time: int = seconds(
        "600s", _("Time after which another courier may claim the messages of a courier that died.")
    )
