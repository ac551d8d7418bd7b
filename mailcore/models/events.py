"""Event log, audit log and hourly statistics.

`Event`: what happened to messages after their delivery; together with the queue's rows it is the message trace
(`mailcore.mta.history.message_trace`), written by `mailcore.store.db.event_log`. `Change`: the audit log of the
directory, the settings and the queue (`mailcore.store.db.audit`). `Traffic`: numbers of messages
(`mailcore.mta.history.statistics`).
"""

from django.db import models


class Event(models.Model):
    """One event of one message; never changed, deleted only by age (events_retention)."""

    at_us = models.BigIntegerField(db_index=True)
    kind = models.CharField(max_length=16)  # filtered, moved, deleted
    message_id = models.CharField(max_length=255, db_index=True)  # Message-ID header, without <>
    account = models.ForeignKey("mailcore.Account", models.CASCADE)
    mailbox = models.CharField(max_length=255)  # the mailbox it was in, or the script that filtered it
    target = models.CharField(max_length=255, blank=True)  # the mailbox it moved to, or what the script did

    def __str__(self) -> str:
        return self.kind


class Change(models.Model):
    """One change made on the screens, through the API or with a program; rows are only ever added.

    Names are text, not keys: they remain when their objects are deleted. `difference` maps what was changed to [before,
    after]; values of secrets are never in it.
    """

    at_us = models.BigIntegerField(db_index=True)
    by = models.CharField(max_length=320)  # address of an account, or name of a program
    place = models.CharField(max_length=64, blank=True)  # the client's IP address; "" on this machine
    action = models.CharField(max_length=32, db_index=True)  # account.create, setting.change, …
    subject = models.CharField(max_length=320, db_index=True)  # an address, a domain, a parameter, …
    domain = models.CharField(max_length=255, blank=True, db_index=True)  # the domain whose administrators may read it
    difference = models.JSONField(default=dict)

    def __str__(self) -> str:
        return f"{self.by}: {self.action} {self.subject}"


class Traffic(models.Model):
    """The number of messages of a kind on one machine in one hour.

    Of kind "waiting", without a machine: the number of messages in the queue at the end of the hour.
    """

    machine = models.CharField(max_length=64)
    hour = models.IntegerField()  # since 1970, UTC
    kind = models.CharField(max_length=10)  # received, sent, deferred, bounced, refused, sign-in, waiting
    messages = models.BigIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(name="traffic_once", fields=["machine", "hour", "kind"])]
        indexes = [models.Index(name="traffic_by_hour", fields=["hour"])]

    def __str__(self) -> str:
        return f"{self.kind}: {self.messages}"


class TrafficMark(models.Model):
    """The position up to which a machine's log has been counted."""

    machine = models.CharField(max_length=64, primary_key=True)
    inode = models.BigIntegerField()
    position = models.BigIntegerField()

    def __str__(self) -> str:
        return self.machine
