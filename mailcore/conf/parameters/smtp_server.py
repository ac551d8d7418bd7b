"""Parameters: SMTP server."""

from dataclasses import dataclass
from typing import ClassVar

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from mailcore.conf.declaration import boolean, byte_size, integer, restrictions, seconds, text, words


@dataclass(frozen=True)
class SmtpServer:
    title: ClassVar[Promise | str] = _("SMTP server")

    lmtp_interfaces: tuple[str, ...] = words(
        "loopback-only", _("Addresses the LMTP server listens on; only the mail system in front should reach it.")
    )
    header_size_limit: int = byte_size("102400", _("Largest message header; the rest is not examined."))
    line_length_limit: int = byte_size("2048", _("Longest SMTP command line."))
    smtpd_banner: str = text("$myhostname ESMTP $mail_name", _("The text after 220 in the SMTP greeting."))
    smtpd_timeout: int = seconds("300s", _("Time limit for an SMTP client to send a command."))
    smtpd_recipient_limit: int = integer("1000", _("Largest number of recipients of one message."))
    smtpd_soft_error_limit: int = integer(
        "10", _("Number of errors of an SMTP client after which replies are delayed.")
    )
    smtpd_hard_error_limit: int = integer("20", _("Number of errors after which an SMTP client is disconnected."))
    smtpd_error_sleep_time: int = seconds("1s", _("The delay of replies past smtpd_soft_error_limit."))
    smtpd_recipient_overshoot_limit: int = integer(
        "1000", _("Refused recipients beyond smtpd_recipient_limit that do not count as errors yet.")
    )
    smtpd_junk_command_limit: int = integer(
        "100", _("Commands such as NOOP, VRFY, ETRN and RSET that a client may send before they count as errors.")
    )
    smtpd_noop_commands: tuple[str, ...] = words("", _("SMTP commands that get the reply Ok and do nothing."))
    smtpd_forbidden_commands: tuple[str, ...] = words("CONNECT GET POST", _("SMTP commands that end the session."))
    smtpd_forbid_unauth_pipelining: bool = boolean(
        "yes", _("Disconnect SMTP clients that send commands without waiting for replies.")
    )
    smtpd_greet_wait: int = seconds("0s", _("Delay of the greeting, to detect clients that send before it."))
    smtpd_per_request_deadline: bool = boolean(
        "yes", _("Apply smtpd_timeout to a whole command or message instead of each read.")
    )
    smtpd_min_data_rate: int = integer(
        "500", _("Bytes a second of message content that extend the deadline of smtpd_per_request_deadline.")
    )
    smtpd_upstream_proxy_protocol: str = text(
        "", _('"haproxy": the SMTP server reads client addresses from a PROXY header.')
    )
    smtpd_upstream_proxy_networks: tuple[str, ...] = words(
        "", _("Networks of proxies whose PROXY headers the SMTP server accepts.")
    )
    smtpd_upstream_proxy_timeout: int = seconds(
        "5s", _("Time limit for a proxy to send its PROXY header to the SMTP server.")
    )
    anvil_rate_time_unit: int = seconds(
        "60s", _("The period that the smtpd_client_…_rate_limit parameters count events in.")
    )
    smtpd_connection_total_limit: int = integer(
        "1000", _("Simultaneous connections of all SMTP clients, and of all LMTP clients; 0: no limit.")
    )
    smtpd_client_connection_count_limit: int = integer("50", _("Simultaneous SMTP connections of one client."))
    smtpd_client_connection_rate_limit: int = integer(
        "0", _("Connections of one client per anvil_rate_time_unit; 0: no limit.")
    )
    smtpd_client_message_rate_limit: int = integer(
        "0", _("Messages of one client per anvil_rate_time_unit; 0: no limit.")
    )
    smtpd_client_recipient_rate_limit: int = integer(
        "0", _("Recipients of one client per anvil_rate_time_unit; 0: no limit.")
    )
    smtpd_client_new_tls_session_rate_limit: int = integer(
        "0", _("TLS handshakes of one client per anvil_rate_time_unit; 0: no limit.")
    )
    smtpd_client_auth_rate_limit: int = integer(
        "0", _("AUTH commands of one client per anvil_rate_time_unit; 0: no limit.")
    )
    smtpd_client_event_limit_exceptions: tuple[str, ...] = words(
        "$mynetworks", _("Networks whose clients are exempt from connection and rate limits.")
    )
    disable_vrfy_command: bool = boolean("no", _("Disable the VRFY command."))
    fast_flush_domains: tuple[str, ...] = words(
        "$relay_domains", _("Domains that ETRN may flush, besides those in the table of relay domains.")
    )
    local_header_rewrite_clients: tuple[str, ...] = restrictions(
        "permit_sasl_authenticated", _("Clients whose messages get missing From, Date and Message-ID headers.")
    )
    smtpd_peername_lookup: bool = boolean("yes", _("Look up clients' host names, for logs and Received headers."))
    smtpd_forbid_bare_newline: bool = boolean("yes", _("Reject messages that contain bare CR or bare LF."))
    hopcount_limit: int = integer("50", _("Number of Received headers after which a message is considered to loop."))
