"""`mailimport`: put messages from files into an account."""

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

_BATCH_BYTES = 1 << 23
_BATCH_COUNT = 100


class Command(Program):
    help = (
        "Put messages into an account: mbox files, single messages, directories of either, Maildirs with their folders."
        " Flags, keywords and dates are preserved. Importing twice creates duplicates."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("address", help="the account")
        parser.add_argument("paths", nargs="+", type=Path, metavar="path", help="a file, directory or Maildir")
        parser.add_argument("--mailbox", default="INBOX", help="the mailbox for messages outside any folder")
        parser.add_argument("--dry-run", action="store_true", help="only count")

    def run(self, options: dict[str, Any], given: Any) -> int:
        owners = reindex.list_owners([options["address"]])
        if not owners:
            raise Fatal(f"no such account: {options['address']}")
        self._owner, self._dry_run = owners[0], bool(options["dry_run"])
        self._counts: dict[str, int] = {}
        batch: list[MboxMessage] = []
        current = ""
        for path in options["paths"]:
            if not path.exists():
                raise Fatal(f"{path}: no such file or directory")
            for mailbox, message in message_files.read_messages(path, mailbox_names.canonical_name(options["mailbox"])):
                full = len(batch) >= _BATCH_COUNT or sum(len(each.content) for each in batch) > _BATCH_BYTES
                if batch and (mailbox != current or full):
                    self._put(current, batch)
                    batch = []
                current = mailbox
                batch.append(message)
        if batch:
            self._put(current, batch)
        for mailbox, count in sorted(self._counts.items()):
            self.print(f"{mailbox}: {plural(count, 'message')}")
        return 0

    def _put(self, mailbox: str, messages: list[MboxMessage]) -> None:
        if not self._dry_run:
            append_batch(self._owner, mailbox, messages)
        self._counts[mailbox] = self._counts.get(mailbox, 0) + len(messages)


def append_batch(owner: Owner, mailbox: str, messages: list[MboxMessage]) -> None:
    """Append messages to a mailbox, created if needed: all or nothing; raise Fatal if that fails."""
    target = open_target(owner, mailbox)
    uploads = [Upload(each.content, each.flags, each.keywords, each.received_at) for each in messages]
    outcome = append_messages.append_messages(target, uploads)
    if isinstance(outcome, Refusal):
        raise Fatal(f"{owner.address}: {mailbox}: {outcome.text}")


def open_target(owner: Owner, mailbox: str) -> MailboxHandle:
    owners = boxes.find_mailbox(owner, mailbox)
    if not isinstance(owners, Refusal):
        return owners
    created = mailboxes.create_mailbox(owner, mailbox)
    if isinstance(created, Refusal):
        raise Fatal(f"{owner.address}: {mailbox}: {created.text}")
    mailboxes.subscribe_name(owner, mailbox)
    return created
