"""Web sessions whose keys are stored as keyed hashes (setting SESSION_ENGINE).

The cookie has the session key, the database only its hash: a copy of the database opens no session.
"""

import hashlib
import hmac

from django.conf import settings
from django.contrib.sessions.backends import db
from django.contrib.sessions.models import Session


def stored_key(session_key: str) -> str:
    """Return the key under which a session is stored: 160 bits, as long as the column."""
    key = hashlib.sha512(b"web session\0" + settings.SECRET_KEY.encode()).digest()
    return hmac.digest(key, session_key.encode("utf-8", "surrogatepass"), "sha256").hex()[:40]


class SessionStore(db.SessionStore):
    """Django's sessions in the database, found by the hash of their key."""

    def _get_session_from_db(self) -> Session | None:
        plain_key = self._session_key
        self._session_key = stored_key(plain_key or "")
        try:
            row: Session | None = super()._get_session_from_db()  # type: ignore[misc]  # the stubs do not have it
            return row
        finally:
            # Django clears the key of a session that does not exist.
            self._session_key = plain_key if self._session_key else None

    def exists(self, session_key: str) -> bool:
        return super().exists(stored_key(session_key))

    def create_model_instance(self, data: dict[str, object]) -> Session:
        row = super().create_model_instance(data)
        assert isinstance(row, Session)
        row.session_key = stored_key(row.session_key)
        return row

    def delete(self, session_key: str | None = None) -> None:
        key = session_key or self.session_key
        if key is not None:
            super().delete(stored_key(key))
