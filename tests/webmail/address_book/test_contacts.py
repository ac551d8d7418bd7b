"""The address book: people and groups, in and out of files, and while writing."""

import re

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from hypothesis import given
from hypothesis import strategies as st

from mailcore.store import directory
from mailcore.store.directory import AccountDraft
from tests.webmail.views.test_compose import parsed, write
from webmail.address_book import vcard_csv
from webmail.address_book.vcard_csv import ContactCard
from webmail_fixtures import PASSWORD_HASH, Browser, PostOffice, make_message

pytestmark = pytest.mark.django_db(transaction=True)


def add(browser: Browser, **form: str):
    browser.see("/contacts/new")
    return browser.press("/contacts/new", **form)


def take_in(browser: Browser, content: str | bytes, name: str = "contacts.vcf") -> None:
    browser.see("/contacts/")
    data = content if isinstance(content, bytes) else content.encode()
    browser.press("/contacts/import", file=SimpleUploadedFile(name, data))


def number(browser: Browser, who: str) -> str:
    """The number of somebody in the list last seen."""
    return re.search(rf'href="/contacts/(\d+)">{re.escape(who)}<', browser.page)[1]


def test_somebody_is_added_changed_and_removed(lisi: Browser) -> None:
    add(lisi, name="王芳", mail="Wang@Example.com", nickname="芳", groups="同事，羽毛球")
    lisi.see("/contacts/")
    assert "wang@example.com" in lisi.page
    assert "羽毛球" in lisi.page
    one = number(lisi, "王芳")
    lisi.see(f"/contacts/{one}")
    lisi.press(f"/contacts/{one}", name="王小芳", mail="wang@example.com", groups="同事")
    lisi.see("/contacts/", group="同事")
    assert "王小芳" in lisi.page
    assert "羽毛球" not in lisi.page
    lisi.press("/contacts/", do="remove", id=one)
    assert "1 contact removed." in lisi.page
    assert "王小芳" not in lisi.page


def test_a_book_is_its_owners(lisi: Browser) -> None:
    add(lisi, name="王芳", mail="wang@example.com")
    lisi.see("/contacts/")
    one = number(lisi, "王芳")
    other = Browser()
    other.sign_in("xiaoqi")
    other.see("/contacts/")
    assert "王芳" not in other.page
    assert other.see(f"/contacts/{one}").status_code == 404
    other.see("/contacts/")
    other.press("/contacts/", do="remove", id=one)
    other.press("/contacts/", do="write", id=one)
    assert "wang@example.com" not in other.page
    lisi.see("/contacts/")
    assert "王芳" in lisi.page


WRONG = [
    ({"name": "x", "mail": "nobody"}, "is not an e-mail address."),
    ({"name": "x", "mail": "x@example.com", "nickname": "芳"}, "The nickname “芳” is taken."),
    ({"name": "x", "mail": "x@example.com", "nickname": "同事"}, "The nickname “同事” is taken."),
    ({"name": "x", "mail": "x@example.com", "groups": "芳"}, "The nickname “芳” is taken."),
]


@pytest.mark.parametrize(("form", "said"), WRONG)
def test_what_cannot_be_kept(lisi: Browser, form: dict[str, str], said: str) -> None:
    add(lisi, name="王芳", mail="wang@example.com", nickname="芳", groups="同事")
    response = add(lisi, **form)
    assert response.status_code == 422
    assert said in lisi.page
    lisi.see("/contacts/")
    assert "x@example.com" not in lisi.page


def test_two_people_do_not_share_an_address(lisi: Browser) -> None:
    add(lisi, name="王芳", mail="wang@example.com")
    add(lisi, name="张伟", mail="zhang@example.com")
    lisi.see("/contacts/")
    one = number(lisi, "张伟")
    lisi.press(f"/contacts/{one}", name="张伟", mail="WANG@example.com")
    assert "wang@example.com is in your address book already." in lisi.page


def test_the_list_is_searched(lisi: Browser) -> None:
    add(lisi, name="王芳", mail="wang@example.com")
    add(lisi, name="张伟", mail="zhang@example.com")
    lisi.see("/contacts/", who="wang")
    assert "王芳" in lisi.page
    assert "张伟" not in lisi.page
    lisi.see("/contacts/", who="nobody\0")
    assert "No contact was found." in lisi.page


def test_nicknames_and_groups_are_recipients(office: PostOffice, lisi: Browser) -> None:
    add(lisi, name="小七", mail="xiaoqi@benet.com", nickname="七", groups="大家")
    add(lisi, name="李四", mail="lisi@benet.com", groups="大家")
    lisi.see("/compose/")
    assert '<option value="小七 &lt;xiaoqi@benet.com&gt;">' in lisi.page
    write(lisi, to="七", cc="大家", subject="会议", body="x")
    assert "Your message was sent." in lisi.page
    office.deliver()
    [arrived] = office.messages("xiaoqi")
    assert parsed(arrived)["To"] == "小七 <xiaoqi@benet.com>"
    assert parsed(arrived)["Cc"] == "小七 <xiaoqi@benet.com>, 李四 <lisi@benet.com>"


def test_whom_one_writes_to_is_remembered(office: PostOffice, lisi: Browser) -> None:
    lisi.see("/compose/")
    write(lisi, to="小七 <xiaoqi@benet.com>", subject="x", body="y")
    lisi.see("/contacts/")
    assert "小七" in lisi.page
    assert "collected" in lisi.page
    lisi.press("/contacts/", do="remove", id=number(lisi, "小七"))
    lisi.see("/options/")
    lisi.press("/options/", collect="")
    lisi.see("/compose/")
    write(lisi, to="小七 <xiaoqi@benet.com>", subject="x", body="y")
    lisi.see("/contacts/")
    assert "There are no contacts yet." in lisi.page


def test_recipients_are_picked_while_writing(lisi: Browser) -> None:
    add(lisi, name="小七", mail="xiaoqi@benet.com")
    add(lisi, name="王芳", mail="wang@example.com")
    lisi.see("/contacts/")
    seven, fang = number(lisi, "小七"), number(lisi, "王芳")
    lisi.see("/compose/")
    response = write(lisi, "pick", to="zhang@example.com,", subject="会议", body="mein Text")
    [(picking, _status)] = response.redirect_chain
    lisi.press(picking, to=seven, bcc=[seven, fang])
    assert lisi.field("to") == "zhang@example.com, 小七 <xiaoqi@benet.com>"
    assert set(lisi.field("bcc").split(", ")) == {"小七 <xiaoqi@benet.com>", "王芳 <wang@example.com>"}
    assert lisi.body() == "mein Text"


def test_the_chosen_are_written_to_and_a_sender_is_added(office: PostOffice, lisi: Browser) -> None:
    office.put(make_message("x", sender='"王, 芳" <wang@example.com>'))
    lisi.see("/mail/1")
    link = re.search(r'href="(/contacts/new\?[^"]*)"', lisi.page)[1].replace("&amp;", "&")
    lisi.see(link)
    assert lisi.field("mail") == "wang@example.com"
    add(lisi, name="王芳", mail="wang@example.com")
    lisi.see("/contacts/")
    lisi.press("/contacts/", do="write", id=number(lisi, "王芳"))
    assert lisi.field("to") == "王芳 <wang@example.com>"


# --- Files ------------------------------------------------------------------------------------------

FILES = {
    "vCard 4": ("BEGIN:VCARD\r\nVERSION:4.0\r\nFN:王芳\r\nEMAIL;TYPE=work:wang@example.com\r\nCATEGORIES:同事,a\\,b\r\nNOTE:eins\\nzwei\r\nEND:VCARD\r\n", [ContactCard("王芳", "wang@example.com", "", "eins zwei", ("同事", "a,b"))]),
    "vCard 3, two addresses": ("BEGIN:VCARD\nVERSION:3.0\nN:Meier;Anna;;;\nNICKNAME:anni\nitem1.EMAIL:a@example.com\nitem2.EMAIL:b@exam\n ple.com\nEND:VCARD\n", [ContactCard("Anna Meier", "a@example.com", "anni"), ContactCard("Anna Meier", "b@example.com")]),
    "vCard 2.1": ("BEGIN:VCARD\r\nVERSION:2.1\r\nN;CHARSET=UTF-8;ENCODING=QUOTED-PRINTABLE:=E7=8E=8B;=\r\n=E8=8A=B3;;;\r\nEMAIL;INTERNET:wang@example.com\r\nEND:VCARD\r\n", [ContactCard("王芳", "wang@example.com")]),
    "vCard without an address": ("BEGIN:VCARD\nFN:Niemand\nEND:VCARD\n", []),
    "CSV": ("Name,E-mail\n王芳,wang@example.com\n,\n", [ContactCard("王芳", "wang@example.com")]),
    "Outlook": ('"First Name","Last Name","E-mail Address","Notes"\n"Anna","Meier","a@example.com","x\ny"\n', [ContactCard("Anna Meier", "a@example.com", "", "x y")]),
    "Chinese, with semicolons": ("姓;名;电子邮件;分组\n王;芳;wang@example.com;同事\n".encode("gb18030"), [ContactCard("王芳", "wang@example.com", groups=("同事",))]),
    "formulas": ("Name,E-mail\n'=1+1,a@example.com\n", [ContactCard("=1+1", "a@example.com")]),
    "heads nobody knows": ("a,b\n1,2\n", []),
    "nothing": ("", []),
    "bytes": (bytes(range(256)), []),
}  # fmt: skip


@pytest.mark.parametrize(("content", "people"), FILES.values(), ids=FILES.keys())
def test_files_of_other_programs(content: str | bytes, people: list[ContactCard]) -> None:
    assert vcard_csv.read_contacts(content if isinstance(content, bytes) else content.encode()) == people


LINES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=60)
PEOPLE = st.builds(vcard_csv.make_card, LINES, st.just("x@example.com"), LINES, LINES, st.lists(LINES, max_size=3))


@given(PEOPLE)
def test_a_vcard_reads_back_as_it_was(person: ContactCard) -> None:
    [again] = vcard_csv.read_contacts(vcard_csv.write_vcards([person]).encode())
    assert again == vcard_csv.make_card(
        person.name or person.mail, person.mail, person.nickname, person.note, person.groups
    )


@given(st.binary(max_size=300), st.booleans())
def test_no_file_is_too_odd(content: bytes, is_card: bool) -> None:
    for person in vcard_csv.read_contacts(b"BEGIN:VCARD\n" * is_card + content):
        assert "@" in person.mail


def test_in_and_out(lisi: Browser) -> None:
    take_in(lisi, FILES["vCard 4"][0])
    assert "Contacts added: 1, changed: 0, skipped: 0." in lisi.page
    take_in(lisi, "Name,E-mail\n王小芳,WANG@example.com\nx,no@address@\n", "contacts.csv")
    assert "Contacts added: 0, changed: 1, skipped: 1." in lisi.page
    out = lisi.get("/contacts/export.csv")
    assert out["Content-Disposition"] == 'attachment; filename="contacts.csv"'
    assert "王小芳,wang@example.com" in out.content.decode()
    assert "EMAIL:wang@example.com\r\n" in lisi.get("/contacts/export.vcf").content.decode()


def test_a_file_that_is_none(lisi: Browser) -> None:
    lisi.see("/contacts/")
    lisi.press("/contacts/import")
    assert "Please choose a vCard or CSV file" in lisi.page


# --- The shared book --------------------------------------------------------------------------------


@pytest.fixture
def shared(parameters) -> None:
    """The administrator shares a book; unasked, nobody learns who else has an account."""
    parameters(webmail_shared_address_book="yes")


def test_everybody_of_the_domain_is_in_a_shared_book(office: PostOffice, lisi: Browser, shared) -> None:
    directory.create_domain("example.org")
    directory.create_account("eve@example.org", "", password_hash=PASSWORD_HASH)
    directory.create_account("wang@benet.com", "", AccountDraft(name="王芳"), password_hash=PASSWORD_HASH)
    directory.create_account("gone@benet.com", "", AccountDraft(state="off"), password_hash=PASSWORD_HASH)
    lisi.see("/contacts/")
    assert "Everybody at benet.com" in lisi.page
    lisi.see("/contacts/", book="shared")
    shown = re.findall(r'name="id" value="([^"]*)"', lisi.page)
    assert shown == ["xiaoqi@benet.com", "wang@benet.com"]
    lisi.see("/contacts/", book="shared", who="芳")
    assert re.findall(r'name="id" value="([^"]*)"', lisi.page) == ["wang@benet.com"]
    lisi.press("/contacts/", do="write", id=["wang@benet.com", "eve@example.org", "gone@benet.com", "x@\0"])
    assert lisi.field("to") == "王芳 <wang@benet.com>"
    assert '<option value="王芳 &lt;wang@benet.com&gt;">' in lisi.page


def test_colleagues_are_picked_while_writing(lisi: Browser, shared) -> None:
    lisi.see("/compose/")
    response = write(lisi, "pick", to="", subject="会议", body="x")
    [(picking, _status)] = response.redirect_chain
    lisi.press(picking, cc=["xiaoqi@benet.com", "stranger@example.com"])
    assert lisi.field("cc") == "xiaoqi@benet.com"


def test_there_is_no_shared_book_unless_the_administrator_says_so(lisi: Browser) -> None:
    lisi.see("/contacts/", book="shared")
    assert "Everybody at" not in lisi.page
    assert "xiaoqi@" not in lisi.page


def test_the_book_is_sorted(lisi: Browser) -> None:
    add(lisi, name="A", mail="z@example.com")
    add(lisi, name="B", mail="a@example.com")
    for sort, order in (("", ["z", "a"]), ("mail", ["a", "z"]), ("used", ["a", "z"])):
        lisi.see("/contacts/", sort=sort)
        assert re.findall(r'<span class="soft">(\w)@example.com', lisi.page) == order, sort
