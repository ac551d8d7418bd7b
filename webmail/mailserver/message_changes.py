"""What changes messages at the IMAP server: flags, moving, copying, removing, and new ones.

A part of `webmail.mailserver.imap_client`, above `webmail.mailserver.folder_commands`.
"""

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from webmail.mailserver.folder_commands import FolderCommands
from webmail.mailserver.pipeline import translate_errors
from webmail.values import imap_responses
from webmail.values.search_keys import check_keyword, reject_controls

FLAGS = {
    "seen": "\\Seen",
    "flagged": "\\Flagged",
    "answered": "\\Answered",
    "draft": "\\Draft",
    "deleted": "\\Deleted",
    "forwarded": "$Forwarded",
    "junk": "$Junk",
    "notjunk": "$NotJunk",
    "mdnsent": "$MDNSent",
}


def format_uids(uids: Sequence[int]) -> str:
    """UIDs as a sequence set."""
    return ",".join(str(int(uid)) for uid in uids)


class MessageChanges(FolderCommands):
    """A signed-in connection as far as it changes messages."""

    def set_flag(self, uids: Sequence[int], flag: str, *, on: bool) -> None:
        """Set or clear a flag of FLAGS, or a keyword, on messages of the open folder. Raises ValueError for what
        is no keyword."""
        if uids:
            self._folders = (0.0, ())
            with translate_errors():
                change = self._client.add_flags if on else self._client.remove_flags
                change(uids, [FLAGS.get(flag) or check_keyword(flag)], silent=True)

    def move(self, uids: Sequence[int], target: str) -> dict[int, int]:
        """Into another folder; without MOVE (RFC 6851) by copying, marking and expunging. What number each message
        has there, where the server tells (UIDPLUS)."""
        if not uids:
            return {}
        self._folders = (0.0, ())
        with translate_errors():
            if not self.supports("MOVE"):
                self._wire.untagged_responses.pop("COPYUID", None)
                self._client.copy(uids, reject_controls(target))
                there = self._copied()
                self._expunge(uids)
                return there
            self._wire.untagged_responses.pop("COPYUID", None)
            self._client.move(uids, reject_controls(target))
            return self._copied()

    def _copied(self) -> dict[int, int]:
        """COPYUID (RFC 4315 §3): validity of the target, old numbers, new numbers. Of several the last."""
        said = self._wire.untagged_responses.pop("COPYUID", None)
        words = said[-1].split() if said else []
        if len(words) != 3:
            return {}
        return dict(
            zip(imap_responses.expand_sequence(words[1]), imap_responses.expand_sequence(words[2]), strict=False)
        )

    def copy(self, uids: Sequence[int], target: str) -> None:
        if uids:
            self._folders = (0.0, ())
            with translate_errors():
                self._client.copy(uids, reject_controls(target))

    def delete_messages(self, uids: Sequence[int]) -> None:
        """For good."""
        if uids:
            self._folders, self._quota = (0.0, ()), (0.0, None)
            with translate_errors():
                self._expunge(uids)

    def _expunge(self, uids: Sequence[int]) -> None:
        """Exactly these. Where the server has no UIDPLUS (RFC 4315) others that are marked lose their mark
        meanwhile."""
        if self.supports("UIDPLUS"):
            self._client.add_flags(uids, [FLAGS["deleted"]], silent=True)
            self._client.uid_expunge(uids)
            return
        others = sorted(set(self._client.search(["DELETED"])) - set(uids))
        if others:
            self._client.remove_flags(others, [FLAGS["deleted"]], silent=True)
        self._client.add_flags(uids, [FLAGS["deleted"]], silent=True)
        self._client.expunge()
        if others:
            self._client.add_flags(others, [FLAGS["deleted"]], silent=True)

    def expunge(self) -> None:
        """For good: whatever is marked as deleted in the open folder."""
        self._folders, self._quota = (0.0, ()), (0.0, None)
        with translate_errors():
            self._client.expunge()

    def all_uids(self) -> list[int]:
        with translate_errors():
            return sorted(self._client.search(["ALL"]))

    def append(self, name: str, content: bytes, flags: Iterable[str], moment: int | None = None) -> int | None:
        """Put a message into a folder, with flags of FLAGS and keywords, as if it came at that moment (seconds);
        its UID where the server tells (UIDPLUS). Raises Refused, ValueError for what is no keyword."""
        self._folders, self._quota = (0.0, ()), (0.0, None)
        with translate_errors():
            marks = [FLAGS.get(flag) or check_keyword(flag) for flag in flags]
            arrived = datetime.fromtimestamp(moment, UTC) if moment else None
            answer = self._client.append(reject_controls(name), content, marks, arrived)
        match = re.search(rb"\[APPENDUID \d+ (\d+)\]", answer or b"")
        return int(match[1]) if match else None
