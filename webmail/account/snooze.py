"""Messages put off: they wait in a folder of their own and come back, unread, when their time has come.

What comes back when is kept in a table of the webmail's, since no IMAP server keeps it for a guest. Whoever
opens a list, or waits for news (`webmail.account.push`), wakes what is due for that visitor.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.utils import timezone
from django.utils.translation import gettext as _

from webmail.mailserver import imap_client
from webmail.models import Snoozed

FARTHEST = timedelta(days=3660)


def snooze_choices() -> list[tuple[str, str, datetime]]:
    """(name, words, moment): the times a menu offers, counted from now."""
    now = timezone.localtime()
    morning = now.replace(hour=8, minute=0, second=0, microsecond=0)
    evening = now.replace(hour=18, minute=0, second=0, microsecond=0)
    found = [("hours", _("In three hours"), now + timedelta(hours=3))]
    if evening - now > timedelta(hours=3):
        found.append(("evening", _("This evening"), evening))
    found.append(("tomorrow", _("Tomorrow morning"), morning + timedelta(days=1)))
    found.append(("week", _("Next Monday"), morning + timedelta(days=7 - now.weekday())))
    return found


def parse_moment(name: str, typed: str) -> datetime | None:
    """The moment a form means: one of `choices`, or "at" with a date and time typed; None if there is no such
    moment, or it is over, or too far away."""
    if name != "at":
        return next((when for each, _words, when in snooze_choices() if each == name), None)
    try:
        when = datetime.fromisoformat(typed)
    except ValueError:
        return None
    if timezone.is_naive(when):
        when = timezone.make_aware(when)
    return when if timezone.now() < when < timezone.now() + FARTHEST else None


def snooze_messages(
    mail: imap_client.MailSession, owner: str, box: str, uids: Sequence[int], waiting: str, due: datetime
) -> bool:
    """Move messages of the open folder into `waiting` until `due`. False, with nothing moved, where the server
    does not tell their new numbers: they could not be found again."""
    if not mail.supports("UIDPLUS"):
        return False
    mail.open(box)
    there = mail.move(uids, waiting)
    validity = mail.open(waiting).validity
    Snoozed.objects.bulk_create(
        [Snoozed(owner=owner, validity=validity, uid=uid, home=box, due=due) for uid in there.values()],
        update_conflicts=False,
        ignore_conflicts=True,
    )
    mail.open(box)
    return True


def wake_due(mail: imap_client.MailSession, owner: str) -> int:
    """Bring back what is due; how many messages."""
    due = list(Snoozed.objects.filter(owner=owner, due__lte=timezone.now())[:500])
    if not due:
        return 0
    waiting = next((folder.name for folder in mail.folders() if folder.role == "snoozed"), None)
    count = 0
    if waiting is not None:
        opened = mail.open(waiting)
        homes: dict[str, list[int]] = defaultdict(list)
        for each in due:
            if each.validity == opened.validity:
                homes[each.home].append(each.uid)
        for home, uids in homes.items():
            mail.set_flag(uids, "seen", on=False)
            count += len(mail.move(uids, home if any(f.name == home for f in mail.folders()) else "INBOX"))
    Snoozed.objects.filter(pk__in=[each.pk for each in due]).delete()
    return count
