"""The screens in a real browser: both languages, with and without JavaScript, narrow and wide.

How many clicks a day's work takes; a passkey with the browser's virtual authenticator.
"""

import re
import shutil
import time
from collections.abc import Callable, Iterator

import pytest
from django.urls import resolve
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

import accessibility
from mailcore.models import Account, Alias, Change, Domain, Factor, Queued
from mailcore.mta.queue import content_files
from mailcore.store import directory
from mailcore.store.auth import account_login
from mailcore.store.directory import AccountDraft
from mailcore.store.settings import lookup_tables
from tests.mailadmin.conftest import HASH, PASSWORD
from tests.mailadmin.test_permissions import ONLY_ACTS, PAGES, POSTED

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture(scope="module")
def chromium(django_db_setup) -> Iterator[Browser]:
    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def benet(transactional_db, settings) -> Domain:
    """benet.com with Ann, who administrates, and Lisi; something to see on every page."""
    settings.PORTS = dict.fromkeys(settings.PORTS)
    settings.AUTH_PASSWORD_VALIDATORS = []
    content_files.make_directories()
    directory.create_domain("benet.com")
    directory.create_account("ann@benet.com", "", AccountDraft(role="administrator"), password_hash=HASH)
    directory.create_account("lisi@benet.com", "", AccountDraft(name="李四"), password_hash=HASH)
    directory.create_alias("all@benet.com", ["lisi", "ann"])
    lookup_tables.replace_entries("sender_access", {"spam@x.example": "REJECT"})
    account_login.make_app_password(Account.objects.get(address="lisi@benet.com").pk, "phone")
    message = Queued.objects.create(
        id=0xABC123, state="deferred", due_us=1, received_us=1, size=1, sender="a@x.example"
    )
    message.recipients.create(address="b@far.example", original="b@far.example", reason="connection refused " * 9)
    return Domain.objects.get()


@pytest.fixture
def visit(chromium: Browser, live_server, benet) -> Iterator[Callable[..., Page]]:
    """`visit(width=360, …)`: a page with Ann signed in; what went wrong in it is in `page.wrong`."""
    contexts: list[BrowserContext] = []

    def start(width: int = 1280, language: str = "en-US", name: str = "ann", **more: object) -> Page:
        context = chromium.new_context(
            base_url=live_server.url, viewport={"width": width, "height": 800}, locale=language, **more
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.wrong = []
        page.on("console", lambda said: page.wrong.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: page.wrong.append(str(error)))
        page.goto("/login/?next=/account/")
        page.fill("#username", f"{name}@benet.com")
        page.fill("#password", PASSWORD)
        page.press("#password", "Enter")
        page.wait_for_load_state()
        return page

    yield start
    for context in contexts:
        context.close()


def addresses() -> list[str]:
    domain, lisi, alias = Domain.objects.get(), Account.objects.get(name="李四"), Alias.objects.get()
    return [
        "/admin/", "/admin/?span=month", "/admin/domains/", "/admin/domains/new", f"/admin/domains/{domain.pk}",
        f"/admin/domains/{domain.pk}/dns", f"/admin/domains/{domain.pk}/delete", "/admin/domains/import", "/admin/accounts/",
        "/admin/accounts/new", f"/admin/accounts/{lisi.pk}", f"/admin/accounts/{lisi.pk}/password",
        f"/admin/accounts/{lisi.pk}/access", f"/admin/accounts/{lisi.pk}/delete", "/admin/accounts/import",
        "/admin/aliases/", "/admin/aliases/new", f"/admin/aliases/{alias.pk}", f"/admin/aliases/{alias.pk}/delete", "/admin/aliases/text", "/admin/queue/",
        "/admin/queue/destinations", "/admin/queue/ABC123", "/admin/tracking?q=a@x.example", "/admin/log",
        "/admin/simulator", "/admin/tables/", "/admin/tables/sender_access", "/admin/settings/",
        "/admin/settings/message_size_limit", "/admin/settings/text", "/admin/settings/postfix", "/admin/history/",
        "/account/", "/account/password", "/account/security", "/account/security/app", "/account/security/passkey",
        "/account/sessions", "/account/tokens", "/account/app-passwords", "/account/activity", "/account/tracking",
    ]  # fmt: skip


@pytest.mark.timeout(400)  # some fifty pages
@pytest.mark.parametrize(("width", "language"), [(320, "zh-CN"), (768, "en-US"), (1280, "zh-CN"), (2560, "en-US")])
@pytest.mark.parametrize("scripts", [True, False], ids=["script", "no script"])
def test_no_page_runs_out_of_its_screen_or_into_an_error(visit, width: int, language: str, scripts: bool) -> None:
    page = visit(width, language, java_script_enabled=scripts)
    for path in addresses():
        answer = page.goto(path)
        assert answer.status == 200, path
        assert page.locator("html").get_attribute("lang") == {"zh-CN": "zh-hans", "en-US": "en"}[language]
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
    assert page.wrong == []


def submit(page: Page, button: str) -> None:
    """Press a form's button and wait for the page that answers it.

    A click alone may return before the old page is gone.
    """
    with page.expect_navigation():
        page.click(button)


def answers(page: Page) -> Iterator[str]:
    """Visit pages behind a button (field errors, reports, confirmations) and yield a name of each.

    Nothing is left behind that the next one needs.
    """
    page.goto("/admin/domains/new")
    page.fill("[name=name]", "no domain")
    submit(page, "main form button.button")
    yield "a mistake"
    page.goto("/admin/accounts/")
    page.check("[name=all]")
    submit(page, "main form[method=post] button.button")
    yield "many accounts"
    page.goto("/admin/accounts/import")
    page.fill("[name=text]", "address,password\nzhao@benet.com,a b c d e f\nli si@benet.com,x\n")
    submit(page, "[name=try]")
    yield "a report by line"
    page.goto("/admin/simulator")
    page.fill("[name=recipient]", "all@benet.com")
    submit(page, "main form button.button")
    yield "a decision"
    page.goto("/admin/aliases/text")
    page.fill("[name=text]", "all: lisi\nbad: nobody\n")
    submit(page, "main form button.button.plain")
    yield "aliases with a mistake"
    page.goto("/admin/settings/postfix")
    page.fill("[name=text]", "message_size_limit = 7\nno_such = 1\n")
    submit(page, "[name=try]")
    yield "a main.cf looked over"
    page.goto("/admin/queue/ABC123")
    submit(page, "main form button[value=delete]")
    yield "a message to be deleted"
    page.goto("/account/app-passwords")
    page.fill("[name=label]", "laptop")
    submit(page, "main form button.button")
    yield "a password shown once"
    page.goto("/account/confirm")
    yield "is it really you"


def test_every_page_is_looked_at(benet) -> None:
    seen = {resolve(path.partition("?")[0]).url_name for path in addresses()}
    shown_by_answers = {"bulk", "confirm", "second-step"}
    downloads = {"export", "log-download", "main-cf"}
    assert {page for page, _, _ in PAGES} | POSTED - ONLY_ACTS == seen | shown_by_answers | downloads


@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    ("width", "scheme", "language"),
    [(340, "light", "zh-CN"), (340, "dark", "en-US"), (1280, "dark", "zh-CN"), (1280, "light", "en-US")],
)
def test_axe_finds_nothing(visit, width: int, scheme: str, language: str) -> None:
    page = visit(width, language, color_scheme=scheme)
    for path in addresses():
        page.goto(path)
        assert accessibility.violations(page) == [], path
    for name in answers(page):
        assert accessibility.violations(page) == [], name


class Clicks:
    """Somebody who has never seen the screens and counts what they press."""

    def __init__(self, page: Page) -> None:
        self.page, self.count = page, 0

    def click(self, what: str) -> None:
        self.count += 1
        self.page.locator(what).first.click()
        self.page.wait_for_load_state()

    def fill(self, field: str, text: str) -> None:
        self.count += 1
        self.page.fill(field, text)


@pytest.mark.parametrize("scripts", [True, False], ids=["script", "no script"])
def test_a_domain_an_account_an_alias_and_more_quota_in_under_twenty_clicks(visit, scripts: bool) -> None:
    page = visit(java_script_enabled=scripts)
    page.goto("/admin/")
    me = Clicks(page)
    me.click("nav >> text=Domains")
    me.click("text=New domain")
    me.fill("[name=name]", "accp.com")
    me.click("text=Create domain")
    me.click("nav >> text=Accounts")
    me.click("text=New account")
    me.fill("[name=local_part]", "wang")
    page.select_option("[name=domain]", "accp.com")
    me.count += 1
    me.fill("[name=password]", "seven hutongs east")
    me.click("main button:has-text('Create')")
    me.click("nav >> text=Aliases")
    me.click("text=New alias")
    me.fill("[name=local_part]", "sales")
    page.select_option("[name=domain]", "accp.com")
    me.count += 1
    me.fill("[name=targets]", "wang")
    me.click("text=Create alias")
    me.click("nav >> text=Accounts")
    me.click("text=wang@accp.com")
    me.fill("[name=quota_bytes]", "2 GB")
    page.press("[name=quota_bytes]", "Enter")
    page.wait_for_load_state()
    assert me.count < 20
    assert Account.objects.get(address="wang@accp.com").quota_bytes == 2 << 30
    assert Alias.objects.get(address="sales@accp.com").targets == ["wang@accp.com"]
    assert account_login.log_in("wang@accp.com", "seven hutongs east", "imap", "192.0.2.1")


def test_a_setting_is_changed_and_undone_by_hand(visit) -> None:
    page = visit(java_script_enabled=False)
    page.goto("/admin/settings/smtpd_recipient_limit")
    page.fill("textarea", "77")
    page.click("main button:has-text('Save')")
    page.goto("/admin/history/")
    assert "→ 77" in re.sub(r"\s+", " ", page.inner_text(".changes li:first-child")) or "77" in page.inner_text(
        ".changes"
    )
    page.click("text=Undo")
    assert "Undone" in page.inner_text("[role=status]")
    assert Change.objects.latest("pk").difference == {"value": ["77", None]}


def test_a_text_is_looked_through_while_it_is_typed(visit) -> None:
    page = visit()
    page.goto("/admin/aliases/text")
    page.fill("#text", "all: lisi\nbad: nobody\n")
    page.wait_for_selector("#verdict .m-failed")
    assert "There is no account or alias nobody@benet.com here" in page.inner_text("#verdict")
    assert page.wrong == []


def test_the_queue_is_live(visit) -> None:
    page = visit()
    page.goto("/admin/queue/")
    Queued.objects.create(id=0xDEF456, state="hold", due_us=1, received_us=1, size=1, sender="late@x.example")
    page.wait_for_selector("text=DEF456", timeout=15_000)
    assert page.wrong == []


def test_a_passkey_is_made_and_shown(visit, live_server) -> None:
    """Chromium's own double of a security key; hosts by address are no relying parties, so the site is localhost."""
    page = visit(name="lisi")
    session = page.context.new_cdp_session(page)
    session.send("WebAuthn.enable")
    options = {"protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True,
               "isUserVerified": True, "automaticPresenceSimulation": True}  # fmt: skip
    session.send("WebAuthn.addVirtualAuthenticator", {"options": options})
    page.goto("/account/security/passkey")
    page.fill("#label", "my key")
    page.click("text=Make a passkey")
    page.wait_for_selector("ol.codes")
    row = Factor.objects.get(kind="passkey")
    assert row.label == "my key"
    page.context.clear_cookies()
    page.goto("/login/?next=/account/")
    page.fill("#username", "lisi@benet.com")
    page.fill("#password", PASSWORD)
    page.press("#password", "Enter")
    page.click("text=Use a passkey")
    page.wait_for_url("**/account/")
    assert Factor.objects.get(kind="passkey").counter > row.counter
    assert Factor.objects.get(kind="passkey").last_used is not None
    assert page.wrong == []


def test_a_password_alone_shows_the_second_step_without_a_script(visit, benet) -> None:
    from mailcore.store.auth import second_factors

    lisi = Account.objects.get(address="lisi@benet.com")
    sealed = second_factors.new_totp_key()
    from mailcore.wire.auth import totp

    now = totp.step_at(time.time())
    assert second_factors.add_authenticator(
        lisi.pk, "phone", sealed, totp.compute_code(second_factors.decrypt_totp_key(sealed), now)
    )
    page = visit(name="lisi", language="zh-CN", java_script_enabled=False)
    assert "确认是您本人" in page.inner_text("main")
    page.fill("#code", totp.compute_code(second_factors.decrypt_totp_key(sealed), totp.step_at(time.time()) + 1))
    page.press("#code", "Enter")
    page.wait_for_url("**/account/")
