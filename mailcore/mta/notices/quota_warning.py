"""The warning that a mailbox is nearly full, in the owner's language.

Called by `deliver` in the transaction whose delivery crossed a level (quota_warning_levels), so that it is sent once.
"""

from collections.abc import Iterable

from django.conf import settings
from django.utils import translation
from django.utils.translation import gettext as _

from mailcore.logs import writer
from mailcore.mta.notices import owner_notice
from mailcore.store.mailbox.quota_limits import QuotaCrossing


def send_warnings(crossings: Iterable[QuotaCrossing]) -> None:
    """Queue a warning for each account, inside the caller's transaction."""
    for crossing in crossings:
        with translation.override(crossing.language or settings.LANGUAGE_CODE):
            subject = _("Your mailbox is %(percent)d%% full") % {"percent": crossing.percent}
            text = _(
                "Your mailbox %(address)s is %(percent)d%% full.\n\n"
                "When it is full, messages to you are sent back. Please delete what you no longer need,"
                " the Trash included, or ask your administrator for more space."
            ) % {"address": crossing.address, "percent": crossing.percent}
        queue_id = owner_notice.send(crossing.address, crossing.language, subject, text)
        writer.write("quota", f"{queue_id}: {crossing.address} uses {crossing.percent}% of its quota: warned")
