"""A small post office: two domains, and somebody in every role. Everybody's password is PASSWORD."""

import time
from dataclasses import dataclass

import pytest
from django.contrib.auth.hashers import make_password
from django.test import Client
from django.utils import translation

from mailcore.models import Account, Domain
from mailcore.store import directory
from mailcore.store.directory import AccountDraft

PASSWORD = "seven hutongs"
HASH = make_password(PASSWORD)


@dataclass(frozen=True)
class Office:
    """Ann administrates, Audrey audits, Dora administrates accp.com, Lisi and Wang own their accounts."""

    ann: Account
    audrey: Account
    dora: Account
    lisi: Account
    wang: Account
    benet: Domain
    accp: Domain


@pytest.fixture
def office(db: None) -> Office:
    for name in ("benet.com", "accp.com"):
        directory.create_domain(name)
    accp = Domain.objects.get(name="accp.com")
    people = {
        "ann@benet.com": AccountDraft(role="administrator"),
        "audrey@benet.com": AccountDraft(role="auditor"),
        "dora@accp.com": AccountDraft(role="domain", managed_domains=(accp.pk,)),
        "lisi@benet.com": AccountDraft(name="李四"),
        "wang@accp.com": AccountDraft(),
    }
    for address, draft in people.items():
        directory.create_account(address, "", draft, password_hash=HASH)
    directory.create_alias("all@benet.com", ["lisi", "ann"])
    directory.create_alias("all@accp.com", ["wang", "dora"])
    cast = {address.partition("@")[0]: Account.objects.get(address=address) for address in people}
    return Office(**cast, benet=Domain.objects.get(name="benet.com"), accp=accp)


@pytest.fixture(autouse=True)
def no_mail_server(settings) -> None:
    """Keep the webmail after a login from reaching a demo that runs on this machine: nothing listens on port 1."""
    settings.WEBMAIL = settings.WEBMAIL | {"IMAP_SERVER": "127.0.0.1:1", "SMTP_SERVER": "127.0.0.1:1"}


@pytest.fixture(autouse=True)
def plain_files(settings) -> None:
    """Pages name their files without the build step."""
    settings.STORAGES = {
        "default": {"BACKEND": "django.core.files.storage.InMemoryStorage"},
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    }


@pytest.fixture(autouse=True)
def no_watch(settings) -> None:
    """Nobody asks name servers unasked."""
    settings.DNS_WATCH = False


@pytest.fixture(autouse=True)
def english():
    with translation.override("en"):
        yield


@pytest.fixture
def visit(office: Office):
    """Return a function: `visit("ann")` is a browser in which Ann is signed in, reading English."""

    def sign_in(name: str) -> Client:
        browser = Client(headers={"accept-language": "en"})
        browser.force_login(getattr(office, name), "mailcore.store.auth.account_login.AccountBackend")
        session = browser.session
        session["proved"] = time.time()  # has just signed in
        session.save()
        return browser

    return sign_in
