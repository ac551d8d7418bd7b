"""The index over the Maildirs.

The index is authoritative for UIDs, flags, keywords, MODSEQ and order; the files are authoritative for content.
"""

from django.db import models
from django.db.models import Q

from mailcore.models.directory import Account


class Mailbox(models.Model):
    """One mailbox of one account.

    `name` is what IMAP shows, decoded, with "/" between levels; INBOX is always in upper case. `folder` is the
    Maildir++ directory below the account's Maildir: "" for INBOX, ".Sent", …. Counters are exact: they change in the
    transaction that changes the messages.
    """

    account = models.ForeignKey(Account, models.CASCADE, related_name="mailboxes")
    name = models.CharField(max_length=255)
    folder = models.CharField(max_length=255)
    special_use = models.CharField(max_length=16, blank=True)  # "\\Sent", … (RFC 6154) or ""
    selectable = models.BooleanField(default=True)  # False: \Noselect, kept for the names below it
    uid_validity = models.PositiveIntegerField()
    uid_next = models.PositiveBigIntegerField(default=1)
    highest_modseq = models.PositiveBigIntegerField(default=1)
    keywords = models.TextField(blank=True, default="")  # every keyword ever used here, space separated
    recent_uid = models.PositiveBigIntegerField(default=1)  # UIDs from here on have been in no session yet: \Recent
    messages = models.PositiveIntegerField(default=0)
    unseen = models.PositiveIntegerField(default=0)
    size = models.PositiveBigIntegerField(default=0)  # bytes
    url_key = models.CharField(max_length=64, blank=True, default="")  # signs URLs (RFC 4467); "": not yet made
    text_indexed_uid = models.PositiveBigIntegerField(db_default=0)  # texts up to this UID are in the full-text index

    class Meta:
        constraints = [
            models.UniqueConstraint(name="mailbox_name_once", fields=["account", "name"]),
            models.UniqueConstraint(name="mailbox_folder_once", fields=["account", "folder"]),
            models.CheckConstraint(name="mailbox_uid_next_positive", condition=Q(uid_next__gte=1)),
        ]

    def __str__(self) -> str:
        return self.name


class Subscription(models.Model):
    """A name the owner subscribed to; it may outlive its mailbox (RFC 3501 §6.3.6)."""

    account = models.ForeignKey(Account, models.CASCADE, related_name="subscriptions")
    name = models.CharField(max_length=255)

    class Meta:
        constraints = [models.UniqueConstraint(name="subscription_once", fields=["account", "name"])]

    def __str__(self) -> str:
        return self.name


class AccessRight(models.Model):
    """The rights of another user on a mailbox: an entry of its ACL (RFC 4314)."""

    mailbox = models.ForeignKey(Mailbox, models.CASCADE, related_name="access_rights")
    # An account's address or "anyone"; preceded by "-" the rights are removed (RFC 4314 §2).
    identifier = models.CharField(max_length=321)
    rights = models.CharField(max_length=16)  # letters of RFC 4314 §2.1, in its order

    class Meta:
        constraints = [models.UniqueConstraint(name="access_right_once", fields=["mailbox", "identifier"])]
        indexes = [models.Index(name="access_right_by_identifier", fields=["identifier"])]

    def __str__(self) -> str:
        return f"{self.identifier} {self.rights}"


class Annotation(models.Model):
    """An entry of METADATA (RFC 5464) on a mailbox, or without one on the account."""

    account = models.ForeignKey(Account, models.CASCADE, related_name="annotations")
    mailbox = models.ForeignKey(Mailbox, models.CASCADE, null=True, related_name="annotations")
    name = models.CharField(max_length=255)  # lower case, "/private/comment"
    value = models.BinaryField()

    class Meta:
        # Entries without a mailbox are kept unique by the code that writes them.
        constraints = [models.UniqueConstraint(name="annotation_once", fields=["account", "mailbox", "name"])]

    def __str__(self) -> str:
        return self.name


class Message(models.Model):
    """One message in one mailbox: the columns that commands change and select by.

    The row is small, since a STORE of all messages writes every row; listings read MessageSummary.
    """

    mailbox = models.ForeignKey(Mailbox, models.CASCADE, related_name="index", db_index=False)
    uid = models.PositiveBigIntegerField()
    modseq = models.PositiveBigIntegerField()
    flags = models.PositiveSmallIntegerField(default=0)  # bits of mailcore.wire.imap.system_flags
    keywords = models.TextField(blank=True, default="")  # space separated, as first written
    base_name = models.CharField(max_length=200)  # of the file, without ":2,FLAGS"
    size = models.PositiveBigIntegerField()  # RFC822.SIZE, bytes
    internal_at = models.BigIntegerField()  # INTERNALDATE, seconds
    saved_at = models.BigIntegerField()  # SAVEDATE (RFC 8514), seconds
    sent_at = models.BigIntegerField()  # Date: header, else internal_at, seconds
    # minutes the zone of Date: is ahead of UTC, or wire.message.dates.NO_DATE; SENTON needs the day there
    sent_zone = models.SmallIntegerField(default=0)
    # bytes that POP3 adds for bare LF and a missing last line end; NULL: not counted yet
    line_end_growth = models.PositiveIntegerField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(name="message_uid_once", fields=["mailbox", "uid"]),
            models.UniqueConstraint(name="message_file_once", fields=["mailbox", "base_name"]),
        ]
        indexes = [models.Index(name="message_by_change", fields=["mailbox", "modseq"])]

    def __str__(self) -> str:
        return f"{self.mailbox_id}:{self.uid}"


class MessageSummary(models.Model):
    """The fields of a message that listings show and sort by, already formatted; they never change."""

    message = models.OneToOneField(Message, models.CASCADE, primary_key=True, related_name="summary")
    envelope = models.BinaryField()  # as in FETCH ENVELOPE, parentheses included
    body_structure = models.BinaryField()  # as in FETCH BODYSTRUCTURE
    subject_key = models.CharField(
        max_length=255
    )  # base subject (RFC 5256 §2.1); like the other keys in i;unicode-casemap
    is_reply = models.BooleanField(default=False)  # according to its subject (RFC 5256 §2.1)
    from_key = models.CharField(max_length=255)  # mailbox of the first From
    to_key = models.CharField(max_length=255)
    cc_key = models.CharField(max_length=255)
    from_display = models.CharField(max_length=255)  # SORT=DISPLAY (RFC 5957)
    to_display = models.CharField(max_length=255)
    header_message_id = models.CharField(max_length=255, blank=True)  # without <>; cut at 255
    references = models.TextField(blank=True, default="")  # message-ids, oldest first, space separated
    preview = models.CharField(max_length=256, blank=True)  # RFC 8970
    has_attachment = models.BooleanField(default=False)
    email_id = models.CharField(max_length=32)  # OBJECTID (RFC 8474): equal for equal content
    thread_id = models.CharField(max_length=32)

    class Meta:
        indexes = [models.Index(name="summary_by_message_id", fields=["header_message_id"])]

    def __str__(self) -> str:
        return str(self.pk)


class MessageText(models.Model):
    """The text that searches read: decoded, NFKC- and case-folded; a table of its own, so that listings stay small."""

    message = models.OneToOneField(Message, models.CASCADE, primary_key=True, related_name="text")
    headers = models.TextField()  # "name: value" lines, names in lower case
    body = models.TextField()
    indexed = models.BooleanField(db_default=False)  # in PostgreSQL's full-text index; SQLite's keeps its own list

    def __str__(self) -> str:
        return str(self.message_id)


class Unsynced(models.Model):
    """Write-behind: the content of a message whose file may not be durable yet; deleted a second later.

    There is no foreign key, since the message may be deleted first.
    """

    message_id = models.PositiveBigIntegerField(primary_key=True)
    octets = models.BinaryField()

    def __str__(self) -> str:
        return str(self.message_id)


class Expunged(models.Model):
    """An expunged UID, kept so that QRESYNC can report it (RFC 7162 §3.2.5)."""

    mailbox = models.ForeignKey(Mailbox, models.CASCADE, related_name="expunged", db_index=False)
    uid = models.PositiveBigIntegerField()
    modseq = models.PositiveBigIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(name="expunged_uid_once", fields=["mailbox", "uid"])]
        indexes = [models.Index(name="expunged_by_change", fields=["mailbox", "modseq"])]

    def __str__(self) -> str:
        return f"{self.mailbox_id}:{self.uid}"
