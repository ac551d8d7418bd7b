"""The language and the time zone of a page."""

import pytest
from django.test import Client

from mailcore.models import Account
from mailcore.store import directory
from webmail_fixtures import Browser, PostOffice, make_message

pytestmark = pytest.mark.django_db(transaction=True)


def language_of(page: str) -> str:
    return page.partition('<html lang="')[2].partition('"')[0]


@pytest.mark.parametrize(
    ("browser", "cookie", "own", "seen"),
    [
        ("", "", "", "zh-hans"),  # the site's
        ("xx", "", "", "zh-hans"),
        ("fr-CA,fr;q=0.8", "", "", "fr"),
        ("pt-PT", "", "", "pt-br"),  # the nearest there is
        ("zh-TW", "", "", "zh-hant"),
        ("fr", "ja", "", "ja"),
        ("fr", "ja", "de", "de"),
        ("fr", "", "he", "he"),
    ],
)
def test_ones_own_choice_then_the_cookie_then_the_browser_then_the_site(office, browser, cookie, own, seen) -> None:
    directory.change_own(Account.objects.get(address="lisi@benet.com").pk, name="", language=own, time_zone="")
    lisi = Browser()
    lisi.defaults["HTTP_ACCEPT_LANGUAGE"] = browser
    lisi.sign_in()
    lisi.cookies.pop("django_language", None)
    if cookie:
        lisi.cookies["django_language"] = cookie
    for path in ("/", "/account/"):
        answer = lisi.see(path)
        assert language_of(lisi.page) == seen
        assert answer["Content-Language"] == seen


def test_a_guest_keeps_the_choice_in_the_webmail(office: PostOffice, settings) -> None:
    settings.WEBMAIL = settings.WEBMAIL | {"GUEST": True}
    lisi, elsewhere = Browser(), Browser()
    lisi.sign_in()
    elsewhere.sign_in()
    lisi.see("/options/")
    lisi.press("/options/", language="fa")
    assert language_of(lisi.page) == "fa"
    elsewhere.see("/")
    assert language_of(elsewhere.page) == "fa"
    assert Account.objects.get(address="lisi@benet.com").language == ""


def test_what_is_chosen_in_the_webmail_is_the_accounts(office: PostOffice) -> None:
    lisi = Browser()
    lisi.sign_in()
    lisi.press("/options/", language="ja", time_zone="Asia/Tokyo")
    account = Account.objects.get(address="lisi@benet.com")
    assert (account.language, account.time_zone) == ("ja", "Asia/Tokyo")
    lisi.press("/options/", language="", time_zone="")
    lisi.see("/")
    assert language_of(lisi.page) == "en"  # as the browser asks


def test_pages_of_languages_from_right_to_left_say_so(office: PostOffice) -> None:
    for code in ("ar", "fa", "he", "de"):
        page = Client(headers={"accept-language": code}).get("/login/").text
        assert ('dir="rtl"' in page) is (code != "de"), code


def test_dates_go_by_each_readers_clock(office: PostOffice) -> None:
    office.put(make_message("会议", "您好\n"))  # Sat, 12 Sep 2026 14:05:00 +0800
    lisi = Browser()
    lisi.sign_in()
    for zone, seen in {
        "Asia/Shanghai": "Saturday 12 September 2026, 14:05",
        "America/New_York": "Saturday 12 September 2026, 02:05",
        "Pacific/Auckland": "Saturday 12 September 2026, 18:05",
        "Pacific/Honolulu": "Friday 11 September 2026, 20:05",
    }.items():
        lisi.press("/options/", language="en", time_zone=zone)
        lisi.see("/mail/1")
        assert seen in lisi.page
