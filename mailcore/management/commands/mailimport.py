"""`mailimport`: messages from files into an account."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from mailcore.management import message_files
from mailcore.management.program import Fatal, Program, plural
from mailcore.store.access import reindex
from mailcore.store.mailbox import append_messages, mailboxes
from mailcore.store.mailbox import open_mailbox as boxes
from mailcore.store.mailbox.append_messages import Upload
from mailcore.store.mailbox.open_mailbox import MailboxHandle
from mailcore.values import Owner, Refusal
from mailcore.wire.files.mbox import MboxMessage
from mailcore.wire.imap import mailbox_names

_TOGETHER_OCTETS = 1 << 23
_TOGETHER = 100


class Command(Program):
    help = (
        "Put messages into an account: mbox files, single messages, directories of either, Maildirs with their folders."
        " Flags, keywords and dates come along. What is imported twice is there twice."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("address", help="the account")
        parser.add_argument("paths", nargs="+", type=Path, metavar="path", help="a file, directory or Maildir")
        parser.add_argument("--mailbox", default="INBOX", help="where messages go whose path names no other")
        parser.add_argument("--dry-run", action="store_true", help="only count")

    def run(self, options: dict[str, Any], given: Any) -> int:
        found = reindex.list_owners([options["address"]])
        if not found:
            raise Fatal(f"no such account: {options['address']}")
        self._owner, self._dry_run = found[0], bool(options["dry_run"])
        self._counts: dict[str, int] = {}
        waiting: list[MboxMessage] = []
        where = ""
        for path in options["paths"]:
            if not path.exists():
                raise Fatal(f"{path}: no such file or directory")
            for mailbox, message in message_files.read_messages(path, mailbox_names.canonical_name(options["mailbox"])):
                full = len(waiting) >= _TOGETHER or sum(len(each.content) for each in waiting) > _TOGETHER_OCTETS
                if waiting and (mailbox != where or full):
                    self._put(where, waiting)
                    waiting = []
                where = mailbox
                waiting.append(message)
        if waiting:
            self._put(where, waiting)
        for mailbox, count in sorted(self._counts.items()):
            self.print(f"{mailbox}: {plural(count, 'message')}")
        return 0

    def _put(self, mailbox: str, messages: list[MboxMessage]) -> None:
        if not self._dry_run:
            put(self._owner, mailbox, messages)
        self._counts[mailbox] = self._counts.get(mailbox, 0) + len(messages)


def put(owner: Owner, mailbox: str, messages: list[MboxMessage]) -> None:
    """Into a mailbox that is made where there is none; all or nothing. Fatal: it is not to be."""
    target = box(owner, mailbox)
    uploads = [Upload(each.content, each.flags, each.keywords, each.received_at) for each in messages]
    done = append_messages.append_messages(target, uploads)
    if isinstance(done, Refusal):
        raise Fatal(f"{owner.address}: {mailbox}: {done.text}")


def box(owner: Owner, mailbox: str) -> MailboxHandle:
    found = boxes.find_mailbox(owner, mailbox)
    if not isinstance(found, Refusal):
        return found
    made = mailboxes.create_mailbox(owner, mailbox)
    if isinstance(made, Refusal):
        raise Fatal(f"{owner.address}: {mailbox}: {made.text}")
    mailboxes.subscribe_name(owner, mailbox)
    return made
