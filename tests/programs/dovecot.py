"""A real Dovecot for a test: on a free port of 127.0.0.1, everything below one directory."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import imapclient

CONF = """\
base_dir = {top}/run
state_dir = {top}/state
log_path = {top}/log
protocols = {protocols}
ssl = no
disable_plaintext_auth = no
listen = 127.0.0.1
default_internal_user = dovecot
default_login_user = dovenull
first_valid_uid = 1
mail_location = maildir:{top}/mail/%u
passdb {{
  driver = static
  args = password=there
}}
userdb {{
  driver = static
  args = uid=mail gid=mail home={top}/mail/%u
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
{services}
namespace inbox {{
  inbox = yes
  prefix = INBOX.
  separator = .
  mailbox Gesendet {{
    special_use = \\Sent
    auto = subscribe
  }}
}}
"""
SIEVE = """
service managesieve-login {{
  chroot =
  inet_listener sieve {{
    port = {port}
  }}
}}
plugin {{
  sieve = file:~/sieve;active=~/.dovecot.sieve
}}
"""


def missing() -> bool:
    return not shutil.which("dovecot") or os.geteuid() != 0


class Dovecot:
    """A Dovecot 2.3 in which every user's password is "there".

    With `sieve` it has filters, too (Pigeonhole); `more` goes into its configuration.
    """

    def __init__(self, *, sieve: bool = False, more: str = "") -> None:
        self.top = top = Path(tempfile.mkdtemp(prefix="dovecot-"))  # where others than root may go
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.sieve_port = probe.getsockname()[1]
        top.chmod(0o755)
        (top / "mail").mkdir()
        shutil.chown(top / "mail", "mail", "mail")
        self.conf = conf = top / "dovecot.conf"
        conf.write_text(
            CONF.format(
                top=top,
                port=self.port,
                protocols="imap sieve" if sieve else "imap",
                services=(SIEVE.format(port=self.sieve_port) if sieve else "") + more,
            )
        )
        self._log = top / "log"
        self._process = subprocess.Popen(["dovecot", "-F", "-c", conf], stderr=subprocess.PIPE)
        deadline = time.monotonic() + 20
        while True:
            try:
                with socket.create_connection(("127.0.0.1", self.port), 1) as connection:
                    if connection.recv(100).startswith(b"* OK"):
                        return
            except OSError:
                assert self._process.poll() is None, self._process.stderr and self._process.stderr.read()
            assert time.monotonic() < deadline, self._log.read_text() if self._log.exists() else "no log"

    def client(self, user: str) -> imapclient.IMAPClient:
        client = imapclient.IMAPClient("127.0.0.1", self.port, ssl=False)
        client.login(user, "there")
        return client

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(20)
        shutil.rmtree(self.top)
