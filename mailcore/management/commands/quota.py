"""`quota`: show the usage of accounts, or count it again."""

import json
from argparse import ArgumentParser
from collections.abc import Iterable
from typing import Any

from mailcore.management.program import Fatal, Program
from mailcore.store.mailbox import quota_limits
from mailcore.store.mailbox.quota_limits import Usage


class Command(Program):
    help = "Show the usage of accounts (bytes and messages), or recount it from their mailboxes."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "words", nargs="*", metavar="[list|recount] address", help="without addresses: all accounts"
        )
        parser.add_argument("--over", type=int, metavar="PERCENT", help="only accounts that use at least this much")
        parser.add_argument("--json", action="store_true", help="one JSON object for each account")

    def run(self, options: dict[str, Any], given: Any) -> int:
        action, addresses = _split_words(options["words"])
        if action == "recount":
            for usage in list(quota_limits.list_usage(addresses)):
                byte_count, messages = quota_limits.recount_usage(usage.account_id)
                if (byte_count, messages) != (usage.used_bytes, usage.used_messages):
                    self.say(f"{usage.address}: was {usage.used_bytes} bytes in {usage.used_messages} messages")
        usages = quota_limits.list_usage(addresses)
        if options["over"] is not None:
            usages = (usage for usage in usages if usage.percent >= options["over"])
        listed = self._show(usages, as_json=options["json"])
        missing = {address.lower() for address in addresses} - listed
        if missing and options["over"] is None:
            raise Fatal(f"no such account: {', '.join(sorted(missing))}")
        return 0

    def _show(self, usages: Iterable[Usage], *, as_json: bool) -> set[str]:
        listed = set()
        if not as_json:
            self.print(f"{'Address':<40} {'Bytes':>14} {'Limit':>14} {'Messages':>9} {'Limit':>9}    %")
        for usage in usages:
            listed.add(usage.address)
            self.print(_object(usage) if as_json else _row(usage))
        return listed


def _split_words(words: list[str]) -> tuple[str, list[str]]:
    """Split the arguments into (action, addresses)."""
    if words and words[0] in ("list", "recount"):
        return words[0], words[1:]
    return "list", words


def _row(usage: Usage) -> str:
    byte_count = f"{usage.used_bytes:>14} {usage.limit_bytes or '-':>14}"
    return (
        f"{usage.address:<40} {byte_count} {usage.used_messages:>9} {usage.limit_messages or '-':>9} {usage.percent:>4}"
    )


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
