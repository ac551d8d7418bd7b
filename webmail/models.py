"""What the webmail itself keeps: a visitor's options, messages being written, people.

Visitors are known by their address alone, for as a guest of another server there is no account here.
"""

from django.db import models
from django.utils import timezone


class Preferences(models.Model):
    """One visitor's options as `webmail.account.preferences.WebmailPreferences` writes them."""

    owner = models.CharField(max_length=320, primary_key=True)
    values = models.JSONField(default=dict)

    def __str__(self) -> str:
        return self.owner


class Composition(models.Model):
    """A message being written: everything typed so far, whatever became of the session or the network.

    `sent` is claimed by a guarded UPDATE before the message leaves, so a double click sends it once.
    """

    token = models.CharField(max_length=40, primary_key=True)
    owner = models.CharField(max_length=320, db_index=True)
    fields = models.JSONField(default=dict)
    changed = models.DateTimeField(auto_now=True, db_index=True)
    sent = models.BooleanField(default=False)
    version = models.PositiveIntegerField(default=0)  # which page a post came from: an older one overwrites nothing
    draft = models.PositiveBigIntegerField(default=0)  # UID of its copy in Drafts, 0: none
    held = models.CharField(max_length=64, blank=True)  # queue id at the server that keeps it until `release`
    release = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return self.token


class Identity(models.Model):
    """Another name or address to write as, besides the account's own (which is in the options)."""

    owner = models.CharField(max_length=320, db_index=True)
    position = models.PositiveIntegerField()
    name = models.CharField(max_length=200, blank=True)
    mail = models.CharField(max_length=320)
    reply_to = models.CharField(max_length=1000, blank=True)
    signature = models.TextField(blank=True)

    class Meta:
        ordering = ["position", "pk"]
        verbose_name_plural = "identities"

    def __str__(self) -> str:
        return self.mail


class CannedText(models.Model):
    """A text to be put into messages again and again."""

    owner = models.CharField(max_length=320)
    name = models.CharField(max_length=100)
    subject = models.CharField(max_length=500, blank=True)
    body = models.TextField()

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["owner", "name"], name="one_canned_text_a_name")]

    def __str__(self) -> str:
        return self.name


class Group(models.Model):
    """Several contacts under one name; it exists as long as somebody belongs to it."""

    owner = models.CharField(max_length=320)
    name = models.CharField(max_length=100)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["owner", "name"], name="one_group_a_name")]

    def __str__(self) -> str:
        return self.name


class Contact(models.Model):
    """Somebody in a visitor's address book; `collected`: only written to, never entered by hand."""

    owner = models.CharField(max_length=320)
    mail = models.CharField(max_length=320)  # folded
    name = models.CharField(max_length=200, blank=True)
    nickname = models.CharField(max_length=100, null=True, blank=True)  # null, for it is unique where there is one
    note = models.CharField(max_length=1000, blank=True)
    collected = models.BooleanField(default=False)
    used = models.DateTimeField(default=timezone.now)
    groups = models.ManyToManyField(Group, related_name="people")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["owner", "mail"], name="one_contact_an_address"),
            models.UniqueConstraint(fields=["owner", "nickname"], name="one_contact_a_nickname"),
        ]

    def __str__(self) -> str:
        return self.mail


class PictureSender(models.Model):
    """A sender whose messages' pictures this visitor always lets load."""

    owner = models.CharField(max_length=320)
    sender = models.CharField(max_length=320)  # casefolded

    class Meta:
        constraints = [models.UniqueConstraint(fields=["owner", "sender"], name="one_line_a_picture_sender")]

    def __str__(self) -> str:
        return f"{self.owner}: {self.sender}"


class Upload(models.Model):
    """A file attached to a message being written; its bytes lie in ATTACH_ROOT under `stored`."""

    composition = models.ForeignKey(Composition, models.CASCADE, related_name="uploads")
    stored = models.CharField(max_length=64, unique=True)
    name = models.CharField(max_length=255)
    media_type = models.CharField(max_length=127)
    size = models.PositiveBigIntegerField()

    class Meta:
        ordering = ["pk"]

    def __str__(self) -> str:
        return self.name


class FetchedFrom(models.Model):
    """A POP3 account elsewhere whose mail a visitor fetches; its password is never kept."""

    owner = models.CharField(max_length=320, db_index=True)
    host = models.CharField(max_length=255)
    port = models.PositiveIntegerField()
    login = models.CharField(max_length=320)
    leave = models.BooleanField(default=True)  # on the server there
    folder = models.CharField(max_length=1000)  # where messages go
    known = models.JSONField(default=list)  # names (UIDL) of messages there that were fetched
    fetched = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["host", "login"]

    def __str__(self) -> str:
        return f"{self.login} at {self.host}"


class Search(models.Model):
    """A search somebody made: the recent ones, and those kept under a name."""

    owner = models.CharField(max_length=320)
    name = models.CharField(max_length=100, blank=True)  # "" = only recent
    query = models.CharField(max_length=500)
    used = models.DateTimeField(default=timezone.now)

    class Meta:
        indexes = [models.Index(fields=["owner", "name"], name="searches_of_owner")]

    def __str__(self) -> str:
        return self.name or self.query


class Snoozed(models.Model):
    """A message that waits in the folder of snoozed messages until `due`, then goes back to `home`."""

    owner = models.CharField(max_length=320)
    validity = models.BigIntegerField()  # UIDVALIDITY of the folder where it waits
    uid = models.BigIntegerField()
    home = models.CharField(max_length=1000)
    due = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["owner", "validity", "uid"], name="one_line_a_snoozed_letter")]
        indexes = [models.Index(fields=["owner", "due"], name="snoozed_due")]

    def __str__(self) -> str:
        return f"{self.owner}: {self.uid} until {self.due}"
