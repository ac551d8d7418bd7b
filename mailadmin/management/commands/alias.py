"""`alias`: aliases listed, shown, made, changed, deleted."""

from typing import Any

from mailadmin.api.people import told_alias
from mailadmin.management.rows import RowProgram
from mailadmin.permissions import Reach
from mailcore.models import Alias
from mailcore.store import directory


class Command(RowProgram):
    help = "List, show, make, change and delete aliases: second names, forwards, groups."
    kind = "aliases"

    def find(self, reach: Reach, name: str) -> Alias | None:
        return reach.see_aliases().filter(address=name).first()

    def told(self, row: Any) -> dict[str, object]:
        return told_alias(row)

    def losses(self, row: Any) -> list[str]:
        return []

    def delete(self, row: Any) -> None:
        directory.delete_alias(row.pk)
