"""Every parameter: what it does, what is in force and why, and changing it."""

from dataclasses import dataclass

from django import forms
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from mailadmin import listing
from mailadmin.forms import Form
from mailadmin.pages import history
from mailadmin.pages.answers import done, show
from mailadmin.permissions import Reach, seeing_system
from mailcore import conf
from mailcore.conf.kinds import BOOLEAN
from mailcore.models import Change
from mailcore.store import parameters

_ORIGINS = ("set", "environment", "default")
_HIDDEN = "••••••"


@dataclass(frozen=True, slots=True)
class Row:
    name: str
    value: str
    origin: str
    help: str


@require_safe
@seeing_system
def settings(request: HttpRequest, reach: Reach) -> HttpResponse:
    q, origin = listing.term(request), listing.choice(request, "origin", _ORIGINS)
    known, origins = conf.specs(), conf.origins()
    rows = [_row(known[name], text, origins[name]) for name, text in conf.effective().items()]
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
    return show(request, reach, "settings", context)


def _origins() -> list[tuple[str, str]]:
    words = {"set": _("set here"), "environment": _("from the environment"), "default": _("default")}
    return [(name, words[name]) for name in _ORIGINS]


def _row(spec: conf.Spec, text: str, came_from: str) -> Row:
    return Row(spec.name, _HIDDEN if spec.secret and text else text, came_from, str(spec.help))


class ParameterForm(Form):
    """One field, as the parameter's kind wants it. Empty is a value; the default has a button of its own."""

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
@seeing_system
def setting(request: HttpRequest, reach: Reach, name: str) -> HttpResponse:
    try:
        spec = conf.specs()[name]
    except KeyError:
        raise Http404 from None
    origin = conf.origin(name)
    text = "" if spec.secret else conf.effective()[name]
    read_only = not reach.changes_system or origin == "environment"
    form = ParameterForm(name, request.POST or None, initial={"value": text})
    if request.method == "POST":
        if read_only:
            raise PermissionDenied
        if request.POST.get("default") or form.is_valid():
            value = None if request.POST.get("default") else " ".join(form.cleaned_data["value"].split())
            try:
                parameters.change({name: value})
            except ValueError as error:
                form.add_error(None, str(error))
            else:
                words = _("%(name)s is in force now.") % {"name": name}
                return done(request, reach, words, "mailadmin:settings")
    context = {
        "section": "settings",
        "form": form,
        "spec": spec,
        "origin": origin,
        "origin_words": dict(_origins())[origin],
        "default": spec.default,
        "expanded": "" if spec.secret else conf.expanded(name, text),
        "read_only": read_only,
        "lines": history.lines(
            reach, Change.objects.filter(action="setting.change", subject=name).order_by("-pk")[:20]
        ),
    }
    return show(request, reach, "setting", context, status=400 if form.errors else 200)
