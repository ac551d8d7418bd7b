"""Fetching mail from a user's account on another server, over POP3 (RFC 1939), into a folder here.

The user names the server, so `webmail.sanitize.safe_http` checks its address. A password is never sent unencrypted:
port 995 is TLS, on other ports the server must offer STLS (RFC 2595). The password is not stored; only the UIDLs of
fetched messages are.
"""

import poplib
import socket
from dataclasses import dataclass

from django.utils import timezone

from mailcore import conf
from mailcore.wire.files import mbox
from webmail.mailserver import imap_client
from webmail.mailserver.server_addresses import ServerAddress, tls_context
from webmail.mailserver.server_names import remove_own_results
from webmail.models import FetchedFrom
from webmail.sanitize import safe_http
from webmail.values.search_keys import reject_controls

MAX_ACCOUNTS = 20  # accounts of one user
MAX_UIDLS = 20_000  # newest UIDLs stored for messages left on the other server
poplib._MAXLINE = 1 << 16  # type: ignore[attr-defined]  # messages have longer lines than poplib expects


class ServerRefused(Exception):
    """The POP3 server refused a command; `str()` is its text."""


@dataclass(frozen=True, slots=True)
class FetchResult:
    imported: int
    left: int  # new messages left for the next fetch
    large: int  # skipped because they exceed `message_size_limit`


class _Client(poplib.POP3):
    """poplib over a connection that `safe_http` made and checked."""

    def __init__(self, connection: socket.socket, host: str) -> None:
        self._connection, self._tls_established = connection, False
        super().__init__(host)

    def _create_socket(self, timeout: float) -> socket.socket:
        return self._connection


def fetch_mail(mail: imap_client.MailSession, account: FetchedFrom, password: str) -> FetchResult:
    """Append the POP3 account's new messages to its folder.

    Raise `ServerRefused`, `safe_http.FetchError` or `imap_client.CommandRefused`; messages fetched before an error are
    recorded.
    """
    limits = conf.current()
    if str(account.port) not in limits.webmail_fetch_mail_ports:
        raise safe_http.FetchError("port not permitted")
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
    if not secure and not ServerAddress(account.host, account.port, tls=False).is_local:
        client.stls(tls_context())
    client.user(reject_controls(account.login))
    client.pass_(reject_controls(password))
    return client


def _fetch_new(client: poplib.POP3, mail: imap_client.MailSession, account: FetchedFrom) -> FetchResult:
    limits = conf.current()
    names = [line.decode("latin-1").partition(" ")[::2] for line in client.uidl()[1]]
    sizes = dict(line.decode("latin-1").split()[:2] for line in client.list()[1])
    present = {name for _number, name in names}
    known = [name for name in account.known if name in present]
    new = [(number, name) for number, name in names if name not in set(known)]
    for number, name in names if not account.leave else ():
        if name in set(known):  # fetched before, but the session ended before its deletion took effect
            client.dele(int(number))
    imported = large = 0
    try:
        for number, name in new[: limits.webmail_fetch_mail_limit]:
            if limits.message_size_limit and int(sizes.get(number, "0")) > limits.message_size_limit:
                large += 1
            else:
                content = mbox.to_crlf(b"\r\n".join(client.retr(int(number))[1]) + b"\r\n")
                # The other server, or the sender, may have added results in our server's name.
                mail.append(account.folder, remove_own_results(content, account.owner), [])
                imported += 1
                if not account.leave:
                    client.dele(int(number))
            known.append(name)
    finally:
        account.known = known[-MAX_UIDLS:]
    return FetchResult(imported, len(new) - imported - large, large)


def _error_text(error: poplib.error_proto) -> str:
    message = error.args[0] if error.args else ""
    text = message.decode("utf-8", "replace") if isinstance(message, bytes) else str(message)
    return text.removeprefix("-ERR").strip()[:300]
