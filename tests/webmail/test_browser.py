"""A real browser before a real server: without JavaScript, narrow and wide, light and dark."""

import gzip
import re
from pathlib import Path

import pytest
from django.conf import settings
from playwright.sync_api import Page

import accessibility
from mailcore import stylesheet
from tests.webmail.sanitize.test_html_sanitizer import ATTACKS
from webmail_fixtures import PostOffice, make_message

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


EVIL = """<html><body onload="alert(1)"><script>fetch('https://evil.example/s')</script>
<p style="background:url(https://evil.example/b.gif)">各位</p><img src="https://evil.example/t.gif" onerror="alert(2)">
<iframe src="https://evil.example/f"></iframe><svg onload="alert(3)"></svg><style>@import url(https://evil.example/c.css);</style>
<link rel=stylesheet href="https://evil.example/l.css"><meta http-equiv=refresh content="0;url=https://evil.example/m">
<form action="https://evil.example/p"><input name=q autofocus></form><a href="https://www.example.com/">weiter</a></body></html>"""


@pytest.mark.parametrize("width", [360, 1280])
def test_a_day_without_javascript(visit, office: PostOffice, width: int) -> None:
    office.put(make_message("会议", "您好\n"))
    page = visit(width, java_script_enabled=False)
    page.goto("/")
    page.click(".subject")
    page.click("a[accesskey=r]")
    page.fill("textarea[name=body]", "收到。")
    page.click("button[value=send]")
    assert page.locator(".note.success").inner_text() == "Your message was sent."
    office.deliver()
    assert len(office.messages("xiaoqi")) == 1
    page.goto("/")
    page.check("input[name=uid]")
    page.click("button[value=delete]")
    assert "1 message moved to Trash." in page.content()
    if width < 600:
        page.goto("/compose/")
        assert page.locator("#pane").is_hidden()


def test_the_folders_open_on_a_narrow_screen(visit) -> None:
    page = visit(360)
    assert page.locator("#pane").is_hidden()
    page.click(".menu-button")
    assert page.locator("#pane").is_visible()
    page.click("#pane >> text=Archive")
    assert page.locator("h1").inner_text() == "Archive"
    page.click(".menu-button")
    page.keyboard.press("Escape")
    assert page.locator("#pane").is_hidden()


def test_a_hostile_message_reaches_nobody(visit, office: PostOffice) -> None:
    message = make_message("Rechnung")
    message.set_content(EVIL, subtype="html")
    office.put(message)
    page = visit()
    page.goto("/mail/1")
    page.wait_for_load_state("networkidle")
    assert "各位" in page.frame_locator("iframe").locator("body").inner_text()
    page.goto("/mail/1/body")
    page.goto("/mail/1/print")
    page.wait_for_load_state("networkidle")
    assert [url for url in page.asked if "evil" in url] == []


def test_images_are_loaded_when_asked_for(visit, office: PostOffice) -> None:
    message = make_message("Rechnung")
    message.set_content(EVIL, subtype="html")
    office.put(message)
    page = visit()
    page.goto("/mail/1")
    page.click("text=Show images")
    page.wait_for_load_state("networkidle")
    assert [url for url in page.asked if "evil" in url] == []
    assert len({url for url in page.asked if "/picture/" in url}) == 2


@pytest.mark.parametrize(
    "style", ["margin-top:-400px", "margin:-400px 0 0;float:left", "margin-top:-400px;display:table", "line-height:0"]
)
def test_a_printed_message_covers_none_of_our_own_lines(visit, office: PostOffice, style: str) -> None:
    message = make_message("Rechnung")
    inner = f"<div style='background:#fff;height:900px;width:900px;{style}'><p style='margin-top:-300px'>From: boss</p>"
    message.set_content(f"{inner}<p style='margin-top:-900px;background:red'>From: boss</p></div>", subtype="html")
    office.put(message)
    page = visit()
    page.goto("/mail/1/print")
    hidden = """[...document.querySelectorAll('h1, .head th, .head td')].filter(each => {
        const box = each.getBoundingClientRect();
        return !each.contains(document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2));
    }).length"""
    assert page.evaluate(hidden) == 0


PATHS = ["/", "/?in=Archive", "/?show=unread", "/conversation/3?open=all", "/mail/1?headers=details", "/mail/1/preview/2", "/search/", "/search/?form=1", "/search/?q=会议", "/options/display/", "/options/labels/", "/options/highlighting/", "/options/folders/", "/options/keys/", "/help/", "/help/about", "/transfer/", "/transfer/fetch", "/mail/1", "/mail/1?view=text&headers=all", "/mail/2", "/compose/", "/compose/?mode=all&of=1", "/folders/", "/search/?q=会议&where=all", "/contacts/", "/contacts/?who=x", "/contacts/?book=shared", "/mail/1/preview/3", "/contacts/new", "/options/", "/mail/999", "/mail/1/resend", "/filters/", "/filters/rule/new?from=a@b.example", "/filters/answer", "/filters/script", "/options/identities/", "/options/identities/new", "/options/texts/", "/scheduled/"]  # fmt: skip


CARD = "BEGIN:VCARD\r\nFN:王芳\r\nORG:邮局\r\nTEL:+86 10 1234\r\nEMAIL:wang@example.com\r\nNOTE:{}\r\nEND:VCARD\r\n"
CARD = CARD.format("长" * 300).encode()


@pytest.fixture
def library(office: PostOffice) -> None:
    message = make_message(
        "一个很长很长的主题" * 8, "x" * 400 + "\n" + "字" * 300 + "\n", "A" * 90 + " <xiaoqi@benet.com>"
    )
    message.add_alternative(f"<p>{'y' * 400}</p><table width=2000><tr><td>z</table>", subtype="html")
    message.add_attachment(b"x", "application", "pdf", filename="很长的文件名" * 12 + ".pdf")
    message.add_attachment(CARD, "text", "vcard", filename="王芳.vcf")
    office.put(message)
    office.put(make_message("会议", "您好\n"), flags=r"(\Seen \Flagged \Answered $label1)")
    asked = {
        "Message-ID": "<3@benet.com>",
        "List-Id": "<l.x>",
        "List-Post": "<mailto:l@x>",
        "List-Unsubscribe": "<https://x.example/>",
    }
    office.put(make_message("出差", "x\n", **asked))
    office.put(make_message("Re: 出差", "y\n", References="<3@benet.com>", Reply_To="x@evil.example"))


@pytest.mark.parametrize(
    ("width", "language"), [(320, "zh-CN"), (360, "en-US"), (768, "zh-CN"), (1280, "en-US"), (2560, "zh-CN")]
)
def test_no_page_runs_out_of_its_screen(visit, library, width: int, language: str) -> None:
    page = visit(width, language)
    for path in PATHS:
        page.goto(path)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path


AUDIT = """() => {
  const named = e => [e.getAttribute('aria-label'), e.labels?.[0]?.textContent, e.textContent, e.title, e.placeholder].some(text => text?.trim())
  const wrong = []
  for (const e of document.querySelectorAll('a[href], button, input:not([type=hidden]), select, textarea, summary'))
    if (!e.hidden && e.getAttribute('aria-hidden') !== 'true' && !named(e)) wrong.push(e.outerHTML.slice(0, 120))
  for (const e of document.querySelectorAll('img:not([alt])')) wrong.push(e.outerHTML.slice(0, 120))
  if (document.querySelectorAll('h1').length > 1) wrong.push('two h1')
  if (!document.documentElement.lang) wrong.push('no language')
  if (!document.querySelector('main')) wrong.push('no main')
  const ids = [...document.querySelectorAll('[id]')].map(e => e.id)
  for (const id of new Set(ids)) if (ids.filter(i => i === id).length > 1) wrong.push('twice: ' + id)
  return wrong
}"""

CONTRAST = """() => {
  const lum = c => { const v = c.map(x => { x /= 255; return x <= .03928 ? x / 12.92 : ((x + .055) / 1.055) ** 2.4 }); return .2126 * v[0] + .7152 * v[1] + .0722 * v[2] }
  const rgb = s => (s.match(/[\\d.]+/g) || []).map((x, i) => s.startsWith('color(') && i < 3 ? x * 255 : Number(x))
  const back = e => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor); if (c.length === 3 || c[3] === 1) return c } return [255, 255, 255] }
  const weak = []
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
  while (walk.nextNode()) {
    const e = walk.currentNode.parentElement
    if (!walk.currentNode.data.trim() || !e.checkVisibility?.({opacityProperty: true}) || e.closest('.sr, .skip, .nothing, [popover]:not(:popover-open), option')) continue
    if (getComputedStyle(e).backgroundImage !== 'none') continue
    const a = lum(rgb(getComputedStyle(e).color).slice(0, 3)), b = lum(back(e).slice(0, 3))
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05)
    if (ratio < 4.5) weak.push(ratio.toFixed(2) + ' ' + e.className + ' ' + walk.currentNode.data.trim().slice(0, 30))
  }
  return [...new Set(weak)]
}"""  # fmt: skip


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everything_has_a_name_and_can_be_read(visit, library, scheme: str) -> None:
    page = visit(color_scheme=scheme)
    for path in PATHS:
        page.goto(path)
        assert page.evaluate(AUDIT) == [], path
        assert page.evaluate(CONTRAST) == [], path


def test_the_keyboard_is_enough(visit, office: PostOffice) -> None:
    office.put(make_message("会议", "您好\n"))
    page = visit()
    page.goto("/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    keys = set(page.evaluate("[...document.querySelectorAll('[accesskey]')].map(e => e.accessKey)"))
    assert {"c", "o", "z", "i"} <= keys
    page.goto("/mail/1")
    keys = set(page.evaluate("[...document.querySelectorAll('[accesskey]')].map(e => e.accessKey)"))
    assert {"r", "a", "f", "h", "d", "b", "m", "y"} <= keys


def test_a_page_weighs_little(visit, office: PostOffice) -> None:
    for number in range(50):
        office.put(make_message(f"第{number}封关于会议的邮件", "您好\n"))
    page = visit()
    page.asked.clear()
    weight: dict[str, int] = {}
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    session.send("Network.clearBrowserCache")
    kinds: dict[str, str] = {}
    session.on("Network.responseReceived", lambda e: kinds.update({e["requestId"]: e["type"]}))
    session.on(
        "Network.loadingFinished", lambda e: weight.update({kinds.get(e["requestId"], "?"): e["encodedDataLength"]})
    )
    page.goto("/", wait_until="networkidle")
    asked = [url for url in page.asked if not url.startswith("data:") and not url.endswith("/events")]
    assert len(re.findall(r"<li class=.row", page.content())) == 50
    assert len(asked) <= 3, asked
    assert weight["Document"] <= 30_000
    assert len(gzip.compress(stylesheet.content("webmail"))) <= 15_000
    assert len(gzip.compress((Path(settings.BASE_DIR) / "static/webmail.js").read_bytes())) <= 20_000


# --- With scripts -----------------------------------------------------------------------------------


@pytest.fixture
def five(visit, office: PostOffice) -> Page:
    for number in range(1, 6):
        office.put(make_message(f"第{number}封"))
    page = visit()
    page.goto("/")
    return page


def picked(page: Page) -> int:
    return page.locator(".row input:checked").count()


def test_choosing_with_shift_and_all_at_once(five: Page) -> None:
    five.locator(".row input").nth(0).click()
    five.locator(".row input").nth(3).click(modifiers=["Shift"])
    assert picked(five) == 4
    five.click("a.pick")
    assert picked(five) == 0
    five.click("a.pick")
    assert picked(five) == 5
    assert five.url.endswith("/")


def test_an_action_needs_no_new_page(five: Page, office: PostOffice) -> None:
    five.evaluate("window.same = true")
    five.locator(".row input").nth(0).check()
    five.click("button[value=archive]")
    five.wait_for_selector(".note.success")
    assert five.evaluate("window.same") is True
    assert five.locator(".row").count() == 4
    five.locator(".row .star").nth(0).click()
    five.wait_for_selector(".row.starred")
    assert "\\Flagged" in office.flags(4)


def test_a_message_is_drawn_to_a_folder(five: Page, office: PostOffice) -> None:
    five.drag_and_drop(".row >> nth=1", ".folders a:has-text('Archive')")
    five.wait_for_selector(".note.success:has-text('Archive')")
    assert len(office.messages("lisi", "Archive")) == 1


def arrived(page: Page, selector: str) -> None:
    """The next page is there, and its script hears keys."""
    page.wait_for_selector(selector)
    page.wait_for_load_state("load")


def test_the_keys(five: Page, office: PostOffice) -> None:
    for key in "jjx":
        five.keyboard.press(key)
    assert five.locator(".row").nth(1).locator("input").is_checked()
    five.keyboard.press("#")
    arrived(five, ".note.success")
    assert len(office.messages("lisi", "Trash")) == 1
    five.keyboard.press("?")
    five.wait_for_selector("#keys", state="visible")
    assert "next, previous message" in five.locator("#keys").inner_text()
    five.keyboard.press("Escape")
    five.wait_for_selector("#keys", state="hidden")
    five.keyboard.press("/")
    five.keyboard.type("#!e")
    assert five.locator("#q").input_value() == "#!e"
    five.locator("#q").blur()
    five.keyboard.press("j")
    five.keyboard.press("Enter")
    arrived(five, ".reading")
    five.keyboard.press("u")
    arrived(five, ".rows, .list-rows")


def test_single_keys_are_switched_off(five: Page, office: PostOffice) -> None:
    five.goto("/options/keys/")
    five.uncheck("[name=shortcuts]")
    five.click("button[value=save]")
    five.goto("/")
    five.keyboard.press("j")
    five.keyboard.press("#")
    five.keyboard.press("c")
    assert five.locator(".row.at").count() == 0
    assert five.locator(".row").count() == 5
    assert five.url.endswith("/")


def test_every_attack_in_a_real_browser(visit, office: PostOffice) -> None:
    """Nothing runs (a dialog fails the test), nothing is asked of the network but our own site."""
    attacks = list(ATTACKS.values())
    for start in range(0, len(attacks), 40):
        message = make_message(f"{start}")
        message.set_content("\n<hr>\n".join(a for a in attacks[start : start + 40] if len(a) < 5000), subtype="html")
        office.put(message)
    for number, attack in enumerate(
        a for a in attacks if "<!--" in a or "<style" in a or "<plaintext" in a or "<math" in a
    ):
        if number < 30:
            message = make_message(f"alone {number}")
            message.set_content(attack, subtype="html")
            office.put(message)
    page = visit()
    page.goto("/?page=all")
    links = page.eval_on_selector_all(".row > a", "all => all.map(a => a.getAttribute('href'))")
    page.asked.clear()
    for link in links:
        page.goto(link)
        page.wait_for_load_state("load")
    assert len(links) > 35
    assert {url.split("/")[2] for url in page.asked if url.startswith("http")} == {page.url.split("/")[2]}


@pytest.mark.parametrize(("width", "scheme"), [(340, "light"), (340, "dark"), (1280, "light"), (1280, "dark")])
def test_axe_finds_nothing(visit, library, width: int, scheme: str) -> None:
    page = visit(width, color_scheme=scheme)
    for path in PATHS:
        page.goto(path)
        assert accessibility.violations(page) == [], path
