"""Mail to the owner of an account when something that opens it was made, changed or removed."""

import logging

from django.conf import settings
from django.http import HttpRequest
from django.utils import timezone, translation
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from mailadmin import sign_in
from mailadmin.permissions import Permissions
from mailcore.models import Account
from mailcore.mta.notices import owner_notice

log = logging.getLogger("mailadmin")

EVENTS: dict[str, Promise | str] = {
    "password": gettext_lazy("The password was changed."),
    "app-password": gettext_lazy("An app password was made."),
    "token": gettext_lazy("An API token was made."),
    "factor": gettext_lazy("A second factor was added."),
    "factor-removed": gettext_lazy("A second factor was removed."),
    "role": gettext_lazy("The role of the account was changed."),
}


def notify_owner(request: HttpRequest, permissions: Permissions, account_id: int, event: str) -> None:
    """Queue a message in the owner's language; `event` is one of EVENTS."""
    account = Account.objects.get(pk=account_id)
    with translation.override(account.language or settings.LANGUAGE_CODE):
        subject = _("Security notice for %(address)s") % {"address": account.address}
        text = _(
            "%(event)s\n\nAccount: %(address)s\nBy: %(who)s\nFrom: %(place)s\nTime: %(time)s\n\n"
            "If that was not you, please tell your administrator and change your password."
        ) % {
            "event": EVENTS[event],
            "address": account.address,
            "who": permissions.visitor.address,
            "place": sign_in.client_ip(request) or "?",
            "time": timezone.localtime().strftime("%Y-%m-%d %H:%M:%S %Z"),
        }
    try:
        owner_notice.send(account.address, account.language, subject, text)
    except OSError as error:  # the change is made already, and must be reported as made
        log.warning("cannot queue the security notice to %s: %s", account.address, error.strerror)
