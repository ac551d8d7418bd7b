"""/account/security: the second factor. Whoever signed in longer ago than step_up_time shows the password, or a factor,
once more before anything is changed here."""

import functools
import io
import time
from collections.abc import Callable
from typing import Concatenate, ParamSpec

import segno
from django.contrib import messages
from django.contrib.auth import HASH_SESSION_KEY, authenticate
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme, urlencode
from django.utils.safestring import mark_safe
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from mailadmin import door
from mailadmin.pages.answers import done, show
from mailadmin.pages.second import challenge, give_up, shows, site
from mailadmin.permissions import Reach, own
from mailcore import conf
from mailcore.models import Account
from mailcore.store import factors, guessing, webauthn
from mailcore.store.guessing import Busy
from mailcore.store.webauthn import NotValid
from mailcore.wire import totp

_NEW = "new app"  # in the session: the sealed key of the app that is being set up

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, Reach, P], HttpResponse]


def sure(view: View[P]) -> View[P]:
    """The visitor proved who they are within step_up_time, else is asked to, and comes back."""

    @functools.wraps(view)
    def asked(request: HttpRequest, reach: Reach, /, *values: P.args, **named: P.kwargs) -> HttpResponse:
        if time.time() - request.session.get(door.PROVED, 0) < conf.current().step_up_time:
            return view(request, reach, *values, **named)
        wanted = request.get_full_path() if request.method == "GET" else reverse("mailadmin:security")
        return redirect(f"{reverse('mailadmin:confirm')}?{urlencode({'next': wanted})}")

    return asked


@sensitive_post_parameters("password", "code")
@require_http_methods(["GET", "HEAD", "POST"])
@own
def confirm(request: HttpRequest, reach: Reach) -> HttpResponse:
    """Is it still you? The password, or where there is a second factor that."""
    me, problem = reach.visitor, ""
    wanted = request.POST.get("next") or request.GET.get("next") or ""
    safe = url_has_allowed_host_and_scheme(wanted, {request.get_host()}, require_https=request.is_secure())
    if request.method == "POST":
        if me.second_factor and not guessing.count_code(request.session.session_key or ""):
            return give_up(request, me)
        try:
            step = guessing.SECOND if me.second_factor else guessing.FIRST
            if door.judged(request, me.address, lambda: _proves(request, me) or None, step):
                door.prove(request, me)
                return redirect(wanted if safe else reverse("mailadmin:security"))
            problem = _("This is not right. Please try again.")
        except Busy:
            problem = door.busy()
    context = {
        "section": "security",
        "problem": problem,
        "next": wanted if safe else "",
        "factors": factors.of(me.pk),
        "passkeys": factors.passkeys(me.pk),
        "challenge": challenge(request),
        "site": site(request),
    }
    return show(request, reach, "confirm", context, status=401 if problem else 200)


def _proves(request: HttpRequest, me: Account) -> bool:
    if me.second_factor:
        return shows(request, me.pk)
    return authenticate(request, username=me.address, password=request.POST.get("password", "")) is not None


@require_http_methods(["GET", "HEAD"])
@own
def security(request: HttpRequest, reach: Reach) -> HttpResponse:
    me = reach.visitor
    required = me.role in conf.current().second_factor_roles
    context = {"section": "security", "factors": factors.of(me.pk), "required": required}
    return show(request, reach, "security", context)


@sensitive_post_parameters("code")
@require_http_methods(["GET", "HEAD", "POST"])
@own
@sure
def add_app(request: HttpRequest, reach: Reach) -> HttpResponse:
    me, problem = reach.visitor, ""
    sealed = request.session.get(_NEW)
    if request.method == "POST" and sealed:
        label = request.POST.get("label", "").strip() or _("Authenticator app")
        had = factors.of(me.pk).codes
        if factors.add_app(me.pk, label, sealed, request.POST.get("code", "")[:20]):
            request.session.pop(_NEW)
            return _set_up(request, reach, had)
        problem = _("This is not the code the app shows now. Is the phone's clock right?")
    else:
        sealed = request.session[_NEW] = factors.new_key()
    key = factors.key_of(sealed)
    issuer = conf.current().mail_name
    context = {
        "section": "security",
        "problem": problem,
        "picture": _picture(totp.uri(key, issuer, me.address)),
        "key": totp.typed_key(key),
        "issuer": issuer,
    }
    response = show(request, reach, "add_app", context, status=400 if problem else 200)
    response["Cache-Control"] = "no-store"
    return response


def _picture(text: str) -> str:
    """A QR code as SVG. Black on white in dark pages too: cameras want it so."""
    out = io.BytesIO()
    segno.make(text, error="m").save(out, kind="svg", xmldecl=False, svgns=True, border=3, light="#fff", omitsize=True)
    return mark_safe(out.getvalue().decode())  # noqa: S308  (drawn by segno from our own text)


@require_http_methods(["GET", "HEAD", "POST"])
@own
@sure
def add_passkey(request: HttpRequest, reach: Reach) -> HttpResponse:
    me, problem = reach.visitor, ""
    if request.method == "POST":
        given, asked = request.POST, request.session.pop("challenge", "")
        had = factors.of(me.pk).codes
        proof = (given.get("passkey", ""), given.get("client", ""), given.get("authenticator", ""))
        try:
            passkey = webauthn.registered(site(request), asked, *proof, given.get("public", ""))
            factors.add_passkey(me.pk, given.get("label", "").strip() or _("Passkey"), passkey)
        except NotValid:
            problem = _("This did not work. Please try again.")
        else:
            return _set_up(request, reach, had)
    context = {
        "section": "security",
        "problem": problem,
        "challenge": challenge(request),
        "site": site(request),
        "user": webauthn.encode(f"account {me.pk}".encode()),
        "passkeys": factors.passkeys(me.pk),
    }
    return show(request, reach, "add_passkey", context, status=400 if problem else 200)


def _set_up(request: HttpRequest, reach: Reach, codes_before: int) -> HttpResponse:
    """The factor counts from now on; with the first one come recovery codes."""
    _keep_session(request, reach)
    if codes_before:
        return done(request, reach, _("The second factor has been set up."), "mailadmin:security")
    messages.success(request, _("The second factor has been set up."))
    return _codes(request, reach)


def _keep_session(request: HttpRequest, reach: Reach) -> None:
    request.session[HASH_SESSION_KEY] = Account.objects.get(pk=reach.visitor.pk).get_session_auth_hash()


@require_POST
@own
@sure
def make_codes(request: HttpRequest, reach: Reach) -> HttpResponse:
    if not reach.visitor.second_factor:
        return redirect("mailadmin:security")
    return _codes(request, reach)


def _codes(request: HttpRequest, reach: Reach) -> HttpResponse:
    context = {"section": "security", "codes": factors.make_codes(reach.visitor.pk)}
    response = show(request, reach, "codes", context)
    response["Cache-Control"] = "no-store"
    return response


@require_POST
@own
@sure
def remove(request: HttpRequest, reach: Reach, factor_id: int) -> HttpResponse:
    if not factors.remove(reach.visitor.pk, factor_id):
        return redirect("mailadmin:security")
    return done(request, reach, _("The second factor has been removed."), "mailadmin:security")
