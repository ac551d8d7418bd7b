"""How much one account may send: messages and recipients, in an hour and in a day.

Counted from the queue's own rows by sign-in name, and so exact over all processes and machines: inside the
transaction that takes letters in, after their rows were written, with the account's row locked. Asked only
where a limit is set. A letter counts as long as the queue remembers it (queue_history_time).
"""

from collections.abc import Iterable

from mailcore import conf
from mailcore.models import Account, Queued, Recipient
from mailcore.post.queue import MICRO, now_us
from mailcore.terms import Letter, Reply, TemporaryFault

_HOUR, _DAY = 3600 * MICRO, 86400 * MICRO


class LimitReached(TemporaryFault):
    """The sender's account has sent enough for now."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(str(reply))
        self.reply = reply


def limited() -> bool:
    """Is there any limit?"""
    parameters = conf.current()
    return bool(
        parameters.smtpd_sasl_message_hourly_limit
        or parameters.smtpd_sasl_message_daily_limit
        or parameters.smtpd_sasl_recipient_hourly_limit
        or parameters.smtpd_sasl_recipient_daily_limit
    )


def check(letters: Iterable[Letter]) -> None:
    """LimitReached where letters whose rows the running transaction has just written are too many."""
    if not limited():
        return
    for login in sorted({letter.client.login for letter in letters} - {""}):
        # Whoever sends as this account elsewhere at this moment waits here, and then counts ours.
        Account.objects.select_for_update().filter(address=login).values_list("id").first()
        _check_account(login)


def _check_account(login: str) -> None:
    parameters, now = conf.current(), now_us()
    for span, name, messages, recipients in (
        (_HOUR, "hour", parameters.smtpd_sasl_message_hourly_limit, parameters.smtpd_sasl_recipient_hourly_limit),
        (_DAY, "day", parameters.smtpd_sasl_message_daily_limit, parameters.smtpd_sasl_recipient_daily_limit),
    ):
        if messages and _messages(login, now - span) > messages:
            raise LimitReached(Reply(450, "4.7.1", f"Error: too many messages from {login} in one {name}"))
        if recipients and _recipients(login, now - span) > recipients:
            raise LimitReached(Reply(450, "4.7.1", f"Error: too many recipients from {login} in one {name}"))


def _messages(login: str, since_us: int) -> int:
    return Queued.objects.filter(login=login, received_us__gt=since_us).count()


def _recipients(login: str, since_us: int) -> int:
    """Those the account named; what lists made of them is not its doing."""
    return Recipient.objects.filter(letter__login=login, letter__received_us__gt=since_us, final=False).count()
