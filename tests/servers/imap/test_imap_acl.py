"""Mailboxes shared between lisi and xiaoqi (RFC 4314): what each right lets one do, and what it does not."""

import pytest

from imap_client import PLAIN, ImapRunning, Mailer
from mailcore.models import AccessRight, Account, Mailbox
from mailcore.store import directory

pytestmark = pytest.mark.django_db(transaction=True)

SHARED = '"Other Users/lisi@benet.com/Work"'


@pytest.fixture
def running(imap) -> ImapRunning:
    return imap()


@pytest.fixture
def lisi(running) -> Mailer:
    """Lisi has a mailbox Work with two messages."""
    client = running.dial().sign_in()
    client.do("CREATE Work")
    client.append(PLAIN, "Work")
    client.append(PLAIN, "Work")
    client.do("SELECT Work")
    client.do("UNSELECT")  # nothing is recent any more
    return client


@pytest.fixture
def xiaoqi(running) -> Mailer:
    return running.dial().sign_in("xiaoqi")


def lines_with(responses: list[bytes], word: bytes) -> list[bytes]:
    return [response for response in responses if response.split(b" ")[1] == word]


def test_the_examples_of_the_rfc(lisi, xiaoqi):
    assert lisi.do("GETACL Work") == [b"* ACL Work lisi@benet.com lrswipkxteacd"]
    lisi.do("SETACL Work xiaoqi lrSW", "BAD")
    lisi.do("SETACL Work xiaoqi lrswipkxtea")
    lisi.do("SETACL Work -xiaoqi a")
    assert lisi.do("GETACL Work") == [
        b"* ACL Work lisi@benet.com lrswipkxteacd -xiaoqi@benet.com a xiaoqi@benet.com lrswipkxteacd"
    ]
    assert xiaoqi.do(f"MYRIGHTS {SHARED}") == [f"* MYRIGHTS {SHARED} lrswipkxtecd".encode()]
    lisi.do("DELETEACL Work -xiaoqi")
    lisi.do("SETACL Work xiaoqi -kxte")
    assert xiaoqi.do(f"MYRIGHTS {SHARED}") == [f"* MYRIGHTS {SHARED} lrswipa".encode()]
    assert lisi.do("LISTRIGHTS Work xiaoqi") == [b'* LISTRIGHTS Work xiaoqi "" l r s w i p k x t e a']
    assert lisi.do("LISTRIGHTS Work lisi") == [b"* LISTRIGHTS Work lisi lrswipkxtea"]
    assert lisi.do("MYRIGHTS INBOX") == [b"* MYRIGHTS INBOX lrswipkxteacd"]
    lisi.do("DELETEACL Work xiaoqi")
    xiaoqi.do(f"MYRIGHTS {SHARED}", "NO [NONEXISTENT]")


def test_lists_that_cannot_be(lisi, xiaoqi):
    lisi.do("GETACL Nowhere", "NO [NONEXISTENT]")
    lisi.do("MYRIGHTS Nowhere", "NO [NONEXISTENT]")
    lisi.do("SETACL Nowhere xiaoqi l", "NO [NONEXISTENT]")
    lisi.do("SETACL Work lisi l", "NO [CANNOT]")
    lisi.do('SETACL Work "" l', "BAD")
    lisi.do("SETACL Work xiaoqi lr extra", "BAD")
    lisi.do("SETACL Work xiaoqi lr")
    xiaoqi.do(f"GETACL {SHARED}", "NO [NOPERM]")
    xiaoqi.do(f"SETACL {SHARED} xiaoqi +a", "NO [NOPERM]")
    xiaoqi.do(f"LISTRIGHTS {SHARED} xiaoqi", "NO [NOPERM]")


def test_the_namespace_and_listings(lisi, xiaoqi):
    assert xiaoqi.do("NAMESPACE") == [b'* NAMESPACE (("" "/")) (("Other Users/" "/")) NIL']
    before = xiaoqi.do('LIST "" *')
    lisi.do("SETACL Work xiaoqi r")
    assert xiaoqi.do('LIST "" *') == before
    lisi.do("SETACL Work xiaoqi +l")
    assert xiaoqi.do('LIST "" "Other Users/*"') == [
        b'* LIST (\\Noselect \\HasChildren) "/" "Other Users/lisi@benet.com"',
        f'* LIST (\\HasNoChildren) "/" {SHARED}'.encode(),
    ]
    assert xiaoqi.do('LIST "" "Other %"') == [b'* LIST (\\Noselect \\HasChildren) "/" "Other Users"']
    xiaoqi.do(f"SUBSCRIBE {SHARED}")
    assert f'* LSUB () "/" {SHARED}'.encode() in xiaoqi.do('LSUB "" *')
    listed = xiaoqi.do('LIST (SUBSCRIBED) "" "Other*" RETURN (STATUS (MESSAGES))')
    assert listed[1] == f"* STATUS {SHARED} (MESSAGES 2)".encode()
    # lisi's own list is what it was, and so is everybody else's.
    assert not any(b"Other" in response for response in lisi.do('LIST "" *'))


def test_anyone(lisi, xiaoqi):
    lisi.do("SETACL Work anyone lr")
    lisi.do("SETACL Work -xiaoqi r")
    assert xiaoqi.do(f"MYRIGHTS {SHARED}") == [f"* MYRIGHTS {SHARED} l".encode()]
    xiaoqi.do(f"SELECT {SHARED}", "NO [NOPERM]")
    xiaoqi.do(f"STATUS {SHARED} (MESSAGES)", "NO [NONEXISTENT]")


def test_who_may_only_read(lisi, xiaoqi):
    lisi.do("SETACL Work xiaoqi lr")
    selected = xiaoqi.do(f"SELECT {SHARED}")
    assert "[READ-ONLY]" in xiaoqi.tagged
    assert b"* OK [PERMANENTFLAGS ()] Flags permitted." in selected
    assert b"* 2 EXISTS" in selected
    xiaoqi.do("FETCH 1 BODY[]")
    assert xiaoqi.do("FETCH 1 FLAGS") == [b"* 1 FETCH (FLAGS ())"]
    for command in ("STORE 1 FLAGS (\\Seen)", "EXPUNGE", "MOVE 1 INBOX"):
        xiaoqi.do(command, "NO [READ-ONLY]")
    xiaoqi.do("COPY 1 INBOX")
    for command in (
        f"APPEND {SHARED} {{3+}}\r\nabc",
        f"COPY 1 {SHARED}",
        f"DELETE {SHARED}",
        f'CREATE {SHARED[:-1]}/x"',
    ):
        xiaoqi.do(command, "NO [NOPERM]")
    xiaoqi.do(f"RENAME {SHARED} mine", "NO [NOPERM]")
    xiaoqi.do(f'SETMETADATA {SHARED} (/shared/comment "hi")', "NO [NOPERM]")
    xiaoqi.do(f'SETMETADATA {SHARED} (/private/comment "mine")')
    assert lisi.do("GETMETADATA Work /private/comment") == [b"* METADATA Work (/private/comment NIL)"]
    assert xiaoqi.do(f"GETMETADATA {SHARED} /private/comment")[0].endswith(b'(/private/comment "mine")')


def test_each_flag_has_its_right(lisi, xiaoqi):
    lisi.do("SETACL Work xiaoqi lrst")
    selected = xiaoqi.do(f"SELECT {SHARED}")
    assert b"* OK [PERMANENTFLAGS (\\Deleted \\Seen)] Flags permitted." in selected
    xiaoqi.do("STORE 1 +FLAGS (\\Flagged)", "NO [NOPERM]")
    xiaoqi.do("STORE 1 +FLAGS ($Label1)", "NO [NOPERM]")
    assert xiaoqi.do("STORE 1 +FLAGS (\\Flagged \\Seen)") == [b"* 1 FETCH (FLAGS (\\Seen))"]
    lisi.do("SELECT Work")
    lisi.do("STORE 1 FLAGS (\\Flagged $Label1)")
    xiaoqi.do("NOOP")
    assert xiaoqi.do("STORE 1 FLAGS (\\Deleted)")[-1] == b"* 1 FETCH (FLAGS (\\Flagged \\Deleted $Label1))"
    xiaoqi.do("EXPUNGE", "NO [NOPERM]")
    xiaoqi.do("UID EXPUNGE 1:*", "NO [NOPERM]")
    xiaoqi.do("MOVE 1 INBOX", "NO [NOPERM]")
    xiaoqi.do("CLOSE")
    assert lines_with(lisi.do("NOOP"), b"EXPUNGE") == []


def test_what_comes_in_has_only_the_flags_that_may_be_set(lisi, xiaoqi):
    lisi.do("SETACL Work xiaoqi lri")
    uid = xiaoqi.append(PLAIN, SHARED, "(\\Seen \\Flagged word)")
    xiaoqi.append(PLAIN, "INBOX", "(\\Seen \\Flagged word)")
    xiaoqi.do("SELECT INBOX")
    xiaoqi.do(f"COPY 1 {SHARED}")
    xiaoqi.do(f"MOVE 1 {SHARED}")
    lisi.do("SELECT Work")
    assert lisi.do(f"UID FETCH {uid}:* (FLAGS)") == [
        b"* %d FETCH (UID %d FLAGS (\\Recent))" % (number, number) for number in (3, 4, 5)
    ]
    lisi.do("SETACL Work xiaoqi lriwst")
    xiaoqi.append(PLAIN, "INBOX", "(\\Seen \\Flagged word)")
    xiaoqi.do("NOOP")
    xiaoqi.do(f"MOVE 1 {SHARED}")
    lisi.do("NOOP")
    assert b"\\Flagged \\Seen" in lisi.do("FETCH 6 FLAGS")[0]
    # Whose mailbox it is has it on their account, in files and in bytes.
    used = {row.local_part: (row.used_messages, row.used_bytes) for row in Account.objects.all()}
    assert used == {"lisi": (6, 6 * len(PLAIN)), "xiaoqi": (0, 0)}
    assert len(lisi.do("FETCH 1:* BODY.PEEK[]")) == 6


def test_the_quota_of_the_mailboxs_owner_counts(lisi, xiaoqi, benet):
    lisi.do("SETACL Work xiaoqi lri")
    directory.change_account(benet["lisi"], directory.AccountDraft(quota_messages=2))
    xiaoqi.append(PLAIN)
    xiaoqi.do("SELECT INBOX")
    xiaoqi.do(f"COPY 1 {SHARED}", "NO [OVERQUOTA]")
    xiaoqi.do(f"MOVE 1 {SHARED}", "NO [OVERQUOTA]")
    xiaoqi.do(f"APPEND {SHARED} {{3+}}\r\nabc", "NO [OVERQUOTA]")
    assert xiaoqi.do(f"GETQUOTAROOT {SHARED}") == [f"* QUOTAROOT {SHARED}".encode()]


def test_mailboxes_made_renamed_and_deleted_by_another(lisi, xiaoqi):
    lisi.do("SETACL Work xiaoqi lrkx")
    xiaoqi.do('CREATE "Other Users/lisi@benet.com/New"', "NO [NOPERM]")
    xiaoqi.do('CREATE "Other Users/lisi@benet.com/Work/a"')
    assert b"xiaoqi@benet.com lrkxc" in lisi.do("GETACL Work/a")[0]
    assert Mailbox.objects.get(name="Work/a").account.local_part == "lisi"
    xiaoqi.do('RENAME "Other Users/lisi@benet.com/Work/a" mine', "NO [CANNOT]")
    xiaoqi.do('RENAME "Other Users/lisi@benet.com/Work/a" "Other Users/lisi@benet.com/Work/b"')
    xiaoqi.do('DELETE "Other Users/lisi@benet.com/Work/b"')
    assert AccessRight.objects.filter(mailbox__name="Work/b").count() == 0
    xiaoqi.do('CREATE "Other Users"', "NO [NOPERM]")
    xiaoqi.do('CREATE "Other Users/nobody@benet.com/x"', "NO [NOPERM]")
    lisi.do('RENAME INBOX "Other Users/xiaoqi@benet.com/x"', "NO [NOPERM]")


def test_rights_taken_away_count_at_once(lisi, xiaoqi):
    lisi.do("SETACL Work xiaoqi lrswite")
    xiaoqi.do(f"SELECT {SHARED}")
    assert "[READ-WRITE]" in xiaoqi.tagged
    xiaoqi.do("STORE 1 +FLAGS (\\Deleted)")
    lisi.do("SETACL Work xiaoqi lrs")
    xiaoqi.do("EXPUNGE", "NO [NOPERM]")
    xiaoqi.do("STORE 1 +FLAGS (\\Seen)")
    lisi.do("DELETEACL Work xiaoqi")
    xiaoqi.talk("C: a NOOP\nS: * BYE The mailbox is not shared with you any more.\nS:")


def test_two_side_by_side_in_one_mailbox(lisi, xiaoqi):
    lisi.do("SETACL Work xiaoqi lrswite")
    xiaoqi.do(f"SELECT {SHARED}")
    lisi.do("SELECT Work")
    xiaoqi.do("STORE 2 +FLAGS (\\Flagged)")
    assert lisi.do("NOOP") == [b"* 2 FETCH (FLAGS (\\Flagged))"]
    lisi.do("STORE 1 +FLAGS.SILENT (\\Deleted)")
    lisi.do("EXPUNGE")
    assert b"* 1 EXPUNGE" in xiaoqi.do("NOOP")
    lisi.append(PLAIN, "Work")
    assert b"* 2 EXISTS" in xiaoqi.do("NOOP")


def test_a_search_over_mailboxes_finds_shared_ones_by_name_alone(lisi, xiaoqi):
    lisi.do("SETACL Work xiaoqi lr")
    found = xiaoqi.do(f"ESEARCH IN (mailboxes {SHARED}) ALL")
    assert f"MAILBOX {SHARED} ".encode() in found[0]
    assert xiaoqi.do("ESEARCH IN (personal) ALL") == []


def test_an_account_that_is_deleted_leaves_no_rights_behind(lisi, benet):
    lisi.do("SETACL Work xiaoqi lr")
    lisi.do("SETACL Work -xiaoqi r")
    directory.delete_account(benet["xiaoqi"])
    assert AccessRight.objects.count() == 0


# --- Other domains --------------------------------------------------------------------------------


@pytest.fixture
def wang(running, lisi, xiaoqi) -> Mailer:
    """An account of another domain, with the same password; it owns a mailbox with an urgent name."""
    directory.create_domain("zhong.cn")
    directory.create_account("wang@zhong.cn", "", password_hash=Account.objects.get(address="lisi@benet.com").password)
    client = running.dial().sign_in("wang@zhong.cn")
    client.do("CREATE URGENT-security-notice")
    return client


THEIRS = '"Other Users/wang@zhong.cn/URGENT-security-notice"'
COMMANDS = [f"MYRIGHTS {THEIRS}", f"SELECT {THEIRS}", f"STATUS {THEIRS} (MESSAGES)", f"GETACL {THEIRS}"]


def sees(client: Mailer) -> bool:
    return any(b"URGENT" in response for response in client.do('LIST "" *'))


def test_a_stranger_puts_no_folder_into_anybodys_list(wang, lisi, xiaoqi):
    wang.do("SETACL URGENT-security-notice anyone lr")
    wang.do("SETACL URGENT-security-notice lisi@benet.com lr", "NO [CANNOT] Mailboxes are not shared with this domain")
    wang.do(
        "SETACL URGENT-security-notice nobody@benet.com lr", "NO [CANNOT] Mailboxes are not shared with this domain"
    )
    for client in (lisi, xiaoqi):
        assert not sees(client)
        for command in COMMANDS:
            client.do(command, "NO [NONEXISTENT]")


def test_entries_from_before_count_no_more(wang, lisi, parameters):
    parameters(imap_acl_scope="all")
    wang.do("SETACL URGENT-security-notice lisi@benet.com lr")
    assert sees(lisi)
    parameters(imap_acl_scope="domain")
    assert not sees(lisi)
    lisi.do(COMMANDS[0], "NO [NONEXISTENT]")
    wang.do("DELETEACL URGENT-security-notice lisi@benet.com")
    assert AccessRight.objects.count() == 0


@pytest.mark.parametrize(("scope", "anyone", "named"), [("domain", 0, 0), ("named", 0, 1), ("all", 1, 1), ("?", 0, 0)])
def test_the_scope_widens_it(wang, lisi, xiaoqi, parameters, scope, anyone, named):
    parameters(imap_acl_scope=scope)
    wang.do("SETACL URGENT-security-notice anyone l")
    assert sees(lisi) == anyone
    wang.do("DELETEACL URGENT-security-notice anyone")
    wang.do("SETACL URGENT-security-notice lisi@benet.com l", "OK" if named else "NO")
    assert (sees(lisi), sees(xiaoqi)) == (named, False)


def test_no_reply_tells_which_addresses_exist(lisi, xiaoqi):
    def replies(name: str) -> str:
        found = []
        for command in (
            *(f"SETACL Work {name} lr", f"LISTRIGHTS Work {name}", "GETACL Work", f"SETACL Work -{name} r"),
            *(f"SETACL Work {name} -l", f"DELETEACL Work {name}", f"DELETEACL Work -{name}"),
        ):
            found += [lisi.do(command), lisi.tagged]
        return repr(found).replace(name, "NAME")

    assert replies("xiaoqi@benet.com") == replies("nobody@benet.com")


def test_a_later_account_gets_nothing_by_a_guess_at_its_address(running, lisi):
    lisi.do("SETACL Work zhaoliu lr")
    lisi.do("SETACL Work -zhaoliu r")
    directory.create_account(
        "zhaoliu@benet.com", "", password_hash=Account.objects.get(address="lisi@benet.com").password
    )
    assert AccessRight.objects.count() == 0
    running.dial().sign_in("zhaoliu").do(f"MYRIGHTS {SHARED}", "NO [NONEXISTENT]")


@pytest.mark.parametrize("identifier", ["x" * 290, '"@"', '"@benet.com"'])
def test_identifiers_that_no_account_can_have(lisi, identifier):
    lisi.do(f"SETACL Work {identifier} l", "OK" if identifier[0] == "x" else "NO [CANNOT]")


INBOX = '"Other Users/lisi@benet.com/INBOX"'


def test_a_renamed_inbox_is_not_read_under_the_rights_of_its_new_place(lisi, xiaoqi):
    lisi.append(PLAIN)
    lisi.do("SETACL INBOX xiaoqi lx")
    lisi.do("SETACL Work xiaoqi lrk")
    taken = f'{SHARED[:-1]}/taken"'
    xiaoqi.do(f"RENAME {INBOX} {taken}", "NO [NOPERM]")
    xiaoqi.do(f"SELECT {taken}", "NO [NONEXISTENT]")
    lisi.do("SETACL INBOX xiaoqi lrxte")
    xiaoqi.do(f"RENAME {INBOX} {taken}")
    assert b"* 1 EXISTS" in xiaoqi.do(f"SELECT {taken}")


def test_nobody_takes_a_special_use_of_another(lisi, xiaoqi):
    lisi.do("DELETE Sent")
    lisi.do("SETACL Work xiaoqi lrk")
    xiaoqi.do(f'CREATE {SHARED[:-1]}/mine" (USE (\\Sent))', "NO [USEATTR]")
    lisi.do("CREATE Work/mine (USE (\\Sent))")


def test_names_in_other_letters_are_other_mailboxes(lisi, xiaoqi):
    lisi.do("CREATE WORK/secret")
    lisi.do("SETACL Work xiaoqi lrkx")
    lisi.do("CREATE Open")
    lisi.do("SETACL Open xiaoqi lrk")
    xiaoqi.do(f'RENAME {SHARED} "Other Users/lisi@benet.com/Open/team"')
    names = [response.split(b' "/" ')[1] for response in lisi.do('LIST "" *')]
    assert b"WORK/secret" in names
    assert b"Open/team/secret" not in names
    lisi.do("CREATE work")
    lisi.do("DELETE work")
    assert b"work" not in [response.split(b' "/" ')[1] for response in lisi.do('LIST "" *')]


@pytest.mark.parametrize("identifier", ["xiaoqi", "anyone"])
@pytest.mark.parametrize("waiting", ["IDLE", "NOTIFY SET (SELECTED (MessageNew (BODY.PEEK[]) MessageExpunge))"])
def test_who_waits_for_news_hears_none_after_the_rights_are_gone(lisi, xiaoqi, identifier, waiting):
    lisi.do(f"SETACL Work {identifier} lr")
    xiaoqi.do(f"SELECT {SHARED}")
    if waiting == "IDLE":
        xiaoqi.talk("C: i IDLE\nS: + idling")
    else:
        xiaoqi.do(waiting)
    lisi.do(f"DELETEACL Work {identifier}")
    lisi.append(PLAIN, "Work")
    xiaoqi.talk("S: * BYE The mailbox is not shared with you any more.\nS:")


@pytest.mark.parametrize("waiting", ["IDLE", "NOTIFY SET (SELECTED (MessageNew (BODY.PEEK[]) MessageExpunge))"])
def test_a_closed_account_hears_no_news(lisi, xiaoqi, waiting):
    xiaoqi.do("SELECT INBOX")
    if waiting == "IDLE":
        xiaoqi.talk("C: i IDLE\nS: + idling")
    else:
        xiaoqi.do(waiting)
    account = Account.objects.get(address="xiaoqi@benet.com")
    directory.change_account(account.pk, directory.AccountDraft(state="off"))
    xiaoqi.talk("S: * BYE [UNAVAILABLE] You have been signed out.\nS:")
