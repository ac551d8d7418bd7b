"""The demo site as `make run` shows it: the people, the seed's main.cf, and a letter in each mailbox."""

import time
from email.utils import formatdate

from django.conf import settings

from mailcore import conf
from mailcore.models import Account, Domain
from mailcore.post.intake import write_and_take_in
from mailcore.store import demo
from mailcore.terms import Client, LetterRecipient

# What the book sets in main.cf, but for mynetworks: on a machine that others share, loopback is no reason
# to relay for somebody.
_MAIN_CF = {
    "myhostname": f"mail.{demo.DOMAIN}",
    "mydomain": demo.DOMAIN,
    "myorigin": "$mydomain",
    "mydestination": "$mydomain, $myhostname",
    "mynetworks": "",
    "smtpd_client_event_limit_exceptions": "127.0.0.0/8, [::1]/128",  # who tries it out comes from one address
    "smtpd_sasl_auth_enable": "yes",
    "smtpd_sasl_security_options": "noanonymous",
    "smtpd_relay_restrictions": "permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination",
    "smtpd_recipient_restrictions": "permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination",
}

_WELCOME = """\
From: =?utf-8?B?6YKu5bGA?= <admin@benet.com>
To: {address}
Subject: =?utf-8?B?5qyi6L+O5L2/55So6YKu5bGA?= Welcome to Youju
Date: {date}
Message-ID: <welcome.{name}@mail.benet.com>
MIME-Version: 1.0
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: 8bit

{name}，您好！

这是您的信箱。您可以在网页上读信、写信，也可以用手机或电脑上的邮件程序（IMAP、POP3、SMTP）。

This is your mailbox. Read and write on the web, or with any mail program (IMAP, POP3, SMTP).

    http://{web}/

— Youju 邮局
"""


def build(users: int = 0) -> list[str]:
    """Build it where nobody lives yet; returns the lines that tell a person how to get in."""
    port = settings.PORTS["web"]
    web = f"{settings.HOST}:{port}"
    lines = ["", "Youju 邮局", f"  webmail       http://{web}/        xiaoqi / {demo.PASSWORD}, lisi / {demo.PASSWORD}"]
    if Account.objects.exists() or Domain.objects.exists():
        return [*lines, f"  administrator http://{web}/admin/", ""]
    password = demo.build(users)
    for name, value in _MAIN_CF.items():
        conf.set_value(name, value, by="demo")
    for name in ("xiaoqi", "lisi"):
        _welcome(name, web)
    return [*lines, f"  administrator http://{web}/admin/  admin@{demo.DOMAIN} / {password}", ""]


def _welcome(name: str, web: str) -> None:
    address = f"{name}@{demo.DOMAIN}"
    content = _WELCOME.format(address=address, name=name, web=web, date=formatdate(localtime=True))
    write_and_take_in(
        content.replace("\n", "\r\n").encode(),
        f"admin@{demo.DOMAIN}",
        [LetterRecipient(address)],
        Client("127.0.0.1", "localhost", protocol="local"),
        int(time.time() * 1_000_000),
        message_id=f"welcome.{name}@mail.benet.com",
    )
