"""The base of the administrator's programs: Postfix-style messages, exit statuses, and the user they run as.

A program is a Django management command with options of its own, those that scripts written for Postfix use. `run`
returns the exit status. Messages go to standard error as "postqueue: fatal: …", results to standard output. Started as
root, a program becomes the owner of the data folder before it touches anything, so that the server can read what it
writes.
"""

import contextlib
import os
import pwd
import re
import sys
from abc import ABC, abstractmethod
from argparse import SUPPRESS, ArgumentParser
from collections.abc import Sequence
from typing import Any, NoReturn

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.db import DatabaseError

from mailcore.logs.escaping import escape_output
from mailcore.store.db import audit
from mailcore.values import TemporaryFault

EX_UNAVAILABLE = os.EX_UNAVAILABLE
EX_TEMPFAIL = os.EX_TEMPFAIL


_FIELD = re.compile(r"[a-z][a-z0-9_]*=")


class Fatal(Exception):
    """Raised to end the program with a message and an exit status (None: the program's usual one)."""

    def __init__(self, text: str, status: int | None = None) -> None:
        super().__init__(text)
        self.status = status


class _Parser(CommandParser):
    """Argument parser with error messages in Postfix's form."""

    fatal_status = 1

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse the arguments; field=value may stand anywhere, where argparse reads them in one place only."""
        parsed, unread = self.parse_known_args(args, namespace)
        if unread and not (hasattr(parsed, "fields") and all(map(_FIELD.match, unread))):
            self.error(f"unrecognized arguments: {' '.join(unread)}")
        if unread:
            parsed.fields = [*parsed.fields, *unread]
        return parsed

    def error(self, message: str) -> NoReturn:
        if unknown := re.fullmatch(r"unrecognized arguments: -+(\S).*", message, re.DOTALL):
            sys.stderr.write(f"{self.prog}: invalid option -- '{unknown[1]}'\n")
        else:
            sys.stderr.write(f"{self.prog}: {message}\n")
        usage = " ".join(self.format_usage().split())
        sys.stderr.write(f"{self.prog}: fatal: {usage}\n")
        sys.exit(self.fatal_status)


class Program(BaseCommand, ABC):
    """Base class of the programs; subclasses provide `help`, `add_arguments` and `run`."""

    requires_system_checks: list[str] = []
    fatal_status = 1  # exit status of usage and other errors
    name = ""

    def create_parser(self, prog_name: str, subcommand: str, **more: Any) -> CommandParser:
        self.name = subcommand
        parser = _Parser(
            prog=subcommand, description=self.help, add_help=False, allow_abbrev=False, called_from_command_line=True
        )
        parser.fatal_status = self.fatal_status
        parser.add_argument("--help", action="help", help="show this text and exit")
        # Django's own options, except those that Postfix's options would collide with (-v).
        for option in ("--settings", "--pythonpath"):
            parser.add_argument(option, help=SUPPRESS)
        parser.set_defaults(
            force_color=False, no_color=True, traceback=False, verbosity=1, skip_checks=True, args=(), settings=None
        )
        self.add_arguments(parser)
        return parser

    def handle(self, *_: Any, **options: Any) -> None:
        try:
            given = self.read(options)
            become_owner()
            with audit.acting_as(self.name):
                status = self.run(options, given)
            self.stdout.flush()
        except Fatal as fatal:
            self.say(f"fatal: {fatal}")
            status = self.fatal_status if fatal.status is None else fatal.status
        except TemporaryFault as fault:
            self.say(f"fatal: {fault}")
            status = EX_TEMPFAIL
        except DatabaseError as error:
            self.say(f"fatal: the database does not answer: {error}".rstrip())
            status = EX_TEMPFAIL
        except BrokenPipeError:
            # The reader closed standard output (EPIPE); silence the flush at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            status = 0
        except KeyboardInterrupt:
            status = 130
        if status:
            sys.exit(status)

    def read(self, options: dict[str, Any]) -> Any:
        """Return what must be read as the user who started the program, such as a file that only root may read."""
        return None

    @abstractmethod
    def run(self, options: dict[str, Any], given: Any) -> int:
        """Run the program and return its exit status; `given` is what `read` returned."""

    def print(self, line: str) -> None:
        """Print a line of the result on standard output; control characters in it never reach a terminal."""
        self.stdout.write(escape_output(line) + "\n", ending="")

    def say(self, text: str) -> None:
        """Print a message on standard error."""
        self.stderr.write(escape_output(f"{self.name}: {text}"), lambda plain: plain)

    def warn(self, text: str) -> None:
        self.say(f"warning: {text}")


def become_owner() -> None:
    """Drop root privileges to the owner of the data folder, unless that is root."""
    with contextlib.suppress(FileNotFoundError):
        folder = os.stat(settings.DATA_DIR)
        if os.geteuid() != 0 or folder.st_uid == 0:
            return
        with contextlib.suppress(KeyError):
            user = pwd.getpwuid(folder.st_uid)
            os.initgroups(user.pw_name, folder.st_gid)
        os.setgid(folder.st_gid)
        os.setuid(folder.st_uid)


def plural(count: int, noun: str) -> str:
    """Return "1 message", "2 messages"; programs speak English, as Postfix's do."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def add_ignored(parser: ArgumentParser, flags: Sequence[str], help_text: str) -> None:
    """Add options that scripts written for Postfix may use and that have no effect here."""
    for flag in flags:
        parser.add_argument(flag, action="store_true", dest=f"ignored_{flag.strip('-')}", help=help_text)
