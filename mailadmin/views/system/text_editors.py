"""Parameters and lookup tables as text, and import of Postfix files: validated, then saved as a whole."""

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

from mailadmin.permissions import Permissions, requires_system_change, requires_system_view
from mailadmin.recent_login import changes_need_recent_login
from mailadmin.views.directory.csv_files import FileForm
from mailadmin.views.page_responses import redirect_with_notice, render_page
from mailcore import conf
from mailcore.models import AccessEntry
from mailcore.store.db import audit
from mailcore.store.settings import lookup_tables, parameter_changes
from mailcore.store.setup import postfix_import
from mailcore.wire.files import main_cf_file
from mailcore.wire.files import table_files as grammar
from mailcore.wire.files.table_files import LineError

_MAX_ENTRIES = 5000  # entries of a table that can be edited as one text


@dataclass(frozen=True, slots=True)
class Difference:
    name: str
    old: str | None
    new: str | None  # None: reset to the default


# --- postconf -n ----------------------------------------------------------------------------------


@require_http_methods(["GET", "HEAD", "POST"])
@requires_system_view
@changes_need_recent_login
def settings_text(request: HttpRequest, permissions: Permissions) -> HttpResponse:
    """Edit all parameters that are set, in the format of `postconf -n`.

    Parameters missing from the text are reset to their defaults; secrets and values from the environment are not shown.
    """
    shown = _stored_settings()
    text, problems, differences = main_cf_file.format_main_cf(shown), [], []
    if request.method == "POST":
        if not permissions.can_change_system:
            raise PermissionDenied
        text = request.POST.get("text", "")
        wanted, problems = _parse_settings_text(text)
        differences = [
            Difference(name, shown.get(name), wanted.get(name))
            for name in sorted({*shown, *wanted})
            if shown.get(name) != wanted.get(name)
        ]
        if not problems:
            problems = _apply_changes({each.name: each.new for each in differences}, really="save" in request.POST)
        if "save" in request.POST and not problems:
            return redirect_with_notice(request, permissions, _("The settings are in force now."), "mailadmin:settings")
    context = {
        "section": "settings",
        "text": text,
        "problems": problems,
        "differences": differences,
        "asked": request.method == "POST",
    }
    return render_page(
        request, permissions, "settings_text", context, status=400 if problems and "save" in request.POST else 200
    )


def _stored_settings() -> dict[str, str]:
    known, origins = conf.specs(), conf.origins()
    return {
        name: value
        for name, value in conf.explicit_values().items()
        if origins[name] == "set" and not known[name].secret
    }


def _parse_settings_text(text: str) -> tuple[dict[str, str], list[str]]:
    wanted: dict[str, str] = {}
    problems: list[str] = []
    lines = list(main_cf_file.parse_assignments(text.splitlines()))
    classes = {each.name: each.value for each in lines if not isinstance(each, LineError)}
    known = conf.specs({**conf.explicit_values(), **classes})
    for each in lines:
        if isinstance(each, LineError):
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


def _apply_changes(changes: dict[str, str | None], *, really: bool) -> list[str]:
    try:
        with transaction.atomic():
            parameter_changes.change_parameters(changes)
            if not really:
                transaction.set_rollback(True)
    except ValueError as error:
        return [str(error)]
    finally:
        conf.refresh()
    return []


@require_safe
@requires_system_view
def main_cf_download(request: HttpRequest, permissions: Permissions) -> HttpResponse:
    return _download(postfix_import.export_text("main.cf"), "main.cf")


def _download(text: str, name: str) -> HttpResponse:
    response = HttpResponse(text, content_type="text/plain; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


# --- Import from Postfix --------------------------------------------------------------------------


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
        data = super().clean() or {}
        if data.get("kind") == "table" and not data.get("name"):
            self.add_error("name", _("A table needs a name."))
        return data


@sensitive_post_parameters("text")
@require_http_methods(["GET", "HEAD", "POST"])
@requires_system_change
@changes_need_recent_login
def import_from_postfix(request: HttpRequest, permissions: Permissions) -> HttpResponse:
    form = PostfixForm(request.POST or None, request.FILES or None)
    found: list[postfix_import.LineReport] = []
    really, tried = "import" in request.POST, False
    if form.is_valid():
        data = form.cleaned_data
        try:
            text = form.content()
        except ValueError as error:
            form.add_error("file", str(error))
        else:
            found = postfix_import.import_text(data["kind"], text, name=data["name"], really=really)
            tried = True
            form = PostfixForm(initial={"kind": data["kind"], "name": data["name"], "text": text})
    context = {
        "section": "settings",
        "form": form,
        "found": sorted(found, key=lambda each: each.taken),
        "taken": sum(each.taken for each in found),
        "refused": sum(not each.taken for each in found),
        "tried": tried,
        "really": really,
    }
    return render_page(request, permissions, "postfix", context, status=400 if form.errors else 200)


# --- Tables ---------------------------------------------------------------------------------------


@require_safe
@requires_system_view
def table_list(request: HttpRequest, permissions: Permissions) -> HttpResponse:
    return render_page(request, permissions, "tables", {"section": "tables", "rows": known_tables()})


def known_tables() -> list[tuple[str, int, list[str]]]:
    """Return (name, entries, parameters that refer to it) of all tables with entries or references."""
    counts = dict(AccessEntry.objects.values_list("table").order_by().annotate(n=Count("pk")))
    references: dict[str, list[str]] = {}
    data = conf.explicit_values()
    for name in conf.SPECS:
        for word in str(conf.raw_value(name, data)).replace(",", " ").split():
            if ":" in word and name.endswith(("_maps", "_restrictions", "_clientcerts")) and "://" not in word:
                references.setdefault(lookup_tables.table_name(word), []).append(name)
    return [(name, counts.get(name, 0), references.get(name, [])) for name in sorted({*counts, *references})]


def is_table_name(name: str) -> bool:
    return 0 < len(name) <= 100 and all(character.isalnum() or character in "_.-" for character in name)


def restore_hidden_secrets(name: str, wanted: Mapping[str, str]) -> dict[str, str]:
    """Return the entries with the stored value in place of each hidden secret."""
    if not lookup_tables.is_secret(name):
        return dict(wanted)
    stored = dict(lookup_tables.list_entries(name))
    return {key: stored.get(key, "") if value == audit.HIDDEN else value for key, value in wanted.items()}


@sensitive_post_parameters("text")
@require_http_methods(["GET", "HEAD", "POST"])
@requires_system_view
def edit_table(request: HttpRequest, permissions: Permissions, name: str) -> HttpResponse:
    """Edit one table in the format of postmap; a secret table shows its keys only, and unchanged entries stay."""
    if not name or len(name) > 100:
        raise Http404
    secret = lookup_tables.is_secret(name)
    stored = (
        dict(lookup_tables.list_entries(name))
        if AccessEntry.objects.filter(table=name).count() <= _MAX_ENTRIES
        else None
    )
    text = (
        ""
        if stored is None
        else "".join(f"{key}\t{audit.HIDDEN if secret else value}\n" for key, value in stored.items())
    )
    problems: list[str] = []
    if request.method == "POST":
        if not permissions.can_change_system or stored is None:
            raise PermissionDenied
        text = request.POST.get("text", "")
        wanted, problems = _parse_pairs(text)
        if not problems and "save" in request.POST:
            lookup_tables.replace_entries(name, restore_hidden_secrets(name, wanted))
            return redirect_with_notice(
                request, permissions, _("%(name)s has been saved.") % {"name": name}, "mailadmin:tables"
            )
    context = {
        "section": "tables",
        "name": name,
        "text": text,
        "problems": problems,
        "asked": request.method == "POST",
        "many": stored is None,
        "secret": secret,
    }
    return render_page(
        request, permissions, "table", context, status=400 if problems and "save" in request.POST else 200
    )


def _parse_pairs(text: str) -> tuple[dict[str, str], list[str]]:
    wanted: dict[str, str] = {}
    problems = []
    for each in grammar.parse_pairs(text.splitlines()):
        if isinstance(each, LineError):
            problems.append(_("Line %(n)d: %(why)s") % {"n": each.line, "why": each.text})
        elif each.key in wanted:
            problems.append(_("Line %(n)d: %(why)s") % {"n": each.line, "why": f"{each.key}: {_('twice')}"})
        else:
            wanted[each.key] = each.value
    return wanted, problems


@require_http_methods(["POST"])
@requires_system_change
def new_table(request: HttpRequest, permissions: Permissions) -> HttpResponse:
    name = lookup_tables.table_name(request.POST.get("name", "").strip())
    if not is_table_name(name):
        return redirect("mailadmin:tables")
    return redirect("mailadmin:table", name)
