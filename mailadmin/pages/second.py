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

from mailadmin import door
from mailadmin.pages.answers import POLICY
from mailcore.models import Account
from mailcore.post import owner_notice
from mailcore.store import audit, factors, guessing
from mailcore.store.guessing import Busy
from mailcore.store.login import AccountBackend
from mailcore.store.webauthn import Site

CHALLENGE = "challenge"  # in the session: what a passkey must sign now


@never_cache
@sensitive_post_parameters("code")
@require_http_methods(["GET", "HEAD", "POST"])
def second_step(request: HttpRequest) -> HttpResponse:
    pending = request.session.get(door.PENDING)
    user = _waiting(pending)
    if user is None:
        request.session.pop(door.PENDING, None)
        return redirect("sign-in")
    problem = ""
    if request.method == "POST":
        if not guessing.count_code(request.session.session_key or ""):
            return give_up(request, user)
        try:
            with audit.by(user.address, door.place(request)):
                shown = door.judged(request, user.address, lambda: shows(request, user.pk) or None, guessing.SECOND)
        except Busy:
            problem = door.busy()
        else:
            if shown:
                request.session.pop(door.PENDING)
                door.enter(request, user, pending["backend"])
                # Back through the sign-in page, which opens the mailbox and goes on.
                return redirect(f"{reverse('sign-in')}?{urlencode({'next': pending['target']})}")
            problem = _("This is not right. Please try again.")
    context = {
        "problem": problem,
        "address": user.address,
        "factors": factors.of(user.pk),
        "passkeys": factors.passkeys(user.pk),
        "challenge": challenge(request),
        "site": site(request),
    }
    response = render(request, "mailadmin/second_step.html", context, status=401 if problem else 200)
    response["Content-Security-Policy"] = POLICY
    return response


def give_up(request: HttpRequest, user: Account) -> HttpResponse:
    """Too many wrong codes: the session ends, the password is asked for again, and the owner hears of it."""
    request.session.flush()
    owner_notice.report_wrong_codes(Account.objects.get(pk=user.pk), door.place(request))
    messages.error(request, _("Too many wrong codes. Please sign in again."))
    return redirect("sign-in")


def _waiting(pending: dict[str, object] | None) -> Account | None:
    """Who gave the password a moment ago, if the account is still open and the password still that one."""
    if not pending or time.time() - float(str(pending["since"])) > door.PATIENCE:
        return None
    user = AccountBackend().get_user(int(str(pending["account"])))
    return user if user is not None and user.get_session_auth_hash() == pending["hash"] else None


def site(request: HttpRequest) -> Site:
    """Where the browser says it is; Django has checked that the name is one of ours."""
    host = request.get_host()
    name = host.rpartition("]")[0] + "]" if host.startswith("[") else host.partition(":")[0]
    return Site(name, f"{request.scheme}://{host}")


def challenge(request: HttpRequest) -> str:
    """A new one for the page that is about to be shown."""
    fresh = secrets.token_urlsafe(32)
    request.session[CHALLENGE] = fresh
    return fresh


def shows(request: HttpRequest, account_id: int) -> bool:
    """Does the posted form show a factor of the account? A challenge is good for one answer."""
    asked = request.session.pop(CHALLENGE, "")
    given = request.POST
    if handle := given.get("passkey"):
        proof = (given.get("client", ""), given.get("authenticator", ""), given.get("signature", ""))
        return factors.check_passkey(account_id, site(request), asked, handle, *proof)
    return factors.check_code(account_id, given.get("code", "")[:100])
