"""An authenticated IMAP connection with pipelining: several commands per round trip, literals, error translation.

Base class of `folder_commands.FolderCommands`; only it and `imap_client` use imapclient's protocol. A command that the
server refuses raises `CommandRefused`, an unreachable server `ServerUnreachable`.
"""

import imaplib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from imapclient import IMAPClient
from imapclient.exceptions import IMAPClientError, LoginError

from mailcore.wire.imap import mailbox_names
from webmail.values import folder_tree, imap_responses
from webmail.values.search_keys import LiteralString, Pieces, format_string, reject_controls

# The credential may be right and the server still refuse another connection (RFC 5530).
# Of a response line; imaplib's limit of 1 MB is less than an ENVELOPE may have, which a stranger writes.
imaplib._MAXLINE = 1 << 24  # type: ignore[attr-defined]

LIMIT_CODES = re.compile(r"\[(?:LIMIT|UNAVAILABLE|INUSE|IN-USE|SERVERBUG)\]")
_RESPONSE_TEXT = re.compile(r"^\w+ (?:failed|command error): |^b?['\"]|\[[A-Z][^\]]*\] ?|['\"]$")


class CommandRefused(Exception):
    """The server replied NO or BAD; `str()` is its text without response codes."""


class ServerUnreachable(Exception):
    """There is no connection, or it broke; `str()` is the reason in English, for the log."""


class TooManyConnections(ServerUnreachable):
    """The server accepts no further connection of this user."""


class InvalidCredential(Exception):
    """The server does not accept this name and password, or no longer."""


@dataclass(frozen=True, slots=True)
class OpenedFolder:
    """A selected folder: its number of messages, its UIDVALIDITY and UIDNEXT."""

    name: str
    exists: int
    validity: int
    following: int = 0  # UIDNEXT


@contextmanager
def translate_errors() -> Iterator[None]:
    """Translate imapclient's exceptions into those of this module."""
    try:
        yield
    except LoginError as error:
        error_class = TooManyConnections if LIMIT_CODES.search(str(error)) else InvalidCredential
        raise error_class(str(error)) from error
    except (imaplib.IMAP4.abort, OSError, EOFError, imap_responses.InvalidResponse) as error:
        raise ServerUnreachable(str(error) or type(error).__name__) from error
    except (IMAPClientError, imaplib.IMAP4.error) as error:
        if "got more than" in str(error):  # imaplib stopped within a line: what follows cannot be understood
            raise ServerUnreachable(str(error)) from error
        raise CommandRefused(_RESPONSE_TEXT.sub("", str(error)).strip()) from error


class PipelinedConnection:
    """Sends commands together and reads their responses."""

    def __init__(self, client: IMAPClient) -> None:
        self._client = client
        # imapclient handles FETCH only as bytes here, so its tracing of each line is not needed.
        self._wire: Any = client._imap
        self._wire.debug = 0
        self.capabilities = frozenset(name.decode("ascii").upper() for name in client.capabilities())
        self._opened: OpenedFolder | None = None
        self._selected: dict[str, OpenedFolder] = {}  # state of each folder at its last SELECT

    def supports(self, capability: str) -> bool:
        return capability in self.capabilities

    def socket(self) -> Any:
        """Return the socket, to poll it; nothing may be read from it."""
        return self._client.socket()

    def close(self) -> None:
        try:
            self._client.logout()
        except (OSError, imaplib.IMAP4.error, IMAPClientError):
            self._client.shutdown()

    def _mailbox(self, name: str) -> bytes:
        return format_string(mailbox_names.encode_utf7(reject_controls(name)).decode("ascii"))

    def _pipeline(self, commands: Sequence[tuple[str, Pieces]], *, lenient: bool = False) -> list[imap_responses.Lines]:
        """Send several commands in one round trip and return the response lines of the kind each of them names.

        A command with literals needs another round trip unless the server has LITERAL+. Raise `CommandRefused` after
        all responses are read, if one was NO; with `lenient`, refused commands just have no lines.
        """
        wire = self._wire
        tags = [self._send(pieces) for _kind, pieces in commands]
        results: list[imap_responses.Lines] = []
        refusal = b""
        for (kind, pieces), tag in zip(commands, tags, strict=True):
            wire.untagged_responses.pop(kind, None)
            if kind == "SELECT":
                wire.untagged_responses.clear()
            status, texts = wire._get_tagged_response(tag)
            if status != "OK":
                refusal = refusal or texts[-1] or b"NO"
                if kind == "SELECT":  # no folder is selected after a failed SELECT
                    self._opened = None
            elif kind == "SELECT":
                self._note_selected(pieces)
            results.append(wire.untagged_responses.pop(kind, []))
        if refusal and not lenient:
            raise CommandRefused(
                _RESPONSE_TEXT.sub("", imap_responses.to_bytes(refusal).decode("utf-8", "replace")).strip()
            )
        return results

    def _send(self, pieces: Pieces) -> bytes:
        wire = self._wire
        tag: bytes = wire._new_tag()
        line = tag + b" "
        for piece in pieces:
            if not isinstance(piece, LiteralString):
                line += piece
            elif self.supports("LITERAL+"):
                line += b"{%d+}\r\n%b" % (len(piece), piece)
            else:
                wire.send(line + b"{%d}\r\n" % len(piece))
                while wire._get_response():
                    if wire.tagged_commands[tag]:
                        return tag  # refused; the caller reads the tagged response
                line = bytes(piece)
        wire.send(line + b"\r\n")
        return tag

    def _note_selected(self, pieces: Pieces) -> None:
        """Record the state of a folder from its SELECT response."""
        status = self._wire.untagged_responses
        name = folder_tree.decode_folder_name(pieces[1].strip(b'"').replace(b'\\"', b'"').replace(b"\\\\", b"\\"))

        def number_of(kind: str) -> int:
            return int(status[kind][-1]) if status.get(kind) else 0

        self._wire.state = "SELECTED"
        self._opened = OpenedFolder(name, number_of("EXISTS"), number_of("UIDVALIDITY"), number_of("UIDNEXT"))
        self._selected[name] = self._opened
        status.clear()

    def _fetch(self, command: str, numbers: str, items: str) -> dict[int, dict[bytes, imap_responses.Value]]:
        items = items if items.startswith("(") or " " not in items else f"({items})"
        with translate_errors():
            self._wire.untagged_responses.pop("FETCH", None)
            if command == "FETCH":
                kind, lines = self._wire.fetch(numbers, items)
            else:
                kind, lines = self._wire.uid("FETCH", numbers, items)
            if kind != "OK":
                raise CommandRefused(imap_responses.to_bytes(lines[-1]).decode("utf-8", "replace"))
            return imap_responses.parse_fetch(lines)
