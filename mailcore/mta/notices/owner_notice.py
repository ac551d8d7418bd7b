"""Messages of the mail system to the owner of an account, in the owner's language.

Called by `quota_warning` and the log-in pages. They have the null sender: one that cannot be delivered is not bounced.
"""

from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate

from django.conf import settings
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from mailcore import conf, rate_counters
from mailcore.logs import writer
from mailcore.models import Account
from mailcore.mta.queue import content_files, enqueue
from mailcore.mta.queue.states import MICRO, now_us
from mailcore.values import Client, MessageRecipient, NewMessage
from mailcore.wire.message import trace_headers

_HERE = Client("127.0.0.1", "localhost", protocol="local")
_INTERVAL = 3600  # Seconds between two notices, so that an attacker who keeps guessing cannot fill the mailbox.


def send(address: str, language: str, subject: str, text: str) -> str:
    """Queue a message, inside the caller's transaction if there is one; return its queue id."""
    now = now_us()
    file = content_files.ContentFile()
    message_id = f"{file.open():X}.{now // MICRO}@{conf.current().myhostname}"
    content = _content(address, language, (subject, text), message_id, now // MICRO)
    file.write(content)
    file.finish()
    enqueue.insert_messages(
        [
            NewMessage(
                id=file.id,
                checksum=file.checksum,
                sender="",
                recipients=(MessageRecipient(address, notify="NEVER"),),
                size=len(content),
                received_us=now,
                client=_HERE,
                message_id=message_id,
            )
        ]
    )
    return f"{file.id:X}"


def _content(address: str, language: str, subject_and_text: tuple[str, str], message_id: str, date: int) -> bytes:
    parameters = conf.current()
    message = EmailMessage(policy=SMTP)
    with translation.override(language or settings.LANGUAGE_CODE):
        message["From"] = Address(_("Mail system"), "postmaster", address.rpartition("@")[2])
    message["To"] = address
    message["Subject"] = subject_and_text[0]
    message.set_content(subject_and_text[1] + "\n", cte="base64")
    message["Date"] = formatdate(date, localtime=True)
    message["Message-ID"] = f"<{message_id}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no vacation reply is sent to it.
    received = f"Received: by {parameters.myhostname} ({parameters.mail_name})\r\n\tid {message_id.partition('.')[0]};"
    return f"{received} {trace_headers.format_date(date)}\r\n".encode() + message.as_bytes()


def report_wrong_codes(account: Account, client_address: str) -> None:
    """Notify the owner, once an hour at most, of a log-in with the right password and then wrong codes."""
    if rate_counters.count_events("notice of wrong codes", account.address, _INTERVAL) > 1:
        return
    with translation.override(account.language or settings.LANGUAGE_CODE):
        subject = _("Wrong second-factor codes at login")
        text = _(
            "Somebody at %(place)s entered the password of %(address)s at %(time)s, and then wrong codes of its second"
            " factor.\n\nIf that was not you, please change your password: it is known to somebody else."
        ) % {
            "place": client_address or "?",
            "address": account.address,
            "time": timezone.localtime().strftime("%Y-%m-%d %H:%M:%S %Z"),
        }
    queue_id = send(account.address, account.language, subject, text)
    writer.write("auth", f"{queue_id}: wrong codes of the second factor: user=<{account.address}>, owner notified")
