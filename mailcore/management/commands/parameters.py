"""`parameters`: print the manual's page of parameters from the registry (`make docs`)."""

import socket
from typing import Any

from django.utils import translation

from mailcore import conf
from mailcore.management.program import Program

_HEAD = """\
# Parameters

Names, values and meanings are Postfix's (and Dovecot's, for mail access). Set one with `youju postconf -e name=value`,
on the settings screen, or as `MAIL_<NAME>` in the environment, which decides over the others. Written by `make docs`
from the registry; change it there."""
_TABLE_HEAD = "| parameter | default | kind | what it does |\n|---|---|---|---|"

# Groups of the page, each with the beginnings of its parameters' names; the longest matching beginning decides.
_GROUPS = {
    "Names and networks": "my mail_name inet_ proxy_interfaces recipient_delimiter dns_",
    "SMTP server": "smtpd_ anvil_ disable_vrfy hopcount_ line_length header_size local_header fast_flush lmtp_",
    "Restrictions": (
        "smtpd_client_restrictions smtpd_helo_re smtpd_sender_restrictions smtpd_relay_ smtpd_recipient_restrictions"
        " smtpd_data_ smtpd_end_of_data smtpd_etrn_ smtpd_restriction_ smtpd_reject_ smtpd_delay_reject"
        " smtpd_null_access smtpd_policy_ rbl_ default_rbl_ maps_rbl_ reject_code defer_code access_map_"
        " relay_domains_reject plaintext_ unknown_ invalid_ non_fqdn_ permit_mx_ relay_clientcerts"
    ),
    "Submission and log-in": (
        "submission_ smtpd_sasl_ smtpd_sender_login smtpd_future_ auth_ second_factor_ oauth_ login_ unauthenticated_"
        " disable_plaintext_ step_up_ autoconfig_"
    ),
    "Aliases and routing": (
        "alias_ allow_mail_ mailbox_delivery_ deliver_lock_ stale_lock_ command_ export_ virtual_alias_ relay"
        " transport_maps sender_dependent_ directory_"
    ),
    "Queue and delivery": (
        "minimal_ maximal_ queue_ bounce_ double_bounce delay_ qmgr_ default_process initial_ default_destination_"
        " defer_ notify_ courier_ direct_"
    ),
    "SMTP client": "smtp_ disable_mime_",
    "IMAP, POP3 and ManageSieve": "imap_ pop3_ managesieve_ protocols mail_max_ haproxy_ text_index_",
    "Web and webmail": "web_ webmail_ import_size_",
    "Storage and quotas": "message_size mailbox_size virtual_mailbox virtual_overquota quota_ home_mailbox",
    "Filters (Sieve)": "sieve_",
    "TLS": "smtpd_tls_ smtp_tls_ tls_ ssl_",
    "Processes and logs": (
        "mail_owner server_ listen_ watchdog_ maillog_ syslog_ traffic_ events_ queue_history courier_processes"
    ),
}


class Command(Program):
    help = "Print the manual's page of parameters in Markdown, grouped by service."

    def run(self, options: dict[str, Any], given: Any) -> int:
        self.print(_HEAD)
        groups = {name: _group(name) for name in sorted(conf.SPECS)}
        with translation.override("en"):
            for title in _GROUPS:
                self.print(f"\n## {title}\n\n{_TABLE_HEAD}")
                for name in (name for name, group in groups.items() if group == title):
                    spec = conf.SPECS[name]
                    default = "the machine's name" if spec.default == socket.getfqdn() else _code(spec.default)
                    self.print(f"| `{name}` | {default} | {spec.kind.name} | {str(spec.help).replace('|', '&#124;')} |")
        return 0


def _group(name: str) -> str:
    """Return the title of a parameter's group; raise ValueError if it has none."""
    beginnings = {each: title for title, names in _GROUPS.items() for each in names.split() if name.startswith(each)}
    return beginnings[max(beginnings, key=len)]


def _code(text: str) -> str:
    return f"`{text}`" if text else "(empty)"
