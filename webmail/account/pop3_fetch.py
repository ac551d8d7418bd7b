"""Mail from a visitor's account elsewhere, over POP3 (RFC 1939), into a folder here; called by the page for it.

The server is a visitor's word, so `webmail.sanitize.safe_http` judges it. A password goes nowhere in the clear: port 995 is
TLS, elsewhere the server must offer STLS (RFC 2595). It is used and forgotten; what is kept is which messages came.
"""

import poplib
import socket
from dataclasses import dataclass

from django.utils import timezone

from mailcore import conf
from mailcore.wire.files import mbox
from webmail.mailserver import imap_client
from webmail.mailserver.server_addresses import ServerAddress, tls_context
from webmail.models import FetchedFrom
from webmail.reading.sender_checks import without_claims
from webmail.sanitize import safe_http
from webmail.values.search_keys import reject_controls

MOST = 20  # accounts of one visitor
REMEMBERED = 20_000  # messages left elsewhere, the newest
poplib._MAXLINE = 1 << 16  # type: ignore[attr-defined]  # messages have longer lines than poplib expects


class ServerRefused(Exception):
    """The server there would not; `str()` is its word."""


@dataclass(frozen=True, slots=True)
class FetchResult:
    taken: int
    left: int  # for another time
    large: int  # passed over


class _Client(poplib.POP3):
    """poplib over a connection that was made by the guard."""

    def __init__(self, connection: socket.socket, host: str) -> None:
        self._given, self._tls_established = connection, False
        super().__init__(host)

    def _create_socket(self, timeout: float) -> socket.socket:
        return self._given


def fetch_mail(mail: imap_client.MailSession, account: FetchedFrom, password: str) -> FetchResult:
    """What is new there goes into the account's folder. Raises Refused, outside.NotFetched; imap.Refused with what
    came so far remembered."""
    limits = conf.current()
    if str(account.port) not in limits.webmail_fetch_mail_ports:
        raise safe_http.FetchError("not a port for mail")
    try:
        with safe_http.safe_connect(account.host, account.port, limits.webmail_fetch_mail_time_limit) as connection:
            client = _log_in(connection, account, password)
            found = _fetch_new(client, mail, account)
            client.quit()
            return found
    except poplib.error_proto as error:
        raise ServerRefused(_error_text(error)) from error
    except (OSError, EOFError, ValueError) as error:
        raise safe_http.FetchError(type(error).__name__) from error
    finally:
        account.fetched = timezone.now()
        account.save()


def _log_in(connection: socket.socket, account: FetchedFrom, password: str) -> poplib.POP3:
    secure = account.port == 995
    if secure:
        connection = tls_context().wrap_socket(connection, server_hostname=account.host)
    client = _Client(connection, account.host)
    if not secure and not ServerAddress(account.host, account.port, tls=False).near:
        client.stls(tls_context())
    client.user(reject_controls(account.login))
    client.pass_(reject_controls(password))
    return client


def _fetch_new(client: poplib.POP3, mail: imap_client.MailSession, account: FetchedFrom) -> FetchResult:
    limits = conf.current()
    names = [line.decode("latin-1").partition(" ")[::2] for line in client.uidl()[1]]
    sizes = dict(line.decode("latin-1").split()[:2] for line in client.list()[1])
    there = {name for _number, name in names}
    known = [name for name in account.known if name in there]
    new = [(number, name) for number, name in names if name not in set(known)]
    for number, name in names if not account.leave else ():
        if name in set(known):  # it came, and the end of that session did not
            client.dele(int(number))
    taken = large = 0
    try:
        for number, name in new[: limits.webmail_fetch_mail_limit]:
            if limits.message_size_limit and int(sizes.get(number, "0")) > limits.message_size_limit:
                large += 1
            else:
                content = mbox.to_crlf(b"\r\n".join(client.retr(int(number))[1]) + b"\r\n")
                # The other server, or whoever wrote to it, may have claimed that ours checked the message.
                mail.append(account.folder, without_claims(content, account.owner), [])
                taken += 1
                if not account.leave:
                    client.dele(int(number))
            known.append(name)
    finally:
        account.known = known[-REMEMBERED:]
    return FetchResult(taken, len(new) - taken - large, large)


def _error_text(error: poplib.error_proto) -> str:
    said = error.args[0] if error.args else ""
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
    return text.removeprefix("-ERR").strip()[:300]
