"""The second factor: set up, asked for, lost; and the doors at which the password alone opens nothing any more."""

import re
import time

import pytest
from django.conf import settings
from django.test import Client
from markup import compact

from mailcore import conf
from mailcore.models import Account, AppPassword, Change, Factor, Recipient
from mailcore.mta.queue import content_files
from mailcore.store.auth import account_login, second_factors, throttle
from mailcore.wire.auth import totp
from tests.mailadmin.conftest import PASSWORD

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAIL_AUTH_FAILURE_DELAY", "0")
    content_files.make_directories()


@pytest.fixture
def lisi(office) -> Client:
    """李四 has just signed in with the password."""
    return arrive()


def arrive(password: str = PASSWORD, **more: str) -> Client:
    browser = Client(headers={"accept-language": "en", "user-agent": "Mozilla Firefox/140 Linux"})
    browser.page = browser.post("/login/", {"username": "lisi@benet.com", "password": password, **more}, follow=True)
    return browser


def app_code(page) -> str:
    """Return the current code of an authenticator app set up with the page's key."""
    return code_of(re.search(r'<code class="secret"[^>]*>([^<]+)<', compact(page.text))[1])


def code_of(typed_key: str, later: int = 0) -> str:
    import base64

    text = typed_key.replace(" ", "")
    return totp.compute_code(base64.b32decode(text + "=" * (-len(text) % 8)), totp.step_at(time.time()) + later)


@pytest.fixture
def key(lisi: Client) -> str:
    """李四 has an app; what stands on its screen is `code_of(key)`. The next code is good: this one was used."""
    page = lisi.get("/account/security/app")
    made = lisi.post("/account/security/app", {"code": app_code(page), "label": "my phone"})
    lisi.codes = re.findall(r"<li><code>([^<]+)<", compact(made.text))
    return re.search(r'<code class="secret"[^>]*>([^<]+)<', compact(page.text))[1]


def test_an_app_is_set_up_with_its_first_code(lisi, office):
    page = lisi.get("/account/security/app")
    assert "<svg" in page.text
    assert page["Cache-Control"] == "no-store"
    assert lisi.post("/account/security/app", {"code": "000000"}).status_code == 400
    assert not Account.objects.get(pk=office.lisi.pk).second_factor
    made = lisi.post("/account/security/app", {"code": app_code(page)})
    assert len(re.findall(r"<li><code>", compact(made.text))) == 10
    assert Account.objects.get(pk=office.lisi.pk).second_factor
    assert Change.objects.filter(subject="lisi@benet.com", action="factor.create").exists()


def test_signing_in_takes_both(key, lisi):
    browser = arrive(next="/account/activity")
    assert "Is it really you?" in browser.page.text
    assert browser.get("/account/").status_code == 302
    assert browser.post("/login/second", {"code": "000000"}).status_code == 401
    assert browser.get("/account/").status_code == 302
    answer = browser.post("/login/second", {"code": code_of(key, 1)})
    assert (answer.status_code, answer.url) == (302, "/login/?next=%2Faccount%2Factivity")
    assert browser.get("/account/").status_code == 200


def test_a_code_opens_once(key):
    code = code_of(key, 1)
    first, second = arrive(), arrive()
    assert first.post("/login/second", {"code": code}).status_code == 302
    assert second.post("/login/second", {"code": code}).status_code == 401


def test_a_recovery_code_opens_once(key, lisi):
    word = lisi.codes[3]
    first, second = arrive(), arrive()
    assert first.post("/login/second", {"code": f" {word.upper()} "}).status_code == 302
    assert second.post("/login/second", {"code": word}).status_code == 401
    assert second_factors.list_factors(Account.objects.get(address="lisi@benet.com").pk).codes == 9


def test_the_second_step_needs_the_first(office):
    browser = Client()
    assert browser.get("/login/second").url == "/login/"
    assert browser.post("/login/second", {"code": "123456"}).url == "/login/"


def test_the_second_step_does_not_outlive_the_password(key, office):
    from mailcore.store import directory

    browser = arrive()
    directory.set_password(office.lisi.pk, "eight hutongs")
    assert browser.post("/login/second", {"code": code_of(key, 1)}).url == "/login/"


def test_programs_need_passwords_of_their_own(key, office):
    before = account_login.log_in("lisi@benet.com", PASSWORD, "imap", "192.0.2.1")
    assert before is None
    secret = account_login.make_app_password(office.lisi.pk, "phone")
    assert account_login.log_in("lisi@benet.com", secret, "imap", "192.0.2.1")
    _, credential = account_login.make_session_credential(office.lisi, "key")
    assert account_login.log_in("lisi@benet.com", credential, "smtp", "192.0.2.1")
    assert all(account_login.scram_offer("lisi@benet.com").credentials)


def test_a_session_that_came_with_the_password_alone_ends(lisi, office):
    owner = account_login.log_in("lisi@benet.com", PASSWORD, "imap", "192.0.2.1")
    assert account_login.is_session_valid(owner)
    page = lisi.get("/account/security/app")
    lisi.post("/account/security/app", {"code": app_code(page)})
    assert not account_login.is_session_valid(owner)


def test_removing_the_last_factor_lets_the_password_open_again(key, lisi, office):
    row = Factor.objects.get(kind="totp")
    assert lisi.post(f"/account/security/{row.pk}/remove").status_code == 302
    assert not Factor.objects.exists()
    assert account_login.log_in("lisi@benet.com", PASSWORD, "imap", "192.0.2.1")
    assert lisi.get("/account/").status_code == 200


def test_security_settings_ask_who_it_is_after_a_while(key, lisi):
    session = lisi.session
    session["proved"] = time.time() - 3600
    session.save()
    answer = lisi.get("/account/security/app")
    assert answer.url == "/account/confirm?next=%2Faccount%2Fsecurity%2Fapp"
    row = Factor.objects.get(kind="totp")
    lisi.post(f"/account/security/{row.pk}/remove")
    assert Factor.objects.filter(kind="totp").exists()
    assert lisi.post("/account/confirm", {"code": "000000"}).status_code == 401
    assert lisi.post("/account/confirm", {"password": PASSWORD}).status_code == 401
    answer = lisi.post("/account/confirm", {"code": code_of(key, 1), "next": "/account/security/app"})
    assert answer.url == "/account/security/app"
    assert lisi.get("/account/security/app").status_code == 200


def test_without_a_factor_the_password_is_asked(lisi):
    session = lisi.session
    session["proved"] = 0
    session.save()
    assert lisi.post("/account/confirm", {"password": "wrong"}).status_code == 401
    for elsewhere in ("https://evil.example/", "own"):
        answer = lisi.post("/account/confirm", {"password": PASSWORD, "next": elsewhere})
        assert answer.url == "/account/security"


def test_an_administrator_takes_a_lost_factor_back(key, office, visit):
    url = f"/admin/accounts/{office.lisi.pk}/access"
    assert "my phone" in visit("ann").get(url).text
    assert visit("dora").post(f"{url}/end", {"what": "factors"}).status_code == 403
    visit("ann").post(f"{url}/end", {"what": "factors"})
    assert not Account.objects.get(pk=office.lisi.pk).second_factor
    assert arrive().get("/account/").status_code == 200


def test_a_role_that_must_have_one(office, visit, parameters):
    parameters(second_factor_roles="administrator auditor")
    assert visit("ann").get("/admin/").url == "/account/security"
    assert "Your role needs a second factor" in visit("ann").get("/account/security").text
    assert visit("dora").get("/admin/").status_code == 200
    Account.objects.filter(pk=office.ann.pk).update(second_factor=True)
    assert visit("ann").get("/admin/").status_code == 200


def test_guessing_waits_its_turn(office, parameters):
    """With every seat taken, an attempt that would have to wait is sent away; nobody is locked out."""
    from mailcore.store.auth import throttle

    parameters(auth_failure_limit="2", auth_failure_delay="30", web_threads="1")
    for _ in range(2):
        assert "not right" in arrive("wrong").page.text
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(throttle, "_sleeping", 1)
        assert "Too many attempts" in arrive().page.text
    parameters(auth_failure_delay="0")
    assert arrive().get("/account/").status_code == 200


def test_the_keys_are_not_readable_in_the_database(key, lisi):
    kept = " ".join(Factor.objects.values_list("secret", flat=True))
    assert key.replace(" ", "") not in kept
    assert not any(code.replace("-", "") in kept for code in lisi.codes)


def test_after_another_secret_key_a_code_is_wrong_and_no_fault(key, lisi, settings, office):
    settings.SECRET_KEY = "another"
    assert not second_factors.check_code(office.lisi.pk, code_of(key, 1))


# --- Browsers that are signed in ------------------------------------------------------------------


def test_browsers_are_listed_and_signed_out(office, lisi):
    other = arrive()
    for browser in (lisi, other):
        account_login.make_session_credential(
            office.lisi, browser.session.session_key, "192.0.2.7", "Firefox/140 (Linux)"
        )
    page = lisi.get("/account/sessions")
    assert "Firefox, Linux" in page.text
    assert "192.0.2.7" in page.text
    [there] = [each for each in page.context["sessions"] if not each.current]
    lisi.post(f"/account/sessions/{there.id}/end")
    assert other.get("/account/").status_code == 302
    assert lisi.get("/account/").status_code == 200


def test_somebody_elses_browser_is_not_signed_out(office, lisi, visit):
    account_login.make_session_credential(office.lisi, lisi.session.session_key)
    row = AppPassword.objects.get(session=True)
    visit("wang").post(f"/account/sessions/{row.pk}/end")
    assert lisi.get("/account/").status_code == 200


def test_an_administrator_signs_somebody_out_everywhere(office, lisi, visit):
    account_login.make_session_credential(office.lisi, lisi.session.session_key)
    secret = account_login.make_app_password(office.lisi.pk, "phone")
    url = f"/admin/accounts/{office.lisi.pk}/access/end"
    visit("ann").post(url, {"what": "sessions"})
    assert lisi.get("/account/").status_code == 302
    visit("ann").post(url, {"what": "program", "number": str(AppPassword.objects.get().pk)})
    assert not account_login.log_in("lisi@benet.com", secret, "imap", "192.0.2.1")
    assert visit("ann").post(url, {"what": "everything"}).status_code == 404


def test_pages_allow_no_script_but_ours(office, visit):
    policy = visit("lisi").get("/account/")["Content-Security-Policy"]
    assert "script-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert settings.SESSION_COOKIE_HTTPONLY


# --- Guessing codes -------------------------------------------------------------------------------


def test_a_right_password_forgives_no_wrong_code(key, monkeypatch):
    """Password, some codes, password, …: codes are counted on."""
    monkeypatch.setenv("MAIL_AUTH_FAILURE_LIMIT", "6")
    conf.refresh()
    judged = 0
    for _ in range(10):
        browser = arrive()
        for _ in range(4):
            under_way = throttle.Attempt("lisi@benet.com", "127.0.0.1", throttle.SECOND)
            answer = browser.post("/login/second", {"code": "000000"})
            under_way.end(failed=False)
            judged += "This is not right" in answer.text
    assert judged == 6


def test_the_pending_step_ends_after_some_codes_and_the_owner_hears_of_it(key, office):
    Recipient.objects.all().delete()  # the notice that a factor was added
    browser = arrive()
    said = [browser.post("/login/second", {"code": f"00000{number}"}) for number in range(6)]
    assert [answer.status_code for answer in said] == [401] * 5 + [302]
    assert said[-1].url == "/login/"
    # The right code opens nothing any more without the password.
    assert browser.post("/login/second", {"code": code_of(key, 1)}).url == "/login/"
    assert browser.get("/account/").status_code == 302
    [recipient] = Recipient.objects.all()
    assert recipient.address == "lisi@benet.com"
    other = arrive()
    for number in range(6):
        other.post("/login/second", {"code": f"00000{number}"})
    assert Recipient.objects.count() == 1  # once an hour


@pytest.mark.parametrize("digits", ["０１２３４５６７８９", "0123456789"])
def test_codes_as_input_methods_write_them(key, digits):
    typed = code_of(key, 1).translate(str.maketrans("0123456789", digits))
    assert arrive().post("/login/second", {"code": typed}).status_code == 302


@pytest.mark.parametrize("typed", ["٠١٢٣٤٥", "१२३४५६", "①②③④⑤⑥", "１２３", "²³", "\u200b", "𝟎𝟏𝟐𝟑𝟒𝟓", "-" * 100])
def test_no_code_is_an_error(key, typed):
    assert arrive().post("/login/second", {"code": typed}).status_code == 401


def test_the_present_password_is_not_guessed_on_the_password_page(lisi, office, monkeypatch):
    monkeypatch.setenv("MAIL_AUTH_FAILURE_LIMIT", "3")
    conf.refresh()
    form = {"present": "wrong", "password": "a quite new one", "again": "a quite new one"}
    for _ in range(3):
        assert lisi.post("/account/password", form).status_code == 400
    under_way = throttle.Attempt("lisi@benet.com", "127.0.0.1")
    refused = lisi.post("/account/password", form | {"present": PASSWORD})
    under_way.end(failed=False)
    assert refused.status_code == 429
    assert "Too many attempts" in refused.text
    assert lisi.post("/account/password", form | {"present": PASSWORD}).status_code == 302


def test_a_stolen_session_guesses_no_codes(key, lisi, monkeypatch):
    monkeypatch.setenv("MAIL_STEP_UP_TIME", "0")
    conf.refresh()
    for number in range(5):
        assert lisi.post("/account/confirm", {"code": f"00000{number}"}).status_code == 401
    assert lisi.post("/account/confirm", {"code": code_of(key, 1)}).url == "/login/"
    assert lisi.get("/account/").status_code == 302
    assert {each.address for each in Recipient.objects.all()} == {"lisi@benet.com"}
