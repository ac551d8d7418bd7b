"""The server's capabilities, by state (RFC 9051 §7.2.2); only what is implemented is listed."""

from typing import TYPE_CHECKING

from mailcore import conf
from mailcore.servers import authentication

if TYPE_CHECKING:
    from mailcore.servers.imap.session import Session

_ALWAYS = "IMAP4rev1 IMAP4rev2 SASL-IR ID ENABLE LITERAL+ LANGUAGE"
_SIGNED_IN = (
    "IDLE UIDPLUS MOVE NAMESPACE SPECIAL-USE CREATE-SPECIAL-USE CONDSTORE QRESYNC UNSELECT CHILDREN ESEARCH ESORT "
    "STATUS=SIZE WITHIN LIST-EXTENDED LIST-STATUS SORT SORT=DISPLAY THREAD=REFERENCES THREAD=REFS "
    "THREAD=ORDEREDSUBJECT MULTIAPPEND BINARY SAVEDATE PREVIEW OBJECTID SEARCHRES I18NLEVEL=1 UTF8=ACCEPT UIDONLY "
    "PARTIAL CONTEXT=SEARCH CONTEXT=SORT QUOTA QUOTA=RES-STORAGE QUOTA=RES-MESSAGE UNAUTHENTICATE REPLACE "
    "CATENATE URL-PARTIAL METADATA LIST-METADATA MULTISEARCH INPROGRESS NOTIFY URLAUTH ACL RIGHTS=texk"
)


def capability_words(session: "Session") -> str:
    """Return the current capability list for this client."""
    if session.owner is not None:
        capabilities = f"{_ALWAYS} {_SIGNED_IN}"
        limit = conf.current().message_size_limit
        if limit:
            capabilities += f" APPENDLIMIT={limit}"
        if not session.connection.compressed:
            capabilities += " COMPRESS=DEFLATE"
        return capabilities
    capabilities = _ALWAYS
    if session.server.tls_context is not None and not session.connection.tls:
        capabilities += " STARTTLS"
    if not is_plaintext_allowed(session):
        capabilities += " LOGINDISABLED"
    return "".join([capabilities, *(f" AUTH={name}" for name in auth_mechanisms(session))])


def auth_mechanisms(session: "Session") -> tuple[str, ...]:
    """Return the mechanisms that AUTHENTICATE may use now."""
    return authentication.offered_mechanisms(clear=is_plaintext_allowed(session))


def is_plaintext_allowed(session: "Session") -> bool:
    """Return True if passwords may be sent: under TLS, from this machine, or without disable_plaintext_auth."""
    connection = session.connection
    return not conf.current().disable_plaintext_auth or connection.tls or connection.peer == connection.local
