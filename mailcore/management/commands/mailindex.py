"""`mailindex`: check every mailbox against its Maildir, and index files without a row."""

import json
import sys
from argparse import ArgumentParser
from dataclasses import asdict, dataclass, field
from typing import Any

from mailcore.management.program import Fatal, Program, plural
from mailcore.store.access import reindex, repair, rescan
from mailcore.store.access.reindex import FolderReport
from mailcore.store.access.repair import Counters
from mailcore.values import Owner


@dataclass(slots=True)
class _Repaired:
    """Repairs of messages with lost files: restored (UID → place of the content found), or rows removed."""

    restored: dict[int, str] = field(default_factory=dict)
    dropped: list[int] = field(default_factory=list)

    @property
    def uids(self) -> set[int]:
        return {*self.restored, *self.dropped}


class Command(Program):
    help = (
        "Check mailboxes against their Maildirs. Messages found in a Maildir are added to the index, with flags"
        " from their names and Dovecot's UIDs, keywords and subscriptions; counters that differ from"
        " their messages are corrected; rows without a file are reported and left alone, unless --restore or"
        " --drop is given. Exit status 1: inconsistencies remain."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("-n", "--dry-run", action="store_true", help="report only: change nothing")
        parser.add_argument(
            "--offline", action="store_true", help="no server runs: index files of recent deliveries too"
        )
        parser.add_argument(
            "--restore",
            action="store_true",
            help="write lost files again if their content is found: in the account's other directories, in other"
            " messages with equal content, in backups (--from)",
        )
        parser.add_argument(
            "--from",
            action="append",
            default=[],
            metavar="DIRECTORY",
            dest="backups",
            help="a directory of backups where --restore looks for lost files; may be repeated",
        )
        parser.add_argument(
            "--drop", action="store_true", help="remove rows whose file is lost (after --restore), permanently"
        )
        parser.add_argument(
            "--rescan",
            action="store_true",
            help="read every message again and correct what listings show of it, after an upgrade that reads"
            " messages otherwise",
        )
        parser.add_argument("--json", action="store_true", help="one JSON object for each folder with differences")
        parser.add_argument("addresses", nargs="*", metavar="address", help="only these accounts (default: all)")

    def run(self, options: dict[str, Any], given: Any) -> int:
        owners = reindex.list_owners(options["addresses"])
        missing = {address.lower() for address in options["addresses"]} - {owner.address for owner in owners}
        if missing:
            raise Fatal(f"no such account: {', '.join(sorted(missing))}")
        total = unresolved = 0
        for number, owner in enumerate(owners, 1):
            for folder in reindex.examine_account(owner, offline=options["offline"]):
                indexed = 0
                if not (options["dry_run"] or folder.problem):
                    for count in reindex.index_files(owner, folder):
                        indexed += count
                        self._show_progress(f"{number}/{len(owners)} {owner.address} {folder.name}: {indexed}")
                total += indexed
                repaired = self._repair(owner, folder, options) if folder.lost else _Repaired()
                unresolved += len(folder.lost) - len(repaired.uids) + bool(folder.problem)
                unresolved += len(folder.found) if options["dry_run"] else 0
                self._report(owner, folder, indexed, repaired, as_json=options["json"], dry_run=options["dry_run"])
            unresolved += self._recount(owner, as_json=options["json"], dry_run=options["dry_run"])
            if options["rescan"]:
                self._rescan(owner, as_json=options["json"], dry_run=options["dry_run"])
            if not options["dry_run"]:
                reindex.import_subscriptions(owner)
        if not options["addresses"]:
            for path in reindex.orphaned_directories():
                unresolved += 1
                self.warn(f"{path}: mail without an account: create the account, then run {self.name} again")
        self._show_progress("")
        self.say(f"{plural(len(owners), 'account')}, {plural(total, 'message')} indexed")
        return 1 if unresolved else 0

    def _repair(self, owner: Owner, folder: FolderReport, options: dict[str, Any]) -> "_Repaired":
        indexed = _Repaired()
        if options["dry_run"]:
            return indexed
        if options["restore"]:
            indexed.restored = dict(repair.restore(owner, folder, options["backups"]))
        if options["drop"]:
            indexed.dropped = repair.drop(owner, folder)
        return indexed

    def _rescan(self, owner: Owner, *, as_json: bool, dry_run: bool) -> None:
        for name, read, changed in rescan.rescan(owner, dry_run=dry_run):
            self._show_progress(f"{owner.address} {name}: {read}")
            if as_json and changed:
                found = {"account": owner.address, "mailbox": name, "rescanned": read, "changed": changed}
                self.print(json.dumps(found, ensure_ascii=False))
            elif changed:
                would = "would be " if dry_run else ""
                self.print(f"{owner.address} {name}: {plural(changed, 'message')} of {read} {would}described anew")

    def _recount(self, owner: Owner, *, as_json: bool, dry_run: bool) -> int:
        """Correct counters and return how many remain wrong."""
        differing = 0
        for each in repair.recount(owner, dry_run=dry_run):
            differing += dry_run
            if as_json:
                named = {"account": owner.address, "mailbox": each.mailbox}
                self.print(json.dumps({**named, "counters": asdict(each.after), "before": asdict(each.before)}))
                continue
            self.print(
                f"{owner.address}{' ' if each.mailbox else ''}{each.mailbox}:"
                f" counters {'differ' if dry_run else 'corrected'}: {_counters(each.before)} → {_counters(each.after)}"
            )
        return differing

    def _report(
        self, owner: Owner, folder: FolderReport, indexed: int, repaired: "_Repaired", *, as_json: bool, dry_run: bool
    ) -> None:
        if not (folder.found or folder.lost or folder.problem or not folder.mailbox_id):
            return
        if as_json:
            report = {
                "account": owner.address,
                "mailbox": folder.name,
                "files_without_row": [file.path for file in folder.found],
                "rows_without_file": [{"uid": uid, "base_name": base_name} for uid, base_name in folder.lost],
                "indexed": indexed,
                "restored": repaired.restored,
                "dropped": repaired.dropped,
                "problem": folder.problem,
            }
            self.print(json.dumps(report))
            return
        label = f"{owner.address} {folder.name}"
        if folder.problem:
            self.print(f"{label}: {folder.problem}")
        elif dry_run:
            if not folder.mailbox_id:
                self.print(f"{label}: folder without mailbox")
            for file in folder.found:
                self.print(f"{label}: file without row: {file.path}")
        elif indexed or not folder.mailbox_id:
            self.print(f"{label}: {plural(indexed, 'message')} indexed")
        for uid, base_name in folder.lost:
            if uid in repaired.restored:
                self.print(f"{label}: UID {uid} restored from {repaired.restored[uid]}")
            elif uid in repaired.dropped:
                self.print(f"{label}: UID {uid} dropped")
            else:
                self.print(f"{label}: row without file: UID {uid} {base_name}")

    def _show_progress(self, text: str) -> None:
        """Show progress on one line of a terminal, overwriting it."""
        if sys.stderr.isatty():
            sys.stderr.write(f"\r\x1b[K{text}")
            sys.stderr.flush()


def _counters(counters: Counters) -> str:
    return f"{plural(counters.messages, 'message')}, {counters.unseen} unseen, {plural(counters.size, 'byte')}"
