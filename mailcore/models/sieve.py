"""Sieve scripts of accounts, and what they record between two messages."""

from django.db import models

from mailcore.models.directory import Account


class SieveScript(models.Model):
    """One Sieve script; the active one is `Account.active_script`, so there is at most one."""

    account = models.ForeignKey(Account, models.CASCADE, related_name="scripts")
    name = models.CharField(max_length=255)
    content = models.TextField()
    changed = models.DateTimeField(auto_now=True)
    # The last run-time error, as reported to the owner; "": none since the script was stored.
    fault = models.TextField(blank=True, default="")

    class Meta:
        constraints = [models.UniqueConstraint(name="sieve_script_once", fields=["account", "name"])]

    def __str__(self) -> str:
        return self.name


class SieveMemory(models.Model):
    """Senders answered (vacation) and messages seen (duplicate), until the record expires."""

    account = models.ForeignKey(Account, models.CASCADE, related_name="+")
    key = models.CharField(max_length=64)  # a digest
    until_at = models.BigIntegerField(db_index=True)  # seconds

    class Meta:
        constraints = [models.UniqueConstraint(name="sieve_memory_once", fields=["account", "key"])]

    def __str__(self) -> str:
        return self.key
