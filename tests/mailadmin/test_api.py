"""The API: what it does, and who may do what."""

import json
import re
from datetime import timedelta

import pytest
from django.db import transaction
from django.test import Client
from django.utils import timezone

from mailadmin.api.operations import OPERATIONS
from mailcore import conf
from mailcore.logs import writer
from mailcore.models import Account, ApiToken, Change, DkimKey, Domain, Queued
from mailcore.mta.queue import content_files
from mailcore.store import directory
from mailcore.store.auth import account_login
from mailcore.store.credentials import api_tokens
from mailcore.store.settings import dkim_keys, lookup_tables
from tests.mailadmin.conftest import PASSWORD

pytestmark = pytest.mark.django_db


class Script:
    """A script with a token."""

    def __init__(self, token: str) -> None:
        self.client = Client(headers={"authorization": f"Bearer {token}"} if token else {})

    def __call__(self, method: str, path: str, body: object = None, **query: object):
        named = {"QUERY_STRING": "&".join(f"{name}={value}" for name, value in query.items())}
        content = b"" if body is None else json.dumps(body)
        return self.client.generic(method, f"/api/v1/{path}", content, content_type="application/json", **named)


@pytest.fixture
def script(office):
    """`script("ann")`: with a token that may change things; `script("ann", writes=False)`: one that only reads."""

    def start(name: str, *, writes: bool = True) -> Script:
        return Script(api_tokens.create_token(getattr(office, name).pk, "test", writes=writes, expires=None))

    return start


@pytest.mark.database
@pytest.mark.parametrize(
    "path", ["accounts?q=a%00", "accounts/a%00@benet.com", "domains/%00", "tables/%00", "queue/%00", "settings/%00"]
)
def test_nul_in_an_address_finds_nothing(script, path):
    answer = script("ann")("GET", path)
    assert (answer.status_code, answer.json().get("items")) in [(404, None), (200, [])]


# --- Tokens ---------------------------------------------------------------------------------------


def test_a_token_is_made_shown_once_used_and_revoked(office, visit):
    ann = visit("ann")
    made = ann.post("/account/tokens", {"label": "backup", "writes": "on"})
    token = re.search(r'class="secret">([^<]+)<', made.text)[1]
    assert made["Cache-Control"] == "no-store"
    use = Script(token)
    assert use("GET", "domains").status_code == 200
    assert token not in ann.get("/account/tokens").text
    row = ApiToken.objects.get()
    assert token not in row.digest
    assert row.last_used is not None
    visit("dora").post(f"/account/tokens/{row.pk}/revoke")
    assert use("GET", "domains").status_code == 200
    ann.post(f"/account/tokens/{row.pk}/revoke")
    assert use("GET", "domains").status_code == 401


@pytest.mark.parametrize("token", ["", "nonsense", "youju_" + "x" * 43])
def test_without_a_token_nothing(office, token):
    answer = Script(token)("GET", "domains")
    assert answer.status_code == 401
    assert answer["Content-Type"] == "application/problem+json"
    assert "Bearer" in answer["WWW-Authenticate"]


def test_a_browsers_session_opens_nothing(office, visit):
    assert visit("ann").get("/api/v1/domains").status_code == 401


def test_a_token_ends_with_its_day_and_with_its_owner(office, script):
    use = script("ann")
    ApiToken.objects.update(expires=timezone.localdate() - timedelta(days=1))
    assert use("GET", "domains").status_code == 401
    use = script("dora")
    Account.objects.filter(pk=office.dora.pk).update(state="no-login")
    assert use("GET", "domains").status_code == 401


# --- What it does ---------------------------------------------------------------------------------


def test_a_domain_an_account_and_an_alias_from_first_to_last(office, script):
    ann = script("ann")
    made = ann("POST", "domains", {"domain": "example.org", "max_accounts": 3, "account_quota_bytes": 1 << 30})
    assert (made.status_code, made.json()["account_quota_bytes"]) == (201, 1 << 30)
    made = ann(
        "POST", "accounts", {"address": "zhao@example.org", "password": PASSWORD, "name": "赵六", "quota_bytes": 0}
    )
    assert made.status_code == 201
    assert made.json()["quota_bytes"] == 0
    assert account_login.log_in("zhao@example.org", PASSWORD, "imap", "192.0.2.1")
    changed = ann("PATCH", "accounts/zhao@example.org", {"state": "hold", "expires": "2030-01-31"}).json()
    assert (changed["state"], changed["expires"], changed["name"], changed["quota_bytes"]) == (
        "hold",
        "2030-01-31",
        "赵六",
        0,
    )
    assert ann("PATCH", "accounts/zhao@example.org", {"expires": None}).json()["expires"] is None
    assert ann("PUT", "accounts/zhao@example.org/password", {"password": "neue Gassen 7"}).status_code == 200
    assert account_login.log_in("zhao@example.org", "neue Gassen 7", "imap", "192.0.2.1")
    assert (
        ann("POST", "aliases", {"address": "all@example.org", "targets": ["zhao", "a@far.example"]}).status_code == 201
    )
    assert ann("PATCH", "aliases/all@example.org", {"comment": "x"}).json()["targets"] == [
        "zhao@example.org",
        "a@far.example",
    ]
    assert ann("DELETE", "aliases/all@example.org").status_code == 200
    assert ann("DELETE", "accounts/zhao@example.org").status_code == 200
    assert ann("DELETE", "domains/example.org").json() == {"deleted": "example.org"}
    assert not Domain.objects.filter(name="example.org").exists()
    by = set(Change.objects.filter(domain="example.org").values_list("by", flat=True))
    assert by == {"ann@benet.com"}


def test_settings_are_set_and_put_back(office, script):
    ann = script("ann")
    assert ann("PUT", "settings/message_size_limit", {"value": "777"}).json()["origin"] == "set"
    assert conf.current().message_size_limit == 777
    assert ann("PUT", "settings/message_size_limit", {"value": "huge"}).status_code == 422
    assert ann("DELETE", "settings/message_size_limit").json()["origin"] == "default"
    assert ann("GET", "settings/no_such").status_code == 404
    assert ann("GET", "settings", q="hard_error").json()["count"] == 1


def test_the_queue_and_where_a_message_is(office, script):
    content_files.make_directories()
    message = Queued.objects.create(
        id=0xABC123, state="deferred", due_us=1, received_us=1, size=1, sender="lisi@benet.com"
    )
    message.recipients.create(address="a@far.example", original="a@far.example", reason="no route")
    ann = script("ann")
    assert ann("GET", "queue", state="deferred").json()["items"][0]["queue_id"] == "ABC123"
    assert ann("GET", "queue/ABC123").json()["recipients"][0]["reason"] == "no route"
    assert ann("POST", "queue/actions", {"action": "hold", "ids": ["ABC123"]}).json() == {"messages": 1}
    assert Queued.objects.get().state == "hold"
    assert ann("GET", "queue/FFFF").status_code == 404
    assert ann("GET", "tracking", q="lisi@benet.com").json()["count"] == 1
    assert script("dora")("GET", "tracking", q="lisi@benet.com").json()["count"] == 0


def test_what_opens_an_account_is_told_and_taken_back(office, script):
    account_login.make_app_password(office.lisi.pk, "phone")
    dora, ann = script("dora"), script("ann")
    body = ann("GET", "accounts/lisi@benet.com/access").json()
    [program] = body["programs"]
    assert (program["label"], body["sessions"], body["factors"]) == ("phone", [], [])
    ending = {"what": "program", "number": program["number"]}
    assert dora("POST", "accounts/lisi@benet.com/access", ending).status_code == 404
    assert ann("POST", "accounts/wang@accp.com/access", ending).status_code == 404
    assert ann("POST", "accounts/lisi@benet.com/access", ending).json()["programs"] == []
    assert ann("POST", "accounts/lisi@benet.com/access", ending).status_code == 404


def test_dkim_keys_from_first_to_last(office, script):
    ann = script("ann")
    made = ann("POST", "domains/accp.com/keys", {"algorithm": "ed25519-sha256"})
    assert (made.status_code, made.json()["state"]) == (201, "waiting")
    selector = made.json()["selector"]
    assert ann("PUT", f"domains/accp.com/keys/{selector}/work").json()["state"] == "signing"
    records = ann("GET", "domains/accp.com/dns").json()["items"]
    assert made.json()["record"] in {each["value"] for each in records}
    assert {each["state"] for each in records} == {"unknown"}
    assert ann("DELETE", f"domains/accp.com/keys/{selector}").json() == {"deleted": selector}
    assert ann("DELETE", f"domains/accp.com/keys/{selector}").status_code == 404
    assert ann("GET", "domains/accp.com/keys").json() == {"keys": []}


def test_a_table_is_filled_and_its_passwords_stay_hidden(office, script):
    ann = script("ann")
    entries = [{"key": "Far.example", "value": "me:secret"}]
    assert ann("PUT", "tables/sasl_passwd", {"entries": entries}).status_code == 200
    assert ann("PUT", "settings/smtp_sasl_password_maps", {"value": "hash:/etc/postfix/sasl_passwd"}).status_code == 200
    body = ann("GET", "tables/sasl_passwd").json()["entries"]
    assert "secret" not in str(body)
    assert (
        ann("PUT", "tables/sasl_passwd", {"entries": [*body, {"key": "b.example", "value": "x:y"}]}).status_code == 200
    )
    assert dict(lookup_tables.list_entries("sasl_passwd")) == {"far.example": "me:secret", "b.example": "x:y"}
    assert {"name": "sasl_passwd", "entries": 2} in ann("GET", "tables").json()["items"]


def test_a_message_is_tried_and_the_log_is_read(office, script):
    content_files.make_directories()
    ann = script("ann")
    body = ann("POST", "explain", {"recipient": "all@benet.com"}).json()
    assert (body["accepted"], body["destination"]["kind"]) == (True, "alias")
    assert {each["address"] for each in body["destination"]["children"]} == {"lisi@benet.com", "ann@benet.com"}
    assert ann("POST", "explain", {"recipient": "x", "client": "nonsense"}).status_code == 422
    writer.write("smtpd", "connect from x[192.0.2.1]", "warning: dictionary attack from x[192.0.2.1]")
    [line] = ann("GET", "log", level="warning").json()["items"]
    assert (line["level"], "dictionary attack" in line["line"]) == ("warning", True)


def test_a_change_is_taken_back(office, script):
    ann = script("ann")
    ann("PATCH", "accounts/lisi@benet.com", {"state": "hold"})
    change = ann("GET", "changes").json()["items"][0]
    assert (change["difference"], change["undoable"]) == ({"state": ["active", "hold"]}, True)
    assert ann("POST", f"changes/{change['number']}/undo").json() == {"changed": "lisi@benet.com"}
    assert directory.find_account("lisi@benet.com").state == "active"
    made = next(each for each in ann("GET", "changes").json()["items"] if each["action"] == "token.create")
    assert ann("POST", f"changes/{made['number']}/undo").status_code == 422
    assert ann("POST", "changes/x/undo").status_code == 404


def test_pages(office, script):
    rows = [
        Account(address=f"u{n:03d}@benet.com", local_part=f"u{n:03d}", domain=office.benet, password="!")
        for n in range(120)
    ]
    Account.objects.bulk_create(rows)
    ann = script("ann")
    first, second = ann("GET", "accounts").json(), ann("GET", "accounts", page=2).json()
    assert (first["count"], first["pages"], len(first["items"]), len(second["items"])) == (125, 2, 100, 25)
    assert ann("GET", "accounts", page=3).json()["items"] == []
    for query in ({"page": "x"}, {"page": "²"}, {"page": 0}, {"stat": "off"}, {"state": "of"}):
        assert ann("GET", "accounts", **query).status_code == 422, query
    assert ann("GET", "accounts", q="u00", domain="benet.com").json()["count"] == 10


def test_refusals_are_problems_with_their_fields(office, script):
    ann = script("ann")
    answer = ann("POST", "accounts", {"address": "lisi@benet.com", "password": PASSWORD})
    assert answer.status_code == 422
    assert answer["Content-Type"] == "application/problem+json"
    assert answer.json()["errors"] == [{"field": "address", "message": "lisi@benet.com already exists."}]
    answer = ann("POST", "accounts", {"address": "x@benet.com", "colour": 1})
    assert {each["field"] for each in answer.json()["errors"]} == {"password", "colour"}
    assert ann.client.generic("POST", "/api/v1/domains", b"{", content_type="application/json").status_code == 400
    answer = ann("PUT", "domains", {})
    assert (answer.status_code, answer["Allow"]) == (405, "GET, POST")


# --- Who may do what ------------------------------------------------------------------------------

SAMPLES = {
    "create_domain": {"domain": "new.example"},
    "change_domain": {"active": True},
    "create_account": {"address": "new@{domain}", "password": PASSWORD},
    "change_account": {"name": "x"},
    "set_password": {"password": "neue Gassen 7"},
    "create_alias": {"address": "new@{domain}", "targets": ["a@far.example"]},
    "change_alias": {"comment": "x"},
    "act_on_queue": {"action": "hold", "ids": ["ABC"]},
    "set_setting": {"value": "50"},
    "create_key": {"algorithm": "ed25519-sha256"},
    "revoke_access": {"what": "sessions"},
    "replace_table": {"entries": [{"key": "a", "value": "OK"}]},
    "simulate_message": {"recipient": "lisi@benet.com"},
}
NAMES = {"domains": "{domain}", "accounts": "{person}@{domain}", "aliases": "all@{domain}", "queue": "ABC",
         "settings": "smtpd_recipient_limit", "tables": "transport", "changes": "{change}"}  # fmt: skip
SYSTEM = {"create_domain", "change_domain", "delete_domain", "list_queue", "act_on_queue", "show_message", "list_settings",
          "show_setting", "set_setting", "reset_setting", "read_log", "simulate_message", "list_tables", "show_table",
          "replace_table"}  # fmt: skip
READS = {each.run.__name__ for each in OPERATIONS if each.method == "GET"} | {"simulate_message"}


def expected(who: str, name: str, domain: str, *, named: bool) -> set[int]:
    """Return the statuses that a role may receive."""
    good = {200, 201}
    if who == "ann":
        # Ann lives there herself, the last administrator.
        return {422} if (name, domain) == ("delete_domain", "benet.com") else good
    if who == "audrey":
        return good if name in READS else {403}
    if who == "dora":
        if name in SYSTEM:
            return {403}
        return good if domain == "accp.com" or not (named or name.startswith("create_")) else {404}
    return {403}


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.run.__name__)
@pytest.mark.parametrize("domain", ["benet.com", "accp.com"])
def test_each_role_each_operation_each_domain(office, script, operation, domain):
    content_files.make_directories()
    Queued.objects.create(id=0xABC, state="deferred", due_us=1, received_us=1, size=1)
    person = {"benet.com": "lisi", "accp.com": "wang"}[domain]
    dkim_keys.create_key(Domain.objects.get(name=domain).pk, "ed25519-sha256")
    selector = DkimKey.objects.get().selector
    change = Change.objects.filter(action="alias.create", domain=domain).latest("pk")
    Change.objects.filter(pk=change.pk).update(action="alias.change", difference={"comment": ["before", ""]})
    for who in ("lisi", "audrey", "dora", "ann"):
        place = NAMES.get(operation.path.partition("/")[0], "").format(domain=domain, person=person, change=change.pk)
        path = re.sub(r"\{\w+\}", place, operation.path.replace("{selector}", selector))
        body = json.loads(json.dumps(SAMPLES.get(operation.run.__name__)).replace("{domain}", domain))
        with transaction.atomic():  # what one may do is still there for the next
            answer = script(who)(operation.method, path, body)
            transaction.set_rollback(True)
        wanted = expected(who, operation.run.__name__, domain, named="{" in operation.path)
        assert answer.status_code in wanted, (who, path, answer.content)


def test_a_token_that_only_reads(office, script):
    use = script("ann", writes=False)
    assert use("GET", "accounts").status_code == 200
    assert use("PATCH", "accounts/lisi@benet.com", {"name": "x"}).status_code == 403


def test_no_way_round_through_names_and_roles(office, script):
    dora = script("dora")
    for body in ({"role": "administrator"}, {"managed_domains": ["benet.com"]}):
        assert dora("PATCH", "accounts/wang@accp.com", body).status_code == 422
    assert dora("PATCH", "accounts/dora@accp.com", {"state": "off"}).status_code == 404
    assert dora("POST", "aliases", {"address": "x@benet.com", "targets": ["wang@accp.com"]}).status_code == 404
    for path in ("accounts", "aliases", "domains", "changes"):
        assert "benet.com" not in dora("GET", path).text.replace("ann@benet.com", "")
    assert Account.objects.get(pk=office.wang.pk).role == "owner"
