"""Sending and not losing: identities, messages called back, messages for later, drafts on another device, two tabs."""

import email
import email.policy
import os
import re
from datetime import timedelta

import pytest
from django.core.cache import cache
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone

from mailcore.models import Queued, Recipient
from mailcore.store import directory
from webmail.composing import draft_store
from webmail.models import CannedText, Composition, Identity
from webmail_fixtures import Browser, PostOffice, make_message

pytestmark = pytest.mark.django_db(transaction=True)

FIELDS = (
    *("message", "version", "in", "in_reply_to", "references", "mode", "of", "draft", "identity"),
    *("to", "cc", "bcc", "subject"),
)


def form(browser: Browser) -> dict[str, object]:
    """Return the fields of the compose page."""
    held = {name: browser.field(name) for name in FIELDS} | {"body": browser.body()}
    if chosen := re.search(r'<option value="(\d+)" selected>', browser.page):
        held["identity"] = chosen[1]
    return held


def write(browser: Browser, action: str = "send", **more):
    """Press a button of the compose page: what the page holds, changed by `more`."""
    return browser.press("/compose/", do=action, **(form(browser) | more))


def parsed(data: bytes) -> email.message.EmailMessage:
    return email.message_from_bytes(data, policy=email.policy.default)


def queued() -> list[Queued]:
    return list(Queued.objects.exclude(state="done"))


# --- Undo, and later ------------------------------------------------------------------------------


@pytest.fixture
def patient(settings) -> None:
    settings.WEBMAIL = settings.WEBMAIL | {"UNDO_SECONDS": 30}


def test_sending_is_undone(office: PostOffice, patient, lisi: Browser) -> None:
    lisi.see("/compose/")
    files = [SimpleUploadedFile("a.txt", b"x", "text/plain")]
    write(lisi, to="xiaoqi@benet.com", subject="太快", body="等等", files=files)
    assert "Your message is on its way." in lisi.page
    assert len(queued()) == 1
    assert len(office.messages("lisi", "Sent")) == 1
    place = re.search(r'action="(/compose/[^/]+/undo)"', lisi.page)[1]
    lisi.press(place)
    assert "The message was called back. Nothing was sent." in lisi.page
    assert lisi.body() == "等等"
    assert "a.txt" in lisi.page
    assert queued() == []
    assert office.messages("lisi", "Sent") == []
    write(lisi, body="好了")
    assert len(queued()) == 1  # and it can be sent after all


def test_too_late_to_undo(office: PostOffice, patient, lisi: Browser) -> None:
    lisi.see("/compose/")
    write(lisi, to="xiaoqi@benet.com", subject="x", body="y")
    place = re.search(r'action="(/compose/[^/]+/undo)"', lisi.page)[1]
    Queued.objects.update(due_us=1)
    office.deliver()
    lisi.press(place)
    assert "It is too late: the message has been sent." in lisi.page
    assert len(office.messages("xiaoqi")) == 1


def test_nobody_calls_back_anothers_message(office: PostOffice, patient, lisi: Browser) -> None:
    lisi.see("/compose/")
    write(lisi, to="xiaoqi@benet.com", subject="x", body="y")
    place = re.search(r'action="(/compose/[^/]+/undo)"', lisi.page)[1]
    other = Browser()
    other.sign_in("xiaoqi")
    other.press(place)
    assert len(queued()) == 1


def test_a_message_for_later(office: PostOffice, lisi: Browser) -> None:
    lisi.see("/compose/")
    assert "Tomorrow morning" in lisi.page
    write(lisi, "later:tomorrow", to="xiaoqi@benet.com", subject="明天", body="早上好")
    assert "Your message will be sent" in lisi.page
    [one] = queued()
    assert one.due_us > (timezone.now() + timedelta(hours=1)).timestamp() * 1e6
    office.deliver()
    assert office.messages("xiaoqi") == []
    lisi.see("/scheduled/")
    assert "明天" in lisi.page
    lisi.press(re.search(r'action="(/compose/[^/]+/undo)"', lisi.page)[1])
    assert lisi.body() == "早上好"
    assert queued() == []
    lisi.see("/scheduled/")
    assert "No message waits" in lisi.page


def test_a_time_that_is_over(office: PostOffice, lisi: Browser) -> None:
    lisi.see("/compose/")
    write(lisi, "later:at", send_at="2020-01-01T08:00", to="xiaoqi@benet.com", subject="x", body="y")
    assert "Please choose a time that is still to come." in lisi.page
    assert queued() == []


def test_what_has_gone_is_done_with(office: PostOffice, patient, lisi: Browser) -> None:
    lisi.see("/compose/")
    write(lisi, to="xiaoqi@benet.com", subject="x", body="secret words")
    Composition.objects.update(release=timezone.now())
    lisi.see("/compose/")
    assert draft_store.list_scheduled("lisi@benet.com") == []
    assert "secret words" not in str(Composition.objects.get().fields)


# --- Identities -----------------------------------------------------------------------------------


@pytest.fixture
def sales(office: PostOffice, lisi: Browser) -> Browser:
    """李四, who also writes as sales@."""
    directory.create_alias("sales@benet.com", ["lisi@benet.com"])
    lisi.see("/options/identities/new")
    lisi.press("/options/identities/new", name="销售部", mail="sales@benet.com", reply_to="", signature="销售部\n400-1")
    assert "The identity was saved." in lisi.page
    return lisi


def test_an_answer_comes_from_where_the_message_went(office: PostOffice, sales: Browser) -> None:
    office.put(make_message(To="sales@benet.com"))
    sales.see("/compose/", mode="reply", of="1")
    assert "-- \n销售部\n400-1" in sales.body()
    write(sales)
    assert "Your message was sent." in sales.page
    office.deliver()
    [arrived] = office.messages("xiaoqi")
    assert parsed(arrived)["From"] == "销售部 <sales@benet.com>"
    assert b"Return-Path: <sales@benet.com>" in arrived


def test_new_messages_have_the_usual_identity(office: PostOffice, sales: Browser) -> None:
    number = Identity.objects.get().pk
    sales.see("/compose/")
    assert form(sales)["identity"] == "0"
    sales.see("/options/identities/")
    sales.press("/options/identities/", do=f"usual:{number}")
    sales.see("/compose/")
    assert form(sales)["identity"] == str(number)
    assert "400-1" in sales.body()


def test_another_identity_brings_its_signature(office: PostOffice, sales: Browser) -> None:
    number = str(Identity.objects.get().pk)
    sales.see("/compose/")
    write(sales, "sign:0", identity=number, body="您好")
    assert sales.body() == "您好\n\n-- \n销售部\n400-1\n"
    write(sales, f"sign:{number}", identity="0")
    assert sales.body() == "您好\n\n"


def test_an_answer_to_all_leaves_all_of_me_out(office: PostOffice, sales: Browser) -> None:
    office.put(make_message(To="sales@benet.com, lisi@benet.com, other@benet.com"))
    sales.see("/compose/", mode="all", of="1")
    assert sales.field("to") == "小七 <xiaoqi@benet.com>, other@benet.com"


def test_identities_are_ordered_and_removed(office: PostOffice, sales: Browser) -> None:
    sales.see("/options/identities/new")
    sales.press("/options/identities/new", name="", mail="nobody", reply_to="", signature="")
    assert "is not an e-mail address" in sales.page
    sales.press("/options/identities/new", name="B", mail="b@benet.com", reply_to="", signature="")
    first, second = Identity.objects.values_list("pk", flat=True)
    sales.press("/options/identities/", do=f"up:{second}")
    assert list(Identity.objects.values_list("pk", flat=True)) == [second, first]
    sales.press("/options/identities/", do=f"remove:{second}")
    assert Identity.objects.get().pk == first


def test_nobody_writes_as_somebody_else(office: PostOffice, lisi: Browser) -> None:
    Identity.objects.create(owner="lisi@benet.com", position=0, mail="xiaoqi@benet.com")
    lisi.see("/compose/")
    write(lisi, identity=str(Identity.objects.get().pk), to="xiaoqi@benet.com", subject="x", body="y")
    assert "The message was not sent" in lisi.page
    assert queued() == []
    other = Browser()
    other.sign_in("xiaoqi")
    other.see("/compose/")
    write(other, identity=str(Identity.objects.get().pk), to="xiaoqi@benet.com", subject="x", body="y")
    office.deliver()
    assert parsed(office.messages("xiaoqi")[0])["From"] == "xiaoqi@benet.com"  # another's identity is nobody's


# --- Nothing is lost ------------------------------------------------------------------------------


def autosave(browser: Browser, **more) -> dict[str, object]:
    page = browser.page
    body = write(browser, "autosave", **more).json()
    browser.page = page
    return body


def test_a_draft_saves_itself_and_is_on_every_device(office: PostOffice, lisi: Browser) -> None:
    lisi.see("/compose/")
    found = autosave(lisi, to="xia", subject="报告", body="第一段")
    assert found["saved"]
    found = autosave(lisi, version=found["version"], to="xia", subject="报告", body="第一段。第二段")
    [draft] = office.messages("lisi", "Drafts")
    assert parsed(draft).get_content().strip() == "第一段。第二段"
    phone = Browser()
    phone.sign_in()
    [uid] = Composition.objects.values_list("draft", flat=True)
    phone.see("/compose/", **{"mode": "draft", "of": str(uid), "in": "Drafts"})
    assert phone.body() == "第一段。第二段"
    assert phone.field("to") == "xia"  # what is no address yet is kept as well
    write(phone, to="xiaoqi@benet.com")
    office.deliver()
    assert len(office.messages("xiaoqi")) == 1
    assert office.messages("lisi", "Drafts") == []


def test_an_autosave_that_comes_after_sending_leaves_no_draft(office: PostOffice, lisi: Browser) -> None:
    lisi.see("/compose/")
    page = form(lisi) | {"to": "xiaoqi@benet.com", "subject": "s", "body": "b"}
    lisi.press("/compose/", do="send", **page)
    lisi.press("/compose/", do="autosave", **page)
    assert office.messages("lisi", "Drafts") == []
    assert Composition.objects.filter(sent=False).count() == 0


def test_an_autosave_after_the_session_ended_is_kept(office: PostOffice, lisi: Browser) -> None:
    lisi.see("/compose/")
    lisi.cookies.pop("sessionid")
    assert write(lisi, "autosave", body="spät").status_code == 401
    assert Composition.objects.get().fields["body"] == "spät"


def test_two_tabs_do_not_overwrite_each_other(office: PostOffice, lisi: Browser) -> None:
    lisi.see("/compose/")
    write(lisi, "draft", to="xiaoqi@benet.com", subject="s", body="one")
    first = form(lisi)
    write(lisi, "draft", body="two, written here")
    response = lisi.press("/compose/", do="send", **(first | {"body": "three, written there"}))
    assert response.status_code == 409
    assert "changed in another window" in lisi.page
    assert lisi.body() == "three, written there"
    assert {c.fields["body"] for c in Composition.objects.all()} == {"two, written here", "three, written there"}
    assert queued() == []
    write(lisi)
    office.deliver()
    assert [parsed(each).get_content().strip() for each in office.messages("xiaoqi")] == ["three, written there"]


def test_the_same_page_twice_is_no_conflict(office: PostOffice, lisi: Browser) -> None:
    lisi.see("/compose/")
    page = form(lisi) | {"to": "xiaoqi@benet.com", "subject": "s", "body": "b"}
    lisi.press("/compose/", do="draft", **page)
    lisi.press("/compose/", do="draft", **page)
    assert Composition.objects.count() == 1
    lisi.press("/compose/", do="send", **page)
    lisi.press("/compose/", do="send", **page)
    assert "This message was sent already." in lisi.page
    assert Recipient.objects.count() == 1


def test_back_after_sending_and_writing_on_is_a_message_of_its_own(office: PostOffice, lisi: Browser) -> None:
    lisi.see("/compose/")
    page = form(lisi) | {"to": "xiaoqi@benet.com", "subject": "s", "body": "b"}
    lisi.press("/compose/", do="send", **page)
    lisi.press("/compose/", do="send", **(page | {"body": "b, and more"}))
    assert "or sent already" in lisi.page
    assert lisi.body() == "b, and more"
    assert Recipient.objects.count() == 1


def test_discarding_takes_the_draft_along(office: PostOffice, lisi: Browser) -> None:
    lisi.see("/compose/")
    write(lisi, "draft", subject="s", body="b")
    assert len(office.messages("lisi", "Drafts")) == 1
    write(lisi, "discard")
    assert office.messages("lisi", "Drafts") == []
    assert not Composition.objects.exists()


# --- What else a message can be asked for ----------------------------------------------------------


def test_a_delivery_receipt(office: PostOffice, lisi: Browser) -> None:
    lisi.see("/compose/")
    write(lisi, to="xiaoqi@benet.com", subject="s", body="b", notify="1")
    assert Recipient.objects.get().notify == "SUCCESS,FAILURE,DELAY"
    office.deliver()
    office.deliver()
    [receipt] = office.messages("lisi")
    assert b"Action: delivered" in receipt


def test_canned_texts(office: PostOffice, lisi: Browser) -> None:
    lisi.see("/options/texts/")
    lisi.press("/options/texts/", name="", subject="", body="x")
    assert "Please enter a name and a text." in lisi.page
    lisi.press("/options/texts/", name="感谢", subject="谢谢", body="感谢来信。")
    lisi.press("/options/texts/", name="感谢", subject="", body="again")
    assert "There is a text by that name already." in lisi.page
    text = CannedText.objects.get()
    lisi.see("/compose/")
    write(lisi, f"text:{text.pk}", body="您好：\n\n-- \n李四\n")
    assert lisi.body() == "您好：\n\n感谢来信。\n\n-- \n李四\n"
    assert lisi.field("subject") == "谢谢"
    lisi.press(f"/options/texts/?edit={text.pk}", name="感谢", subject="", body="多谢。")
    assert CannedText.objects.get().body == "多谢。"
    lisi.press("/options/texts/", remove=str(text.pk))
    assert not CannedText.objects.exists()


def test_an_answer_to_a_list(office: PostOffice, lisi: Browser) -> None:
    office.put(make_message(List_Post="<mailto:l%2Bx@lists.example>", List_Id="<l.lists.example>"))
    lisi.see("/compose/", mode="list", of="1")
    assert lisi.field("to") == "l+x@lists.example"


@pytest.mark.parametrize(
    ("options", "begins"),
    [
        ({"citation": "author"}, "\n\n小七 <xiaoqi@benet.com> wrote:\n> 您好"),
        ({"citation": "none"}, "\n\n> 您好"),
    ],
)
def test_what_stands_above_a_quotation(office: PostOffice, lisi: Browser, options, begins) -> None:
    office.put(make_message())
    lisi.see("/options/")
    lisi.press("/options/", name="", reply_to="", signature="", reply_above="1", **options)
    lisi.see("/compose/", mode="reply", of="1")
    assert lisi.body().startswith(begins)


def test_where_one_is_after_an_answer(office: PostOffice, lisi: Browser) -> None:
    office.put(make_message())
    lisi.see("/options/")
    lisi.press("/options/", name="", reply_to="", signature="", back_to="list")
    lisi.see("/compose/", mode="reply", of="1")
    response = write(lisi)
    assert response.redirect_chain[-1][0] == "/"


# --- Attacks and charsets -------------------------------------------------------------------------


@pytest.mark.parametrize("field", ["to", "cc", "bcc", "subject"])
@pytest.mark.parametrize("breach", ["\r\nBcc: evil@x.example", "\nX: y", "\rX: y", "\0", "\x0b", "\x1b"])
def test_no_field_reaches_the_next_line(office: PostOffice, lisi: Browser, field, breach) -> None:
    lisi.see("/compose/")
    good = {"to": "xiaoqi@benet.com", "cc": "lisi@benet.com", "bcc": "lisi@benet.com", "subject": "s", "body": "b"}
    write(lisi, **(good | {field: good[field] + breach}))
    office.deliver()
    for arrived in office.messages("xiaoqi"):  # line ends part addresses; nothing else may come of them
        assert b"\nX:" not in arrived
        assert b"evil@x.example" not in arrived


@pytest.mark.parametrize("where", ["in_reply_to", "references", "priority", "mode", "of", "draft", "in", "send_at"])
def test_hidden_fields_are_not_believed(office: PostOffice, lisi: Browser, where) -> None:
    lisi.see("/compose/")
    write(lisi, **({"to": "xiaoqi@benet.com", "subject": "s", "body": "b"} | {where: "<a@b>\r\nX-Evil: 1\r\n\r\nbody"}))
    office.deliver()
    for arrived in office.messages("xiaoqi"):
        assert b"X-Evil" not in arrived


def test_an_identity_does_not_breach_the_header_either(office: PostOffice, lisi: Browser) -> None:
    lisi.see("/options/identities/new")
    evil = {"name": "A\r\nBcc: evil@x.example", "mail": "lisi@benet.com", "reply_to": "", "signature": ""}
    lisi.press("/options/identities/new", **evil)
    lisi.see("/compose/")
    write(lisi, identity=str(Identity.objects.get().pk), to="xiaoqi@benet.com", subject="s", body="b")
    office.deliver()
    [arrived] = office.messages("xiaoqi")
    assert parsed(arrived)["Bcc"] is None
    assert b"\nBcc:" not in arrived


def test_a_file_name_in_chinese_both_ways(office: PostOffice, lisi: Browser) -> None:
    lisi.see("/compose/")
    evil = SimpleUploadedFile("年度报告.pdf", b"%PDF", "application/pdf\r\nX: y")
    write(lisi, to="xiaoqi@benet.com", subject="s", body="b", files=[evil])
    office.deliver()
    [arrived] = office.messages("xiaoqi")
    assert b"\nX: y" not in arrived
    assert b"filename*=utf-8''%E5%B9%B4" in arrived  # RFC 2231
    assert b'name="=?utf-8?' in arrived  # and RFC 2047, for old programs
    [file] = parsed(arrived).iter_attachments()
    assert file.get_filename() == "年度报告.pdf"


@pytest.mark.parametrize("label", ["gb2312", "gbk", "gb18030", "GB_2312-80", "x-gbk"])
def test_an_answer_quotes_what_was_meant(office: PostOffice, lisi: Browser, label) -> None:
    text = "朱镕基、㑇、€ 收到。"
    head = f"From: xiaoqi@benet.com\r\nTo: lisi@benet.com\r\nSubject: s\r\nContent-Type: text/plain; charset={label}\r\n\r\n"
    office.put(head.encode() + text.encode("gb18030") + b"\r\n")
    lisi.see("/compose/", mode="reply", of="1")
    assert f"> {text}" in lisi.body()
    write(lisi)
    office.deliver()
    [arrived] = office.messages("xiaoqi")
    assert f"> {text}" in parsed(arrived).get_content()


# --- Resending, uploads, the first visit ----------------------------------------------------------


def test_a_message_goes_on_as_it_is(office: PostOffice, lisi: Browser) -> None:
    office.put(
        b"Return-Path: <x@far.example>\r\nDelivered-To: lisi@benet.com\r\n" + make_message(subject="原样").as_bytes()
    )
    lisi.see("/mail/1/resend")
    ticket = {"message": lisi.field("message")}
    lisi.press("/mail/1/resend", to="nobody", **ticket)
    assert "is not an e-mail address" in lisi.page
    lisi.press("/mail/1/resend", to="xiaoqi@benet.com", **ticket)
    assert "The message was sent on as it is." in lisi.page
    lisi.press("/mail/1/resend", to="xiaoqi@benet.com", **ticket)
    office.deliver()
    [arrived] = office.messages("xiaoqi")
    assert parsed(arrived)["Subject"] == "原样"
    assert parsed(arrived)["Resent-From"] == "lisi@benet.com"
    assert parsed(arrived)["Resent-To"] == "xiaoqi@benet.com"
    assert parsed(arrived)["From"] == "小七 <xiaoqi@benet.com>"
    assert b"x@far.example" not in arrived
    assert arrived.count(b"Delivered-To:") == 1
    assert parsed(arrived).get_content().strip() == "您好"


def test_what_is_too_large_never_reaches_a_disk(
    office: PostOffice, lisi: Browser, parameters, settings, tmp_path
) -> None:
    settings.FILE_UPLOAD_MAX_MEMORY_SIZE = 0
    settings.FILE_UPLOAD_TEMP_DIR = str(tmp_path)
    parameters(message_size_limit="100000")
    lisi.see("/compose/")
    files = [SimpleUploadedFile("large.bin", bytes(3_000_000)), SimpleUploadedFile("small.txt", b"x")]
    write(lisi, "attach", subject="s", files=files)
    assert "“large.bin” is too large and was not attached." in lisi.page
    assert [each.name for each in draft_store.list_attachments(Composition.objects.get().token)] == ["small.txt"]


def test_what_others_left_behind_is_cleaned_away(office: PostOffice, lisi: Browser, settings) -> None:
    other = Browser()
    other.sign_in("xiaoqi")
    other.see("/compose/")
    write(other, "attach", subject="s", files=[SimpleUploadedFile("a.txt", b"x")])
    stray = settings.ATTACH_ROOT / "stray"
    stray.write_bytes(b"x")
    Composition.objects.update(changed=timezone.now() - timedelta(days=15))
    os.utime(stray, (1, 1))
    cache.clear()
    Browser().sign_in()
    assert not Composition.objects.exists()
    assert list(settings.ATTACH_ROOT.iterdir()) == []


def test_the_name_is_asked_for_once(office: PostOffice, lisi: Browser) -> None:
    lisi.see("/")
    assert "What is your name?" in lisi.page
    lisi.press("/options/welcome", do="save", name="李四\r\nX: y")
    assert "What is your name?" not in lisi.page
    lisi.see("/compose/")
    assert "李四 X: y" in lisi.page


def test_html_that_is_answered_is_quoted_by_level(office: PostOffice, lisi: Browser) -> None:
    message = make_message()
    message.set_content("<p>neu</p><blockquote>alt<blockquote>älter</blockquote></blockquote>", subtype="html")
    office.put(message)
    lisi.see("/compose/", mode="reply", of="1")
    lines = [line for line in lisi.body().splitlines() if line.startswith(">")]
    assert [line for line in lines if line.strip("> ")] == ["> neu", ">> alt", ">>> älter"]


# --- Where copies go --------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "folder"), [("year", "Sent/%Y"), ("month", "Sent/%Y/%m"), ("none", "")])
def test_copies_of_what_was_sent(office: PostOffice, lisi: Browser, kind: str, folder: str) -> None:
    folder = timezone.localtime().strftime(folder)
    lisi.see("/options/folders/")
    lisi.press("/options/folders/", only_subscribed="1", sent_copies=kind)
    for _number in range(2):
        lisi.see("/compose/")
        write(lisi, to="xiaoqi@benet.com", subject="会议", body="x")
        assert "Your message was sent." in lisi.page
    assert office.messages("lisi", "Sent") == []
    if folder:
        assert len(office.messages("lisi", folder)) == 2
        lisi.see("/", **{"in": folder})
        assert '<span class="from">xiaoqi' in lisi.page


# --- Twice, and from another device -----------------------------------------------------------------


def test_what_was_posted_after_the_session_ended_is_on_another_device(office: PostOffice, lisi: Browser) -> None:
    lisi.see("/compose/")
    held = form(lisi)
    lisi.cookies.pop("sessionid")
    write(lisi, **(held | {"to": "xiaoqi@benet.com", "subject": "unterwegs", "body": "mein Text"}))
    assert "Your session had ended." in lisi.page
    telephone = Browser()
    telephone.sign_in()
    telephone.see("/compose/")
    assert "unterwegs" in telephone.page
    telephone.see(re.search(r'href="(/compose/[^"?]+/)"', telephone.page)[1])
    assert telephone.body() == "mein Text"
    write(telephone)
    office.deliver()
    [arrived] = office.messages("xiaoqi")
    assert parsed(arrived)["Subject"] == "unterwegs"


def test_an_action_pressed_twice_is_done_once(office: PostOffice, lisi: Browser) -> None:
    for number in range(2):
        office.put(make_message(f"第{number}封"))
    lisi.see("/")
    pressed = {"do": "delete", "uid": "1", "validity": lisi.field("validity"), "in": "INBOX"}
    for _time in range(2):
        assert lisi.press("/act/", **pressed).status_code == 200
    assert len(office.messages("lisi", "Trash")) == 1
    assert len(office.messages("lisi")) == 1
