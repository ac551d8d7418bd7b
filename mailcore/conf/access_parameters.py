"""Parameters of the servers that users log in to: IMAP, POP3, ManageSieve, and log-in itself (see `parameters`)."""

from dataclasses import dataclass

from django.utils.translation import gettext_lazy as _

from mailcore.conf.declaration import boolean, byte_size, days, integer, seconds, text, words


@dataclass(frozen=True, slots=True)
class AccessParameters:
    """The values of `Parameters` that concern access to mail."""

    protocols: tuple[str, ...] = words("imap, pop3, lmtp, sieve", _("Mail access protocols that are served."))
    disable_plaintext_auth: bool = boolean("no", _("Accept plaintext passwords only under TLS or from this machine."))
    ssl_disable: bool = boolean("no", _("Offer no TLS on any server."))
    haproxy_trusted_networks: tuple[str, ...] = words(
        "", _("Networks of proxies whose PROXY headers the IMAP and POP3 servers accept.")
    )
    haproxy_timeout: int = seconds(
        "3s", _("Time limit for a proxy to send its PROXY header to the IMAP or POP3 server.")
    )
    mail_max_userip_connections: int = integer("50", _("IMAP or POP3 connections of one user from one IP address."))
    autoconfig_hostname: str = text("$myhostname", _("The host name in the settings that mail programs fetch."))
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
    directory_cache_time: int = seconds("5s", _("Time that a process may cache domains, accounts and aliases."))
    imap_idle_timeout: int = seconds("30m", _("Time without a command after which an IMAP connection is closed."))
    pop3_idle_timeout: int = seconds("10m", _("Time without a command after which a POP3 connection is closed."))
    managesieve_idle_timeout: int = seconds(
        "30m", _("Time without a command after which a ManageSieve connection is closed.")
    )
    login_timeout: int = seconds(
        "3m", _("Time limit for logging in to IMAP, POP3, ManageSieve or submission after connecting.")
    )
    unauthenticated_connection_limit: int = integer(
        "50", _("Connections of one IP address before log-in (IMAP, POP3, ManageSieve, submission); 0: no limit.")
    )
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
    mail_max_bad_commands: int = integer(
        "20", _("Invalid commands or failed log-ins after which a POP3 connection is closed.")
    )
    imap_idle_notify_interval: int = seconds("2m", _("Interval at which IDLE clients get a keepalive; 0: never."))
    imap_progress_interval: int = seconds(
        "15s", _("Interval at which a client is informed of the progress of a long command; 0: never.")
    )
    imap_metadata_max_size: int = byte_size("65536", _("Largest value of an IMAP METADATA entry."))
    imap_metadata_max_entries: int = integer("1000", _("Largest number of IMAP METADATA entries of an account."))
    imap_acl_scope: str = text(
        "domain",
        _(
            "Accounts that may get rights on a mailbox: domain (those of its owner's domain), named (also others, but"
            ' "anyone" means the domain), all.'
        ),
    )
    text_index_messages: int = integer(
        "5000", _("Messages from which on a mailbox gets a full-text index when it is searched; 0: never.")
    )
    imap_max_line_length: int = byte_size("65536", _("Longest IMAP command line without its literals."))
    imap_max_command_size: int = byte_size(
        "1048576", _("Longest IMAP command with its literals, not counting messages that APPEND uploads.")
    )
    imap_max_literals: int = integer(
        "2000", _("Largest number of literals in an IMAP command, not counting uploaded messages.")
    )
    imap_login_max_command_size: int = byte_size("65536", _("Longest IMAP command before log-in."))
    imap_login_max_literals: int = integer("10", _("Largest number of literals in an IMAP command before log-in."))
