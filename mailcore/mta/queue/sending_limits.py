"""How much one account may send: messages and recipients, in an hour and in a day.

Counted from the queue's own rows by sign-in name, and so exact over all processes and machines: inside the
transaction that takes messages in, after their rows were written, with the account's row locked. Asked only
where a limit is set. A message counts as long as the queue remembers it (queue_history_time).
"""

from collections.abc import Iterable

from mailcore import conf
from mailcore.models import Account, Queued, Recipient
from mailcore.mta.queue.states import MICRO, now_us
from mailcore.values import NewMessage, Reply, TemporaryFault

_HOUR, _DAY = 3600 * MICRO, 86400 * MICRO


class LimitReached(TemporaryFault):
    """The sender's account has sent enough for now."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(str(reply))
        self.reply = reply


def has_limits() -> bool:
    """Is there any limit?"""
    parameters = conf.current()
    return bool(
        parameters.smtpd_sasl_message_hourly_limit
        or parameters.smtpd_sasl_message_daily_limit
        or parameters.smtpd_sasl_recipient_hourly_limit
        or parameters.smtpd_sasl_recipient_daily_limit
    )


def check_limits(messages: Iterable[NewMessage]) -> None:
    """LimitReached where messages whose rows the running transaction has just written are too many."""
    if not has_limits():
        return
    for login in sorted({message.client.login for message in messages} - {""}):
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
    return Recipient.objects.filter(queued__login=login, queued__received_us__gt=since_us, final=False).count()
