"""Parameters: aliases and routing."""

from dataclasses import dataclass
from typing import ClassVar

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from mailcore.conf.declaration import integer, seconds, text, words


@dataclass(frozen=True)
class AliasesAndRouting:
    title: ClassVar[Promise | str] = _("Aliases and routing")

    alias_database: tuple[str, ...] = words("hash:/etc/aliases", _("The alias files that newaliases reads."))
    allow_mail_to_commands: tuple[str, ...] = words("", _('"alias": aliases from files may deliver to |commands.'))
    allow_mail_to_files: tuple[str, ...] = words(
        "", _('"alias": aliases from files may deliver to /files and /directories/.')
    )
    mailbox_delivery_lock: tuple[str, ...] = words(
        "fcntl, dotlock", _("How a file that an alias delivers to is locked while a message is appended.")
    )
    deliver_lock_attempts: int = integer("20", _("Attempts to lock a file that an alias delivers to."))
    deliver_lock_delay: int = seconds("1s", _("Time between two attempts to lock a file that an alias delivers to."))
    stale_lock_time: int = seconds("500s", _("The age at which a lock file is considered stale and removed."))
    export_environment: tuple[str, ...] = words(
        "TZ MAIL_CONFIG LANG", _("Environment variables that a command keeps, name, or gets, name=value.")
    )
    command_expansion_filter: str = text(
        "1234567890!@%-_=+:,./abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
        _("Characters of addresses in a command's environment; others become underscores."),
    )
    command_time_limit: int = seconds("1000s", _("Time limit of a command that an alias delivers a message to."))
    relay_domains: tuple[str, ...] = words("", _("Domains to relay mail for, besides those in the table of domains."))
    relay_recipient_maps: tuple[str, ...] = words(
        "", _("Tables of the valid recipients in relay domains; empty: all are valid.")
    )
    relayhost: str = text("", _("The next hop of all mail for other domains: domain, or [host]:port."))
    transport_maps: tuple[str, ...] = words("hash:transport", _("Tables of next hops by address or domain."))
    sender_dependent_relayhost_maps: tuple[str, ...] = words(
        "hash:sender_relay", _("Tables of relay hosts by the sender's address or @domain.")
    )
    role_addresses: tuple[str, ...] = words(
        "postmaster, abuse, hostmaster, webmaster, mailer-daemon",
        _("Names in every local domain that reach its administrators if it has no such account or alias (RFC 2142)."),
    )
    virtual_alias_expansion_limit: int = integer("1000", _("Addresses one alias may expand to."))
    virtual_alias_recursion_limit: int = integer("1000", _("Largest nesting depth of aliases."))
    directory_cache_time: int = seconds("5s", _("Time that a process may cache domains, accounts and aliases."))
