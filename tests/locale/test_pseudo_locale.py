"""Every page in a language nobody speaks: nothing on it was kept from translators, and nothing is too long for its place."""

import re
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from playwright.sync_api import Page

from mailcore.models import Account, Queued
from mailcore.store import directory
from mailcore.store.auth import account_login
from mailcore.store.settings import lookup_tables
from tests.locale import pseudo
from tests.mailadmin.test_browser import addresses
from tests.webmail.test_browser import PATHS
from webmail_fixtures import PASSWORD, PostOffice, make_message

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

# All that can be read on a page or heard of it, but for what is written in a machine's own signs.
TEXTS = """() => {
  const texts = [], walk = document.createTreeWalker(document, NodeFilter.SHOW_ELEMENT | NodeFilter.SHOW_TEXT)
  for (let node = walk.nextNode(); node; node = walk.nextNode()) {
    const element = node.nodeType === 1 ? node : node.parentElement
    if (!element || element.closest('script, style, noscript, code, kbd, pre, textarea, .mono, .log, [translate=no], [lang]:not(html)')) continue
    if (node.nodeType === 3) texts.push(node.data)
    else for (const name of ['title', 'aria-label', 'placeholder', 'alt']) if (node.hasAttribute(name)) texts.push(node.getAttribute(name))
  }
  return texts
}"""

# Pseudo-texts that stick out of the page, of the nearest box that cuts off what sticks out, or of their own button.
CUT = """() => {
  const cut = [], walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), range = document.createRange()
  while (walk.nextNode()) {
    const node = walk.currentNode, own = node.parentElement
    if (!/[⟦⟧]/.test(node.data) || own.closest('.sr, .skip, option, title, [popover]:not(:popover-open)') || !own.checkVisibility()) continue
    range.selectNodeContents(node)
    const box = range.getBoundingClientRect()
    if (!box.width) continue
    let why = '', scrolls = false
    for (let e = own; e && !why && !scrolls; e = e.parentElement) {
      const style = getComputedStyle(e), frame = e.getBoundingClientRect()
      if (frame.width <= 1) { scrolls = true; break } // for screen readers only
      const sideways = box.right > frame.right + 1 || box.left < frame.left - 1
      const down = box.bottom > frame.bottom + 2 || box.top < frame.top - 2
      if (['auto', 'scroll'].includes(style.overflowX) && e !== document.documentElement) scrolls = true
      else if (sideways && (['hidden', 'clip'].includes(style.overflowX) || e.matches('a.button, button, th, td, .tag, .note'))) why = 'sideways of '
      else if (down && ['hidden', 'clip'].includes(style.overflowY)) why = 'down of '
      if (why) why += e.tagName.toLowerCase() + '.' + e.className
    }
    if (!why && !scrolls && (box.right > innerWidth + 1 || box.left < -1)) why = 'of the page'
    if (why) cut.push(node.data.trim().slice(0, 60) + ' sticks out ' + why)
  }
  return [...new Set(cut)]
}"""  # fmt: skip


@pytest.fixture
def pseudo_language(settings, tmp_path: Path) -> None:
    pseudo.write(tmp_path / "pseudo")
    settings.LANGUAGES = [(pseudo.CODE, "⟦⟧"), ("en", "⟦⟧")]
    settings.LOCALE_PATHS = [*django_settings.LOCALE_PATHS, str(tmp_path / "pseudo")]


@pytest.fixture
def page(chromium, live_server, office: PostOffice, pseudo_language, settings) -> Page:
    """李四 is signed in and administrates; every page has something to show."""
    settings.PORTS = dict.fromkeys(settings.PORTS)
    settings.DNS_WATCH = False
    fill(office)
    context = chromium.new_context(
        base_url=live_server.url, viewport={"width": 1280, "height": 800}, locale=pseudo.CODE
    )
    page = context.new_page()
    page.set_default_timeout(10_000)
    page.goto("/login/")
    check(page)
    page.fill("#username", "lisi")
    page.fill("#password", PASSWORD)
    page.press("#password", "Enter")
    page.wait_for_selector(".folders", state="attached")
    yield page
    context.close()


def fill(office: PostOffice) -> None:
    lisi = Account.objects.get(address="lisi@benet.com")
    lisi.role, lisi.name = "administrator", "李四"
    lisi.save()
    directory.create_alias("all@benet.com", ["lisi", "xiaoqi"])
    lookup_tables.replace_entries("sender_access", {"spam@x.example": "REJECT"})
    account_login.make_app_password(lisi.pk, "手机")
    waiting = Queued.objects.create(
        id=0xABC123, state="deferred", due_us=1, received_us=1, size=1, sender="a@x.example"
    )
    waiting.recipients.create(address="b@far.example", original="b@far.example", reason="450")
    message = make_message("会议", "您好\n")
    message.add_alternative("<p>您好 <img src='https://x.example/p.gif'></p>", subtype="html")
    message.add_attachment(b"x", "application", "pdf", filename="报告.pdf")
    office.put(message)
    office.put(make_message("董事会", "您好\n"), flags=r"(\Seen \Flagged \Answered)")
    asked = {
        "List-Id": "<l.x.example>",
        "List-Post": "<mailto:l@x.example>",
        "List-Unsubscribe": "<https://x.example/>",
        "Disposition-Notification-To": "xiaoqi@benet.com",
        "X-Priority": "1",
        "Reply_To": "x@evil.example",
    }
    office.put(make_message("出差", "您好\n", **asked))
    office.put(make_message("草稿", "您好\n"), box="Drafts", flags=r"(\Draft)")


# What stands on pages in Latin letters and is nobody's to translate: addresses, hosts, paths, parameters, time zones,
# queue ids; names of protocols, programs and standards; what the messages and rows of `fill` say.
DATA = re.compile(
    r"\S+@\S+|https?:\S+|[A-Z]\w+/[\w/+ -]+|/\S+|\b[\w-]+(?:\.[\w-]+)+(?::\d+)?|\b\w+_\w+\b|\b[0-9A-F]{6,}\b"
    r"|\b(?:UTC|TLS|DNS|MX|TXT|SRV|CNAME|PTR|RSA|Ed25519|DKIM|OpenAPI|Chrome, Linux|Message-ID|MAILER-DAEMON|X-Spam-Flag|postconf -n)\b"
    r"|\((?:Drafts|Sent|Archive|Snoozed|Junk|Trash)\)$|\bRe:|\b(?:mbox|virtual|aliases|REJECT|youju)\b"
)


def untranslated(texts: list[str]) -> list[str]:
    return sorted({text.strip() for text in texts if re.search("[A-Za-z]{2}", DATA.sub(" ", text.strip()))})


def check(page: Page) -> None:
    assert untranslated(page.evaluate(TEXTS)) == [], page.url
    for width in (320, 1280):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width, (page.url, width)
        assert page.evaluate(CUT) == [], (page.url, width)


def test_every_page_of_the_webmail(page: Page) -> None:
    for path in PATHS:
        assert page.goto(path).status in (200, 404), path
        check(page)


def test_every_page_of_the_administrator(page: Page) -> None:
    for path in addresses():
        assert page.goto(path).status == 200, path
        check(page)
