"""Folder commands of the IMAP server: list, count, create, rename and delete folders; and the quota.

Base class of `message_changes.MessageChanges`; nothing here looks into a folder.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from imapclient import IMAPClient

from webmail.mailserver.pipeline import PipelinedConnection, translate_errors
from webmail.values import folder_tree
from webmail.values.folder_tree import Folder
from webmail.values.search_keys import Pieces, reject_controls

STATUS_ITEMS = 60  # at most so many folders are counted on a server without LIST-STATUS


@dataclass(frozen=True, slots=True)
class Quota:
    used: int  # bytes
    limit: int

    @property
    def percent(self) -> int:
        return min(100, self.used * 100 // self.limit) if self.limit else 0


class FolderCommands(PipelinedConnection):
    """The commands of an authenticated connection that concern folders."""

    def __init__(self, client: IMAPClient) -> None:
        super().__init__(client)
        self._quota: tuple[float, Quota | None] = (0.0, None)
        self._folders: tuple[float, tuple[Folder, ...]] = (0.0, ())
        self._special_folders: tuple[tuple[str, str], ...] = ()
        self._namespace_prefix: str | None = None

    def folders(self, *, younger_than: float = 0.0) -> tuple[Folder, ...]:
        """Return all folders, sorted, with counts if one command provides them (RFC 5819).

        A cached list is returned if it is younger than `younger_than` seconds.
        """
        if self._folders[1] and time.monotonic() - self._folders[0] < younger_than:
            return self._folders[1]
        with translate_errors():
            found = self._extended_list() if self.supports("LIST-STATUS") else self._plain_list()
        if not any(folder.role == "inbox" for folder in found):
            found.insert(0, Folder("INBOX", role="inbox"))
        self._folders = (time.monotonic(), folder_tree.arrange_folders(found, dict(self._special_folders)))
        return self._folders[1]

    def set_special_folders(self, special_folders: tuple[tuple[str, str], ...]) -> None:
        """Set (role, name) of folders that the user assigned to a role, whatever the server says."""
        if special_folders != self._special_folders:
            self._special_folders, self._folders = special_folders, (0.0, ())

    def _extended_list(self) -> list[Folder]:
        commands = b"(SUBSCRIBED SPECIAL-USE STATUS (MESSAGES UNSEEN))"
        if not self.supports("SPECIAL-USE"):
            commands = commands.replace(b"SPECIAL-USE ", b"")
        self._wire.untagged_responses.pop("STATUS", None)
        lines = self._client._raw_command_untagged(b"LIST", [b'""', b'"*"', b"RETURN", commands], uid=False)
        status = self._wire.untagged_responses.pop("STATUS", [])
        return folder_tree.with_counts(folder_tree.parse_list(lines), status)

    def _plain_list(self) -> list[Folder]:
        """List folders without LIST-STATUS: all commands in one round trip, with counts of the folders known before."""
        known = [f.name for f in self._folders[1] if f.selectable and f.role != "inbox"][: STATUS_ITEMS - 1]
        commands: list[tuple[str, Pieces]] = [("LIST", (b'LIST "" "*"',)), ("LSUB", (b'LSUB "" "*"',))]
        counted = ((b"STATUS ", self._mailbox(name), b" (MESSAGES UNSEEN)") for name in ("INBOX", *known))
        commands += [("STATUS", pieces) for pieces in counted]
        lines, subscribed, *counts = self._pipeline(commands, lenient=True)
        names = set(folder_tree.parse_list(subscribed))
        found = {
            raw: replace(folder, subscribed=folder.name == "INBOX" or raw in names)
            for raw, folder in folder_tree.parse_list(lines).items()
        }
        return folder_tree.with_counts(found, [line for each in counts for line in each])

    def namespace_prefix(self) -> str:
        """Return the prefix of the user's own folders: "" or, on some servers, "INBOX." (RFC 2342).

        Without NAMESPACE it is derived from the names of existing folders.
        """
        if self._namespace_prefix is None:
            if self.supports("NAMESPACE"):
                with translate_errors():
                    personal = self._client.namespace().personal
                self._namespace_prefix = personal[0][0] if personal else ""
            else:
                others = [f for f in self.folders(younger_than=30) if f.role != "inbox"]
                all_below_inbox = others and all(
                    f.name.startswith(f"INBOX{f.delimiter}") for f in others if f.delimiter
                )
                self._namespace_prefix = f"INBOX{others[0].delimiter}" if all_below_inbox else ""
        return self._namespace_prefix

    def create(self, name: str) -> None:
        with self._changing_folders():
            self._client.create_folder(reject_controls(name))
            self._client.subscribe_folder(name)

    def rename(self, old: str, new: str) -> None:
        subscribed = any(f.name == old and f.subscribed for f in self.folders(younger_than=30))
        with self._changing_folders():
            self._client.rename_folder(reject_controls(old), reject_controls(new))
            self._client.unsubscribe_folder(old)
            if subscribed:
                self._client.subscribe_folder(new)

    def remove(self, name: str) -> None:
        with self._changing_folders():
            self._client.delete_folder(reject_controls(name))
            self._client.unsubscribe_folder(name)

    def subscribe(self, name: str, *, wanted: bool) -> None:
        with self._changing_folders():
            (self._client.subscribe_folder if wanted else self._client.unsubscribe_folder)(reject_controls(name))

    @contextmanager
    def _changing_folders(self) -> Iterator[None]:
        """Clear the cached folders and leave the selected folder, which may be the one renamed or deleted."""
        self._folders = (0.0, ())
        with translate_errors():
            if self._opened is not None:
                # Without UNSELECT (RFC 3691) another folder is selected, because CLOSE would expunge.
                if self.supports("UNSELECT"):
                    self._client.unselect_folder()
                else:
                    self._client.select_folder("INBOX")
            self._opened = None
            yield

    def _note_read(self, name: str) -> None:
        """Update the cached unread count of a folder after one of its messages was read."""
        since, known = self._folders
        self._folders = (
            since,
            tuple(
                replace(folder, unseen=max(0, folder.unseen - 1)) if folder.name == name else folder for folder in known
            ),
        )

    def quota(self) -> Quota | None:
        """Return the storage quota of INBOX's quota root (RFC 9208), queried at most once a minute, or None."""
        if not self.supports("QUOTA"):
            return None
        if not self._quota[0] or time.monotonic() - self._quota[0] > 60:
            with translate_errors():
                found = [q for q in self._client.get_quota("INBOX") if q.resource.upper() == "STORAGE" and q.limit]
            first = Quota(int(found[0].usage * 1024), int(found[0].limit * 1024)) if found else None
            self._quota = (time.monotonic(), first)
        return self._quota[1]
