"""Parameters: submission and log-in."""

from dataclasses import dataclass
from typing import ClassVar

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from mailcore.conf.declaration import boolean, days, integer, seconds, text, words


@dataclass(frozen=True)
class SubmissionAndLogin:
    title: ClassVar[Promise | str] = _("Submission and log-in")

    submission_interfaces: tuple[str, ...] = words("$inet_interfaces", _("Addresses the submission server listens on."))
    second_factor_roles: tuple[str, ...] = words(
        "", _("Roles (owner, domain, auditor, administrator) that must set up a second factor before anything else.")
    )
    step_up_time: int = seconds(
        "15m", _("Time after log-in during which security settings open without another password check.")
    )
    smtpd_future_release_limit: int = seconds(
        "30d", _("Longest time a submitted message may be held for later delivery; 0: none.")
    )
    smtpd_sasl_message_hourly_limit: int = integer("0", _("Messages one account may send per hour; 0: no limit."))
    smtpd_sasl_message_daily_limit: int = integer("0", _("Messages one account may send per day; 0: no limit."))
    smtpd_sasl_recipient_hourly_limit: int = integer(
        "0", _("Recipients one account may send to per hour; 0: no limit.")
    )
    smtpd_sasl_recipient_daily_limit: int = integer("0", _("Recipients one account may send to per day; 0: no limit."))
    smtpd_sender_login_maps: tuple[str, ...] = words(
        "hash:sender_login",
        _("Tables of the accounts that may send as an address; default: the account it is delivered to."),
    )
    smtpd_sasl_auth_enable: bool = boolean("yes", _("Offer AUTH to SMTP clients."))
    smtpd_sasl_security_options: tuple[str, ...] = words(
        "noanonymous", _("Kinds of authentication that AUTH does not offer.")
    )
    smtpd_sasl_tls_security_options: tuple[str, ...] = words(
        "$smtpd_sasl_security_options", _("Kinds of authentication that AUTH does not offer under TLS.")
    )
    disable_plaintext_auth: bool = boolean("no", _("Accept plaintext passwords only under TLS or from this machine."))
    autoconfig_hostname: str = text("$myhostname", _("The host name in the settings that mail programs fetch."))
    unauthenticated_connection_total_limit: int = integer(
        "500", _("Connections of all IP addresses before log-in (IMAP, POP3, ManageSieve, submission); 0: no limit.")
    )
    submission_from_check: str = text(
        "sender_field",
        _(
            "What happens to a submitted message whose From is not an address of the account that sends it:"
            " sender_field (a Sender field names the account), reject, off."
        ),
    )
    auth_failure_delay: int = seconds("2s", _("Delay of the reply to a failed log-in."))
    auth_failure_limit: int = integer(
        "5", _("Failed log-ins of an IP address or account after which each further one doubles the delay.")
    )
    auth_failure_delay_max: int = seconds("30s", _("Longest delay of a log-in after failures."))
    auth_failure_time: int = seconds("15m", _("Time that failed log-ins count."))
    second_factor_attempts: int = integer(
        "5", _("Second-factor codes that may be tried before the password is required again; 0: no limit.")
    )
    auth_known_address_time: int = days(
        "90d", _("Time that an IP address counts as known after a log-in of the account.")
    )
    oauth_timeout: int = seconds("10s", _("Time limit for the OAuth introspection server to reply."))
    auth_scram_iterations: int = integer(
        "50000", _("Iterations of SCRAM-SHA-256 keys for new passwords; 0: SCRAM is not offered.")
    )
    auth_cache_ttl: int = seconds("600s", _("Time that a verified password is cached (as a keyed hash)."))
    login_timeout: int = seconds(
        "3m", _("Time limit for logging in to IMAP, POP3, ManageSieve or submission after connecting.")
    )
    unauthenticated_connection_limit: int = integer(
        "50", _("Connections of one IP address before log-in (IMAP, POP3, ManageSieve, submission); 0: no limit.")
    )
