"""Writing, answering, forwarding, drafts; and that nothing typed is ever lost."""

import email
import email.policy
import re

import pytest
from django.conf import settings as django_settings
from django.core.cache import cache
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import override_settings

from webmail.composing import draft_store
from webmail.mailserver import imap_client
from webmail.models import Composition, Upload
from webmail_fixtures import PASSWORD, Browser, PostOffice, make_message

pytestmark = pytest.mark.django_db(transaction=True)

FIELDS = ("message", "in", "in_reply_to", "references", "mode", "of", "draft", "to", "cc", "bcc", "subject")


def write(browser: Browser, action: str = "send", **more):
    """Press a button of the compose page: what the page holds, changed by `more`."""
    form = {name: browser.field(name) for name in FIELDS} | {"body": browser.body()}
    form["carry"] = re.findall(r'name="carry" value="([^"]*)" checked', browser.page)
    return browser.press("/compose/", do=action, **(form | more))


def parsed(data: bytes) -> email.message.EmailMessage:
    return email.message_from_bytes(data, policy=email.policy.default)


def test_a_message_reaches_xiaoqi(office: PostOffice, lisi: Browser) -> None:
    lisi.see("/compose/")
    write(lisi, to="小七 <xiaoqi@benet.com>", subject="会议改期", body="小七：\n\n会议改到周五。\n")
    assert "Your message was sent." in lisi.page
    office.deliver()
    [arrived] = office.messages("xiaoqi")
    assert parsed(arrived)["Subject"] == "会议改期"
    assert "会议改到周五。" in parsed(arrived).get_content()
    [copy] = office.messages("lisi", "Sent")
    assert parsed(copy)["Message-ID"] == parsed(arrived)["Message-ID"]
    assert office.flags(1, box="Sent") == {"\\Seen"}
    assert not Upload.objects.exists()


def test_copies_and_blind_copies(office: PostOffice, lisi: Browser) -> None:
    lisi.see("/compose/")
    write(lisi, to="lisi", cc="", bcc="")
    assert "“lisi” is not an e-mail address." in lisi.page
    write(lisi, to="", bcc="xiaoqi@benet.com", cc="lisi@benet.com", subject="x", body="y")
    office.deliver()
    [arrived] = office.messages("xiaoqi")
    assert "Bcc" not in parsed(arrived)
    assert b"xiaoqi" not in arrived.split(b"\r\n\r\n")[0].split(b"\r\nFrom:")[1]
    [copy] = office.messages("lisi", "Sent")
    assert parsed(copy)["Bcc"] == "xiaoqi@benet.com"


def test_attachments(office: PostOffice, lisi: Browser) -> None:
    lisi.see("/compose/")
    files = [SimpleUploadedFile("预算.pdf", b"%PDF-1.4", "application/pdf"), SimpleUploadedFile("../../x.txt", b"x")]
    write(lisi, "attach", to="xiaoqi@benet.com", subject="附件", files=files)
    assert "预算.pdf" in lisi.page
    assert "x.txt" in lisi.page
    assert ".." not in lisi.page
    [unwanted] = Upload.objects.filter(name="x.txt").values_list("id", flat=True)
    write(lisi, "", remove=str(unwanted))
    assert "x.txt" not in lisi.page
    more = SimpleUploadedFile("b.bin", bytes(range(256)) * 10, "application/octet-stream")
    write(lisi, files=[more])
    office.deliver()
    [arrived] = office.messages("xiaoqi")
    attached = {part.get_filename(): part.get_content() for part in parsed(arrived).iter_attachments()}
    assert attached == {"预算.pdf": b"%PDF-1.4", "b.bin": bytes(range(256)) * 10}
    assert list(django_settings.ATTACH_ROOT.iterdir()) == []


def test_an_attachment_beyond_the_limit(office: PostOffice, lisi: Browser, parameters) -> None:
    parameters(message_size_limit="100000")
    lisi.see("/compose/")
    write(lisi, "attach", body="mein Text", files=[SimpleUploadedFile("big.bin", bytes(100_000))])
    assert "“big.bin” is too large and was not attached." in lisi.page
    assert lisi.body() == "mein Text"


def test_an_answer(office: PostOffice, lisi: Browser) -> None:
    office.put(
        make_message(
            "会议", "您好\n-- \n小七\n", Cc="王芳 <wang@benet.com>, lisi@benet.com", References="<first@benet.com>"
        )
    )
    lisi.see("/compose/", mode="reply", of="1")
    assert lisi.field("to") == "小七 <xiaoqi@benet.com>"
    assert lisi.field("cc") == ""
    assert lisi.field("subject") == "Re: 会议"
    assert "On Saturday 12 September 2026, 14:05, 小七 <xiaoqi@benet.com> wrote:\n> 您好\n" in lisi.body()
    assert "-- " not in lisi.body()
    original = parsed(office.messages("lisi")[0])["Message-ID"]
    write(lisi)
    office.deliver()
    [arrived] = office.messages("xiaoqi")
    assert parsed(arrived)["In-Reply-To"] == original
    assert parsed(arrived)["References"].split() == ["<first@benet.com>", original]
    assert office.flags(1) == {"\\Seen", "\\Answered"} or office.flags(1) == {"\\Answered"}


def test_an_answer_to_all(office: PostOffice, lisi: Browser) -> None:
    message = make_message("会议", Cc="王芳 <wang@benet.com>, LISI@benet.com")
    message.replace_header("To", "李四 <lisi@benet.com>, 张伟 <zhang@benet.com>")
    office.put(message)
    lisi.see("/compose/", mode="all", of="1")
    assert lisi.field("to") == "小七 <xiaoqi@benet.com>, 张伟 <zhang@benet.com>"
    assert lisi.field("cc") == "王芳 <wang@benet.com>"


def test_an_answer_goes_where_it_is_asked_for(office: PostOffice, lisi: Browser) -> None:
    office.put(make_message("会议", Reply_To="list@benet.com"))
    lisi.see("/compose/", mode="reply", of="1")
    assert lisi.field("to") == "list@benet.com"


def test_a_forward_takes_the_files_along(office: PostOffice, lisi: Browser) -> None:
    message = make_message("预算", "见附件。\n")
    message.add_attachment(b"%PDF-1.4", "application", "pdf", filename="预算.pdf")
    message.add_attachment(b"other", "application", "zip", filename="b.zip")
    office.put(message)
    lisi.see("/compose/", mode="forward", of="1")
    assert lisi.field("subject") == "Fwd: 预算"
    assert "From: 小七 <xiaoqi@benet.com>" in lisi.body()
    assert "见附件。" in lisi.body()
    assert "预算.pdf" in lisi.page
    write(lisi, to="xiaoqi@benet.com", carry=["1:2"])
    office.deliver()
    [arrived] = office.messages("xiaoqi")
    assert [(p.get_filename(), p.get_content()) for p in parsed(arrived).iter_attachments()] == [
        ("预算.pdf", b"%PDF-1.4")
    ]
    assert "$Forwarded" in office.flags(1)


def test_messages_forwarded_as_attachments(office: PostOffice, lisi: Browser) -> None:
    office.put(make_message("一"))
    office.put(make_message("二"))
    lisi.see("/")
    lisi.press("/act/", do="forward", uid=["1", "2"], validity=lisi.field("validity"), **{"in": "INBOX"})
    write(lisi, to="xiaoqi@benet.com")
    office.deliver()
    [arrived] = office.messages("xiaoqi")
    enclosed = [part.get_payload(0)["Subject"] for part in parsed(arrived).iter_attachments()]
    assert enclosed == ["一", "二"]


def test_html_is_quoted_as_text(office: PostOffice, lisi: Browser) -> None:
    message = make_message("x")
    message.set_content("<p>各位<br>同事</p><script>alert(1)</script>", subtype="html")
    office.put(message)
    lisi.see("/compose/", mode="reply", of="1")
    assert "> 各位\n> 同事" in lisi.body()
    assert "alert" not in lisi.body()


def test_a_draft_is_saved_gone_on_with_and_sent(office: PostOffice, lisi: Browser) -> None:
    lisi.see("/compose/")
    write(lisi, "draft", to="xiaoqi@benet.com", subject="草稿", body="一半", files=[SimpleUploadedFile("a.txt", b"a")])
    assert "The draft was saved." in lisi.page
    assert office.flags(1, box="Drafts") == {"\\Draft", "\\Seen"}
    write(lisi, "draft", body="一半多")
    assert len(office.messages("lisi", "Drafts")) == 1
    another = Browser()  # on another device
    another.sign_in("lisi")
    another.see("/", **{"in": "Drafts"})
    link = re.search(r'href="(/compose/\?in=Drafts&(?:amp;)?mode=draft&(?:amp;)?of=\d+)"', another.page)
    another.see(link[1].replace("&amp;", "&"))
    assert another.body().strip() == "一半多"
    assert "a.txt" in another.page
    write(another, body="写完了")
    assert "Your message was sent." in another.page
    assert office.messages("lisi", "Drafts") == []
    office.deliver()
    assert "写完了" in parsed(office.messages("xiaoqi")[0]).get_body().get_content()


def test_a_draft_needs_no_recipient(office: PostOffice, lisi: Browser) -> None:
    lisi.see("/compose/")
    write(lisi, "draft", body="nur so")
    assert len(office.messages("lisi", "Drafts")) == 1


def test_a_double_click_sends_once(office: PostOffice, lisi: Browser) -> None:
    lisi.see("/compose/")
    page = lisi.page
    write(lisi, to="xiaoqi@benet.com", subject="einmal", body="x")
    lisi.page = page
    write(lisi, to="xiaoqi@benet.com", subject="einmal", body="x")
    assert "This message was sent already." in lisi.page
    office.deliver()
    assert len(office.messages("xiaoqi")) == 1


# --- Nothing is lost --------------------------------------------------------------------------------


def test_the_session_ends_while_lisi_writes(office: PostOffice, lisi: Browser) -> None:
    lisi.see("/compose/")
    page = lisi.page
    lisi.press("/logout/")
    lisi.page = page
    lisi.cookies["csrftoken"] = lisi.cookies["csrftoken"].value
    write(lisi, to="xiaoqi@benet.com", subject="lang", body="drei Seiten", files=[SimpleUploadedFile("a.txt", b"a")])
    assert "nothing was lost" in lisi.page
    lisi.press("/login/", username="lisi", password=PASSWORD, next=lisi.field("next"))
    assert lisi.body() == "drei Seiten"
    assert lisi.field("subject") == "lang"
    assert "a.txt" in lisi.page
    write(lisi)
    office.deliver()
    assert len(office.messages("xiaoqi")) == 1


def test_what_lisi_wrote_is_not_shown_to_xiaoqi(office: PostOffice, lisi: Browser) -> None:
    lisi.see("/compose/")
    page = lisi.page
    lisi.press("/logout/")
    lisi.page = page
    write(lisi, to="wang@benet.com", body="vertraulich")
    lisi.press("/login/", username="xiaoqi", password=PASSWORD, next=lisi.field("next"))
    assert "vertraulich" not in lisi.page


def test_a_page_of_lisi_posted_by_xiaoqi(office: PostOffice, lisi: Browser) -> None:
    lisi.see("/compose/")
    page, ticket = lisi.page, lisi.field("message")
    lisi.press("/logout/")
    lisi.sign_in("xiaoqi")
    lisi.see("/compose/")
    response = write(lisi, message=ticket, to="wang@benet.com", body="vertraulich")
    assert response.status_code == 403
    assert page
    office.deliver()
    assert office.messages("xiaoqi", "Sent") == []


def test_a_token_that_has_changed_costs_no_text(office: PostOffice, lisi: Browser) -> None:
    """Signed in anew in another tab: the page's CSRF token is old. It is shown again, not thrown away."""
    lisi.see("/compose/")
    page = lisi.page
    lisi.press("/logout/")
    lisi.sign_in()
    lisi.page = re.sub(
        r'name="csrfmiddlewaretoken" value="\w+"', 'name="csrfmiddlewaretoken" value="' + "x" * 64 + '"', page
    )
    write(lisi, to="xiaoqi@benet.com", body="viel Text")
    assert "Please press the button once more." in lisi.page
    assert lisi.body() == "viel Text"
    assert office.messages("lisi", "Sent") == []
    write(lisi)
    assert "Your message was sent." in lisi.page


def test_a_recipient_the_server_refuses(office: PostOffice, lisi: Browser) -> None:
    lisi.see("/compose/")
    write(lisi, to="xiaoqi@benet.com, nobody@benet.com", subject="x", body="bleibt")
    assert "The message was not sent" in lisi.page
    assert "nobody@benet.com: 550" in lisi.page
    assert lisi.body() == "bleibt"
    office.deliver()
    assert office.messages("xiaoqi") == []
    write(lisi, to="xiaoqi@benet.com")
    assert "Your message was sent." in lisi.page


def test_the_smtp_server_is_away(office: PostOffice, lisi: Browser, settings) -> None:
    lisi.see("/compose/")
    with override_settings(WEBMAIL=settings.WEBMAIL | {"SMTP_SERVER": "127.0.0.1:1"}):
        response = write(lisi, to="xiaoqi@benet.com", body="bleibt")
    assert response.status_code == 503
    assert "Your text is saved" in lisi.page
    assert lisi.body() == "bleibt"
    write(lisi)
    assert "Your message was sent." in lisi.page


def test_the_imap_server_is_away_when_it_is_pressed(office: PostOffice, lisi: Browser, settings) -> None:
    from webmail.mailserver import connection_pool

    lisi.see("/compose/")
    connection_pool.close_all()
    with override_settings(WEBMAIL=settings.WEBMAIL | {"IMAP_SERVER": "127.0.0.1:1"}):
        write(lisi, to="xiaoqi@benet.com", body="bleibt")
    assert "The mail server cannot be reached." in lisi.page
    lisi.see("/compose/")
    assert "A message was left unfinished" in lisi.page
    lisi.see(re.search(r'href="(/compose/[\w-]+/)"', lisi.page)[1])
    assert lisi.body() == "bleibt"


def test_the_copy_cannot_be_kept(office: PostOffice, lisi: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_args):
        raise imap_client.CommandRefused("Quota exceeded")

    lisi.see("/compose/")
    monkeypatch.setattr(imap_client.MailSession, "append", full)
    write(lisi, to="xiaoqi@benet.com", subject="x", body="y")
    assert "Your message was sent." in lisi.page
    assert "No copy could be saved" in lisi.page
    office.deliver()
    assert len(office.messages("xiaoqi")) == 1


HOSTILE = {
    "line end in the subject": {"subject": "x\r\nBcc: all@benet.com"},
    "line end in a recipient": {"to": "xiaoqi@benet.com\r\nBcc: evil"},
    "control in a recipient": {"to": "xiaoqi@benet.com\0"},
    "a header in the references": {"references": "<a@b>\r\nX-Evil: 1"},
    "a header in the answer": {"in_reply_to": "x\r\nX-Evil: 1"},
    "a header in the priority": {"priority": "high\r\nX-Evil: 1"},
    "somebody else's message": {"of": "1", "in": "../xiaoqi/INBOX", "carry": ["1:"]},
    "a section that is none": {"carry": ["1:1] BODY[2", "x:1", "1:"]},
}


@pytest.mark.parametrize("form", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_forms_smuggle_nothing(office: PostOffice, lisi: Browser, form: dict) -> None:
    lisi.see("/compose/")
    write(lisi, **({"to": "xiaoqi@benet.com", "subject": "x", "body": "y"} | form))
    office.deliver()
    for arrived in office.messages("xiaoqi"):
        assert b"Evil" not in arrived
        assert b"Bcc" not in arrived
    assert office.messages("lisi") == []


def test_a_forged_ticket(office: PostOffice, lisi: Browser) -> None:
    lisi.see("/compose/")
    assert write(lisi, message="forged:x:y", to="xiaoqi@benet.com").status_code == 400
    assert not Composition.objects.exists()


def test_strangers_leave_nothing_here(office: PostOffice, browser: Browser) -> None:
    browser.see("/login/")
    browser.press("/compose/", message="x", body="y", files=[SimpleUploadedFile("a", b"a")])
    assert not Composition.objects.exists()
    assert not Upload.objects.exists()


def test_discarding(office: PostOffice, lisi: Browser) -> None:
    lisi.see("/compose/")
    write(lisi, "attach", files=[SimpleUploadedFile("a.txt", b"a")])
    write(lisi, "discard")
    assert "<h1>Inbox</h1>" in lisi.page
    assert not Composition.objects.exists()
    assert list(django_settings.ATTACH_ROOT.iterdir()) == []


def test_old_messages_are_swept(office: PostOffice, lisi: Browser) -> None:
    lisi.see("/compose/")
    write(lisi, "attach", files=[SimpleUploadedFile("a.txt", b"a")])
    Composition.objects.update(changed="2020-01-01T00:00:00Z")
    cache.clear()  # it was done within this hour
    draft_store.remove_stale()
    assert not Composition.objects.exists()
    assert list(django_settings.ATTACH_ROOT.iterdir()) == []


MAILTO = {
    "mailto:a@b.cn": ("a@b.cn", "", ""),
    "mailto:a@b.cn?subject=%E4%BC%9A%E8%AE%AE&body=x%0D%0Ay": ("a@b.cn", "会议", "x"),
    "MAILTO:a@b.cn?Subject=x": ("a@b.cn", "x", ""),
    "mailto:?to=a@b.cn&subject=a%0D%0ABcc:%20evil@x": ("a@b.cn", "a Bcc: evil@x", ""),
    "javascript:alert(1)": ("", "", ""),
}


@pytest.mark.parametrize(("link", "page"), MAILTO.items())
def test_mailto_links(office: PostOffice, lisi: Browser, link: str, page: tuple[str, str, str]) -> None:
    lisi.see("/compose/", mailto=link)
    assert (lisi.field("to"), lisi.field("subject")) == page[:2]
    assert page[2] in lisi.body()


def test_name_signature_and_reply_to_of_the_options(office: PostOffice, lisi: Browser) -> None:
    lisi.see("/options/")
    lisi.press("/options/", name="李四（财务）", signature="李四\n财务部", reply_to="office@benet.com", page_size="50")
    lisi.see("/compose/")
    assert lisi.body().endswith("-- \n李四\n财务部\n")
    write(lisi, to="xiaoqi@benet.com", subject="x", priority="high", receipt="1")
    office.deliver()
    arrived = parsed(office.messages("xiaoqi")[0])
    assert arrived["From"].addresses[0].display_name == "李四（财务）"
    assert arrived["Reply-To"] == "office@benet.com"
    assert arrived["X-Priority"] == "1"
    assert "lisi@benet.com" in arrived["Disposition-Notification-To"]
