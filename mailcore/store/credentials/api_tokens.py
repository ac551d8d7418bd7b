"""API tokens for scripts: create, list, revoke and check them.

The tokens are random and long, so a keyed hash of each is stored.
"""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from mailcore.models import Account, ApiToken
from mailcore.store.db import audit

PREFIX = "youju_"


def _digest(token: str) -> str:
    key = hashlib.sha512(b"api token\0" + settings.SECRET_KEY.encode()).digest()
    return hashlib.blake2b(token.encode("utf-8", "surrogatepass"), key=key, digest_size=32).hexdigest()


def create_token(account_id: int, label: str, *, writes: bool, expires: date | None) -> str:
    """Create a token and return it; it cannot be shown again."""
    token = PREFIX + secrets.token_urlsafe(32)
    with transaction.atomic():
        account = Account.objects.get(pk=account_id)
        properties = {"label": label[:100], "writes": writes}
        ApiToken.objects.create(account=account, digest=_digest(token), expires=expires, **properties)
        audit.record_change(
            "token.create", account.address, {}, properties | {"expires": expires.isoformat() if expires else None}
        )
    return token


@dataclass(frozen=True, slots=True)
class Token:
    """An API token as its owner sees it."""

    id: int
    label: str
    writes: bool
    created: datetime
    last_used: datetime | None
    expires: date | None


def list_tokens(account_id: int) -> list[Token]:
    """Return the API tokens of an account, the latest first."""
    rows = ApiToken.objects.filter(account_id=account_id).order_by("-created", "-pk")
    return [Token(*row) for row in rows.values_list("id", "label", "writes", "created", "last_used", "expires")]


def revoke_token(account_id: int, token_id: int) -> bool:
    """Revoke a token; return False if the account has none with that id."""
    with transaction.atomic():
        row = ApiToken.objects.filter(pk=token_id, account_id=account_id).select_related("account").first()
        if row is None:
            return False
        audit.record_change("token.revoke", row.account.address, {"label": row.label}, {})
        row.delete()
    return True


def revoke_tokens(account_id: int) -> None:
    """Revoke all tokens of an account."""
    for each in list_tokens(account_id):
        revoke_token(account_id, each.id)


def find_holder(token: str) -> tuple[int, bool] | None:
    """Return (account id, True if it may write) of a valid token, or None."""
    if not token.startswith(PREFIX):
        return None
    row = ApiToken.objects.filter(digest=_digest(token)).first()
    now = timezone.now()
    if row is None or (row.expires is not None and row.expires < timezone.localdate()):
        return None
    if row.last_used is None or now - row.last_used > timedelta(minutes=10):
        ApiToken.objects.filter(pk=row.pk).update(last_used=now)
    return row.account_id, row.writes
