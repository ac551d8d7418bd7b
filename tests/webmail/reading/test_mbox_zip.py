"""Messages out as files and in again; messages put off."""

import io
import mailbox
import struct
import zipfile
from datetime import timedelta

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone

from webmail.models import Snoozed
from webmail_fixtures import Browser, PostOffice, make_message

pytestmark = pytest.mark.django_db(transaction=True)


def content(response) -> bytes:
    return b"".join(response.streaming_content)


@pytest.fixture
def two(office: PostOffice, lisi: Browser) -> Browser:
    office.put(make_message("会议", "您好\nFrom here on\n"), flags=r"(\Seen \Flagged work)")
    office.put(make_message("预算/2026", "x\n"))
    lisi.see("/")
    return lisi


def test_a_folder_goes_out_and_comes_in_again(office: PostOffice, two: Browser, tmp_path) -> None:
    response = two.get("/transfer/export", {"in": "INBOX", "as": "mbox"})
    data = content(response)
    path = tmp_path / "x.mbox"
    path.write_bytes(data)
    assert len(mailbox.mbox(path)) == 2
    two.see("/transfer/")
    two.press("/transfer/", file=SimpleUploadedFile("x.mbox", data), **{"in": "Archive"})
    assert "2 messages were imported." in two.page
    assert office.messages("lisi", "Archive") == office.messages("lisi")
    assert office.flags(1, box="Archive") == {"\\Seen", "\\Flagged", "work"}
    assert office.flags(2, box="Archive") == set()


def test_a_folder_as_zip(office: PostOffice, two: Browser) -> None:
    data = content(two.get("/transfer/export", {"as": "zip"}))
    names = zipfile.ZipFile(io.BytesIO(data)).namelist()
    assert names == ["000001 会议.eml", "000002 2026.eml"]
    two.see("/transfer/")
    two.press("/transfer/", file=SimpleUploadedFile("x.zip", data), **{"in": "Archive"})
    assert sorted(office.messages("lisi", "Archive")) == sorted(office.messages("lisi"))


def test_chosen_messages_as_mbox(two: Browser) -> None:
    token = two.field("csrfmiddlewaretoken")
    form = {
        "do": "export",
        "uid": ["2"],
        "validity": two.field("validity"),
        "in": "INBOX",
        "csrfmiddlewaretoken": token,
    }
    response = two.post("/act/", form)
    data = content(response)
    assert data.count(b"\nMessage-ID:") == 1
    assert response["Content-Disposition"].startswith("attachment")


BOMB = io.BytesIO()
with zipfile.ZipFile(BOMB, "w", zipfile.ZIP_DEFLATED) as archive:
    archive.writestr("../../etc/passwd.eml", b"Subject: x\r\n\r\n" + b"0" * 80_000_000)
FILES = {
    "nothing": b"",
    "a picture": b"\x89PNG\r\n\x1a\n",
    "no archive": b"PK\x03\x04broken",
    "an archive that grows": BOMB.getvalue(),
    "an empty archive": b"PK\x05\x06" + b"\0" * 18,
}


@pytest.mark.parametrize("data", FILES.values(), ids=FILES.keys())
def test_what_holds_no_message(office: PostOffice, two: Browser, data: bytes) -> None:
    two.see("/transfer/")
    response = two.press("/transfer/", file=SimpleUploadedFile("x", data), **{"in": "Archive"})
    assert response.status_code == 422
    assert "There is no message in this file." in two.page or "The submitted file is empty" in two.page or not data
    assert office.messages("lisi", "Archive") == []


def test_a_single_message_comes_in(office: PostOffice, two: Browser) -> None:
    two.see("/transfer/")
    two.press("/transfer/", file=SimpleUploadedFile("x.eml", b"Subject: x\n\nhello\n"), **{"in": "Archive"})
    assert office.messages("lisi", "Archive") == [b"Subject: x\r\n\r\nhello\r\n"]


# --- Snoozing ---------------------------------------------------------------------------------------


def snooze(browser: Browser, *uids: int, **form: str) -> None:
    browser.see("/")
    browser.press("/act/", uid=[str(u) for u in uids], validity=browser.field("validity"), **{"in": "INBOX"}, **form)


def test_a_message_is_put_off_and_comes_back_unread(office: PostOffice, two: Browser) -> None:
    snooze(two, 1, snooze="tomorrow")
    assert "1 message comes back:" in two.page
    assert len(office.messages("lisi")) == 1
    assert len(office.messages("lisi", "Snoozed")) == 1
    two.see("/")
    assert len(office.messages("lisi")) == 1  # not yet
    Snoozed.objects.update(due=timezone.now() - timedelta(seconds=1))
    two.see("/")
    assert "会议" in two.page
    assert len(office.messages("lisi", "Snoozed")) == 0
    assert "\\Seen" not in office.flags(3)
    assert Snoozed.objects.count() == 0


def test_at_a_time_of_ones_own(office: PostOffice, two: Browser) -> None:
    when = timezone.localtime() + timedelta(days=3)
    snooze(two, 1, 2, snooze="at", snooze_until=f"{when:%Y-%m-%dT%H:%M}")
    assert "2 messages come back:" in two.page
    due = Snoozed.objects.first().due
    assert abs(due - when) < timedelta(minutes=1)


@pytest.mark.parametrize("until", ["", "nonsense", "2020-01-01T00:00", "9999-01-01T00:00"])
def test_no_such_time(office: PostOffice, two: Browser, until: str) -> None:
    snooze(two, 1, snooze="at", snooze_until=until)
    assert "Please choose a time that is yet to come." in two.page
    assert len(office.messages("lisi")) == 2


def test_who_takes_a_snoozed_message_back_himself(office: PostOffice, two: Browser) -> None:
    snooze(two, 1, snooze="week")
    two.see("/", **{"in": "Snoozed"})
    two.press("/act/", do="move", uid="1", target="INBOX", validity=two.field("validity"), **{"in": "Snoozed"})
    Snoozed.objects.update(due=timezone.now() - timedelta(seconds=1))
    two.see("/")
    assert len(office.messages("lisi")) == 2
    assert Snoozed.objects.count() == 0


def test_an_imported_message_does_not_claim_that_our_server_checked_it(office: PostOffice, lisi: Browser) -> None:
    content = (
        b"Authentication-Results: benet.com; dmarc=pass\r\nReceived: from x by benet.com; now\r\n"
        b"From: ceo@icbc.com.cn\r\nSubject: forged\r\n\r\nx\r\n"
    )
    file = io.BytesIO(content)
    file.name = "forged.eml"
    lisi.see("/transfer/")
    lisi.press("/transfer/", file=file, **{"in": "INBOX"})
    [stored] = office.messages("lisi")
    assert stored == content.partition(b"\r\n")[2]


def many_entries(count: int) -> bytes:
    """An archive whose central directory has one file's entry again and again: 50 bytes each, 500 in memory."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("a.eml", b"Subject: x\r\n\r\n")
    data = target.getvalue()
    start, end = data.index(b"PK\1\2"), data.index(b"PK\5\6")
    entries = data[start:end] * count
    fields = (b"PK\5\6", 0, 0, count & 0xFFFF, count & 0xFFFF, len(entries), start, 0)
    return data[:start] + entries + struct.pack("<4sHHHHIIH", *fields)


def mbox_bomb() -> bytes:
    """One message of 300 MB in an archive of 300 KB."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("a.mbox", "w") as file:
        file.write(b"From a\n\n")
        for _ in range(300):
            file.write(b"\n" * (1 << 20))
        file.write(b"\nFrom b\nSubject: small\n\n")
    return target.getvalue()


@pytest.mark.parametrize("data", [many_entries(100_001), mbox_bomb()], ids=["entries", "unpacked"])
def test_an_archive_that_is_too_large(office: PostOffice, lisi: Browser, parameters, data) -> None:
    parameters(webmail_import_unpacked_limit="100000000")
    lisi.see("/transfer/")
    lisi.press("/transfer/", file=SimpleUploadedFile("x.zip", data), **{"in": "Archive"})
    assert "This archive is too large when it is unpacked." in lisi.page
    assert not office.messages("lisi", "Archive")


def test_a_message_that_is_too_large_is_left_out(office: PostOffice, lisi: Browser) -> None:
    lisi.see("/transfer/")
    lisi.press("/transfer/", file=SimpleUploadedFile("x.zip", mbox_bomb()), **{"in": "Archive"})
    assert "1 message was imported." in lisi.page
