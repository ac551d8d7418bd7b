"""The demo site of `make run`: its accounts, the seed's main.cf, and a message in each mailbox."""

import time
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate

from django.conf import settings
from django.utils import translation
from django.utils.translation import gettext as _

from mailcore import conf
from mailcore.models import Account, Domain
from mailcore.mta.queue.enqueue import write_and_enqueue
from mailcore.store.setup import demo_accounts
from mailcore.values import Client, MessageRecipient

# The book's main.cf except mynetworks: on a shared machine, loopback is no reason to relay.
_MAIN_CF = {
    "myhostname": f"mail.{demo_accounts.DOMAIN}",
    "mydomain": demo_accounts.DOMAIN,
    "myorigin": "$mydomain",
    "mydestination": "$mydomain, $myhostname",
    "mynetworks": "",
    "smtpd_client_event_limit_exceptions": "127.0.0.0/8, [::1]/128",  # All clients of a demo have one address.
    "smtpd_sasl_auth_enable": "yes",
    "webmail_shared_address_book": "yes",  # A small firm, where all users know each other.
    "smtpd_sasl_security_options": "noanonymous",
    "smtpd_relay_restrictions": "permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination",
    "smtpd_recipient_restrictions": "permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination",
}


def build_demo(users: int = 0) -> list[str]:
    """Build the demo site if there is no account yet; return the lines that tell a person how to log in."""
    port = settings.PORTS["web"]
    web = f"{settings.HOST}:{port}"
    lines = [
        "",
        "Youju 邮局",
        f"  webmail       http://{web}/        xiaoqi / {demo_accounts.PASSWORD}, lisi / {demo_accounts.PASSWORD}",
    ]
    if Account.objects.exists() or Domain.objects.exists():
        return [*lines, f"  administrator http://{web}/admin/", ""]
    password = demo_accounts.build_accounts(users)
    for name, value in _MAIN_CF.items():
        conf.set_value(name, value, by="demo")
    for name in ("xiaoqi", "lisi"):
        _welcome_message(name, web)
    return [*lines, f"  administrator http://{web}/admin/  admin@{demo_accounts.DOMAIN} / {password}", ""]


def _welcome_message(name: str, web: str) -> None:
    """Enqueue a first message, in the site's language."""
    address, sender = f"{name}@{demo_accounts.DOMAIN}", f"admin@{demo_accounts.DOMAIN}"
    message = EmailMessage(policy=SMTP)
    with translation.override(settings.LANGUAGE_CODE):
        message["From"] = Address(_("Youju Post Office"), addr_spec=sender)
        message["To"] = address
        message["Subject"] = _("Welcome to Youju")
        text = _(
            "Hello %(name)s,\n\nthis is your mailbox. Read and write on the web, or with any mail program on your phone"
            " or computer (IMAP, POP3, SMTP).\n\n    %(address)s"
        )
        message.set_content(text % {"name": name, "address": f"http://{web}/"} + "\n", cte="8bit")
    message["Date"] = formatdate(localtime=True)
    message["Message-ID"] = f"<welcome.{name}@mail.benet.com>"
    write_and_enqueue(
        message.as_bytes(),
        sender,
        [MessageRecipient(address)],
        Client("127.0.0.1", "localhost", protocol="local"),
        int(time.time() * 1_000_000),
        message_id=f"welcome.{name}@mail.benet.com",
    )
