"""Commands that do not read their message, or say more than anybody listens to: the exit status decides."""

from pathlib import Path

import pytest

from mailcore.logs import writer
from mailcore.mta.queue import states
from mailcore.mta.transports.smtp.dispatcher import Dispatch
from mailcore.mta.transports.smtp.job import DeliveryJob
from mailcore.values import Command

pytestmark = pytest.mark.django_db(transaction=True)

LARGE = b"Subject: x\r\n\r\n" + b"a line that nobody reads\r\n" * 80_000  # more than a pipe holds


@pytest.mark.parametrize("content", [b"Subject: x\r\n\r\n", LARGE], ids=["small", "large"])
@pytest.mark.parametrize(
    ("script", "kind", "dsn"),
    [
        ("exit 0", "delivered", "2.0.0"),
        ("exit 67", "failed", "5.1.1"),
        ("exit 75", "deferred", "4.3.0"),
        ("exec <&-; exit 0", "delivered", "2.0.0"),
        ("exec <&- >&- 2>&-; exit 67", "failed", "5.1.1"),
        ("head -c 1 >/dev/null; exit 0", "delivered", "2.0.0"),
        ("kill -9 $$", "failed", "5.3.0"),
        ("head -c 3000000 /dev/zero; cat >/dev/null; exit 0", "delivered", "2.0.0"),
        ("cat", "delivered", "2.0.0"),
    ],
)
def test_the_exit_status_decides(post, tmp_path, content, script, kind, dsn):
    count = tmp_path / "count"
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\necho run >> {count}\n{script}\n")
    program.chmod(0o755)
    post("robot@other.example", content=content)
    [claim] = states.claim_due("anna", 1)
    dispatch = Dispatch()
    dispatch.submit([DeliveryJob(claim, Command(str(program)), tuple(claim.pending))])
    dispatch.wait(60)
    [settlement] = dispatch.take_finished()
    dispatch.stop(0)
    dispatch.close()
    [(_, outcome)] = settlement.outcomes
    assert (outcome.kind, outcome.dsn) == (kind, dsn), outcome.text
    assert count.read_text() == "run\n"
    log_file = Path(writer.log_path())
    assert not log_file.exists() or "warning" not in log_file.read_text()


def environment_of_command(post, tmp_path, recipient: str, sender: str) -> dict[str, str]:
    """Deliver a message to a command; return the environment that it had."""
    seen = tmp_path / "environment"
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\nexec env > {seen}\n")
    program.chmod(0o755)
    post(recipient, sender=sender)
    [claim] = states.claim_due("anna", 1)
    dispatch = Dispatch()
    dispatch.submit([DeliveryJob(claim, Command(str(program)), tuple(claim.pending))])
    dispatch.wait(60)
    dispatch.stop(0)
    dispatch.close()
    return dict(line.split("=", 1) for line in seen.read_text().splitlines())


def test_a_command_gets_no_secrets_and_no_shell_characters(post, tmp_path, monkeypatch, parameters):
    for name in ("SECRET_KEY", "DATABASE_URL", "REDIS_URL", "MAIL_MYHOSTNAME", "HOME_GROWN"):
        monkeypatch.setenv(name, "confidential")
    monkeypatch.setenv("TZ", "Asia/Shanghai")
    parameters(export_environment="TZ, LC_ALL=C.UTF-8, MISSING")
    found = environment_of_command(
        post, tmp_path, recipient="robot+x@other.example", sender='"$(id)`;&|<>\\n\'{x}"@evil.example'
    )
    assert found.keys() - {"_", "PWD", "SHLVL"} == {
        *("TZ", "LC_ALL", "PATH", "SENDER", "ORIGINAL_RECIPIENT", "RECIPIENT", "LOCAL", "DOMAIN")
    }
    assert (found["TZ"], found["LC_ALL"]) == ("Asia/Shanghai", "C.UTF-8")
    assert "confidential" not in found.values()
    assert found["SENDER"] == "___id________n__x__@evil.example"
    assert found["ORIGINAL_RECIPIENT"] == "robot+x@other.example"
