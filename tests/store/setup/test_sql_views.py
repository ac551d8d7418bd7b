"""The views for a Postfix and a Dovecot that stay, on every database we support.

They are queried by these programs where they are installed.
"""

import shutil
import subprocess
from datetime import timedelta

import pytest
from django.conf import settings as django_settings
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from mailcore.models import Account, Alias, Domain
from mailcore.store import directory
from mailcore.store.directory import AccountDraft, DomainDraft
from mailcore.store.settings import parameter_changes
from mailcore.store.setup import sql_views

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]
PASSWORD = "seven hutongs"


@pytest.fixture
def views(db: None):
    """benet.com with lisi and xiaoqi, other.example as its other name, relayed.example; the views."""
    directory.create_domain("benet.com")
    directory.create_domain("other.example", DomainDraft(kind="alias", target="benet.com"))
    directory.create_domain("relayed.example", DomainDraft(kind="relay"))
    for name in ("lisi", "xiaoqi"):
        directory.create_account(f"{name}@benet.com", PASSWORD)
    directory.create_alias("all@benet.com", ["lisi", "xiaoqi", "a@far.example"])
    sql_views.create_views()
    yield
    sql_views.drop_views()


def asked(view: str, key: str = "address") -> dict[str, tuple[object, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {view}")
        names = [column[0] for column in cursor.description]
        rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    return {str(row.pop(key)): tuple(row.values()) for row in rows}


def test_domains_mailboxes_and_aliases(views):
    assert set(asked("postfix_virtual_mailbox_domains", "domain")) == {"benet.com"}
    assert set(asked("postfix_virtual_alias_domains", "domain")) == {"other.example"}
    assert set(asked("postfix_relay_domains", "domain")) == {"relayed.example"}
    assert asked("postfix_virtual_mailbox_maps") == {
        "lisi@benet.com": ("benet.com/lisi/Maildir/",), "xiaoqi@benet.com": ("benet.com/xiaoqi/Maildir/",),
    }  # fmt: skip
    assert asked("postfix_virtual_alias_maps") == {
        "all@benet.com": ("lisi@benet.com, xiaoqi@benet.com, a@far.example",), "@other.example": ("@benet.com",),
    }  # fmt: skip
    assert set(asked("postfix_sender_login_maps")) == {"lisi@benet.com", "xiaoqi@benet.com"}


def test_a_catch_all_catches_no_account(views):
    domain = Domain.objects.get(name="benet.com")
    directory.change_domain(domain.pk, DomainDraft(catch_all="lisi@benet.com"))
    found = asked("postfix_virtual_alias_maps")
    assert found["@benet.com"] == ("lisi@benet.com",)
    assert found["xiaoqi@benet.com"] == ("xiaoqi@benet.com",)
    assert found["all@benet.com"] == ("lisi@benet.com, xiaoqi@benet.com, a@far.example",)


@pytest.mark.parametrize(
    ("draft", "mailbox", "password", "sends"),
    [
        (AccountDraft(), True, True, True),
        (AccountDraft(state="off"), False, False, False),
        (AccountDraft(state="no-login"), True, False, True),
        (AccountDraft(state="send-only"), False, True, True),
        (AccountDraft(state="receive-only"), True, True, False),
        (AccountDraft(expires=timezone.localdate() - timedelta(days=2)), False, False, False),
        (AccountDraft(expires=timezone.localdate() + timedelta(days=2)), True, True, True),
    ],
)
def test_states_mean_what_they_mean_here(views, draft, mailbox, password, sends):
    directory.change_account(Account.objects.get(address="lisi@benet.com").pk, draft)
    assert ("lisi@benet.com" in asked("postfix_virtual_mailbox_maps")) == mailbox
    assert ("lisi@benet.com" in asked("dovecot_userdb", "user")) == mailbox
    assert ("lisi@benet.com" in asked("dovecot_passdb", "user")) == password
    assert ("lisi@benet.com" in asked("postfix_sender_login_maps")) == sends


def test_what_is_switched_off_is_not_there(views):
    Alias.objects.update(active=False)
    Account.objects.filter(address="lisi@benet.com").update(second_factor=True)
    assert set(asked("postfix_virtual_alias_maps")) == {"@other.example"}
    assert "lisi@benet.com" not in asked("dovecot_passdb", "user")
    Domain.objects.filter(name="benet.com").update(active=False)
    assert asked("postfix_virtual_mailbox_maps") == asked("dovecot_passdb", "user") == {}


def test_quotas_by_account_domain_and_system(views):
    def rule() -> object:
        return asked("dovecot_userdb", "user")["lisi@benet.com"][-1]

    assert rule() == "*:bytes=51200000"
    parameter_changes.change_parameters({"virtual_mailbox_limit": "7000"})
    assert rule() == "*:bytes=7000"
    Domain.objects.filter(name="benet.com").update(account_quota_bytes=8000)
    assert rule() == "*:bytes=8000"
    Account.objects.filter(address="lisi@benet.com").update(quota_bytes=0)
    assert rule() == "*:bytes=0"


def test_dovecot_knows_the_hashes(views, settings):
    """Asked of Dovecot's own program, where it is there."""
    settings.PASSWORD_HASHERS = [
        "mailcore.store.credentials.hasher.Argon2Hasher",
        "mailcore.store.credentials.dovecot_hashes.DovecotHasher",
    ]
    directory.set_password(Account.objects.get(address="lisi@benet.com").pk, PASSWORD)
    xiaoqi = Account.objects.get(address="xiaoqi@benet.com")
    directory.set_password_hash(xiaoqi.pk, "dovecot${SHA512-CRYPT}$6$saltsalt$x")
    found = asked("dovecot_passdb", "user")
    assert found["xiaoqi@benet.com"] == ("{SHA512-CRYPT}$6$saltsalt$x",)
    [hashed] = found["lisi@benet.com"]
    assert hashed.startswith("{ARGON2ID}$argon2id$v=19$")
    if shutil.which("doveadm"):
        done = subprocess.run(
            ["doveadm", "-c", "/dev/null", "pw", "-t", hashed, "-p", PASSWORD],
            capture_output=True,
            text=True,
            timeout=30,
        )
        if "Unknown scheme" not in done.stderr:
            assert "(verified)" in done.stdout, done.stderr


def test_the_program_shows_and_makes_them(views, capsys):
    call_command("sqlviews", "--drop")
    call_command("sqlviews")
    assert capsys.readouterr().out.count("CREATE VIEW") == 8
    call_command("sqlviews", "--create")
    assert asked("postfix_virtual_mailbox_maps")


@pytest.mark.program
def test_postfix_asks_them(views, tmp_path):
    postmap = shutil.which("postmap") or "/usr/sbin/postmap"
    engine = connection.vendor
    kind = {"sqlite": "sqlite", "postgresql": "pgsql", "mysql": "mysql"}[engine]
    (tmp_path / "main.cf").write_text("")
    database = connection.settings_dict
    place = f"dbpath = {database['NAME']}\n" if engine == "sqlite" else (
        f"hosts = {database['HOST']}\ndbname = {database['NAME']}\nuser = {database['USER']}\npassword = {database['PASSWORD']}\n"
    )  # fmt: skip
    query = "query = SELECT targets FROM postfix_virtual_alias_maps WHERE address = '%s'\n"
    (tmp_path / "aliases.cf").write_text(place + query)
    try:
        done = subprocess.run(
            [postmap, "-c", str(tmp_path), "-q", "all@benet.com", f"{kind}:{tmp_path}/aliases.cf"],
            capture_output=True, text=True, timeout=30,
        )  # fmt: skip
    except FileNotFoundError:
        pytest.skip("Postfix is not here")
    if "unsupported dictionary type" in done.stderr or "Is the postfix-" in done.stderr:
        pytest.skip(f"Postfix without {kind}")
    assert done.stdout.strip() == "lisi@benet.com, xiaoqi@benet.com, a@far.example", done.stderr
    assert django_settings.DATABASES
