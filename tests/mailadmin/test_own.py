"""/account/: what owners do for themselves."""

import re

import pytest
from django.test import Client

from mailcore.models import Account, AppPassword
from mailcore.store.auth import account_login
from tests.mailadmin.conftest import PASSWORD

pytestmark = pytest.mark.django_db


def test_the_first_page_shows_and_saves(office, visit):
    Account.objects.filter(pk=office.lisi.pk).update(used_bytes=24 << 20, used_messages=12)
    lisi = visit("lisi")
    page = lisi.get("/account/").text
    assert "24 MB" in page
    assert "all@benet.com" in page
    assert "/admin/" not in page
    assert lisi.post("/account/", {"name": "四", "language": "en", "time_zone": ""}).status_code == 302
    assert Account.objects.get(pk=office.lisi.pk).name == "四"
    assert lisi.cookies["django_language"].value == "en"
    assert lisi.post("/account/", {"language": "tlh"}).status_code == 400
    assert lisi.post("/account/", {"language": ""}).status_code == 302
    assert lisi.cookies["django_language"].value == ""


def change(browser: Client, present: str, new: str, again: str):
    return browser.post("/account/password", {"present": present, "password": new, "again": again})


def test_the_password_is_changed_by_who_knows_the_old_one(office):
    here, elsewhere = Client(), Client()
    for browser in (here, elsewhere):
        assert browser.login(username="lisi@benet.com", password=PASSWORD)
    _, kept = account_login.make_session_credential(office.lisi, here.session.session_key)
    _, ended = account_login.make_session_credential(office.lisi, elsewhere.session.session_key)
    secret = account_login.make_app_password(office.lisi.pk, "phone")
    new = "eight hutongs"
    assert change(here, "wrong", new, new).status_code == 400
    assert change(here, PASSWORD, new, "other").status_code == 400
    assert change(here, PASSWORD, "short", "short").status_code == 400
    assert change(here, PASSWORD, "", "").status_code == 400
    assert change(here, PASSWORD, new, new).status_code == 302
    assert here.get("/account/").status_code == 200
    assert elsewhere.get("/account/").status_code == 302
    for word, opens in {PASSWORD: False, new: True, kept: True, ended: False, secret: True}.items():
        assert bool(account_login.log_in("lisi@benet.com", word, "imap", "192.0.2.1")) is opens


def test_app_passwords_are_made_shown_once_and_revoked(office, visit):
    lisi = visit("lisi")
    made = lisi.post("/account/app-passwords", {"label": "Thunderbird"})
    secret = re.search(r'class="secret">([^<]+)<', made.text)[1]
    assert made["Cache-Control"] == "no-store"
    assert account_login.log_in("lisi@benet.com", secret, "imap", "192.0.2.1")
    page = lisi.get("/account/app-passwords").text
    assert "Thunderbird" in page
    assert secret not in page
    row = AppPassword.objects.get()
    assert visit("wang").post(f"/account/app-passwords/{row.pk}/revoke").status_code == 302
    assert AppPassword.objects.exists()
    assert lisi.get(f"/account/app-passwords/{row.pk}/revoke").status_code == 405
    assert lisi.post(f"/account/app-passwords/{row.pk}/revoke").status_code == 302
    assert not account_login.log_in("lisi@benet.com", secret, "imap", "192.0.2.1")


def test_a_web_sessions_credential_is_not_in_the_list(office, visit):
    account_login.make_session_credential(office.lisi, "key")
    assert "You have no app passwords yet" in visit("lisi").get("/account/app-passwords").text
