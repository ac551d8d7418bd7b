"""A visitor's address book: people, groups of them, and those he wrote to once.

Called by the pages, by composing (nicknames and group names become addresses) and after sending.
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

MOST = 10_000  # people in one book
SHARED = 2000  # people of the shared book that are shown
SUGGESTED = 100  # addresses a compose page carries for completion


class InvalidContact(ValueError):
    """What a form says cannot be kept; the words are for the person."""


@dataclass(frozen=True, slots=True)
class ImportResult:
    """What an import did."""

    added: int
    changed: int
    passed_over: int


def list_contacts(owner: str, words: str = "", group: str = "", sort: str = "") -> QuerySet[Contact]:
    """Those of the book that hold `words` anywhere and belong to `group`: by name, collected ones last; or by
    `sort`, "mail" or "used" (written to last, first)."""
    rows = Contact.objects.filter(owner=owner)
    if words:
        fields = ("name", "mail", "nickname", "note")
        rows = rows.filter(Q(*((f"{field}__icontains", words) for field in fields), _connector=Q.OR))
    if group:
        rows = rows.filter(groups__name=group)
    return rows.order_by(*{"mail": ("mail",), "used": ("-used", "name")}.get(sort, ("collected", "name", "mail")))


def list_colleagues(
    owner: str, words: str = "", addresses: Sequence[str] | None = None, at_most: int = SHARED
) -> list[Contact]:
    """The book everybody of the visitor's domain shares; as a guest of another server there is none."""
    if is_guest():
        return []
    named = import_string(settings.WEBMAIL["COLLEAGUES"])(owner, words, addresses, at_most)
    return [Contact(name=name, mail=mail) for name, mail in named]


def sort_by_name(people: Iterable[Contact]) -> list[Contact]:
    """In the order readers of the active language look for names; collected ones last."""
    key = collation.sort_key(get_language() or "en")
    return sorted(people, key=lambda each: (each.collected, key(each.name or each.mail), each.mail))


def list_groups(owner: str) -> QuerySet[Group]:
    return Group.objects.filter(owner=owner).order_by("name")


def suggest_recipients(owner: str) -> list[str]:
    """Addresses as they would be typed, those written to last first; then the names of groups, then colleagues."""
    rows = list(Contact.objects.filter(owner=owner).order_by("-used", "name").values_list("name", "mail")[:SUGGESTED])
    known = {mail for _name, mail in rows}
    more = [(c.name, c.mail) for c in list_colleagues(owner, at_most=SUGGESTED) if c.mail not in known]
    names = list_groups(owner).values_list("name", flat=True)[:SUGGESTED]
    return [*(Address(*row).full for row in rows), *names, *(Address(*row).full for row in more)]


@transaction.atomic
def save_contact(owner: str, card: ContactCard, contact: Contact | None = None) -> Contact:
    """Add somebody, or change `contact`; whoever has this address already is the one changed. Raises Unusable."""
    mail = _parse_mail(card.mail)
    nickname = card.nickname or None
    same = Contact.objects.filter(owner=owner, mail=mail).first()
    if contact is not None and same is not None and same.pk != contact.pk:
        raise InvalidContact(_("%s is in your address book already.") % mail)
    contact = contact or same or Contact(owner=owner)
    others = Contact.objects.filter(owner=owner).exclude(pk=contact.pk)
    if nickname and (others.filter(nickname=nickname).exists() or list_groups(owner).filter(name=nickname).exists()):
        raise InvalidContact(_("The nickname “%s” is taken.") % nickname)
    if contact.pk is None and others.count() >= MOST:
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
    """How many were removed; groups that nobody belongs to any more go with them."""
    count = Contact.objects.filter(owner=owner, pk__in=list(ids)).delete()[1].get("webmail.Contact", 0)
    Group.objects.filter(owner=owner, people=None).delete()
    return count


def import_cards(owner: str, cards: Sequence[ContactCard]) -> ImportResult:
    """Add what an imported file says. A card that cannot be kept is passed over."""
    added = changed = passed_over = 0
    for card in cards:
        known = Contact.objects.filter(owner=owner, mail=grammar.fold_address(card.mail)).exists()
        try:
            save_contact(owner, card)
        except InvalidContact:
            passed_over += 1
        else:
            added, changed = added + (not known), changed + known
    return ImportResult(added, changed, passed_over)


def export_cards(owner: str) -> list[ContactCard]:
    """The whole book, for an export."""
    return [card_of_contact(contact) for contact in list_contacts(owner).prefetch_related("groups")]


def card_of_contact(contact: Contact) -> ContactCard:
    names = tuple(sorted(group.name for group in contact.groups.all()))
    return ContactCard(contact.name, contact.mail, contact.nickname or "", contact.note, names)


def record_recipients(owner: str, people: Iterable[Address], *, collect: bool) -> None:
    """A message went to them: they come first from now on; with `collect` whoever is new is remembered."""
    now = timezone.now()
    by_mail = {
        grammar.fold_address(person.mail): person for person in people if grammar.fold_address(person.mail) != owner
    }
    if collect:
        new = [Contact(owner=owner, name=p.name[:200], mail=mail, collected=True) for mail, p in by_mail.items()]
        Contact.objects.bulk_create([each for each in new if len(each.mail) <= 320], ignore_conflicts=True)
    Contact.objects.filter(owner=owner, mail__in=list(by_mail)).update(used=now)


def expand_nicknames(owner: str, text: str) -> str:
    """What was typed into a recipient field with nicknames and names of groups as the addresses they mean."""
    out: list[str] = []
    for piece in split_typed(text):
        meant = _find_nickname(owner, piece) if "@" not in piece else []
        out += meant or [piece]
    return ", ".join(out)


def _find_nickname(owner: str, word: str) -> list[str]:
    rows = Contact.objects.filter(Q(nickname=word) | Q(groups__name=word), owner=owner).distinct().order_by("name")
    return [Address(*row).full for row in rows.values_list("name", "mail")]


def known_domains(owner: str) -> list[str]:
    """Domains of the people in the book, those used last first: whom a forger might imitate."""
    mails = Contact.objects.filter(owner=owner).order_by("-used").values_list("mail", flat=True)[:300]
    return list(dict.fromkeys(mail.rpartition("@")[2] for mail in mails))
