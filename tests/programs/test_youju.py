"""`youju`, the programs' short name, as a shell runs it."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def environment(tmp_path) -> dict[str, str]:
    found = {**os.environ, "DATA_DIR": str(tmp_path), "DATABASE_URL": f"sqlite:///{tmp_path}/youju.sqlite3"}
    subprocess.run([ROOT / "youju", "migrate", "-v0"], env=found, check=True, timeout=100)
    return found


def test_by_its_name_and_by_a_link(environment, tmp_path):
    for command in ([ROOT / "youju", "mailq"], [tmp_path / "mailq"]):
        if not (tmp_path / "mailq").exists():
            (tmp_path / "mailq").symlink_to(ROOT / "youju")
        ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100)
        assert (ran.returncode, ran.stdout, ran.stderr) == (0, "Mail queue is empty\n", "")


def test_without_a_database_the_sender_may_try_again(environment, tmp_path):
    (tmp_path / "youju.sqlite3").unlink()
    ran = subprocess.run(
        [ROOT / "youju", "sendmail", "x@benet.com"], input=b"Subject: s\n\n", env=environment, capture_output=True
    )
    assert ran.returncode == os.EX_TEMPFAIL
    assert b"sendmail: fatal: " in ran.stderr


def test_a_change_stays_when_the_reader_closes_the_pipe(environment):
    def youju(*arguments: str) -> list[str]:
        ran = subprocess.run([ROOT / "youju", *arguments], env=environment, capture_output=True, text=True, check=True)
        return ran.stdout.splitlines()

    youju("domain", "add", "benet.com")
    youju("account", "add", "lisi@benet.com")
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "wb") as closed:
        ran = subprocess.run(
            [ROOT / "youju", "account", "set", "lisi@benet.com", "state=receive-only"], env=environment, stdout=closed
        )
    assert ran.returncode == 0
    assert youju("account", "list", "--state", "receive-only") == ["lisi@benet.com"]
