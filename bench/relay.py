"""Messages through the system to another host, beside Postfix: the same messages, the same sink, one after the other.

    bench/relay.py [--messages N] [--size BYTES] [--sessions N] [--recipients N] [--rounds N] [--without-postfix]

Needs Postfix's smtp-source and smtp-sink; for the comparison Postfix itself and root, for it runs an instance of its
own below a temporary folder. Each round takes messages in from `smtp-source` and counts until the sink has them all.
Two figures a system: from the first message in to the last message out, and (delivery alone) from the moment a queue
that was kept waiting is let go. One JSON line each.
"""

import argparse
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from demosite import ROOT, free_port, running

POSTFIX_MAIN = """
compatibility_level = 3.6
queue_directory = {root}/spool
data_directory = {root}/lib
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
multi_instance_name = postfix-bench
multi_instance_enable = yes
myhostname = mail.benet.com
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
relayhost = [127.0.0.1]:{sink}
maillog_file = {root}/log/maillog
maillog_file_prefixes = {root}
smtpd_client_connection_count_limit = 0
smtp_dns_support_level = disabled
"""
POSTFIX_SERVICES = """
127.0.0.1:{port} inet n - n - - smtpd
pickup    unix  n - n 60 1 pickup
cleanup   unix  n - n - 0 cleanup
flush     unix  n - n 1000? 0 flush
qmgr      unix  n - n 300 1 qmgr
rewrite   unix  - - n - - trivial-rewrite
bounce    unix  - - n - 0 bounce
defer     unix  - - n - 0 bounce
trace     unix  - - n - 0 bounce
smtp      unix  - - n - - smtp
relay     unix  - - n - - smtp
error     unix  - - n - - error
retry     unix  - - n - - error
anvil     unix  - - n - 1 anvil
scache    unix  - - n - 1 scache
proxymap  unix  - - n - - proxymap
tlsmgr    unix  - - n 1000? 1 tlsmgr
postlog   unix-dgram n - n - 1 postlogd
"""


class Sink:
    """smtp-sink that counts."""

    def __init__(self) -> None:
        self.port = free_port()
        self.process = subprocess.Popen(
            ["smtp-sink", *(["-u", "nobody"] if os.getuid() == 0 else []), "-c", f"127.0.0.1:{self.port}", "1000"],
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert self.process.stdout is not None
        os.set_blocking(self.process.stdout.fileno(), False)
        self._said = b""
        wait_for_port(self.port)

    def messages(self) -> int:
        """So many have come since it was started; smtp-sink writes "sess=…  quit=…  mesg=…" again and again."""
        assert self.process.stdout is not None
        self._said = (self._said + (self.process.stdout.read() or b""))[-4096:]
        counts = re.findall(rb"mesg=(\d+)", self._said)
        return int(counts[-1]) if counts else 0

    def await_messages(self, count: int, seconds: float = 600) -> float:
        """The moment the last of them has come."""
        deadline = time.monotonic() + seconds
        while self.messages() < count:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.messages()} of {count} messages came out")
            time.sleep(0.005)
        return time.monotonic()

    def stop(self) -> None:
        os.killpg(self.process.pid, signal.SIGTERM)
        self.process.wait()


def wait_for_port(port: int) -> None:
    for _ in range(400):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise TimeoutError(f"nobody listens at {port}")


def take_in(port: int, options: argparse.Namespace) -> None:
    subprocess.run(
        [
            *("smtp-source", "-s", str(options.sessions), "-l", str(options.size), "-m", str(options.messages)),
            *("-r", str(options.recipients), "-f", "a@other.example", "-t", "b@far.example", f"127.0.0.1:{port}"),
        ],
        check=True,
    )


def measure(
    name: str, port: int, sink: Sink, options: argparse.Namespace, wait: Callable[[], None], go: Callable[[], None]
) -> None:
    """`wait` makes messages for other hosts stay in the queue, `go` lets them out."""
    before = sink.messages()
    began = time.monotonic()
    take_in(port, options)
    taken = time.monotonic()
    through = sink.await_messages(before + options.messages)
    wait()
    before = sink.messages()
    take_in(port, options)
    time.sleep(1)  # everything has been put off by now
    assert sink.messages() == before, f"{sink.messages() - before} messages went out that should wait"
    let_go = time.monotonic()
    go()
    out = sink.await_messages(before + options.messages)
    figures = {
        "in, messages/s": round(options.messages / (taken - began)),
        "in and out, messages/s": round(options.messages / (through - began)),
        "out of a waiting queue, messages/s": round(options.messages / (out - let_go)),
    }
    print(json.dumps({"system": name, "messages": options.messages, "size": options.size, **figures}), flush=True)


def postfix(options: argparse.Namespace, sink: Sink) -> None:
    folder = Path(tempfile.mkdtemp(prefix="postfix-bench-"))
    folder.chmod(0o755)
    port = free_port()
    for name in ("spool", "lib", "log", "etc"):
        (folder / name).mkdir()
    shutil.chown(folder / "lib", "postfix")
    (folder / "etc/main.cf").write_text(POSTFIX_MAIN.format(root=folder, sink=sink.port))
    (folder / "etc/master.cf").write_text(POSTFIX_SERVICES.format(port=port))

    def command(*words: str) -> None:
        subprocess.run([words[0], "-c", str(folder / "etc"), *words[1:]], check=True, stderr=subprocess.DEVNULL)

    def wait() -> None:
        command("postconf", "-e", "defer_transports=smtp")
        command("postfix", "reload")
        time.sleep(1)

    command("postfix", "start")
    try:
        wait_for_port(port)
        for _ in range(options.rounds):
            measure("postfix", port, sink, options, wait, lambda: command("postqueue", "-f"))
            command("postconf", "-e", "defer_transports=")
            command("postfix", "reload")
            time.sleep(1)
    finally:
        command("postfix", "stop")
        shutil.rmtree(folder, ignore_errors=True)


def youju(options: argparse.Namespace, sink: Sink) -> None:
    environment = {
        "MAIL_RELAYHOST": f"[127.0.0.1]:{sink.port}",
        "MAIL_MYNETWORKS": "127.0.0.0/8",
        "MAIL_SMTPD_RELAY_RESTRICTIONS": "permit_mynetworks, reject",
        "MAIL_SMTPD_RECIPIENT_RESTRICTIONS": "permit_mynetworks, reject",
    }
    with running(environment=environment) as site:

        def program(*words: str) -> None:
            command = [str(ROOT / ".venv/bin/python"), str(ROOT / "manage.py"), *words]
            subprocess.run(command, check=True, env=site.environment)

        def wait() -> None:
            program("postconf", "-e", "defer_transports=smtp")
            time.sleep(1)

        for _ in range(options.rounds):
            measure("youju", site.ports["smtp"], sink, options, wait, lambda: program("postqueue", "-f"))
            program("postconf", "-X", "defer_transports")
            time.sleep(1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=5000)
    parser.add_argument("--size", type=int, default=4096)
    parser.add_argument("--sessions", type=int, default=10)
    parser.add_argument("--recipients", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--without-postfix", action="store_true")
    options = parser.parse_args()
    sink = Sink()
    try:
        if not options.without_postfix:
            postfix(options, sink)
        youju(options, sink)
    finally:
        sink.stop()


if __name__ == "__main__":
    main()
