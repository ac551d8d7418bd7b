"""Pictures of every page: two languages or others, narrow and wide, light and dark, into screenshots/.

    tests/screenshots.py [--out DIR] [--only WORD] [--languages zh-hans,he,…]

Starts a demo site of its own, puts a few messages in, signs in as xiaoqi and as the administrator, and
visits every page. For people to look at; nothing is compared.
"""

import argparse
import itertools
import os
import shutil
import smtplib
import sys
from email.message import EmailMessage
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "bench"))
from demosite import Site, running

WEBMAIL = {
    "list": "/",
    "compose": "/compose/",
    "contacts": "/contacts/",
    "new-contact": "/contacts/new",
    "folders": "/folders/",
    "search": "/search/?q=会议&where=all",
    "advanced-search": "/search/?form=1",
    "options": "/options/",
    "display": "/options/display/",
    "labels": "/options/labels/",
    "highlighting": "/options/highlighting/",
    "folder-options": "/options/folders/",
    "keys": "/options/keys/",
    "shared-book": "/contacts/?book=shared",
    "transfer": "/transfer/",
    "fetch": "/transfer/fetch",
    "help": "/help/",
    "identities": "/options/identities/",
    "texts": "/options/texts/",
    "filters": "/filters/",
    "rule": "/filters/rule/new?from=lisi@benet.com",
    "answer": "/filters/answer",
    "script": "/filters/script",
    "scheduled": "/scheduled/",
    "account": "/account/",
}
ADMIN = {
    "dashboard": "/admin/",
    "domains": "/admin/domains/",
    "domain": "/admin/domains/1",
    "dns": "/admin/domains/1/dns",
    "accounts": "/admin/accounts/",
    "account": "/admin/accounts/2",
    "access": "/admin/accounts/2/access",
    "new-account": "/admin/accounts/new",
    "aliases": "/admin/aliases/",
    "alias-text": "/admin/aliases/text",
    "import": "/admin/accounts/import",
    "queue": "/admin/queue/",
    "log": "/admin/log",
    "simulator": "/admin/simulator",
    "tables": "/admin/tables/",
    "settings": "/admin/settings/?q=queue",
    "settings-text": "/admin/settings/text",
    "postfix": "/admin/settings/postfix",
    "history": "/admin/history/",
    "security": "/account/security",
    "add-app": "/account/security/app",
    "sessions": "/account/sessions",
    "tokens": "/account/tokens",
    "activity": "/account/activity",
}
MESSAGES = [
    (
        "李娜 <lina@example.cn>",
        "关于下周董事会会议的通知",
        "<p>各位同事：</p><p>董事会定于<b>下周三</b>下午两点在三楼会议室召开。</p>",
    ),
    (
        "Alice Johnson <alice@example.com>",
        "Quarterly report",
        "<h2>Q3</h2><p>The figures are <a href='https://example.com'>here</a>.</p>",
    ),
    ("王芳 <wangfang@example.cn>", "出差申请已批准", ""),
    ("Build Robot <robot@example.org>", "[ops] nightly build passed", ""),
]


def fill(site: Site) -> None:
    with smtplib.SMTP("127.0.0.1", site.ports["smtp"]) as client:
        for sender, subject, html in MESSAGES:
            message = EmailMessage()
            message["From"], message["To"], message["Subject"] = sender, "小七 <xiaoqi@benet.com>", subject
            message["Date"] = "Sun, 22 Nov 2026 10:00:00 +0800"
            message.set_content("请查收。\n\n> 原文\n\nhttps://example.com/\n")
            if html:
                message.add_alternative(html, subtype="html")
                message.add_attachment(b"%PDF-1.4 ...", maintype="application", subtype="pdf", filename="会议议程.pdf")
            client.send_message(message, "sender@example.com", ["xiaoqi@benet.com"])
    site.await_empty_queue()


def sign_in(page: Page, base: str, name: str, password: str) -> None:
    page.goto(f"{base}/login/")
    page.fill("[name=username]", name)
    page.fill("[name=password]", password)
    with page.expect_navigation():
        page.keyboard.press("Enter")


def shoot(browser: Browser, base: str, password: str, out: Path, only: str, languages: list[str]) -> int:
    count = 0
    for language, width, scheme in itertools.product(languages, (360, 1280), ("light", "dark")):
        context = browser.new_context(
            viewport={"width": width, "height": 900 if width > 600 else 740}, color_scheme=scheme, locale=language
        )
        page = context.new_page()
        # The address bar's own cookie is what the sign-in page's language choice sets.
        context.add_cookies([{"name": "django_language", "value": language, "url": base}])

        def picture(name: str, *, prefix: str = f"{language}-{width}-{scheme}", page: Page = page) -> None:
            nonlocal count
            if only in name:
                page.screenshot(path=out / f"{prefix}-{name}.png")
                count += 1

        page.goto(f"{base}/login/")
        picture("sign-in")
        sign_in(page, base, "xiaoqi", "123456")
        for name, path in WEBMAIL.items():
            page.goto(base + path)
            picture(name)
        page.goto(base + "/")
        links = page.eval_on_selector_all("a[href^='/mail/']", "all => all.map(a => a.getAttribute('href'))")
        for number, link in enumerate(dict.fromkeys(links[:4])):
            page.goto(base + link)
            picture(f"read-{number}")
        context.clear_cookies()
        context.add_cookies([{"name": "django_language", "value": language, "url": base}])
        sign_in(page, base, "admin@benet.com", password)
        for name, path in ADMIN.items():
            page.goto(base + path)
            picture(f"admin-{name}")
        context.close()
    return count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("screenshots"))
    parser.add_argument("--only", default="", help="pages whose name contains this word")
    parser.add_argument("--languages", default="zh-hans,en", help="codes as the settings have them, parted by commas")
    options = parser.parse_args()
    shutil.rmtree(options.out, ignore_errors=True)
    options.out.mkdir(parents=True)
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        parser.error("Chromium is not here")
    with running() as site, sync_playwright() as playwright:
        fill(site)
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        base, languages = f"http://127.0.0.1:{site.ports['web']}", options.languages.split(",")
        count = shoot(browser, base, site.administrator_password, options.out, options.only, languages)
        browser.close()
    print(f"{count} pictures in {options.out}/")


if __name__ == "__main__":
    main()
