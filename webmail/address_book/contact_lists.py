"""The address book as lists for Sieve scripts (RFC 6134): everybody in it, and its groups."""

from mailcore.wire.message import envelope_address
from mailcore.wire.sieve.extensions.external_lists import ExternalList
from webmail.models import Contact, Group

DEFAULT = "default"  # Whom the owner added; not those who were only written to.


def find_list(owner: str, name: str) -> ExternalList | None:
    """Return the list of an account's contacts, or of a group of them; None if there is no such group."""
    if name == DEFAULT:
        contacts = Contact.objects.filter(owner=owner, collected=False)
    elif Group.objects.filter(owner=owner, name=name).exists():
        contacts = Contact.objects.filter(owner=owner, groups__owner=owner, groups__name=name)
    else:
        return None
    return ExternalList(
        lambda address: contacts.filter(mail=envelope_address.fold_address(address)).exists(),
        lambda: contacts.order_by("mail").values_list("mail", flat=True).iterator(chunk_size=100),
    )
