"""Delivery to a command's standard input or to a Maildir outside the mail store (aliases(5)).

Both are off unless allow_mail_to_commands and allow_mail_to_files allow them, and only aliases that the administrator
read from a file can name them (`postalias`). A command's exit status decides, by sysexits.h. Commands run as the user
of the mail system, in an environment of their own.
"""

import asyncio
import contextlib
import os
import shlex
import signal

from mailcore import conf
from mailcore.mta.queue.claim import Claim
from mailcore.mta.transports import mbox_file
from mailcore.store.maildir import maildir_files
from mailcore.values import Arrival, Outcome, deferred_outcome, delivered_outcome, failed_outcome

_OUTPUT_LIMIT = 500  # Bytes of a command's output that go into the outcome.
_CHUNK = 1 << 16
_SHELL = frozenset("|&;<>()$`\\\"'*?[]#~=%{}!\n")
# sysexits.h: status → (enhanced code, text).
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
    """Pipe the message to a command, in the format of `mbox_file.format_message`."""
    content = await asyncio.to_thread(mbox_file.format_message, claim, original)
    # As in Postfix: a shell only if the command needs one.
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
    """Write the content to the command; return the start of its output when it has exited.

    Only the exit status counts: a command may exit without reading everything. (`communicate` raises in that case if
    the loop is uvloop's.)
    """
    assert process.stdin is not None
    assert process.stdout is not None
    feeding = asyncio.ensure_future(_feed(process.stdin, content))
    try:
        output = await process.stdout.read(_OUTPUT_LIMIT)
        while len(output) < _OUTPUT_LIMIT and (more := await process.stdout.read(_OUTPUT_LIMIT - len(output))):
            output += more
        while await process.stdout.read(_CHUNK):
            pass  # Drain the rest, so that the command does not block on a full pipe.
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
    output_text = " ".join(output[:_OUTPUT_LIMIT].decode("utf-8", "replace").split())
    output_text = f" Command output: {output_text}" if output_text else ""
    if status == 0:
        return delivered_outcome(f"delivered to command{output_text}", "local")
    if status < 0:
        return failed_outcome("5.3.0", f"Command died with signal {-status}.{output_text}", "local")
    dsn, words = _STATUSES.get(status, ("5.3.0", f"Command died with status {status}"))
    kind = deferred_outcome if dsn.startswith("4") else failed_outcome
    return kind(dsn, f"{words}.{output_text}", "local")


def _environment(claim: Claim, original: str) -> dict[str, str]:
    """Return the environment of a command (local(8)).

    Of our own variables, such as keys and passwords, it has only those of export_environment. Addresses come from
    outside: characters that are not in command_expansion_filter become "_", since commands may use them in a shell.
    """
    local, _, domain = original.rpartition("@")
    harmless = frozenset(conf.current().command_expansion_filter)
    given = {
        "SENDER": claim.sender,
        "ORIGINAL_RECIPIENT": original,
        "RECIPIENT": original,
        "LOCAL": local,
        "DOMAIN": domain,
    }
    filtered = {
        name: "".join(character if character in harmless else "_" for character in text) for name, text in given.items()
    }
    return {**_exported(), "PATH": "/usr/local/bin:/usr/bin:/bin", **filtered}


def _exported() -> dict[str, str]:
    """Return the variables of export_environment: a name keeps our value, name=value sets one."""
    found = {}
    for entry in conf.current().export_environment:
        name, has_value, value = entry.partition("=")
        if has_value:
            found[name] = value
        elif name in os.environ:
            found[name] = os.environ[name]
    return found


def deliver_to_maildir(path: str, arrival: Arrival) -> Outcome:
    """Deliver the message to the Maildir at `path`, creating it if it is missing."""
    maildir = path.rstrip("/")
    try:
        for name in ("tmp", "new", "cur"):
            os.makedirs(os.path.join(maildir, name), mode=0o700, exist_ok=True)
        with open(arrival.file, "rb") as file:
            file.seek(arrival.skip)
            content = file.read()
        maildir_files.write_file(maildir, arrival.base_name, (arrival.trace, content))
        maildir_files.sync_directories([os.path.join(maildir, "new")])
    except OSError as error:
        return deferred_outcome("4.2.0", f"cannot deliver to a directory: {error.strerror}", "local")
    return delivered_outcome("delivered to maildir", "local")
