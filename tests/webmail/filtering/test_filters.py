"""Filters: rules, the automatic answer, blocked senders, the script as text; kept by a real server, done at delivery."""

import re

import pytest
from django.test import override_settings

from mailcore.models import SieveScript
from webmail_fixtures import Browser, PostOffice, make_message

pytestmark = pytest.mark.django_db(transaction=True)


def script() -> str:
    return SieveScript.objects.get().content


def mark(browser: Browser) -> str:
    return browser.field("mark")


def save_rule(browser: Browser, path: str = "/filters/rule/new", **more):
    """One condition and one action, changed by `more`."""
    browser.see(path)
    form = {
        "name": "Bills",
        "of": "all",
        "field": "subject",
        "how": "contains",
        "value": "账单",
        "header": "",
        "act": "move",
        "folder": "Archive",
        "label": "",
        "address": "",
        "stop": "1",
        "enabled": "1",
    }
    return browser.press(path, do="save", mark=mark(browser), **(form | more))


def arrive(office: PostOffice, browser: Browser, subject: str, to: str = "lisi@benet.com") -> None:
    """小七 writes a message, which is delivered."""
    other = Browser()
    other.sign_in("xiaoqi")
    other.see("/compose/")
    other.press("/compose/", do="send", message=other.field("message"), to=to, subject=subject, body="x")
    office.deliver()


def test_a_rule_is_made_and_obeyed(office: PostOffice, lisi: Browser) -> None:
    lisi.see("/filters/")
    assert "No rules yet." in lisi.page
    save_rule(lisi)
    assert "The rule was saved." in lisi.page
    assert "Bills" in lisi.page
    assert 'header :contains "subject" "账单"' in script()
    arrive(office, lisi, "九月账单")
    arrive(office, lisi, "会议")
    assert len(office.messages("lisi", "Archive")) == 1
    assert len(office.messages("lisi")) == 1


def test_what_is_missing_is_told_and_nothing_typed_is_lost(office: PostOffice, lisi: Browser) -> None:
    response = save_rule(lisi, value="", folder="", name="发票")
    assert response.status_code == 422
    assert "Please say what to look for." in lisi.page
    assert "Please choose a folder." in lisi.page
    assert lisi.field("name") == "发票"
    assert not SieveScript.objects.exists()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"field": "larger", "value": "many"}, "A size is a number of KB."),
        ({"field": "header", "header": "no name", "value": "x"}, "is not the name of a header"),
        ({"act": "forward", "address": "nobody"}, "is not an e-mail address"),
        ({"act": "label", "label": ""}, "Please choose a label."),
    ],
)
def test_bad_rules(office: PostOffice, lisi: Browser, given, words) -> None:
    save_rule(lisi, **given)
    assert words in lisi.page
    assert not SieveScript.objects.exists()


def test_rows_are_added_without_javascript(office: PostOffice, lisi: Browser) -> None:
    lisi.see("/filters/rule/new")
    form = {"field": "from", "how": "is", "value": "x@y.example", "header": "", "act": "read"}
    form |= {"folder": "", "label": "", "address": "", "name": "n"}
    lisi.press("/filters/rule/new", do="more-conditions", mark=mark(lisi), **form)
    assert lisi.page.count('name="field"') == 2
    assert "x@y.example" in lisi.page
    lisi.press("/filters/rule/new", do="less-conditions:0", mark=mark(lisi), **form)
    assert lisi.page.count('name="field"') == 1
    assert "x@y.example" not in lisi.page


def test_rules_are_moved_switched_and_removed(office: PostOffice, lisi: Browser) -> None:
    save_rule(lisi, name="One")
    save_rule(lisi, name="Two")
    lisi.press("/filters/", do="down:0", mark=mark(lisi))
    assert re.findall(r"# Rule: (\w+)", script()) == ["Two", "One"]
    lisi.press("/filters/", do="switch:0", mark=mark(lisi))
    assert "switched off" in lisi.page
    assert "allof (false," in script()
    lisi.press("/filters/", do="remove:0", mark=mark(lisi))
    assert re.findall(r"# Rule: (\w+)", script()) == ["One"]
    lisi.press("/filters/", do="remove:0", mark=mark(lisi))
    assert not SieveScript.objects.exists()  # messages go the shortest way again


def test_two_windows_do_not_undo_each_others_work(office: PostOffice, lisi: Browser) -> None:
    save_rule(lisi, name="One")
    old = mark(lisi)
    save_rule(lisi, name="Two")
    lisi.press("/filters/", do="remove:0", mark=old)
    assert "changed elsewhere meanwhile" in lisi.page
    assert re.findall(r"# Rule: (\w+)", script()) == ["One", "Two"]


def test_a_label_is_a_keyword(office: PostOffice, lisi: Browser) -> None:
    save_rule(lisi, act="label", label="工作", folder="")
    assert "工作" in lisi.page
    arrive(office, lisi, "账单")
    assert office.flags(1) == {"&XeVPXA-".lower()}


def test_away(office: PostOffice, lisi: Browser) -> None:
    lisi.see("/filters/answer")
    form = {"mark": mark(lisi), "days": "3", "subject": "不在", "addresses": ""}
    lisi.press("/filters/answer", enabled="1", text="", **form)
    assert "Please write the answer." in lisi.page
    lisi.press("/filters/answer", enabled="1", text="下周回来。", first="2026-12-02", last="2026-12-01", **form)
    assert "The last day is before the first." in lisi.page
    lisi.press("/filters/answer", enabled="1", text="下周回来。\n李四", **form)
    assert "Your automatic answer is on." in lisi.page
    arrive(office, lisi, "会议")
    [answer] = office.messages("xiaoqi")
    assert "下周回来。\r\n李四".encode() in answer
    lisi.see("/filters/answer")
    lisi.press("/filters/answer", text="下周回来。", **(form | {"mark": mark(lisi)}))
    assert "Your automatic answer is off." in lisi.page
    arrive(office, lisi, "会议")
    assert len(office.messages("xiaoqi")) == 1
    assert "下周回来。" in lisi.see("/filters/answer").content.decode()  # for the next time


def test_a_sender_is_blocked_and_let_in_again(office: PostOffice, lisi: Browser) -> None:
    office.put(make_message())
    lisi.see("/mail/1")
    assert 'name="block" value="xiaoqi@benet.com" formaction="/filters/block"' in lisi.page
    assert "/filters/rule/new?from=xiaoqi%40benet.com" in lisi.page
    lisi.press("/filters/block", block="xiaoqi@benet.com")
    assert "go to the junk folder from now on" in lisi.page
    arrive(office, lisi, "again")
    assert len(office.messages("lisi", "Junk")) == 1
    lisi.see("/filters/")
    lisi.press("/filters/", unblock="xiaoqi@benet.com", mark=mark(lisi))
    arrive(office, lisi, "again")
    assert len(office.messages("lisi", "Junk")) == 1
    lisi.press("/filters/block", block="lisi@benet.com")
    assert "cannot be blocked" in lisi.page


def test_more_like_this_message(office: PostOffice, lisi: Browser) -> None:
    lisi.see("/filters/rule/new", **{"from": "xiaoqi@benet.com", "subject": "x"})
    assert lisi.field("value") == "xiaoqi@benet.com"
    lisi.see("/filters/rule/new", **{"from": "xiaoqi@benet.com", "list": "News <l.example>"})
    assert lisi.field("value") == "<l.example>"


def test_a_script_as_text_with_its_mistakes(office: PostOffice, lisi: Browser) -> None:
    lisi.see("/filters/script")
    response = lisi.press("/filters/script", text="keep;\r\nbark;", mark=mark(lisi))
    assert response.status_code == 422
    assert "line 2" in lisi.page
    assert "bark;" in lisi.page
    lisi.press("/filters/script", text='require "copy"; redirect :copy "xiaoqi@benet.com"; keep;', mark=mark(lisi))
    assert "says more than these pages can show" in lisi.page
    arrive(office, lisi, "x")
    assert len(office.messages("xiaoqi")) == 1
    lisi.press("/filters/", do="anew")
    assert "No rules yet." in lisi.page
    assert SieveScript.objects.count() == 2


def test_a_server_without_the_service(office: PostOffice, lisi: Browser, settings) -> None:
    with override_settings(WEBMAIL=settings.WEBMAIL | {"SIEVE_SERVER": ""}):
        assert lisi.get("/filters/").status_code == 404
    with override_settings(WEBMAIL=settings.WEBMAIL | {"SIEVE_SERVER": "127.0.0.1:1"}):
        assert lisi.see("/filters/").status_code == 503


@pytest.mark.parametrize(
    ("given", "moved"),
    [
        ({"field": "from", "how": "is", "value": "xiaoqi@benet.com"}, 2),
        ({"field": "from", "how": "is", "value": "qi@benet.com"}, 0),  # part of an address is not the address
        ({"field": "from", "how": "isnot", "value": "xiaoqi@benet.com"}, 1),
        ({"field": "from", "how": "contains", "value": "小七"}, 2),
        ({"field": "subject", "how": "matches", "value": "*账单"}, 1),
        ({"field": "subject", "how": "lacks", "value": "账单"}, 2),
        ({"field": "anyone", "how": "contains", "value": "lisi"}, 3),
        ({"field": "body", "how": "contains", "value": "您好"}, 3),
        ({"field": "larger", "value": "900"}, 0),
        ({"field": "all", "value": ""}, 3),
    ],
)
def test_a_rule_in_hindsight(office: PostOffice, lisi: Browser, given, moved) -> None:
    office.put(make_message(subject="九月账单"))
    office.put(make_message(subject="会议"))
    office.put(make_message(subject="会议", sender="other@far.example"))
    save_rule(lisi, now="1", **given)
    assert f"The rule was applied to {moved} message{'s' * (moved != 1)} in the inbox." in lisi.page
    assert len(office.messages("lisi", "Archive")) == moved


def test_any_of_several_in_hindsight(office: PostOffice, lisi: Browser) -> None:
    office.put(make_message(subject="one", text="payment"))
    office.put(make_message(subject="two", text="nothing"))
    office.put(make_message(subject="three", sender="other@far.example", text="nothing"))
    either = {
        "field": ["from", "body"],
        "how": ["is", "contains"],
        "value": ["qi@benet.com", "payment"],
        "header": ["", ""],
    }
    save_rule(lisi, now="1", of="any", **either)
    assert "The rule was applied to 1 message in the inbox." in lisi.page
    assert b"Subject: one" in office.messages("lisi", "Archive")[0]


def test_nothing_is_forwarded_in_hindsight(office: PostOffice, lisi: Browser) -> None:
    office.put(make_message(subject="九月账单"))
    save_rule(lisi, now="1", act="forward", address="xiaoqi@benet.com")
    assert "The rule was not applied to the inbox" in lisi.page
    office.deliver()
    assert office.messages("xiaoqi") == []
    save_rule(lisi, now="1", field="header", header="X-A", how="matches", value="*")
    assert "The rule was not applied to the inbox" in lisi.page
