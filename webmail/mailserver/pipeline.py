"""A signed-in IMAP connection as commands and answers: several commands in one journey, literals, faults.

The lower half of `webmail.mailserver.imap_client`; these two alone import imapclient. A command the server says
NO to raises Refused, a server that is gone raises Unreachable.
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

# The server may know the visitor and still not let another connection in (RFC 5530).
LIMIT_CODES = re.compile(r"\[(?:LIMIT|UNAVAILABLE|INUSE|IN-USE|SERVERBUG)\]")
_RESPONSE_TEXT = re.compile(r"^\w+ (?:failed|command error): |^b?['\"]|\[[A-Z][^\]]*\] ?|['\"]$")


class CommandRefused(Exception):
    """The server said NO or BAD; `str()` is its text without codes."""


class ServerUnreachable(Exception):
    """No connection, or it broke; `str()` says what in English, for the log."""


class TooManyConnections(ServerUnreachable):
    """The server lets no further connection in."""


class InvalidCredential(Exception):
    """The server does not know this name and password (any more)."""


@dataclass(frozen=True, slots=True)
class OpenedFolder:
    """A selected folder: how many messages, and the number that makes its UIDs mean something."""

    name: str
    exists: int
    validity: int
    following: int = 0  # UIDNEXT


@contextmanager
def translate_errors() -> Iterator[None]:
    """imapclient's exceptions as the three of this module."""
    try:
        yield
    except LoginError as error:
        fault = TooManyConnections if LIMIT_CODES.search(str(error)) else InvalidCredential
        raise fault(str(error)) from error
    except (imaplib.IMAP4.abort, OSError, EOFError, imap_responses.InvalidResponse) as error:
        raise ServerUnreachable(str(error) or type(error).__name__) from error
    except (IMAPClientError, imaplib.IMAP4.error) as error:
        raise CommandRefused(_RESPONSE_TEXT.sub("", str(error)).strip()) from error


class PipelinedConnection:
    """Commands that go out together, and what comes back."""

    def __init__(self, client: IMAPClient) -> None:
        self._client = client
        # imapclient sees no more of FETCH than bytes here, so its tracing of each line is not needed.
        self._wire: Any = client._imap
        self._wire.debug = 0
        self.capabilities = frozenset(name.decode("ascii").upper() for name in client.capabilities())
        self._opened: OpenedFolder | None = None
        self._selected: dict[str, OpenedFolder] = {}  # what SELECT last said of each folder

    def supports(self, capability: str) -> bool:
        return capability in self.capabilities

    def socket(self) -> Any:
        """To be looked at, never read."""
        return self._client.socket()

    def close(self) -> None:
        try:
            self._client.logout()
        except (OSError, imaplib.IMAP4.error, IMAPClientError):
            self._client.shutdown()

    def _mailbox(self, name: str) -> bytes:
        return format_string(mailbox_names.encode_utf7(reject_controls(name)).decode("ascii"))

    def _pipeline(self, asked: Sequence[tuple[str, Pieces]], *, lenient: bool = False) -> list[imap_responses.Lines]:
        """Several commands in one journey: all are sent, then all answers read. For each the lines of the answer
        it names. Where a command has literals that the server wants to be asked for, it takes a journey more.
        Raises Refused after all answers are read, if one was NO; `lenient`: what was refused has no lines."""
        wire = self._wire
        tags = [self._sent(pieces) for _kind, pieces in asked]
        found: list[imap_responses.Lines] = []
        refusal = b""
        for (kind, pieces), tag in zip(asked, tags, strict=True):
            wire.untagged_responses.pop(kind, None)
            if kind == "SELECT":
                wire.untagged_responses.clear()
            said, words = wire._get_tagged_response(tag)
            if said != "OK":
                refusal = refusal or words[-1] or b"NO"
                if kind == "SELECT":  # nothing is open then
                    self._opened = None
            elif kind == "SELECT":
                self._note_selected(pieces)
            found.append(wire.untagged_responses.pop(kind, []))
        if refusal and not lenient:
            raise CommandRefused(
                _RESPONSE_TEXT.sub("", imap_responses.to_bytes(refusal).decode("utf-8", "replace")).strip()
            )
        return found

    def _sent(self, pieces: Pieces) -> bytes:
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
                        return tag  # refused; its answer is read by who waits for it
                line = bytes(piece)
        wire.send(line + b"\r\n")
        return tag

    def _note_selected(self, pieces: Pieces) -> None:
        """What SELECT said of a folder."""
        said = self._wire.untagged_responses
        name = folder_tree.decode_folder_name(pieces[1].strip(b'"').replace(b'\\"', b'"').replace(b"\\\\", b"\\"))

        def told(kind: str) -> int:
            return int(said[kind][-1]) if said.get(kind) else 0

        self._wire.state = "SELECTED"
        self._opened = OpenedFolder(name, told("EXISTS"), told("UIDVALIDITY"), told("UIDNEXT"))
        self._selected[name] = self._opened
        said.clear()

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
