"""benet.com with 小七 and 李四, and a browser that stands before it."""

from collections.abc import Iterator

import pytest
from django.contrib.auth.hashers import MD5PasswordHasher
from django.core.cache import cache

from mailcore.post import files
from mailcore.store import directory
from office import PASSWORD, Browser, PostOffice

QUICK = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # passwords are not what is tested here
HASH = MD5PasswordHasher().encode(PASSWORD, "s" * 22)


@pytest.fixture
def office(transactional_db, settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[PostOffice]:
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
    monkeypatch.setenv("MAIL_MYHOSTNAME", "mail.benet.com")
    monkeypatch.setenv("MAIL_AUTH_FAILURE_DELAY", "0")
    settings.PASSWORD_HASHERS = QUICK
    cache.clear()  # failed attempts of other tests
    files.make_directories()
    directory.create_domain("benet.com")
    for person in ("lisi", "xiaoqi"):
        directory.create_account(f"{person}@benet.com", "", password_hash=HASH)
    running = PostOffice()
    settings.WEBMAIL = settings.WEBMAIL | {
        "IMAP_SERVER": f"127.0.0.1:{running.imap_port}",
        "SMTP_SERVER": f"127.0.0.1:{running.smtp_port}",
        "SIEVE_SERVER": f"127.0.0.1:{running.sieve_port}",
        "GUEST": False,
        "UNDO_SECONDS": 0,
    }
    yield running
    running.stop()


@pytest.fixture
def browser(office: PostOffice) -> Browser:
    return Browser()


@pytest.fixture
def lisi(browser: Browser) -> Browser:
    """李四, signed in."""
    browser.sign_in()
    return browser
