"""Whom a visitor writes as: the account's own name and address (in the options), and others in the order he gave them.

Whether the mail server lets him send as one of them is its business; it is asked when a message is sent.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from django.db import transaction
from django.utils.translation import gettext as _

from mailcore.wire.message import envelope_address as grammar
from webmail import models
from webmail.account.session import WebmailUser
from webmail.values.addresses import Address, InvalidAddress, parse_typed

MOST = 50
SIGNATURE_LIMIT = 4000


class InvalidIdentity(ValueError):
    """What a form says cannot be kept; the words are for the person."""


@dataclass(frozen=True, slots=True)
class Identity:
    """`id` is 0 for the account's own."""

    id: int
    name: str
    mail: str
    reply_to: str
    signature: str

    @property
    def address(self) -> Address:
        return Address(self.name, self.mail)


def own_identity(person: WebmailUser) -> Identity:
    options = person.options
    return Identity(0, options.name, person.address, options.reply_to, options.signature)


def list_identities(person: WebmailUser) -> list[Identity]:
    """All of them, the account's own first."""
    rows = models.Identity.objects.filter(owner=person.address)
    return [
        own_identity(person),
        *(Identity(*row) for row in rows.values_list("id", "name", "mail", "reply_to", "signature")),
    ]


def default_identity(person: WebmailUser) -> Identity:
    """The one new messages are written as."""
    return selected_identity(person, str(person.options.identity))


def selected_identity(person: WebmailUser, given: str) -> Identity:
    """The one a form names; the account's own where it names none of his."""
    found = list_identities(person) if given not in ("", "0") else [own_identity(person)]
    return next((each for each in found if str(each.id) == given), found[0])


def identity_for(person: WebmailUser, mails: Iterable[str]) -> Identity:
    """The one a message to `mails` was meant for: an answer comes from there."""
    wanted = [grammar.fold_address(mail) for mail in mails]
    found = list_identities(person)
    by_mail = {grammar.fold_address(each.mail): each for each in reversed(found)}
    return next((by_mail[mail] for mail in wanted if mail in by_mail), default_identity(person))


def save_identity(person: WebmailUser, identity: Identity) -> None:
    """Add one (`id` 0), or change the one of that id. Raises Unusable."""
    try:
        [address] = parse_typed(identity.mail)
        parse_typed(identity.reply_to)
    except (InvalidAddress, ValueError) as error:
        raise InvalidIdentity(
            str(error) if isinstance(error, InvalidAddress) else _("Please enter one address.")
        ) from error
    rows = models.Identity.objects.filter(owner=person.address)
    values = {
        "name": " ".join(identity.name.split())[:200],
        "mail": address.mail,
        "reply_to": identity.reply_to.strip()[:1000],
        "signature": identity.signature.replace("\r\n", "\n").replace("\0", "")[:SIGNATURE_LIMIT],
    }
    if identity.id:
        rows.filter(pk=identity.id).update(**values)
    elif rows.count() >= MOST:
        raise InvalidIdentity(_("There are too many identities."))
    else:
        models.Identity.objects.create(owner=person.address, position=rows.count(), **values)


def remove_identity(person: WebmailUser, number: int) -> None:
    models.Identity.objects.filter(owner=person.address, pk=number).delete()


@transaction.atomic
def move_up(person: WebmailUser, number: int) -> None:
    """One place up in the order."""
    ids = list(models.Identity.objects.filter(owner=person.address).values_list("id", flat=True))
    at = ids.index(number) if number in ids else 0
    if at:
        ids[at - 1], ids[at] = ids[at], ids[at - 1]
    for position, each in enumerate(ids):
        models.Identity.objects.filter(pk=each).update(position=position)
