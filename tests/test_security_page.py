"""docs/security.md: its tests exist, it names every port and program, and its parameters are ours."""

import re
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import get_commands

from mailcore import conf

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "security.md").read_text()
TESTS = sorted(set(re.findall(r"tests/[\w/]+\.py(?:::\w+)?", PAGE)))
QUOTED = set(re.findall(r"`([^`]+)`", PAGE))


@pytest.mark.parametrize("name", TESTS)
def test_a_test_that_it_names_exists(name):
    path, _, function = name.partition("::")
    source = (ROOT / path).read_text()
    assert not function or re.search(rf"^def {function}\(", source, re.MULTILINE)


def test_every_row_of_its_tables_names_a_test():
    rows = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith("| entrance")]
    assert len(rows) > 30
    assert [row for row in rows if "tests/" not in row] == []


def test_it_names_every_port_and_program():
    programs = {name for name, app in get_commands().items() if app in ("mailcore", "mailadmin")}
    assert {*settings.PORTS, *programs} - QUOTED == set()


def test_its_parameters_exist():
    words = {word for word in QUOTED if re.fullmatch(r"[a-z0-9]+(_[a-z0-9]+)+", word)} - {"secret_key"}
    assert words - conf.SPECS.keys() == set()
