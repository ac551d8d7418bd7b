"""Many at once: CSV in and out, changes of a selection, aliases as text."""

import pytest

from mailcore.models import Account, Alias, Change, Domain
from mailcore.store import directory
from mailcore.store.auth import account_login
from tests.mailadmin.conftest import HASH, PASSWORD

pytestmark = pytest.mark.django_db


def exported(browser, kind: str, query: str = "") -> str:
    return b"".join(browser.get(f"/admin/{kind}/export.csv?{query}").streaming_content).decode("utf-8-sig")


def report(answer) -> dict[str, str]:
    return {each.subject: each.problem or each.done for each in answer.context["found"]}


def sent(browser, kind: str, text: str, button: str = "import"):
    return browser.post(f"/admin/{kind}/import", {"text": text, button: "1"})


# --- CSV ------------------------------------------------------------------------------------------


def test_accounts_go_out_and_come_back_the_same(office, visit):
    ann = visit("ann")
    directory.change_account(office.wang.pk, directory.AccountDraft(name="=王, 五", quota_bytes=5 << 20, state="hold"))
    text = exported(ann, "accounts")
    assert text.splitlines()[0].startswith("address,name,state,role")
    assert "'=王, 五" in text
    Change.objects.all().delete()
    answer = sent(ann, "accounts", text)
    assert set(report(answer).values()) == {"changed"}
    assert not Change.objects.exists()
    assert exported(ann, "accounts") == text


def test_a_try_changes_nothing_and_says_what_is_wrong_by_line(office, visit, settings):
    text = (
        "address,password,quota_bytes,state\n"
        f"zhao@benet.com,{PASSWORD},1 GB,\n"
        "li si@benet.com,x,,\n"
        f"sun@benet.com,123,,\n"
        f"qian@benet.com,{PASSWORD},lots,\n"
        f"zhou@nowhere.example,{PASSWORD},,\n"
        "wu@benet.com,,,\n"
        "lisi@benet.com,,,resting\n"
    )
    answer = sent(visit("ann"), "accounts", text, "try")
    rows = report(answer)
    assert rows["zhao@benet.com"] == "created"
    for address, words in {"li si@benet.com": "not an address", "sun@benet.com": "too short", "qian@benet.com": "not a size",
                           "zhou@nowhere.example": "not a domain with mailboxes", "wu@benet.com": "needs a password",
                           "lisi@benet.com": "resting"}.items():  # fmt: skip
        assert words in rows[address], address
    assert answer.context["summary"] == {"created": 1, "changed": 0, "wrong": 6}
    assert [each.line for each in answer.context["found"] if each.subject == "sun@benet.com"] == [4]
    assert Account.objects.count() == 5
    assert not (settings.MAIL_ROOT / "benet.com" / "zhao").exists()
    assert 'name="import"' in answer.text


def test_good_lines_are_taken_beside_bad_ones(office, visit):
    text = f"address;password;name\nzhao@benet.com;{PASSWORD};赵六\nx y@benet.com;;\nlisi@benet.com;;四\n"
    answer = sent(visit("ann"), "accounts", text)
    assert answer.context["summary"] == {"created": 1, "changed": 1, "wrong": 1}
    assert account_login.log_in("zhao@benet.com", PASSWORD, "imap", "192.0.2.1")
    assert Account.objects.get(pk=office.lisi.pk).name == "四"


def test_a_file_as_a_chinese_spreadsheet_writes_it(office, visit):
    from django.core.files.uploadedfile import SimpleUploadedFile

    raw = f"address,name,password_hash\r\nzhao@benet.com,赵六,{{PLAIN}}{PASSWORD}\r\n".encode("gb18030")
    answer = visit("ann").post("/admin/accounts/import", {"file": SimpleUploadedFile("a.csv", raw), "import": "1"})
    assert report(answer) == {"zhao@benet.com": "created"}
    assert Account.objects.get(address="zhao@benet.com").name == "赵六"


@pytest.mark.parametrize("text", ["", "name,state\nx,y\n", "address,colour\nx,y\n"])
def test_what_is_no_such_file(office, visit, text):
    assert sent(visit("ann"), "accounts", text).status_code == 400


def test_a_domains_administrator_imports_into_their_own(office, visit):
    text = (
        f"address,password,role,state\nnew@accp.com,{PASSWORD},administrator,\nnew@benet.com,{PASSWORD},,\n"
        "wang@accp.com,,administrator,hold\nlisi@benet.com,,,off\ndora@accp.com,,,off\n"
    )
    rows = report(sent(visit("dora"), "accounts", text))
    assert rows == {
        "new@accp.com": "created", "wang@accp.com": "changed", "new@benet.com": "You may not change this.",
        "lisi@benet.com": "You may not change this.", "dora@accp.com": "You may not change this.",
    }  # fmt: skip
    assert {Account.objects.get(address=each).role for each in ("new@accp.com", "wang@accp.com")} == {"owner"}
    assert "benet.com" not in exported(visit("dora"), "accounts")
    assert visit("dora").get("/admin/domains/import").status_code == 403
    assert visit("audrey").post("/admin/accounts/import", {"text": text}).status_code == 403


def test_aliases_and_domains_go_out_and_come_back(office, visit):
    ann = visit("ann")
    directory.create_domain("other.example", directory.DomainDraft(kind="alias", target="benet.com"))
    directory.change_domain(
        office.accp.pk, directory.DomainDraft(max_accounts=7, max_aliases=9, total_quota_bytes=1 << 30)
    )
    kept = {kind: exported(ann, kind) for kind in ("domains", "aliases")}
    Alias.objects.all().delete()
    Domain.objects.filter(name="other.example").delete()
    for kind, text in kept.items():
        assert sent(ann, kind, text).context["summary"]["wrong"] == 0
        assert exported(ann, kind) == text
    row = Domain.objects.get(pk=office.accp.pk)
    assert (row.max_accounts, row.max_aliases, row.total_quota_bytes) == (7, 9, 1 << 30)


def test_the_list_that_is_exported_is_the_one_that_is_shown(office, visit):
    assert [line.split(",")[0] for line in exported(visit("ann"), "accounts", "q=lisi").splitlines()[1:]] == [
        "lisi@benet.com"
    ]


# --- A selection ----------------------------------------------------------------------------------


def test_a_selection_is_changed(office, visit):
    data = {"id": [office.lisi.pk, office.wang.pk], "state": "receive-only", "quota": "2 GB", "apply": "1"}
    ann = visit("ann")
    page = ann.post("/admin/accounts/bulk", {"id": data["id"]})
    assert page.context["count"] == 2
    assert ann.post("/admin/accounts/bulk", data).status_code == 302
    states = {row.address: (row.state, row.quota_bytes) for row in Account.objects.all()}
    assert states["lisi@benet.com"] == states["wang@accp.com"] == ("receive-only", 2 << 30)
    assert states["ann@benet.com"] == ("active", None)
    assert Change.objects.filter(action="account.change", subject="lisi@benet.com").latest("pk").difference == {
        "state": ["active", "receive-only"], "quota_bytes": [None, 2 << 30],
    }  # fmt: skip


def test_all_that_match_are_changed_and_no_others(office, visit):
    rows = [
        Account(address=f"u{n:03d}@accp.com", local_part=f"u{n:03d}", domain=office.accp, password=HASH)
        for n in range(60)
    ]
    Account.objects.bulk_create(rows)
    visit("ann").post(
        "/admin/accounts/bulk",
        {"all": "1", "filter": "q=u0&state=active", "quota": "-", "expires": "2030-01-01", "apply": "1"},
    )
    assert Account.objects.filter(expires__isnull=False).count() == 60
    visit("dora").post("/admin/accounts/bulk", {"all": "1", "never": "on", "apply": "1"})
    assert Account.objects.filter(expires__isnull=False).count() == 0


def test_the_last_administrator_is_not_switched_off_with_others(office, visit):
    answer = visit("ann").post("/admin/accounts/bulk", {"all": "1", "state": "off", "apply": "1"})
    assert answer.status_code == 400
    assert "last administrator" in answer.text
    assert Account.objects.filter(state="off").count() == 0


def test_a_domains_administrator_changes_no_others(office, visit):
    ids = [office.lisi.pk, office.wang.pk, office.dora.pk]
    visit("dora").post("/admin/accounts/bulk", {"id": ids, "state": "off", "apply": "1"})
    assert list(Account.objects.filter(state="off").values_list("address", flat=True)) == ["wang@accp.com"]
    assert visit("audrey").post("/admin/accounts/bulk", {"id": ids, "state": "off", "apply": "1"}).status_code == 403


def test_a_selection_is_deleted(office, visit):
    visit("ann").post("/admin/accounts/bulk", {"id": [office.lisi.pk, office.wang.pk], "delete": "on", "apply": "1"})
    assert Account.objects.count() == 3


@pytest.mark.parametrize("data", [{"apply": "1"}, {"quota": "much", "apply": "1"}, {"state": "x", "apply": "1"}])
def test_nothing_sensible_to_change(office, visit, data):
    assert visit("ann").post("/admin/accounts/bulk", {"id": [office.lisi.pk], **data}).status_code == 400
    assert visit("ann").post("/admin/accounts/bulk", data).status_code == 302


# --- Aliases as text ------------------------------------------------------------------------------


def test_aliases_are_edited_as_text(office, visit):
    ann = visit("ann")
    directory.create_alias("old@benet.com", ["lisi"])
    directory.create_alias("asleep@benet.com", ["lisi"], active=False)
    page = ann.get("/admin/aliases/text?domain=benet.com")
    assert page.context["text"] == "all: lisi, ann\n# asleep: lisi\nold: lisi\n"
    text = "all: lisi, ann, audrey\nfirst: second\nsecond: lisi, friend@far.example\n"
    data = {"domain": "benet.com", "text": text}
    checked = ann.post("/admin/aliases/text", data)
    assert {each.name: each.done for each in checked.context["found"]} == {
        "all": "changed", "first": "made", "second": "made", "old": "deleted",
    }  # fmt: skip
    assert Alias.objects.filter(address="old@benet.com").exists()
    assert ann.post("/admin/aliases/text", data | {"save": "1"}).status_code == 302
    assert set(Alias.objects.filter(domain=office.benet).values_list("local_part", flat=True)) == {
        "all",
        "first",
        "second",
        "asleep",
    }
    assert Alias.objects.get(address="second@benet.com").targets == ["lisi@benet.com", "friend@far.example"]


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("all: lisi\nbad line\n", 2, "need name:value pair"),
        ("all: lisi\nx: nobody\n", 2, "There is no account or alias"),
        ("all: lisi\nall: ann\n", 2, "twice"),
        ("a: b\nb: a\n", 2, "There is no account or alias"),
        ("all: |rm\n", 1, "can only come from an aliases file"),
    ],
)
def test_a_text_with_a_mistake_changes_nothing(office, visit, text, line, words):
    answer = visit("ann").post("/admin/aliases/text", {"domain": "benet.com", "text": text, "save": "1"})
    assert answer.status_code == 400
    problems = [(each.line, each.problem) for each in answer.context["found"] if each.problem]
    assert any(at == line and words in problem for at, problem in problems), problems
    assert Alias.objects.get(address="all@benet.com").targets == ["lisi@benet.com", "ann@benet.com"]


def test_only_own_domains_as_text(office, visit):
    assert visit("dora").get("/admin/aliases/text").context["domain"].name == "accp.com"
    assert visit("dora").get("/admin/aliases/text?domain=benet.com").status_code == 403
    assert visit("audrey").post("/admin/aliases/text", {"domain": "benet.com", "text": ""}).status_code == 403


def test_a_domain_has_all_the_aliases_it_may_have(office, visit):
    directory.change_domain(office.accp.pk, directory.DomainDraft(max_aliases=1))
    data = {"local_part": "more", "domain": "accp.com", "targets": "wang", "active": "on"}
    assert "reached its limit of aliases" in visit("dora").post("/admin/aliases/new", data).text
