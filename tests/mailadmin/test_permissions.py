"""The permission table: every page and every form, by every role."""

import time

import pytest
from django.db import transaction
from django.test import Client

from mailadmin import urls
from mailcore import conf
from mailcore.conf import caches
from mailcore.logs import writer
from mailcore.models import (
    AccessEntry,
    Account,
    Alias,
    ApiToken,
    AppPassword,
    Change,
    DkimKey,
    Domain,
    Factor,
    Queued,
    Setting,
)
from mailcore.store import directory
from mailcore.store.auth import account_login, second_factors
from mailcore.store.credentials import api_tokens
from mailcore.wire.auth import totp
from tests.mailadmin.conftest import PASSWORD

# Addresses that only take forms and lead on to a page.
ONLY_ACTS = {
    "revoke", "queue-act", "undo", "make-codes", "remove-factor", "end-session", "end-other-sessions", "end-access",
    "dkim-key", "new-table", "revoke-token",
}  # fmt: skip
POSTED = {*ONLY_ACTS, "bulk", "second-step"}
PAGES = [
    # page, its argument, who may open it
    ("dashboard", None, "ann audrey dora"),
    ("domains", None, "ann audrey dora"),
    ("new-domain", None, "ann"),
    ("domain", "benet", "ann audrey"),
    ("domain", "accp", "ann audrey dora"),
    ("dns", "benet", "ann audrey"),
    ("dns", "accp", "ann audrey dora"),
    ("delete-domain", "accp", "ann"),
    ("accounts", None, "ann audrey dora"),
    ("new-account", None, "ann dora"),
    ("account", "lisi", "ann audrey"),
    ("account", "wang", "ann audrey dora"),
    ("account", "dora", "ann audrey dora"),
    ("password", "lisi", "ann"),
    ("password", "wang", "ann dora"),
    ("password", "dora", "ann"),
    ("delete-account", "lisi", "ann"),
    ("delete-account", "wang", "ann dora"),
    ("delete-account", "dora", "ann"),
    ("aliases", None, "ann audrey dora"),
    ("new-alias", None, "ann dora"),
    ("alias", "all@benet.com", "ann audrey"),
    ("alias", "all@accp.com", "ann audrey dora"),
    ("delete-alias", "all@benet.com", "ann"),
    ("delete-alias", "all@accp.com", "ann dora"),
    ("alias-text", None, "ann audrey dora"),
    ("export", "accounts", "ann audrey dora"),
    ("import", "accounts", "ann dora"),
    ("import", "aliases", "ann dora"),
    ("import", "domains", "ann"),
    ("queue", None, "ann audrey"),
    ("destinations", None, "ann audrey"),
    ("message", "1A2B3C", "ann audrey"),
    ("tracking", None, "ann audrey dora"),
    ("log", None, "ann audrey"),
    ("log-download", None, "ann audrey"),
    ("settings", None, "ann audrey"),
    ("setting", "myhostname", "ann audrey"),
    ("simulator", None, "ann audrey"),
    ("settings-text", None, "ann audrey"),
    ("main-cf", None, "ann audrey"),
    ("postfix", None, "ann"),
    ("tables", None, "ann audrey"),
    ("table", "transport", "ann audrey"),
    ("history", None, "ann audrey dora"),
    ("access", "lisi", "ann audrey"),
    ("access", "wang", "ann audrey dora"),
    ("security", None, "ann audrey dora lisi wang"),
    ("add-app", None, "ann audrey dora lisi wang"),
    ("add-passkey", None, "ann audrey dora lisi wang"),
    ("tokens", None, "ann audrey dora"),
    ("confirm", None, "ann audrey dora lisi wang"),
    ("own-sessions", None, "ann audrey dora lisi wang"),
    ("own-history", None, "ann audrey dora lisi wang"),
    ("own-tracking", None, "ann audrey dora lisi wang"),
    ("own", None, "ann audrey dora lisi wang"),
    ("own-password", None, "ann audrey dora lisi wang"),
    ("app-passwords", None, "ann audrey dora lisi wang"),
]


def address(page: str, what: str | None) -> str:
    route = {str(pattern.name): pattern for pattern in urls.urlpatterns}[page].pattern._route
    number = ""
    if what and "@" in what:
        number = Alias.objects.get(address=what).pk
    elif what in ("benet", "accp"):
        number = Domain.objects.get(name=f"{what}.com").pk
    elif page in ("message", "setting", "export", "import", "table") or (what or "").isdecimal():
        number = what
    elif what:
        number = Account.objects.get(local_part=what).pk
    return "/" + "/".join(str(number) if part.startswith("<") else part for part in route.split("/"))


@pytest.fixture(autouse=True)
def something_to_see(office, settings) -> None:
    """A message in the queue, and a log."""
    Queued.objects.create(id=0x1A2B3C, state="hold", due_us=1, received_us=1, size=1, sender="a@other.example")
    writer.write("qmgr", "begins")


@pytest.mark.parametrize(("page", "what", "allowed"), PAGES)
def test_who_opens_what(office, visit, page, what, allowed):
    url = address(page, what)
    for name in ("ann", "audrey", "dora", "lisi", "wang"):
        wanted = 200 if name in allowed.split() else 403
        assert visit(name).get(url).status_code == wanted, (name, url)


@pytest.mark.parametrize(("page", "what"), [(page, what) for page, what, _ in PAGES])
def test_strangers_are_sent_to_the_door(office, page, what):
    url = address(page, what)
    answer = Client().get(url)
    assert (answer.status_code, answer.url) == (302, f"/login/?next={url}")
    assert Client().post(url).status_code in (302, 405)


def test_the_table_above_is_whole():
    names = {pattern.name for pattern in urls.urlpatterns}
    assert names == {page for page, _, _ in PAGES} | POSTED


# --- Every form: who changes something with it ----------------------------------------------------

ACCOUNT = {"state": "off", "role": "owner"}
NEW = {"local_part": "new", "state": "active", "role": "owner"}
PASSWORDS = {"password": "eight hutongs", "again": "eight hutongs"}
CSV = "address,state\n{},off\n"
FORMS = [
    # page, its argument, what is posted, whose post changes something
    ("new-domain", None, {"name": "new.example", "kind": "local"}, "ann"),
    ("domain", "benet", {"kind": "local", "max_accounts": "7"}, "ann"),
    ("domain", "accp", {"kind": "local", "active": "on", "max_accounts": "7"}, "ann"),
    ("delete-domain", "accp", {}, "ann"),
    ("dkim-key", "benet", {"action": "make", "algorithm": "ed25519-sha256"}, "ann"),
    ("dkim-key", "accp", {"action": "make", "algorithm": "ed25519-sha256"}, "ann dora"),
    ("new-account", None, {**NEW, "domain": "benet.com"}, "ann"),
    ("new-account", None, {**NEW, "domain": "accp.com"}, "ann dora"),
    ("account", "lisi", ACCOUNT, "ann"),
    ("account", "wang", ACCOUNT, "ann dora"),
    ("account", "dora", ACCOUNT, "ann"),
    ("password", "lisi", PASSWORDS, "ann"),
    ("password", "wang", PASSWORDS, "ann dora"),
    ("password", "dora", PASSWORDS, "ann"),
    ("end-access", "lisi", {"what": "factors"}, "ann"),
    ("end-access", "wang", {"what": "factors"}, "ann dora"),
    ("end-access", "dora", {"what": "factors"}, "ann"),
    ("delete-account", "lisi", {}, "ann"),
    ("delete-account", "wang", {}, "ann dora"),
    ("delete-account", "dora", {}, "ann"),
    ("bulk", None, {"id": "{lisi}", "state": "off", "apply": "1"}, "ann"),
    ("bulk", None, {"id": "{wang}", "state": "off", "apply": "1"}, "ann dora"),
    ("bulk", None, {"id": "{dora}", "state": "off", "apply": "1"}, "ann"),
    ("bulk", None, {"all": "1", "filter": "q=lisi", "delete": "on", "apply": "1"}, "ann"),
    ("import", "accounts", {"text": CSV.format("lisi@benet.com"), "import": "1"}, "ann"),
    ("import", "accounts", {"text": CSV.format("wang@accp.com"), "import": "1"}, "ann dora"),
    ("import", "aliases", {"text": "address,targets\nnew@benet.com,lisi\n", "import": "1"}, "ann"),
    ("import", "aliases", {"text": "address,targets\nnew@accp.com,wang\n", "import": "1"}, "ann dora"),
    ("import", "domains", {"text": "name,max_accounts\naccp.com,7\n", "import": "1"}, "ann"),
    ("new-alias", None, {"local_part": "new", "domain": "benet.com", "targets": "lisi", "active": "on"}, "ann"),
    ("new-alias", None, {"local_part": "new", "domain": "accp.com", "targets": "wang", "active": "on"}, "ann dora"),
    ("alias", "all@benet.com", {"targets": "ann", "active": "on"}, "ann"),
    ("alias", "all@accp.com", {"targets": "wang", "active": "on"}, "ann dora"),
    ("delete-alias", "all@benet.com", {}, "ann"),
    ("delete-alias", "all@accp.com", {}, "ann dora"),
    ("alias-text", None, {"domain": "benet.com", "text": "all: ann\n", "save": "1"}, "ann"),
    ("alias-text", None, {"domain": "accp.com", "text": "all: wang\n", "save": "1"}, "ann dora"),
    ("queue-act", None, {"action": "delete", "all": "1", "sure": "1"}, "ann"),
    ("setting", "myhostname", {"value": "elsewhere.example"}, "ann"),
    ("settings-text", None, {"text": "smtpd_recipient_limit = 7\n", "save": "1"}, "ann"),
    ("postfix", None, {"kind": "main.cf", "text": "smtpd_recipient_limit = 7\n", "import": "1"}, "ann"),
    ("table", "transport", {"text": "a b\n", "save": "1"}, "ann"),
    ("new-table", None, {"name": "other"}, ""),  # an empty table is nothing yet
    ("undo", "all@benet.com", {}, "ann"),
    ("undo", "all@accp.com", {}, "ann dora"),
    # What is lisi's own, by its number, and what everybody does with what is theirs.
    ("revoke", "app", {}, "lisi"),
    ("end-session", "session", {}, "lisi"),
    ("remove-factor", "factor", {}, "lisi"),
    ("revoke-token", "token", {}, "ann"),  # ann's
    ("end-other-sessions", None, {}, "lisi"),
    ("make-codes", None, {}, "dora lisi wang"),  # who has a second factor
    ("own", None, {"name": "new", "language": "", "time_zone": ""}, "ann audrey dora lisi wang"),
    ("own-password", None, {"present": PASSWORD, **PASSWORDS}, "ann audrey dora lisi wang"),
    ("app-passwords", None, {"label": "new"}, "ann audrey dora lisi wang"),
    ("tokens", None, {"label": "new"}, "ann audrey dora"),
]
ONLY_READ = {
    "dashboard", "domains", "dns", "accounts", "aliases", "export", "queue", "destinations", "message", "tracking", "log",
    "log-download", "settings", "main-cf", "simulator", "tables", "history", "access", "security", "own-sessions",
    "own-history", "own-tracking",
}  # fmt: skip
# Forms that change nothing without an authenticator, or nothing at all.
NOTHING_ALONE = {"add-app", "add-passkey", "confirm", "second-step"}


@pytest.fixture
def own_things(office) -> dict[str, int]:
    """Lisi's app password, signed-in browser and second factor, Ann's token, by their numbers."""
    for account in (office.lisi, office.wang, office.dora):
        sealed = second_factors.new_totp_key()
        second_factors.add_authenticator(
            account.pk,
            "phone",
            sealed,
            totp.compute_code(second_factors.decrypt_totp_key(sealed), totp.step_at(time.time())),
        )
    account_login.make_app_password(office.lisi.pk, "phone")
    account_login.make_session_credential(office.lisi, "key")
    api_tokens.create_token(office.ann.pk, "script", writes=True, expires=None)
    return {
        "app": AppPassword.objects.get(session=False).pk,
        "session": AppPassword.objects.get(session=True).pk,
        "factor": Factor.objects.get(account=office.lisi, kind="totp").pk,
        "token": ApiToken.objects.get().pk,
    }


def everything() -> list[object]:
    """All that a form could change."""
    tables = (Domain, Account, Alias, DkimKey, Setting, AccessEntry, Queued, AppPassword, Factor, ApiToken)
    rows: list[object] = [list(table.objects.order_by("pk").values()) for table in tables]
    for row in rows[1]:
        row.pop("last_login")
    return rows


@pytest.mark.parametrize(("page", "what", "data", "changers"), FORMS)
def test_who_changes_something(office, own_things, visit, page, what, data, changers):
    directory.change_alias(Alias.objects.get(address="all@benet.com").pk, ["lisi"])
    directory.change_alias(Alias.objects.get(address="all@accp.com").pk, ["dora"])
    numbers = {name: getattr(office, name).pk for name in ("lisi", "wang", "dora")}
    filled = {name: str(value).format(**numbers) if name == "id" else value for name, value in data.items()}
    if page == "undo":
        url = f"/admin/history/{Change.objects.filter(subject=what).latest('pk').pk}/undo"
    elif what in own_things:
        url = address(page, str(own_things[what]))
    else:
        url = address(page, what)
    changed = set()
    for name in ("ann", "audrey", "dora", "lisi", "wang"):
        before = everything()
        with transaction.atomic():
            answer = visit(name).post(url, filled)
            if everything() != before:
                changed.add(name)
            transaction.set_rollback(True)
        conf.refresh()
        caches.clear_all()
        assert answer.status_code < 500
    assert changed == set(changers.split())


def test_the_table_of_forms_is_whole():
    takes_forms = {page for page, _, _ in PAGES} | POSTED
    assert {page for page, _, _, _ in FORMS} | NOTHING_ALONE == takes_forms - ONLY_READ


@pytest.mark.parametrize("page", sorted(ONLY_READ))
def test_what_is_only_read_takes_no_form(office, visit, page):
    what = next(what for name, what, _ in PAGES if name == page)
    assert visit("ann").post(address(page, what), {}).status_code == 405


def test_an_administrator_of_domains_sees_only_those(office, visit):
    for page in ("/admin/accounts/", "/admin/aliases/", "/admin/domains/", "/admin/accounts/?q=benet"):
        text = visit("dora").get(page).text
        assert "benet.com" not in text, page
    assert "queue" not in visit("dora").get("/admin/").context


def test_an_administrator_of_domains_gives_no_roles(office, visit):
    data = {"local_part": "new", "domain": "accp.com", "state": "active", "role": "administrator", "password": ""}
    assert visit("dora").post("/admin/accounts/new", data).status_code == 200
    assert Account.objects.get(address="new@accp.com").role == "owner"
    elsewhere = {**data, "domain": "benet.com"}
    assert visit("dora").post("/admin/accounts/new", elsewhere).status_code == 400
    assert not Account.objects.filter(address="new@benet.com").exists()


def test_who_is_switched_off_is_out_at_once(office, visit):
    browser = visit("ann")
    assert browser.get("/admin/").status_code == 200
    Account.objects.filter(pk=office.ann.pk).update(state="no-login")
    assert browser.get("/admin/").status_code == 302


def test_changes_need_the_forms_own_token(office):
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(office.ann, "mailcore.store.auth.account_login.AccountBackend")
    assert browser.post(f"/admin/accounts/{office.lisi.pk}/delete").status_code == 403
    assert Account.objects.filter(pk=office.lisi.pk).exists()
