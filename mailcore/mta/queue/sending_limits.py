"""Sending limits per account: messages and recipients, per hour and per day.

Counted from the queue's rows by log-in name, and so exact over all processes and machines: inside the transaction that
enqueues the messages, after their rows are inserted, with the account's row locked. Costs nothing if no limit is set. A
message counts as long as its row exists (queue_history_time).
"""

from collections.abc import Iterable

from mailcore import conf
from mailcore.models import Account, Queued, Recipient
from mailcore.mta.queue.states import MICRO, now_us
from mailcore.values import NewMessage, Reply, TemporaryFault

_HOUR, _DAY = 3600 * MICRO, 86400 * MICRO


class LimitReached(TemporaryFault):
    """The sender's account has reached a sending limit."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(str(reply))
        self.reply = reply


def has_limits() -> bool:
    """Return True if any limit is set."""
    parameters = conf.current()
    return bool(
        parameters.smtpd_sasl_message_hourly_limit
        or parameters.smtpd_sasl_message_daily_limit
        or parameters.smtpd_sasl_recipient_hourly_limit
        or parameters.smtpd_sasl_recipient_daily_limit
    )


def check_limits(messages: Iterable[NewMessage]) -> None:
    """Raise LimitReached if the messages inserted by the running transaction exceed a limit."""
    if not has_limits():
        return
    for login in sorted({message.client.login for message in messages} - {""}):
        # Another process that sends as this account waits here, and then counts our messages.
        Account.objects.select_for_update().filter(address=login).values_list("id").first()
        _check_account(login)


def _check_account(login: str) -> None:
    parameters, now = conf.current(), now_us()
    for span, name, messages, recipients in (
        (_HOUR, "hour", parameters.smtpd_sasl_message_hourly_limit, parameters.smtpd_sasl_recipient_hourly_limit),
        (_DAY, "day", parameters.smtpd_sasl_message_daily_limit, parameters.smtpd_sasl_recipient_daily_limit),
    ):
        if messages and _count_messages(login, now - span) > messages:
            raise LimitReached(Reply(450, "4.7.1", f"Error: too many messages from {login} in one {name}"))
        if recipients and _count_recipients(login, now - span) > recipients:
            raise LimitReached(Reply(450, "4.7.1", f"Error: too many recipients from {login} in one {name}"))


def _count_messages(login: str, since_us: int) -> int:
    return Queued.objects.filter(login=login, received_us__gt=since_us).count()


def _count_recipients(login: str, since_us: int) -> int:
    """Count the recipients named by the account; members of lists do not count."""
    return Recipient.objects.filter(queued__login=login, queued__received_us__gt=since_us, final=False).count()
