"""/account/tokens: what scripts show under /api/."""

from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods, require_POST

from mailadmin.forms import Form
from mailadmin.pages.answers import done, show, shown_once
from mailadmin.pages.security import sure
from mailadmin.permissions import Reach, seeing
from mailcore.store import apitokens


class TokenForm(Form):
    label = forms.CharField(label=gettext_lazy("For which script?"), max_length=100)
    expires = forms.DateField(
        label=gettext_lazy("Expires on"), required=False, input_formats=["%Y-%m-%d"],
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
    )  # fmt: skip
    writes = forms.BooleanField(
        label=gettext_lazy("May change things"), required=False, help_text=gettext_lazy("Otherwise it only reads.")
    )

    def clean_expires(self) -> object:
        day = self.cleaned_data["expires"]
        if day is not None and day < timezone.localdate():
            raise forms.ValidationError(_("This day is over."))
        return day


@require_http_methods(["GET", "HEAD", "POST"])
@seeing
@sure
def tokens(request: HttpRequest, reach: Reach) -> HttpResponse:
    form = TokenForm(request.POST or None)
    if form.is_valid():
        given = form.cleaned_data
        token = apitokens.make(reach.visitor.pk, given["label"], writes=given["writes"], expires=given["expires"])
        title = _("A token for “%(label)s”") % {"label": given["label"]}
        back = reverse("mailadmin:tokens")
        return shown_once(request, reach, title=title, address=reach.visitor.address, secret=token, back=back)
    context = {"section": "tokens", "form": form, "made": apitokens.of(reach.visitor.pk)}
    return show(request, reach, "tokens", context, status=400 if form.errors else 200)


@require_POST
@seeing
def revoke(request: HttpRequest, reach: Reach, token_id: int) -> HttpResponse:
    if not apitokens.revoke(reach.visitor.pk, token_id):
        return redirect("mailadmin:tokens")
    return done(request, reach, _("The token has been revoked."), "mailadmin:tokens")
