"""The address book: the list, one contact, import and export, and picking recipients of a draft."""

from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import get_language, ngettext
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from mailcore.wire.text import collation
from webmail.account.session import Request, requires_login
from webmail.address_book import contact_store, vcard_csv
from webmail.composing import draft_store, mime_builder
from webmail.mailserver import imap_client
from webmail.models import Contact
from webmail.values.addresses import Address
from webmail.views import layout

PAGE_SIZE = 100


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@requires_login
def contact_list(request: Request, mail: imap_client.MailSession) -> HttpResponse:
    owner = request.visitor.address
    if request.method == "POST":
        return _do_action(request, owner)
    return render(request, "webmail/contacts.html", layout.page_context(request, mail) | _contact_page(request, owner))


def _contact_page(request: HttpRequest, owner: str) -> dict[str, Any]:
    """Return one page of contacts, from the user's own address book or the domain's shared one."""
    words, group = request.GET.get("who", "")[:200], request.GET.get("group", "")[:100]
    book = "shared" if request.GET.get("book") == "shared" else ""
    sort = request.GET.get("sort", "") if request.GET.get("sort") in ("mail", "used") else ""
    if book:
        found: Any = contact_store.sort_by_name(contact_store.list_colleagues(owner, words.replace("\0", "")))
    else:
        found = contact_store.list_contacts(
            owner, words.replace("\0", ""), group.replace("\0", ""), sort
        ).prefetch_related("groups")
        found = found if sort else contact_store.sort_by_name(found)
    return {
        "people": Paginator(found, PAGE_SIZE).get_page(request.GET.get("page")),
        "who": words,
        "group": group,
        "groups": sorted(
            contact_store.list_groups(owner), key=lambda each: collation.sort_key(get_language() or "en")(each.name)
        ),
        "book": book,
        "sort": sort,
        "shared": _shared_book(owner),
        "page_link": "?" + urlencode({"who": words, "group": group, "book": book, "sort": sort}) + "&page=",
    }


def _shared_book(owner: str) -> str:
    """Return the domain with a shared address book, or ""."""
    return owner.rpartition("@")[2] if contact_store.list_colleagues(owner, at_most=1) else ""


def _do_action(request: HttpRequest, owner: str) -> HttpResponse:
    """Write to the selected contacts, or remove them."""
    ids = _numbers(request, "id")
    selected = _selected_contacts(request, owner, "id")
    if not selected:
        messages.warning(request, _("Please select people first."))
    elif request.POST.get("do") == "write":
        return redirect(reverse("compose") + "?" + urlencode({"to": mime_builder.join_addresses(selected)}))
    elif request.POST.get("do") == "remove":
        count = contact_store.remove_contacts(owner, ids)
        messages.success(request, ngettext("%d contact removed.", "%d contacts removed.", count) % count)
    return redirect("contacts")


def _selected_contacts(request: HttpRequest, owner: str, name: str) -> list[Address]:
    """Return the contacts a form names: own ones by number, shared ones by address."""
    own = list(Contact.objects.filter(owner=owner, pk__in=_numbers(request, name)).order_by("name"))
    given = [value for value in request.POST.getlist(name) if "@" in value and "\0" not in value][:PAGE_SIZE]
    others = contact_store.list_colleagues(owner, addresses=given) if given else []
    return [Address(each.name, each.mail) for each in (*own, *others)]


def _numbers(request: HttpRequest, name: str) -> list[int]:
    return [int(number) for number in request.POST.getlist(name) if number.isdecimal() and len(number) < 11]


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@requires_login
def contact(request: Request, mail: imap_client.MailSession, number: int | None = None) -> HttpResponse:
    """Show a contact, or a form for a new one (perhaps from ?name=…&mail=…), and save it."""
    owner = request.visitor.address
    known = Contact.objects.filter(owner=owner, pk=number).first() if number else None
    if number and known is None:
        raise Http404
    given = request.POST if request.method == "POST" else request.GET
    shown = contact_store.card_of_contact(known) if known and request.method != "POST" else _form_values(given)
    problem = ""
    if request.method == "POST":
        try:
            contact_store.save_contact(owner, shown, known)
        except contact_store.InvalidContact as error:
            problem = str(error)
        else:
            messages.success(request, _("The contact was saved."))
            return redirect("contacts")
    context = layout.page_context(request, mail) | {"card": shown, "known": known, "problem": problem}
    return render(request, "webmail/contact.html", context, status=422 if problem else 200)


def _form_values(values: Any) -> vcard_csv.ContactCard:
    named = {name: values.get(name, "") for name in ("name", "mail", "nickname", "note")}
    return vcard_csv.make_card(
        **named, groups=values.get("groups", "").replace("，", ",").replace("、", ",").split(",")
    )


@never_cache
@require_safe
@requires_login
def export_contacts(request: Request, _mail: imap_client.MailSession, kind: str) -> HttpResponse:
    people = contact_store.export_cards(request.visitor.address)
    if kind == "csv":
        response = HttpResponse(vcard_csv.write_csv(people), content_type="text/csv; charset=utf-8")
    else:
        response = HttpResponse(vcard_csv.write_vcards(people), content_type="text/vcard; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="contacts.{kind}"'
    return response


@require_POST
@requires_login
def import_contacts(request: Request, _mail: imap_client.MailSession) -> HttpResponse:
    file = request.FILES.get("file")
    if file is None or (file.size or 0) > vcard_csv.LARGEST:
        messages.error(request, _("Please choose a vCard or CSV file of at most 5 MB."))
        return redirect("contacts")
    found = contact_store.import_cards(request.visitor.address, vcard_csv.read_contacts(file.read()))
    words = _("Contacts added: %(added)d, changed: %(changed)d, skipped: %(passed)d.")
    values = {"added": found.added, "changed": found.changed, "passed": found.skipped}
    messages.success(request, words % values)
    return redirect("contacts")


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@requires_login
def pick_recipients(request: Request, mail: imap_client.MailSession, token: str) -> HttpResponse:
    """Add recipients to the draft `token` by checkbox, then return to it."""
    owner = request.visitor.address
    fields = draft_store.load_draft(token, owner)
    if fields is None:
        messages.info(request, _("This message was sent or discarded already."))
        return redirect("contacts")
    if request.method != "POST":
        context = layout.page_context(request, mail) | _contact_page(request, owner) | {"token": token}
        return render(request, "webmail/pick.html", context)
    for name in ("to", "cc", "bcc"):
        added = [each.full for each in _selected_contacts(request, owner, name)]
        fields[name] = ", ".join(filter(None, [str(fields.get(name) or "").strip().rstrip(","), *added]))
    draft_store.save_draft(token, owner, fields)
    return redirect("resume", token)
