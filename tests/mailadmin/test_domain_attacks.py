"""A domain administrator tries to reach another domain by spelling its name in other ways."""

import json

import pytest
from django.test import Client as Browser

from mailadmin import csv_io
from mailadmin.permissions import permissions_of
from mailcore.models import Account, Alias
from mailcore.store.credentials import api_tokens

pytestmark = pytest.mark.django_db

# Each of them is stored as benet.com: a final dot, the dots and letters that IDNA maps (RFC 3490 §3.1), a source route.
DOMAINS = [
    "benet.com",
    "BENET.COM",
    "benet.com.",
    "benet.com..",
    "benet。com",
    "benet．com",
    "ｂenet.com",
    "benet｡com.",
]
ADDRESSES = [f"xiaoqi@{domain}" for domain in DOMAINS] + [
    " xiaoqi@benet.com. ",
    '"xiaoqi"@benet.com.',
    "@accp.com:xiaoqi@benet.com.",
    "@accp.com:xiaoqi@benet。com",
]
PASSWORD = "correct-horse-battery"


def assert_nothing_came_in() -> None:
    assert list(Alias.objects.filter(domain__name="benet.com").values_list("address", flat=True)) == ["all@benet.com"]
    assert not Account.objects.filter(address__startswith="xiaoqi").exists()


@pytest.mark.parametrize("address", ADDRESSES)
def test_by_the_api(office, address):
    token = api_tokens.create_token(office.dora.pk, "test", writes=True, expires=None)
    browser = Browser(headers={"authorization": f"Bearer {token}"})
    for path, values in (("aliases", {"targets": ["wang@accp.com"]}), ("accounts", {"password": PASSWORD})):
        body = json.dumps({"address": address, **values})
        assert browser.post(f"/api/v1/{path}", body, content_type="application/json").status_code == 404
    assert_nothing_came_in()


@pytest.mark.parametrize("address", ADDRESSES)
def test_by_csv(office, address):
    quoted = address.replace('"', '""')
    for kind, head, more in (("aliases", "targets", "wang@accp.com"), ("accounts", "password", PASSWORD)):
        lines = csv_io.import_rows(
            permissions_of(office.dora), kind, f'address,{head}\n"{quoted}",{more}\n', really=True
        )
        assert all(line.problem for line in lines)
    assert_nothing_came_in()


def test_the_own_domain_in_any_spelling(office):
    token = api_tokens.create_token(office.dora.pk, "test", writes=True, expires=None)
    browser = Browser(headers={"authorization": f"Bearer {token}"})
    for number, domain in enumerate(["accp.com", "ACCP.com.", "accp。com"]):
        body = json.dumps({"address": f"new{number}@{domain}", "targets": ["wang@accp.com"]})
        assert browser.post("/api/v1/aliases", body, content_type="application/json").status_code == 201
