"""`quota`: what accounts use of what they may; count anew."""

import json
from argparse import ArgumentParser
from collections.abc import Iterable
from typing import Any

from mailcore.management.program import Fatal, Program
from mailcore.store.mailbox import quota_limits
from mailcore.store.mailbox.quota_limits import Usage


class Command(Program):
    help = "Show what accounts use (octets and messages), or count it anew from their mailboxes."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("words", nargs="*", metavar="[list|recount] address", help="without addresses: all")
        parser.add_argument("--over", type=int, metavar="PERCENT", help="only accounts that use at least so much")
        parser.add_argument("--json", action="store_true", help="one JSON object an account")

    def run(self, options: dict[str, Any], given: Any) -> int:
        action, wanted = _parted(options["words"])
        if action == "recount":
            for usage in list(quota_limits.list_usage(wanted)):
                octets, messages = quota_limits.recount_usage(usage.account_id)
                if (octets, messages) != (usage.used_bytes, usage.used_messages):
                    self.say(f"{usage.address}: was {usage.used_bytes} octets in {usage.used_messages} messages")
        shown = quota_limits.list_usage(wanted)
        if options["over"] is not None:
            shown = (usage for usage in shown if usage.percent >= options["over"])
        found = self._show(shown, as_json=options["json"])
        missing = {address.lower() for address in wanted} - found
        if missing and options["over"] is None:
            raise Fatal(f"no such account: {', '.join(sorted(missing))}")
        return 0

    def _show(self, shown: Iterable[Usage], *, as_json: bool) -> set[str]:
        found = set()
        if not as_json:
            self.print(f"{'Address':<40} {'Octets':>14} {'Limit':>14} {'Messages':>9} {'Limit':>9}    %")
        for usage in shown:
            found.add(usage.address)
            self.print(_object(usage) if as_json else _row(usage))
        return found


def _parted(words: list[str]) -> tuple[str, list[str]]:
    """(what to do, addresses)"""
    if words and words[0] in ("list", "recount"):
        return words[0], words[1:]
    return "list", words


def _row(usage: Usage) -> str:
    octets = f"{usage.used_bytes:>14} {usage.limit_bytes or '-':>14}"
    return f"{usage.address:<40} {octets} {usage.used_messages:>9} {usage.limit_messages or '-':>9} {usage.percent:>4}"


def _object(usage: Usage) -> str:
    return json.dumps(
        {
            "address": usage.address,
            "used_bytes": usage.used_bytes,
            "limit_bytes": usage.limit_bytes,
            "used_messages": usage.used_messages,
            "limit_messages": usage.limit_messages,
            "percent": usage.percent,
        }
    )
