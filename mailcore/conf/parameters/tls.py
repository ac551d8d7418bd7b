"""Parameters: TLS."""

from dataclasses import dataclass
from typing import ClassVar

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from mailcore.conf.declaration import boolean, text, words


@dataclass(frozen=True)
class Tls:
    title: ClassVar[Promise | str] = _("TLS")

    smtpd_tls_cert_file: str = text("", _("The servers' certificate chain (PEM); empty: a self-signed certificate."))
    smtpd_tls_key_file: str = text("$smtpd_tls_cert_file", _("The private key (PEM) of smtpd_tls_cert_file."))
    tls_server_sni_maps: tuple[str, ...] = words(
        "hash:sni", _("Tables of certificate files by the host name a client requests (SNI).")
    )
    smtpd_tls_ask_ccert: bool = boolean("no", _("Request a certificate from SMTP clients (see relay_clientcerts)."))
    smtpd_tls_CAfile: str = text(  # noqa: N815  (as Postfix spells it)
        "", _("Certificate authorities (PEM) for clients' certificates.")
    )
    smtpd_tls_protocols: str = text(">=TLSv1.2", _("The oldest TLS version that all servers accept."))
    smtpd_tls_security_level: str = text(
        "may", _("TLS of all servers: none: no STARTTLS; may: clients choose; encrypt: required, except for LMTP.")
    )
    smtpd_tls_auth_only: bool = boolean("no", _("Offer AUTH only under TLS."))
    smtp_tls_security_level: str = text(
        "may", _("TLS to other hosts: none, may, encrypt, verify (host name), secure (name of the destination).")
    )
    smtp_tls_policy_maps: tuple[str, ...] = words(
        "hash:tls_policy", _("Tables of TLS levels by destination: a level, optionally with match=name:….")
    )
    smtp_tls_CAfile: str = text("", _("Certificate authorities (PEM) for other hosts; empty: the system's."))  # noqa: N815
    smtp_tls_verify_cert_match: tuple[str, ...] = words(
        "hostname", _("Names a certificate may have at TLS level verify: hostname, nexthop, dot-nexthop.")
    )
    smtp_tls_secure_cert_match: tuple[str, ...] = words(
        "nexthop, dot-nexthop", _("Names a certificate may have at TLS level secure: hostname, nexthop, dot-nexthop.")
    )
    smtp_tls_wrappermode: bool = boolean(
        "no", _("Connect to other hosts with TLS from the first byte, as on port 465.")
    )
    ssl_disable: bool = boolean("no", _("Offer no TLS on any server."))
