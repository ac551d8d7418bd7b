"""The letter that tells somebody their mailbox is nearly full, in their language.

Called by `deliver` in the transaction whose delivery crossed a level (quota_warning_levels), so that it is
sent once. It has the null sender: where there is no room for it, nobody hears of that.
"""

from collections.abc import Iterable
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate

from django.conf import settings
from django.utils import translation
from django.utils.translation import gettext as _

from mailcore import conf, log
from mailcore.post import files, intake
from mailcore.post.queue import MICRO, now_us
from mailcore.store.quota import Crossing
from mailcore.terms import Client, Letter, LetterRecipient
from mailcore.wire import trace

_HERE = Client("127.0.0.1", "localhost", protocol="local")


def warn(crossings: Iterable[Crossing]) -> None:
    """Queue a warning for each account; inside the caller's transaction."""
    for crossing in crossings:
        now = now_us()
        file = files.ContentFile()
        message_id = f"{file.open():X}.{now // MICRO}@{conf.current().myhostname}"
        content = _content(crossing, message_id, now // MICRO)
        file.write(content)
        file.finish()
        intake.enter(
            [
                Letter(
                    id=file.id,
                    checksum=file.checksum,
                    sender="",
                    recipients=(LetterRecipient(crossing.address, notify="NEVER"),),
                    size=len(content),
                    received_us=now,
                    client=_HERE,
                    message_id=message_id,
                )
            ]
        )
        log.write("quota", f"{file.id:X}: {crossing.address} uses {crossing.percent}% of its quota: warned")


def _content(crossing: Crossing, message_id: str, at: int) -> bytes:
    parameters = conf.current()
    message = EmailMessage(policy=SMTP)
    with translation.override(crossing.language or settings.LANGUAGE_CODE):
        message["From"] = Address(_("Mail system"), "postmaster", crossing.address.rpartition("@")[2])
        message["To"] = crossing.address
        message["Subject"] = _("Your mailbox is %(percent)d%% full") % {"percent": crossing.percent}
        text = _(
            "Your mailbox %(address)s is %(percent)d%% full.\n\n"
            "When it is full, letters to you are sent back. Please delete what you no longer need,"
            " the Trash included, or ask your administrator for more room."
        )
        message.set_content(text % {"address": crossing.address, "percent": crossing.percent} + "\n", cte="base64")
    message["Date"] = formatdate(at, localtime=True)
    message["Message-ID"] = f"<{message_id}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no vacation notice answers it
    received = f"Received: by {parameters.myhostname} ({parameters.mail_name})\r\n\tid {message_id.partition('.')[0]};"
    return f"{received} {trace.date_header(at)}\r\n".encode() + message.as_bytes()
