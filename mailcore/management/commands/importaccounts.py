"""`importaccounts`: create accounts with the password hashes of another mail system."""

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
    help = "Create accounts from a file in passwd-file (Dovecot), passwd or shadow format, with their password hashes."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", help='the file, "-" for standard input')
        parser.add_argument("--domain", default="", help="the domain of names without one (default: the home domain)")
        parser.add_argument("--scheme", default="CRYPT", help="the scheme of hashes without a {SCHEME} prefix")
        parser.add_argument("--replace", action="store_true", help="set the file's password for existing accounts")
        parser.add_argument("--dry-run", action="store_true", help="only show what would be done")

    def read(self, options: dict[str, Any]) -> list[str]:
        try:
            text = sys.stdin.read() if options["file"] == "-" else Path(options["file"]).read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise Fatal(f"{options['file']}: {error}") from error
        return text.splitlines()

    def run(self, options: dict[str, Any], lines: list[str]) -> int:
        with translation.override("en"):
            return self._import(options, lines)

    def _import(self, options: dict[str, Any], lines: list[str]) -> int:
        done = failed = 0
        for number, entry in self._entries(lines):
            try:
                outcome = self._import_account(entry, options)
            except (DirectoryError, ValueError) as problem:
                failed += 1
                self.warn(f"line {number}: {entry.user}: {problem}")
            else:
                done += bool(outcome)
                self.print(f"{_address(entry.user, options['domain'])}: {outcome or 'already exists'}")
        self.say(f"{'would be ' if options['dry_run'] else ''}created or changed: {plural(done, 'account')}")
        return 1 if failed else 0

    def _entries(self, lines: list[str]) -> Iterator[tuple[int, PasswdEntry]]:
        for number, line in enumerate(lines, 1):
            try:
                entry = passwd_file.parse_line(line)
            except ValueError as error:
                self.warn(f"line {number}: {error}")
                continue
            if entry is not None and not entry.hash:
                self.warn(f"line {number}: {entry.user}: has no usable password, skipped")
            elif entry is not None:
                yield number, entry

    def _import_account(self, entry: PasswdEntry, options: dict[str, Any]) -> str:
        """Import one account and return what was done, or "" if it exists; raise DirectoryError or ValueError."""
        stored = dovecot_hashes.encode_hash(entry.hash, options["scheme"])
        cleartext = dovecot_hashes.cleartext_password(stored.partition("$")[2])
        if cleartext is not None:
            stored = make_password(cleartext)
        address = _address(entry.user, options["domain"])
        account = directory.find_account(address)
        if account is not None and not options["replace"]:
            return ""
        if options["dry_run"]:
            return "would be created" if account is None else "would get the new password"
        if account is None:
            directory.create_account(address, "", AccountDraft(name=entry.name), password_hash=stored)
            return "created"
        directory.set_password_hash(account.id, stored)
        return "password set"


def _address(user: str, domain: str) -> str:
    return (user if "@" in user else f"{user}@{domain or directory.home_domain()}").lower()
