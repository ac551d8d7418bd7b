"""API tokens (/account/tokens)."""

from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods, require_POST

from mailadmin import security_notice
from mailadmin.forms import Form
from mailadmin.permissions import Permissions, requires_view
from mailadmin.recent_login import requires_recent_login
from mailadmin.views.page_responses import redirect_with_notice, render_page, show_secret_once
from mailcore.store.credentials import api_tokens


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
@requires_view
@requires_recent_login
def own_tokens(request: HttpRequest, permissions: Permissions) -> HttpResponse:
    form = TokenForm(request.POST or None)
    if form.is_valid():
        data = form.cleaned_data
        token = api_tokens.create_token(
            permissions.visitor.pk, data["label"], writes=data["writes"], expires=data["expires"]
        )
        security_notice.notify_owner(request, permissions, permissions.visitor.pk, "token")
        title = _("A token for “%(label)s”") % {"label": data["label"]}
        back = reverse("mailadmin:tokens")
        return show_secret_once(
            request, permissions, title=title, address=permissions.visitor.address, secret=token, back=back
        )
    context = {"section": "tokens", "form": form, "made": api_tokens.list_tokens(permissions.visitor.pk)}
    return render_page(request, permissions, "tokens", context, status=400 if form.errors else 200)


@require_POST
@requires_view
def revoke_token(request: HttpRequest, permissions: Permissions, token_id: int) -> HttpResponse:
    if not api_tokens.revoke_token(permissions.visitor.pk, token_id):
        return redirect("mailadmin:tokens")
    return redirect_with_notice(request, permissions, _("The token has been revoked."), "mailadmin:tokens")
