"""What the webmail itself keeps: a visitor's options, and letters being written.

Visitors are known by their address alone, for as a guest of another server there is no account here.
"""

from django.db import models


class Preferences(models.Model):
    """One visitor's options as `webmail.options.Options` writes them."""

    owner = models.CharField(max_length=320, primary_key=True)
    values = models.JSONField(default=dict)

    def __str__(self) -> str:
        return self.owner


class Composition(models.Model):
    """A letter being written: everything typed so far, whatever became of the session or the network.

    `sent` is claimed by a guarded UPDATE before the letter leaves, so a double click sends it once.
    """

    token = models.CharField(max_length=40, primary_key=True)
    owner = models.CharField(max_length=320, db_index=True)
    fields = models.JSONField(default=dict)
    changed = models.DateTimeField(auto_now=True, db_index=True)
    sent = models.BooleanField(default=False)

    def __str__(self) -> str:
        return self.token


class Upload(models.Model):
    """A file attached to a letter being written; its octets lie in ATTACH_ROOT under `stored`."""

    composition = models.ForeignKey(Composition, models.CASCADE, related_name="uploads")
    stored = models.CharField(max_length=64, unique=True)
    name = models.CharField(max_length=255)
    media_type = models.CharField(max_length=127)
    size = models.PositiveBigIntegerField()

    class Meta:
        ordering = ["pk"]

    def __str__(self) -> str:
        return self.name
