"""Parameters: the list, and each one's description, effective value, origin and history."""

from dataclasses import dataclass

from django import forms
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from mailadmin import list_page
from mailadmin.forms import Form
from mailadmin.permissions import Permissions, requires_system_view
from mailadmin.recent_login import changes_need_recent_login
from mailadmin.views.page_responses import redirect_with_notice, render_page
from mailadmin.views.system import audit_log
from mailcore import conf
from mailcore.conf.value_types import BOOLEAN
from mailcore.models import Change
from mailcore.store.settings import parameter_changes

_ORIGINS = ("set", "environment", "default")
_HIDDEN = "••••••"


@dataclass(frozen=True, slots=True)
class Row:
    name: str
    value: str
    origin: str
    help: str
    group: str


@require_safe
@requires_system_view
def parameter_list(request: HttpRequest, permissions: Permissions) -> HttpResponse:
    q, origin = list_page.search_term(request), list_page.query_choice(request, "origin", _ORIGINS)
    specs_by_name, origins = conf.specs(), conf.origins()
    rows = [_setting_row(specs_by_name[name], text, origins[name]) for name, text in conf.effective().items()]
    words = q.lower().split()
    shown = [
        row
        for row in rows
        if (not origin or row.origin == origin)
        and all(word in f"{row.name} {row.value} {row.help}".lower() for word in words)
    ]
    context = {
        "section": "settings",
        "rows": shown,
        "q": q,
        "origin": origin,
        "origins": _origins(),
        "problems": conf.problems(),
    }
    return render_page(request, permissions, "settings", context)


def _origins() -> list[tuple[str, str]]:
    words = {"set": _("set here"), "environment": _("from the environment"), "default": _("default")}
    return [(name, words[name]) for name in _ORIGINS]


def _setting_row(spec: conf.Spec, text: str, came_from: str) -> Row:
    return Row(spec.name, _HIDDEN if spec.secret and text else text, came_from, str(spec.help), str(spec.group))


class ParameterForm(Form):
    """One field according to the parameter's type; an empty text is a value, the default has its own button."""

    def __init__(self, name: str, *values: object, **named: object) -> None:
        super().__init__(*values, **named)  # type: ignore[arg-type]
        spec = conf.specs()[name]
        if spec.kind is BOOLEAN:
            field: forms.Field = forms.ChoiceField(choices=[("yes", _("yes")), ("no", _("no"))])
        else:
            field = forms.CharField(
                required=False, max_length=10_000, widget=forms.Textarea(attrs={"rows": 3, "spellcheck": "false"})
            )
        field.label, field.help_text = name, str(spec.kind.name)
        self.fields["value"] = field


@require_http_methods(["GET", "HEAD", "POST"])
@requires_system_view
@changes_need_recent_login
def parameter_page(request: HttpRequest, permissions: Permissions, name: str) -> HttpResponse:
    try:
        spec = conf.specs()[name]
    except KeyError:
        raise Http404 from None
    origin = conf.origin(name)
    text = "" if spec.secret else conf.effective()[name]
    read_only = not permissions.can_change_system or origin == "environment"
    form = ParameterForm(name, request.POST or None, initial={"value": text})
    if request.method == "POST":
        if read_only:
            raise PermissionDenied
        if request.POST.get("default") or form.is_valid():
            value = None if request.POST.get("default") else " ".join(form.cleaned_data["value"].split())
            try:
                parameter_changes.change_parameters({name: value})
            except ValueError as error:
                form.add_error(None, str(error))
            else:
                words = _("%(name)s is in force now.") % {"name": name}
                return redirect_with_notice(request, permissions, words, "mailadmin:settings")
    context = {
        "section": "settings",
        "form": form,
        "spec": spec,
        "origin": origin,
        "origin_words": dict(_origins())[origin],
        "default": spec.default,
        "expanded": "" if spec.secret else conf.expand_value(name, text),
        "read_only": read_only,
        "lines": audit_log.describe_changes(
            permissions, Change.objects.filter(action="setting.change", subject=name).order_by("-pk")[:20]
        ),
    }
    return render_page(request, permissions, "setting", context, status=400 if form.errors else 200)
