"""Writing in a real browser: messages that save themselves, two tabs, the back button, a double click, dropped files."""

import email
import email.policy
import re
from pathlib import Path

import pytest

from mailcore.models import Recipient, SieveScript
from webmail.models import Composition
from webmail_fixtures import PostOffice

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def bodies() -> set[str]:
    return {each.fields.get("body", "") for each in Composition.objects.all()}


def text(data: bytes) -> str:
    found = email.message_from_bytes(data, policy=email.policy.default).get_body()
    return found.get_content().strip()


def test_a_message_saves_itself(visit, office: PostOffice) -> None:
    page = visit()
    page.goto("/compose/")
    page.fill("#to", "xiaoqi@benet.com")
    with page.expect_response(re.compile("/compose/")) as saved:
        page.fill("#text", "第一段")
    assert saved.value.json()["saved"]
    page.wait_for_selector(".saved:not(:empty)")
    with page.expect_response(re.compile("/compose/")):
        page.fill("#text", "第一段。第二段")
    assert bodies() == {"第一段。第二段"}
    assert [text(each) for each in office.messages("lisi", "Drafts")] == ["第一段。第二段"]
    page.click("button[value=send]")
    page.wait_for_selector(".note.success")
    office.deliver()
    assert [text(each) for each in office.messages("xiaoqi")] == ["第一段。第二段"]
    assert office.messages("lisi", "Drafts") == []


def test_another_device_goes_on_with_it(visit) -> None:
    page = visit()
    page.goto("/compose/")
    with page.expect_response(re.compile("/compose/")):
        page.fill("#text", "am Rechner begonnen")
    phone = visit(360)
    phone.goto("/compose/")
    phone.click("text=Go on writing")
    assert phone.input_value("#text") == "am Rechner begonnen"


@pytest.mark.parametrize("scripts", [True, False])
def test_two_tabs(visit, office: PostOffice, scripts: bool) -> None:
    page = visit(java_script_enabled=scripts)
    page.goto("/compose/")
    page.fill("#to", "xiaoqi@benet.com")
    page.fill("#text", "one")
    page.click("button[value=draft]")
    page.wait_for_selector(".note.success")
    other = page.context.new_page()
    other.goto(page.url)
    other.fill("#text", "from the other tab")
    other.click("button[value=draft]")
    other.wait_for_selector(".note.success")
    page.fill("#text", "from this tab")
    page.click("button[value=send]")
    page.wait_for_selector(".note.error")
    assert page.input_value("#text") == "from this tab"
    assert {"from this tab", "from the other tab"} <= bodies()
    page.click("button[value=send]")
    page.wait_for_selector(".note.success")
    office.deliver()
    assert [text(each) for each in office.messages("xiaoqi")] == ["from this tab"]


@pytest.mark.parametrize("scripts", [True, False])
def test_back_after_sending_and_again(visit, office: PostOffice, scripts: bool) -> None:
    page = visit(java_script_enabled=scripts)
    page.goto("/compose/")
    page.fill("#to", "xiaoqi@benet.com")
    page.fill("#text", "once")
    page.click("button[value=send]")
    page.wait_for_selector(".note.success")
    page.go_back()
    page.wait_for_selector(".note.info")
    assert "This message was sent or discarded already." in page.content()
    assert page.locator("form.compose").count() == 0
    assert Recipient.objects.count() == 1


def test_reloading_does_not_attach_twice(visit, office: PostOffice, tmp_path: Path) -> None:
    one = tmp_path / "a.txt"
    one.write_text("x")
    page = visit(java_script_enabled=False)
    page.goto("/compose/")
    page.set_input_files("#files", one)
    page.click("button.plain[value=attach]")
    page.wait_for_selector(".chips")
    page.reload()
    assert page.locator(".chips li").count() == 1


def test_a_double_click_sends_once(visit, office: PostOffice) -> None:
    page = visit(java_script_enabled=False)
    page.goto("/compose/")
    page.fill("#to", "xiaoqi@benet.com")
    page.fill("#text", "once")
    page.dblclick("button[value=send]")
    page.wait_for_selector(".note")
    assert Recipient.objects.count() == 1


def test_a_session_that_ends_while_writing(visit, office: PostOffice) -> None:
    page = visit()
    page.goto("/compose/")
    page.fill("#to", "xiaoqi@benet.com")
    page.fill("#text", "stundenlang geschrieben")
    page.context.clear_cookies(name="sessionid")
    page.click("button[value=send]")
    page.fill("#username", "lisi")
    page.fill("#password", "123456")
    page.press("#password", "Enter")
    page.wait_for_selector("form.compose")
    assert page.input_value("#text") == "stundenlang geschrieben"
    page.click("button[value=send]")
    page.wait_for_selector(".note.success")
    office.deliver()
    assert len(office.messages("xiaoqi")) == 1


def test_files_go_at_once_and_the_text_stays(visit, office: PostOffice, tmp_path: Path) -> None:
    one, two = tmp_path / "报告.txt", tmp_path / "b.bin"
    one.write_text("x")
    two.write_bytes(bytes(300_000))
    page = visit()
    page.goto("/compose/")
    page.fill("#text", "anbei")
    page.set_input_files("#files", [one, two])
    page.wait_for_selector(".chips >> text=报告.txt")
    assert page.input_value("#text") == "anbei"
    page.fill("#to", "xiaoqi@benet.com")
    page.click("button[value=send]")
    page.wait_for_selector(".note.success")
    office.deliver()
    [arrived] = office.messages("xiaoqi")
    parts = email.message_from_bytes(arrived, policy=email.policy.default).iter_attachments()
    assert [part.get_filename() for part in parts] == ["报告.txt", "b.bin"]


def test_a_file_that_is_too_large_is_not_even_sent(visit, tmp_path: Path, parameters) -> None:
    parameters(message_size_limit="100000")
    large = tmp_path / "large.bin"
    large.write_bytes(bytes(200_000))
    page = visit()
    page.goto("/compose/")
    assert "73 KB at most" in page.inner_text(".attaching")
    page.asked.clear()
    page.set_input_files("#files", large)
    assert "large.bin" in page.inner_text(".saved")
    assert [url for url in page.asked if not url.endswith("/events")] == []


def test_sending_is_undone_in_the_list(visit, office: PostOffice, settings) -> None:
    settings.WEBMAIL = settings.WEBMAIL | {"UNDO_SECONDS": 30}
    page = visit(java_script_enabled=False)
    page.goto("/compose/")
    page.fill("#to", "xiaoqi@benet.com")
    page.fill("#text", "zu früh")
    page.click("button[value=send]")
    page.click("text=Undo")
    assert page.input_value("#text") == "zu früh"


@pytest.mark.parametrize("width", [340, 1280])
def test_a_rule_is_made_by_pointing(visit, office: PostOffice, width: int) -> None:
    page = visit(width, java_script_enabled=False)
    page.goto("/filters/")
    page.click("text=New rule")
    page.locator("input[name=header]").wait_for(state="hidden")  # only where another header is asked for
    assert page.locator("input[name=address]").is_hidden()
    page.select_option("select[name=field]", "header")
    assert page.locator("input[name=header]").is_visible()
    page.select_option("select[name=field]", "subject")
    page.fill("input[name=value]", "账单")
    page.click("text=Something else, too")
    page.locator("select[name=folder]").first.select_option("Archive")
    page.click("button.main-button[value=save]")
    page.wait_for_selector(".note.success")
    assert 'fileinto "Archive";' in SieveScript.objects.get().content
    assert "\\\\Seen" in SieveScript.objects.get().content
