"""Commands with more blanks than the grammar has, as some clients and test suites send them; Dovecot accepts them."""

import pytest

from imap_client import MIXED, PLAIN, Mailer

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def lisi(imap) -> Mailer:
    client = imap().dial().sign_in()
    client.append(PLAIN), client.append(MIXED)
    client.do("SELECT INBOX")
    return client


@pytest.mark.parametrize(
    "command",
    [
        " NOOP ",
        "STATUS  INBOX  ( MESSAGES  UNSEEN )",
        "STORE  2  FLAGS  ( \\Flagged  \\Seen )",
        "STORE 2 FLAGS  \\Flagged  \\Seen ",
        "STORE 2  ( UNCHANGEDSINCE  1000 )  +FLAGS  ()",
        "FETCH  1  ( FLAGS  UID )",
        "FETCH 1  FLAGS ",
        "FETCH 1:2  FLAGS  ( CHANGEDSINCE  1 )",
        "FETCH 2 ( BODY.PEEK[HEADER.FIELDS  ( SUBJECT  FROM )] )",
        "FETCH 1 PREVIEW  ( LAZY )",
        "UID  FETCH  1:*  ( UID )",
        "SEARCH  ( OR  SEEN  ( UNSEEN  ALL ) )  NOT  ( DELETED ) ",
        'LIST  ""  "*"  RETURN  ( STATUS  ( MESSAGES ) ) ',
        'LIST  ( SUBSCRIBED )  ""  ( "a"  "b" )',
        'LSUB  ""  % ',
        "SORT  ( REVERSE  SUBJECT )  UTF-8  ALL ",
        "THREAD  REFERENCES  UTF-8  ALL",
        "NOTIFY  SET  ( INBOXES  ( MessageNew  MessageExpunge ) )",
        "NOTIFY SET (SELECTED ( MessageNew  ( UID  FLAGS )  MessageExpunge ) ) ",
        "SELECT  INBOX  ( CONDSTORE )",
        'GETMETADATA  ( DEPTH  1 )  ""  ( /shared/comment )',
        "ID  NIL ",
        "LANGUAGE  en ",
    ],
)
def test_superfluous_blanks_are_ignored(lisi: Mailer, command: str) -> None:
    words = " ".join(command.split()).replace("( ", "(").replace(" )", ")")
    if "SINCE" in words:
        lisi.do("ENABLE CONDSTORE")
    spaced, plain = lisi.do(command), lisi.do(words)
    assert [answer.split(b"MODSEQ")[0] for answer in spaced] == [answer.split(b"MODSEQ")[0] for answer in plain]


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("ENABLE  CONDSTORE  QRESYNC ", b"* ENABLED CONDSTORE QRESYNC"),
        ("COPY  1  INBOX ", b"* 3 EXISTS"),
        ("SEARCH  RETURN  ( MIN  MAX )  ALL", b'* ESEARCH (TAG "t5") MIN 1 MAX 2'),
    ],
)
def test_changing_commands_with_superfluous_blanks(lisi: Mailer, command: str, answer: bytes) -> None:
    assert lisi.do(command)[0] == answer


def test_uploads_with_superfluous_blanks(lisi: Mailer) -> None:
    lisi.do(b"APPEND  INBOX  ( \\Seen  \\Recent )  {%d+}\r\n%b " % (len(PLAIN), PLAIN))
    assert lisi.do("FETCH 3 FLAGS")[-1].startswith(b"* 3 FETCH (FLAGS (\\Seen")
    lisi.do(b"APPEND INBOX  CATENATE  ( TEXT  {5+}\r\nA: 1\n  TEXT  {3+}\r\n\r\nx )  ")
    assert lisi.do("FETCH 4 RFC822.SIZE")[-1] == b"* 4 FETCH (RFC822.SIZE 8)"


def test_recent_is_ignored_in_an_upload(lisi: Mailer) -> None:
    lisi.do(b"APPEND INBOX (\\Recent) {%d+}\r\n%b" % (len(PLAIN), PLAIN))
    lisi.do("EXAMINE INBOX")
    assert lisi.do("FETCH 3 FLAGS") == [b"* 3 FETCH (FLAGS ())"]


@pytest.mark.parametrize(
    "command", ["FETCH 1(FLAGS)", "FETCH 1 (FLAGSUID)", "STATUS INBOX (MESSAGES", "SELECT", "SEARCH ( )"]
)
def test_missing_blanks_are_errors(lisi: Mailer, command: str) -> None:
    lisi.do(command, "BAD")
