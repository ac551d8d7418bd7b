"""Delivery simulator: would a message be accepted, and where would it go; evaluated by the real policy code."""

from django import forms
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from mailadmin.forms import Form
from mailadmin.permissions import Permissions, requires_system_view
from mailadmin.views.page_responses import render_page
from mailcore.mta.policy.explain import Explanation, explain_delivery


class SimulationForm(Form):
    client = forms.GenericIPAddressField(label=_("Client address"), initial="203.0.113.1")
    helo = forms.CharField(label=_("Client calls itself"), required=False, max_length=255)
    sender = forms.CharField(
        label=_("Sender"), required=False, max_length=320, help_text=_("Empty: the null sender, as bounces have it.")
    )
    recipient = forms.CharField(label=_("Recipient"), max_length=320)
    login = forms.CharField(label=_("Signed in as"), required=False, max_length=320)
    size = forms.IntegerField(label=_("Size in bytes"), required=False, min_value=0, max_value=2**40)
    tls = forms.BooleanField(label=_("Encrypted"), required=False)

    def answer(self) -> Explanation:
        data = self.cleaned_data
        return explain_delivery(
            data["client"],
            data["sender"],
            data["recipient"],
            helo=data["helo"],
            login=data["login"],
            size=data["size"] or 0,
            tls="TLSv1.3" if data["tls"] else "",
        )


@require_safe
@requires_system_view
def simulator(request: HttpRequest, permissions: Permissions) -> HttpResponse:
    form = SimulationForm(request.GET if "recipient" in request.GET else None)
    answer = None
    if form.is_valid():
        answer = form.answer()
    context = {"section": "simulator", "form": form, "answer": answer}
    return render_page(request, permissions, "simulator", context, status=400 if form.errors else 200)
