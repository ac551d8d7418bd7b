"""Parameters: SMTP client."""

from dataclasses import dataclass
from typing import ClassVar

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from mailcore.conf.declaration import boolean, byte_size, integer, seconds, text, words


@dataclass(frozen=True)
class SmtpClient:
    title: ClassVar[Promise | str] = _("SMTP client")

    smtp_sasl_security_options: tuple[str, ...] = words(
        "noplaintext, noanonymous",
        _("Log-in mechanisms the SMTP client does not use; noplaintext: no password is sent without TLS."),
    )
    smtp_sasl_password_maps: tuple[str, ...] = words(
        "hash:sasl_passwd", _("Tables of user:password for log-in to other hosts, by next hop or sender address.")
    )
    smtp_connect_timeout: int = seconds("30s", _("Time limit for connecting to another host."))
    smtp_timeout: int = seconds("300s", _("Time limit for another host to reply to a command."))
    smtp_data_done_timeout: int = seconds("600s", _("Time limit for another host to reply to the end of a message."))
    smtp_helo_name: str = text("$myhostname", _("The host name sent in EHLO to other hosts."))
    smtp_skip_5xx_greeting: bool = boolean("yes", _("Skip a host that greets with 5xx and defer the mail."))
    smtp_mx_address_limit: int = integer("5", _("Largest number of a destination's addresses to try; 0: no limit."))
    smtp_mx_session_limit: int = integer(
        "2", _("Hosts of a destination that one delivery attempt opens a session with.")
    )
    smtp_connection_cache_time_limit: int = seconds(
        "2s", _("Time an idle connection to another host is kept open for the next message.")
    )
    smtp_connection_reuse_count_limit: int = integer(
        "0", _("Messages sent over one connection to another host; 0: no limit.")
    )
    smtp_connection_reuse_time_limit: int = seconds("300s", _("Time a connection to another host may be reused."))
    smtp_line_length_limit: int = byte_size(
        "998", _("Longest line sent by SMTP; parts with longer ones are encoded, other lines broken; 0: no limit.")
    )
    disable_mime_output_conversion: bool = boolean("no", _("Never convert 8-bit mail for hosts without 8BITMIME."))
