"""URLs that carry the right to read the message they name (RFC 4467); called by the IMAP server.

Every mailbox has a key, made when first needed. The token of a URL is a keyed hash of it, and a new key invalidates all
of them.
"""

import hashlib
import hmac
import secrets
from datetime import UTC, datetime

from mailcore import conf
from mailcore.models import Account, Mailbox
from mailcore.store.mailbox import catenate
from mailcore.store.mailbox.access_rights import NO_SUCH_MAILBOX
from mailcore.values import Owner, Refusal
from mailcore.wire.imap.imap_url import AuthorizedUrl

MECHANISM = "INTERNAL"


def sign_url(owner: Owner, url: AuthorizedUrl) -> str | None:
    """Return the URL with its token, or None if it names no mailbox of the owner on this server."""
    if _owner_of(url) != owner:
        return None
    row = Mailbox.objects.filter(account_id=owner.account_id, name=url.message.mailbox, selectable=True)
    if not row.exists():
        return None
    # If two sessions create the key at once, the first one wins.
    row.filter(url_key="").update(url_key=secrets.token_hex(32))
    return f"{url.rump}:{MECHANISM}:{_token(row.values_list('url_key', flat=True)[0], url)}"


def _token(key: str, url: AuthorizedUrl) -> str:
    return hmac.new(bytes.fromhex(key), url.rump.encode("utf-8"), hashlib.sha256).hexdigest()


def _owner_of(url: AuthorizedUrl) -> Owner | None:
    if url.message.host.lower() != conf.current().myhostname.lower():
        return None
    return _find_account(url.message.user)


def _find_account(name: str) -> Owner | None:
    address = (name if "@" in name else f"{name}@{conf.current().mydomain}").lower()
    row = Account.objects.filter(address=address).values_list("id", "address").first()
    return Owner(*row) if row is not None else None


def fetch_url(reader: Owner, url: AuthorizedUrl) -> bytes | None:
    """Return the bytes the URL names, or None if it does not give `reader` access."""
    owner = _owner_of(url)
    if owner is None or url.mechanism != MECHANISM or not _may_read(reader, url.access) or _is_expired(url.expire):
        return None
    keys = Mailbox.objects.filter(account_id=owner.account_id, name=url.message.mailbox).exclude(url_key="")
    key = keys.values_list("url_key", flat=True).first()
    if key is None or not hmac.compare_digest(_token(key, url), url.token):
        return None
    return catenate.read_part(owner, url.message)


def _may_read(reader: Owner, access: str) -> bool:
    """Return True if the URL's access identifier includes `reader`.

    submit+ is for submission servers, none of which reads here.
    """
    if access in ("anonymous", "authuser"):
        return True
    kind, _, name = access.partition("+")
    return kind == "user" and _find_account(name) == reader


def _is_expired(expire: str) -> bool:
    if not expire:
        return False
    try:
        moment = datetime.fromisoformat(expire)
    except ValueError:
        return True
    return moment.tzinfo is None or moment < datetime.now(UTC)


def reset_keys(owner: Owner, mailbox: str | None) -> Refusal | None:
    """Invalidate the URLs of one mailbox, or of all."""
    rows = Mailbox.objects.filter(account_id=owner.account_id)
    if mailbox is not None:
        rows = rows.filter(name=mailbox)
        if not rows.exists():
            return NO_SUCH_MAILBOX
    rows.update(url_key="")
    return None
