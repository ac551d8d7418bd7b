"""The pages of domains, accounts and aliases: changes, lists, error messages."""

import re

import pytest
from django.test import Client
from django.utils.html import escape

from mailadmin import file_sizes
from mailcore.conf import size_format
from mailcore.models import Account, Alias, Domain, Queued
from mailcore.store import directory
from mailcore.store.auth import account_login
from mailcore.store.credentials import api_tokens
from tests.mailadmin.conftest import HASH, PASSWORD

pytestmark = pytest.mark.django_db


def said(answer) -> str:
    """The page's text without its markup."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.text))


# --- Overview -------------------------------------------------------------------------------------


def test_the_overview_counts(office, visit, settings):
    settings.PORTS = {"smtp": 1, "imap": None}
    Account.objects.filter(pk=office.lisi.pk).update(used_bytes=3 << 20, used_messages=7, state="hold")
    Queued.objects.create(id=1, state="deferred", due_us=0, received_us=0, sender="", size=1)
    text = said(visit("ann").get("/admin/"))
    counts = ("2 Domains", "5 Accounts", "1 not active", "2 Aliases", "3.0 MB in 7 messages", "deferred 1", "hold 0")
    assert [words for words in counts if words not in text] == []
    assert "smtp :1 does not answer" in text
    assert "imap" not in text


# --- Domains --------------------------------------------------------------------------------------


def test_a_domain_is_made_changed_and_deleted(office, visit):
    ann = visit("ann")
    limits = {"account_quota_bytes": "1.5 GB", "max_accounts": "3"}
    data = {"name": "Example.ORG", "kind": "local", "active": "on", **limits}
    assert "Example.ORG has been created" in said(ann.post("/admin/domains/new", data, follow=True))
    row = Domain.objects.get(name="example.org")
    assert (row.account_quota_bytes, row.max_accounts, row.total_quota_bytes) == (1536 << 20, 3, None)
    data = {"kind": "alias", "target": "benet.com", "active": "on"}
    assert ann.post(f"/admin/domains/{row.pk}", data).status_code == 302
    assert directory.find_domain("example.org").target == "benet.com"
    page = ann.get(f"/admin/domains/{office.benet.pk}/delete")
    assert "3 accounts" in said(page)
    assert "1 alias" in said(page)
    refused = ann.post(f"/admin/domains/{office.benet.pk}/delete")
    assert refused.status_code == 409
    assert "example.org is an alias of this domain" in said(refused)
    assert "has been deleted" in said(ann.post(f"/admin/domains/{row.pk}/delete", follow=True))
    assert not Domain.objects.filter(pk=row.pk).exists()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"name": "no domain"}, "is not a domain name"),
        ({"name": "benet.com"}, "already exists"),
        ({"name": "x.org", "account_quota_bytes": "much"}, "is not a size"),
        ({"name": "x.org", "account_quota_bytes": "500"}, "Say which unit"),
        ({"name": "x.org", "kind": "alias"}, "An alias domain stands for another domain"),
        ({"name": "x.org", "max_accounts": "-1"}, "greater than or equal to 0"),
    ],
)
def test_a_domain_that_is_refused_keeps_what_was_typed(office, visit, data, words):
    answer = visit("ann").post("/admin/domains/new", {"kind": "local", **data})
    assert answer.status_code == 400
    assert words in said(answer)
    assert f'value="{escape(data["name"])}"' in answer.text


# --- Accounts -------------------------------------------------------------------------------------


def test_an_account_is_made_with_a_password_of_its_own(office, visit):
    data = {"local_part": "Zhao", "domain": "benet.com", "password": "北京 hutong 7", "state": "active"}
    data |= {"role": "owner", "name": "赵六", "quota_bytes": "512 MB"}
    answer = visit("ann").post("/admin/accounts/new", data, follow=True)
    assert "zhao@benet.com has been created" in said(answer)
    row = Account.objects.get(address="zhao@benet.com")
    assert (row.name, row.quota_bytes) == ("赵六", 512 << 20)
    assert account_login.log_in("zhao@benet.com", "北京 hutong 7", "imap", "192.0.2.1")


def test_an_account_is_made_with_a_password_that_is_shown_once(office, visit):
    data = {"local_part": "zhao", "domain": "benet.com", "password": "", "state": "active", "role": "owner"}
    answer = visit("ann").post("/admin/accounts/new", data)
    assert answer["Cache-Control"] == "no-store"
    secret = re.search(r'class="secret">([^<]+)<', answer.text)[1]
    assert account_login.log_in("zhao@benet.com", secret, "imap", "192.0.2.1")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"local_part": "lisi"}, "already exists"),
        ({"local_part": "li si"}, "is not an address"),
        ({"local_part": "zhao", "password": "123"}, "too short"),
        ({"local_part": "zhao", "domain": "elsewhere.org"}, "Select a valid choice"),
        ({"local_part": "zhao", "expires": "soon"}, "Enter a valid date"),
    ],
)
def test_an_account_that_is_refused(office, visit, data, words):
    full = {"domain": "benet.com", "password": "", "state": "active", "role": "owner", **data}
    answer = visit("ann").post("/admin/accounts/new", full)
    assert answer.status_code == 400
    assert words in said(answer)
    assert Account.objects.count() == 5


def test_an_account_is_changed(office, visit):
    url = f"/admin/accounts/{office.lisi.pk}"
    data = {"name": "李四", "state": "receive-only", "role": "domain", "managed_domains": [office.benet.pk],
            "expires": "2030-01-31", "quota_bytes": "0", "quota_messages": "100", "language": "en",
            "time_zone": "Asia/Shanghai"}  # fmt: skip
    assert visit("ann").post(url, data).status_code == 302
    row = Account.objects.get(pk=office.lisi.pk)
    assert (row.state, row.role, str(row.expires), row.quota_bytes) == ("receive-only", "domain", "2030-01-31", 0)
    assert list(row.managed_domains.all()) == [office.benet]
    page = visit("ann").get(url)
    assert 'value="2030-01-31"' in page.text
    assert "no limit" in page.text
    assert "all@benet.com" in page.text


def test_the_last_administrator_stays_one(office, visit):
    url = f"/admin/accounts/{office.ann.pk}"
    answer = visit("ann").post(url, {"state": "active", "role": "owner"})
    assert answer.status_code == 400
    assert "This is the last administrator" in said(answer)
    answer = visit("ann").post(f"{url}/delete")
    assert answer.status_code == 409
    assert "This is the last administrator" in said(answer)


def test_a_password_is_set_and_web_sessions_end(office, visit):
    _, credential = account_login.make_session_credential(office.lisi, "key")
    url = f"/admin/accounts/{office.lisi.pk}/password"
    ann = visit("ann")
    assert "not the same" in said(ann.post(url, {"password": "first hutong", "again": "other hutong"}))
    assert "too short" in said(ann.post(url, {"password": "abc", "again": "abc"}))
    assert ann.post(url, {"password": "first hutong", "again": "first hutong"}).status_code == 302
    assert account_login.log_in("lisi@benet.com", "first hutong", "imap", "192.0.2.1")
    assert not account_login.log_in("lisi@benet.com", credential, "imap", "192.0.2.1")
    made = ann.post(url, {"password": "", "again": ""})
    secret = re.search(r'class="secret">([^<]+)<', made.text)[1]
    assert account_login.log_in("lisi@benet.com", secret, "imap", "192.0.2.1")


def test_an_account_is_deleted_after_saying_what_goes(office, visit):
    Account.objects.filter(pk=office.lisi.pk).update(used_bytes=451, used_messages=1)
    url = f"/admin/accounts/{office.lisi.pk}/delete"
    page = said(visit("ann").get(url))
    assert "1 message, 451 B" in page
    assert "its place in all@benet.com" in page
    assert visit("ann").post(url).status_code == 302
    assert not Account.objects.filter(pk=office.lisi.pk).exists()


# --- Aliases --------------------------------------------------------------------------------------


def test_an_alias_is_made_changed_and_deleted(office, visit):
    ann = visit("ann")
    targets = "lisi，ann@benet.com\nfriend@example.org"
    data = {"local_part": "sales", "domain": "benet.com", "targets": targets, "active": "on"}
    assert ann.post("/admin/aliases/new", data).status_code == 302
    row = Alias.objects.get(address="sales@benet.com")
    assert row.targets == ["lisi@benet.com", "ann@benet.com", "friend@example.org"]
    assert ann.post(f"/admin/aliases/{row.pk}", {"targets": "ann", "comment": "now Ann"}).status_code == 302
    row.refresh_from_db()
    assert (row.targets, row.active, row.comment) == (["ann@benet.com"], False, "now Ann")
    assert "no longer reaches ann@benet.com" in said(ann.get(f"/admin/aliases/{row.pk}/delete"))
    assert ann.post(f"/admin/aliases/{row.pk}/delete").status_code == 302
    assert not Alias.objects.filter(pk=row.pk).exists()


def test_an_alias_that_goes_round_in_a_circle_is_shown(office, visit):
    directory.create_alias("a@benet.com", ["all"])
    row = Alias.objects.get(address="all@benet.com")
    answer = visit("ann").post(f"/admin/aliases/{row.pk}", {"targets": "a", "active": "on"})
    assert answer.status_code == 400
    assert "all@benet.com → a@benet.com → all@benet.com" in said(answer)


def test_an_alias_for_nobody(office, visit):
    data = {"local_part": "x", "domain": "benet.com", "targets": "nobody", "active": "on"}
    answer = visit("ann").post("/admin/aliases/new", data)
    assert answer.status_code == 400
    assert "There is no account or alias nobody@benet.com here" in said(answer)


# --- Lists ----------------------------------------------------------------------------------------


@pytest.fixture
def crowd(office) -> None:
    rows = [
        Account(address=f"u{n:03d}@benet.com", local_part=f"u{n:03d}", domain=office.benet, password=HASH, used_bytes=n)
        for n in range(120)
    ]
    Account.objects.bulk_create(rows)


def addresses(answer) -> list[str]:
    return [row.address for row, _ in answer.context["rows"]]


def test_accounts_are_searched_filtered_sorted_and_paged(crowd, visit):
    ann = visit("ann")
    first = ann.get("/admin/accounts/")
    assert len(addresses(first)) == 50
    assert "125 in all" in said(first)
    assert "Page 1 of 3" in said(first)
    assert addresses(ann.get("/admin/accounts/?page=3"))[-1] == "wang@accp.com"
    assert addresses(ann.get("/admin/accounts/?sort=-used"))[0] == "u119@benet.com"
    assert addresses(ann.get("/admin/accounts/?q=李")) == ["lisi@benet.com"]
    assert addresses(ann.get("/admin/accounts/?q=U11&sort=-address"))[:2] == ["u119@benet.com", "u118@benet.com"]
    assert addresses(ann.get("/admin/accounts/?domain=accp.com")) == ["dora@accp.com", "wang@accp.com"]
    assert addresses(ann.get("/admin/accounts/?role=auditor")) == ["audrey@benet.com"]
    assert "No account matches" in said(ann.get("/admin/accounts/?q=u&state=off"))


@pytest.mark.parametrize(
    "query", ["page=0", "page=x", "page=99999", "sort=password", "state=%00", "q=%00%27%22", "q=%25_"]
)
def test_whatever_stands_in_the_address_is_borne(crowd, visit, query):
    for page in ("accounts", "domains", "aliases"):
        assert visit("ann").get(f"/admin/{page}/?{query}").status_code == 200


def test_a_page_asks_few_questions_however_many_there_are(office, crowd, visit, django_assert_max_num_queries):
    ann = visit("ann")
    for page in ("accounts", "domains", "aliases", "queue", "history", "tables"):
        with django_assert_max_num_queries(8):
            ann.get(f"/admin/{page}/")
    with django_assert_max_num_queries(20):  # each look at the settings table asks first whether it is there
        ann.get("/admin/settings/")
    script = Client(
        headers={"authorization": f"Bearer {api_tokens.create_token(office.ann.pk, 'x', writes=False, expires=None)}"}
    )
    for page in ("accounts", "domains", "aliases", "queue", "changes"):
        with django_assert_max_num_queries(10):
            assert script.get(f"/api/v1/{page}").status_code == 200


def test_what_people_call_themselves_is_only_text(office, visit):
    Account.objects.filter(pk=office.lisi.pk).update(name="<script>alert(1)</script>")
    page = visit("ann").get("/admin/accounts/").text
    assert "<script>alert" not in page
    assert "&lt;script&gt;" in page


# --- Sizes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("500 MB", 500 << 20), ("500mb", 500 << 20), ("1.5 GB", 1536 << 20), ("2G", 2 << 30), ("1,5 KiB", 1536),
     ("51200000 B", 51_200_000), ("512 字节", 512)],
)  # fmt: skip
def test_sizes_as_people_type_them(text, size):
    assert file_sizes.parse_size(text) == size
    assert file_sizes.parse_size(file_sizes.format_exact_size(size)) == size


@pytest.mark.parametrize("text", ["500", "x", "-1 MB", "1 PB", "MB", "1 2 MB", "9" * 20 + " MB"])
def test_what_is_no_size(text):
    with pytest.raises(ValueError, match=r"not a size|Say which unit"):
        file_sizes.parse_size(text)


def test_sizes_as_people_read_them():
    sizes = [size_format.format_size(n) for n in (0, 451, 1536, 1_048_000, 51_200_000, 1_500_000_000, 5 << 30)]
    assert sizes == ["0 B", "451 B", "1.5 KB", "1023 KB", "49 MB", "1.4 GB", "5.0 GB"]


def test_everybody_in_this_file_can_sign_in(office):
    assert account_login.log_in("lisi@benet.com", PASSWORD, "imap", "192.0.2.1")
