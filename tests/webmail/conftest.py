"""benet.com with 小七 and 李四, and a browser that stands before it."""

import shutil
from collections.abc import Callable, Iterator

import pytest
from django.core.cache import cache
from playwright.sync_api import Browser as Chromium
from playwright.sync_api import BrowserContext, Page, sync_playwright

from mailcore.mta.queue import content_files
from mailcore.store import directory
from webmail_fixtures import PASSWORD, PASSWORD_HASH, Browser, PostOffice

QUICK = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # passwords are not what is tested here


@pytest.fixture
def office(transactional_db, settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[PostOffice]:
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
    monkeypatch.setenv("MAIL_MYHOSTNAME", "mail.benet.com")
    monkeypatch.setenv("MAIL_AUTH_FAILURE_DELAY", "0")
    settings.PASSWORD_HASHERS = QUICK
    cache.clear()  # failed attempts of other tests
    content_files.make_directories()
    directory.create_domain("benet.com")
    for person in ("lisi", "xiaoqi"):
        directory.create_account(f"{person}@benet.com", "", password_hash=PASSWORD_HASH)
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


@pytest.fixture(scope="module")
def chromium(django_db_setup) -> Iterator[Chromium]:
    """Playwright keeps a loop running in this thread, which Django would take for an asynchronous program."""
    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium: Chromium, live_server, office: PostOffice) -> Iterator[Callable[..., Page]]:
    """`visit(width=360, …)`: a page with 李四 signed in; what it asks the network for is in `page.asked`."""
    contexts: list[BrowserContext] = []

    def start(width: int = 1280, language: str = "en-US", **more: object) -> Page:
        context = chromium.new_context(
            base_url=live_server.url, viewport={"width": width, "height": 800}, locale=language, **more
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.asked = []
        page.on("request", lambda request: page.asked.append(request.url))
        page.on("dialog", lambda dialog: pytest.fail(f"a script ran: {dialog.message}"))
        page.goto("/login/")
        page.fill("#username", "lisi")
        page.fill("#password", PASSWORD)
        page.press("#password", "Enter")
        page.wait_for_selector(".folders", state="attached")
        return page

    yield start
    for context in contexts:
        context.close()
