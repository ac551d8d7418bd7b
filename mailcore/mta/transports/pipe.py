"""Deliveries to what is no account: a command's standard input, a Maildir somewhere (aliases(5)).

Both are off until allow_mail_to_commands and allow_mail_to_files say otherwise, and only aliases that the
administrator read from a file can name them (`postalias`). A command's exit status decides, by sysexits.h.
Commands run as the user the mail system runs as, in an environment of their own.
"""

import asyncio
import contextlib
import os
import shlex
import signal

from mailcore import conf
from mailcore.mta.queue.states import Claim
from mailcore.mta.transports import mbox_file
from mailcore.store.maildir import maildir_files
from mailcore.values import Arrival, Outcome, deferred_outcome, delivered_outcome, failed_outcome

_SAID = 500  # bytes of a command's output that go into the outcome
_CHUNK = 1 << 16
_SHELL = frozenset("|&;<>()$`\\\"'*?[]#~=%{}!\n")
# sysexits.h: status → (enhanced code, words).
_STATUSES = {
    os.EX_USAGE: ("5.3.0", "command line usage error"),
    os.EX_DATAERR: ("5.6.0", "data format error"),
    os.EX_NOINPUT: ("5.3.0", "cannot open input"),
    os.EX_NOUSER: ("5.1.1", "user unknown"),
    os.EX_NOHOST: ("5.1.2", "host name unknown"),
    os.EX_UNAVAILABLE: ("5.3.0", "service unavailable"),
    os.EX_SOFTWARE: ("5.3.0", "internal software error"),
    os.EX_OSERR: ("4.3.0", "system resource problem"),
    os.EX_OSFILE: ("5.3.0", "critical OS file missing"),
    os.EX_CANTCREAT: ("5.2.0", "can't create user output file"),
    os.EX_IOERR: ("5.3.0", "input/output error"),
    os.EX_TEMPFAIL: ("4.3.0", "temporary failure"),
    os.EX_PROTOCOL: ("5.5.0", "remote error in protocol"),
    os.EX_NOPERM: ("5.7.0", "permission denied"),
    os.EX_CONFIG: ("5.3.5", "local configuration error"),
}


async def run_command(command: str, claim: Claim, original: str) -> Outcome:
    """Give the message to a command, as `mailfile.message` has it."""
    content = await asyncio.to_thread(mbox_file.format_message, claim, original)
    # As in Postfix: a shell only where the command needs one.
    words = ["/bin/sh", "-c", command] if _SHELL & set(command) else shlex.split(command)
    try:
        process = await asyncio.create_subprocess_exec(
            *words,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            cwd="/",
            env=_environment(claim, original),
            start_new_session=True,
        )
    except (OSError, ValueError, IndexError) as error:
        return deferred_outcome("4.3.0", f"Command cannot be started: {error}", "local")
    try:
        output = await asyncio.wait_for(_converse(process, content), conf.current().command_time_limit)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        return deferred_outcome("4.3.0", f"Command time limit exceeded: {words[0]}", "local")
    return _exit_outcome(process.returncode or 0, output)


async def _converse(process: asyncio.subprocess.Process, content: bytes) -> bytes:
    """Hand the content over; returns the first of what the command says, when it has ended. Only its exit status
    counts: it may decide without having read everything. (`communicate` raises then where the loop is uvloop's.)"""
    assert process.stdin is not None
    assert process.stdout is not None
    feeding = asyncio.ensure_future(_feed(process.stdin, content))
    try:
        output = await process.stdout.read(_SAID)
        while len(output) < _SAID and (more := await process.stdout.read(_SAID - len(output))):
            output += more
        while await process.stdout.read(_CHUNK):
            pass  # the rest is nobody's, but the command must be able to say it
        await process.wait()
    finally:
        feeding.cancel()
        await asyncio.gather(feeding, return_exceptions=True)
    return output


async def _feed(stdin: asyncio.StreamWriter, content: bytes) -> None:
    try:
        for start in range(0, len(content), _CHUNK):
            stdin.write(content[start : start + _CHUNK])
            await stdin.drain()
    finally:
        stdin.close()


def _exit_outcome(status: int, output: bytes) -> Outcome:
    said = " ".join(output[:_SAID].decode("utf-8", "replace").split())
    said = f" Command output: {said}" if said else ""
    if status == 0:
        return delivered_outcome(f"delivered to command{said}", "local")
    if status < 0:
        return failed_outcome("5.3.0", f"Command died with signal {-status}.{said}", "local")
    dsn, words = _STATUSES.get(status, ("5.3.0", f"Command died with status {status}"))
    kind = deferred_outcome if dsn.startswith("4") else failed_outcome
    return kind(dsn, f"{words}.{said}", "local")


def _environment(claim: Claim, original: str) -> dict[str, str]:
    """What a command may know; nothing of ours, such as keys and passwords, is handed on."""
    local, _, domain = original.rpartition("@")
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "SENDER": claim.sender,
        "ORIGINAL_RECIPIENT": original,
        "RECIPIENT": original,
        "LOCAL": local,
        "DOMAIN": domain,
        **{name: os.environ[name] for name in ("TZ", "LANG") if name in os.environ},
    }


def deliver_to_maildir(path: str, arrival: Arrival) -> Outcome:
    """Put the message into the Maildir at `path`, making it where there is none."""
    where = path.rstrip("/")
    try:
        for name in ("tmp", "new", "cur"):
            os.makedirs(os.path.join(where, name), mode=0o700, exist_ok=True)
        with open(arrival.file, "rb") as file:
            file.seek(arrival.skip)
            content = file.read()
        maildir_files.write_file(where, arrival.base_name, (arrival.trace, content))
        maildir_files.sync_directories([os.path.join(where, "new")])
    except OSError as error:
        return deferred_outcome("4.2.0", f"cannot deliver to a directory: {error.strerror}", "local")
    return delivered_outcome("delivered to maildir", "local")
