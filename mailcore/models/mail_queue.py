"""The queue: a Queued row is a message, its content file the content, a Recipient an address it must reach.

`mailcore.mta.queue.states` defines the states and their transitions, and is the only module that writes them.
"""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy


class _UnfinishedManager(models.Manager["Queued"]):
    """Manager of messages that are not done; every query of their states uses it, as its condition is the index's."""

    def get_queryset(self) -> "models.QuerySet[Queued]":
        return super().get_queryset().filter(settled_us__isnull=True)


class Queued(models.Model):
    """A message this system has accepted; its primary key is its queue id, shown in hexadecimal."""

    class State(models.TextChoices):
        INCOMING = "incoming", _("incoming")  # just received, not yet tried
        ACTIVE = "active", pgettext_lazy("state of a message", "active")  # claimed by a courier until lease_us
        DEFERRED = "deferred", _("deferred")  # tried; waits until due_us
        HOLD = "hold", _("hold")  # waits for the administrator
        CORRUPT = "corrupt", _("corrupt")  # unreadable; kept and shown, never tried
        DONE = "done", _("done")  # every recipient is done; history

    id = models.BigIntegerField(primary_key=True)
    state = models.CharField(max_length=8, choices=State, default=State.INCOMING)
    due_us = models.BigIntegerField()  # earliest next attempt, in microseconds
    lease_us = models.BigIntegerField(default=0)  # end of the courier's claim; 0: not claimed
    courier = models.CharField(max_length=64, blank=True)  # name of the courier that claimed it
    received_us = models.BigIntegerField()
    settled_us = models.BigIntegerField(null=True, blank=True)
    sender = models.CharField(max_length=320, blank=True)  # envelope sender; "" = <>
    size = models.PositiveBigIntegerField()  # bytes of the content, without local trace headers
    trace_size = models.PositiveIntegerField(default=0)  # bytes of local trace headers at the file's start
    message_id = models.CharField(max_length=255, blank=True)
    subject_mark = models.BigIntegerField(default=0)  # keyed hash of the base subject; 0: none
    client_name = models.CharField(max_length=255, blank=True)
    client_address = models.CharField(max_length=64, blank=True)
    helo = models.CharField(max_length=255, blank=True)
    protocol = models.CharField(max_length=16, blank=True)  # SMTP, ESMTPSA, LMTP, … (RFC 3848)
    login = models.CharField(max_length=320, blank=True)
    envelope_id = models.CharField(max_length=100, blank=True)  # ENVID (RFC 3461 §4.4), decoded
    return_full = models.BooleanField(null=True)  # RET=FULL / RET=HDRS / not given
    eight_bit = models.BooleanField(default=False)  # BODY=8BITMIME
    smtputf8 = models.BooleanField(default=False)
    checksum = models.BigIntegerField(null=True, blank=True)  # CRC-32 of the content file; null: never computed

    objects = models.Manager["Queued"]()
    unsettled = _UnfinishedManager()

    class Meta:
        indexes = [
            # Only messages that are not done: one delivered while it is received never enters this index.
            models.Index(name="queued_due", fields=["state", "due_us"], condition=Q(settled_us__isnull=True)),
            models.Index(name="queued_message_id", fields=["message_id"]),
            models.Index(name="queued_login", fields=["login", "received_us"]),  # for smtpd_sasl_message_hourly_limit
        ]
        constraints = [
            # Every active message is claimed; one that was put on hold meanwhile may still be.
            models.CheckConstraint(
                name="queued_lease_when_active",
                condition=Q(state="active", lease_us__gt=0) | Q(state="hold") | (~Q(state="active") & Q(lease_us=0)),
            ),
            models.CheckConstraint(
                name="queued_settled_iff_done",
                condition=Q(state="done", settled_us__isnull=False) | (~Q(state="done") & Q(settled_us__isnull=True)),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.id:X}"


class QueueIdRange(models.Model):
    """The queue ids of one generation (their last bits) that processes have leased: all before `reserved_until`."""

    number = models.PositiveSmallIntegerField(primary_key=True)
    reserved_until = models.BigIntegerField(default=0)
    holder = models.CharField(max_length=64, blank=True)  # the process that leased last

    def __str__(self) -> str:
        return f"{self.number}: {self.reserved_until:X}"


class Recipient(models.Model):
    """One address a message must reach, and the state of that delivery."""

    class State(models.TextChoices):
        WAITING = "waiting", _("waiting")
        DELIVERED = "delivered", _("delivered")
        FAILED = "failed", _("failed")
        EXPANDED = "expanded", _("expanded")  # replaced by the targets of its alias
        REMOVED = "removed", _("removed")  # by the administrator

    queued = models.ForeignKey(Queued, models.CASCADE, related_name="recipients", db_column="queued_id", db_index=False)
    address = models.CharField(max_length=320)
    original = models.CharField(max_length=320)  # as given at RCPT: X-Original-To, orig_to
    state = models.CharField(max_length=10, choices=State, default=State.WAITING)
    final = models.BooleanField(default=False)  # result of an alias; it is not expanded again
    # "command" or "file" for such a target of an alias; "" for an address, whatever it looks like.
    kind = models.CharField(max_length=12, blank=True, default="", db_default="")
    notify = models.CharField(max_length=24, blank=True)  # NOTIFY, as given: "SUCCESS,DELAY", "NEVER", ""
    orcpt = models.CharField(max_length=500, blank=True)  # ORCPT, as given: "rfc822;a@b"
    dsn = models.CharField(max_length=12, blank=True)  # status code of the last attempt: "2.0.0"
    relay = models.CharField(max_length=255, blank=True)
    reason = models.TextField(blank=True)
    settled_us = models.BigIntegerField(null=True, blank=True)
    notified = models.BooleanField(default=False)  # its DSN has been queued
    delay_notified = models.BooleanField(default=False)

    class Meta:
        constraints = [
            # An address given twice in one message is one delivery, as in Postfix; an alias that names itself has one
            # row for the alias and one (final) for the copy that stays.
            models.UniqueConstraint(name="recipient_once_in_letter", fields=["queued", "address", "original", "final"]),
        ]
        indexes = [models.Index(name="recipient_address", fields=["address"])]

    def __str__(self) -> str:
        return self.address


class Attempt(models.Model):
    """One delivery attempt that did not succeed at once: its time, remote host and reply."""

    recipient = models.ForeignKey(Recipient, models.CASCADE, related_name="attempts")
    at_us = models.BigIntegerField()
    relay = models.CharField(max_length=255, blank=True)
    status = models.CharField(max_length=10)  # sent, deferred, bounced, expired
    dsn = models.CharField(max_length=12)
    reason = models.TextField()

    def __str__(self) -> str:
        return f"{self.status} {self.dsn}"
