"""Fetching mail from a user's account on another server, over POP3 (RFC 1939), into a folder here.

The user names the server, so `webmail.sanitize.safe_http` checks its address. A password is never sent unencrypted:
port 995 is TLS, on other ports the server must offer STLS (RFC 2595). The password is not stored; only the UIDLs of
fetched messages are. Memory is bounded whatever the server sends: a list by `webmail_fetch_mail_list_limit`, a message
by `webmail_fetch_mail_size_limit`; of a larger one the rest is read and dropped.
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
_LIST_LINE = 100  # bytes of a line in a list: number, space and a UIDL of at most 70 (RFC 1939 §7)
_CHUNK = 1 << 16  # bytes of a message read at once


class ServerRefused(Exception):
    """The POP3 server refused a command; `str()` is its text."""


@dataclass(frozen=True, slots=True)
class FetchResult:
    imported: int
    left: int  # new messages left for the next fetch
    large: int  # skipped because they exceed `webmail_fetch_mail_size_limit`


class _Client(poplib.POP3):
    """poplib over a connection that `safe_http` made and checked."""

    def __init__(self, connection: socket.socket, host: str) -> None:
        self._connection, self._tls_established = connection, False
        super().__init__(host)

    def _create_socket(self, timeout: float) -> socket.socket:
        return self._connection

    def _getlongresp(self) -> tuple[bytes, list[bytes], int]:
        """Return a list (UIDL, LIST, CAPA). Raise ValueError if it has more lines than the limit."""
        limit = conf.current().webmail_fetch_mail_list_limit
        status, lines, size = self._getresp(), [], 0
        while (line := self._getline()[0]) != b".":
            lines.append(line.removeprefix(b".") if line.startswith(b"..") else line)
            size += len(line)
            if 0 < limit < max(len(lines), size // _LIST_LINE):
                raise ValueError("the list is too long")
        return status, lines, size

    def retrieve(self, number: int, limit: int) -> bytes | None:
        """Return a message as sent, without dot-stuffing (RFC 1939 §3); None if it has more than `limit` bytes."""
        self._shortcmd(f"RETR {number}")
        content, is_start, is_large = bytearray(), True, False
        while True:
            piece = self.file.readline(_CHUNK)
            if not piece:
                raise EOFError
            is_line_start, is_start = is_start, piece.endswith(b"\n")
            if is_line_start and piece in (b".\r\n", b".\n"):
                return None if is_large else bytes(content)
            if not is_large:
                content += piece[1:] if is_line_start and piece.startswith(b".") else piece
                is_large = 0 < limit < len(content)
            if is_large:
                content.clear()


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


def _log_in(connection: socket.socket, account: FetchedFrom, password: str) -> _Client:
    secure = account.port == 995
    if secure:
        connection = tls_context().wrap_socket(connection, server_hostname=account.host)
    client = _Client(connection, account.host)
    if not secure and not ServerAddress(account.host, account.port, tls=False).is_local:
        client.stls(tls_context())
    client.user(reject_controls(account.login))
    client.pass_(reject_controls(password))
    return client


def _fetch_new(client: _Client, mail: imap_client.MailSession, account: FetchedFrom) -> FetchResult:
    limits = conf.current()
    limit = limits.webmail_fetch_mail_size_limit
    names = [line.decode("latin-1").partition(" ")[::2] for line in client.uidl()[1]]
    sizes = dict(line.decode("latin-1").split()[:2] for line in client.list()[1])
    present = {name for _number, name in names}
    known = [name for name in account.known if name in present]
    known_before = set(known)
    new = [(number, name) for number, name in names if name not in known_before]
    for number, name in names if not account.leave else ():
        if name in known_before:  # fetched before, but the session ended before its deletion took effect
            client.dele(int(number))
    imported = large = 0
    try:
        for number, name in new[: limits.webmail_fetch_mail_limit]:
            content = None
            if not 0 < limit < int(sizes.get(number, "0")):
                content = client.retrieve(int(number), limit)  # the size that the server listed need not be true
            if content is None:
                large += 1
            else:
                # The other server, or the sender, may have added results in our server's name.
                mail.append(account.folder, remove_own_results(mbox.to_crlf(content), account.owner), [])
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
