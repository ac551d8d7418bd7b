"""For every command that changes something: what another client of the account hears of it.

One changes, the other has INBOX selected and asks; a client in IDLE or with NOTIFY hears at once (see test_imap_changes
and test_imap_extensions).
"""

import re

import pytest

from imap_client import ImapRunning, Mailer

pytestmark = pytest.mark.django_db(transaction=True)

MESSAGE = "{23+}\r\nSubject: walk\r\n\r\nbody\r\n"
LIST = 'LIST "" * RETURN (SUBSCRIBED)'


@pytest.fixture
def running(imap) -> ImapRunning:
    return imap()


@pytest.fixture
def two(running) -> tuple[Mailer, Mailer]:
    """Lisi twice: three messages in INBOX, one in Work, both selected INBOX; nothing is recent."""
    one, other = running.dial().sign_in(), running.dial().sign_in()
    one.do("CREATE Work")
    for box in ("INBOX", "INBOX", "INBOX", "Work"):
        one.do(f"APPEND {box} {MESSAGE}")
    for client in (one, one, other):
        client.do("SELECT INBOX")
    return one, other


# What one does, what the other asks then, what it hears (patterns, in this order, among what else there is).
CASES: dict[str, tuple[list[str], str, list[str]]] = {
    "APPEND": ([f"APPEND INBOX (\\Seen) {MESSAGE}"], "NOOP", [r"\* 4 EXISTS"]),
    "MULTIAPPEND": ([f"APPEND INBOX {MESSAGE} {MESSAGE}"], "NOOP", [r"\* 5 EXISTS"]),
    "CATENATE": (['APPEND INBOX CATENATE (URL "/INBOX/;UID=1" TEXT {3+}\r\nend)'], "NOOP", [r"\* 4 EXISTS"]),
    "REPLACE": ([f"REPLACE 2 INBOX {MESSAGE}"], "NOOP", [r"\* 2 EXPUNGE", r"\* 3 EXISTS"]),
    "UID REPLACE elsewhere": ([f"UID REPLACE 2 Work {MESSAGE}"], "NOOP", [r"\* 2 EXPUNGE"]),
    "STORE": (["STORE 2 +FLAGS.SILENT (\\Flagged)"], "NOOP", [r"\* 2 FETCH \(FLAGS \(\\Flagged\)\)"]),
    "STORE of a keyword": (
        ["STORE 2 FLAGS ($Work)"],
        "NOOP",
        [r"\* FLAGS \(.*\$Work\)", r"\* OK \[PERMANENTFLAGS \(.*\$Work.*", r"\* 2 FETCH \(FLAGS \(\$Work\)\)"],
    ),
    "UID STORE": (["UID STORE 3 FLAGS (\\Seen)"], "NOOP", [r"\* 3 FETCH \(FLAGS \(\\Seen\)\)"]),
    "STORE UNCHANGEDSINCE": (
        ["STORE 2 (UNCHANGEDSINCE 9999) +FLAGS (\\Draft)"],
        "NOOP",
        [r"\* 2 FETCH \(FLAGS \(\\Draft\)\)"],
    ),
    "FETCH BODY[]": (["FETCH 1 BODY[]"], "NOOP", [r"\* 1 FETCH \(FLAGS \(\\Seen\)\)"]),
    "EXPUNGE": (["STORE 1,3 +FLAGS (\\Deleted)", "EXPUNGE"], "NOOP", [r"\* 3 EXPUNGE", r"\* 1 EXPUNGE"]),
    "UID EXPUNGE": (
        ["STORE 1,3 +FLAGS (\\Deleted)", "UID EXPUNGE 3"],
        "NOOP",
        [r"\* 3 EXPUNGE", r"\* 1 FETCH \(FLAGS \(\\Deleted\)\)"],
    ),
    "CLOSE": (["STORE 2 +FLAGS (\\Deleted)", "CLOSE"], "NOOP", [r"\* 2 EXPUNGE"]),
    "COPY into it": (["SELECT Work", "COPY 1 INBOX"], "NOOP", [r"\* 4 EXISTS"]),
    "COPY out of it": (["COPY 1 Work"], "STATUS Work (MESSAGES)", [r"\* STATUS Work \(MESSAGES 2\)"]),
    "MOVE into it": (["SELECT Work", "MOVE 1 INBOX"], "NOOP", [r"\* 4 EXISTS"]),
    "MOVE out of it": (["MOVE 1:2 Work"], "NOOP", [r"\* 2 EXPUNGE", r"\* 1 EXPUNGE"]),
    "UID MOVE": (["UID MOVE 3 Work"], "NOOP", [r"\* 3 EXPUNGE"]),
    "CREATE": (["CREATE Neu"], LIST, [r'\* LIST \(\\HasNoChildren\) "/" Neu']),
    "CREATE with a use": (
        ["DELETE Junk", "CREATE Spam (USE (\\Junk))"],
        LIST,
        [r'\* LIST \(\\HasNoChildren \\Junk\) "/" Spam'],
    ),
    "DELETE": (["DELETE Work"], "STATUS Work (MESSAGES)", []),
    "RENAME": (["RENAME Work Play"], "STATUS Play (MESSAGES)", [r"\* STATUS Play \(MESSAGES 1\)"]),
    "RENAME of INBOX": (["RENAME INBOX Old"], "NOOP", [r"\* 3 EXPUNGE", r"\* 2 EXPUNGE", r"\* 1 EXPUNGE"]),
    "SUBSCRIBE": (["SUBSCRIBE Work"], LIST, [r'\* LIST \(\\HasNoChildren \\Subscribed\) "/" Work']),
    "UNSUBSCRIBE": (["UNSUBSCRIBE Sent"], LIST, [r'\* LIST \(\\HasNoChildren \\Sent\) "/" Sent']),
    "SETMETADATA": (
        ['SETMETADATA INBOX (/private/comment "hi")'],
        "GETMETADATA INBOX /private/comment",
        [r'\* METADATA INBOX \(/private/comment "hi"\)'],
    ),
    "SETACL": (["SETACL Work xiaoqi lr"], "GETACL Work", [r"\* ACL Work lisi@benet.com \w+ xiaoqi@benet.com lr"]),
    "DELETEACL": (
        ["SETACL Work xiaoqi lr", "DELETEACL Work xiaoqi"],
        "GETACL Work",
        [r"\* ACL Work lisi@benet.com \w+"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_other_is_told(two, case):
    one, other = two
    commands, question, expected = CASES[case]
    for command in commands:
        one.do(command)
    heard = [response.decode() for response in other.do(question, "OK" if expected else "NO [NONEXISTENT]")]
    at = iter(heard)
    for pattern in expected:
        assert any(re.fullmatch(pattern, response) for response in at), (pattern, heard)
    # And once: asked again, it hears of no change any more.
    if question == "NOOP":
        assert other.do("NOOP") == []


@pytest.mark.parametrize("case", [name for name, (_, question, _) in CASES.items() if question == "NOOP"])
def test_numbers_hold_still_while_the_other_uses_them(two, case):
    """No EXPUNGE is heard with the answer to a command that is about sequence numbers."""
    one, other = two
    for command in CASES[case][0]:
        one.do(command)
    for question in (
        "FETCH 1:3 UID",
        "SEARCH ALL",
        "STORE 1:3 +FLAGS.SILENT ()",
        "COPY 1:3 Trash",
        "SORT (DATE) UTF-8 ALL",
    ):
        assert not any(re.match(rb"\* \d+ EXPUNGE", response) for response in other.do(question))


def test_a_selected_mailbox_that_is_deleted_or_renamed(two):
    one, other = two
    one.do("SELECT Work")
    other.do("RENAME Work Play")
    # Renamed, it is the same mailbox: it can be read on.
    assert b"* 1 FETCH (UID 1)" in one.do("FETCH 1 UID")
    assert one.do("FETCH 1 BODY.PEEK[TEXT]") == [b"* 1 FETCH (BODY[TEXT] {6}\r\nbody\r\n)"]
    other.do("DELETE Play")
    assert b"* 1 EXPUNGE" in one.do("NOOP")
    one.do("STORE 1 +FLAGS (\\Seen)", "BAD")


def test_a_url_key_that_is_reset(two, parameters):
    parameters(myhostname="mail.benet.com", mydomain="benet.com")
    one, other = two
    url = '"imap://lisi@mail.benet.com/INBOX/;UID=1;urlauth=anonymous"'
    signed = one.do(f"GENURLAUTH {url} INTERNAL")[0].split(b" ")[-1].decode()
    assert b"body" in other.do(f"URLFETCH {signed}")[0]
    one.do("RESETKEY INBOX")
    assert other.do(f"URLFETCH {signed}")[0].endswith(b"NIL")


def test_what_a_pop3_session_removes_and_reads_is_told_too(two, benet):
    from mailcore.store.access import pop3_maildrop
    from mailcore.values import Owner

    _, other = two
    drop = pop3_maildrop.open_maildrop(Owner(benet["lisi"], "lisi@benet.com"))
    pop3_maildrop.commit_session(drop, {1}, {0})
    pop3_maildrop.close_maildrop(drop)
    heard = other.do("NOOP")
    assert b"* 2 EXPUNGE" in heard
    assert b"* 1 FETCH (FLAGS (\\Seen))" in heard
