"""`mailindex`: check every mailbox against its Maildir, and enter what lies there without a row."""

import json
import sys
from argparse import ArgumentParser
from typing import Any

from mailcore.management.program import Fatal, Program, plural
from mailcore.store import adopt
from mailcore.store.adopt import Folder
from mailcore.terms import Owner


class Command(Program):
    help = (
        "Check mailboxes against their Maildirs. Messages found in a Maildir are entered into the index, with flags"
        " from their names and what Dovecot kept beside them (UIDs, keywords, subscriptions); rows whose file is gone"
        " are reported and left alone. Exit status 1: something is amiss and stays so."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("-n", "--dry-run", action="store_true", help="report only: change nothing")
        parser.add_argument(
            "--offline", action="store_true", help="no server runs: files of deliveries minutes ago are entered too"
        )
        parser.add_argument("--json", action="store_true", help="one JSON object a folder that differs")
        parser.add_argument("addresses", nargs="*", metavar="address", help="these accounts; without: all")

    def run(self, options: dict[str, Any], given: Any) -> int:
        owners = adopt.owners(options["addresses"])
        missing = {address.lower() for address in options["addresses"]} - {owner.address for owner in owners}
        if missing:
            raise Fatal(f"no such account: {', '.join(sorted(missing))}")
        entered = amiss = 0
        for number, owner in enumerate(owners, 1):
            for folder in adopt.examine(owner, offline=options["offline"]):
                done = 0
                if not (options["dry_run"] or folder.problem):
                    for count in adopt.enter(owner, folder):
                        done += count
                        self._show_progress(f"{number}/{len(owners)} {owner.address} {folder.name}: {done}")
                entered += done
                amiss += len(folder.lost) + bool(folder.problem)
                amiss += len(folder.found) if options["dry_run"] else 0
                self._report(owner, folder, done, as_json=options["json"], dry_run=options["dry_run"])
            if not options["dry_run"]:
                adopt.keep_subscriptions(owner)
        if not options["addresses"]:
            for path in adopt.homeless():
                amiss += 1
                self.warn(f"{path}: mail of nobody: make the account, then run {self.name} again")
        self._show_progress("")
        self.say(f"{plural(len(owners), 'account')}, {plural(entered, 'message')} entered")
        return 1 if amiss else 0

    def _report(self, owner: Owner, folder: Folder, done: int, *, as_json: bool, dry_run: bool) -> None:
        if not (folder.found or folder.lost or folder.problem or not folder.mailbox_id):
            return
        if as_json:
            report = {
                "account": owner.address,
                "mailbox": folder.name,
                "files_without_row": [found.path for found in folder.found],
                "rows_without_file": [{"uid": uid, "base_name": base_name} for uid, base_name in folder.lost],
                "entered": done,
                "problem": folder.problem,
            }
            self.print(json.dumps(report))
            return
        where = f"{owner.address} {folder.name}"
        if folder.problem:
            self.print(f"{where}: {folder.problem}")
        elif dry_run:
            if not folder.mailbox_id:
                self.print(f"{where}: folder without mailbox")
            for found in folder.found:
                self.print(f"{where}: file without row: {found.path}")
        elif done or not folder.mailbox_id:
            self.print(f"{where}: {plural(done, 'message')} entered")
        for uid, base_name in folder.lost:
            self.print(f"{where}: row without file: UID {uid} {base_name}")

    def _show_progress(self, text: str) -> None:
        """On one line that is written over, where somebody looks on."""
        if sys.stderr.isatty():
            sys.stderr.write(f"\r\x1b[K{text}")
            sys.stderr.flush()
