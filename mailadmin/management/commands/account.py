"""The program `account`: list, show, create, change and delete accounts; set passwords; list and revoke access."""

import json
from argparse import ArgumentParser
from collections.abc import Sequence
from typing import Any

from django.db import transaction
from django.db.models import QuerySet

from mailadmin.api.account_operations import serialize_access, serialize_account
from mailadmin.management.row_program import Act, RowProgram, password_from_stdin
from mailadmin.permissions import Permissions
from mailadmin.views.page_responses import generate_password
from mailadmin.views.profile.web_sessions import KINDS, revoke
from mailcore.management.program import Fatal, plural
from mailcore.models import Account
from mailcore.store import directory
from mailcore.store.auth import account_login


class Command(RowProgram):
    help = "List, show, create, change and delete accounts; set passwords; list and revoke access to an account."
    kind = "accounts"
    filters = ("domain", "state", "role")

    def more_actions(self, actions: Any) -> Sequence[ArgumentParser]:
        password_parser = actions.add_parser("password", help="set the password")
        for each in (actions.choices["add"], password_parser):
            each.add_argument(
                "--password-stdin",
                action="store_true",
                help="read the password from the first line of standard input; default: generate one",
            )
        access = actions.add_parser("access", help="list second factors, app passwords and web sessions")
        access.add_argument("--end", choices=KINDS, help="revoke one session or app password, or all of a kind")
        access.add_argument("--number", type=int, default=0, help="number of the session or app password")
        return password_parser, access

    def actions_by_name(self) -> dict[str, Act]:
        return super().actions_by_name() | {"password": self.set_password, "access": self.access}

    def find(self, permissions: Permissions, name: str) -> Account | None:
        return permissions.visible_accounts().select_related("domain").filter(address=name).first()

    def with_related(self, rows: QuerySet[Account]) -> QuerySet[Account]:
        return rows.prefetch_related("managed_domains")

    def serialize(self, row: Any) -> dict[str, object]:
        return serialize_account(row)

    def losses(self, row: Any) -> list[str]:
        aliases = directory.aliases_naming(row.address)
        return [plural(row.used_messages, "message"), *([f"its place in {', '.join(aliases)}"] if aliases else [])]

    def delete(self, row: Any) -> None:
        directory.delete_account(row.pk)

    def add(self, permissions: Permissions, options: dict[str, Any], **more: str) -> None:
        password = password_from_stdin() if options["password_stdin"] else generate_password()
        super().add(permissions, options, password=password)
        if not options["password_stdin"] and not options["dry_run"]:
            self.print_password(password, options)

    def set_password(self, permissions: Permissions, options: dict[str, Any]) -> None:
        row = self.row(permissions, options)
        password = password_from_stdin() if options["password_stdin"] else generate_password()
        with transaction.atomic():
            directory.set_password(row.pk, password)
            account_login.end_sessions(row.pk)
        if not options["password_stdin"]:
            self.print_password(password, options)

    def print_password(self, password: str, options: dict[str, Any]) -> None:
        self.print(json.dumps({"password": password}) if options["json"] else f"password = {password}")

    def access(self, permissions: Permissions, options: dict[str, Any]) -> None:
        row = self.row(permissions, options)
        if options["end"] and not revoke(row.pk, options["end"], options["number"]):
            raise Fatal(f"{row.address}: no such access")
        access_data = serialize_access(row)
        if options["json"]:
            self.print(json.dumps(access_data, ensure_ascii=False))
            return
        for kind, found in access_data.items():
            for each in found if isinstance(found, list) else ():
                self.print(f"{kind}\t" + "\t".join("" if value is None else str(value) for value in each.values()))
