"""The parameters of IMAP alone: intervals, and the limits of commands and searches."""

from dataclasses import dataclass

from django.utils.translation import gettext_lazy as _

from mailcore.conf.declaration import byte_size, integer, seconds


@dataclass(frozen=True, slots=True)
class ImapParameters:
    """The part of `Parameters` that only the IMAP server reads."""

    imap_idle_notify_interval: int = seconds("2m", _("Interval at which IDLE clients get a keepalive; 0: never."))
    imap_progress_interval: int = seconds(
        "15s", _("Interval at which a client is informed of the progress of a long command; 0: never.")
    )
    imap_metadata_max_size: int = byte_size("65536", _("Largest value of an IMAP METADATA entry."))
    imap_metadata_max_entries: int = integer("1000", _("Largest number of IMAP METADATA entries of an account."))
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
