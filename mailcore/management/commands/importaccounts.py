"""`importaccounts`: accounts with the password hashes of another mail system."""

import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.contrib.auth.hashers import make_password
from django.utils import translation

from mailcore.management.program import Fatal, Program, plural
from mailcore.store import directory
from mailcore.store.credentials import dovecot_hashes
from mailcore.store.directory import AccountDraft, DirectoryError
from mailcore.wire.files import passwd_file
from mailcore.wire.files.passwd_file import PasswdEntry


class Command(Program):
    help = "Make accounts from a file of Dovecot's passwd-file form, passwd or shadow; passwords stay what they are."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", help='the file, "-" for standard input')
        parser.add_argument("--domain", default="", help="the domain of names without one (default: the home domain)")
        parser.add_argument("--scheme", default="CRYPT", help="of hashes without {SCHEME} before them")
        parser.add_argument("--replace", action="store_true", help="give accounts that are there the file's password")
        parser.add_argument("--dry-run", action="store_true", help="only say what would be done")

    def read(self, options: dict[str, Any]) -> list[str]:
        try:
            text = sys.stdin.read() if options["file"] == "-" else Path(options["file"]).read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise Fatal(f"{options['file']}: {error}") from error
        return text.splitlines()

    def run(self, options: dict[str, Any], given: list[str]) -> int:
        with translation.override("en"):
            return self._import(options, given)

    def _import(self, options: dict[str, Any], given: list[str]) -> int:
        done = wrong = 0
        for number, entry in self._entries(given):
            try:
                words = self._take(entry, options)
            except (DirectoryError, ValueError) as problem:
                wrong += 1
                self.warn(f"line {number}: {entry.user}: {problem}")
            else:
                done += bool(words)
                self.print(f"{_address(entry.user, options['domain'])}: {words or 'is there already'}")
        self.say(f"{'would be ' if options['dry_run'] else ''}made or changed: {plural(done, 'account')}")
        return 1 if wrong else 0

    def _entries(self, lines: list[str]) -> Iterator[tuple[int, PasswdEntry]]:
        for number, line in enumerate(lines, 1):
            try:
                entry = passwd_file.parse_line(line)
            except ValueError as error:
                self.warn(f"line {number}: {error}")
                continue
            if entry is not None and not entry.hash:
                self.warn(f"line {number}: {entry.user}: has no password that opens, passed over")
            elif entry is not None:
                yield number, entry

    def _take(self, entry: PasswdEntry, options: dict[str, Any]) -> str:
        """What was done, "" for nothing. Problem, ValueError: why it cannot be."""
        stored = dovecot_hashes.encode_hash(entry.hash, options["scheme"])
        clear = dovecot_hashes.cleartext_password(stored.partition("$")[2])
        if clear is not None:
            stored = make_password(clear)
        address = _address(entry.user, options["domain"])
        account = directory.find_account(address)
        if account is not None and not options["replace"]:
            return ""
        if options["dry_run"]:
            return "would be made" if account is None else "would get this password"
        if account is None:
            directory.create_account(address, "", AccountDraft(name=entry.name), password_hash=stored)
            return "made"
        directory.set_password_hash(account.id, stored)
        return "has this password now"


def _address(user: str, domain: str) -> str:
    return (user if "@" in user else f"{user}@{domain or directory.home_domain()}").lower()
