"""docs/rfc.tsv is true: whatever is announced stands there, and what is done is where it says."""

import csv
from pathlib import Path

import pytest

from imap_client import Mailer

ROOT = Path(__file__).resolve().parents[3]


def rows() -> list[dict[str, str]]:
    with (ROOT / "docs" / "rfc.tsv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter="\t"))


@pytest.mark.django_db(transaction=True)
def test_everything_announced_is_in_the_index(imap, certificate) -> None:
    known = {word for row in rows() for word in row["capabilities"].split() if row["status"] != "not"}
    client: Mailer = imap(context=certificate[0]).dial()
    announced = set(client.hear().partition("[CAPABILITY ")[2].partition("]")[0].split())
    client.do("LOGIN lisi 123456")
    announced |= set(client.tagged.partition("[CAPABILITY ")[2].partition("]")[0].split())
    announced = {word.partition("=")[0] if word.startswith("APPENDLIMIT=") else word for word in announced}
    assert announced - known == set()
    assert known - announced == {"LOGINDISABLED"}


def test_what_is_done_is_there() -> None:
    numbers = [int(row["RFC"]) for row in rows()]
    assert len(numbers) == len(set(numbers))
    for row in rows():
        assert row["title"]
        if row["status"] != "not":
            module = ROOT / row["room"]
            assert module.is_file(), row
            if row["status"].startswith("done"):
                assert f"RFC {row['RFC']}" in module.read_text(encoding="utf-8"), row
