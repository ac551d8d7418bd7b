"""Every capability that is announced has its transcript here, after the examples of its RFC.

lisi has four messages, nothing recent, INBOX selected: subjects b, a, c and "Re: a" (an answer to the second), from lisi,
the second flagged, the third with an attachment. In a transcript "C:" is a command that is answered OK (else "T:" says what
the tagged answer is), "S:" an answer among others, in order; … stands for anything, ⏎ for CRLF. What needs TLS or changes the connection
itself is played below.
"""

import re
import zlib
from base64 import b64encode
from pathlib import Path

import pytest

from imap_client import MIXED, PASSWORD, Mailer
from mailcore.models import Account

pytestmark = pytest.mark.django_db(transaction=True)


def message(subject: str, number: int, more: str = "") -> bytes:
    return (
        f"From: lisi <lisi@benet.com>\r\nTo: xiaoqi@benet.com\r\nSubject: {subject}\r\n"
        f"Date: Sat, 17 Jan 2009 17:33:5{number} +0800\r\nMessage-ID: <{number}@benet.com>\r\n{more}\r\nhello {number}\r\n"
    ).encode()


TRANSCRIPTS = {
    "IMAP4rev1": """
        C: FETCH 1 (FLAGS RFC822.SIZE)
        S: * 1 FETCH (FLAGS () RFC822.SIZE …)
        C: SEARCH FLAGGED
        S: * SEARCH 2""",
    "IMAP4rev2": """
        C: ENABLE IMAP4rev2
        S: * ENABLED IMAP4rev2
        C: SEARCH FLAGGED
        S: * ESEARCH (TAG "…") ALL 2""",
    "ID": """
        C: ID ("name" "sodr" "version" "19.34" "vendor" "Pink Floyd Music Limited")
        S: * ID ("name" …)
        C: ID NIL
        S: * ID ("name" …)""",
    "ENABLE": """
        C: ENABLE CONDSTORE X-GOOD-IDEA
        S: * ENABLED CONDSTORE""",
    "LITERAL+": """
        C: STATUS {5+}⏎INBOX (MESSAGES)
        S: * STATUS INBOX (MESSAGES 4)""",
    "LANGUAGE": """
        C: LANGUAGE
        S: * LANGUAGE (EN I-DEFAULT)
        C: LANGUAGE FR EN
        S: * LANGUAGE (EN)""",
    "UIDPLUS": """
        C: UID COPY 1:2 Drafts
        T: OK [COPYUID … 1:2 1:2] …
        C: STORE 1:2 +FLAGS.SILENT (\\Deleted)
        C: UID EXPUNGE 2
        S: * 2 EXPUNGE""",
    "MOVE": """
        C: UID MOVE 2:3 Drafts
        S: * OK [COPYUID … 2:3 1:2] …
        S: * 3 EXPUNGE
        S: * 2 EXPUNGE""",
    "NAMESPACE": """
        C: NAMESPACE
        S: * NAMESPACE (("" "/")) (("Other Users/" "/")) NIL""",
    "SPECIAL-USE": """
        C: LIST (SPECIAL-USE) "" "*"
        S: * LIST (…\\Drafts…) "/" Drafts
        S: * LIST (…\\Junk…) "/" Junk
        S: * LIST (…\\Sent…) "/" Sent
        S: * LIST (…\\Trash…) "/" Trash""",
    "CREATE-SPECIAL-USE": """
        C: DELETE Archive
        C: CREATE Everything (USE (\\Archive))
        C: LIST "" Everything RETURN (SPECIAL-USE)
        S: * LIST (…\\Archive…) "/" Everything
        C: CREATE Nothing (USE (\\Nonsense))
        T: NO [USEATTR] …""",
    "CONDSTORE": """
        C: FETCH 1 (MODSEQ)
        S: * 1 FETCH (MODSEQ (…))
        C: STORE 1 (UNCHANGEDSINCE 1) +FLAGS.SILENT (\\Seen)
        T: OK [MODIFIED 1] …""",
    "QRESYNC": """
        C: ENABLE QRESYNC
        S: * ENABLED …
        C: STORE 2 +FLAGS.SILENT (\\Deleted)
        S: * 2 FETCH (UID 2 MODSEQ (…))
        C: EXPUNGE
        S: * VANISHED 2""",
    "UNSELECT": """
        C: STORE 2 +FLAGS.SILENT (\\Deleted)
        C: UNSELECT
        C: STATUS INBOX (MESSAGES)
        S: * STATUS INBOX (MESSAGES 4)""",
    "CHILDREN": """
        C: CREATE Work/New
        C: LIST "" Work* RETURN (CHILDREN)
        S: * LIST (\\HasChildren) "/" Work
        S: * LIST (\\HasNoChildren) "/" Work/New""",
    "ESEARCH": """
        C: SEARCH RETURN (MIN MAX COUNT ALL) NOT FLAGGED
        S: * ESEARCH (TAG "…") MIN 1 MAX 4 COUNT 3 ALL 1,3:4""",
    "ESORT": """
        C: SORT RETURN (MIN COUNT ALL) (REVERSE DATE) UTF-8 ALL
        S: * ESEARCH (TAG "…") MIN 4 COUNT 4 ALL 4,3,2,1""",
    "STATUS=SIZE": """
        C: STATUS INBOX (SIZE)
        S: * STATUS INBOX (SIZE …)""",
    "WITHIN": """
        C: SEARCH YOUNGER 259200
        S: * SEARCH 1 2 3 4
        C: SEARCH OLDER 259200
        S: * SEARCH""",
    "LIST-EXTENDED": """
        C: SUBSCRIBE Drafts
        C: LIST (SUBSCRIBED) "" ("Dra%" "Sen%") RETURN (CHILDREN)
        S: * LIST (…\\Subscribed…) "/" Drafts…""",
    "LIST-STATUS": """
        C: LIST "" INBOX RETURN (STATUS (MESSAGES UIDNEXT))
        S: * LIST (…) "/" INBOX
        S: * STATUS INBOX (MESSAGES 4 UIDNEXT 5)""",
    "SORT": """
        C: SORT (SUBJECT REVERSE DATE) UTF-8 ALL
        S: * SORT 4 2 1 3""",
    "SORT=DISPLAY": """
        C: SORT (DISPLAYFROM DATE) UTF-8 1:2
        S: * SORT 1 2""",
    "THREAD=REFERENCES": """
        C: THREAD REFERENCES UTF-8 ALL
        S: * THREAD (1)(2 4)(3)""",
    "THREAD=REFS": """
        C: THREAD REFS UTF-8 ALL
        S: * THREAD (1)(3)(2 4)""",
    "THREAD=ORDEREDSUBJECT": """
        C: THREAD ORDEREDSUBJECT UTF-8 ALL
        S: * THREAD (1)(2 4)(3)""",
    "MULTIAPPEND": """
        C: APPEND Drafts (\\Seen) {16+}⏎Subject: x⏎⏎xx (\\Flagged) {16+}⏎Subject: y⏎⏎yy
        T: OK [APPENDUID … 1:2] …""",
    "BINARY": """
        C: FETCH 3 (BINARY.SIZE[2] BINARY.PEEK[1])
        S: * 3 FETCH (BINARY.SIZE[2] 4 BINARY[1] {5}…""",
    "SAVEDATE": """
        C: SEARCH SAVEDSINCE 1-Jan-2009
        S: * SEARCH 1 2 3 4
        C: FETCH 1 (SAVEDATE)
        S: * 1 FETCH (SAVEDATE "…")""",
    "PREVIEW": """
        C: FETCH 1 (PREVIEW)
        S: * 1 FETCH (PREVIEW "hello 1")
        C: FETCH 1 (PREVIEW (LAZY))
        S: * 1 FETCH (PREVIEW "hello 1")""",
    "OBJECTID": """
        C: STATUS INBOX (MAILBOXID)
        S: * STATUS INBOX (MAILBOXID (…))
        C: FETCH 1 (EMAILID THREADID)
        S: * 1 FETCH (EMAILID (…) THREADID …)""",
    "SEARCHRES": """
        C: SEARCH RETURN (SAVE) NOT FLAGGED
        C: FETCH $ (UID)
        S: * 1 FETCH (UID 1)
        S: * 3 FETCH (UID 3)
        S: * 4 FETCH (UID 4)""",
    "I18NLEVEL=1": """
        C: APPEND INBOX {21+}⏎Subject: \u00c4RGER⏎⏎x
        S: * 5 EXISTS
        S: * 1 RECENT
        C: SEARCH CHARSET UTF-8 SUBJECT {6+}⏎\u00e4rger
        S: * SEARCH 5""",
    "UTF8=ACCEPT": """
        C: ENABLE UTF8=ACCEPT
        S: * ENABLED UTF8=ACCEPT
        C: CREATE "\u90ae\u4ef6"
        C: LIST "" "\u90ae%"
        S: * LIST (…) "/" "\u90ae\u4ef6\"""",
    "UIDONLY": """
        C: ENABLE UIDONLY
        S: * ENABLED UIDONLY
        C: UID FETCH 2 (FLAGS)
        S: * 2 UIDFETCH (FLAGS (\\Flagged))
        C: FETCH 2 (FLAGS)
        T: BAD [UIDREQUIRED] …""",
    "PARTIAL": """
        C: UID SEARCH RETURN (PARTIAL -1:-2) ALL
        S: * ESEARCH (TAG "…") UID PARTIAL (-1:-2 3:4)
        C: UID FETCH 1:* (UID) (PARTIAL 1:2)
        S: * 1 FETCH (UID 1)
        S: * 2 FETCH (UID 2)""",
    "CONTEXT=SEARCH": """
        C: SEARCH RETURN (CONTEXT COUNT UPDATE) UNFLAGGED
        S: * ESEARCH (TAG "…") COUNT 3
        C: STORE 1 +FLAGS.SILENT (\\Flagged)
        S: * ESEARCH (TAG "…") REMOVEFROM (0 1)""",
    "CONTEXT=SORT": """
        C: SORT RETURN (ALL UPDATE) (DATE) UTF-8 UNFLAGGED
        S: * ESEARCH (TAG "…") ALL 1,3:4
        C: STORE 3 +FLAGS.SILENT (\\Flagged)
        S: * ESEARCH (TAG "…") REMOVEFROM (2 3)""",
    "QUOTA": """
        C: GETQUOTAROOT INBOX
        S: * QUOTAROOT INBOX …
        S: * QUOTA … (…)""",
    "QUOTA=RES-STORAGE": """
        C: GETQUOTA "User quota"
        S: * QUOTA "User quota" (…STORAGE …)""",
    "QUOTA=RES-MESSAGE": """
        C: GETQUOTA "User quota"
        S: * QUOTA "User quota" (…MESSAGE 4 10)""",
    "UNAUTHENTICATE": """
        C: UNAUTHENTICATE
        C: LOGIN lisi 123456""",
    "REPLACE": """
        C: REPLACE 4 Drafts (\\Draft) {16+}⏎Subject: x⏎⏎xx
        S: * OK [APPENDUID … 1] …
        S: * 4 EXPUNGE""",
    "CATENATE": """
        C: APPEND Drafts CATENATE (URL "/INBOX/;UID=3/;SECTION=HEADER" TEXT {4+}⏎more)
        T: OK [APPENDUID … 1] …""",
    "URL-PARTIAL": """
        C: APPEND Drafts CATENATE (TEXT {2+}⏎⏎ URL "/INBOX/;UID=1/;PARTIAL=0.6")
        C: SELECT Drafts
        S: …
        C: FETCH 1 (BODY.PEEK[])
        S: * 1 FETCH (BODY[] {8}…""",
    "METADATA": """
        C: SETMETADATA INBOX (/shared/comment "Shared comment")
        C: GETMETADATA INBOX (/shared/comment)
        S: * METADATA INBOX (/shared/comment …Shared comment…)""",
    "LIST-METADATA": """
        C: SETMETADATA INBOX (/private/color "red")
        C: LIST "" INBOX RETURN (METADATA (/private/color))
        S: * LIST (…) "/" INBOX
        S: * METADATA INBOX (/private/color …red…)""",
    "MULTISEARCH": """
        C: ESEARCH IN (mailboxes INBOX) FLAGGED
        S: * ESEARCH (TAG "…" MAILBOX INBOX UIDVALIDITY …) UID ALL 2""",
    "NOTIFY": """
        C: NOTIFY SET STATUS (selected (MessageNew MessageExpunge)) (mailboxes Drafts (MessageNew MessageExpunge))
        S: * STATUS Drafts (MESSAGES 0 …)
        C: NOTIFY SET (selected (AnnotationChange))
        T: NO [BADEVENT …
        C: NOTIFY NONE""",
    "URLAUTH": """
        C: GENURLAUTH "imap://lisi@mail.benet.com/INBOX/;UID=1;URLAUTH=user+lisi" INTERNAL
        S: * GENURLAUTH "imap://lisi@mail.benet.com/INBOX/;UID=1;URLAUTH=user+lisi:INTERNAL:…"
        C: URLFETCH "imap://lisi@mail.benet.com/INBOX/;UID=1;URLAUTH=user+lisi:INTERNAL:00000000000000000000000000000000"
        S: * URLFETCH "…" NIL
        C: RESETKEY
        T: OK …""",
    "ACL": """
        C: SETACL INBOX xiaoqi lrs
        C: GETACL INBOX
        S: * ACL INBOX …xiaoqi@benet.com lrs…
        C: MYRIGHTS INBOX
        S: * MYRIGHTS INBOX lrswipkxtea…""",
    "RIGHTS=texk": """
        C: LISTRIGHTS INBOX xiaoqi
        S: * LISTRIGHTS INBOX xiaoqi… …""",
    "APPENDLIMIT": """
        C: STATUS INBOX (APPENDLIMIT)
        S: * STATUS INBOX (APPENDLIMIT 10240000)""",
}


def matches(pattern: str, answer: bytes) -> bool:
    return re.fullmatch(re.escape(pattern).replace("…", ".*"), answer.decode(), re.DOTALL) is not None


def play(client: Mailer, transcript: str) -> None:
    steps = [line.strip().partition(": ")[::2] for line in transcript.strip().splitlines()]
    heard = iter(())
    for at, (side, words) in enumerate(steps):
        if side == "C":
            later = [side for side, _ in steps[at + 1 :]]
            mine = later[: later.index("C")] if "C" in later else later
            heard = iter(client.do(words.replace("⏎", "\r\n"), "" if "T" in mine else "OK"))
        elif side == "S":
            assert any(matches(words, answer) for answer in heard), words
        else:
            assert matches(words, client.tagged.encode()), (words, client.tagged)


@pytest.fixture
def lisi(imap, parameters) -> Mailer:
    parameters(myhostname="mail.benet.com", mydomain="benet.com")
    client: Mailer = imap().dial().sign_in()
    client.append(message("b", 1))
    client.append(message("a", 2), more="(\\Flagged)")
    client.append(MIXED.replace(b"Subject: two parts", b"Subject: c\r\nDate: Sat, 17 Jan 2009 17:33:53 +0800"))
    client.append(message("Re: a", 4, "In-Reply-To: <2@benet.com>\r\n"))
    Account.objects.filter(address="lisi@benet.com").update(quota_messages=10)
    client.do("SELECT INBOX")
    client.do("SELECT INBOX")
    return client


@pytest.mark.parametrize("capability", TRANSCRIPTS)
def test_the_transcript(lisi: Mailer, capability: str) -> None:
    play(lisi, TRANSCRIPTS[capability])


# --- What is played otherwise ---------------------------------------------------------------------


def idle(client: Mailer) -> None:
    client.talk("C: A002 IDLE\nS: + …\nC: DONE\nS: A002 OK …")


def compress(client: Mailer) -> None:
    """RFC 4978 §3."""
    client.do("COMPRESS DEFLATE")
    client.send(raw_deflate(b"b NOOP\r\n"))
    heard, inflate = b"", zlib.decompressobj(-15)
    while not heard.endswith(b"completed.\r\n"):
        heard += inflate.decompress(client.socket.recv(4096))
    assert heard.startswith(b"b OK")


def raw_deflate(data: bytes) -> bytes:
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    return deflate.compress(data) + deflate.flush(zlib.Z_SYNC_FLUSH)


PLAYED = {"IDLE": idle, "COMPRESS=DEFLATE": compress}


@pytest.mark.parametrize("capability", PLAYED)
def test_the_connection_changes(lisi: Mailer, capability: str) -> None:
    PLAYED[capability](lisi)


def sasl_ir(client: Mailer) -> None:
    initial = b64encode(f"\0lisi\0{PASSWORD}".encode()).decode()
    client.talk(f"C: a AUTHENTICATE PLAIN {initial}\nS: a OK …")


def auth_plain(client: Mailer) -> None:
    response = b64encode(f"\0lisi\0{PASSWORD}".encode()).decode()
    client.talk(f"C: a AUTHENTICATE PLAIN\nS: +…\nC: {response}\nS: a OK …")


def auth_login(client: Mailer) -> None:
    name, password = (b64encode(word.encode()).decode() for word in ("lisi", PASSWORD))
    client.talk(f"C: a AUTHENTICATE LOGIN\nS: + VXNlcm5hbWU6\nC: {name}\nS: + UGFzc3dvcmQ6\nC: {password}\nS: a OK …")


BEFORE_SIGN_IN = {"SASL-IR": sasl_ir, "AUTH=PLAIN": auth_plain, "AUTH=LOGIN": auth_login}
ELSEWHERE = {  # where whole conversations are
    "AUTH=SCRAM-SHA-256": "../test_authentication.py::test_scram_opens_with_the_password_and_the_server_proves_itself",
    "STARTTLS": "test_imap_session.py::test_what_is_said_before_tls_is_forgotten",
    "LOGINDISABLED": "test_imap_session.py::test_from_elsewhere_nothing_is_asked_in_the_clear",
    "INPROGRESS": "test_imap_extensions.py::test_a_long_command_says_that_it_goes_on",
}


@pytest.mark.parametrize("capability", BEFORE_SIGN_IN)
def test_signing_in(imap, benet, capability: str) -> None:
    client: Mailer = imap().dial()
    assert f" {capability} " in client.hear().replace("]", " ")
    BEFORE_SIGN_IN[capability](client)


def test_everything_announced_is_played(imap, benet, certificate) -> None:
    client: Mailer = imap(context=certificate[0]).dial()
    announced = set(client.hear().partition("[CAPABILITY ")[2].partition("]")[0].split()) | {"LOGINDISABLED"}
    client.do(f"LOGIN lisi {PASSWORD}")
    announced |= set(client.tagged.partition("[CAPABILITY ")[2].partition("]")[0].split())
    announced = {"APPENDLIMIT" if word.startswith("APPENDLIMIT=") else word for word in announced}
    assert announced == {*TRANSCRIPTS, *PLAYED, *BEFORE_SIGN_IN, *ELSEWHERE}
    for place in ELSEWHERE.values():
        file, _, name = place.partition("::")
        assert f"def {name}(" in (Path(__file__).parent / file).read_text(encoding="utf-8")
