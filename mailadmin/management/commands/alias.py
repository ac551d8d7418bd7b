"""The program `alias`: list, show, create, change and delete aliases."""

from typing import Any

from mailadmin.api.account_operations import serialize_alias
from mailadmin.management.row_program import RowProgram
from mailadmin.permissions import Permissions
from mailcore.models import Alias
from mailcore.store import directory


class Command(RowProgram):
    help = "List, show, create, change and delete aliases: additional addresses, forwards, groups."
    kind = "aliases"

    def find(self, permissions: Permissions, name: str) -> Alias | None:
        return permissions.visible_aliases().filter(address=name).first()

    def serialize(self, row: Any) -> dict[str, object]:
        return serialize_alias(row)

    def losses(self, row: Any) -> list[str]:
        return []

    def delete(self, row: Any) -> None:
        directory.delete_alias(row.pk)
