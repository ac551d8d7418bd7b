"""`mailimport`: letters from files into an account."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from mailcore.management import letters
from mailcore.management.program import Fatal, Program, plural
from mailcore.store import adopt, append, mailboxes
from mailcore.store import box as boxes
from mailcore.store.append import Upload
from mailcore.store.box import Box
from mailcore.terms import Owner, Refusal
from mailcore.wire.imap import names
from mailcore.wire.mbox import Stored

_TOGETHER_OCTETS = 1 << 23
_TOGETHER = 100


class Command(Program):
    help = (
        "Put letters into an account: mbox files, single letters, directories of either, Maildirs with their folders."
        " Flags, keywords and dates come along. What is imported twice is there twice."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("address", help="the account")
        parser.add_argument("paths", nargs="+", type=Path, metavar="path", help="a file, directory or Maildir")
        parser.add_argument("--mailbox", default="INBOX", help="where letters go whose path names no other")
        parser.add_argument("--dry-run", action="store_true", help="only count")

    def run(self, options: dict[str, Any], given: Any) -> int:
        found = adopt.owners([options["address"]])
        if not found:
            raise Fatal(f"no such account: {options['address']}")
        self._owner, self._dry_run = found[0], bool(options["dry_run"])
        self._counts: dict[str, int] = {}
        waiting: list[Stored] = []
        where = ""
        for path in options["paths"]:
            if not path.exists():
                raise Fatal(f"{path}: no such file or directory")
            for mailbox, message in letters.read(path, names.canonical(options["mailbox"])):
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

    def _put(self, mailbox: str, messages: list[Stored]) -> None:
        if not self._dry_run:
            put(self._owner, mailbox, messages)
        self._counts[mailbox] = self._counts.get(mailbox, 0) + len(messages)


def put(owner: Owner, mailbox: str, messages: list[Stored]) -> None:
    """Into a mailbox that is made where there is none; all or nothing. Fatal: it is not to be."""
    target = box(owner, mailbox)
    uploads = [Upload(each.content, each.flags, each.keywords, each.received_at) for each in messages]
    done = append.append(target, uploads)
    if isinstance(done, Refusal):
        raise Fatal(f"{owner.address}: {mailbox}: {done.text}")


def box(owner: Owner, mailbox: str) -> Box:
    found = boxes.find(owner, mailbox)
    if not isinstance(found, Refusal):
        return found
    made = mailboxes.create(owner, mailbox)
    if isinstance(made, Refusal):
        raise Fatal(f"{owner.address}: {mailbox}: {made.text}")
    mailboxes.subscribe(owner, mailbox)
    return made
