"""The second factor (/account/security).

A user who logged in longer than step_up_time ago must prove the password or a factor again before changing anything
here.
"""

import io

import segno
from django.contrib import messages
from django.contrib.auth import HASH_SESSION_KEY, authenticate
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.safestring import mark_safe
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from mailadmin import security_notice, sign_in
from mailadmin.permissions import Permissions, requires_login
from mailadmin.recent_login import ask_for_proof, has_recent_login, requires_recent_login
from mailadmin.views.page_responses import redirect_with_notice, render_page
from mailadmin.views.profile.second_step import end_attempts, new_challenge, proves_factor, relying_party
from mailcore import conf
from mailcore.models import Account
from mailcore.store.auth import second_factors, throttle, webauthn
from mailcore.store.auth.throttle import TooManyAttempts
from mailcore.store.auth.webauthn import InvalidAssertion
from mailcore.wire.auth import totp

PENDING_KEY = "new app"  # session key: the encrypted key of the app being set up


@sensitive_post_parameters("password", "code")
@require_http_methods(["GET", "HEAD", "POST"])
@requires_login
def confirm_identity(request: HttpRequest, permissions: Permissions) -> HttpResponse:
    """Ask for the second factor, or for the password if there is none."""
    account, problem = permissions.visitor, ""
    target = request.POST.get("next") or request.GET.get("next") or ""
    safe = target.startswith("/") and url_has_allowed_host_and_scheme(target, None)
    if request.method == "POST":
        if account.second_factor and not throttle.count_code(request.session.session_key or ""):
            return end_attempts(request, account)
        try:
            step = throttle.SECOND if account.second_factor else throttle.FIRST
            if sign_in.throttled(request, account.address, lambda: _proves_identity(request, account) or None, step):
                sign_in.record_proof(request, account)
                return redirect(target if safe else reverse("mailadmin:security"))
            problem = _("This is not right. Please try again.")
        except TooManyAttempts:
            problem = sign_in.too_many_attempts()
    context = {
        "section": "security",
        "problem": problem,
        "next": target if safe else "",
        "factors": second_factors.list_factors(account.pk),
        "passkeys": second_factors.list_passkey_ids(account.pk),
        "challenge": new_challenge(request),
        "site": relying_party(request),
    }
    return render_page(request, permissions, "confirm", context, status=401 if problem else 200)


def _proves_identity(request: HttpRequest, account: Account) -> bool:
    if account.second_factor:
        return proves_factor(request, account.pk)
    return authenticate(request, username=account.address, password=request.POST.get("password", "")) is not None


@require_http_methods(["GET", "HEAD"])
@requires_login
def security(request: HttpRequest, permissions: Permissions) -> HttpResponse:
    account = permissions.visitor
    required = account.role in conf.current().second_factor_roles
    context = {"section": "security", "factors": second_factors.list_factors(account.pk), "required": required}
    return render_page(request, permissions, "security", context)


@sensitive_post_parameters("code")
@require_http_methods(["GET", "HEAD", "POST"])
@requires_login
@requires_recent_login
def add_app(request: HttpRequest, permissions: Permissions) -> HttpResponse:
    account, problem = permissions.visitor, ""
    encrypted_key = request.session.get(PENDING_KEY)
    if request.method == "POST" and encrypted_key:
        label = request.POST.get("label", "").strip() or _("Authenticator app")
        had = second_factors.list_factors(account.pk).codes
        if second_factors.add_authenticator(account.pk, label, encrypted_key, request.POST.get("code", "")[:20]):
            request.session.pop(PENDING_KEY)
            return _finish_setup(request, permissions, had)
        problem = _("This is not the code the app shows now. Is the phone's clock right?")
    else:
        encrypted_key = request.session[PENDING_KEY] = second_factors.new_totp_key()
    key = second_factors.decrypt_totp_key(encrypted_key)
    issuer = conf.current().mail_name
    context = {
        "section": "security",
        "problem": problem,
        "picture": _qr_code(totp.provisioning_uri(key, issuer, account.address)),
        "key": totp.format_key(key),
        "issuer": issuer,
    }
    response = render_page(request, permissions, "add_app", context, status=400 if problem else 200)
    response["Cache-Control"] = "no-store"
    return response


def _qr_code(text: str) -> str:
    """Return a QR code as SVG, black on white on dark pages too, because cameras need that."""
    out = io.BytesIO()
    segno.make(text, error="m").save(out, kind="svg", xmldecl=False, svgns=True, border=3, light="#fff", omitsize=True)
    return mark_safe(out.getvalue().decode())  # noqa: S308  (drawn by segno from our own text)


@require_http_methods(["GET", "HEAD", "POST"])
@requires_login
@requires_recent_login
def add_passkey(request: HttpRequest, permissions: Permissions) -> HttpResponse:
    account, problem = permissions.visitor, ""
    if request.method == "POST":
        post, checked = request.POST, request.session.pop("challenge", "")
        had = second_factors.list_factors(account.pk).codes
        proof = (post.get("passkey", ""), post.get("client", ""), post.get("authenticator", ""))
        try:
            passkey = webauthn.verify_registration(relying_party(request), checked, *proof, post.get("public", ""))
            second_factors.add_passkey(account.pk, post.get("label", "").strip() or _("Passkey"), passkey)
        except InvalidAssertion:
            problem = _("This did not work. Please try again.")
        else:
            return _finish_setup(request, permissions, had)
    context = {
        "section": "security",
        "problem": problem,
        "challenge": new_challenge(request),
        "site": relying_party(request),
        "user": webauthn.encode(f"account {account.pk}".encode()),
        "passkeys": second_factors.list_passkey_ids(account.pk),
    }
    return render_page(request, permissions, "add_passkey", context, status=400 if problem else 200)


def _finish_setup(request: HttpRequest, permissions: Permissions, codes_before: int) -> HttpResponse:
    """Activate the factor; with the first one, show recovery codes."""
    security_notice.notify_owner(request, permissions, permissions.visitor.pk, "factor")
    _keep_current_session(request, permissions)
    if codes_before:
        return redirect_with_notice(request, permissions, _("The second factor has been set up."), "mailadmin:security")
    messages.success(request, _("The second factor has been set up."))
    return _recovery_codes_page(request, permissions)


def _keep_current_session(request: HttpRequest, permissions: Permissions) -> None:
    request.session[HASH_SESSION_KEY] = Account.objects.get(pk=permissions.visitor.pk).get_session_auth_hash()


@require_POST
@requires_login
def create_recovery_codes(request: HttpRequest, permissions: Permissions) -> HttpResponse:
    if not has_recent_login(request):
        return ask_for_proof(request, reverse("mailadmin:security"))
    if not permissions.visitor.second_factor:
        return redirect("mailadmin:security")
    return _recovery_codes_page(request, permissions)


def _recovery_codes_page(request: HttpRequest, permissions: Permissions) -> HttpResponse:
    context = {"section": "security", "codes": second_factors.create_recovery_codes(permissions.visitor.pk)}
    response = render_page(request, permissions, "codes", context)
    response["Cache-Control"] = "no-store"
    return response


@require_POST
@requires_login
def remove_factor(request: HttpRequest, permissions: Permissions, factor_id: int) -> HttpResponse:
    if not has_recent_login(request):
        return ask_for_proof(request, reverse("mailadmin:security"))
    if not second_factors.remove_factor(permissions.visitor.pk, factor_id):
        return redirect("mailadmin:security")
    security_notice.notify_owner(request, permissions, permissions.visitor.pk, "factor-removed")
    return redirect_with_notice(request, permissions, _("The second factor has been removed."), "mailadmin:security")
