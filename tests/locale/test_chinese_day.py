"""小七's colleague 李四 reads only Chinese: a day's work without a word of English on the screen."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from mailcore.store.auth import account_login
from webmail_fixtures import PASSWORD, PostOffice, make_message

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

# What can be read: texts and choices that are shown, hints in empty fields; languages name themselves in their own words.
READABLE = """() => {
  const texts = [], walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
  while (walk.nextNode()) {
    const own = walk.currentNode.parentElement
    const shown = own.matches('option') ? own.closest('select').checkVisibility() : own.checkVisibility()
    if (shown && !own.closest('script, style, noscript, [lang]:not(html)')) texts.push(walk.currentNode.data)
  }
  for (const field of document.querySelectorAll('[placeholder]')) if (field.checkVisibility()) texts.push(field.placeholder)
  return [document.title, ...texts].join('\\n')
}"""
# The house's name, addresses, units of size, names of files and time zones, and the sign of an answer (RFC 5322 §3.6.5).
KNOWN = re.compile(r"Youju|[\w.+-]+@[\w.-]+|\b(?:KB|MB|GB)\b|报告\.pdf|\bRe:|\b[A-Z]\w+/[\w/ +-]+")


def check(page: Page) -> None:
    page.wait_for_selector("body")  # a page that is just being replaced has none
    text = page.evaluate(READABLE)
    assert re.search("[一-龥]", text)
    assert re.findall("[A-Za-z]{2,}", KNOWN.sub(" ", text)) == [], page.url


@pytest.fixture
def page(chromium: Browser, live_server, office: PostOffice) -> Page:
    context = chromium.new_context(base_url=live_server.url, locale="zh-CN", viewport={"width": 1280, "height": 800})
    page = context.new_page()
    page.set_default_timeout(10_000)
    yield page
    context.close()


GB18030 = (
    b"From: \xd0\xa1\xc6\xdf <xiaoqi@benet.com>\r\nTo: lisi@benet.com\r\nSubject: "
    + "关于朱镕基同志讲话的通知".encode("gb18030")
    + b"\r\nDate: Sat, 12 Sep 2026 14:05:00 +0800\r\nMessage-ID: <gb@benet.com>\r\nMIME-Version: 1.0\r\n"
    b"Content-Type: text/plain; charset=gb2312\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    + "各位同事：\r\n请朱镕基、王喆、㐂女士阅，欧元符号：€。\r\n".encode("gb18030")
)


def test_a_day_in_chinese(page: Page, office: PostOffice, settings, tmp_path: Path) -> None:
    settings.AUTH_PASSWORD_VALIDATORS = []
    office.put(make_message("董事会议程", "周三上午九点。\n"))
    office.put(make_message("出差", "一路平安。\n"))
    office.put(GB18030)

    page.goto("/")
    check(page)
    page.fill("#username", "lisi")
    page.fill("#password", "不对的密码")
    page.press("#password", "Enter")
    check(page)
    page.fill("#password", PASSWORD)
    page.press("#password", "Enter")
    page.wait_for_selector(".folders")
    check(page)
    page.click("text=以后再说")
    check(page)

    page.click(".row .subject:has-text('关于朱镕基同志讲话的通知')")
    page.wait_for_selector(".reading")
    text = page.inner_text("main")
    assert "请朱镕基、王喆、㐂女士阅，欧元符号：€。" in text
    assert "小七" in text
    assert "2026年9月12日 星期六 14:05" in text
    check(page)

    page.click("a:has-text('回复') >> nth=0")
    check(page)
    report = tmp_path / "报告.pdf"
    report.write_bytes(b"%PDF-1.4 " + b"x" * 3000)
    page.set_input_files("input[type=file]", report)
    page.fill("textarea[name=body]", "收到，报告见附件。")
    if page.locator("button:has-text('上传')").is_visible():
        page.click("button:has-text('上传')")
    page.wait_for_selector("text=报告.pdf")
    check(page)
    page.click("button:has-text('发送') >> nth=0")
    page.wait_for_selector(".note.success")
    check(page)
    office.deliver()
    [answer] = office.messages("xiaoqi")
    assert b"filename*=utf-8''%E6%8A%A5%E5%91%8A.pdf" in answer
    assert b"In-Reply-To: <gb@benet.com>" in answer

    page.fill("#q", "会议")
    page.press("#q", "Enter")
    page.wait_for_selector(".searching")
    assert page.locator(".row .subject").all_inner_texts() == ["董事会议程"]
    check(page)

    page.click("summary[aria-label='lisi@benet.com']")
    page.click("text=我的账号")
    check(page)
    page.click("nav >> text=密码 >> nth=0")
    check(page)
    page.fill("[name=present]", PASSWORD)
    page.fill("[name=password]", "七条胡同")
    page.fill("[name=again]", "七条胡同")
    page.press("[name=again]", "Enter")
    page.wait_for_selector("text=密码已更改")
    check(page)
    assert account_login.log_in("lisi@benet.com", "七条胡同", "imap", "192.0.2.1")
