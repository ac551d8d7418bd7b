"""Handing mail filters to the server that carries them out (ManageSieve, RFC 5804), signed in as the visitor.

One `Keeper` is one signed-in connection, for one page. What the server says NO to raises Refused with its words; a
server that is gone, or that has no such service, raises Unreachable.
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
LARGEST = 1 << 24  # bytes of an answer


class SieveRefused(Exception):
    """The server said NO; `str()` is its text, `code` its response code or ""."""

    def __init__(self, text: str, code: str = "") -> None:
        super().__init__(text)
        self.code = code


class SieveUnreachable(Exception):
    """No connection, or it broke, or what is there does not speak ManageSieve."""


@dataclass(frozen=True, slots=True)
class StoredScript:
    name: str
    active: bool


@contextmanager
def connect_sieve(server: ServerAddress, login: str, secret: str) -> Iterator["SieveClient"]:
    """Raises Refused (the password too), Unreachable."""
    try:
        connection = socket.create_connection((server.host, server.port), TIMEOUT)
    except OSError as error:
        raise SieveUnreachable(str(error)) from error
    keeper = SieveClient(connection)
    try:
        keeper.begin(server, login, secret)
        yield keeper
        keeper.ask("LOGOUT")
    except (OSError, GrammarError, ValueError) as error:
        raise SieveUnreachable(str(error) or type(error).__name__) from error
    finally:
        keeper.close()


class SieveClient:
    def __init__(self, connection: socket.socket) -> None:
        self._use(connection)
        self.extensions: frozenset[str] = frozenset()

    def _use(self, connection: socket.socket) -> None:
        self._socket = connection
        self._file = connection.makefile("rb")

    def close(self) -> None:
        self._file.close()
        self._socket.close()

    def begin(self, server: ServerAddress, login: str, secret: str) -> None:
        capabilities = self._capabilities()
        if "STARTTLS" in capabilities and not server.near:
            self.ask("STARTTLS")
            self._use(tls_context().wrap_socket(self._socket, server_hostname=server.host))
            capabilities = self._capabilities()
        if not server.near and not isinstance(self._socket, ssl.SSLSocket):
            raise SieveUnreachable("no TLS")  # a server elsewhere that cannot do it is not given a password
        self.extensions = frozenset(capabilities.get("SIEVE", "").split())
        response = base64.b64encode(f"\0{login}\0{secret}".encode())
        self.ask("AUTHENTICATE", b"PLAIN", response)

    def _capabilities(self) -> dict[str, str]:
        found = {}
        for tokens in self._answer():
            words = [token.text for token in tokens if isinstance(token, StringToken)]
            if words:
                found[words[0].upper()] = words[1] if len(words) > 1 else ""
        return found

    # --- Scripts ---

    def scripts(self) -> list[StoredScript]:
        return [
            StoredScript(tokens[0].text, len(tokens) > 1)
            for tokens in self.ask("LISTSCRIPTS")
            if tokens and isinstance(tokens[0], StringToken)
        ]

    def script(self, name: str) -> str:
        [tokens] = self.ask("GETSCRIPT", name.encode())
        return tokens[0].text if tokens and isinstance(tokens[0], StringToken) else ""

    def put(self, name: str, content: str) -> None:
        self.ask("PUTSCRIPT", name.encode(), content.encode())

    def activate(self, name: str) -> None:
        self.ask("SETACTIVE", name.encode())

    def delete(self, name: str) -> None:
        self.ask("DELETESCRIPT", name.encode())

    # --- The conversation ---

    def ask(self, word: str, *strings: bytes) -> list[list[Token]]:
        """The lines of the answer before OK. Raises Refused."""
        self._socket.sendall(b" ".join((word.encode(), *map(wire.format_literal, strings))) + b"\r\n")
        return self._answer()

    def _answer(self) -> list[list[Token]]:
        lines: list[list[Token]] = []
        while True:
            tokens = self._sentence()
            match tokens[:1]:
                case ["OK"]:
                    return lines
                case ["NO"] | ["BYE"]:
                    words = " ".join(token.text for token in tokens if isinstance(token, StringToken))
                    code = next((token.text for token in tokens if isinstance(token, ResponseCode)), "")
                    raise SieveRefused(words[:2000], code)
            lines.append(tokens)

    def _sentence(self) -> list[Token]:
        sentence = CommandTokens()
        while not sentence.line(self._line()):
            count = sentence.literal or 0
            if count > LARGEST:
                raise GrammarError("the answer is too large")
            sentence.octets(self._file.read(count))
        return [token.upper() if isinstance(token, str) else token for token in sentence.tokens]

    def _line(self) -> bytes:
        line = self._file.readline(1 << 16)
        if not line.endswith(b"\n"):
            raise GrammarError("the server has gone")
        return line.rstrip(b"\r\n")
