"""Extensions as conversations, after the examples of their RFCs."""

import re
import zlib

import pytest
from django.db import transaction

from imap_client import MIXED, PLAIN, ImapRunning, Mailer
from mailcore.models import Account, Mailbox

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def running(imap) -> ImapRunning:
    return imap()


@pytest.fixture
def lisi(running) -> Mailer:
    return running.dial().sign_in()


@pytest.fixture
def two(running) -> tuple[Mailer, Mailer]:
    """Two clients of lisi with five messages before them; nothing is recent."""
    one, other = running.dial().sign_in(), running.dial().sign_in()
    for number in range(5):
        one.append(b"Subject: %c\r\n\r\n" % b"ebdac"[number])
    for client in (one, one, other):
        client.do("SELECT INBOX")
    return one, other


def validity(client: Mailer, name: str = "INBOX") -> tuple[int, int]:
    """UIDVALIDITY and HIGHESTMODSEQ."""
    [*_, response] = client.do(f"STATUS {name} (UIDVALIDITY HIGHESTMODSEQ)")
    first, second = re.findall(rb"\d+", response)
    return int(first), int(second)


# --- QRESYNC (RFC 7162) ---------------------------------------------------------------------------


def test_languages(lisi: Mailer) -> None:
    """RFC 5255 §3.3, with what we speak."""
    assert lisi.do("LANGUAGE") == [b"* LANGUAGE (EN I-DEFAULT)"]
    assert lisi.do("LANGUAGE FR EN-us") == [b"* LANGUAGE (EN)"]
    assert lisi.do('LANGUAGE "default"') == [b"* LANGUAGE (EN)"]
    assert lisi.do("LANGUAGE FR DE", "NO Unsupported language") == []
    lisi.do("LANGUAGE (", "BAD")


def test_who_comes_back_is_told_what_happened(two, running) -> None:
    one, _ = two
    uid_validity, modseq = validity(one)
    one.do("STORE 2 +FLAGS.SILENT (\\Deleted)")
    one.do("EXPUNGE")
    one.do("UID STORE 4 +FLAGS.SILENT (\\Seen)")
    one.append(PLAIN)
    back = running.dial().sign_in()
    back.do(f"SELECT INBOX (QRESYNC ({uid_validity} {modseq}))", "BAD")
    assert back.do("ENABLE QRESYNC") == [b"* ENABLED QRESYNC"]
    responses = back.do(f"SELECT INBOX (QRESYNC ({uid_validity} {modseq}))")
    assert responses[-3:] == [
        b"* VANISHED (EARLIER) 2",
        b"* 3 FETCH (UID 4 FLAGS (\\Seen) MODSEQ (%d))" % (modseq + 3),
        b"* 5 FETCH (UID 6 FLAGS () MODSEQ (%d))" % (modseq + 4),
    ]
    assert b"* OK [HIGHESTMODSEQ %d] Highest" % (modseq + 4) in responses
    # Only of what it says it knows; sequence numbers it gives besides change nothing.
    responses = back.do(f"SELECT INBOX (QRESYNC ({uid_validity} {modseq} 4:5 (1 1)))")
    assert [line for line in responses if b"VANISHED" in line or b"FETCH" in line] == [
        b"* 3 FETCH (UID 4 FLAGS (\\Seen) MODSEQ (%d))" % (modseq + 3)
    ]
    # Another mailbox than the one it knew: nothing it knows holds.
    responses = back.do(f"SELECT INBOX (QRESYNC ({uid_validity + 1} {modseq}))")
    assert b"VANISHED" not in b"".join(responses)
    assert back.do(f"UID FETCH 1:3 (FLAGS) (CHANGEDSINCE {modseq} VANISHED)") == [b"* VANISHED (EARLIER) 2"]
    back.do(f"FETCH 1 (FLAGS) (CHANGEDSINCE {modseq} VANISHED)", "BAD")


def test_vanished_instead_of_expunge(two) -> None:
    one, other = two
    other.do("ENABLE QRESYNC")
    one.do("STORE 1,3:4 +FLAGS.SILENT (\\Deleted)")
    one.do("EXPUNGE")
    assert other.do("FETCH 1 UID") == []
    assert other.do("NOOP") == [b"* VANISHED 1,3:4"]
    other.do("STORE 1 +FLAGS.SILENT (\\Deleted)")
    assert other.do("UID EXPUNGE 2") == [b"* VANISHED 2"]
    assert re.match(r"OK \[HIGHESTMODSEQ \d+\] ", other.tagged)
    assert re.match(rb"\* OK \[HIGHESTMODSEQ \d+\] ", one.do("ENABLE CONDSTORE")[1])


# --- ESORT, CONTEXT, PARTIAL (RFC 5267, RFC 9394) ---------------------------------------------------


def test_sorted_results_in_parts(two) -> None:
    one, _ = two
    assert one.do("UID SORT (SUBJECT) UTF-8 ALL") == [b"* SORT 4 2 5 3 1"]
    assert one.do("UID SORT RETURN () (SUBJECT) UTF-8 ALL")[0].endswith(b" UID ALL 4,2,5,3,1")
    responses = one.do("SORT RETURN (MIN MAX COUNT) (SUBJECT) UTF-8 ALL")[0]
    assert re.fullmatch(rb'\* ESEARCH \(TAG "t\d+"\) MIN 4 MAX 1 COUNT 5', responses)
    assert one.do("UID SORT RETURN (PARTIAL 2:3) (SUBJECT) UTF-8 ALL")[0].endswith(b" UID PARTIAL (2:3 2,5)")
    assert one.do("UID SEARCH RETURN (PARTIAL -1:-2) ALL")[0].endswith(b" UID PARTIAL (-1:-2 4:5)")
    assert one.do("UID SEARCH RETURN (PARTIAL 9:10) ALL")[0].endswith(b" UID PARTIAL (9:10 NIL)")
    one.do("SEARCH RETURN (PARTIAL 1:2 ALL) ALL", "BAD")
    assert one.do("UID FETCH 1:* (UID) (PARTIAL -1:-2)") == [b"* 4 FETCH (UID 4)", b"* 5 FETCH (UID 5)"]
    one.do("FETCH 1:* (UID) (PARTIAL 1:2)", "BAD")
    assert re.fullmatch(rb"\* SORT 4 5 \(MODSEQ \d+\)", one.do("SORT (SUBJECT) UTF-8 4:5 MODSEQ 1")[-1])
    assert one.do("SORT RETURN (SAVE) (SUBJECT) UTF-8 2,5") == []
    assert one.do("FETCH $ UID") == [b"* 2 FETCH (UID 2)", b"* 5 FETCH (UID 5)"]


def test_results_kept_up_to_date(two) -> None:
    one, other = two
    other.talk("""
        C: B01 UID SEARCH RETURN (UPDATE COUNT) UNDELETED
        S: * ESEARCH (TAG "B01") UID COUNT 5
        S: B01 OK Search completed.
        C: B02 UID SORT RETURN (UPDATE ALL) (SUBJECT) UTF-8 UNDELETED
        S: * ESEARCH (TAG "B02") UID ALL 4,2,5,3,1
        S: B02 OK Sort completed.
    """)
    one.do("STORE 2,5 +FLAGS.SILENT (\\Deleted)")
    one.append(b"Subject: c\r\n\r\n")
    other.talk("""
        C: c NOOP
        S: * ESEARCH (TAG "B01") UID REMOVEFROM (0 2,5)
        S: * ESEARCH (TAG "B02") UID REMOVEFROM (2 2,5)
        S: * 6 EXISTS
        S: * … RECENT
        S: * 2 FETCH (FLAGS (\\Deleted))
        S: * 5 FETCH (FLAGS (\\Deleted))
        S: * ESEARCH (TAG "B01") UID ADDTO (0 6)
        S: * ESEARCH (TAG "B02") UID ADDTO (2 6)
        S: c OK …
        C: d CANCELUPDATE "B02"
        S: d OK …
        C: e CANCELUPDATE "B02"
        S: e BAD …
        C: f IDLE
        S: + idling
    """)
    one.do("STORE 2 -FLAGS.SILENT (\\Deleted)")
    other.talk("""
        S: * 2 FETCH (FLAGS ())
        S: * ESEARCH (TAG "B01") UID ADDTO (0 2)
        C: DONE
        S: f OK …
    """)
    one.do("EXPUNGE")
    assert other.do("NOOP") == [b"* 5 EXPUNGE"]  # it had left the result when it was marked
    for number in range(15):
        assert b"NOUPDATE" not in b"".join(other.do(f"SEARCH RETURN (UPDATE COUNT) LARGER {number}"))
    assert b"* NO [NOUPDATE " in b"".join(other.do("SEARCH RETURN (UPDATE COUNT) ALL"))


# --- IMAP4rev2, UTF8=ACCEPT (RFC 9051, RFC 6855) ----------------------------------------------------


def test_the_second_revision(two) -> None:
    one, other = two
    assert one.do("ENABLE IMAP4rev2") == [b"* ENABLED IMAP4rev2"]
    responses = one.do("SELECT INBOX")
    assert b'* LIST () "/" INBOX' in responses
    assert not [line for line in responses if b"RECENT" in line or b"UNSEEN" in line]
    assert one.do("SEARCH 2:3") == [b'* ESEARCH (TAG "t%d") ALL 2:3' % one._tags]
    assert one.do("SEARCH DELETED") == [b'* ESEARCH (TAG "t%d")' % one._tags]
    other.append(PLAIN)
    assert one.do("NOOP") == [b"* 6 EXISTS"]
    one.do('CREATE "工作"')
    assert '* LIST (\\HasNoChildren) "/" "工作"'.encode() in one.do('LIST "" *')
    assert one.do('STATUS "工作" (MESSAGES)') == ['* STATUS "工作" (MESSAGES 0)'.encode()]


def test_utf8(lisi: Mailer) -> None:
    content = "Subject: 会议\r\n\r\n".encode()
    lisi.do(b"APPEND INBOX UTF8 (~{%d+}\r\n%b)" % (len(content), content), "BAD")
    lisi.do("ENABLE UTF8=ACCEPT")
    lisi.do(b"APPEND INBOX (\\Seen) UTF8 (~{%d+}\r\n%b)" % (len(content), content))
    assert re.match(r"OK \[APPENDUID \d+ 1\]", lisi.tagged)
    lisi.do("SELECT INBOX")
    assert lisi.do('SEARCH SUBJECT "会议"') == [b"* SEARCH 1"]
    lisi.do("SEARCH CHARSET UTF-8 ALL", "BAD")
    assert lisi.do("FETCH 1 BODY.PEEK[]")[0].count("会议".encode()) == 1


# --- QUOTA (RFC 9208) -------------------------------------------------------------------------------


def test_quota(lisi: Mailer) -> None:
    Account.objects.filter(local_part="lisi").update(quota_bytes=2_000_000, quota_messages=10)
    lisi.append(MIXED)
    assert lisi.do("GETQUOTAROOT INBOX") == [
        b'* QUOTAROOT INBOX "User quota"',
        b'* QUOTA "User quota" (STORAGE 1 1953 MESSAGE 1 10)',
    ]
    assert lisi.do('GETQUOTA "User quota"') == [b'* QUOTA "User quota" (STORAGE 1 1953 MESSAGE 1 10)']
    lisi.do('GETQUOTA "others"', "NO [NONEXISTENT]")
    lisi.do("GETQUOTAROOT nothing", "NO [NONEXISTENT]")


# --- COMPRESS (RFC 4978), UNAUTHENTICATE (RFC 8437) --------------------------------------------------


class Deflated:
    """The bytes of a conversation after COMPRESS."""

    def __init__(self, client: Mailer) -> None:
        self.client = client
        self.inflate = zlib.decompressobj(-15)
        self.deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
        self.heard = b""

    def talk(self, data: bytes, until: bytes) -> bytes:
        self.client.socket.sendall(self.deflate.compress(data) + self.deflate.flush(zlib.Z_SYNC_FLUSH))
        while until not in self.heard:
            raw = self.client.socket.recv(65536)
            assert raw
            self.heard += self.inflate.decompress(raw)
        heard, self.heard = self.heard, b""
        return heard


def test_compressed(lisi: Mailer) -> None:
    lisi.do("COMPRESS GZIP", "NO")
    lisi.do("COMPRESS DEFLATE", "OK Deflate active.")
    client = Deflated(lisi)
    content = b"Subject: large\r\n\r\n" + b"0" * 9_000_000  # a thousandth of it on the wire
    client.talk(b"a APPEND INBOX {%d+}\r\n%b\r\n" % (len(content), content), b"a OK")
    client.talk(b"b SELECT INBOX\r\n", b"b OK")
    assert client.talk(b"c FETCH 1 BODY.PEEK[]\r\n", b"c OK").count(content) == 1
    assert b"COMPRESS" not in client.talk(b"d CAPABILITY\r\n", b"d OK")
    client.talk(b"e COMPRESS DEFLATE\r\n", b"e NO [COMPRESSIONACTIVE]")


def test_unauthenticate(two) -> None:
    one, _ = two
    one.do("ENABLE CONDSTORE")
    one.talk("""
        C: a UNAUTHENTICATE
        S: a OK [CAPABILITY IMAP4rev1 … AUTH=PLAIN AUTH=LOGIN] Unauthenticate completed.
        C: b SELECT INBOX
        S: b BAD …
        C: c LOGIN xiaoqi 123456
        S: c OK …
    """)
    assert one.do("STATUS INBOX (MESSAGES)") == [b"* STATUS INBOX (MESSAGES 0)"]
    assert one.do("ENABLE CONDSTORE") == [b"* ENABLED CONDSTORE"]


# --- UIDONLY (RFC 9586) -----------------------------------------------------------------------------


def test_without_message_numbers(two) -> None:
    one, other = two
    assert other.do("ENABLE UIDONLY") == [b"* ENABLED UIDONLY"]
    for command in ("FETCH 1 FLAGS", "STORE 1 +FLAGS \\Seen", "SEARCH ALL", "COPY 1 Trash", "UID SEARCH 1:2"):
        other.do(command, "BAD [UIDREQUIRED]")
    assert other.do("UID FETCH 2 (FLAGS)") == [b"* 2 UIDFETCH (FLAGS ())"]
    assert other.do("UID STORE 2 +FLAGS (\\Seen)") == [b"* 2 UIDFETCH (FLAGS (\\Seen))"]
    assert other.do("UID SEARCH UID 2:3") == [b"* SEARCH 2 3"]
    one.do("UID STORE 1,4 +FLAGS.SILENT (\\Deleted)")
    one.do("EXPUNGE")
    one.do("UID STORE 3 +FLAGS.SILENT (\\Flagged)")
    assert other.do("NOOP") == [b"* VANISHED 1,4", b"* 3 UIDFETCH (FLAGS (\\Flagged))"]
    assert other.do("UID FETCH 3 BODY.PEEK[HEADER]") == [b"* 3 UIDFETCH (BODY[HEADER] {14}\r\nSubject: d\r\n\r\n)"]


# --- REPLACE (RFC 8508), CATENATE (RFC 4469) ----------------------------------------------------------


def test_replacing(two) -> None:
    one, other = two
    new = b"Subject: new\r\n\r\n"
    responses = one.do(b"REPLACE 4 INBOX (\\Seen) {%d+}\r\n%b" % (len(new), new))
    assert re.fullmatch(rb"\* OK \[APPENDUID \d+ 6\] Replacement is there.", responses[0])
    assert responses[1:3] == [b"* 4 EXPUNGE", b"* 5 EXISTS"]
    assert one.do("FETCH 4:5 (UID FLAGS)") == [
        b"* 4 FETCH (UID 5 FLAGS ())",
        b"* 5 FETCH (UID 6 FLAGS (\\Seen \\Recent))",
    ]
    assert other.do("NOOP")[:2] == [b"* 4 EXPUNGE", b"* 5 EXISTS"]
    one.do(b"UID REPLACE 6 Drafts {%d+}\r\n%b" % (len(new), new))
    assert one.do("STATUS Drafts (MESSAGES)") == [b"* STATUS Drafts (MESSAGES 1)"]
    assert other.do("NOOP") == [b"* 5 EXPUNGE"]
    one.do(b"UID REPLACE 6 Drafts {3+}\r\na:b", "NO [NONEXISTENT]")
    one.do(b"REPLACE 99 Drafts {3+}\r\na:b", "BAD")
    one.do(b"REPLACE 1 nothing {3+}\r\na:b", "NO [TRYCREATE]")
    account = Account.objects.get(local_part="lisi")
    assert account.used_messages == 5
    Account.objects.filter(local_part="lisi").update(quota_messages=5)
    one.do(b"REPLACE 1 INBOX {3+}\r\na:b")  # what goes makes room for what comes
    Account.objects.filter(local_part="lisi").update(quota_messages=4)
    one.do(b"REPLACE 1 INBOX {3+}\r\na:b", "NO [OVERQUOTA]")
    assert len(one.do("FETCH 1:* UID")) == 4


def test_putting_together(lisi: Mailer) -> None:
    uid = lisi.append(MIXED)
    [response] = lisi.do("STATUS INBOX (UIDVALIDITY)")
    validity = int(re.findall(rb"\d+", response)[0])
    lisi.talk(
        f"""
        C: a APPEND Drafts (\\Draft) CATENATE (URL "/INBOX;UIDVALIDITY={validity}/;UID={uid}/;SECTION=HEADER" TEXT {{5}}
        S: + OK
        C: --b
        C:  URL "/inbox/;UID={uid}/;SECTION=1.MIME" URL {{24+}}
        C: /INBOX/;UID={uid}/;SECTION=1 TEXT {{9+}}
        C: --b--xx
        C: )
        S: a OK [APPENDUID …
        C: b APPEND Drafts CATENATE (URL "/INBOX;UIDVALIDITY=9/;UID={uid}")
        S: b NO [BADURL "/INBOX;UIDVALIDITY=9/;UID={uid}"] …
        C: c APPEND Drafts CATENATE (URL "/INBOX/;UID=99/;SECTION=1" TEXT {{3+}}
        C: abc)
        S: c NO [BADURL …
        C: d APPEND Drafts CATENATE (URL "http://example.com/")
        S: d NO [BADURL …
        C: e APPEND Drafts CATENATE ()
        S: e BAD …
        C: f NOOP
        S: f OK …
    """
    )
    lisi.do("SELECT Drafts")
    header = MIXED[: MIXED.index(b"\r\n\r\n") + 4]
    whole = header + b"--b\r\nContent-Type: text/plain\r\n\r\nfirst--b--xx\r\n"
    assert lisi.do("FETCH 1:* BODY.PEEK[]") == [b"* 1 FETCH (BODY[] {%d}\r\n%b)" % (len(whole), whole)]


# --- METADATA (RFC 5464), LIST-METADATA (RFC 9590) ----------------------------------------------------


def test_metadata(lisi: Mailer, parameters) -> None:
    lisi.talk("""
        C: a SETMETADATA INBOX (/private/comment {33}
        S: + OK
        C: My new comment across
        C: two lines.)
        S: a OK …
        C: b GETMETADATA "INBOX" /private/comment
        S: * METADATA INBOX (/private/comment {33}
        S: My new comment across
        S: two lines.)
        S: b OK …
        C: c SETMETADATA INBOX (/Private/Comment "Mine" /shared/comment "x" /private/comment/deep "d")
        S: c OK …
        C: d GETMETADATA INBOX (/shared/comment /private/COMMENT)
        S: * METADATA INBOX (/shared/comment "x" /private/comment "Mine")
        S: d OK …
        C: e GETMETADATA (DEPTH 1) INBOX (/private/comment)
        S: * METADATA INBOX (/private/comment "Mine" /private/comment/deep "d")
        S: e OK …
        C: f GETMETADATA (MAXSIZE 2) INBOX (/private/comment /shared/comment)
        S: * METADATA INBOX (/shared/comment "x")
        S: f OK [METADATA LONGENTRIES 4] …
        C: g SETMETADATA INBOX (/shared/comment NIL)
        S: g OK …
        C: h GETMETADATA INBOX /shared/comment
        S: * METADATA INBOX (/shared/comment NIL)
        S: h OK …
        C: i SETMETADATA "" (/shared/comment "The whole server")
        S: i OK …
        C: j GETMETADATA "" /shared/comment
        S: * METADATA "" (/shared/comment "The whole server")
        S: j OK …
        C: k GETMETADATA nothing /shared/comment
        S: k NO [NONEXISTENT] …
        C: l SETMETADATA INBOX (/elsewhere/comment "x")
        S: l BAD …
        C: m LIST "" (INBOX Sent) RETURN (METADATA (/private/comment))
        S: * LIST (\\HasNoChildren) "/" INBOX
        S: * METADATA INBOX (/private/comment "Mine")
        S: * LIST (\\HasNoChildren \\Sent) "/" Sent
        S: * METADATA Sent (/private/comment NIL)
        S: m OK …
    """)
    parameters(imap_metadata_max_size="4", imap_metadata_max_entries="4")
    lisi.do('SETMETADATA INBOX (/private/a "12345")', "NO [METADATA MAXSIZE 4]")
    lisi.do('SETMETADATA INBOX (/private/a "1" /private/b "2")', "NO [METADATA TOOMANY]")
    lisi.do('SETMETADATA INBOX (/private/a "1")')
    lisi.do("CREATE short")
    lisi.do('SETMETADATA short (/private/a "1")', "NO [METADATA TOOMANY]")
    lisi.do("SETMETADATA INBOX (/private/a NIL)")
    lisi.do('SETMETADATA short (/private/a "1")')
    lisi.do("DELETE short")
    lisi.do("CREATE short")
    assert lisi.do("GETMETADATA short /private/a") == [b"* METADATA short (/private/a NIL)"]


# --- MULTISEARCH (RFC 7377) ---------------------------------------------------------------------------


def test_searching_many_mailboxes(two) -> None:
    one, other = two
    one.do("CREATE folder/banana/peach")
    one.append(PLAIN, "folder/banana")
    one.append(PLAIN, "folder/banana/peach")
    one.append(MIXED, "Sent")
    inbox, banana, peach = (validity(one, name)[0] for name in ("INBOX", "folder/banana", "folder/banana/peach"))
    other.do("CLOSE")
    other.talk(f"""
        C: tag1 ESEARCH IN (mailboxes "inbox" subtree "folder") UID 1:2
        S: * ESEARCH (TAG "tag1" MAILBOX INBOX UIDVALIDITY {inbox}) UID ALL 1:2
        S: * ESEARCH (TAG "tag1" MAILBOX folder/banana UIDVALIDITY {banana}) UID ALL 1
        S: * ESEARCH (TAG "tag1" MAILBOX folder/banana/peach UIDVALIDITY {peach}) UID ALL 1
        S: tag1 OK …
        C: tag2 ESEARCH IN (subtree-one folder) RETURN (COUNT) FROM lisi
        S: * ESEARCH (TAG "tag2" MAILBOX folder/banana UIDVALIDITY {banana}) UID COUNT 1
        S: tag2 OK …
        C: tag3 ESEARCH SUBJECT e
        S: tag3 BAD …
        C: tag4 ESEARCH IN (personal) 1:2
        S: tag4 BAD …
        C: tag5 ESEARCH IN (inboxes subscribed mailboxes nothing) SUBJECT e
        S: * ESEARCH (TAG "tag5" MAILBOX INBOX UIDVALIDITY {inbox}) UID ALL 1
        S: tag5 OK …
    """)
    assert one.do("ESEARCH RETURN (MIN MAX) ALL")[0].endswith(b"UID MIN 1 MAX 5")


# --- INPROGRESS (RFC 9585) ----------------------------------------------------------------------------


def test_a_long_command_says_that_it_goes_on(lisi: Mailer, running, parameters, monkeypatch) -> None:
    monkeypatch.setattr("mailcore.servers.imap.imap_server._SWEEP", 0.01)
    parameters(imap_progress_interval="1s")
    lisi.append(PLAIN)
    lisi.do("SELECT INBOX")
    with transaction.atomic():  # somebody else is at the mailbox
        Mailbox.objects.select_for_update().get(name="INBOX", account__local_part="lisi")
        lisi.say("a STORE 1 +FLAGS (\\Seen)")
        assert lisi.hear() == '* OK [INPROGRESS ("a" NIL NIL)] Still working'
    lisi.talk("S: * 1 FETCH (FLAGS (\\Seen \\Recent))\nS: a OK …")


# --- NOTIFY (RFC 5465) --------------------------------------------------------------------------------


def test_being_told_without_asking(two) -> None:
    one, other = two
    other.talk("""
        C: a NOTIFY SET STATUS (selected (MessageNew (uid body.peek[header.fields (subject)]) MessageExpunge FlagChange)) (mailboxes (Sent work) (MessageNew MessageExpunge MailboxName SubscriptionChange)) (personal (MailboxName))
        S: * STATUS Sent (MESSAGES 0 UIDNEXT 1 UIDVALIDITY … UNSEEN 0 HIGHESTMODSEQ 1)
        S: a OK …
    """)
    one.append(b"Subject: fresh\r\n\r\n")
    other.talk("""
        S: * 6 EXISTS
        S: * … RECENT
        S: * 6 FETCH (UID 6 BODY[HEADER.FIELDS (SUBJECT)] {18}
        S: Subject: fresh
        S:
        S: )
    """)
    one.do("STORE 2 +FLAGS.SILENT (\\Deleted)")
    other.talk("S: * 2 FETCH (FLAGS (\\Deleted))")
    one.do("EXPUNGE")
    other.talk("S: * 2 EXPUNGE")
    one.append(PLAIN, "Sent")
    other.talk("S: * STATUS Sent (MESSAGES 1 UIDNEXT 2 UIDVALIDITY … UNSEEN 1 HIGHESTMODSEQ 2)")
    one.append(PLAIN, "Trash")  # nobody asked
    one.do("CREATE job")
    other.talk('S: * LIST (\\HasNoChildren) "/" job')
    one.do("RENAME job work")
    other.talk('S: * LIST (\\HasNoChildren) "/" work ("OLDNAME" (job))')
    one.do("SUBSCRIBE work")
    other.talk('S: * LIST (\\HasNoChildren \\Subscribed) "/" work')
    one.append(PLAIN, "work")
    other.talk("S: * STATUS work (MESSAGES 1 UIDNEXT 2 UIDVALIDITY … UNSEEN 1 HIGHESTMODSEQ 2)")
    one.do("UNSUBSCRIBE work")
    other.talk('S: * LIST (\\HasNoChildren) "/" work')
    one.do("DELETE work")
    other.talk("""
        S: * LIST (\\NonExistent \\HasNoChildren) "/" work
        C: b NOTIFY SET (selected-delayed (MessageNew MessageExpunge))
        S: b OK …
    """)
    one.do("UID STORE 3 +FLAGS.SILENT (\\Deleted)")
    other.talk("S: * 2 FETCH (FLAGS (\\Deleted))")
    one.do("EXPUNGE")
    one.append(PLAIN)
    other.talk("""
        S: * 6 EXISTS
        S: * … RECENT
        C: c NOOP
        S: * 2 EXPUNGE
        S: c OK …
        C: d NOTIFY NONE
        S: d OK …
        C: e NOTIFY SET (personal (AnnotationChange))
        S: e NO [BADEVENT (FlagChange MailboxName MessageExpunge MessageNew SubscriptionChange)] …
        C: f NOTIFY SET (personal (MessageNew))
        S: f BAD …
    """)


# --- URLAUTH (RFC 4467) -------------------------------------------------------------------------------


def test_urls_that_give_rights(lisi: Mailer, running, parameters) -> None:
    parameters(myhostname="mail.benet.com", mydomain="benet.com")
    lisi.append(MIXED)
    other = running.dial().sign_in("xiaoqi")

    def signed(rights: str) -> str:
        [response] = lisi.do(
            f'GENURLAUTH "imap://lisi@mail.benet.com/INBOX/;UID=1/;SECTION=1{rights}" INTERNAL',
        )
        return response.decode().removeprefix('* GENURLAUTH "').removesuffix('"')

    def read(client: Mailer, url: str) -> bytes:
        [response] = client.do(f'URLFETCH "{url}"')
        return response.removeprefix(f'* URLFETCH "{url}" '.encode())

    for_all, for_xiaoqi = signed(";URLAUTH=authuser"), signed(";URLAUTH=user+xiaoqi")
    assert read(other, for_all) == read(other, for_xiaoqi) == b"{5}\r\nfirst"
    assert read(lisi, for_xiaoqi) == b"NIL"
    assert read(other, for_all[:-1] + ("0" if for_all[-1] != "0" else "1")) == b"NIL"
    assert read(other, for_all.replace("UID=1", "UID=2")) == b"NIL"
    assert read(other, signed(";EXPIRE=2009-01-17T00:00:00Z;URLAUTH=anonymous")) == b"NIL"
    assert read(other, signed(";EXPIRE=2999-01-17T00:00:00Z;URLAUTH=anonymous")) == b"{5}\r\nfirst"
    lisi.do("RESETKEY INBOX", "OK [URLMECH INTERNAL]")
    assert read(other, for_all) == b"NIL"
    lisi.do('GENURLAUTH "imap://xiaoqi@mail.benet.com/INBOX/;UID=1;URLAUTH=anonymous" INTERNAL', "BAD")
    lisi.do('GENURLAUTH "imap://lisi@elsewhere/INBOX/;UID=1;URLAUTH=anonymous" INTERNAL', "BAD")
    lisi.do('GENURLAUTH "imap://lisi@mail.benet.com/INBOX/;UID=1;URLAUTH=anonymous" X', "BAD")
    lisi.do("RESETKEY nothing", "NO [NONEXISTENT]")
