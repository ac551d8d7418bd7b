"""Parameters: web and webmail."""

from dataclasses import dataclass
from typing import ClassVar

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from mailcore.conf.declaration import boolean, byte_size, integer, seconds, text, words


@dataclass(frozen=True)
class Web:
    title: ClassVar[Promise | str] = _("Web and webmail")

    web_interfaces: tuple[str, ...] = words("$inet_interfaces", _("Addresses the web server listens on."))
    web_processes: int = integer("0", _("Number of web server processes; 0: one for each CPU core."))
    web_body_limit: int = byte_size(
        "2621440", _("Largest body of a web request without files, from a user who is logged in.")
    )
    web_header_limit: int = byte_size("65536", _("Largest header of a web request."))
    web_request_time_limit: int = seconds("30s", _("Time limit of a web request's header, and again of its body."))
    web_min_data_rate: int = integer("2000", _("Bytes a second of a web request's body that extend its time limit."))
    webmail_import_size_limit: int = byte_size(
        "104857600", _("Largest file of messages that the webmail imports; 0: no limit.")
    )
    webmail_import_unpacked_limit: int = byte_size(
        "1073741824", _("Largest ZIP archive of messages that the webmail imports, unpacked; 0: no limit.")
    )
    import_size_limit: int = byte_size("2097152", _("Largest file that the administration screens import."))
    web_threads: int = integer("8", _("Requests that one web process serves at once."))
    web_connection_limit: int = integer(
        "200", _("Web connections of one IP address, except behind a proxy (BEHIND_PROXY); 0: no limit.")
    )
    webmail_fetch_networks: tuple[str, ...] = words(
        "", _("Networks the webmail may fetch pictures from although they are not public.")
    )
    webmail_fetch_ports: tuple[str, ...] = words(
        "80, 443", _("Ports from which the webmail fetches pictures and unsubscribes.")
    )
    webmail_fetch_size_limit: int = byte_size(
        "5000000", _("Largest picture that the webmail fetches from another host.")
    )
    webmail_fetch_time_limit: int = seconds("8s", _("Time limit for fetching a picture or unsubscribing from a list."))
    webmail_fetch_mail_ports: tuple[str, ...] = words(
        "995, 110", _("Ports on which the webmail fetches mail from other POP3 servers; empty: none is fetched.")
    )
    webmail_fetch_mail_time_limit: int = seconds("60s", _("Time limit for fetching mail from another POP3 server."))
    webmail_fetch_mail_limit: int = integer("200", _("Messages fetched from another POP3 server at once."))
    webmail_message_of_the_day: str = text("", _("A notice shown above every inbox until it was read; empty: none."))
    webmail_shared_address_book: bool = boolean(
        "no", _("Show the other accounts of one's own domain in the address book.")
    )
    webmail_fetch_blocked_networks: tuple[str, ...] = words(
        "168.63.129.16/32",
        _("Public networks the webmail fetches nothing from; default: the service address of Azure's machines."),
    )
    webmail_fetch_mail_size_limit: int = byte_size(
        "$message_size_limit", _("Largest message fetched from another POP3 server; 0: no limit.")
    )
    webmail_fetch_mail_list_limit: int = integer(
        "100000", _("Messages that another POP3 server may list; 0: no limit.")
    )
