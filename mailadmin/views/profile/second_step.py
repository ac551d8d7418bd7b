"""The second step of signing in: a code, a passkey, or a recovery code, from whoever gave the right password."""

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
from mailadmin.views.page_responses import POLICY
from mailcore.models import Account
from mailcore.mta.notices import owner_notice
from mailcore.store.auth import second_factors, throttle
from mailcore.store.auth.account_login import AccountBackend
from mailcore.store.auth.throttle import TooManyAttempts
from mailcore.store.auth.webauthn import RelyingParty
from mailcore.store.db import audit

CHALLENGE = "challenge"  # in the session: what a passkey must sign now


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
            return give_up(request, user)
        try:
            with audit.acting_as(user.address, sign_in.client_ip(request)):
                shown = sign_in.throttled(
                    request, user.address, lambda: proves_factor(request, user.pk) or None, throttle.SECOND
                )
        except TooManyAttempts:
            problem = sign_in.too_many_attempts()
        else:
            if shown:
                request.session.pop(sign_in.PENDING_LOGIN)
                sign_in.finish_login(request, user, pending["backend"])
                # Back through the sign-in page, which opens the mailbox and goes on.
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
    response["Content-Security-Policy"] = POLICY
    return response


def give_up(request: HttpRequest, user: Account) -> HttpResponse:
    """Too many wrong codes: the session ends, the password is asked for again, and the owner hears of it."""
    request.session.flush()
    owner_notice.report_wrong_codes(Account.objects.get(pk=user.pk), sign_in.client_ip(request))
    messages.error(request, _("Too many wrong codes. Please sign in again."))
    return redirect("sign-in")


def _pending_account(pending: dict[str, object] | None) -> Account | None:
    """Who gave the password a moment ago, if the account is still open and the password still that one."""
    if not pending or time.time() - float(str(pending["since"])) > sign_in.PENDING_LIFETIME:
        return None
    user = AccountBackend().get_user(int(str(pending["account"])))
    return user if user is not None and user.get_session_auth_hash() == pending["hash"] else None


def relying_party(request: HttpRequest) -> RelyingParty:
    """Where the browser says it is; Django has checked that the name is one of ours."""
    host = request.get_host()
    name = host.rpartition("]")[0] + "]" if host.startswith("[") else host.partition(":")[0]
    return RelyingParty(name, f"{request.scheme}://{host}")


def new_challenge(request: HttpRequest) -> str:
    """A new one for the page that is about to be shown."""
    fresh = secrets.token_urlsafe(32)
    request.session[CHALLENGE] = fresh
    return fresh


def proves_factor(request: HttpRequest, account_id: int) -> bool:
    """Does the posted form show a factor of the account? A challenge is good for one answer."""
    asked = request.session.pop(CHALLENGE, "")
    given = request.POST
    if handle := given.get("passkey"):
        proof = (given.get("client", ""), given.get("authenticator", ""), given.get("signature", ""))
        return second_factors.check_passkey(account_id, relying_party(request), asked, handle, *proof)
    return second_factors.check_code(account_id, given.get("code", "")[:100])
