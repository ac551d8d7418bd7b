"""The audit log and undoing changes."""

import pytest

from mailcore import conf
from mailcore.models import AccessEntry, Account, Alias, Change, Domain
from mailcore.store import directory
from mailcore.store.auth import account_login
from mailcore.store.db import audit
from mailcore.store.settings import lookup_tables, parameter_changes
from tests.mailadmin.conftest import PASSWORD

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def nothing_yet(office):
    """Clear the audit entries of the fixtures."""
    Change.objects.all().delete()


def last() -> Change:
    return Change.objects.latest("pk")


def test_a_change_says_who_when_from_where_and_what(office, visit):
    data = {"name": "李四", "state": "receive-only", "role": "owner", "quota_bytes": "1 GB"}
    visit("ann").post(f"/admin/accounts/{office.lisi.pk}", data, REMOTE_ADDR="192.0.2.7")
    change = last()
    assert (change.by, change.place, change.action) == ("ann@benet.com", "192.0.2.7", "account.change")
    assert (change.subject, change.domain) == ("lisi@benet.com", "benet.com")
    assert change.difference == {"state": ["active", "receive-only"], "quota_bytes": [None, 1 << 30]}


def test_what_changes_nothing_leaves_no_row(office, visit):
    visit("ann").post(f"/admin/accounts/{office.lisi.pk}", {"name": "李四", "state": "active", "role": "owner"})
    assert not Change.objects.exists()


def test_what_fails_leaves_no_row(office, visit):
    visit("ann").post(f"/admin/accounts/{office.ann.pk}", {"state": "off", "role": "owner"})
    assert not Change.objects.exists()


def test_no_secret_stands_in_a_row(office, visit):
    ann = visit("ann")
    word = "new hutong 7"
    ann.post(f"/admin/accounts/{office.lisi.pk}/password", {"password": word, "again": word})
    ann.post("/admin/settings/dovecot_master_user", {"value": word})
    for name, spec in conf.SPECS.items():
        if spec.secret:
            parameter_changes.change_parameters({name: word})
    lookup_tables.replace_entries("sasl_passwd", {"far.example": word})
    parameter_changes.change_parameters({"smtp_sasl_password_maps": "hash:/etc/postfix/sasl_passwd"})
    lookup_tables.replace_entries("sasl_passwd", {"far.example": word + "!"})
    secret = account_login.make_app_password(office.lisi.pk, "phone")
    kept = [str(row) for row in Change.objects.values_list("difference", flat=True)]
    found = [row for row in kept if secret.replace(" ", "") in row or "hutong 7!" in row or PASSWORD in row]
    assert found == []
    assert "account.password" in set(Change.objects.values_list("action", flat=True))


def test_programs_are_named_too(office):
    from django.core.management import call_command

    call_command("postconf", "-e", "smtpd_recipient_limit=77")
    assert (last().by, last().subject, last().difference) == (
        "postconf", "smtpd_recipient_limit", {"value": [None, "77"]},
    )  # fmt: skip


def test_the_list_is_searched(office, visit):
    ann = visit("ann")
    directory.create_alias("one@benet.com", ["lisi"])
    with audit.acting_as("audrey@benet.com", "192.0.2.9"):
        directory.create_alias("two@accp.com", ["wang"])
    parameter_changes.change_parameters({"smtpd_recipient_limit": "77"})

    def found(**query: str) -> list[str]:
        return [line.subject for line in ann.get("/admin/history/", query).context["lines"]]

    assert found() == ["smtpd_recipient_limit", "two@accp.com", "one@benet.com"]
    assert found(q="audrey") == ["two@accp.com"]
    assert found(q="192.0.2.9") == ["two@accp.com"]
    assert found(action="setting.change") == ["smtpd_recipient_limit"]
    assert [line.subject for line in visit("dora").get("/admin/history/").context["lines"]] == ["two@accp.com"]


def test_a_setting_is_put_back(office, visit):
    ann = visit("ann")
    for value in ("50", "60"):
        ann.post("/admin/settings/smtpd_recipient_limit", {"value": value})
    page = ann.get("/admin/settings/smtpd_recipient_limit")
    newest, first = page.context["lines"]
    assert "50" in page.text
    ann.post(f"/admin/history/{newest.id}/undo")
    assert conf.current().smtpd_recipient_limit == 50
    ann.post(f"/admin/history/{first.id}/undo")
    assert "smtpd_recipient_limit" not in conf.explicit_values()


def test_an_account_an_alias_a_domain_and_a_table_are_put_back(office, visit):
    ann = visit("ann")
    ann.post(f"/admin/accounts/{office.dora.pk}", {"state": "off", "role": "owner", "expires": "2030-01-01"})
    ann.post(f"/admin/history/{last().pk}/undo")
    dora = Account.objects.get(pk=office.dora.pk)
    assert (dora.state, dora.role, dora.expires, list(dora.managed_domains.all())) == (
        "active", "domain", None, [office.accp],
    )  # fmt: skip
    alias = Alias.objects.get(address="all@benet.com")
    ann.post(f"/admin/aliases/{alias.pk}", {"targets": "ann", "comment": "x"})
    ann.post(f"/admin/history/{last().pk}/undo")
    alias.refresh_from_db()
    assert (alias.targets, alias.active, alias.comment) == (["lisi@benet.com", "ann@benet.com"], True, "")
    ann.post(f"/admin/aliases/{alias.pk}/delete")
    ann.post(f"/admin/history/{last().pk}/undo")
    assert Alias.objects.get(address="all@benet.com").targets == ["lisi@benet.com", "ann@benet.com"]
    directory.change_domain(office.accp.pk, directory.DomainDraft(max_accounts=7, catch_all="wang"))
    ann.post(f"/admin/history/{last().pk}/undo")
    assert Domain.objects.get(pk=office.accp.pk).max_accounts is None
    lookup_tables.add_entries("senders", {"a": "OK"}, overwrite=True)
    lookup_tables.add_entries("senders", {"a": "REJECT", "b": "OK"}, overwrite=True)
    ann.post(f"/admin/history/{last().pk}/undo")
    assert list(AccessEntry.objects.values_list("key", "value")) == [("a", "OK")]


def test_what_is_gone_cannot_be_put_back(office, visit):
    directory.change_account(office.lisi.pk, directory.AccountDraft(state="off"))
    change = last()
    directory.delete_account(office.lisi.pk)
    answer = visit("ann").post(f"/admin/history/{change.pk}/undo", follow=True)
    assert "What was changed no longer exists." in answer.text


def test_who_may_undo(office, visit):
    directory.change_alias(Alias.objects.get(address="all@benet.com").pk, ["ann"])
    change = last()
    for name, status in {"dora": 404, "audrey": 403, "lisi": 403}.items():
        assert visit(name).post(f"/admin/history/{change.pk}/undo").status_code == status
    parameter_changes.change_parameters({"smtpd_recipient_limit": "77"})
    assert visit("dora").post(f"/admin/history/{last().pk}/undo").status_code == 404
    directory.change_account(office.dora.pk, directory.AccountDraft(role="owner"))
    directory.change_account(office.dora.pk, directory.AccountDraft(role="domain", managed_domains=(office.accp.pk,)))
    visit("dora").post(f"/admin/history/{last().pk}/undo")
    assert Account.objects.get(pk=office.dora.pk).role == "domain"


def test_owners_see_what_was_done_to_their_account(office, visit):
    with audit.acting_as("ann@benet.com", "192.0.2.7"):
        directory.set_password(office.lisi.pk, "eight hutongs")
    office.lisi.refresh_from_db()
    page = visit("lisi").get("/account/activity").text
    assert "Password set" in page
    assert "ann@benet.com" in page
    assert "192.0.2.7" in page
    assert "Password set" not in visit("wang").get("/account/activity").text


def test_the_queue_is_noted(office, visit):
    from mailcore.models import Queued

    Queued.objects.create(id=0xABC, state="deferred", due_us=0, received_us=0, sender="", size=1)
    visit("ann").post("/admin/queue/act", {"action": "hold", "id": str(0xABC)})
    assert last().difference["ids"] == [None, ["ABC"]]
