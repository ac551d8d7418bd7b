"""`imapmigrate`: fetch accounts' mail from another IMAP server."""

import getpass
import json
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from imapclient.exceptions import IMAPClientError

from mailcore.management import imap_migration
from mailcore.management.commands.mailimport import open_target
from mailcore.management.imap_migration import Progress, Source
from mailcore.management.program import Fatal, Program, plural
from mailcore.store.access import reindex
from mailcore.values import Owner

_TIMEOUT = 300.0  # seconds the other server has to reply
_PORTS = {"tls": 993, "starttls": 143, "none": 143}


class Command(Program):
    help = (
        "Fetch accounts' mail from another IMAP server: mailboxes, flags, keywords, dates, subscriptions. If"
        " repeated, it continues where it stopped; a later run fetches new messages."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("host", help="the other server")
        parser.add_argument(
            "addresses", nargs="*", metavar="address", help="accounts here; their passwords are read from the terminal"
        )
        parser.add_argument("--users", type=Path, help='a file of "address user password" lines, separated by tabs')
        parser.add_argument("--user", help="the user name there, if it is not the address (one account only)")
        parser.add_argument("--security", choices=sorted(_PORTS), default="tls")
        parser.add_argument("--port", type=int)
        parser.add_argument("-n", "--dry-run", action="store_true", help="only show what would be fetched")
        parser.add_argument("--json", action="store_true", help="one JSON object for each mailbox")

    def read(self, options: dict[str, Any]) -> list[tuple[str, str, str]]:
        """Return (address, user name there, password) of each account."""
        if options["user"] and len(options["addresses"]) != 1:
            raise Fatal("--user is for one account")
        accounts = list(self._from_file(options["users"])) if options["users"] else []
        for address in options["addresses"]:
            user = options["user"] or address
            read_password = getpass.getpass if sys.stdin.isatty() else lambda _: sys.stdin.readline().rstrip("\n")
            accounts.append((address, user, read_password(f"Password of {user}: ")))
        if not accounts:
            raise Fatal("no accounts: name them, or give --users")
        return accounts

    def _from_file(self, path: Path) -> Iterator[tuple[str, str, str]]:
        try:
            lines = path.read_text().splitlines()
        except OSError as error:
            raise Fatal(f"{path}: {error.strerror}") from error
        for number, line in enumerate(lines, 1):
            if not line.strip() or line.startswith("#"):
                continue
            fields = line.split("\t")
            if len(fields) != 3:
                raise Fatal(f"{path}, line {number}: need address, user and password, separated by tabs")
            yield fields[0], fields[1], fields[2]

    def run(self, options: dict[str, Any], accounts: list[tuple[str, str, str]]) -> int:
        failed = 0
        port = options["port"] or _PORTS[options["security"]]
        for address, user, password in accounts:
            owners = reindex.list_owners([address])
            try:
                if not owners:
                    raise Fatal(f"no such account: {address}")
                source = Source(options["host"], port, options["security"], user, password)
                self._account(source, owners[0], options)
            except (Fatal, IMAPClientError, OSError) as error:
                failed += 1
                self.warn(f"{address}: {error}")
        self.say(f"{plural(len(accounts) - failed, 'account')} done, {failed} failed")
        return 1 if failed else 0

    def _account(self, source: Source, owner: Owner, options: dict[str, Any]) -> None:
        client = imap_migration.connect_source(source, _TIMEOUT)
        try:
            folders = imap_migration.list_folders(client, owner)
            for folder in folders:
                if not options["dry_run"]:
                    open_target(owner, folder.target)
                for progress in imap_migration.copy_folder(client, source, owner, folder):
                    if options["dry_run"]:
                        break
                    self._show(
                        f"{owner.address} {folder.target}: {progress.before + progress.fetched}/{progress.there}"
                    )
                self._show("")
                self._report(owner, progress, options)
            if not options["dry_run"]:
                imap_migration.copy_subscriptions(client, owner, folders)
        finally:
            client.shutdown()

    def _show(self, text: str) -> None:
        if sys.stderr.isatty():
            self.stderr.write(f"\r\033[K{text}", lambda plain: plain, ending="")

    def _report(self, owner: Owner, progress: Progress, options: dict[str, Any]) -> None:
        folder = progress.folder
        if options["json"]:
            report = {
                "address": owner.address,
                "from": folder.name,
                "to": folder.target,
                "messages": progress.there,
                "before": progress.before,
                "fetched": progress.fetched,
                "bytes": progress.byte_count,
            }
            self.print(json.dumps(report, ensure_ascii=False))
        else:
            done = f"{progress.fetched} fetched, {progress.before} before" if not options["dry_run"] else "to fetch"
            count = progress.there if not options["dry_run"] else progress.there - progress.before
            self.print(f"{owner.address}: {folder.name} → {folder.target}: {plural(count, 'message')}, {done}")
