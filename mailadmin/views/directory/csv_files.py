"""CSV export and import of accounts, aliases and domains."""

from typing import Any

from django import forms
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, QueryDict, StreamingHttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_safe

from mailadmin import csv_io
from mailadmin.forms import Form
from mailadmin.permissions import Permissions, requires_change, requires_view
from mailadmin.recent_login import changes_need_recent_login
from mailadmin.views.directory import accounts, aliases, domains
from mailadmin.views.page_responses import render_page
from mailcore import conf
from mailcore.wire.text.charsets import decode_file

_MAX_LINES = 500  # lines of a report


@require_safe
@requires_view
def export_csv(request: HttpRequest, permissions: Permissions, kind: str) -> StreamingHttpResponse:
    """Export all rows of the list, with its filters."""
    if kind not in csv_io.COLUMNS:
        raise Http404
    rows = matching_rows(kind, request.GET, permissions)
    response = StreamingHttpResponse(csv_io.write_csv(kind, rows), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{kind}.csv"'
    return response


def matching_rows(kind: str, query: QueryDict, permissions: Permissions) -> QuerySet[Any]:
    """Return the rows that match the list's filters, in the order of their names."""
    match kind:
        case "accounts":
            return accounts.matching_accounts(query, permissions).order_by("address")
        case "aliases":
            return aliases.matching_aliases(query, permissions).order_by("address")
        case _:
            return domains.matching_domains(query, permissions).order_by("name")


class FileForm(Form):
    file = forms.FileField(label=gettext_lazy("CSV file"), required=False)
    text = forms.CharField(
        label=gettext_lazy("or its text"), required=False, strip=False,
        widget=forms.Textarea(attrs={"rows": 12, "spellcheck": "false", "wrap": "off"}),
    )  # fmt: skip

    def content(self) -> str:
        """Return the file's text, else the pasted text.

        Raise `ValueError` if the file is too large.
        """
        upload = self.cleaned_data["file"]
        if upload is None:
            return str(self.cleaned_data["text"])
        if upload.size > conf.current().import_size_limit:
            raise ValueError(_("The file is too large to be imported here."))
        return decode_file(upload.read())


@sensitive_post_parameters("text")
@require_http_methods(["GET", "HEAD", "POST"])
@requires_change
@changes_need_recent_login
def import_csv(request: HttpRequest, permissions: Permissions, kind: str) -> HttpResponse:
    """Validate the file and report errors by line; on the second submission import it."""
    if kind not in csv_io.COLUMNS:
        raise Http404
    if kind == "domains" and not permissions.can_change_system:
        raise PermissionDenied
    form = FileForm(request.POST or None, request.FILES or None)
    results: list[csv_io.LineResult] = []
    really = "import" in request.POST
    if form.is_valid():
        try:
            text = form.content()
            results = list(csv_io.import_rows(permissions, kind, text, really=really))
        except ValueError as error:
            form.add_error(None, str(error))
        else:
            # the text is in the form, so that the second submission needs no upload
            form = FileForm(initial={"text": text})
    wrong = [each for each in results if each.problem]
    context = {
        "section": kind,
        "kind": kind,
        "form": form,
        "found": (wrong + [each for each in results if not each.problem])[:_MAX_LINES],
        "more": max(0, len(results) - _MAX_LINES),
        "summary": csv_io.summarize(results) if results else None,
        "really": really and bool(results),
        "columns": (*csv_io.COLUMNS[kind], *(csv_io.SECRETS if kind == "accounts" else ())),
    }
    return render_page(request, permissions, "import", context, status=400 if form.errors else 200)
