"""Programs run as a script would run them: arguments and standard input in; status, output and messages out."""

import io
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from django.core.management import get_commands, load_command_class

from tests.mta.conftest import benet, inbox, post  # noqa: F401  (fixtures)


@dataclass(frozen=True)
class Ran:
    status: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ran]:
    """`run("postqueue", "-p", stdin="…")`, in this process."""

    def call(name: str, *arguments: str, stdin: str = "") -> Ran:
        capsys.readouterr()
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode()), encoding="utf-8"))
        command = load_command_class(get_commands()[name], name)
        status = 0
        try:
            options = vars(command.create_parser("manage.py", name).parse_args(arguments))
            command.execute(**options)
        except SystemExit as end:
            status = int(end.code or 0)
        captured = capsys.readouterr()
        return Ran(status, captured.out, captured.err)

    return call


_MAIN_CF = """\
compatibility_level = 3.6
queue_directory = {folder}/spool
data_directory = {folder}/data
myhostname = mail.benet.com
mydomain = benet.com
mydestination = $mydomain, $myhostname
alias_database = hash:{folder}/aliases
alias_maps = hash:{folder}/aliases
inet_interfaces = loopback-only
local_transport = retry:somebody is not at home
default_transport = retry:somebody is not at home
"""
_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Postfix:
    """The real programs with a configuration of their own: `postfix("postmap", "-q", "key", "hash:table")`."""

    folder: Path

    def __call__(self, name: str, *arguments: str, stdin: str = "") -> Ran:
        done = subprocess.run(
            [shutil.which(name, path=_PATH) or name, *arguments],
            input=stdin, capture_output=True, text=True, cwd=self.folder, timeout=60,
            env={"MAIL_CONFIG": str(self.folder), "PATH": _PATH, "LC_ALL": "C", "TZ": os.environ.get("TZ", "UTC")},
        )  # fmt: skip
        return Ran(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def postfix() -> Iterator[Postfix]:
    """Postfix of this machine, nothing of it running, listening nowhere."""
    if shutil.which("postconf", path=_PATH) is None:
        pytest.skip("Postfix is not installed")
    if os.geteuid() != 0:
        pytest.skip("Postfix's programs with a configuration of their own are for root")
    # Its daemons run as another user, who must get here.
    folder = Path(tempfile.mkdtemp(prefix="postfix-"))
    folder.chmod(0o755)
    for name in ("spool", "data"):
        (folder / name).mkdir()
    shutil.chown(folder / "data", "postfix")
    (folder / "main.cf").write_text(_MAIN_CF.format(folder=folder))
    (folder / "master.cf").write_text(_without_listeners(Path("/etc/postfix/master.cf.proto").read_text()))
    (folder / "aliases").write_text("")
    programs = Postfix(folder)
    programs("postfix", "check")  # makes what is missing in the spool
    yield programs
    shutil.rmtree(folder, ignore_errors=True)


def _without_listeners(master_cf: str) -> str:
    return "".join(line for line in master_cf.splitlines(keepends=True) if " inet " not in line)


@pytest.fixture
def running_postfix(postfix: Postfix) -> Iterator[Postfix]:
    """The same, with its queue manager at work; all it can do with a message is to put it off."""
    with (postfix.folder / "main.cf").open("a") as main_cf:
        main_cf.write(f"maillog_file_prefixes = {postfix.folder}\nmaillog_file = {postfix.folder}/data/log\n")
    started = postfix("postfix", "start")
    if started.status != 0:
        pytest.skip(f"Postfix does not start: {started.err}")
    yield postfix
    postfix("postfix", "stop")
