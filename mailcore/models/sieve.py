"""Mail filters: an account's Sieve scripts, and what filters remember between two messages."""

from django.db import models

from mailcore.models.directory import Account


class SieveScript(models.Model):
    """One script. Which one runs is the account's (`Account.active_script`): so there is at most one."""

    account = models.ForeignKey(Account, models.CASCADE, related_name="scripts")
    name = models.CharField(max_length=255)
    content = models.TextField()
    changed = models.DateTimeField(auto_now=True)
    # What went wrong when it ran, as its owner was told; "": nothing since it was written.
    fault = models.TextField(blank=True, default="")

    class Meta:
        constraints = [models.UniqueConstraint(name="sieve_script_once", fields=["account", "name"])]

    def __str__(self) -> str:
        return self.name


class SieveMemory(models.Model):
    """Who was answered (vacation) and what was seen (duplicate), until it is forgotten."""

    account = models.ForeignKey(Account, models.CASCADE, related_name="+")
    key = models.CharField(max_length=64)  # a digest
    until_at = models.BigIntegerField(db_index=True)  # seconds

    class Meta:
        constraints = [models.UniqueConstraint(name="sieve_memory_once", fields=["account", "key"])]

    def __str__(self) -> str:
        return self.key
