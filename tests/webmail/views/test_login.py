"""Coming in and going out."""

import imaplib

import pytest
from django.contrib.sessions.models import Session

from mailcore.models import Account, AppPassword
from mailcore.store.auth import second_factors
from mailcore.store.auth.webauthn import Passkey
from webmail.mailserver import connection_pool
from webmail_fixtures import PASSWORD, Browser, PostOffice, make_message

pytestmark = pytest.mark.django_db(transaction=True)


def test_lisi_signs_in_and_out(office, browser: Browser) -> None:
    browser.sign_in("lisi")
    assert "<h1>Inbox</h1>" in browser.page
    browser.press("/logout/")
    assert "Sign in to your mail" in browser.page
    browser.see("/")
    assert "Sign in to your mail" in browser.page


@pytest.mark.parametrize("name", ["lisi", "lisi@benet.com", "LISI@BENET.COM", " lisi "])
def test_names_lisi_may_type(office, browser: Browser, name: str) -> None:
    assert browser.sign_in(name).status_code == 200
    assert "<h1>Inbox</h1>" in browser.page


@pytest.mark.parametrize(
    ("name", "password"),
    [("lisi", "wrong"), ("nobody", PASSWORD), ("lisi", PASSWORD + "\r\nA1 LOGOUT"), ("li\0si", PASSWORD)],
)
def test_a_stranger_learns_nothing(office, browser: Browser, name: str, password: str) -> None:
    assert browser.sign_in(name, password).status_code == 401
    assert "The name or the password is not right." in browser.page


def test_an_empty_form_is_told_so(office, browser: Browser) -> None:
    browser.sign_in("", "")
    assert "Please enter your name and your password." in browser.page


def test_as_a_guest_guessing_is_stopped(office, browser: Browser, settings) -> None:
    settings.WEBMAIL = settings.WEBMAIL | {"GUEST": True}
    for _attempt in range(8):
        browser.sign_in("lisi", "wrong")
    browser.sign_in("lisi")
    assert "Too many attempts." in browser.page


def test_the_session_holds_no_password_and_ends_with_its_credential(office, lisi: Browser) -> None:
    [session] = Session.objects.all()
    kept = str(session.get_decoded())
    assert PASSWORD not in kept
    assert "session." not in kept
    assert AppPassword.objects.filter(session=True).count() == 1
    lisi.press("/logout/")
    assert not AppPassword.objects.filter(session=True).exists()


def test_without_the_browsers_half_the_credential_stays_shut(office, lisi: Browser) -> None:
    """The session goes on, for it is still lisi's; the lost half is replaced by a fresh credential."""
    [before] = AppPassword.objects.filter(session=True).values_list("digest", flat=True)
    lisi.cookies["seal"] = "forged"
    lisi.see("/")
    assert "<h1>Inbox</h1>" in lisi.page
    [after] = AppPassword.objects.filter(session=True).values_list("digest", flat=True)
    assert after != before


def test_a_revoked_credential_leads_to_the_sign_in_page(office, lisi: Browser) -> None:
    AppPassword.objects.all().delete()
    connection_pool.close_all()
    lisi.see("/")
    assert "The mail server no longer accepts this sign-in." in lisi.page


def test_the_session_key_changes_at_sign_in(office, browser: Browser) -> None:
    browser.see("/login/")
    session = browser.session
    session["planted"] = True
    session.save()
    before = session.session_key
    browser.sign_in()
    assert browser.cookies["sessionid"].value != before


def test_signing_in_and_out_need_a_token(office, lisi: Browser) -> None:
    lisi.page = ""
    assert lisi.press("/logout/").status_code == 403
    assert Browser().press("/login/", username="lisi", password=PASSWORD).status_code == 403


TARGETS = {
    "/compose/?to=a@b.cn": "/compose/?to=a@b.cn",
    "https://evil.example/": "/",
    "//evil.example/": "/",
    "/\\evil.example": "/",
    "javascript:alert(1)": "/",
    "compose": "/",
    "-1": "/",
}


@pytest.mark.parametrize(("wanted", "reached"), TARGETS.items())
def test_after_signing_in_the_way_goes_on_here_only(office, browser: Browser, wanted: str, reached: str) -> None:
    browser.see("/login/")
    response = browser.press("/login/", username="lisi", password=PASSWORD, next=wanted)
    assert response.redirect_chain[0][0] == reached


def test_a_link_survives_the_sign_in(office, browser: Browser) -> None:
    browser.see("/compose/", mailto="mailto:wang@example.com?subject=会议")
    target = browser.field("next")
    browser.press("/login/", username="lisi", password=PASSWORD, next=target)
    assert browser.field("to") == "wang@example.com"
    assert browser.field("subject") == "会议"


def test_the_language_is_chosen_before_signing_in(office, browser: Browser) -> None:
    browser.see("/login/")
    browser.press("/language/", language="zh-hans")
    assert "登录邮箱" in browser.page
    browser.press("/login/", username="lisi", password=PASSWORD)
    assert "<h1>收件箱</h1>" in browser.page


def test_a_server_that_is_away_is_said_so(office, lisi: Browser, settings) -> None:
    connection_pool.close_all()
    settings.WEBMAIL = settings.WEBMAIL | {"IMAP_SERVER": "127.0.0.1:1"}
    assert lisi.see("/").status_code == 503
    assert "The mail server cannot be reached." in lisi.page


def test_the_second_step_leads_to_the_mailbox(office, browser: Browser) -> None:
    """Password, recovery code, mailbox; the program's door takes the password no more."""
    account = Account.objects.get(address="lisi@benet.com")
    second_factors.add_passkey(account.pk, "key", Passkey("aGk", "", 0))
    [code, *_] = second_factors.create_recovery_codes(account.pk)
    browser.sign_in("lisi", next="/compose/")
    assert "Is it really you?" in browser.page
    browser.press("/login/second", code=code)
    assert "<textarea" in browser.page
    with pytest.raises(imaplib.IMAP4.error):
        office.connect()


def test_as_a_guest_the_imap_server_judges(office, browser: Browser, settings) -> None:
    settings.WEBMAIL = settings.WEBMAIL | {"GUEST": True}
    assert browser.sign_in("lisi", "wrong").status_code == 401
    browser.sign_in("lisi")
    assert "<h1>Inbox</h1>" in browser.page
    assert "/account/" not in browser.page
    [session] = Session.objects.all()
    assert PASSWORD not in str(session.get_decoded())
    browser.cookies["seal"] = "forged"
    browser.see("/")
    assert "Sign in to your mail" in browser.page


def test_a_visitor_with_many_sessions_is_not_shut_out(office: PostOffice, parameters) -> None:
    """The server lets only so many connections of one person in; those kept for other sessions make room."""
    parameters(mail_max_userip_connections="3")
    office.put(make_message("x"))
    for _session in range(6):
        another = Browser()
        another.sign_in()
        assert "<h1>Inbox</h1>" in another.page


def test_too_many_connections_end_no_session(office: PostOffice, lisi: Browser, parameters) -> None:
    parameters(mail_max_userip_connections="1")
    connection_pool.close_all()
    program = office.connect()
    assert lisi.see("/").status_code == 503
    program.logout()
    assert lisi.see("/").status_code == 200
