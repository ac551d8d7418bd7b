"""`mailexport`: write an account's messages into files that other programs can read."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from mailcore.management.message_files import MaildirWriter, MboxWriter
from mailcore.management.program import Fatal, Program, plural
from mailcore.store.access import reindex
from mailcore.store.db import message_table
from mailcore.store.mailbox import mailboxes, messages
from mailcore.store.mailbox import open_mailbox as boxes
from mailcore.store.mailbox.messages import MessageFile
from mailcore.store.mailbox.open_mailbox import MailboxHandle
from mailcore.values import Refusal
from mailcore.wire.files import mbox
from mailcore.wire.files.mbox import MboxMessage
from mailcore.wire.imap import mailbox_names

_COLUMNS = ("uid", "base_name", "flags", "size", "keywords", "internal_at")


class Command(Program):
    help = "Write an account's mailboxes into a new directory, as mbox files or as a Maildir with folders."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("address", help="the account")
        parser.add_argument("directory", type=Path, help="the directory to create")
        parser.add_argument("--format", choices=("mbox", "maildir"), default="mbox")
        parser.add_argument("--mailbox", action="append", help="only this mailbox; may be repeated")

    def run(self, options: dict[str, Any], given: Any) -> int:
        owners = reindex.list_owners([options["address"]])
        if not owners:
            raise Fatal(f"no such account: {options['address']}")
        owner, top = owners[0], options["directory"]
        selected = [mailbox_names.canonical_name(name) for name in options["mailbox"] or ()]
        listed = [each.name for each in mailboxes.list_mailboxes(owner) if each.selectable]
        own_names = [name for name in listed if not mailbox_names.is_other_users(name)]
        if missing := set(selected) - set(own_names):
            raise Fatal(f"no such mailbox: {', '.join(sorted(missing))}")
        try:
            top.mkdir(parents=True)
        except OSError as error:
            raise Fatal(f"{top}: {error.strerror}") from error
        lost = 0
        for name in selected or own_names:
            target = boxes.find_mailbox(owner, name)
            if isinstance(target, Refusal):  # deleted meanwhile
                continue
            writer = MboxWriter(top, name) if options["format"] == "mbox" else MaildirWriter(top, name)
            written, missing_files = _export(target, writer)
            lost += missing_files
            self.print(f"{name}: {plural(written, 'message')}")
        if lost:
            self.warn(f"{plural(lost, 'message')} could not be read")
        return 1 if lost else 0


def _export(target: MailboxHandle, writer: MboxWriter | MaildirWriter) -> tuple[int, int]:
    """Write a mailbox's messages; return (messages written, messages without a file)."""
    written = lost = 0
    for ranges in messages.uid_batches([(1, _last_uid(target))]):
        for uid, base_name, flags, size, keywords, internal_at in message_table.select_messages(
            target.id, _COLUMNS, ranges
        ):
            content = messages.read_message(target, MessageFile(uid, base_name, flags, size))
            if content is None:
                lost += 1
                continue
            writer.add(MboxMessage(mbox.to_crlf(content), flags, tuple(keywords.split()), internal_at))
            written += 1
    writer.close()
    return written, lost


def _last_uid(target: MailboxHandle) -> int:
    rows = message_table.fetch_rows(
        f"SELECT COALESCE(MAX(uid), 0) FROM {message_table.MESSAGE} WHERE mailbox_id = %s", (target.id,)
    )
    return int(rows[0][0])
