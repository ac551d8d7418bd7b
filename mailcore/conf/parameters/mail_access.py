"""Parameters: IMAP, POP3 and ManageSieve."""

from dataclasses import dataclass
from typing import ClassVar

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from mailcore.conf.declaration import byte_size, integer, seconds, text, words


@dataclass(frozen=True)
class MailAccess:
    title: ClassVar[Promise | str] = _("IMAP, POP3 and ManageSieve")

    imap_interfaces: tuple[str, ...] = words("$inet_interfaces", _("Addresses the IMAP server listens on."))
    pop3_interfaces: tuple[str, ...] = words("$inet_interfaces", _("Addresses the POP3 server listens on."))
    managesieve_interfaces: tuple[str, ...] = words(
        "$inet_interfaces", _("Addresses the ManageSieve server listens on.")
    )
    protocols: tuple[str, ...] = words("imap, pop3, lmtp, sieve", _("Mail access protocols that are served."))
    haproxy_trusted_networks: tuple[str, ...] = words(
        "", _("Networks of proxies whose PROXY headers the IMAP and POP3 servers accept.")
    )
    haproxy_timeout: int = seconds(
        "3s", _("Time limit for a proxy to send its PROXY header to the IMAP or POP3 server.")
    )
    mail_max_userip_connections: int = integer("50", _("IMAP or POP3 connections of one user from one IP address."))
    imap_idle_timeout: int = seconds("30m", _("Time without a command after which an IMAP connection is closed."))
    pop3_idle_timeout: int = seconds("10m", _("Time without a command after which a POP3 connection is closed."))
    managesieve_idle_timeout: int = seconds(
        "30m", _("Time without a command after which a ManageSieve connection is closed.")
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
    imap_search_max_depth: int = integer(
        "50", _("Nesting of parentheses and NOT in an IMAP SEARCH command; 200 at most.")
    )
    imap_search_max_keys: int = integer("1000", _("Largest number of search keys in an IMAP SEARCH command."))
    imap_search_max_string: int = integer("1024", _("Longest string in an IMAP SEARCH command, in characters."))
    imap_search_max_alternations: int = integer(
        "20", _("Nesting of OR and AND in each other in an IMAP SEARCH command; 30 at most.")
    )
    imap_max_live_searches: int = integer(
        "16", _("Searches of an IMAP session whose results are kept up to date (CONTEXT=SEARCH).")
    )
