"""The directory: domains, accounts, aliases, and credentials besides the account's password."""

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _


class Domain(models.Model):
    """A domain this system accepts mail for, in lower case; international names as A-labels (RFC 5890)."""

    class Kind(models.TextChoices):
        LOCAL = "local", _("Mailboxes here")
        ALIAS = "alias", _("Another name for a domain")
        RELAY = "relay", _("Relayed to another server")

    name = models.CharField(_("domain"), max_length=255, unique=True)
    kind = models.CharField(_("kind"), max_length=8, choices=Kind, default=Kind.LOCAL)
    target = models.ForeignKey("self", models.PROTECT, null=True, blank=True, related_name="alias_domains")
    active = models.BooleanField(_("active"), default=True)
    # null: the parameter virtual_mailbox_limit applies; 0: no limit
    account_quota_bytes = models.PositiveBigIntegerField(_("quota of an account"), null=True, blank=True)
    account_quota_messages = models.PositiveIntegerField(_("messages of an account"), null=True, blank=True)
    total_quota_bytes = models.PositiveBigIntegerField(_("quota of the domain"), null=True, blank=True)
    max_accounts = models.PositiveIntegerField(_("accounts at most"), null=True, blank=True)
    max_aliases = models.PositiveIntegerField(_("aliases at most"), null=True, blank=True)
    catch_all = models.CharField(_("catch-all address"), max_length=320, blank=True)
    created = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="domain_target_iff_alias",
                condition=Q(kind="alias", target__isnull=False) | (~Q(kind="alias") & Q(target__isnull=True)),
            ),
            models.CheckConstraint(name="domain_name_given", condition=~Q(name="")),
        ]

    def __str__(self) -> str:
        return self.name


class AccountManager(BaseUserManager["Account"]):
    """Manager that finds accounts by their address, in any case."""

    def get_by_natural_key(self, username: str | None) -> "Account":
        return self.get(address=(username or "").lower())


class Account(AbstractBaseUser):
    """One person's (or role's) mail and log-in; the user model of the project.

    `used_*` are exact: every change of a mailbox updates them in its transaction.
    """

    class State(models.TextChoices):
        ACTIVE = "active", _("Active")
        NO_LOGIN = "no-login", _("No sign-in")
        RECEIVE_ONLY = "receive-only", _("Receives only")
        SEND_ONLY = "send-only", _("Sends only")
        HOLD = "hold", _("Incoming mail is held")
        OFF = "off", _("Switched off")

    class Role(models.TextChoices):
        OWNER = "owner", _("Own account only")
        DOMAIN = "domain", _("Administrator of domains")
        AUDITOR = "auditor", _("Sees everything, changes nothing")
        ADMINISTRATOR = "administrator", _("Administrator")

    address = models.CharField(_("address"), max_length=320, unique=True)
    local_part = models.CharField(max_length=64)
    domain = models.ForeignKey(Domain, models.PROTECT, related_name="accounts")
    name = models.CharField(_("name"), max_length=200, blank=True)
    state = models.CharField(_("state"), max_length=16, choices=State, default=State.ACTIVE)
    expires = models.DateField(_("expires on"), null=True, blank=True)
    role = models.CharField(_("role"), max_length=16, choices=Role, default=Role.OWNER)
    managed_domains = models.ManyToManyField(Domain, blank=True, related_name="administrators")
    language = models.CharField(_("language"), max_length=16, blank=True)
    time_zone = models.CharField(_("time zone"), max_length=64, blank=True)
    quota_bytes = models.PositiveBigIntegerField(_("quota"), null=True, blank=True)  # null: the domain's
    quota_messages = models.PositiveIntegerField(_("messages at most"), null=True, blank=True)
    used_bytes = models.BigIntegerField(default=0)
    used_messages = models.BigIntegerField(default=0)
    quota_warned = models.PositiveSmallIntegerField(default=0)  # percent at which the owner was last warned
    last_uid_validity = models.PositiveBigIntegerField(default=0)  # no mailbox gets one twice (RFC 9051 §2.3.1.1)
    scram = models.CharField(max_length=255, blank=True, default="")  # keys of SCRAM-SHA-256; "": not yet made
    second_factor = models.BooleanField(default=False)  # True if there is one: programs need app passwords
    # The Sieve script for messages to this account, or null.
    active_script = models.ForeignKey("mailcore.SieveScript", models.SET_NULL, null=True, blank=True, related_name="+")
    created = models.DateTimeField(auto_now_add=True)

    USERNAME_FIELD = "address"
    EMAIL_FIELD = "address"
    REQUIRED_FIELDS: list[str] = []

    objects = AccountManager()

    class Meta:
        constraints = [
            models.UniqueConstraint(name="account_once_in_domain", fields=["domain", "local_part"]),
            models.CheckConstraint(
                name="account_usage_not_negative", condition=Q(used_bytes__gte=0, used_messages__gte=0)
            ),
        ]

    def __str__(self) -> str:
        return self.address

    @property
    def is_active(self) -> bool:  # type: ignore[override]
        """Return True if the account may log in (Django's name for it)."""
        return self.state not in (self.State.OFF, self.State.NO_LOGIN)


class Alias(models.Model):
    """An address that stands for others: a second name, a forward, or a group."""

    address = models.CharField(_("alias"), max_length=320, unique=True)
    local_part = models.CharField(max_length=64)
    domain = models.ForeignKey(Domain, models.CASCADE, related_name="aliases")
    targets = models.JSONField(_("delivers to"), default=list)  # texts of its targets, in order, at least one
    # Kinds of the targets that are no addresses, by their texts: "command", "file", "include"; "unconfirmed" for one
    # that no aliases file of an administrator has named, which is never run. Only `alias_files` adds any.
    special = models.JSONField(default=dict, blank=True)
    active = models.BooleanField(_("active"), default=True)
    comment = models.CharField(_("comment"), max_length=200, blank=True)
    # the alias file it came from; reading that file again may remove it
    source = models.CharField(max_length=255, blank=True)
    created = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(name="alias_once_in_domain", fields=["domain", "local_part"])]
        verbose_name_plural = "aliases"

    def __str__(self) -> str:
        return self.address


class AppPassword(models.Model):
    """A password for one program or one web session; revoked by deleting the row.

    The secret is random and long, so a keyed hash of it is stored: checking needs no argon2.
    """

    account = models.ForeignKey(Account, models.CASCADE, related_name="app_passwords")
    label = models.CharField(_("used by"), max_length=100)
    digest = models.CharField(max_length=64, unique=True)
    # Keys of SCRAM-SHA-256, one set for each spelling of the password, separated by spaces.
    scram = models.CharField(max_length=512, blank=True, default="")
    created = models.DateTimeField(auto_now_add=True)
    last_used = models.DateTimeField(null=True, blank=True)
    expires = models.DateTimeField(null=True, blank=True)  # when a web session's credential ends
    session = models.BooleanField(default=False)  # made for a web session, not by the owner
    session_mark = models.CharField(max_length=64, blank=True, default="")  # keyed hash of the web session's key
    # the web session's key, encrypted; needed to end the session
    session_key = models.TextField(blank=True, default="")
    client = models.CharField(max_length=45, blank=True, default="")  # the client's IP address when it was made

    class Meta:
        indexes = [models.Index(name="app_password_by_session", fields=["session_mark"])]

    def __str__(self) -> str:
        return self.label


class Factor(models.Model):
    """A second factor; the login page asks for one of them once an account has any.

    `secret`: of an authenticator app (TOTP) its key, encrypted under SECRET_KEY; of a passkey its public key; of a
    recovery code a keyed hash. `handle`: a passkey's credential id. `counter`: the value used last, so that nothing is
    accepted twice (TOTP: the time step; passkeys: the signature counter).
    """

    class Kind(models.TextChoices):
        TOTP = "totp", _("Authenticator app")
        PASSKEY = "passkey", _("Passkey")
        RECOVERY = "recovery", _("Recovery code")

    account = models.ForeignKey(Account, models.CASCADE, related_name="factors")
    kind = models.CharField(max_length=8, choices=Kind)
    label = models.CharField(_("name"), max_length=100, blank=True)
    secret = models.TextField()
    handle = models.TextField(blank=True, default="")
    counter = models.BigIntegerField(default=0)
    created = models.DateTimeField(auto_now_add=True)
    last_used = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return self.label or self.kind


class ApiToken(models.Model):
    """A token that authenticates a script under /api/ with the permissions of its owner's role.

    It is random and long; a keyed hash of it is stored.
    """

    account = models.ForeignKey(Account, models.CASCADE, related_name="api_tokens")
    label = models.CharField(_("used by"), max_length=100)
    digest = models.CharField(max_length=64, unique=True)
    writes = models.BooleanField(_("may change things"), default=False)
    expires = models.DateField(_("expires on"), null=True, blank=True)
    created = models.DateTimeField(auto_now_add=True)
    last_used = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return self.label


class DkimKey(models.Model):
    """A key that signs a domain's messages (RFC 6376); its record is published at SELECTOR._domainkey.DOMAIN.

    A new key waits until its record can be found; the previous one stays published until messages signed with it have
    been verified.
    """

    class Algorithm(models.TextChoices):
        RSA = "rsa-sha256", "RSA"
        ED25519 = "ed25519-sha256", "Ed25519"

    class State(models.TextChoices):
        WAITING = "waiting", _("waits for its record")
        SIGNING = "signing", _("signs")
        RETIRED = "retired", _("signs no more")

    domain = models.ForeignKey(Domain, models.CASCADE, related_name="dkim_keys")
    selector = models.CharField(_("selector"), max_length=63)
    algorithm = models.CharField(_("algorithm"), max_length=16, choices=Algorithm)
    state = models.CharField(_("state"), max_length=8, choices=State, default=State.WAITING)
    secret = models.TextField()  # PKCS #8, encrypted under SECRET_KEY
    public = models.TextField()  # the p= tag of its record
    created = models.DateTimeField(auto_now_add=True)
    changed = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [models.UniqueConstraint(name="dkim_selector_once", fields=["domain", "selector"])]

    def __str__(self) -> str:
        return self.selector


class KnownAddress(models.Model):
    """An IP address an account has logged in from; failed guesses from elsewhere do not delay log-ins from it."""

    account = models.ForeignKey(Account, models.CASCADE, related_name="known_addresses")
    address = models.CharField(max_length=45)  # IPv4, or the /64 of an IPv6 address
    last_used = models.DateField()

    class Meta:
        constraints = [models.UniqueConstraint(name="known_address_once", fields=["account", "address"])]

    def __str__(self) -> str:
        return self.address
