"""Changes that would outlast a stolen session need a recent proof, and the owner is notified of them."""

import email
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.sessions.models import Session
from django.db import connection
from django.test import Client

from mailcore import conf
from mailcore.models import Account, ApiToken, AppPassword, Queued, Recipient, Setting
from mailcore.mta.queue import content_files
from mailcore.store.auth import account_login, second_factors
from mailcore.store.credentials import api_tokens
from tests.mailadmin.conftest import PASSWORD

pytestmark = pytest.mark.django_db(transaction=True)

SECRET = "another long password"


@pytest.fixture
def stale(visit):
    """A browser that signed in long ago."""

    def sign_in(name: str) -> Client:
        browser = visit(name)
        session = browser.session
        session["proved"] = 0
        session.save()
        return browser

    return sign_in


@pytest.fixture
def queue_folder() -> None:
    content_files.make_directories()


CHANGES = {
    "an app password": ("lisi", "/account/app-passwords", {"label": "phone"}),
    "a token": ("ann", "/account/tokens", {"label": "script"}),
    "another's password": ("ann", "/admin/accounts/{lisi}/password", {"password": SECRET, "again": SECRET}),
    "another's factors": ("ann", "/admin/accounts/{lisi}/access/end", {"what": "factors"}),
    "a role": (
        "ann", "/admin/accounts/{lisi}",
        {"state": "active", "role": "administrator", "name": "", "expires": "", "quota_bytes": "", "quota_messages": ""},
    ),
    "a new account": (
        "ann", "/admin/accounts/new",
        {"local_part": "new", "domain": "benet.com", "password": SECRET, "state": "active", "role": "administrator"},
    ),
    "accounts from a file": (
        "ann", "/admin/accounts/import", {"text": f"address,password\nnew@benet.com,{SECRET}", "import": "1"}
    ),
    "a setting": ("ann", "/admin/settings/second_factor_roles", {"value": "administrator", "save": "1"}),
    "settings as text": ("ann", "/admin/settings/text", {"text": "second_factor_roles = administrator", "save": "1"}),
}  # fmt: skip


def everything() -> list[object]:
    return [
        list(Account.objects.order_by("pk").values_list("address", "password", "role")),
        AppPassword.objects.count(),
        ApiToken.objects.count(),
        Setting.objects.count(),
    ]


@pytest.mark.parametrize(("name", "path", "data"), CHANGES.values(), ids=CHANGES.keys())
def test_a_change_needs_a_recent_proof(office, stale, name: str, path: str, data: dict[str, str]) -> None:
    browser, before = stale(name), everything()
    answer = browser.post(path.format(lisi=office.lisi.pk), data)
    assert answer.status_code == 302
    assert answer.url.startswith("/account/confirm?")
    assert everything() == before
    back = browser.post(answer.url, {"password": PASSWORD, "next": "/account/"})
    assert back.url == "/account/"
    assert "/account/confirm" not in browser.post(path.format(lisi=office.lisi.pk), data).get("Location", "")


def notices() -> dict[str, str]:
    """Return the texts of the queued notices by recipient."""
    found = {}
    for row in Queued.objects.order_by("pk"):
        content = Path(content_files.content_path(row.pk)).read_bytes()
        for recipient in Recipient.objects.filter(queued=row):
            found[recipient.address] = email.message_from_bytes(content).get_payload(decode=True).decode()
    return found


def test_the_owner_hears_of_an_app_password(queue_folder, office, visit) -> None:
    Account.objects.filter(pk=office.lisi.pk).update(language="en")
    visit("lisi").post("/account/app-passwords", {"label": "phone"})
    assert "An app password was made." in notices()["lisi@benet.com"]


def test_the_owner_hears_what_an_administrator_did(queue_folder, office, visit) -> None:
    Account.objects.filter(pk=office.lisi.pk).update(language="zh-hans")
    visit("ann").post(f"/admin/accounts/{office.lisi.pk}/password", {"password": SECRET, "again": SECRET})
    text = notices()["lisi@benet.com"]
    assert "ann@benet.com" in text
    assert "127.0.0.1" in text
    assert SECRET not in text


def test_a_change_is_made_though_no_notice_can_be_queued(office, visit) -> None:
    answer = visit("lisi").post("/account/app-passwords", {"label": "phone"})
    assert answer.status_code == 200
    assert AppPassword.objects.count() == 1


@pytest.mark.parametrize("revoke", ["on", ""])
def test_a_reset_revokes_what_was_issued_unless_asked_not_to(office, visit, revoke: str) -> None:
    secret = account_login.make_app_password(office.ann.pk, "phone")
    token = api_tokens.create_token(office.ann.pk, "script", writes=True, expires=None)
    page = visit("ann").get(f"/admin/accounts/{office.ann.pk}/password").text
    assert 'name="revoke"' in page
    assert "checked" in page
    data = {"password": SECRET, "again": SECRET} | ({"revoke": revoke} if revoke else {})
    visit("ann").post(f"/admin/accounts/{office.ann.pk}/password", data)
    assert (api_tokens.find_holder(token) is None) == bool(revoke)
    assert (account_login.log_in("ann@benet.com", secret, "imap", "192.0.2.1") is None) == bool(revoke)


def test_an_administrator_sees_and_revokes_tokens(office, visit) -> None:
    token = api_tokens.create_token(office.dora.pk, "nightly script", writes=True, expires=None)
    browser = visit("ann")
    assert "nightly script" in browser.get(f"/admin/accounts/{office.dora.pk}/access").text
    number = ApiToken.objects.get().pk
    browser.post(f"/admin/accounts/{office.dora.pk}/access/end", {"what": "token", "number": str(number)})
    assert api_tokens.find_holder(token) is None


def test_a_required_second_factor_is_required_of_scripts_too(office, monkeypatch) -> None:
    token = api_tokens.create_token(office.ann.pk, "script", writes=True, expires=None)
    client = Client(headers={"authorization": f"Bearer {token}"})
    assert client.get("/api/v1/accounts").status_code == 200
    monkeypatch.setenv("MAIL_SECOND_FACTOR_ROLES", "administrator")
    conf.refresh()
    assert client.get("/api/v1/accounts").status_code == 401
    Account.objects.filter(pk=office.ann.pk).update(second_factor=True)
    assert second_factors.list_factors(office.ann.pk).codes == 0
    assert client.get("/api/v1/accounts").status_code == 200


# --- A copy of the database -----------------------------------------------------------------------


def test_a_session_key_of_the_database_opens_nothing(office, visit) -> None:
    browser = visit("lisi")
    assert browser.get("/account/").status_code == 200
    [stored] = Session.objects.values_list("session_key", flat=True)
    assert stored != browser.session.session_key
    thief = Client()
    thief.cookies[settings.SESSION_COOKIE_NAME] = stored
    assert thief.get("/account/").status_code == 302
    browser.post("/logout/")
    assert not Session.objects.filter(session_key=stored).exists()


@pytest.mark.skipif(connection.vendor != "sqlite", reason="SQLite alone has a file of its own")
def test_nobody_else_reads_the_database_file(tmp_path) -> None:
    from mailcore.sqlite.base import _make_private

    for existing in (False, True):  # a database made by us, and one made by an earlier version
        path = tmp_path / f"{existing}.sqlite3"
        if existing:
            path.touch(0o644)
        _make_private(str(path))
        database = sqlite3.connect(path)
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("CREATE TABLE t (x)")
        assert {each.stat().st_mode & 0o777 for each in tmp_path.glob(f"{existing}.sqlite3*")} == {0o600}
        database.close()


@pytest.mark.skipif(connection.vendor != "sqlite", reason="SQLite alone has a file of its own")
def test_a_new_connection_keeps_the_locks_of_this_process(tmp_path) -> None:
    """POSIX drops all locks of a process on a file that it closes once: SQLite's file is never opened beside SQLite."""
    from mailcore.sqlite.base import _make_private

    path = str(tmp_path / "x.sqlite3")
    _make_private(path)
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("CREATE TABLE t (x)")
    holder.execute("BEGIN EXCLUSIVE")
    _make_private(path)
    program = f"import sqlite3; sqlite3.connect({path!r}, timeout=0).execute('SELECT * FROM t')"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "database is locked" in ran.stderr
    holder.close()
