"""A Dovecot that asks the views: accounts made here sign in there, by the same passwords and until they are closed."""

import imaplib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connection

from mailcore.models import Account
from mailcore.store import directory, sqlviews
from mailcore.store.directory import AccountDraft

pytestmark = [pytest.mark.program, pytest.mark.django_db(transaction=True)]
PASSWORD = "seven hutongs"
CONF = """\
base_dir = {top}/run
state_dir = {top}/state
log_path = {top}/log
protocols = imap
ssl = no
disable_plaintext_auth = no
listen = 127.0.0.1
default_internal_user = dovecot
default_login_user = dovenull
first_valid_uid = 1
mail_location = maildir:~/Maildir
auth_cache_size = 0
passdb {{
  driver = sql
  args = {top}/sql.conf
}}
userdb {{
  driver = sql
  args = {top}/sql.conf
  override_fields = uid=mail gid=mail
}}
service auth {{
  user = root
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
"""
SQL = """\
driver = sqlite
connect = {database}
password_query = SELECT user, password FROM dovecot_passdb WHERE user = '%u'
user_query = SELECT '{top}/mail/' || home AS home, quota_rule FROM dovecot_userdb WHERE user = '%u'
"""


@pytest.fixture
def port() -> Iterator[int]:
    """A Dovecot on this database, with lisi's account in it."""
    if connection.vendor != "sqlite" or not shutil.which("dovecot") or os.geteuid() != 0:
        pytest.skip("needs Dovecot, root and SQLite")
    directory.create_domain("benet.com")
    directory.create_account("lisi@benet.com", PASSWORD)
    sqlviews.create()
    top = Path(tempfile.mkdtemp(prefix="dovecot-"))
    top.chmod(0o755)
    (top / "mail").mkdir()
    shutil.chown(top / "mail", "mail", "mail")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    (top / "dovecot.conf").write_text(CONF.format(top=top, port=port))
    (top / "sql.conf").write_text(SQL.format(top=top, database=connection.settings_dict["NAME"]))
    process = subprocess.Popen(["dovecot", "-F", "-c", top / "dovecot.conf"], stderr=subprocess.PIPE)
    deadline = time.monotonic() + 20
    while True:
        try:
            imaplib.IMAP4("127.0.0.1", port).logout()
            break
        except (OSError, imaplib.IMAP4.error):
            assert process.poll() is None, process.stderr and process.stderr.read()
            assert time.monotonic() < deadline, (top / "log").read_text()
    yield port
    log = (top / "log").read_text()
    process.terminate()
    process.wait(20)
    shutil.rmtree(top)
    sqlviews.drop()
    if "Unknown database driver" in log:
        pytest.skip("Dovecot without SQLite")


def signs_in(port: int, name: str, password: str) -> bool:
    program = imaplib.IMAP4("127.0.0.1", port)
    try:
        program.login(name, password)
        return program.select("INBOX")[0] == "OK"
    except imaplib.IMAP4.error:
        return False
    finally:
        program.logout()


def test_an_account_made_here_signs_in_there(port: int) -> None:
    assert signs_in(port, "lisi@benet.com", PASSWORD)
    assert not signs_in(port, "lisi@benet.com", "wrong")
    assert not signs_in(port, "nobody@benet.com", PASSWORD)
    directory.create_account("wang@benet.com", "eight hutongs")
    assert signs_in(port, "wang@benet.com", "eight hutongs")
    directory.change_account(Account.objects.get(address="wang@benet.com").pk, AccountDraft(state="no-login"))
    assert not signs_in(port, "wang@benet.com", "eight hutongs")
