"""ManageSieve client (RFC 5804) that stores mail filters on the server, logged in as the user.

A `SieveClient` is one authenticated connection for the duration of one page. A NO from the server raises `SieveRefused`
with its text; a server that is unreachable or has no such service raises `SieveUnreachable`.
"""

import base64
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from mailcore.wire import managesieve_syntax as wire
from mailcore.wire.managesieve_syntax import CommandTokens, GrammarError, ResponseCode, StringToken, Token
from webmail.mailserver.server_addresses import ServerAddress, tls_context

TIMEOUT = 20
LARGEST = 1 << 24  # bytes of a response


class SieveRefused(Exception):
    """The server replied NO; `str()` is its text, `code` its response code or ""."""

    def __init__(self, text: str, code: str = "") -> None:
        super().__init__(text)
        self.code = code


class SieveUnreachable(Exception):
    """There is no connection, it broke, or the other side does not speak ManageSieve."""


@dataclass(frozen=True, slots=True)
class StoredScript:
    name: str
    active: bool


@contextmanager
def connect_sieve(server: ServerAddress, login: str, secret: str) -> Iterator["SieveClient"]:
    """Connect and authenticate; log out and close the connection at the end.

    Raise `SieveRefused` (also for a wrong password) or `SieveUnreachable`.
    """
    try:
        connection = socket.create_connection((server.host, server.port), TIMEOUT)
    except OSError as error:
        raise SieveUnreachable(str(error)) from error
    client = SieveClient(connection)
    try:
        client.authenticate(server, login, secret)
        yield client
        client.run_command("LOGOUT")
    except (OSError, GrammarError, ValueError) as error:
        raise SieveUnreachable(str(error) or type(error).__name__) from error
    finally:
        client.close()


class SieveClient:
    def __init__(self, connection: socket.socket) -> None:
        self._set_socket(connection)
        self.extensions: frozenset[str] = frozenset()

    def _set_socket(self, connection: socket.socket) -> None:
        self._socket = connection
        self._file = connection.makefile("rb")

    def close(self) -> None:
        self._file.close()
        self._socket.close()

    def authenticate(self, server: ServerAddress, login: str, secret: str) -> None:
        capabilities = self._capabilities()
        if "STARTTLS" in capabilities and not server.is_local:
            self.run_command("STARTTLS")
            self._set_socket(tls_context().wrap_socket(self._socket, server_hostname=server.host))
            capabilities = self._capabilities()
        if not server.is_local and not isinstance(self._socket, ssl.SSLSocket):
            raise SieveUnreachable("no TLS")  # no password is sent unencrypted to a server elsewhere
        self.extensions = frozenset(capabilities.get("SIEVE", "").split())
        response = base64.b64encode(f"\0{login}\0{secret}".encode())
        self.run_command("AUTHENTICATE", b"PLAIN", response)

    def _capabilities(self) -> dict[str, str]:
        found = {}
        for tokens in self._read_response():
            words = [token.text for token in tokens if isinstance(token, StringToken)]
            if words:
                found[words[0].upper()] = words[1] if len(words) > 1 else ""
        return found

    # --- Scripts ---

    def scripts(self) -> list[StoredScript]:
        return [
            StoredScript(tokens[0].text, len(tokens) > 1)
            for tokens in self.run_command("LISTSCRIPTS")
            if tokens and isinstance(tokens[0], StringToken)
        ]

    def script(self, name: str) -> str:
        [tokens] = self.run_command("GETSCRIPT", name.encode())
        return tokens[0].text if tokens and isinstance(tokens[0], StringToken) else ""

    def put(self, name: str, content: str) -> None:
        self.run_command("PUTSCRIPT", name.encode(), content.encode())

    def activate(self, name: str) -> None:
        self.run_command("SETACTIVE", name.encode())

    def delete(self, name: str) -> None:
        self.run_command("DELETESCRIPT", name.encode())

    # --- Commands and responses ---

    def run_command(self, command: str, *strings: bytes) -> list[list[Token]]:
        """Send a command and return the lines of its response before OK.

        Raise `SieveRefused`.
        """
        self._socket.sendall(b" ".join((command.encode(), *map(wire.format_literal, strings))) + b"\r\n")
        return self._read_response()

    def _read_response(self) -> list[list[Token]]:
        lines: list[list[Token]] = []
        while True:
            tokens = self._read_line_tokens()
            match tokens[:1]:
                case ["OK"]:
                    return lines
                case ["NO"] | ["BYE"]:
                    words = " ".join(token.text for token in tokens if isinstance(token, StringToken))
                    code = next((token.text for token in tokens if isinstance(token, ResponseCode)), "")
                    raise SieveRefused(words[:2000], code)
            lines.append(tokens)

    def _read_line_tokens(self) -> list[Token]:
        parser = CommandTokens()
        while not parser.line(self._read_line()):
            count = parser.literal or 0
            if count > LARGEST:
                raise GrammarError("response too large")
            parser.add_literal(self._file.read(count))
        return [token.upper() if isinstance(token, str) else token for token in parser.tokens]

    def _read_line(self) -> bytes:
        line = self._file.readline(1 << 16)
        if not line.endswith(b"\n"):
            raise GrammarError("connection closed")
        return line.rstrip(b"\r\n")
