"""Messages written by the mail system, in every language."""

import re
from email import message_from_bytes, policy

import pytest
from django.conf import settings as django_settings

from mailcore.models import Account
from mailcore.mta.queue import content_files
from mailcore.mta.submission import demo_site
from mailcore.mta.workers.courier import Courier
from tests.mta.conftest import benet, inbox, post  # noqa: F401  (fixtures)

pytestmark = pytest.mark.django_db(transaction=True)

LANGUAGES = [code for code, _name in django_settings.LANGUAGES]
LATIN = {"en", "de", "fr", "es", "pt-br", "it", "pl", "tr", "vi", "id"}


def read_notice(data: bytes) -> tuple[str, str]:
    message = message_from_bytes(data, policy=policy.default)
    return str(message["Subject"]), message.get_body().get_content()


def test_a_bounce_and_a_warning_in_every_language(post, inbox) -> None:  # noqa: F811
    subjects: set[str] = set()
    for number, language in enumerate(LANGUAGES):
        Account.objects.filter(address="lisi@benet.com").update(
            language=language, quota_bytes=10_000_000, used_bytes=7_999_999
        )
        post("nobody@benet.com", sender="lisi@benet.com")
        Courier().run_until_idle()
        (bounce, text), (warning, words) = sorted(
            map(read_notice, inbox("lisi")[2 * number :]), key=lambda each: "80" in each[0]
        )
        subjects |= {bounce, warning}
        if language not in LATIN:
            for said in (bounce, warning, words.replace("lisi@benet.com", "")):
                assert not re.search("[A-Za-z]{3}", said), language
            assert len(re.findall(r"[^\W\d_A-Za-z]", text)) > 20, language
        assert "I'm sorry to have to inform you" in text  # for those the bounce is passed on to
    assert len(subjects) == 2 * len(LANGUAGES)


@pytest.mark.parametrize(
    ("language", "subject"), [("zh-hans", "欢迎使用邮局"), ("he", "ברוכים הבאים ל־Youju"), ("en", "Welcome to Youju")]
)
def test_the_first_message_is_in_the_sites_language(settings, inbox, db, language, subject) -> None:  # noqa: F811
    settings.LANGUAGE_CODE = language
    content_files.make_directories()
    demo_site.build_demo()
    Courier().run_until_idle()
    assert read_notice(inbox("lisi")[0])[0] == subject
