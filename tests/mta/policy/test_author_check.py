"""From and Sender of submitted messages: spellings of another's address, and the addresses an account may write."""

import pytest

from mailcore import conf
from mailcore.mta.policy import author_check
from mailcore.store import directory
from mailcore.store.settings import lookup_tables

pytestmark = pytest.mark.django_db

LISI = "lisi@benet.com"
SENDER = b"Sender: lisi@benet.com\r\n"


def checked(header: str) -> bytes:
    refusal, found = author_check.check_author(header.encode(), LISI)
    assert refusal is None
    return found


OWN = [
    "From: lisi@benet.com\r\n",
    "FROM : =?utf-8?b?5p2O5Zub?= <LISI@Benet.com>\r\n",
    'From: "Li, Si" <lisi@benet.com> (at home)\r\n',
    'From: "Headmaster @ benet.com"\r\n <lisi@benet.com>\r\n',
    "From: lisi+lists@benet.com, lisi@benet.com\r\n",
    "From: Li Si <li.si@benet.com>\r\n",
    "Subject: admin@benet.com\r\n From: admin@benet.com\r\nFrom: lisi@benet.com\r\n",
    "Sender: lisi@benet.com\r\nFrom: lisi@benet.com\r\n",
    "From: \r\n",
    "Subject: no From\r\n",
]
FOREIGN = [
    "From: Headmaster\r\n",
    "From: Headmaster:;\r\n",
    "From: (Headmaster)\r\n",
    "From: Headmaster <admin@benet.com>\r\n",
    "From: admin@benet.com\r\n",
    "from\t:admin@benet.com\r\n",
    "From:\r\n admin@benet.com\r\n",
    "From: ceo@icbc.com.cn\r\n",
    "From: lisi@benet.com, admin@benet.com\r\n",
    "From: lisi@benet.com\r\nFrom: admin@benet.com\r\n",
    "From: admin@benet.com\r\nFrom: lisi@benet.com\r\n",
    "From: admin@benet.com <lisi@benet.com>\r\n",
    "From: <admin@benet.com> <lisi@benet.com>\r\n",
    "From: lisi@benet.com <admin@benet.com>\r\n",
    'From: "lisi@benet.com" <admin@benet.com>\r\n',
    "From: <lisi@benet.com>, <admin@benet.com\r\n",
    'From: "lisi@benet.com <admin@benet.com>\r\n',
    "From: group: admin@benet.com;\r\n",
    "From: admin@benet.com: lisi@benet.com;\r\n",
    "From: lisi@benet.com(comment)admin@benet.com\r\n",
    "From: (lisi@benet.com) admin@benet.com\r\n",
    "From: <@lisi@benet.com:admin@benet.com>\r\n",
    "From: =?utf-8?q?admin=40benet.com?=\r\n",
    "From: =?utf-8?q?=3Cadmin=40benet.com=3E?= <>\r\n",
    "From: admin @ benet . com\r\n",
    "From: all@benet.com\r\n",
    "From: lisi@benet.com\x00@evil.example\r\n",
    "From: lisi@benet.com.evil.example\r\n",
    "From: " + ", ".join(f"lisi+{number}@benet.com" for number in range(30)) + "\r\n",
]


@pytest.fixture(autouse=True)
def alias(benet) -> None:
    """li.si@ leads to lisi alone, all@ to everybody."""
    directory.create_alias("li.si@benet.com", ["lisi"])


@pytest.mark.parametrize("header", OWN)
def test_an_account_writes_its_own_addresses(header):
    assert checked(header) == header.encode()


@pytest.mark.parametrize("header", FOREIGN)
def test_another_address_gets_a_sender_field(header):
    assert checked(header) == header.encode() + SENDER


@pytest.mark.parametrize("header", FOREIGN)
def test_another_address_is_rejected_where_so_configured(parameters, header):
    parameters(submission_from_check="reject")
    refusal, _ = author_check.check_author(header.encode(), LISI)
    assert (refusal.code, refusal.enhanced) == (553, "5.7.1")
    assert refusal.text.endswith("Sender address rejected: not owned by user lisi@benet.com (in the From field)")


def test_a_sender_field_of_another_is_removed(parameters):
    own, foreign = "From: lisi@benet.com\r\n", "From: admin@benet.com\r\n"
    forged = "sender: Admin\r\n <admin@benet.com>\r\n"
    assert checked(forged + own) == own.encode()
    assert checked(forged + foreign + "Subject: s\r\n") == foreign.encode() + b"Subject: s\r\n" + SENDER
    assert checked("Sender: lisi@benet.com\r\n" + foreign) == foreign.encode() + SENDER
    parameters(submission_from_check="reject")
    refusal, _ = author_check.check_author((forged + own).encode(), LISI)
    assert "not owned by user lisi@benet.com (in the Sender field)" in refusal.text


def test_off_changes_nothing(parameters):
    parameters(submission_from_check="off")
    assert checked(FOREIGN[0]) == FOREIGN[0].encode()


def test_sender_login_maps_allow_more():
    lookup_tables.replace_entries("sender_login", {"admin@benet.com": "lisi@benet.com"})
    assert conf.current().smtpd_sender_login_maps == ("hash:sender_login",)
    header = "From: Headmaster <admin@benet.com>\r\n"
    assert checked(header) == header.encode()
