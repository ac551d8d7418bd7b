"""Signing in: names, states, app passwords, what is remembered, what is logged."""

import logging
from datetime import timedelta

import pytest
from django.contrib.auth import authenticate
from django.contrib.auth.backends import BaseBackend
from django.contrib.auth.hashers import Argon2PasswordHasher, make_password
from django.utils import timezone

from mailcore.models import Account, AppPassword
from mailcore.store import directory
from mailcore.store.auth import account_login
from mailcore.store.credentials.issued_passwords import APP_PASSWORD_PATTERN
from mailcore.store.credentials.verified_cache import VerifiedCache
from mailcore.store.directory import AccountDraft, DomainDraft

pytestmark = [pytest.mark.django_db, pytest.mark.database]

PASSWORD = "北京 hutong 1936"
HASH = make_password(PASSWORD)


@pytest.fixture
def lisi() -> int:
    directory.create_domain("benet.com")
    return directory.create_account("lisi@benet.com", "", AccountDraft(name="李四"), password_hash=HASH)


def opens(name: str, password: str = PASSWORD, service: str = "imap") -> str:
    owner = account_login.log_in(name, password, service, "192.0.2.1")
    return owner.address if owner else ""


@pytest.mark.parametrize(
    "name", ["lisi", "LiSi", "lisi@benet.com", "Lisi@BENET.com", " lisi@benet.com ", "lisi@benet.com."]
)
def test_with_or_without_the_domain_in_any_case(lisi, name):
    assert opens(name) == "lisi@benet.com"


def test_a_name_alone_belongs_to_mydomain_where_there_are_several(lisi, monkeypatch):
    directory.create_domain("accp.com")
    directory.create_account("lisi@accp.com", "", password_hash=HASH)
    monkeypatch.setenv("MAIL_MYDOMAIN", "accp.com")
    assert opens("lisi") == "lisi@accp.com"


@pytest.mark.parametrize("name", ["BENET\\lisi", "benet.com\\Lisi", "OFFICE\\lisi@benet.com"])
def test_outlooks_way_of_names(lisi, name):
    assert opens(name) == "lisi@benet.com"


def test_a_name_under_an_alias_domain(lisi):
    directory.create_domain("例子.cn", DomainDraft(kind="alias", target="benet.com"))
    assert opens("lisi@例子.cn") == opens("lisi@xn--fsqu00a.cn") == "lisi@benet.com"


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("lisi", "wrong"),
        ("lisi", ""),
        ("nobody", PASSWORD),
        ("lisi@elsewhere.org", PASSWORD),
        ("", PASSWORD),
        ("@benet.com", PASSWORD),
        ("lisi\0", PASSWORD),
        ("lisi", PASSWORD + "\0"),
        ("lisi\udcff", PASSWORD),
        ("lisi", "\udcff"),
        ("lisi@" + "x" * 70 + "é.com", PASSWORD),
        ("lisi", "session.nonsense"),
    ],
)
def test_everything_else_gets_the_same_no(lisi, name, password):
    assert account_login.log_in(name, password, "imap", "192.0.2.1") is None


@pytest.mark.parametrize(
    ("state", "reading", "sending"),
    [
        ("active", True, True),
        ("receive-only", True, False),
        ("send-only", True, True),
        ("hold", True, True),
        ("no-login", False, False),
        ("off", False, False),
    ],
)
def test_states(lisi, state, reading, sending):
    directory.change_account(lisi, AccountDraft(state=state))
    assert bool(opens("lisi")) is reading
    assert bool(opens("lisi", service="smtp")) is sending


def test_an_expired_account_and_a_domain_switched_off(lisi):
    today = timezone.localdate()
    directory.change_account(lisi, AccountDraft(expires=today))
    assert opens("lisi")
    directory.change_account(lisi, AccountDraft(expires=today - timedelta(days=1)))
    assert not opens("lisi")
    directory.change_account(lisi, AccountDraft())
    domain = directory.find_domain("benet.com")
    assert opens("lisi")
    assert domain
    directory.change_domain(domain.id, DomainDraft(active=False))
    assert not opens("lisi@benet.com")


def counting(monkeypatch) -> list[str]:
    asked: list[str] = []
    check = Account.check_password

    def check_password(self: Account, password: str) -> bool:
        asked.append(self.address)
        return check(self, password)

    monkeypatch.setattr(Account, "check_password", check_password)
    return asked


def test_a_checked_password_is_remembered_until_it_changes(lisi, monkeypatch):
    asked = counting(monkeypatch)
    assert opens("lisi")
    assert opens("lisi")
    assert opens("lisi@benet.com")
    assert asked == ["lisi@benet.com"]
    directory.set_password(lisi, "another 1937 hutong")
    assert not opens("lisi")
    assert opens("lisi", "another 1937 hutong")


def test_nothing_is_remembered_when_the_administrator_says_so(lisi, monkeypatch):
    monkeypatch.setenv("MAIL_AUTH_CACHE_TTL", "0")
    asked = counting(monkeypatch)
    assert opens("lisi")
    assert opens("lisi")
    assert len(asked) == 2


def test_a_wrong_password_is_not_remembered_and_what_is_remembered_is_bounded(lisi, monkeypatch):
    monkeypatch.setattr(VerifiedCache, "LIMIT", 2)
    remembered = VerifiedCache()
    for password in ("a", "b", "c"):
        remembered.add(lisi, HASH, password)
    assert [remembered.contains(lisi, HASH, p) for p in ("a", "b", "c", "d")] == [False, True, True, False]


def test_an_unknown_user_costs_a_hash_too(lisi, monkeypatch):
    made: list[str] = []
    monkeypatch.setattr(account_login, "make_password", lambda password: made.append(password) or "")
    assert not opens("nobody")
    assert made == [PASSWORD]


OTHERS = [
    make_password(PASSWORD, hasher="pbkdf2_sha256"),
    Argon2PasswordHasher().encode(PASSWORD, "salt of another program"),
]


@pytest.mark.parametrize("stored", OTHERS, ids=["PBKDF2", "argon2 that costs more"])
def test_a_hash_of_another_kind_is_brought_to_ours(lisi, stored):
    Account.objects.filter(pk=lisi).update(password=stored)
    assert opens("lisi")
    assert "$argon2id$v=19$m=19456,t=2,p=1$" in Account.objects.get(pk=lisi).password


def test_scram_keys_are_made_at_the_first_plain_sign_in(lisi, parameters):
    assert Account.objects.get(pk=lisi).scram == ""
    opens("lisi", "wrong")
    assert Account.objects.get(pk=lisi).scram == ""
    opens("lisi")
    assert Account.objects.get(pk=lisi).scram.startswith("50000,")
    parameters(auth_scram_iterations="0")
    directory.set_password(lisi, "another 1937 hutong")
    assert Account.objects.get(pk=lisi).scram == ""


def test_scram_offers_nobody_what_it_offers_everybody(lisi):
    directory.set_password(lisi, "another 1937 hutong")
    nobody, again, known = (account_login.scram_offer(name) for name in ("nobody", "Nobody@benet.com", "lisi"))
    assert (nobody.salt, nobody.iterations) == (again.salt, again.iterations)
    assert (len(nobody.salt), nobody.iterations) == (len(known.salt), known.iterations)
    assert len(nobody.keys) == len(known.keys) == 1


def test_a_session_is_asked_whether_it_may_go_on(lisi):
    owner = account_login.log_in("lisi", PASSWORD, "imap", "192.0.2.1")
    secret = account_login.make_app_password(lisi, "phone")
    with_app = account_login.log_in("lisi", secret, "imap", "192.0.2.1")
    assert owner
    assert with_app
    assert with_app.credential
    assert account_login.is_session_valid(owner)
    assert account_login.is_session_valid(with_app)
    account_login.revoke_app_password(lisi, with_app.credential)
    assert account_login.is_session_valid(owner)
    assert not account_login.is_session_valid(with_app)
    directory.change_account(lisi, AccountDraft(state="off"))
    assert not account_login.is_session_valid(owner)


def test_failures_are_logged_without_the_password(lisi, caplog):
    with caplog.at_level(logging.INFO, "mailcore.login"):
        opens("lisi\r\nx", "geheim")
        opens("lisi")
    assert [r.getMessage() for r in caplog.records] == [
        "auth failed: service=imap, user=<lisi??x>, client=192.0.2.1",
        "login: service=imap, user=<lisi@benet.com>, client=192.0.2.1",
    ]


# --- App passwords and session credentials --------------------------------------------------------


def test_an_app_password_opens_until_it_is_revoked(lisi):
    secret = account_login.make_app_password(lisi, "Thunderbird")
    assert opens("lisi", secret)
    assert opens("lisi", secret.replace(" ", ""))
    assert opens("lisi", secret.upper().replace(" ", "-"))
    [shown] = account_login.app_passwords(lisi)
    assert (shown.label, shown.last_used is not None) == ("Thunderbird", True)
    assert secret not in str(AppPassword.objects.values())
    assert account_login.revoke_app_password(lisi, shown.id)
    assert not opens("lisi", secret)
    assert not account_login.revoke_app_password(lisi, shown.id)


def test_an_app_password_is_its_owners_alone_and_not_for_the_sign_in_page(lisi):
    other = directory.create_account("xiaoqi@benet.com", "", password_hash=HASH)
    secret = account_login.make_app_password(lisi, "phone")
    assert not opens("xiaoqi", secret)
    assert authenticate(None, username="lisi", password=secret) is None
    [shown] = account_login.app_passwords(lisi)
    assert not account_login.revoke_app_password(other, shown.id)


def test_a_password_that_looks_like_an_app_password_still_works(lisi):
    directory.set_password(lisi, "zwanzig buchstaben hier")
    assert APP_PASSWORD_PATTERN.fullmatch("zwanzigbuchstabenhie")
    directory.set_password(lisi, "zwanzigbuchstabenhie")
    assert opens("lisi", "zwanzigbuchstabenhie")


def test_a_session_credential_lives_as_long_as_its_session(lisi):
    account = Account.objects.get(pk=lisi)
    name, secret = account_login.make_session_credential(account, "key-1")
    assert name == "lisi@benet.com"
    assert opens(name, secret)
    _, again = account_login.make_session_credential(account, "key-1")
    _, other = account_login.make_session_credential(account, "key-2")
    assert not opens(name, secret)
    assert opens(name, again)
    assert opens(name, other)
    account_login.revoke_session_credential("key-1")
    assert not opens(name, again)
    assert opens(name, other)
    assert account_login.app_passwords(lisi) == []
    AppPassword.objects.update(expires=timezone.now() - timedelta(seconds=1))
    assert not opens(name, other)
    assert "key-2" not in str(AppPassword.objects.values())


def test_a_closed_account_is_closed_to_app_passwords_too(lisi):
    secret = account_login.make_app_password(lisi, "phone")
    directory.change_account(lisi, AccountDraft(state="off"))
    assert not opens("lisi", secret)


# --- Django's side --------------------------------------------------------------------------------


class Elsewhere(BaseBackend):
    """Stands for PAM or LDAP: another judge of passwords."""

    def authenticate(self, request, username=None, password=None):
        return Account.objects.filter(address=username).first() if password == "from elsewhere" else None


def test_another_backend_is_a_setting(lisi, settings):
    settings.AUTHENTICATION_BACKENDS = [f"{__name__}.Elsewhere", "mailcore.store.auth.account_login.AccountBackend"]
    assert opens("lisi", "from elsewhere")
    assert opens("lisi", "from elsewhere")
    assert opens("lisi")
    directory.change_account(lisi, AccountDraft(state="off"))
    assert not opens("lisi", "from elsewhere")


def test_the_sessions_account_goes_when_it_is_switched_off(lisi):
    backend = account_login.AccountBackend()
    account = backend.get_user(lisi)
    assert account
    assert account.address == "lisi@benet.com"
    directory.change_account(lisi, AccountDraft(state="off"))
    assert backend.get_user(lisi) is None
