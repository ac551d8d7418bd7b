"""Messages uploaded, read, flagged, searched, copied, moved and removed by a client."""

import re
import time
from pathlib import Path

import pytest
from django.db import connection

from imap_client import MIXED, PLAIN, ImapRunning, Mailer
from mailcore.models import Account, Mailbox, Message
from mailcore.store.maildir import maildir_files

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def running(imap) -> ImapRunning:
    return imap()


@pytest.fixture
def lisi(running) -> Mailer:
    return running.dial().sign_in()


@pytest.fixture
def three(lisi: Mailer) -> Mailer:
    """INBOX with PLAIN (seen), MIXED, and a note of yesterday's flags; selected."""
    lisi.append(PLAIN, more='(\\Seen) "17-Jan-2009 17:33:50 +0800"')
    lisi.append(MIXED)
    lisi.append(b"Subject: note\r\n\r\nshort\r\n", more="(\\Flagged $Forwarded)")
    lisi.do("SELECT INBOX")
    lisi.do("SELECT INBOX")  # nothing is recent the second time
    return lisi


def test_select_tells_of_the_mailbox(three: Mailer) -> None:
    responses = b"\n".join(three.do("EXAMINE INBOX")).decode()
    assert three.tagged.startswith("OK [READ-ONLY]")
    for line in (
        "* 3 EXISTS",
        "* 0 RECENT",
        "* OK [UNSEEN 2]",
        "* OK [UIDNEXT 4]",
        "$Forwarded)",
        "[PERMANENTFLAGS ()]",
    ):
        assert line in responses
    assert "* OK [CLOSED]" in responses
    three.do("SELECT nothing", "NO [NONEXISTENT]")
    three.do("FETCH 1 FLAGS", "BAD")  # nothing is selected now


def test_recent_is_told_to_one_session(lisi: Mailer, running) -> None:
    lisi.append(PLAIN)
    other = running.dial().sign_in()
    assert b"* 1 RECENT" in other.do("EXAMINE INBOX")
    assert b"* 1 RECENT" in lisi.do("SELECT INBOX")
    assert b"* 0 RECENT" in other.do("SELECT INBOX")
    assert lisi.do("FETCH 1 FLAGS") == [b"* 1 FETCH (FLAGS (\\Recent))"]
    assert other.do("FETCH 1 FLAGS") == [b"* 1 FETCH (FLAGS ())"]
    assert lisi.do("SEARCH NEW") == [b"* SEARCH 1"]
    assert other.do("SEARCH NEW") == [b"* SEARCH"]


# --- FETCH ----------------------------------------------------------------------------------------


def test_what_the_index_knows(three: Mailer) -> None:
    [one] = three.do("FETCH 1 (UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE)")
    date = re.search(rb'INTERNALDATE "([^"]*)"', one)
    assert date is not None
    assert date[1].endswith((b"17:33:50 +0800", b"09:33:50 +0000"))
    assert one.replace(date[0], b"DATE") == (
        b"* 1 FETCH (UID 1 FLAGS (\\Seen) DATE RFC822.SIZE %d ENVELOPE "
        b'("Sat, 17 Jan 2009 17:33:50 +0800" "=?utf-8?q?=E4=BC=9A=E8=AE=AE?="'
        b' (("=?utf-8?b?5p2O5Zub?=" NIL "lisi" "benet.com")) (("=?utf-8?b?5p2O5Zub?=" NIL "lisi" "benet.com"))'
        b' (("=?utf-8?b?5p2O5Zub?=" NIL "lisi" "benet.com")) ((NIL NIL "xiaoqi" "benet.com")) NIL NIL NIL'
        b' "<1@benet.com>"))' % len(PLAIN)
    )
    [two] = three.do("FETCH 2 BODYSTRUCTURE")
    assert two.startswith(b'* 2 FETCH (BODYSTRUCTURE (("TEXT" "PLAIN" ("CHARSET" "us-ascii") NIL NIL "7BIT" 5 0 NIL')
    assert b'("ATTACHMENT" ("FILENAME" "x.bin"))' in two
    [two] = three.do("FETCH 2 BODY")
    assert two.endswith(b'("APPLICATION" "OCTET-STREAM" ("NAME" "x.bin") NIL NIL "base64" 8) "MIXED"))')
    [*_, three_] = three.do("FETCH 3 (MODSEQ EMAILID THREADID SAVEDATE PREVIEW)")
    assert re.fullmatch(
        rb"\* 3 FETCH \(MODSEQ \(\d+\) EMAILID \(M[0-9a-f]{32}\) THREADID \(T[0-9a-f]{32}\)"
        rb' SAVEDATE "[^"]+" PREVIEW "short"\)',
        three_,
    )
    email_id, thread_id = re.search(rb"EMAILID \((\w+)\) THREADID \((\w+)\)", three_).groups()
    assert three.do(f"SEARCH EMAILID {email_id.decode()}") == [b"* SEARCH 3"]
    assert b"3" in three.do(f"SEARCH THREADID {thread_id.decode()}")[0].split()
    assert three.do(f"SEARCH THREADID M{thread_id[1:].decode()}") == [b"* SEARCH"]
    assert len(three.do("FETCH 1:* ALL")) == len(three.do("UID FETCH 1:99 FULL")) == 3
    assert three.do("FETCH 3:1,2 (UID)") == [b"* %d FETCH (UID %d)" % (n, n) for n in (1, 2, 3)]


@pytest.mark.parametrize(
    ("item", "answer"),
    [
        ("BODY.PEEK[]", b"BODY[] {%d}\r\n%b" % (len(MIXED), MIXED)),
        ("BODY.PEEK[1]", b"BODY[1] {5}\r\nfirst"),
        ("BODY.PEEK[2.MIME]<0.7>", b"BODY[2.MIME]<0> {7}\r\nContent"),
        ("BODY.PEEK[3]", b"BODY[3] NIL"),
        ("BODY.PEEK[HEADER.FIELDS (Subject)]", b"BODY[HEADER.FIELDS (SUBJECT)] {22}\r\nSubject: two parts\r\n\r\n"),
        ("BODY.PEEK[]<100000.5>", b"BODY[]<100000> {0}\r\n"),
        ("BINARY.PEEK[2]", b"BINARY[2] ~{4}\r\n\x00\x01\x02\x03"),
        ("BINARY.PEEK[2]<1.2>", b"BINARY[2]<1> {2}\r\n\x01\x02"),
        ("BINARY.SIZE[2]", b"BINARY.SIZE[2] 4"),
        (
            "RFC822.HEADER",
            b"RFC822.HEADER {%d}\r\n%b" % (MIXED.index(b"\r\n\r\n") + 4, MIXED[: MIXED.index(b"\r\n\r\n") + 4]),
        ),
    ],
)
def test_content(three: Mailer, item: str, answer: bytes) -> None:
    assert three.do(f"UID FETCH 2 ({item})") == [(b"* 2 FETCH (UID 2 " + answer + b")").rstrip(b"\r\n")]


def test_equal_items_are_answered_once(three: Mailer) -> None:
    items = " ".join(["BODY.PEEK[1]", "body.peek[1]", "BODY[1]"] * 1600)
    assert three.do(f"FETCH 2 ({items})") == [b"* 2 FETCH (FLAGS (\\Seen) BODY[1] {5}\r\nfirst)"]


def test_many_items_come_in_several_responses(three: Mailer) -> None:
    """A large message in many pieces that overlap is never in memory as often as it is asked for."""
    text = b"".join(b"%07d\r\n" % number for number in range(300_000))
    uid = three.append(b"Subject: s\r\n\r\n" + text)
    items = " ".join(f"BODY.PEEK[1]<{first}.2000000>" for first in range(20))
    found = three.do(f"UID FETCH {uid} (FLAGS {items})")
    responses = [each for each in found if b"BODY[1]" in each]
    assert len(responses) > 5
    assert max(map(len, responses)) < 8_000_000
    assert all(each.startswith(b"* 4 FETCH (UID %d FLAGS (" % uid) for each in responses)
    for first in range(20):
        piece = b"BODY[1]<%d> {2000000}\r\n%b" % (first, text[first : first + 2_000_000])
        assert sum(piece in each for each in responses) == 1


def test_reading_sets_seen(three: Mailer) -> None:
    three.do("FETCH 2 BODY.PEEK[]")
    assert three.do("FETCH 2 FLAGS") == [b"* 2 FETCH (FLAGS ())"]
    assert three.do("FETCH 1:2 BODY[1]")[-1] == b"* 2 FETCH (FLAGS (\\Seen) BODY[1] {5}\r\nfirst)"
    assert three.do("FETCH 2 (FLAGS BODY[1])") == [b"* 2 FETCH (FLAGS (\\Seen) BODY[1] {5}\r\nfirst)"]
    assert three.do("FETCH 1 (FLAGS BODY[]<0.1>)") == [
        b"* 1 FETCH (FLAGS (\\Seen) BODY[]<0> {1}\r\nF)"
    ]  # reported once
    three.do("EXAMINE INBOX")
    three.do("FETCH 3 BODY[]")
    assert three.do("FETCH 3 FLAGS") == [b"* 3 FETCH (FLAGS (\\Flagged $Forwarded))"]


def test_numbers_of_no_message(three: Mailer) -> None:
    three.do("FETCH 4 FLAGS", "BAD")
    assert three.do("UID FETCH 4 FLAGS") == []
    assert three.do("UID FETCH 4:* FLAGS") == [b"* 3 FETCH (UID 3 FLAGS (\\Flagged $Forwarded))"]
    assert three.do("UID STORE 9 +FLAGS (\\Seen)") == []
    assert three.do("UID EXPUNGE 9") == []


def test_a_message_whose_file_is_gone(three: Mailer) -> None:
    for file in Path(maildir_files.folder_directory("lisi@benet.com", "")).glob("[cn]*/*"):
        if b"two parts" in file.read_bytes():
            file.unlink()
    assert [line[:6] for line in three.do("FETCH 1:3 BODY.PEEK[]")] == [b"* 1 FE", b"* 3 FE", b"* NO ["]
    assert len(three.do("FETCH 1:3 ENVELOPE")) == 3


def test_changed_since(three: Mailer) -> None:
    [*_, before] = three.do("STATUS INBOX (HIGHESTMODSEQ)")
    modseq = int(before.split()[-1].rstrip(b")"))
    assert three.do(f"FETCH 1:* (FLAGS) (CHANGEDSINCE {modseq})") == []
    three.do("STORE 2 +FLAGS (\\Answered)")
    assert three.do(f"FETCH 1:* (FLAGS) (CHANGEDSINCE {modseq})") == [
        b"* 2 FETCH (FLAGS (\\Answered) MODSEQ (%d))" % (modseq + 1)
    ]


# --- STORE ----------------------------------------------------------------------------------------


def test_flags_are_set_and_taken(three: Mailer) -> None:
    assert three.do("STORE 1:2 +FLAGS (\\Answered work)")[-2:] == [
        b"* 1 FETCH (FLAGS (\\Answered \\Seen work))",
        b"* 2 FETCH (FLAGS (\\Answered work))",
    ]
    assert three.do("STORE 1 -FLAGS (\\seen WORK)") == [b"* 1 FETCH (FLAGS (\\Answered))"]
    assert three.do("UID STORE 3 FLAGS \\Draft") == [b"* 3 FETCH (UID 3 FLAGS (\\Draft))"]
    assert three.do("STORE 3 FLAGS.SILENT ()") == []
    assert three.do("STORE 1:3 +FLAGS.SILENT (\\Seen)") == []
    assert three.do("FETCH 1:3 FLAGS") == [
        b"* 1 FETCH (FLAGS (\\Answered \\Seen))",
        b"* 2 FETCH (FLAGS (\\Answered \\Seen work))",
        b"* 3 FETCH (FLAGS (\\Seen))",
    ]
    assert Mailbox.objects.get(name="INBOX", account__local_part="lisi").unseen == 0
    three.do("STORE 1 +FLAGS (\\Unknown)", "BAD")
    three.do("EXAMINE INBOX")
    three.do("STORE 1 +FLAGS (\\Seen)", "NO [READ-ONLY]")


def test_a_keyword_is_announced_before_it_is_used(three: Mailer) -> None:
    responses = three.do("STORE 1 +FLAGS (Fresh)")
    assert responses[0].startswith(b"* FLAGS (")
    assert b"Fresh" in responses[0]
    assert responses[-1] == b"* 1 FETCH (FLAGS (\\Seen Fresh))"


def test_storing_on_condition(three: Mailer) -> None:
    [enabled, response] = three.do("FETCH 1 MODSEQ")
    assert re.fullmatch(rb"\* OK \[HIGHESTMODSEQ \d+\] Highest", enabled)
    modseq = int(re.findall(rb"\d+", response)[-1])
    three.do("STORE 2 +FLAGS (\\Answered)")
    responses = three.do(f"STORE 1:2 (UNCHANGEDSINCE {modseq}) +FLAGS (\\Deleted)")
    assert three.tagged.startswith("OK [MODIFIED 2]")
    assert [line.split(b" FETCH")[0] for line in responses] == [b"* 1"]
    assert b"MODSEQ" in responses[0]


def test_file_names_follow_flags(three: Mailer, running) -> None:
    three.do("STORE 1:3 FLAGS.SILENT (\\Seen \\Flagged)")
    three.do("STORE 2 FLAGS.SILENT (\\Answered)")
    three.do("STORE 3 FLAGS.SILENT ()")
    running.stop()  # background work is finished
    home = maildir_files.folder_directory("lisi@benet.com", "")
    found = sorted(
        path.name.partition(":")[2] for path in Path(home).glob("[cn]*/*") if path.parent.name in ("cur", "new")
    )
    assert found == ["2,", "2,FS", "2,R"]
    for row in Message.objects.all():
        assert maildir_files.read_message(home, row.base_name, row.flags)


# --- EXPUNGE, COPY, MOVE --------------------------------------------------------------------------


def used(name: str = "lisi") -> tuple[int, int]:
    account = Account.objects.get(local_part=name)
    return account.used_bytes, account.used_messages


def test_expunging(three: Mailer) -> None:
    three.do("STORE 1,3 +FLAGS.SILENT (\\Deleted)")
    assert three.do("UID EXPUNGE 2:3") == [b"* 3 EXPUNGE"]
    assert three.do("EXPUNGE") == [b"* 1 EXPUNGE"]
    assert three.do("FETCH 1:* UID") == [b"* 1 FETCH (UID 2)"]
    assert used() == (len(MIXED), 1)
    assert three.append(PLAIN) == 4  # a UID is never used again


def test_closing_expunges_and_unselecting_does_not(three: Mailer) -> None:
    three.do("STORE 1 +FLAGS.SILENT (\\Deleted)")
    three.do("UNSELECT")
    assert three.do("STATUS INBOX (MESSAGES)") == [b"* STATUS INBOX (MESSAGES 3)"]
    three.do("EXAMINE INBOX")
    three.do("EXPUNGE", "NO [READ-ONLY]")
    three.do("CLOSE")
    assert three.do("STATUS INBOX (MESSAGES)") == [b"* STATUS INBOX (MESSAGES 3)"]
    three.do("SELECT INBOX")
    assert three.do("CLOSE") == []
    assert three.do("STATUS INBOX (MESSAGES)") == [b"* STATUS INBOX (MESSAGES 2)"]


def test_copying(three: Mailer) -> None:
    three.do("COPY 1,3 Archive")
    assert re.match(r"OK \[COPYUID \d+ 1,3 1:2\]", three.tagged)
    three.do("UID COPY 99 Archive", "OK Copy completed.")
    three.do("COPY 1 nothing", "NO [TRYCREATE]")
    three.do("COPY 1 INBOX")
    assert used() == (3 * len(PLAIN) + len(MIXED) + 2 * len(b"Subject: note\r\n\r\nshort\r\n"), 6)
    three.do("SELECT Archive")
    assert three.do("FETCH 1:* (FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])")[1].startswith(
        b"* 2 FETCH (FLAGS (\\Flagged \\Recent $Forwarded) BODY[HEADER.FIELDS (SUBJECT)]"
    )
    assert three.do('SEARCH TEXT "short"') == [b"* SEARCH 2"]


def test_moving(three: Mailer) -> None:
    before = used()
    responses = three.do("MOVE 1:2 Trash")
    assert re.match(rb"\* OK \[COPYUID \d+ 1:2 1:2\]", responses[0])
    assert sorted(responses[1:]) == [b"* 1 EXPUNGE", b"* 2 EXPUNGE"]
    assert three.do("FETCH 1:* UID") == [b"* 1 FETCH (UID 3)"]
    assert used() == before
    three.do("SELECT Trash")
    assert MIXED in three.do("FETCH 2 BODY.PEEK[]")[0]
    assert three.do("UID MOVE 1:* nothing", "NO [TRYCREATE]") == []
    three.do("UID MOVE 1:* INBOX")
    assert three.do("STATUS INBOX (MESSAGES UNSEEN)") == [b"* STATUS INBOX (MESSAGES 3 UNSEEN 2)"]


def test_moving_into_the_same_mailbox(three: Mailer) -> None:
    three.do("MOVE 1 INBOX")
    assert [re.search(rb"UID (\d+)", line)[1] for line in three.do("FETCH 1:* UID")] == [b"2", b"3", b"4"]  # type: ignore[index]


def test_a_full_mailbox_takes_nothing(three: Mailer, running) -> None:
    Account.objects.filter(local_part="lisi").update(quota_messages=4)
    three.do("COPY 1:2 Archive", "NO [OVERQUOTA]")
    three.do("COPY 1 Archive")
    three.do(b"APPEND INBOX {%d+}\r\n%b" % (len(PLAIN), PLAIN), "NO [OVERQUOTA]")
    three.do("MOVE 1 Archive")
    assert used()[1] == 4
    running.stop()
    home = Path(maildir_files.folder_directory("lisi@benet.com", ""))
    assert len([path for path in [*home.glob("[cn]*/*"), *home.glob(".*/[cn]*/*")] if path.is_file()]) == 4
    assert not [path for path in home.rglob("tmp/*") if path.is_file()]


# --- APPEND ---------------------------------------------------------------------------------------


def test_appending_step_by_step(lisi: Mailer) -> None:
    lisi.talk("""
        C: a APPEND Drafts (\\Draft) {18}
        S: + OK
        C: Subject: x
        C:
        C: text
        S: a OK [APPENDUID … 1] Append completed.
        C: b APPEND nothing {5}
        S: b NO [TRYCREATE] Mailbox does not exist
        C: c APPEND Drafts {99999999999}
        S: c NO [TOOBIG] Message is too large
        C: d APPEND Drafts {5+}
        C: hello junk
        S: d BAD …
        C: e APPEND Drafts "no date" {5+}
        C: hello
        S: e BAD …
        C: f NOOP
        S: f OK Noop completed.
    """)
    assert lisi.do("STATUS Drafts (MESSAGES)") == [b"* STATUS Drafts (MESSAGES 1)"]


def test_appending_many_is_all_or_nothing(lisi: Mailer) -> None:
    two = b"{3+}\r\na:b (\\Seen) {3+}\r\nc:d"
    lisi.do(b"APPEND INBOX " + two)
    assert re.match(r"OK \[APPENDUID \d+ 1:2\]", lisi.tagged)
    Account.objects.filter(local_part="lisi").update(quota_messages=3)
    lisi.do(b"APPEND INBOX " + two, "NO [OVERQUOTA]")
    assert lisi.do("STATUS INBOX (MESSAGES)") == [b"* STATUS INBOX (MESSAGES 2)"]
    assert (
        len(
            [
                path
                for path in Path(maildir_files.folder_directory("lisi@benet.com", "")).glob("[cn]*/*")
                if path.is_file()
            ]
        )
        == 2
    )


def test_a_large_message_goes_to_a_file_as_it_comes(lisi: Mailer) -> None:
    content = b"Subject: large\r\n\r\n" + b"0123456789abcde\r\n" * 100_000
    uid = lisi.append(content)
    lisi.do("SELECT INBOX")
    assert content in lisi.do(f"UID FETCH {uid} BODY.PEEK[]")[0]
    assert lisi.do(f"UID FETCH {uid} BODY.PEEK[]<1000000.5>") == [
        b"* 1 FETCH (UID 1 BODY[]<1000000> {5}\r\n%b)" % content[1000000:1000005]
    ]


def test_a_client_that_leaves_half_way_leaves_nothing(running, lisi: Mailer) -> None:
    lisi.send(b"a APPEND INBOX {1000000+}\r\n" + b"x" * 500_000)
    lisi.socket.close()
    other = running.dial().sign_in()
    assert other.do("STATUS INBOX (MESSAGES)") == [b"* STATUS INBOX (MESSAGES 0)"]


def test_binary_uploads(lisi: Mailer) -> None:
    content = b"Content-Type: image/png\r\nContent-Transfer-Encoding: binary\r\n\r\n\x00\x01\xff\r\n"
    lisi.do(b"APPEND INBOX ~{%d+}\r\n%b" % (len(content), content))
    lisi.do("SELECT INBOX")
    assert lisi.do("FETCH 1 (BINARY.SIZE[1] BINARY.PEEK[1])") == [
        b"* 1 FETCH (BINARY.SIZE[1] 5 BINARY[1] ~{5}\r\n\x00\x01\xff\r\n)"
    ]


# --- SEARCH, SORT, THREAD -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("program", "found"),
    [
        ("ALL", "1 2 3"), ("SEEN", "1"), ("UNSEEN UNFLAGGED", "2"), ("KEYWORD $forwarded", "3"),
        ("UNKEYWORD $Forwarded", "1 2"), ("FROM lisi", "1"), ("FROM 李四", "1"), ("SUBJECT 会议", "1"),
        ("BODY 你好", "1"), ("TEXT X.BIN", "2"), ("NOT TEXT x.bin", "1 3"), ('HEADER Content-Type ""', "1 2"),
        ('HEADER message-id "1@benet"', "1"), ("OR SEEN FLAGGED", "1 3"), ("2:*", "2 3"), ("UID 3", "3"),
        ("NOT 2", "1 3"), ("SENTON 17-Jan-2009", "1"), ("BEFORE 1-Jan-2010", "1"),
        ("SINCE 1-Jan-2010", "2 3"), ("LARGER 200", "1 2"), ("SMALLER 100", "3"), ("YOUNGER 3600", "2 3"),
        ("OLDER 3600", "1"), ("SAVEDSINCE 1-Jan-2010", "1 2 3"), ("99", ""), ("(SEEN) (UID 1)", "1"),
        ("SUBJECT two FROM a@example", "2"), ("DELETED", ""), ("FROM subject", ""),
    ],
)  # fmt: skip
def test_searching(three: Mailer, program: str, found: str) -> None:
    raw = program.encode()
    for word in re.findall(rb"[\x80-\xff]+", raw):
        raw = raw.replace(word, b"{%d+}\r\n%b" % (len(word), word))
    assert three.do(b"SEARCH CHARSET UTF-8 " + raw) == [f"* SEARCH {found}".strip().encode()]


def test_search_answers(three: Mailer) -> None:
    assert three.do("UID SEARCH RETURN (MIN MAX COUNT ALL) UNSEEN") == [
        b'* ESEARCH (TAG "t7") UID MIN 2 MAX 3 COUNT 2 ALL 2:3'
    ]
    assert three.do("SEARCH RETURN (COUNT) DELETED")[0].endswith(b"COUNT 0")
    three.do("SEARCH CHARSET X-NONE ALL", "NO [BADCHARSET")
    assert re.match(rb"\* SEARCH 1 2 3 \(MODSEQ \d+\)", three.do("SEARCH MODSEQ 1")[-1])
    assert three.do("SEARCH RETURN (SAVE) FLAGGED") == []
    assert three.do("FETCH $ UID") == [b"* 3 FETCH (UID 3)"]
    assert three.do("SEARCH NOT $") == [b"* SEARCH 1 2"]
    three.do("STORE $ +FLAGS.SILENT (\\Deleted)")
    three.do("EXPUNGE")
    assert three.do("FETCH $ UID") == []


@pytest.mark.skipif(connection.vendor == "mysql", reason="MariaDB has no index of texts")
@pytest.mark.parametrize(
    "command",
    ['SEARCH BODY "report"', 'SORT (DATE) UTF-8 TEXT "report"', 'ESEARCH IN (personal) HEADER Subject "report"'],
)
def test_a_large_mailbox_that_is_searched_gets_an_index(lisi: Mailer, parameters, command: str) -> None:
    parameters(text_index_messages="3")
    for _ in range(3):
        lisi.append(PLAIN)
    lisi.do("SELECT INBOX")
    lisi.do("SEARCH FLAGGED")
    lisi.do(command)
    deadline = time.monotonic() + 30
    box = Mailbox.objects.get(name="INBOX", account__local_part="lisi")
    while not box.text_indexed_uid and time.monotonic() < deadline:
        box.refresh_from_db()
    assert box.text_indexed_uid == 3


def test_sorting_and_threading(three: Mailer) -> None:
    three.append(
        b"Subject: Re: two parts\r\nReferences: <1@benet.com>\r\nFrom: z@z\r\n"
        b"Date: Sun, 1 Jan 2012 00:00:00 +0000\r\n\r\n"
    )
    three.do("NOOP")
    assert three.do("SORT (SUBJECT) UTF-8 ALL") == [b"* SORT 3 2 4 1"]
    assert three.do("UID SORT (REVERSE SIZE) UTF-8 ALL") == [b"* SORT 2 1 4 3"]
    assert three.do("SORT (FROM) UTF-8 NOT 3") == [b"* SORT 2 1 4"]
    assert three.do("SORT (DISPLAYFROM DATE) UTF-8 1,4") == [b"* SORT 4 1"]
    assert three.do("THREAD REFERENCES UTF-8 1,4") == [b"* THREAD (1 4)"]
    assert three.do("UID THREAD ORDEREDSUBJECT UTF-8 2,4") == [b"* THREAD (4 2)"]
    three.do("SORT () UTF-8 ALL", "BAD")
    three.do("THREAD NONE UTF-8 ALL", "BAD")


def test_a_remembered_order_follows_the_mailbox(lisi: Mailer) -> None:
    some = b" ".join([b"{%d+}\r\nSubject: %03d\r\n\r\n" % (16, number * 7 % 600) for number in range(600)])
    lisi.do(b"APPEND INBOX " + some)
    lisi.do("SELECT INBOX")

    def in_order() -> list[int]:
        [answer] = lisi.do("UID SORT (SUBJECT) UTF-8 ALL")
        [again] = lisi.do("UID SORT (SUBJECT) UTF-8 ALL")
        assert answer == again
        return list(map(int, answer.split()[2:]))

    def expected(uids: range) -> list[int]:
        return sorted(uids, key=lambda uid: ((uid - 1) * 7 % 600, uid))

    assert in_order() == expected(range(1, 601))
    assert lisi.do("UID SORT (SUBJECT) UTF-8 1:3") == [b"* SORT 1 2 3"]
    [trees] = lisi.do("THREAD REFERENCES UTF-8 ALL")
    assert lisi.do("THREAD REFERENCES UTF-8 ALL") == [trees]
    lisi.do("STORE 1:100 +FLAGS.SILENT (\\Deleted)")
    lisi.do("EXPUNGE")
    assert in_order() == expected(range(101, 601))
    [fewer] = lisi.do("THREAD REFERENCES UTF-8 ALL")
    assert fewer.count(b"(") == 500
    lisi.append(b"Subject: -\r\n\r\n")
    assert in_order() == [601, *expected(range(101, 601))]
    assert lisi.do("THREAD REFERENCES UTF-8 ALL")[0].count(b"(") == 501
