"""The second step of a login: a code, a passkey or a recovery code, after the right password."""

import secrets
import time

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from mailadmin import sign_in
from mailcore.conf import content_policies
from mailcore.models import Account
from mailcore.mta.notices import owner_notice
from mailcore.store.auth import second_factors, throttle
from mailcore.store.auth.account_login import AccountBackend
from mailcore.store.auth.throttle import TooManyAttempts
from mailcore.store.auth.webauthn import RelyingParty
from mailcore.store.db import audit

CHALLENGE = "challenge"  # session key: the challenge that a passkey must sign


@never_cache
@sensitive_post_parameters("code")
@require_http_methods(["GET", "HEAD", "POST"])
def second_step(request: HttpRequest) -> HttpResponse:
    pending = request.session.get(sign_in.PENDING_LOGIN)
    user = _pending_account(pending)
    if user is None:
        request.session.pop(sign_in.PENDING_LOGIN, None)
        return redirect("sign-in")
    problem = ""
    if request.method == "POST":
        if not throttle.count_code(request.session.session_key or ""):
            return end_attempts(request, user)
        try:
            with audit.acting_as(user.address, sign_in.client_ip(request)):
                is_proved = sign_in.throttled(
                    request, user.address, lambda: proves_factor(request, user.pk) or None, throttle.SECOND
                )
        except TooManyAttempts:
            problem = sign_in.too_many_attempts()
        else:
            if is_proved:
                request.session.pop(sign_in.PENDING_LOGIN)
                sign_in.finish_login(request, user, pending["backend"])
                # The login page opens the mailbox and redirects to the target.
                return redirect(f"{reverse('sign-in')}?{urlencode({'next': pending['target']})}")
            problem = _("This is not right. Please try again.")
    context = {
        "problem": problem,
        "address": user.address,
        "factors": second_factors.list_factors(user.pk),
        "passkeys": second_factors.list_passkey_ids(user.pk),
        "challenge": new_challenge(request),
        "site": relying_party(request),
    }
    response = render(request, "mailadmin/second_step.html", context, status=401 if problem else 200)
    response["Content-Security-Policy"] = content_policies.ADMIN_PAGE
    return response


def end_attempts(request: HttpRequest, user: Account) -> HttpResponse:
    """End the session after too many wrong codes and notify the account's owner."""
    request.session.flush()
    owner_notice.report_wrong_codes(Account.objects.get(pk=user.pk), sign_in.client_ip(request))
    messages.error(request, _("Too many wrong codes. Please sign in again."))
    return redirect("sign-in")


def _pending_account(pending: dict[str, object] | None) -> Account | None:
    """Return the account that gave the right password recently, unless it was closed or its password changed."""
    if not pending or time.time() - float(str(pending["since"])) > sign_in.PENDING_LIFETIME:
        return None
    user = AccountBackend().get_user(int(str(pending["account"])))
    return user if user is not None and user.get_session_auth_hash() == pending["hash"] else None


def relying_party(request: HttpRequest) -> RelyingParty:
    """Return the site as the browser names it; Django has checked that the host is one of ours."""
    host = request.get_host()
    name = host.rpartition("]")[0] + "]" if host.startswith("[") else host.partition(":")[0]
    return RelyingParty(name, f"{request.scheme}://{host}")


def new_challenge(request: HttpRequest) -> str:
    """Create the challenge for the page being rendered."""
    challenge = secrets.token_urlsafe(32)
    request.session[CHALLENGE] = challenge
    return challenge


def proves_factor(request: HttpRequest, account_id: int) -> bool:
    """Return True if the posted form proves a factor of the account; a challenge is valid for one attempt."""
    expected = request.session.pop(CHALLENGE, "")
    post = request.POST
    if handle := post.get("passkey"):
        proof = (post.get("client", ""), post.get("authenticator", ""), post.get("signature", ""))
        return second_factors.check_passkey(account_id, relying_party(request), expected, handle, *proof)
    return second_factors.check_code(account_id, post.get("code", "")[:100])
