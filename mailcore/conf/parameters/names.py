"""Parameters: names and networks."""

import socket
from dataclasses import dataclass
from typing import ClassVar

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from mailcore.conf.declaration import seconds, text, words


@dataclass(frozen=True)
class Names:
    title: ClassVar[Promise | str] = _("Names and networks")

    myhostname: str = text(socket.getfqdn(), _("The internet host name of this mail system."))
    mydomain: str = text("", _("The internet domain; empty: myhostname without its first label."))
    myorigin: str = text("$mydomain", _("The domain appended to addresses without one."))
    mydestination: tuple[str, ...] = words(
        "$myhostname, localhost.$mydomain, localhost, $mydomain",
        _("Domains delivered to mailboxes here, besides those in the table of domains."),
    )
    inet_interfaces: tuple[str, ...] = words(
        "", _('Addresses the servers listen on; empty: those of HOST; "all": every address.')
    )
    mail_name: str = text("Youju", _("The name of the mail system in banners and Received headers."))
    recipient_delimiter: str = text("+", _("The character between user and extension in user+extension@domain."))
    mynetworks: tuple[str, ...] = words("127.0.0.0/8, [::1]/128", _("Networks whose clients may relay mail."))
    proxy_interfaces: tuple[str, ...] = words(
        "", _("Addresses of proxies or NAT gateways that this system receives mail through.")
    )
    dns_servers: tuple[str, ...] = words("", _("Name servers, host:port; empty: the system's."))
    dns_timeout: int = seconds("10s", _("Time limit for a name server to reply."))
