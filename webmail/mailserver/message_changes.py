"""Changes of messages on the IMAP server: flags, moving, copying, deleting and appending.

Base class of `imap_client.MailSession`, built on `folder_commands`.
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
    """Format UIDs as a sequence set."""
    return ",".join(str(int(uid)) for uid in uids)


class MessageChanges(FolderCommands):
    """The commands of an authenticated connection that change messages."""

    def set_flag(self, uids: Sequence[int], flag: str, *, on: bool) -> None:
        """Set or clear a flag of FLAGS, or a keyword, on messages of the open folder.

        Raise `ValueError` for an invalid keyword.
        """
        if uids:
            self._folders = (0.0, ())
            with translate_errors():
                change_flags = self._client.add_flags if on else self._client.remove_flags
                change_flags(uids, [FLAGS.get(flag) or check_keyword(flag)], silent=True)

    def move(self, uids: Sequence[int], target: str) -> dict[int, int]:
        """Move messages of the open folder; return the new UID of each, if the server reports them (UIDPLUS).

        Without MOVE (RFC 6851) they are copied, marked as deleted and expunged.
        """
        if not uids:
            return {}
        self._folders = (0.0, ())
        with translate_errors():
            if not self.supports("MOVE"):
                self._wire.untagged_responses.pop("COPYUID", None)
                self._client.copy(uids, reject_controls(target))
                new_uids = self._pop_copyuid()
                self._expunge(uids)
                return new_uids
            self._wire.untagged_responses.pop("COPYUID", None)
            self._client.move(uids, reject_controls(target))
            return self._pop_copyuid()

    def _pop_copyuid(self) -> dict[int, int]:
        """Return {old UID: new UID} of the last COPYUID response code (RFC 4315 §3).

        Its words are the target's UIDVALIDITY, the old and the new UIDs.
        """
        responses = self._wire.untagged_responses.pop("COPYUID", None)
        words = responses[-1].split() if responses else []
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
        """Delete messages permanently."""
        if uids:
            self._folders, self._quota = (0.0, ()), (0.0, None)
            with translate_errors():
                self._expunge(uids)

    def _expunge(self, uids: Sequence[int]) -> None:
        """Expunge exactly these messages.

        Without UIDPLUS (RFC 4315), other messages marked as deleted are unmarked for the duration.
        """
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
        """Delete permanently all messages marked as deleted in the open folder."""
        self._folders, self._quota = (0.0, ()), (0.0, None)
        with translate_errors():
            self._client.expunge()

    def all_uids(self) -> list[int]:
        with translate_errors():
            return sorted(self._client.search(["ALL"]))

    def append(self, name: str, content: bytes, flags: Iterable[str], moment: int | None = None) -> int | None:
        """Append a message to a folder and return its UID if the server reports it (UIDPLUS).

        `flags` are flags of FLAGS and keywords.
        `moment` is its INTERNALDATE in Unix seconds. Raise `CommandRefused`, or `ValueError` for an invalid keyword.
        """
        self._folders, self._quota = (0.0, ()), (0.0, None)
        with translate_errors():
            imap_flags = [FLAGS.get(flag) or check_keyword(flag) for flag in flags]
            arrived = datetime.fromtimestamp(moment, UTC) if moment else None
            answer = self._client.append(reject_controls(name), content, imap_flags, arrived)
        match = re.search(rb"\[APPENDUID \d+ (\d+)\]", answer or b"")
        return int(match[1]) if match else None
