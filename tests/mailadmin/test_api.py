"""The API: what it does, who may do what, and that it keeps to its description whatever it is sent."""

import json
import re
from datetime import timedelta
from urllib.parse import quote

import pytest
from django.db import transaction
from django.test import Client
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mailadmin.api.description import document
from mailadmin.api.operations import OPERATIONS
from mailcore import conf
from mailcore.models import Account, Alias, ApiToken, Change, Domain, Queued
from mailcore.post import files
from mailcore.store import apitokens, directory, login
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
        return Script(apitokens.make(getattr(office, name).pk, "test", writes=writes, expires=None))

    return start


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
    assert login.sign_in("zhao@example.org", PASSWORD, "imap", "192.0.2.1")
    changed = ann("PATCH", "accounts/zhao@example.org", {"state": "hold", "expires": "2030-01-31"}).json()
    assert (changed["state"], changed["expires"], changed["name"], changed["quota_bytes"]) == (
        "hold",
        "2030-01-31",
        "赵六",
        0,
    )
    assert ann("PATCH", "accounts/zhao@example.org", {"expires": None}).json()["expires"] is None
    assert ann("PUT", "accounts/zhao@example.org/password", {"password": "neue Gassen 7"}).status_code == 200
    assert login.sign_in("zhao@example.org", "neue Gassen 7", "imap", "192.0.2.1")
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


def test_the_queue_and_where_a_letter_is(office, script):
    files.make_directories()
    letter = Queued.objects.create(
        id=0xABC123, state="deferred", due_us=1, received_us=1, size=1, sender="lisi@benet.com"
    )
    letter.recipients.create(address="a@far.example", original="a@far.example", reason="no route")
    ann = script("ann")
    assert ann("GET", "queue", state="deferred").json()["items"][0]["queue_id"] == "ABC123"
    assert ann("GET", "queue/ABC123").json()["recipients"][0]["reason"] == "no route"
    assert ann("POST", "queue/actions", {"action": "hold", "ids": ["ABC123"]}).json() == {"letters": 1}
    assert Queued.objects.get().state == "hold"
    assert ann("GET", "queue/FFFF").status_code == 404
    assert ann("GET", "tracking", q="lisi@benet.com").json()["count"] == 1
    assert script("dora")("GET", "tracking", q="lisi@benet.com").json()["count"] == 0


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
    assert ann("GET", "accounts", page="x").status_code == 422
    assert ann("GET", "accounts", q="u00", domain="benet.com").json()["count"] == 10


def test_refusals_are_problems_with_their_fields(office, script):
    ann = script("ann")
    answer = ann("POST", "accounts", {"address": "lisi@benet.com", "password": PASSWORD})
    assert answer.status_code == 422
    assert answer["Content-Type"] == "application/problem+json"
    assert answer.json()["errors"] == [{"field": "address", "message": "lisi@benet.com is there already."}]
    answer = ann("POST", "accounts", {"address": "x@benet.com", "colour": 1})
    assert {each["field"] for each in answer.json()["errors"]} == {"password", "colour"}
    assert ann.client.generic("POST", "/api/v1/domains", b"{", content_type="application/json").status_code == 400
    answer = ann("PUT", "domains", {})
    assert (answer.status_code, answer["Allow"]) == (405, "GET, POST")


# --- Who may do what ------------------------------------------------------------------------------

SAMPLES = {
    "make_domain": {"domain": "new.example"},
    "change_domain": {"active": True},
    "make_account": {"address": "new@{domain}", "password": PASSWORD},
    "change_account": {"name": "x"},
    "set_password": {"password": "neue Gassen 7"},
    "make_alias": {"address": "new@{domain}", "targets": ["a@far.example"]},
    "change_alias": {"comment": "x"},
    "act": {"action": "hold", "ids": ["ABC"]},
    "set_setting": {"value": "50"},
}
NAMES = {"domains": "{domain}", "accounts": "{person}@{domain}", "aliases": "all@{domain}", "queue": "ABC",
         "settings": "smtpd_recipient_limit"}  # fmt: skip
SYSTEM = {"make_domain", "change_domain", "delete_domain", "list_queue", "act", "show_letter", "list_settings",
          "show_setting", "set_setting", "reset_setting"}  # fmt: skip
READS = {each.run.__name__ for each in OPERATIONS if each.method == "GET"}


def expected(who: str, name: str, domain: str, *, named: bool) -> set[int]:
    """What this role's answer may be."""
    good = {200, 201}
    if who == "ann":
        # Ann lives there herself, the last administrator.
        return {422} if (name, domain) == ("delete_domain", "benet.com") else good
    if who == "audrey":
        return good if name in READS else {403}
    if who == "dora":
        if name in SYSTEM:
            return {403}
        return good if domain == "accp.com" or not (named or name.startswith("make_")) else {404}
    return {403}


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.run.__name__)
@pytest.mark.parametrize("domain", ["benet.com", "accp.com"])
def test_each_role_each_operation_each_domain(office, script, operation, domain):
    Queued.objects.create(id=0xABC, state="deferred", due_us=1, received_us=1, size=1)
    person = {"benet.com": "lisi", "accp.com": "wang"}[domain]
    for who in ("lisi", "audrey", "dora", "ann"):
        place = NAMES.get(operation.path.partition("/")[0], "").format(domain=domain, person=person)
        path = re.sub(r"\{\w+\}", place, operation.path)
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


# --- Its description ------------------------------------------------------------------------------


def test_the_description_names_every_operation(office):
    told = Client().get("/api/v1/openapi.json").json()
    assert told["openapi"] == "3.1.0"
    found = {(method.upper(), path.strip("/")) for path, methods in told["paths"].items() for method in methods}
    assert found == {(each.method, each.path) for each in OPERATIONS}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def values_of(schema) -> st.SearchStrategy[object]:
    """Mostly what fits, sometimes anything."""
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    if "enum" in schema:
        return st.sampled_from(schema["enum"]) | json_values
    choices = {
        "string": st.text(max_size=20) | st.sampled_from(["lisi@benet.com", "benet.com", "2030-01-01", "0", "zh-hans"]),
        "integer": st.integers(0, 2**31),
        "boolean": st.booleans(),
        "null": st.none(),
        "array": st.lists(st.text(max_size=12) | st.just("lisi@benet.com"), max_size=3),
    }
    return st.one_of(*(choices[kind] for kind in kinds)) | json_values


def bodies_of(schema) -> st.SearchStrategy[object]:
    fields = {name: values_of(each) for name, each in schema["properties"].items()}
    needed = set(schema.get("required", ()))
    proper = st.fixed_dictionaries(
        {name: each for name, each in fields.items() if name in needed},
        optional={name: each for name, each in fields.items() if name not in needed},
    )
    return proper | json_values


names = st.sampled_from(["lisi@benet.com", "benet.com", "all@benet.com", "ABC", "message_size_limit"]) | st.text(
    st.characters(exclude_characters="/?#%", exclude_categories=("Cs", "Cc")), min_size=1, max_size=20
)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.run.__name__)
def test_whatever_is_sent_the_answer_is_one_that_is_described(office, script, operation):
    """As schemathesis does it: bodies and names by the description's own schemas and beside them."""
    files.make_directories()
    described = document()["paths"][f"/{operation.path}"][operation.method.lower()]["responses"]
    use = script("ann")
    Queued.objects.create(id=0xABC, state="deferred", due_us=1, received_us=1, size=1)

    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def holds(data) -> None:
        path = re.sub(r"\{\w+\}", lambda _: quote(data.draw(names), safe=""), operation.path)
        body = data.draw(bodies_of(operation.body)) if operation.body else None
        query = {name: quote(data.draw(st.text(max_size=10) | st.just("1"))) for name in operation.query}
        with transaction.atomic():
            answer = use(operation.method, path, body if body is not None or not operation.body else 0, **query)
            transaction.set_rollback(True)
        conf.refresh()
        assert str(answer.status_code) in described, (path, body, query, answer.content)
        kind = "application/json" if answer.status_code < 300 else "application/problem+json"
        assert answer["Content-Type"] == kind
        if answer.status_code >= 300:
            assert answer.json()["status"] == answer.status_code
        elif operation.query:
            assert set(answer.json()) == {"items", "page", "pages", "count"}

    holds()
    assert Alias.objects.filter(address="all@benet.com").exists()
    assert directory.find_domain("benet.com")
