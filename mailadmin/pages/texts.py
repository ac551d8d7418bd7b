"""Settings, tables and a Postfix's files as text: looked over, then saved as a whole."""

from collections.abc import Mapping
from dataclasses import dataclass

from django import forms
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Count
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_safe

from mailadmin.pages.answers import done, show
from mailadmin.pages.files import FileForm
from mailadmin.permissions import Reach, changing_system, seeing_system
from mailcore import conf
from mailcore.models import AccessEntry
from mailcore.store import audit, parameters, postfix, tables
from mailcore.wire import maincf
from mailcore.wire import tables as grammar
from mailcore.wire.tables import Complaint

_MOST = 5000  # entries of a table that are edited as one text


@dataclass(frozen=True, slots=True)
class Difference:
    name: str
    old: str | None
    new: str | None  # None: back to the default


# --- postconf -n ----------------------------------------------------------------------------------


@require_http_methods(["GET", "HEAD", "POST"])
@seeing_system
def settings_text(request: HttpRequest, reach: Reach) -> HttpResponse:
    """Everything that was set, as `postconf -n` shows it. What is no longer in the text goes back to its default; the
    environment's values and secrets are not in it."""
    shown = _set_here()
    text, problems, differences = maincf.render(shown), [], []
    if request.method == "POST":
        if not reach.changes_system:
            raise PermissionDenied
        text = request.POST.get("text", "")
        wanted, problems = _read(text)
        differences = [
            Difference(name, shown.get(name), wanted.get(name))
            for name in sorted({*shown, *wanted})
            if shown.get(name) != wanted.get(name)
        ]
        if not problems:
            problems = _try({each.name: each.new for each in differences}, really="save" in request.POST)
        if "save" in request.POST and not problems:
            return done(request, reach, _("The settings are in force now."), "mailadmin:settings")
    context = {
        "section": "settings",
        "text": text,
        "problems": problems,
        "differences": differences,
        "asked": request.method == "POST",
    }
    return show(request, reach, "settings_text", context, status=400 if problems and "save" in request.POST else 200)


def _set_here() -> dict[str, str]:
    known, origins = conf.specs(), conf.origins()
    return {name: value for name, value in conf.given().items() if origins[name] == "set" and not known[name].secret}


def _read(text: str) -> tuple[dict[str, str], list[str]]:
    wanted: dict[str, str] = {}
    problems: list[str] = []
    lines = list(maincf.assignments(text.splitlines()))
    classes = {each.name: each.value for each in lines if not isinstance(each, Complaint)}
    known = conf.specs({**conf.given(), **classes})
    for each in lines:
        if isinstance(each, Complaint):
            problems.append(_("Line %(n)d: %(why)s") % {"n": each.line, "why": each.text})
        elif each.name not in known:
            why = _("There is no such parameter here.")
            problems.append(_("Line %(n)d: %(why)s") % {"n": each.line, "why": f"{each.name}: {why}"})
        elif conf.origin(each.name) == "environment":
            why = _("The environment sets this (MAIL_…).")
            problems.append(_("Line %(n)d: %(why)s") % {"n": each.line, "why": f"{each.name}: {why}"})
        else:
            wanted[each.name] = each.value
    return wanted, problems


def _try(changes: dict[str, str | None], *, really: bool) -> list[str]:
    try:
        with transaction.atomic():
            parameters.change(changes)
            if not really:
                transaction.set_rollback(True)
    except ValueError as error:
        return [str(error)]
    finally:
        conf.refresh()
    return []


@require_safe
@seeing_system
def main_cf(request: HttpRequest, reach: Reach) -> HttpResponse:
    return _download(postfix.written("main.cf"), "main.cf")


def _download(text: str, name: str) -> HttpResponse:
    response = HttpResponse(text, content_type="text/plain; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


# --- From a Postfix -------------------------------------------------------------------------------


class PostfixForm(FileForm):
    kind = forms.ChoiceField(
        label=gettext_lazy("Which file?"),
        choices=[
            ("main.cf", "main.cf, postconf -n"), ("virtual", "virtual"), ("aliases", "aliases"),
            ("table", gettext_lazy("a table: access, transport, …")),
        ],
    )  # fmt: skip
    name = forms.RegexField(
        r"[\w.-]{1,100}", label=gettext_lazy("Name of the table"), required=False,
        help_text=gettext_lazy("As the restrictions and parameters call it, e.g. transport or sender_access."),
    )  # fmt: skip
    file = forms.FileField(label=gettext_lazy("File"), required=False)
    field_order = ("kind", "name", "file", "text")

    def clean(self) -> dict[str, object]:
        given = super().clean() or {}
        if given.get("kind") == "table" and not given.get("name"):
            self.add_error("name", _("A table needs a name."))
        return given


@sensitive_post_parameters("text")
@require_http_methods(["GET", "HEAD", "POST"])
@changing_system
def from_postfix(request: HttpRequest, reach: Reach) -> HttpResponse:
    form = PostfixForm(request.POST or None, request.FILES or None)
    found: list[postfix.Verdict] = []
    really, tried = "import" in request.POST, False
    if form.is_valid():
        given = form.cleaned_data
        try:
            text = form.content()
        except ValueError as error:
            form.add_error("file", str(error))
        else:
            found = postfix.take(given["kind"], text, name=given["name"], really=really)
            tried = True
            form = PostfixForm(initial={"kind": given["kind"], "name": given["name"], "text": text})
    context = {
        "section": "settings",
        "form": form,
        "found": sorted(found, key=lambda each: each.taken),
        "taken": sum(each.taken for each in found),
        "refused": sum(not each.taken for each in found),
        "tried": tried,
        "really": really,
    }
    return show(request, reach, "postfix", context, status=400 if form.errors else 200)


# --- Tables ---------------------------------------------------------------------------------------


@require_safe
@seeing_system
def table_list(request: HttpRequest, reach: Reach) -> HttpResponse:
    return show(request, reach, "tables", {"section": "tables", "rows": known_tables()})


def known_tables() -> list[tuple[str, int, list[str]]]:
    """(name, entries, the parameters that name it) of tables that have entries, and of those that parameters name."""
    counts = dict(AccessEntry.objects.values_list("table").order_by().annotate(n=Count("pk")))
    users: dict[str, list[str]] = {}
    given = conf.given()
    for name in conf.SPECS:
        for word in str(conf.raw(name, given)).replace(",", " ").split():
            if ":" in word and name.endswith(("_maps", "_restrictions", "_clientcerts")) and "://" not in word:
                users.setdefault(tables.table_name(word), []).append(name)
    return [(name, counts.get(name, 0), users.get(name, [])) for name in sorted({*counts, *users})]


def is_table_name(name: str) -> bool:
    return 0 < len(name) <= 100 and all(sign.isalnum() or sign in "_.-" for sign in name)


def kept_secrets(name: str, wanted: Mapping[str, str]) -> dict[str, str]:
    """The same entries, with what is there where a password was left hidden."""
    if not tables.secret(name):
        return dict(wanted)
    there = dict(tables.entries(name))
    return {key: there.get(key, "") if value == audit.HIDDEN else value for key, value in wanted.items()}


@sensitive_post_parameters("text")
@require_http_methods(["GET", "HEAD", "POST"])
@seeing_system
def table(request: HttpRequest, reach: Reach, name: str) -> HttpResponse:
    """One table as postmap's text. Of a table of passwords only the keys are shown; an entry left as it is stays."""
    if not name or len(name) > 100:
        raise Http404
    secret = tables.secret(name)
    there = dict(tables.entries(name)) if AccessEntry.objects.filter(table=name).count() <= _MOST else None
    text = (
        ""
        if there is None
        else "".join(f"{key}\t{audit.HIDDEN if secret else value}\n" for key, value in there.items())
    )
    problems: list[str] = []
    if request.method == "POST":
        if not reach.changes_system or there is None:
            raise PermissionDenied
        text = request.POST.get("text", "")
        wanted, problems = _pairs(text)
        if not problems and "save" in request.POST:
            tables.replace(name, kept_secrets(name, wanted))
            return done(request, reach, _("%(name)s has been saved.") % {"name": name}, "mailadmin:tables")
    context = {
        "section": "tables",
        "name": name,
        "text": text,
        "problems": problems,
        "asked": request.method == "POST",
        "many": there is None,
        "secret": secret,
    }
    return show(request, reach, "table", context, status=400 if problems and "save" in request.POST else 200)


def _pairs(text: str) -> tuple[dict[str, str], list[str]]:
    wanted: dict[str, str] = {}
    problems = []
    for each in grammar.pairs(text.splitlines()):
        if isinstance(each, Complaint):
            problems.append(_("Line %(n)d: %(why)s") % {"n": each.line, "why": each.text})
        elif each.key in wanted:
            problems.append(_("Line %(n)d: %(why)s") % {"n": each.line, "why": f"{each.key}: {_('twice')}"})
        else:
            wanted[each.key] = each.value
    return wanted, problems


@require_http_methods(["POST"])
@changing_system
def new_table(request: HttpRequest, reach: Reach) -> HttpResponse:
    name = tables.table_name(request.POST.get("name", "").strip())
    if not is_table_name(name):
        return redirect("mailadmin:tables")
    return redirect("mailadmin:table", name)
