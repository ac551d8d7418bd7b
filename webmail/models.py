"""Data the webmail stores itself: a user's options, messages being written, contacts, searches.

Users are identified by their address alone: users of another mail server have no account here.
"""

from django.db import models
from django.utils import timezone


class Preferences(models.Model):
    """One user's options, written by `webmail.account.preferences.WebmailPreferences`."""

    owner = models.CharField(max_length=320, primary_key=True)
    values = models.JSONField(default=dict)

    def __str__(self) -> str:
        return self.owner


class Composition(models.Model):
    """A message being written: everything typed so far, independent of the session and the network.

    `sent` is set by a guarded UPDATE before the message is submitted, so a double click sends it once.
    """

    token = models.CharField(max_length=40, primary_key=True)
    owner = models.CharField(max_length=320, db_index=True)
    fields = models.JSONField(default=dict)
    changed = models.DateTimeField(auto_now=True, db_index=True)
    sent = models.BooleanField(default=False)
    version = models.PositiveIntegerField(default=0)  # version of the page that posts: an older one overwrites nothing
    draft = models.PositiveBigIntegerField(default=0)  # UID of the copy in Drafts; 0 if there is none
    held = models.CharField(max_length=64, blank=True)  # queue id at the server that holds the message until `release`
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
    """A canned response: text a user inserts into messages."""

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
    """A named group of contacts; deleted with its last member."""

    owner = models.CharField(max_length=320)
    name = models.CharField(max_length=100)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["owner", "name"], name="one_group_a_name")]

    def __str__(self) -> str:
        return self.name


class Contact(models.Model):
    """A person in a user's address book.

    `collected` is true for people the user has only written to, not added.
    """

    owner = models.CharField(max_length=320)
    mail = models.CharField(max_length=320)  # case-folded
    name = models.CharField(max_length=200, blank=True)
    # null if empty, because a nickname is unique per owner
    nickname = models.CharField(max_length=100, null=True, blank=True)
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
    """A sender for which the user always shows remote images."""

    owner = models.CharField(max_length=320)
    sender = models.CharField(max_length=320)  # case-folded

    class Meta:
        constraints = [models.UniqueConstraint(fields=["owner", "sender"], name="one_line_a_picture_sender")]

    def __str__(self) -> str:
        return f"{self.owner}: {self.sender}"


class Upload(models.Model):
    """A file attached to a message being written; its bytes are in ATTACH_ROOT under the name `stored`."""

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
    """A POP3 account on another server from which a user fetches mail; its password is never stored."""

    owner = models.CharField(max_length=320, db_index=True)
    host = models.CharField(max_length=255)
    port = models.PositiveIntegerField()
    login = models.CharField(max_length=320)
    leave = models.BooleanField(default=True)  # keep messages on that server
    folder = models.CharField(max_length=1000)  # destination of fetched messages
    known = models.JSONField(default=list)  # UIDLs of messages on that server that were fetched
    fetched = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["host", "login"]

    def __str__(self) -> str:
        return f"{self.login} at {self.host}"


class Search(models.Model):
    """A search of a user: a recent one, or one saved under a name."""

    owner = models.CharField(max_length=320)
    name = models.CharField(max_length=100, blank=True)  # "" for a recent search
    query = models.CharField(max_length=500)
    used = models.DateTimeField(default=timezone.now)

    class Meta:
        indexes = [models.Index(fields=["owner", "name"], name="searches_of_owner")]

    def __str__(self) -> str:
        return self.name or self.query


class Snoozed(models.Model):
    """A message in the Snoozed folder until `due`, when it returns to the folder `home`."""

    owner = models.CharField(max_length=320)
    validity = models.BigIntegerField()  # UIDVALIDITY of the Snoozed folder
    uid = models.BigIntegerField()
    home = models.CharField(max_length=1000)
    due = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["owner", "validity", "uid"], name="one_line_a_snoozed_letter")]
        indexes = [models.Index(fields=["owner", "due"], name="snoozed_due")]

    def __str__(self) -> str:
        return f"{self.owner}: {self.uid} until {self.due}"
