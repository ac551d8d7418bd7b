"""Autoconfiguration of mail programs: hosts and ports for an address.

Thunderbird and compatible programs (config-v1.1.xml), Outlook (Autodiscover, "POX"), Apple Mail (a profile). The
responses depend on the domain, never on whether an account exists; the ports are those this system listens on.
"""

import plistlib
import re
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from xml.etree.ElementTree import Element, SubElement, tostring

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods, require_safe

from mailcore import conf
from mailcore.health import is_enabled
from mailcore.store import directory
from mailcore.wire.message import envelope_address as addresses

_BODY_LIMIT = 65536
_ADDRESS_ELEMENT = re.compile(rb"<(?:\w+:)?EMailAddress>\s*([^<>\s]{3,320})\s*</", re.IGNORECASE)
_REQUEST = "http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006"
_RESPONSE = "http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a"


@dataclass(frozen=True, slots=True)
class Service:
    """A server for mail programs: `kind` "imap", "pop3" or "smtp", `security` "SSL", "STARTTLS" or "plain"."""

    kind: str
    port: int
    security: str


def services() -> list[Service]:
    """Return the servers that mail programs can use, the preferred ones first."""
    unencrypted = "plain" if conf.current().ssl_disable else "STARTTLS"
    candidates = (
        ("imaps", "imap", "SSL"),
        ("imap", "imap", unencrypted),
        ("pop3s", "pop3", "SSL"),
        ("pop3", "pop3", unencrypted),
        ("submissions", "smtp", "SSL"),
        ("submission", "smtp", unencrypted),
    )
    return [
        Service(kind, port, security)
        for name, kind, security in candidates
        if (port := settings.PORTS[name]) is not None and is_enabled(name)
    ]


def _domain(request: HttpRequest, address: str) -> str:
    """Return the domain of the address, or of the host name autoconfig.DOMAIN or autodiscover.DOMAIN.

    Raise Http404 if it has no mailboxes here.
    """
    domain_name = addresses.split_address(address.strip().lower())[1]
    if not domain_name:
        first, _dot, rest = request.get_host().partition(":")[0].partition(".")
        domain_name = rest if first in ("autoconfig", "autodiscover") else directory.home_domain()
    try:
        entry = directory.find_domain(addresses.ascii_domain(domain_name))
    except addresses.AddressError:
        entry = None
    if entry is None or entry.kind == "relay":
        raise Http404
    return entry.name


def _public_host() -> str:
    return conf.current().autoconfig_hostname


# --- Thunderbird (wiki.mozilla.org/Thunderbird:Autoconfiguration:ConfigFileFormat) ----------------


@require_safe
def thunderbird_config(request: HttpRequest) -> HttpResponse:
    """Return the configuration that Thunderbird and compatible programs request."""
    domain = _domain(request, request.GET.get("emailaddress", ""))
    top = Element("clientConfig", version="1.1")
    provider = SubElement(top, "emailProvider", id=domain)
    _add_elements(provider, {"domain": domain, "displayName": domain, "displayShortName": domain})
    for service in services():
        outgoing = service.kind == "smtp"
        server = SubElement(provider, "outgoingServer" if outgoing else "incomingServer", type=service.kind)
        settings_of_server = {"hostname": _public_host(), "port": str(service.port), "socketType": service.security}
        _add_elements(
            server, settings_of_server | {"authentication": "password-cleartext", "username": "%EMAILADDRESS%"}
        )
    return _xml_response(top)


def _add_elements(parent: Element, values: dict[str, str]) -> None:
    for name, value in values.items():
        SubElement(parent, name).text = value


def _xml_response(top: Element) -> HttpResponse:
    return HttpResponse(tostring(top, "utf-8", xml_declaration=True), content_type="text/xml; charset=utf-8")


# --- Outlook (MS-OXDSCLI) -------------------------------------------------------------------------


@csrf_exempt
@require_http_methods(["GET", "HEAD", "POST"])
def outlook_config(request: HttpRequest) -> HttpResponse:
    """Return the configuration that Outlook requests."""
    match = _ADDRESS_ELEMENT.search(request.read(_BODY_LIMIT))
    address = match[1].decode("utf-8", "replace") if match else request.GET.get("email", "")
    domain = _domain(request, address)
    top = Element("Autodiscover", xmlns=_REQUEST)
    response = SubElement(top, "Response", xmlns=_RESPONSE)
    _add_elements(SubElement(response, "User"), {"DisplayName": address or domain})
    account = SubElement(response, "Account")
    _add_elements(account, {"AccountType": "email", "Action": "settings"})
    for service in _first_of_each_kind(services()):
        settings_of_server = {
            "Type": service.kind.upper(),
            "Server": _public_host(),
            "Port": str(service.port),
            "LoginName": address,
            "DomainRequired": "off",
            "SPA": "off",
            "SSL": "on" if service.security == "SSL" else "off",
            "Encryption": {"SSL": "SSL", "STARTTLS": "TLS", "plain": "None"}[service.security],
            "AuthRequired": "on",
        }
        _add_elements(
            SubElement(account, "Protocol"),
            settings_of_server | ({"UsePOPAuth": "off"} if service.kind == "smtp" else {}),
        )
    return _xml_response(top)


def _first_of_each_kind(match: Iterable[Service]) -> list[Service]:
    best: dict[str, Service] = {}
    for service in match:
        best.setdefault(service.kind, service)
    return list(best.values())


# --- Apple (Configuration Profile Reference, "Mail") ----------------------------------------------


@require_safe
def apple_profile(request: HttpRequest) -> HttpResponse:
    """Return a configuration profile for Apple Mail."""
    address = request.GET.get("email", "").strip().lower()
    domain = _domain(request, address)
    best = {service.kind: service for service in _first_of_each_kind(services())}
    incoming, outgoing = best.get("imap") or best.get("pop3"), best.get("smtp")
    if incoming is None or outgoing is None or not all(addresses.split_address(address)):
        raise Http404
    account = {
        "PayloadType": "com.apple.mail.managed",
        "PayloadVersion": 1,
        "PayloadIdentifier": f"{_public_host()}.mail.{address}",
        "PayloadUUID": _stable_uuid(f"mail:{address}"),
        "PayloadDisplayName": address,
        "EmailAccountType": "EmailTypeIMAP" if incoming.kind == "imap" else "EmailTypePOP",
        "EmailAccountDescription": domain,
        "EmailAddress": address,
        "OutgoingPasswordSameAsIncomingPassword": True,
        **_mail_payload("Incoming", incoming, address),
        **_mail_payload("Outgoing", outgoing, address),
    }
    profile = {
        "PayloadType": "Configuration",
        "PayloadVersion": 1,
        "PayloadIdentifier": f"{_public_host()}.{address}",
        "PayloadUUID": _stable_uuid(f"profile:{address}"),
        "PayloadDisplayName": _("Mail of %(domain)s") % {"domain": domain},
        "PayloadOrganization": domain,
        "PayloadContent": [account],
    }
    response = HttpResponse(plistlib.dumps(profile), content_type="application/x-apple-aspen-config; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{domain}.mobileconfig"'
    return response


def _mail_payload(side: str, service: Service, address: str) -> dict[str, object]:
    return {
        f"{side}MailServerHostName": _public_host(),
        f"{side}MailServerPortNumber": service.port,
        f"{side}MailServerUseSSL": service.security != "plain",  # on a STARTTLS port it means STARTTLS
        f"{side}MailServerUsername": address,
        f"{side}MailServerAuthentication": "EmailAuthPassword",
    }


def _stable_uuid(text: str) -> str:
    """Return a UUID that is stable for an address, so that a newer profile replaces the old one."""
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{_public_host()}:{text}")).upper()
