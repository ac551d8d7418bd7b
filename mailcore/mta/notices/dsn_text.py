"""The human-readable text of a notice: Postfix's wording, in the active language, with the English text below."""

from collections.abc import Sequence
from typing import Literal

from django.utils import translation
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from mailcore.wire.message.dsn import NoticeRecipient

Kind = Literal["failed", "delayed", "delivered"]

_SUBJECTS = {
    "failed": gettext_noop("Undelivered Mail Returned to Sender"),
    "delayed": gettext_noop("Delayed Mail (still being retried)"),
    "delivered": gettext_noop("Successful Mail Delivery Report"),
}
_COPIES = {
    "failed": gettext_noop("Postmaster Copy: Undelivered Mail"),
    "delayed": gettext_noop("Postmaster Warning: Delayed Mail"),
}
_TEXTS = {
    "failed": gettext_noop(
        "I'm sorry to have to inform you that your message could not\n"
        "be delivered to one or more recipients. It's attached below.\n\n"
        "For further assistance, please send mail to postmaster."
    ),
    "delayed": gettext_noop(
        "Your message could not be delivered yet.\nIt will be retried; you do not need to send it again."
    ),
    "delivered": gettext_noop("Your message was successfully delivered to the destination(s)\nlisted below."),
}
# By enhanced status code without its class (RFC 3463), for readers who do not know the codes.
_REASONS = {
    "1.1": gettext_noop("there is no such user"),
    "1.2": gettext_noop("there is no such domain"),
    "1.10": gettext_noop("this domain does not accept mail"),
    "2.1": gettext_noop("the mailbox is disabled"),
    "2.2": gettext_noop("the mailbox is full"),
    "3.4": gettext_noop("the message is too large"),
    "4.1": gettext_noop("their server cannot be reached"),
    "4.2": gettext_noop("the connection to their server was lost"),
    "4.3": gettext_noop("their domain could not be looked up"),
    "4.4": gettext_noop("their domain could not be found"),
    "4.6": gettext_noop("the message is in a mail loop"),
    "6.7": gettext_noop("their server does not accept addresses with international characters"),
    "7.1": gettext_noop("their server rejected the message"),
}


def notice_text(kind: Kind, recipients: Sequence[NoticeRecipient], *, copy: bool) -> tuple[str, str]:
    """Return (subject, text) for the sender, or of the copy for the postmaster."""
    subject = (_COPIES if copy else _SUBJECTS)[kind]
    text = _body_text(kind, recipients)
    if (translation.get_language() or "en").startswith("en"):
        return subject, text
    with translation.override("en"):
        english = _body_text(kind, recipients)
    return _(subject), f"{text}\n\n{english}"


def _body_text(kind: Kind, recipients: Sequence[NoticeRecipient]) -> str:
    return "\n".join([_(_TEXTS[kind]), "", *(_recipient_line(each) for each in recipients)])


def _recipient_line(recipient: NoticeRecipient) -> str:
    response = " ".join(recipient.text.split())
    _class, _dot, detail = recipient.status.partition(".")
    reason = _REASONS.get(detail, "") if recipient.action in ("failed", "delayed") else ""
    return f"<{recipient.address}>: {response}" + (f"\n    ({_(reason)})" if reason else "")
