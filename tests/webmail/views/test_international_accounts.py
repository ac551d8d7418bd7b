"""Accounts whose names or passwords hold more than ASCII letters."""

import pytest

from mailcore.store import directory
from webmail_fixtures import PASSWORD_HASH, Browser, PostOffice

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize(
    "address", ["张三@例子.中国", "a%b@benet.com", "x*y@benet.com", "c{5}d@benet.com", "o'neil@benet.com"]
)
def test_any_account_reads_and_writes(office: PostOffice, browser: Browser, address: str) -> None:
    directory.create_domain("例子.中国")
    directory.create_account(address, "", password_hash=PASSWORD_HASH)
    browser.sign_in(address)
    for page in ("/", "/compose/", "/folders/", "/search/", "/options/"):
        assert browser.see(page).status_code == 200, page
    browser.see("/compose/")
    browser.press(
        "/compose/",
        message=browser.field("message"),
        to=f"lisi@benet.com, {address}",
        subject="你好",
        body="x",
        do="send",
    )
    assert "Your message was sent." in browser.page
    office.deliver()
    browser.see("/")
    assert "你好" in browser.page


def test_a_password_in_chinese(office: PostOffice, browser: Browser) -> None:
    directory.create_account("wang@benet.com", "密码一二三四五六")
    browser.sign_in("wang", "密码一二三四五六")
    browser.see("/compose/")
    browser.press("/compose/", message=browser.field("message"), to="lisi@benet.com", subject="x", body="x", do="send")
    assert "Your message was sent." in browser.page


def test_a_person_sees_the_domain_as_it_is_written(office: PostOffice, browser: Browser) -> None:
    directory.create_domain("例子.中国")
    directory.create_account("wang@例子.中国", "", password_hash=PASSWORD_HASH)
    browser.sign_in("wang@例子.中国")
    browser.see("/compose/")
    assert "wang@例子.中国" in browser.page
    assert "wang@xn--" not in browser.page
