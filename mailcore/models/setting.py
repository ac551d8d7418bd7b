"""Parameters that the administrator set, and lookup tables."""

from django.db import models


class Setting(models.Model):
    """A parameter's value in main.cf's notation; without a row the default applies."""

    name = models.CharField(max_length=100, primary_key=True)
    value = models.TextField(blank=True)
    changed = models.DateTimeField(auto_now=True)
    changed_by = models.CharField(max_length=320, blank=True)

    def __str__(self) -> str:
        return f"{self.name} = {self.value}"


class AccessEntry(models.Model):
    """One line of a lookup table: postmap's "key value" (access(5), transport(5), …)."""

    table = models.CharField(max_length=100)
    key = models.CharField(max_length=320)
    value = models.TextField(blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(name="access_key_once", fields=["table", "key"])]

    def __str__(self) -> str:
        return f"{self.table}: {self.key} {self.value}"
