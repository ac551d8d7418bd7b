"""Whom a visitor writes as: the account's own name and address (in the options), and others in the order he gave them.

Whether the mail server lets him send as one of them is its business; it is asked when a letter is sent.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from django.db import transaction
from django.utils.translation import gettext as _

from mailcore.wire import address as grammar
from webmail import models
from webmail.addresses import Address, BadAddress, typed
from webmail.visitor import Visitor

MOST = 50
SIGNATURE_LIMIT = 4000


class Unusable(ValueError):
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


def own(person: Visitor) -> Identity:
    options = person.options
    return Identity(0, options.name, person.address, options.reply_to, options.signature)


def of(person: Visitor) -> list[Identity]:
    """All of them, the account's own first."""
    rows = models.Identity.objects.filter(owner=person.address)
    return [own(person), *(Identity(*row) for row in rows.values_list("id", "name", "mail", "reply_to", "signature"))]


def usual(person: Visitor) -> Identity:
    """The one new letters are written as."""
    return chosen(person, str(person.options.identity))


def chosen(person: Visitor, given: str) -> Identity:
    """The one a form names; the account's own where it names none of his."""
    found = of(person) if given not in ("", "0") else [own(person)]
    return next((each for each in found if str(each.id) == given), found[0])


def addressed(person: Visitor, mails: Iterable[str]) -> Identity:
    """The one a letter to `mails` was meant for: an answer comes from there."""
    wanted = [grammar.fold(mail) for mail in mails]
    found = of(person)
    by_mail = {grammar.fold(each.mail): each for each in reversed(found)}
    return next((by_mail[mail] for mail in wanted if mail in by_mail), usual(person))


def keep(person: Visitor, identity: Identity) -> None:
    """Add one (`id` 0), or change the one of that id. Raises Unusable."""
    try:
        [address] = typed(identity.mail)
        typed(identity.reply_to)
    except (BadAddress, ValueError) as error:
        raise Unusable(str(error) if isinstance(error, BadAddress) else _("Please enter one address.")) from error
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
        raise Unusable(_("There are too many identities."))
    else:
        models.Identity.objects.create(owner=person.address, position=rows.count(), **values)


def remove(person: Visitor, number: int) -> None:
    models.Identity.objects.filter(owner=person.address, pk=number).delete()


@transaction.atomic
def raise_up(person: Visitor, number: int) -> None:
    """One place up in the order."""
    ids = list(models.Identity.objects.filter(owner=person.address).values_list("id", flat=True))
    at = ids.index(number) if number in ids else 0
    if at:
        ids[at - 1], ids[at] = ids[at], ids[at - 1]
    for position, each in enumerate(ids):
        models.Identity.objects.filter(pk=each).update(position=position)
