"""`sendmail`: submit a message from standard input (sendmail(1)); also mailq and newaliases by its old options."""

import os
import pwd
import re
import sys
from argparse import SUPPRESS, ArgumentParser
from typing import Any

from django.core.management import call_command

from mailcore import conf
from mailcore.management.program import EX_TEMPFAIL, EX_UNAVAILABLE, Fatal, Program
from mailcore.mta.queue import states
from mailcore.mta.submission import pickup
from mailcore.wire.message import address_list

_NOTIFY = re.compile(r"never|(?:success|failure|delay)(?:,(?:success|failure|delay))*", re.IGNORECASE)
_CHUNK = 1 << 16


class Command(Program):
    help = (
        "Send the message on standard input. It goes into the queue at once, whether or not the server runs."
        " Exit status: 0, or one of sysexits.h (75: try again, 69: rejected)."
    )
    fatal_status = EX_TEMPFAIL

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("-t", dest="from_header", action="store_true", help="recipients from To, Cc and Bcc too")
        parser.add_argument("-i", dest="dots", action="store_true", help="a line with a dot alone does not end input")
        parser.add_argument(
            "-f", "-r", dest="sender", metavar="ADDRESS", help='the envelope sender; "" or <>: the null sender'
        )
        parser.add_argument("-F", dest="full_name", metavar="NAME", help="the name in an added From header")
        parser.add_argument("-N", dest="notify", metavar="DSN", help="never, or success, failure, delay")
        parser.add_argument("-R", dest="returned", metavar="HOW", help="full or hdrs: what a bounce returns")
        parser.add_argument("-V", dest="envelope_id", default="", metavar="ID", help="the envelope id in notifications")
        parser.add_argument("-b", dest="mode", default="m", metavar="MODE", help="p: list the queue; i: newaliases")
        parser.add_argument("-I", dest="mode", action="store_const", const="i", help="newaliases")
        parser.add_argument("-q", dest="flush", nargs="?", const="", metavar="WHEN", help="try deferred messages now")
        for option in ("-o", "-O", "-B", "-C", "-h", "-L", "-X", "-A"):
            parser.add_argument(option, dest=f"option_{option[1]}", action="append", default=[], help=SUPPRESS)
        for option in ("-v", "-n", "-m", "-U", "-G", "-E"):
            parser.add_argument(option, dest=f"option_{option[1]}", action="store_true", help=SUPPRESS)
        parser.add_argument("recipients", nargs="*", metavar="recipient")

    def read(self, options: dict[str, Any]) -> tuple[int, str, str]:
        """Return (user id, user name, full name) of the user who submits."""
        user_id = os.getuid()
        try:
            user = pwd.getpwuid(user_id)
        except KeyError:
            return user_id, str(user_id), ""
        return user_id, user.pw_name, user.pw_gecos.split(",")[0].replace("&", user.pw_name.capitalize())

    def run(self, options: dict[str, Any], given: tuple[int, str, str]) -> int:
        if options["mode"] == "p":
            call_command("mailq", stdout=self.stdout, stderr=self.stderr)
            return 0
        if options["mode"] == "i":
            call_command("newaliases", stdout=self.stdout, stderr=self.stderr)
            return 0
        if options["flush"] is not None:
            states.flush()
            return 0
        if options["mode"] not in ("m", "a"):
            raise Fatal(f"unsupported: -b{options['mode']}", EX_UNAVAILABLE)
        user_id, user_name, full_name = given
        user_label = f"{user_name}({user_id})"
        if not options["recipients"] and not options["from_header"]:
            raise Fatal(f"{user_label}: Recipient addresses must be specified on the command line or via the -t option")
        name = os.environ.get("NAME", full_name) if options["full_name"] is None else options["full_name"]
        result = pickup.submit(
            pickup.Submission(
                content=_input(dots="i" in options["option_o"] or options["dots"]),
                sender=user_name if options["sender"] is None else self._sender(options["sender"]),
                recipients=tuple(options["recipients"]),
                from_header=options["from_header"],
                full_name=name,
                user_id=user_id,
                notify=_notify(options["notify"]),
                return_full=_returned(options["returned"]),
                envelope_id=options["envelope_id"][:100],
            )
        )
        if isinstance(result, pickup.SubmissionError):
            raise Fatal(f"{user_label}: {result.text}", EX_UNAVAILABLE if result.too_big else None)
        return 0

    def _sender(self, text: str) -> str:
        if text.strip() in ("", "<>"):
            return ""
        mailboxes = address_list.parse_address_list(text)
        if len(mailboxes) != 1 or not mailboxes[0].mailbox:
            raise Fatal(f"-f option specified malformed sender: {text}", os.EX_USAGE)
        return f"{mailboxes[0].mailbox}@{mailboxes[0].host}" if mailboxes[0].host else mailboxes[0].mailbox


def _input(*, dots: bool) -> bytes:
    """Read standard input to its end, or to a line with only a dot; little more than the size limit is read."""
    limit = conf.current().message_size_limit
    source = sys.stdin.buffer
    parts: list[bytes] = []
    size = 0
    while not limit or size <= limit:
        part = source.read(_CHUNK) if dots else source.readline(_CHUNK)
        if not part or (not dots and part in (b".\n", b".\r\n", b".") and (not parts or parts[-1].endswith(b"\n"))):
            break
        parts.append(part)
        size += len(part)
    return b"".join(parts)


def _notify(text: str | None) -> str:
    if text is None:
        return ""
    if not _NOTIFY.fullmatch(text):
        raise Fatal("bad -N option value -- specify never, or a list of success, failure, delay", os.EX_USAGE)
    return text.upper()


def _returned(text: str | None) -> bool | None:
    if text is None:
        return None
    if text.lower() not in ("full", "hdrs"):
        raise Fatal("bad -R option value -- specify full or hdrs", os.EX_USAGE)
    return text.lower() == "full"
