"""Who may open what: the whole table, every page by every role."""

import pytest
from django.test import Client

from mailadmin import urls
from mailcore import log
from mailcore.models import Account, Alias, Domain, Queued

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
    ("letter", "1A2B3C", "ann audrey"),
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
    elif page in ("letter", "setting", "export", "import", "table"):
        number = what
    elif what:
        number = Account.objects.get(local_part=what).pk
    return "/" + "/".join(str(number) if part.startswith("<") else part for part in route.split("/"))


@pytest.fixture(autouse=True)
def something_to_see(office, settings) -> None:
    """A letter in the queue, and a log."""
    Queued.objects.create(id=0x1A2B3C, state="hold", due_us=1, received_us=1, size=1, sender="a@other.example")
    log.write("qmgr", "begins")


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


@pytest.mark.parametrize(
    ("page", "what", "data"),
    [
        ("domain", "accp", {"kind": "relay"}),
        ("account", "lisi", {"state": "off", "role": "owner"}),
        ("account", "dora", {"state": "off", "role": "administrator"}),
        ("alias", "all@benet.com", {"targets": "ann"}),
        ("setting", "myhostname", {"value": "elsewhere.example"}),
        ("settings-text", None, {"text": "", "save": "1"}),
        ("table", "transport", {"text": "a b", "save": "1"}),
        ("postfix", None, {"kind": "main.cf", "text": "a = b", "import": "1"}),
    ],
)
def test_seeing_is_not_changing(office, visit, page, what, data):
    for name in ("audrey", "dora"):
        assert visit(name).post(address(page, what), data).status_code == 403
    office.lisi.refresh_from_db()
    assert office.lisi.state == "active"


def test_who_may_not_change_the_queue(office, visit):
    for name in ("audrey", "dora", "lisi"):
        assert visit(name).post("/admin/queue/act", {"action": "delete", "all": "1"}).status_code == 403
    assert Queued.objects.get().state == "hold"


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
    browser.force_login(office.ann, "mailcore.store.login.AccountBackend")
    assert browser.post(f"/admin/accounts/{office.lisi.pk}/delete").status_code == 403
    assert Account.objects.filter(pk=office.lisi.pk).exists()
