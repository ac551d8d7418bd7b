"""What becomes of messages after their delivery, as far as no other row tells: with the spool's rows it answers
"where is my mail?" (`mailcore.post.story`). Written by `mailcore.store.journal`."""

from django.db import models


class Event(models.Model):
    """One thing that happened to one message. Never changed, removed only by age (events_retention)."""

    at_us = models.BigIntegerField(db_index=True)
    kind = models.CharField(max_length=16)  # moved, deleted
    message_id = models.CharField(max_length=255, db_index=True)  # of the header, without <>
    account = models.ForeignKey("mailcore.Account", models.CASCADE)
    mailbox = models.CharField(max_length=255)  # where it was
    target = models.CharField(max_length=255, blank=True)  # where it went

    def __str__(self) -> str:
        return self.kind
