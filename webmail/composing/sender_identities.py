"""The identities a user writes as.

The first is the account's own name and address (in the options); others follow in the user's order.

Whether the user may send with an identity's address is decided by the mail server at submission.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from django.db import transaction
from django.utils.translation import gettext as _

from mailcore.wire.message import envelope_address as grammar
from webmail import models
from webmail.account.session import WebmailUser
from webmail.values.addresses import Address, InvalidAddress, parse_typed

MAX_IDENTITIES = 50
SIGNATURE_LIMIT = 4000


class InvalidIdentity(ValueError):
    """The values of an identity form are invalid; the error text is for the user."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A name and address to write as; `id` is 0 for the account's own."""

    id: int
    name: str
    mail: str
    reply_to: str
    signature: str

    @property
    def address(self) -> Address:
        return Address(self.name, self.mail)


def own_identity(user: WebmailUser) -> Identity:
    options = user.options
    return Identity(0, options.name, user.address, options.reply_to, options.signature)


def list_identities(user: WebmailUser) -> list[Identity]:
    """Return all identities, the account's own first."""
    rows = models.Identity.objects.filter(owner=user.address)
    return [
        own_identity(user),
        *(Identity(*row) for row in rows.values_list("id", "name", "mail", "reply_to", "signature")),
    ]


def default_identity(user: WebmailUser) -> Identity:
    """Return the identity of new messages."""
    return selected_identity(user, str(user.options.identity))


def selected_identity(user: WebmailUser, given: str) -> Identity:
    """Return the identity a form names, or the account's own."""
    identities = list_identities(user) if given not in ("", "0") else [own_identity(user)]
    return next((each for each in identities if str(each.id) == given), identities[0])


def identity_for(user: WebmailUser, mails: Iterable[str]) -> Identity:
    """Return the identity among a message's recipients, to answer as, or the default one."""
    wanted = [grammar.fold_address(mail) for mail in mails]
    identities = list_identities(user)
    by_mail = {grammar.fold_address(each.mail): each for each in reversed(identities)}
    return next((by_mail[mail] for mail in wanted if mail in by_mail), default_identity(user))


def save_identity(user: WebmailUser, identity: Identity) -> None:
    """Add an identity (`id` 0) or change an existing one.

    Raise `InvalidIdentity`.
    """
    try:
        [address] = parse_typed(identity.mail)
        parse_typed(identity.reply_to)
    except (InvalidAddress, ValueError) as error:
        raise InvalidIdentity(
            str(error) if isinstance(error, InvalidAddress) else _("Please enter one address.")
        ) from error
    rows = models.Identity.objects.filter(owner=user.address)
    values = {
        "name": " ".join(identity.name.split())[:200],
        "mail": address.mail,
        "reply_to": identity.reply_to.strip()[:1000],
        "signature": identity.signature.replace("\r\n", "\n").replace("\0", "")[:SIGNATURE_LIMIT],
    }
    if identity.id:
        rows.filter(pk=identity.id).update(**values)
    elif rows.count() >= MAX_IDENTITIES:
        raise InvalidIdentity(_("There are too many identities."))
    else:
        models.Identity.objects.create(owner=user.address, position=rows.count(), **values)


def remove_identity(user: WebmailUser, number: int) -> None:
    models.Identity.objects.filter(owner=user.address, pk=number).delete()


@transaction.atomic
def move_up(user: WebmailUser, number: int) -> None:
    """Move an identity up by one position."""
    ids = list(models.Identity.objects.filter(owner=user.address).values_list("id", flat=True))
    at = ids.index(number) if number in ids else 0
    if at:
        ids[at - 1], ids[at] = ids[at], ids[at - 1]
    for position, each in enumerate(ids):
        models.Identity.objects.filter(pk=each).update(position=position)
