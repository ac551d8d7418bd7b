"""What happened to letters outside the queue: answers "where is my mail?" together with the spool."""

from django.db import models


class Event(models.Model):
    """One thing that happened. Never changed, removed only by age."""

    at_us = models.BigIntegerField(db_index=True)
    kind = models.CharField(max_length=24)  # refused, filtered, expanded, stored, read, moved, deleted, …
    queue_id = models.BigIntegerField(null=True, blank=True, db_index=True)
    message_id = models.CharField(max_length=255, blank=True, db_index=True)
    account = models.ForeignKey("mailcore.Account", models.SET_NULL, null=True, blank=True)
    address = models.CharField(max_length=320, blank=True)
    detail = models.JSONField(default=dict)

    def __str__(self) -> str:
        return self.kind
