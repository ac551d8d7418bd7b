"""The address book: the list, one person, files in and out, and picking recipients of a letter being written."""

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

from mailcore.wire import collation
from webmail import cards, contacts, imap, uploads, writing
from webmail.addresses import Address
from webmail.models import Contact
from webmail.pages import frame
from webmail.visitor import Request, signed_in

PAGE = 100


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def index(request: Request, mail: imap.Mail) -> HttpResponse:
    owner = request.visitor.address
    if request.method == "POST":
        return _do(request, owner)
    return render(request, "webmail/contacts.html", frame.around(request, mail) | _listed(request, owner))


def _listed(request: HttpRequest, owner: str) -> dict[str, Any]:
    """The people a request asks for, a page of them: of the visitor's own book, or of the one his domain shares."""
    words, group = request.GET.get("who", "")[:200], request.GET.get("group", "")[:100]
    book = "shared" if request.GET.get("book") == "shared" else ""
    sort = request.GET.get("sort", "") if request.GET.get("sort") in ("mail", "used") else ""
    if book:
        found: Any = contacts.by_name(contacts.colleagues(owner, words.replace("\0", "")))
    else:
        found = contacts.of(owner, words.replace("\0", ""), group.replace("\0", ""), sort).prefetch_related("groups")
        found = found if sort else contacts.by_name(found)
    return {
        "people": Paginator(found, PAGE).get_page(request.GET.get("page")),
        "who": words,
        "group": group,
        "groups": sorted(contacts.groups(owner), key=lambda each: collation.order(get_language() or "en")(each.name)),
        "book": book,
        "sort": sort,
        "shared": _shared_book(owner),
        "page_link": "?" + urlencode({"who": words, "group": group, "book": book, "sort": sort}) + "&page=",
    }


def _shared_book(owner: str) -> str:
    """The domain whose people share a book; "" where nobody does."""
    return owner.rpartition("@")[2] if contacts.colleagues(owner, at_most=1) else ""


def _do(request: HttpRequest, owner: str) -> HttpResponse:
    """Write to those who are chosen, or remove them."""
    ids = _numbers(request, "id")
    chosen = _chosen(request, owner, "id")
    if not chosen:
        messages.warning(request, _("Please select people first."))
    elif request.POST.get("do") == "write":
        return redirect(reverse("compose") + "?" + urlencode({"to": writing.joined(chosen)}))
    elif request.POST.get("do") == "remove":
        count = contacts.remove(owner, ids)
        messages.success(request, ngettext("%d contact removed.", "%d contacts removed.", count) % count)
    return redirect("contacts")


def _chosen(request: HttpRequest, owner: str, name: str) -> list[Address]:
    """Whom a form names: people of the visitor's own book by number, of the shared one by address."""
    own = list(Contact.objects.filter(owner=owner, pk__in=_numbers(request, name)).order_by("name"))
    given = [value for value in request.POST.getlist(name) if "@" in value and "\0" not in value][:PAGE]
    others = contacts.colleagues(owner, addresses=given) if given else []
    return [Address(each.name, each.mail) for each in (*own, *others)]


def _numbers(request: HttpRequest, name: str) -> list[int]:
    return [int(number) for number in request.POST.getlist(name) if number.isdecimal() and len(number) < 11]


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def contact(request: Request, mail: imap.Mail, number: int | None = None) -> HttpResponse:
    """Somebody new (perhaps from ?name=…&mail=…), or one who is there."""
    owner = request.visitor.address
    known = Contact.objects.filter(owner=owner, pk=number).first() if number else None
    if number and known is None:
        raise Http404
    given = request.POST if request.method == "POST" else request.GET
    shown = contacts.card_of(known) if known and request.method != "POST" else _given(given)
    problem = ""
    if request.method == "POST":
        try:
            contacts.keep(owner, shown, known)
        except contacts.Unusable as error:
            problem = str(error)
        else:
            messages.success(request, _("The contact was saved."))
            return redirect("contacts")
    context = frame.around(request, mail) | {"card": shown, "known": known, "problem": problem}
    return render(request, "webmail/contact.html", context, status=422 if problem else 200)


def _given(values: Any) -> cards.Card:
    named = {name: values.get(name, "") for name in ("name", "mail", "nickname", "note")}
    return cards.card(**named, groups=values.get("groups", "").replace("，", ",").replace("、", ",").split(","))


@never_cache
@require_safe
@signed_in
def export(request: Request, _mail: imap.Mail, kind: str) -> HttpResponse:
    people = contacts.cards(request.visitor.address)
    if kind == "csv":
        response = HttpResponse(cards.comma_separated(people), content_type="text/csv; charset=utf-8")
    else:
        response = HttpResponse(cards.vcard(people), content_type="text/vcard; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="contacts.{kind}"'
    return response


@require_POST
@signed_in
def take_in(request: Request, _mail: imap.Mail) -> HttpResponse:
    file = request.FILES.get("file")
    if file is None or (file.size or 0) > cards.LARGEST:
        messages.error(request, _("Please choose a vCard or CSV file of at most 5 MB."))
        return redirect("contacts")
    found = contacts.take_in(request.visitor.address, cards.read(file.read()))
    said = _("Contacts added: %(added)d, changed: %(changed)d, passed over: %(passed)d.")
    values = {"added": found.added, "changed": found.changed, "passed": found.passed_over}
    messages.success(request, said % values)
    return redirect("contacts")


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def pick(request: Request, mail: imap.Mail, token: str) -> HttpResponse:
    """Recipients for the letter `token`, by checkbox; then back to it."""
    owner = request.visitor.address
    fields = uploads.kept(token, owner)
    if fields is None:
        messages.info(request, _("This letter was sent or discarded already."))
        return redirect("contacts")
    if request.method != "POST":
        context = frame.around(request, mail) | _listed(request, owner) | {"token": token}
        return render(request, "webmail/pick.html", context)
    for name in ("to", "cc", "bcc"):
        added = [each.full for each in _chosen(request, owner, name)]
        fields[name] = ", ".join(filter(None, [str(fields.get(name) or "").strip().rstrip(","), *added]))
    uploads.keep(token, owner, fields)
    return redirect("resume", token)
