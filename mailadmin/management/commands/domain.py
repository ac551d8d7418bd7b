"""The program `domain`: list, show, create, change and delete domains."""

from typing import Any

from django.db.models import QuerySet

from mailadmin.api.account_operations import serialize_domain
from mailadmin.management.row_program import RowProgram
from mailadmin.permissions import Permissions
from mailcore.management.program import plural
from mailcore.models import Domain
from mailcore.store import directory


class Command(RowProgram):
    help = "List, show, create, change and delete domains."
    kind = "domains"

    def find(self, permissions: Permissions, name: str) -> Domain | None:
        return permissions.visible_domains().select_related("target").filter(name=name).first()

    def with_related(self, rows: QuerySet[Domain]) -> QuerySet[Domain]:
        return rows.select_related("target")

    def serialize(self, row: Any) -> dict[str, object]:
        return serialize_domain(row)

    def losses(self, row: Any) -> list[str]:
        contents = directory.domain_contents(row.pk)
        aliases = f"{contents.aliases} alias{'' if contents.aliases == 1 else 'es'}"
        return [plural(contents.accounts, "account"), plural(contents.messages, "message"), aliases]

    def delete(self, row: Any) -> None:
        directory.delete_domain(row.pk)
