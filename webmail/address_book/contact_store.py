"""A user's address book: contacts, groups, and people the user has written to.

Called by the views, when composing (nicknames and group names become addresses) and after sending.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.module_loading import import_string
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from mailcore.wire.message import envelope_address as grammar
from mailcore.wire.text import collation
from webmail.address_book.vcard_csv import ContactCard
from webmail.mailserver.server_addresses import is_guest
from webmail.models import Contact, Group
from webmail.values.addresses import Address, split_typed

MAX_CONTACTS = 10_000  # contacts in one address book
MAX_COLLEAGUES = 2000  # contacts of the shared address book that are shown
MAX_SUGGESTIONS = 100  # addresses a compose page has for completion


class InvalidContact(ValueError):
    """The values of a contact form are invalid; the error text is for the user."""


@dataclass(frozen=True, slots=True)
class ImportResult:
    """Counts of an import: contacts added, changed and skipped."""

    added: int
    changed: int
    skipped: int


def list_contacts(owner: str, words: str = "", group: str = "", sort: str = "") -> QuerySet[Contact]:
    """Return the owner's contacts that contain `words` in any field and belong to `group`.

    They are sorted by name, collected ones last, or by `sort`: "mail" or "used" (latest first).
    """
    rows = Contact.objects.filter(owner=owner)
    if words:
        fields = ("name", "mail", "nickname", "note")
        rows = rows.filter(Q(*((f"{field}__icontains", words) for field in fields), _connector=Q.OR))
    if group:
        rows = rows.filter(groups__name=group)
    return rows.order_by(*{"mail": ("mail",), "used": ("-used", "name")}.get(sort, ("collected", "name", "mail")))


def list_colleagues(
    owner: str, words: str = "", addresses: Sequence[str] | None = None, at_most: int = MAX_COLLEAGUES
) -> list[Contact]:
    """Return contacts of the domain's shared address book; there is none with another mail server."""
    if is_guest():
        return []
    named = import_string(settings.WEBMAIL["COLLEAGUES"])(owner, words, addresses, at_most)
    return [Contact(name=name, mail=mail) for name, mail in named]


def sort_by_name(people: Iterable[Contact]) -> list[Contact]:
    """Sort contacts by name in the collation of the active language; collected ones last."""
    key = collation.sort_key(get_language() or "en")
    return sorted(people, key=lambda each: (each.collected, key(each.name or each.mail), each.mail))


def list_groups(owner: str) -> QuerySet[Group]:
    return Group.objects.filter(owner=owner).order_by("name")


def suggest_recipients(owner: str) -> list[str]:
    """Return completions: addresses written to, latest first, then the names of groups, then colleagues."""
    rows = list(
        Contact.objects.filter(owner=owner).order_by("-used", "name").values_list("name", "mail")[:MAX_SUGGESTIONS]
    )
    known = {mail for _name, mail in rows}
    more = [(c.name, c.mail) for c in list_colleagues(owner, at_most=MAX_SUGGESTIONS) if c.mail not in known]
    names = list_groups(owner).values_list("name", flat=True)[:MAX_SUGGESTIONS]
    return [*(Address(*row).full for row in rows), *names, *(Address(*row).full for row in more)]


@transaction.atomic
def save_contact(owner: str, card: ContactCard, contact: Contact | None = None) -> Contact:
    """Add a contact or change `contact`; an existing contact with this address is changed instead of added.

    Raise `InvalidContact`.
    """
    mail = _parse_mail(card.mail)
    nickname = card.nickname or None
    existing = Contact.objects.filter(owner=owner, mail=mail).first()
    if contact is not None and existing is not None and existing.pk != contact.pk:
        raise InvalidContact(_("%s is in your address book already.") % mail)
    contact = contact or existing or Contact(owner=owner)
    others = Contact.objects.filter(owner=owner).exclude(pk=contact.pk)
    if nickname and (others.filter(nickname=nickname).exists() or list_groups(owner).filter(name=nickname).exists()):
        raise InvalidContact(_("The nickname “%s” is taken.") % nickname)
    if contact.pk is None and others.count() >= MAX_CONTACTS:
        raise InvalidContact(_("The address book is full."))
    contact.name, contact.mail, contact.nickname = card.name, mail, nickname
    contact.note, contact.collected = card.note, False
    contact.save()
    contact.groups.set([_get_group(owner, name) for name in card.groups])
    Group.objects.filter(owner=owner, people=None).delete()
    return contact


def _get_group(owner: str, name: str) -> Group:
    if Contact.objects.filter(owner=owner, nickname=name).exists():
        raise InvalidContact(_("The nickname “%s” is taken.") % name)
    return Group.objects.get_or_create(owner=owner, name=name)[0]


def _parse_mail(typed: str) -> str:
    try:
        mail = grammar.parse_address(typed)
    except grammar.AddressError:
        mail = ""
    if "@" not in mail:
        raise InvalidContact(_("“%s” is not an e-mail address.") % typed[:80])
    return grammar.fold_address(mail)


def remove_contacts(owner: str, ids: Iterable[int]) -> int:
    """Delete contacts and the groups left empty; return how many contacts were deleted."""
    count = Contact.objects.filter(owner=owner, pk__in=list(ids)).delete()[1].get("webmail.Contact", 0)
    Group.objects.filter(owner=owner, people=None).delete()
    return count


def import_cards(owner: str, cards: Sequence[ContactCard]) -> ImportResult:
    """Add or change the contacts of an imported file; invalid cards are skipped."""
    added = changed = skipped = 0
    for card in cards:
        known = Contact.objects.filter(owner=owner, mail=grammar.fold_address(card.mail)).exists()
        try:
            save_contact(owner, card)
        except InvalidContact:
            skipped += 1
        else:
            added, changed = added + (not known), changed + known
    return ImportResult(added, changed, skipped)


def export_cards(owner: str) -> list[ContactCard]:
    """Return the whole address book for an export."""
    return [card_of_contact(contact) for contact in list_contacts(owner).prefetch_related("groups")]


def card_of_contact(contact: Contact) -> ContactCard:
    names = tuple(sorted(group.name for group in contact.groups.all()))
    return ContactCard(contact.name, contact.mail, contact.nickname or "", contact.note, names)


def record_recipients(owner: str, people: Iterable[Address], *, collect: bool) -> None:
    """Record that a message was sent to these people; with `collect`, new ones are added as collected."""
    now = timezone.now()
    by_mail = {
        grammar.fold_address(person.mail): person for person in people if grammar.fold_address(person.mail) != owner
    }
    if collect:
        new = [Contact(owner=owner, name=p.name[:200], mail=mail, collected=True) for mail, p in by_mail.items()]
        Contact.objects.bulk_create([each for each in new if len(each.mail) <= 320], ignore_conflicts=True)
    Contact.objects.filter(owner=owner, mail__in=list(by_mail)).update(used=now)


def expand_nicknames(owner: str, text: str) -> str:
    """Return a recipient field with nicknames and group names replaced by their addresses."""
    out: list[str] = []
    for piece in split_typed(text):
        meant = _find_nickname(owner, piece) if "@" not in piece else []
        out += meant or [piece]
    return ", ".join(out)


def _find_nickname(owner: str, word: str) -> list[str]:
    rows = Contact.objects.filter(Q(nickname=word) | Q(groups__name=word), owner=owner).distinct().order_by("name")
    return [Address(*row).full for row in rows.values_list("name", "mail")]


def known_domains(owner: str) -> list[str]:
    """Return the domains of contacts, last used first: those that a forged sender might imitate."""
    mails = Contact.objects.filter(owner=owner).order_by("-used").values_list("mail", flat=True)[:300]
    return list(dict.fromkeys(mail.rpartition("@")[2] for mail in mails))
