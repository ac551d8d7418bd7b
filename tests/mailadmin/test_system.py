"""Settings, log and simulator on the screen."""

import pytest

from mailcore import conf
from mailcore.logs import writer
from mailcore.mta.queue import content_files


def test_a_setting_is_found_changed_and_put_back(office, visit):
    browser = visit("ann")
    page = browser.get("/admin/settings/", {"q": "hard_error"}).text
    assert "smtpd_hard_error_limit" in page
    assert "smtpd_soft_error_limit" not in page

    browser.post("/admin/settings/smtpd_hard_error_limit", {"value": "7"})
    assert conf.current().smtpd_hard_error_limit == 7
    assert "smtpd_hard_error_limit" in conf.explicit_values()

    browser.post("/admin/settings/smtpd_hard_error_limit", {"default": "1"})
    assert conf.current().smtpd_hard_error_limit == 20
    assert list(conf.explicit_values()) == []


def test_a_value_that_is_not_of_its_kind_is_refused_and_said(office, visit):
    answer = visit("ann").post("/admin/settings/smtpd_hard_error_limit", {"value": "many"})
    assert answer.status_code == 400
    assert "many" in answer.text
    assert conf.current().smtpd_hard_error_limit == 20


def test_what_the_environment_sets_is_not_changed_here(office, visit, parameters):
    parameters(smtpd_hard_error_limit="9")
    assert visit("ann").post("/admin/settings/smtpd_hard_error_limit", {"value": "7"}).status_code == 403
    assert conf.current().smtpd_hard_error_limit == 9


def test_an_unknown_setting(office, visit):
    assert visit("ann").get("/admin/settings/no_such_thing").status_code == 404


def test_every_setting_has_a_page(office, visit):
    browser = visit("ann")
    for name in conf.SPECS:
        assert browser.get(f"/admin/settings/{name}").status_code == 200, name


def test_the_log_by_words_and_level(office, visit):
    writer.write("smtpd", "connect from x[192.0.2.1]", "warning: dictionary attack from x[192.0.2.1]")
    writer.write("qmgr", "<script>alert(1)</script>")
    browser = visit("ann")
    page = browser.get("/admin/log").text
    assert "connect from" in page
    assert "<script>alert" not in page
    page = browser.get("/admin/log", {"level": "warning"}).text
    assert "dictionary attack" in page
    assert "connect from" not in page
    page = browser.get("/admin/log", {"q": "connect 192.0.2.1"}).text
    assert "dictionary attack" not in page
    assert b"dictionary attack" in b"".join(browser.get("/admin/log/download").streaming_content)


@pytest.mark.parametrize(
    ("recipient", "words"),
    [
        ("lisi@benet.com", "250 2.1.5 Ok"),
        ("a@elsewhere.example", "Relay access denied"),
        ("all@benet.com", "lisi@benet.com"),
    ],
)
def test_a_message_is_tried(office, visit, parameters, recipient, words):
    content_files.make_directories()
    parameters(
        mynetworks="", smtpd_relay_restrictions="permit_mynetworks permit_sasl_authenticated reject_unauth_destination"
    )
    answer = visit("ann").get(
        "/admin/simulator", {"client": "192.0.2.1", "sender": "a@x.example", "recipient": recipient}
    )
    assert words in answer.text


def test_a_question_that_makes_no_sense(office, visit):
    assert visit("ann").get("/admin/simulator", {"client": "nonsense", "recipient": ""}).status_code == 400
