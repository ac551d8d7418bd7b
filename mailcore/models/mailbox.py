"""Messages at rest: the index over the Maildirs. The index is the authority for UIDs, flags,
keywords, MODSEQ and order; the files are the authority for content."""

from django.db import models
from django.db.models import Q

from mailcore.models.directory import Account


class Mailbox(models.Model):
    """One folder of one account.

    `name` is what IMAP shows, decoded, levels parted by "/"; INBOX is always spelled so.
    `folder` is the Maildir++ directory below the account's Maildir: "" for INBOX, ".Sent", ….
    Counters are exact: they change in the transaction that changes the messages.
    """

    account = models.ForeignKey(Account, models.CASCADE, related_name="mailboxes")
    name = models.CharField(max_length=255)
    folder = models.CharField(max_length=255)
    special_use = models.CharField(max_length=16, blank=True)  # "\\Sent", … (RFC 6154) or ""
    selectable = models.BooleanField(default=True)  # False: \Noselect, kept for its children
    uid_validity = models.PositiveIntegerField()
    uid_next = models.PositiveBigIntegerField(default=1)
    highest_modseq = models.PositiveBigIntegerField(default=1)
    keywords = models.TextField(blank=True, default="")  # every keyword ever used here, space separated
    recent_uid = models.PositiveBigIntegerField(default=1)  # UIDs from here on no session has selected yet: \Recent
    messages = models.PositiveIntegerField(default=0)
    unseen = models.PositiveIntegerField(default=0)
    size = models.PositiveBigIntegerField(default=0)  # bytes
    url_key = models.CharField(max_length=64, blank=True, default="")  # vouches for URLs (RFC 4467); "": not yet made
    text_indexed_uid = models.PositiveBigIntegerField(db_default=0)  # texts up to this UID are in the text index

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
    """What somebody else may do with a mailbox: an entry of its ACL (RFC 4314)."""

    mailbox = models.ForeignKey(Mailbox, models.CASCADE, related_name="access_rights")
    # An account's address or "anyone"; with "-" before it the rights are taken away (RFC 4314 §2).
    identifier = models.CharField(max_length=321)
    rights = models.CharField(max_length=16)  # letters of RFC 4314 §2.1, in its order

    class Meta:
        constraints = [models.UniqueConstraint(name="access_right_once", fields=["mailbox", "identifier"])]
        indexes = [models.Index(name="access_right_by_identifier", fields=["identifier"])]

    def __str__(self) -> str:
        return f"{self.identifier} {self.rights}"


class Annotation(models.Model):
    """A note of a client on a mailbox, or (no mailbox) on the account: an entry of METADATA (RFC 5464)."""

    account = models.ForeignKey(Account, models.CASCADE, related_name="annotations")
    mailbox = models.ForeignKey(Mailbox, models.CASCADE, null=True, related_name="annotations")
    name = models.CharField(max_length=255)  # lower case, "/private/comment"
    value = models.BinaryField()

    class Meta:
        # Entries without a mailbox are kept unique by whoever writes them.
        constraints = [models.UniqueConstraint(name="annotation_once", fields=["account", "mailbox", "name"])]

    def __str__(self) -> str:
        return self.name


class Message(models.Model):
    """One message in one mailbox: what commands change and choose by. Thin, for a STORE of all messages
    writes every row; what listings show stands in MessageSummary."""

    mailbox = models.ForeignKey(Mailbox, models.CASCADE, related_name="index", db_index=False)
    uid = models.PositiveBigIntegerField()
    modseq = models.PositiveBigIntegerField()
    flags = models.PositiveSmallIntegerField(default=0)  # bits of mailcore.wire.imap.system_flags
    keywords = models.TextField(blank=True, default="")  # space separated, as first spelled
    base_name = models.CharField(max_length=200)  # of the file, without ":2,FLAGS"
    size = models.PositiveBigIntegerField()  # RFC822.SIZE, bytes
    internal_at = models.BigIntegerField()  # INTERNALDATE, seconds
    saved_at = models.BigIntegerField()  # SAVEDATE (RFC 8514), seconds
    sent_at = models.BigIntegerField()  # Date: header, else internal_at, seconds
    sent_zone = models.SmallIntegerField(default=0)  # minutes Date:'s zone is ahead of UTC; SENTON asks for its day

    class Meta:
        constraints = [
            models.UniqueConstraint(name="message_uid_once", fields=["mailbox", "uid"]),
            models.UniqueConstraint(name="message_file_once", fields=["mailbox", "base_name"]),
        ]
        indexes = [models.Index(name="message_by_change", fields=["mailbox", "modseq"])]

    def __str__(self) -> str:
        return f"{self.mailbox_id}:{self.uid}"


class MessageSummary(models.Model):
    """What listings show of a message, already rendered, and what they are sorted by. Never changes."""

    message = models.OneToOneField(Message, models.CASCADE, primary_key=True, related_name="summary")
    envelope = models.BinaryField()  # as in FETCH ENVELOPE, parentheses included
    body_structure = models.BinaryField()  # as in FETCH BODYSTRUCTURE
    subject_key = models.CharField(max_length=255)  # base subject (RFC 5256 §2.1), folded
    is_reply = models.BooleanField(default=False)  # its subject said so (RFC 5256 §2.1)
    from_key = models.CharField(max_length=255)  # mailbox of the first From, folded
    to_key = models.CharField(max_length=255)
    cc_key = models.CharField(max_length=255)
    from_display = models.CharField(max_length=255)  # SORT=DISPLAY (RFC 5957), folded
    to_display = models.CharField(max_length=255)
    header_message_id = models.CharField(max_length=255, blank=True)  # without <>; cut at 255
    references = models.TextField(blank=True, default="")  # message-ids, oldest first, space separated
    preview = models.CharField(max_length=256, blank=True)  # RFC 8970
    has_attachment = models.BooleanField(default=False)
    email_id = models.CharField(max_length=32)  # OBJECTID (RFC 8474): same bytes, same id
    thread_id = models.CharField(max_length=32)

    class Meta:
        indexes = [models.Index(name="summary_by_message_id", fields=["header_message_id"])]

    def __str__(self) -> str:
        return str(self.pk)


class MessageText(models.Model):
    """What searches look through: decoded, NFKC- and case-folded. Apart, so that listings stay thin."""

    message = models.OneToOneField(Message, models.CASCADE, primary_key=True, related_name="text")
    headers = models.TextField()  # "name: value" lines, names lower case
    body = models.TextField()
    indexed = models.BooleanField(db_default=False)  # in PostgreSQL's text index; SQLite's knows by itself

    def __str__(self) -> str:
        return str(self.message_id)


class Unsynced(models.Model):
    """The content of a message whose file the disk may not have yet; gone a second later. No foreign key: the
    message may be gone first."""

    message_id = models.PositiveBigIntegerField(primary_key=True)
    octets = models.BinaryField()

    def __str__(self) -> str:
        return str(self.message_id)


class Expunged(models.Model):
    """A UID that is gone, kept so that QRESYNC can tell who was away (RFC 7162 §3.2.5)."""

    mailbox = models.ForeignKey(Mailbox, models.CASCADE, related_name="expunged", db_index=False)
    uid = models.PositiveBigIntegerField()
    modseq = models.PositiveBigIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(name="expunged_uid_once", fields=["mailbox", "uid"])]
        indexes = [models.Index(name="expunged_by_change", fields=["mailbox", "modseq"])]

    def __str__(self) -> str:
        return f"{self.mailbox_id}:{self.uid}"
