"""Mailboxes made, named, listed and removed by a client."""

from pathlib import Path

import pytest

from imap_client import PLAIN, ImapRunning, Mailer
from mailcore.models import Account, Mailbox
from mailcore.store.maildir import maildir_files

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def running(imap) -> ImapRunning:
    return imap()


@pytest.fixture
def lisi(running) -> Mailer:
    return running.dial().sign_in()


def names(responses: list[bytes]) -> list[str]:
    return [response.split(b' "/" ')[1].strip(b'"').decode() for response in responses]


def test_a_new_account_has_its_special_folders(lisi: Mailer) -> None:
    assert lisi.do('LIST "" *') == [
        b'* LIST (\\HasNoChildren \\Archive) "/" Archive',
        b'* LIST (\\HasNoChildren \\Drafts) "/" Drafts',
        b'* LIST (\\HasNoChildren) "/" INBOX',
        b'* LIST (\\HasNoChildren \\Junk) "/" Junk',
        b'* LIST (\\HasNoChildren \\Sent) "/" Sent',
        b'* LIST (\\HasNoChildren \\Trash) "/" Trash',
    ]
    assert names(lisi.do('LIST (SPECIAL-USE) "" *')) == ["Archive", "Drafts", "Junk", "Sent", "Trash"]
    assert len(lisi.do('LSUB "" *')) == 6
    assert lisi.do('LIST "" ""') == [b'* LIST (\\Noselect) "/" ""']


def test_levels_are_made_as_needed(lisi: Mailer) -> None:
    lisi.do('CREATE "work/2026/q1"')
    assert names(lisi.do('LIST "" work*')) == ["work", "work/2026", "work/2026/q1"]
    assert names(lisi.do('LIST "" work/%')) == ["work/2026"]
    assert names(lisi.do("LIST work/ %/%")) == ["work/2026/q1"]
    assert lisi.do('LIST "" work')[0].startswith(b"* LIST (\\HasChildren)")
    lisi.do("CREATE work", "NO [ALREADYEXISTS]")
    lisi.do("CREATE inbox", "NO [ALREADYEXISTS]")
    lisi.do('CREATE "a//b"', "NO [CANNOT]")


def test_names_in_chinese(lisi: Mailer) -> None:
    lisi.do('CREATE "&XeVPXA-"')
    assert names(lisi.do('LIST "" &XeVPXA-')) == ["&XeVPXA-"]
    assert Mailbox.objects.get(name="工作").folder == ".&XeVPXA-"
    lisi.do('CREATE "&bad"', "NO [CANNOT]")
    lisi.do(b'SELECT "\xe5\xb7\xa5"', "NO [CANNOT]")


def test_deleting(lisi: Mailer) -> None:
    lisi.do("CREATE a/b")
    lisi.append(PLAIN, "a")
    lisi.append(PLAIN, "a/b")
    used = Account.objects.get(local_part="lisi").used_bytes
    lisi.do("DELETE a")
    assert lisi.do('LIST "" a*') == [b'* LIST (\\Noselect \\HasChildren) "/" a', b'* LIST (\\HasNoChildren) "/" a/b']
    lisi.do("SELECT a", "NO [NONEXISTENT]")
    lisi.do("DELETE a", "NO [HASCHILDREN]")
    lisi.do("DELETE a/b")
    lisi.do("DELETE a")
    assert lisi.do('LIST "" a*') == []
    lisi.do("DELETE INBOX", "NO [CANNOT]")
    lisi.do("DELETE a", "NO [NONEXISTENT]")
    account = Account.objects.get(local_part="lisi")
    assert used == 2 * len(PLAIN)
    assert (account.used_bytes, account.used_messages) == (0, 0)


def test_a_name_used_again_has_another_uidvalidity(lisi: Mailer) -> None:
    seen = set()
    for _ in range(3):
        lisi.do("CREATE again")
        [response] = lisi.do("STATUS again (UIDVALIDITY)")
        seen.add(response)
        lisi.do("DELETE again")
    assert len(seen) == 3


def test_renaming_takes_what_is_below_along(lisi: Mailer, running) -> None:
    lisi.do("CREATE a/b")
    uid = lisi.append(PLAIN, "a/b")
    watching = running.dial().sign_in()
    watching.do("SELECT a/b")
    lisi.do("RENAME a c/d")
    assert names(lisi.do('LIST "" c*')) == ["c", "c/d", "c/d/b"]
    assert lisi.do('LIST "" a*') == []
    lisi.do("SELECT c/d/b")
    assert PLAIN in lisi.do(f"UID FETCH {uid} BODY.PEEK[]")[0]
    assert PLAIN in watching.do(f"UID FETCH {uid} BODY.PEEK[]")[0]  # opened under its old name
    lisi.do("RENAME nothing x", "NO [NONEXISTENT]")
    lisi.do("RENAME c/d Sent", "NO [ALREADYEXISTS]")
    lisi.do("RENAME c c/x", "NO [CANNOT]")


def test_renaming_the_inbox_moves_its_messages(lisi: Mailer) -> None:
    lisi.append(PLAIN)
    lisi.do("RENAME INBOX old")
    assert lisi.do("STATUS INBOX (MESSAGES)") == [b"* STATUS INBOX (MESSAGES 0)"]
    assert lisi.do("STATUS old (MESSAGES)") == [b"* STATUS old (MESSAGES 1)"]


def test_subscriptions_outlive_mailboxes(lisi: Mailer) -> None:
    lisi.do("SUBSCRIBE some/where")
    assert names(lisi.do('LSUB "" some*')) == ["some/where"]
    assert lisi.do('LSUB "" %')[-1] == b'* LSUB (\\Noselect) "/" some'
    assert lisi.do('LIST (SUBSCRIBED) "" some*') == [
        b'* LIST (\\NonExistent \\HasNoChildren \\Subscribed) "/" some/where'
    ]
    assert b'"CHILDINFO"' not in b"".join(lisi.do('LIST (SUBSCRIBED) "" %'))
    lisi.do("UNSUBSCRIBE some/where")
    assert lisi.do('LSUB "" some*') == []
    lisi.do("UNSUBSCRIBE some/where", "NO")


def test_extended_list(lisi: Mailer) -> None:
    lisi.do("CREATE a/b")
    lisi.do("SUBSCRIBE a/b")
    assert lisi.do('LIST (SUBSCRIBED RECURSIVEMATCH) "" a') == [
        b'* LIST (\\HasChildren) "/" a ("CHILDINFO" ("SUBSCRIBED"))'
    ]
    assert names(lisi.do('LIST "" (INBOX Sent)')) == ["INBOX", "Sent"]
    assert lisi.do('LIST "" INBOX RETURN (SUBSCRIBED STATUS (MESSAGES UIDNEXT))') == [
        b'* LIST (\\HasNoChildren \\Subscribed) "/" INBOX',
        b"* STATUS INBOX (MESSAGES 0 UIDNEXT 1)",
    ]
    lisi.do('LIST (RECURSIVEMATCH) "" *', "BAD")


def test_child_info_is_given_where_no_child_is(lisi: Mailer) -> None:
    """RFC 5258 §3.5: only for subscribed children that are not themselves among the results."""
    for name in ("a", "a/b", "a/b/c", "d/e"):
        lisi.do(f"CREATE {name}")
    for name in ("a", "a/b/c", "d/e"):
        lisi.do(f"SUBSCRIBE {name}")

    def found(pattern: str) -> dict[str, bool]:
        answers = lisi.do(f'LIST (SUBSCRIBED RECURSIVEMATCH) "" {pattern}')
        return {name.partition(" ")[0]: "CHILDINFO" in name for name in names(answers)}

    assert found("(a* d*)") == {"a": False, "a/b/c": False, "d/e": False}
    assert found("(a d)") == {"a": True, "d": True}
    assert found("(a a/%)") == {"a": True, "a/b": True}
    assert found("(a a/b/%)") == {"a": False, "a/b/c": False}


def test_special_use_is_given_once(lisi: Mailer) -> None:
    lisi.do("CREATE other (USE (\\Sent))", "NO [USEATTR]")
    lisi.do("DELETE Sent")
    lisi.do("CREATE other (USE (\\Sent))")
    assert names(lisi.do('LIST (SPECIAL-USE) "" *')) == ["Archive", "Drafts", "Junk", "Trash", "other"]
    lisi.do("CREATE more (USE (\\Important))", "NO [USEATTR]")


def test_status(lisi: Mailer) -> None:
    lisi.append(PLAIN)
    lisi.append(PLAIN, more="(\\Seen \\Deleted)")
    size = 2 * len(PLAIN)
    [response] = lisi.do("STATUS inbox (MESSAGES UNSEEN UIDNEXT RECENT SIZE DELETED DELETED-STORAGE APPENDLIMIT)")
    found = f"MESSAGES 2 UNSEEN 1 UIDNEXT 3 RECENT 2 SIZE {size} DELETED 1 DELETED-STORAGE {len(PLAIN)}"
    assert response.decode() == f"* STATUS INBOX ({found} APPENDLIMIT 10240000)"
    lisi.do("STATUS nothing (MESSAGES)", "NO [NONEXISTENT]")
    lisi.do("STATUS INBOX ()", "BAD")


def test_folders_lie_where_other_programs_look(lisi: Mailer) -> None:
    lisi.do('CREATE "&XeVPXA-/a.b"')
    home = maildir_files.folder_directory("lisi@benet.com", "")
    for folder in ("", ".Sent", ".&XeVPXA-", ".&XeVPXA-.a&AC4-b"):
        for name in ("tmp", "new", "cur"):
            assert Path(home, folder, name).is_dir()
