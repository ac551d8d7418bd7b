"""Lists of names stand in the order of the reader's language, wherever names are listed."""

import re

import pytest
from django.test import Client

from mailcore.models import Account
from mailcore.store import directory
from mailcore.store.directory import AccountDraft
from mailcore.wire.imap.mailbox_names import encode_utf7
from webmail.models import Contact
from webmail_fixtures import PASSWORD_HASH, Browser, PostOffice

pytestmark = pytest.mark.django_db(transaction=True)

NAMES = ["Zoe", "Ärzte", "李四", "王芳", "张三", "阿里", "Anton"]
ORDERS = {
    "zh-hans": ["阿里", "李四", "王芳", "张三", "Anton", "Ärzte", "Zoe"],
    "de": ["Anton", "Ärzte", "Zoe"],
}


def names_on(page: str) -> list[str]:
    found = sorted((page.find(f">{name}<"), name) for name in NAMES)
    return [name for at, name in found if at >= 0]


@pytest.mark.parametrize("language", ORDERS)
def test_the_address_book(office: PostOffice, language: str) -> None:
    for number, name in enumerate(NAMES):
        Contact.objects.create(owner="lisi@benet.com", name=name, mail=f"{number}@x.example")
    lisi = Browser()
    lisi.sign_in()
    lisi.press("/options/", language=language)
    lisi.see("/contacts/")
    assert [name for name in names_on(lisi.page) if name in ORDERS[language]] == ORDERS[language]


@pytest.mark.parametrize(("language", "order"), [("zh-hans", ["会议", "张三", "Zoe"]), ("de", ["Zoe", "会议", "张三"])])
def test_folders(office: PostOffice, language: str, order: list[str]) -> None:
    program = office.connect()
    for name in ("Zoe", "张三", "会议"):
        assert program.create(f'"{encode_utf7(name).decode()}"')[0] == "OK"
        program.subscribe(f'"{encode_utf7(name).decode()}"')
    program.logout()
    lisi = Browser()
    lisi.sign_in()
    lisi.press("/options/", language=language)
    lisi.see("/folders/")
    assert [name for name in re.findall(r">([^<>]+)</a>", lisi.page) if name in order] == order


@pytest.mark.parametrize("language", ORDERS)
def test_the_administrators_accounts(office: PostOffice, language: str) -> None:
    for number, name in enumerate(NAMES):
        directory.create_account(f"u{number}@benet.com", "", AccountDraft(name=name), password_hash=PASSWORD_HASH)
    Account.objects.filter(address="lisi@benet.com").update(role="administrator", language=language, name="")
    ann = Client()
    ann.force_login(Account.objects.get(address="lisi@benet.com"), "mailcore.store.auth.account_login.AccountBackend")
    rising = names_on(ann.get("/admin/accounts/?sort=name").text)
    assert [name for name in rising if name in ORDERS[language]] == ORDERS[language]
    assert names_on(ann.get("/admin/accounts/?sort=-name").text) == rising[::-1]
