"""What happened. To messages after their delivery, as far as no other row tells: with the spool's rows it answers
"where is my mail?" (`mailcore.mta.history.message_trace`), written by `mailcore.store.db.event_log`. To the directory and the settings:
who changed what (`mailcore.store.db.audit`). To all messages together: how many an hour (`mailcore.mta.history.statistics`)."""

from django.db import models


class Event(models.Model):
    """One thing that happened to one message. Never changed, removed only by age (events_retention)."""

    at_us = models.BigIntegerField(db_index=True)
    kind = models.CharField(max_length=16)  # filtered, moved, deleted
    message_id = models.CharField(max_length=255, db_index=True)  # of the header, without <>
    account = models.ForeignKey("mailcore.Account", models.CASCADE)
    mailbox = models.CharField(max_length=255)  # where it was; the script it was filtered by
    target = models.CharField(max_length=255, blank=True)  # where it went; what the script did

    def __str__(self) -> str:
        return self.kind


class Change(models.Model):
    """Something that somebody changed, on the screens, through the API or with a program. Rows are only ever added.

    Names are text, not keys: they stay when what they name is gone. `difference` maps what was changed to [before,
    after]; a secret's values are never in it.
    """

    at_us = models.BigIntegerField(db_index=True)
    by = models.CharField(max_length=320)  # an account's address, or a program's name
    place = models.CharField(max_length=64, blank=True)  # the address it was done from; "" on this machine
    action = models.CharField(max_length=32, db_index=True)  # account.create, setting.change, …
    subject = models.CharField(max_length=320, db_index=True)  # an address, a domain, a parameter, …
    domain = models.CharField(max_length=255, blank=True, db_index=True)  # whose administrators may read it
    difference = models.JSONField(default=dict)

    def __str__(self) -> str:
        return f"{self.by}: {self.action} {self.subject}"


class Traffic(models.Model):
    """How many messages of a kind one machine had in one hour; of kind "waiting", without a machine, how many the queue
    had at its end."""

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
    """How far a machine's log has been counted."""

    machine = models.CharField(max_length=64, primary_key=True)
    inode = models.BigIntegerField()
    position = models.BigIntegerField()

    def __str__(self) -> str:
        return self.machine
