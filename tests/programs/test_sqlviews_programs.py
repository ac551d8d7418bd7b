"""A Postfix and a Dovecot that stay, set up as docs/sql-views.md says, on each database.

An account made on the screens receives mail and signs in there at once, and no longer once it is closed. Both ask as a database user of their own, who may read nothing but the views.
"""

import contextlib
import imaplib
import os
import shutil
import smtplib
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path

import pytest
from django.db import connection

from mailcore.models import Account, Alias, Domain
from mailcore.store.setup import sql_views
from tests.mailadmin.conftest import Office, office, plain_files, visit  # noqa: F401  (fixtures)
from tests.programs.conftest import Postfix

pytestmark = [pytest.mark.program, pytest.mark.database, pytest.mark.django_db(transaction=True)]

PASSWORD = "eight hutongs"
READER = f"youju_views_{os.getpid()}"  # of this run alone: what a killed run left behind may own things elsewhere

DOVECOT = """\
base_dir = {top}/run
state_dir = {top}/state
log_path = {top}/log
protocols = imap lmtp
ssl = no
disable_plaintext_auth = no
listen = 127.0.0.1
default_internal_user = dovecot
default_login_user = dovenull
first_valid_uid = 1
mail_location = maildir:~/Maildir
mail_plugins = quota
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
plugin {{
  quota = maildir:User quota
}}
protocol imap {{
  mail_plugins = quota imap_quota
}}
service auth {{
  user = root
  inet_listener {{
    port = {auth}
  }}
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service lmtp {{
  inet_listener {{
    port = {lmtp}
  }}
}}
"""
SQL = """\
driver = {driver}
connect = {connect}
password_query = SELECT {user}, password FROM dovecot_passdb WHERE {user} = '%u'
user_query = SELECT {home} AS home, quota_rule FROM dovecot_userdb WHERE {user} = '%u'
iterate_query = SELECT {user} FROM dovecot_userdb
"""
MAPS = {
    "domains": "SELECT domain FROM postfix_virtual_mailbox_domains WHERE domain = '%s'",
    "names": "SELECT domain FROM postfix_virtual_alias_domains WHERE domain = '%s'",
    "relays": "SELECT domain FROM postfix_relay_domains WHERE domain = '%s'",
    "mailboxes": "SELECT maildir FROM postfix_virtual_mailbox_maps WHERE address = '%s'",
    "aliases": "SELECT targets FROM postfix_virtual_alias_maps WHERE address = '%s'",
    "senders": "SELECT login FROM postfix_sender_login_maps WHERE address = '%s'",
}
MAIN_CF = """
mydestination =
virtual_alias_domains = {maps[names]}
virtual_mailbox_domains = {maps[domains]}
virtual_mailbox_maps = {maps[mailboxes]}
virtual_alias_maps = {maps[aliases]}
relay_domains = {maps[relays]}
virtual_transport = lmtp:inet:127.0.0.1:{lmtp}
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = inet:127.0.0.1:{auth}
smtpd_sender_login_maps = {maps[senders]}
smtpd_sender_restrictions = reject_sender_login_mismatch
smtpd_relay_restrictions = permit_sasl_authenticated reject_unauth_destination
maillog_file_prefixes = {folder}
maillog_file = {folder}/data/log
"""


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as held:
        probes = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [probe.getsockname()[1] for probe in probes]


@dataclass(frozen=True)
class Views:
    """The views, and the configuration of each of the two programs for them."""

    postfix: str  # lines of a table's .cf
    driver: str
    connect: str

    @property
    def kind(self) -> str:
        return {"sqlite": "sqlite", "postgresql": "pgsql", "mysql": "mysql"}[connection.vendor]


@pytest.fixture
def views(office) -> Iterator[Views]:  # noqa: F811
    sql_views.create_views()
    place = connection.settings_dict
    if connection.vendor == "sqlite":
        yield Views(f"dbpath = {place['NAME']}", "sqlite", place["NAME"])
    else:
        host, port = (
            place["HOST"] or "127.0.0.1",
            place["PORT"] or {"postgresql": 5432, "mysql": 3306}[connection.vendor],
        )
        with reader() as password:
            words = f"host={host} port={port} dbname={place['NAME']} user={READER} password={password}"
            yield Views(
                f"hosts = {host}:{port}\ndbname = {place['NAME']}\nuser = {READER}\npassword = {password}",
                {"postgresql": "pgsql", "mysql": "mysql"}[connection.vendor],
                words,
            )
    sql_views.drop_views()


@contextlib.contextmanager
def reader() -> Iterator[str]:
    """A user who may look at the views and at nothing else; their password."""
    password, names = "views-only-7", list(sql_views.view_statements())
    if connection.vendor == "postgresql":
        who, before = [READER], [f"DROP OWNED BY {READER}", f"DROP ROLE {READER}"]
        make = f"CREATE ROLE {{0}} LOGIN PASSWORD '{password}'"
    else:
        who = [f"{READER}@localhost", f"{READER}@'127.0.0.1'"]
        before = [f"DROP USER {each}" for each in who]
        make = f"CREATE USER {{0}} IDENTIFIED BY '{password}'"

    def drop() -> None:
        with connection.cursor() as cursor:
            for statement in before:
                with contextlib.suppress(Exception):
                    cursor.execute(statement)

    drop()  # of a run that was killed
    with connection.cursor() as cursor:
        for each in who:
            cursor.execute(make.format(each))
            for name in names:
                cursor.execute(f"GRANT SELECT ON {name} TO {each}")
    yield password
    drop()


@pytest.fixture
def dovecot(views: Views) -> Iterator[dict[str, int]]:
    """It runs on the views; its ports by service."""
    if not shutil.which("dovecot") or os.geteuid() != 0:
        pytest.skip("needs Dovecot, and root to start it")
    top = Path(tempfile.mkdtemp(prefix="dovecot-"))  # where others than root may go
    top.chmod(0o755)
    (top / "mail").mkdir()
    shutil.chown(top / "mail", "mail", "mail")
    ports = dict(zip(("imap", "lmtp", "auth"), free_ports(3), strict=True))
    (top / "dovecot.conf").write_text(DOVECOT.format(top=top, **ports))
    home = f"CONCAT('{top}/mail/', home)" if connection.vendor == "mysql" else f"'{top}/mail/' || home"
    user = connection.ops.quote_name("user")
    (top / "sql.conf").write_text(SQL.format(driver=views.driver, connect=views.connect, home=home, user=user))
    process = subprocess.Popen(["dovecot", "-F", "-c", top / "dovecot.conf"], stderr=subprocess.PIPE)
    deadline = time.monotonic() + 20
    while True:
        try:
            imaplib.IMAP4("127.0.0.1", ports["imap"]).logout()
            break
        except (OSError, imaplib.IMAP4.error):
            assert process.poll() is None, process.stderr and process.stderr.read()
            assert time.monotonic() < deadline, (top / "log").read_text()
    yield ports
    log = (top / "log").read_text()
    process.terminate()
    process.wait(20)
    shutil.rmtree(top)
    if "Unknown database driver" in log:
        pytest.skip(f"Dovecot without {views.driver}")


@pytest.fixture
def smtp(postfix: Postfix, views: Views, dovecot: dict[str, int]) -> Iterator[int]:
    """A Postfix on the same views, which hands its messages to that Dovecot; its port."""
    if views.kind not in postfix("postconf", "-m").out.split():
        pytest.skip(f"Postfix without {views.kind}")
    for name, query in MAPS.items():
        (postfix.folder / f"{name}.cf").write_text(f"{views.postfix}\nquery = {query}\n")
    maps = {name: f"proxy:{views.kind}:{postfix.folder}/{name}.cf" for name in MAPS}
    with (postfix.folder / "main.cf").open("a") as main_cf:
        main_cf.write(MAIN_CF.format(folder=postfix.folder, maps=maps, **dovecot))
    [port] = free_ports(1)
    master_cf = (postfix.folder / "master.cf").read_text()
    # A test's own database file can be read by root alone.
    lines = [line for line in master_cf.splitlines() if not line.startswith("proxymap ")]
    lines += ["proxymap unix - n n - - proxymap", f"127.0.0.1:{port} inet n - n - - smtpd"]
    (postfix.folder / "master.cf").write_text("\n".join(lines) + "\n")
    started = postfix("postfix", "start")
    if started.status != 0:
        pytest.skip(f"Postfix does not start: {started.err}")
    yield port
    postfix("postfix", "stop")


def signs_in(port: int, name: str, password: str) -> bool:
    program = imaplib.IMAP4("127.0.0.1", port)
    try:
        program.login(name, password)
        return program.select("INBOX")[0] == "OK"
    except imaplib.IMAP4.error:
        return False
    finally:
        program.logout()


def subjects(port: int, name: str, wanted: int) -> list[str]:
    """Of the messages in somebody's INBOX, once there are so many."""
    program = imaplib.IMAP4("127.0.0.1", port)
    program.login(name, PASSWORD)
    deadline = time.monotonic() + 30
    while int(program.select("INBOX")[1][0] or 0) < wanted:
        assert time.monotonic() < deadline, f"{name} has fewer than {wanted} messages"
    _, found = program.fetch("1:*", "(BODY[HEADER.FIELDS (SUBJECT)])")
    program.logout()
    return sorted(each[1].decode().partition(":")[2].strip() for each in found if isinstance(each, tuple))


def send(port: int, subject: str, to: str, sender: str = "a@far.example", login: str = "") -> str:
    """Return "", or Postfix's error."""
    message = EmailMessage()
    message["Subject"], message["From"], message["To"] = subject, sender, to
    message.set_content("hello")
    try:
        with smtplib.SMTP("127.0.0.1", port, timeout=30) as client:
            if login:
                client.login(login, PASSWORD)
            client.send_message(message, sender, [to])
    except smtplib.SMTPRecipientsRefused as refused:
        return refused.recipients[to][1].decode()
    except smtplib.SMTPResponseException as refused:
        error = refused.smtp_error
        return error.decode() if isinstance(error, bytes) else error
    return ""


@pytest.fixture
def screens(office: Office, visit):  # noqa: F811
    """Ann at her screens: `screens("accounts/new", …)` posts a form."""
    ann = visit("ann")

    def post(page: str, **fields: object) -> None:
        answer = ann.post(f"/admin/{page}", fields)
        assert answer.status_code == 302, answer.text

    post("domains/new", name="new.example", kind="local", active="on")
    for name in ("zhao", "qian"):
        fields = {"local_part": name, "domain": "new.example", "password": PASSWORD, "state": "active", "role": "owner"}
        post("accounts/new", **fields, quota_bytes="7 MB")
    post("aliases/new", local_part="all", domain="new.example", targets="zhao, qian", active="on")
    return post


def of(name: str) -> Account:
    return Account.objects.get(address=f"{name}@new.example")


def test_an_account_made_on_the_screens_signs_in_at_dovecot(screens, dovecot):
    imap = dovecot["imap"]
    assert signs_in(imap, "zhao@new.example", PASSWORD)
    assert not signs_in(imap, "zhao@new.example", "wrong")
    assert not signs_in(imap, "nobody@new.example", PASSWORD)
    screens(f"accounts/{of('zhao').pk}/password", password="nine hutongs", again="nine hutongs")
    assert signs_in(imap, "zhao@new.example", "nine hutongs")
    assert not signs_in(imap, "zhao@new.example", PASSWORD)
    screens(f"accounts/{of('zhao').pk}", state="no-login", role="owner")
    assert not signs_in(imap, "zhao@new.example", "nine hutongs")


def test_quota_given_on_the_screens_is_dovecots(screens, dovecot):
    def limit() -> str:
        program = imaplib.IMAP4("127.0.0.1", dovecot["imap"])
        program.login("zhao@new.example", PASSWORD)
        said = program.getquotaroot("INBOX")[1][1][0].decode()
        program.logout()
        return said

    assert "(STORAGE 0 7168)" in limit()
    screens(f"accounts/{of('zhao').pk}", state="active", role="owner", quota_bytes="2 GB")
    assert "(STORAGE 0 2097152)" in limit()


def test_messages_to_what_the_screens_made_arrive(screens, smtp, dovecot):
    assert send(smtp, "to one", "zhao@new.example") == ""
    assert send(smtp, "to all", "all@new.example") == ""
    assert "User unknown" in send(smtp, "to nobody", "nobody@new.example")
    assert "Relay access denied" in send(smtp, "elsewhere", "x@elsewhere.example")
    assert subjects(dovecot["imap"], "zhao@new.example", 2) == ["to all", "to one"]
    assert subjects(dovecot["imap"], "qian@new.example", 1) == ["to all"]
    domain = Domain.objects.get(name="new.example")
    screens(f"domains/{domain.pk}", kind="local", active="on", catch_all="qian")
    screens("domains/new", name="other.example", kind="alias", target="new.example", active="on")
    assert send(smtp, "caught", "nobody@new.example") == ""
    assert send(smtp, "other name", "zhao@other.example") == ""
    assert subjects(dovecot["imap"], "qian@new.example", 2) == ["caught", "to all"]
    assert subjects(dovecot["imap"], "zhao@new.example", 3) == ["other name", "to all", "to one"]


def test_what_the_screens_close_is_closed_there(screens, smtp, dovecot):
    for state, refusal in {"off": "User unknown", "send-only": "User unknown", "receive-only": ""}.items():
        screens(f"accounts/{of('zhao').pk}", state=state, role="owner")
        assert refusal in send(smtp, state, "zhao@new.example"), state
    assert subjects(dovecot["imap"], "zhao@new.example", 1) == ["receive-only"]
    screens(f"aliases/{Alias.objects.get(address='all@new.example').pk}/delete")
    assert "User unknown" in send(smtp, "no group", "all@new.example")


def test_who_signs_in_sends_as_themselves(screens, smtp, dovecot):
    mine = {"sender": "zhao@new.example", "login": "zhao@new.example"}
    assert send(smtp, "mine", "qian@new.example", **mine) == ""
    assert subjects(dovecot["imap"], "qian@new.example", 1) == ["mine"]
    # It relays now; all this Postfix can do with what goes elsewhere is to put it off.
    assert "somebody is not at home" in send(smtp, "elsewhere", "x@elsewhere.example", **mine)
    assert "not owned by user" in send(smtp, "not mine", "qian@new.example", "qian@new.example", mine["login"])
    assert "not logged in" in send(smtp, "nobody's", "qian@new.example", "zhao@new.example")
    screens(f"accounts/{of('zhao').pk}", state="receive-only", role="owner")
    assert "not owned by user" in send(smtp, "no more", "qian@new.example", **mine)
