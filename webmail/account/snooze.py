"""Snoozed messages: they wait in a folder of their own and return, unread, when they are due.

The due times are in a table of the webmail, since no IMAP server stores them for its clients. Opening a list, or an
open event stream (`webmail.account.push`), returns the messages of that user that are due.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.utils import timezone
from django.utils.translation import gettext as _

from webmail.mailserver import imap_client
from webmail.models import Snoozed

MAX_SNOOZE = timedelta(days=3660)


def snooze_choices() -> list[tuple[str, str, datetime]]:
    """Return (name, text, moment) of the times a menu offers, counted from now."""
    now = timezone.localtime()
    morning = now.replace(hour=8, minute=0, second=0, microsecond=0)
    evening = now.replace(hour=18, minute=0, second=0, microsecond=0)
    choices = [("hours", _("In three hours"), now + timedelta(hours=3))]
    if evening - now > timedelta(hours=3):
        choices.append(("evening", _("This evening"), evening))
    choices.append(("tomorrow", _("Tomorrow morning"), morning + timedelta(days=1)))
    choices.append(("week", _("Next Monday"), morning + timedelta(days=7 - now.weekday())))
    return choices


def parse_moment(name: str, typed: str) -> datetime | None:
    """Return the moment a form names: one of `snooze_choices`, or "at" with the date and time in `typed`.

    Return None if it is invalid, past or more than ten years away.
    """
    if name != "at":
        return next((when for each, _words, when in snooze_choices() if each == name), None)
    try:
        when = datetime.fromisoformat(typed)
    except ValueError:
        return None
    if timezone.is_naive(when):
        when = timezone.make_aware(when)
    return when if timezone.now() < when < timezone.now() + MAX_SNOOZE else None


def snooze_messages(
    mail: imap_client.MailSession, owner: str, box: str, uids: Sequence[int], snoozed_folder: str, due: datetime
) -> bool:
    """Move messages of the open folder into the Snoozed folder until `due`.

    Return False, with nothing moved, if the server has no UIDPLUS and thus does not report the new UIDs: the messages
    could not be found again.
    """
    if not mail.supports("UIDPLUS"):
        return False
    mail.open(box)
    new_uids = mail.move(uids, snoozed_folder)
    validity = mail.open(snoozed_folder).validity
    Snoozed.objects.bulk_create(
        [Snoozed(owner=owner, validity=validity, uid=uid, home=box, due=due) for uid in new_uids.values()],
        update_conflicts=False,
        ignore_conflicts=True,
    )
    mail.open(box)
    return True


def wake_due(mail: imap_client.MailSession, owner: str) -> int:
    """Return due messages to their folders, unread; return how many."""
    due = list(Snoozed.objects.filter(owner=owner, due__lte=timezone.now())[:500])
    if not due:
        return 0
    snoozed_folder = next((folder.name for folder in mail.folders() if folder.role == "snoozed"), None)
    count = 0
    if snoozed_folder is not None:
        selected = mail.open(snoozed_folder)
        uids_by_home: dict[str, list[int]] = defaultdict(list)
        for each in due:
            if each.validity == selected.validity:
                uids_by_home[each.home].append(each.uid)
        for home, uids in uids_by_home.items():
            mail.set_flag(uids, "seen", on=False)
            count += len(mail.move(uids, home if any(f.name == home for f in mail.folders()) else "INBOX"))
    Snoozed.objects.filter(pk__in=[each.pk for each in due]).delete()
    return count
