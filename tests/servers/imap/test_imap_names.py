"""Sequences of commands over mailbox names against a model.

Each is answered by a tagged OK, NO or BAD, the answer is the model's, and the directories are those of the mailboxes
that are left.
"""

import os
import random

import pytest

from imap_client import PLAIN, ImapRunning, Mailer
from mailcore.models import Mailbox
from mailcore.store.access import reindex
from mailcore.store.mailbox import mailboxes
from mailcore.store.maildir import maildir_files
from mailcore.values import Owner

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

SPECIAL = {"Archive", "Drafts", "Junk", "Sent", "Trash"}


@pytest.fixture
def running(imap) -> ImapRunning:
    return imap()


@pytest.fixture
def lisi(running) -> Mailer:
    return running.dial().sign_in()


def listed(client: Mailer) -> dict[str, bool]:
    """Name → selectable, the special folders apart."""
    found = {}
    for line in client.do('LIST "" *'):
        name = line.split(b' "/" ')[1].strip(b'"').decode()
        if name.partition("/")[0] not in SPECIAL:
            found[name] = b"\\Noselect" not in line
    return found


def directories_agree(benet: dict[str, int]) -> None:
    """Every selectable mailbox has a directory, and no directory is without one."""
    owner = Owner(benet["lisi"], "lisi@benet.com")
    for folder in reindex.examine_account(owner, offline=True):
        assert folder.mailbox_id, f"{folder.directory} is of no mailbox"
        assert not folder.problem
        assert not folder.lost
        assert not folder.found
    for box in Mailbox.objects.filter(account_id=benet["lisi"]):
        there = os.path.isdir(maildir_files.folder_directory("lisi@benet.com", box.folder) + "/cur")
        assert there == box.selectable, box.name


# --- RENAME of a name that is only kept for what is below it ----------------------------------------


def test_the_children_of_a_noselect_name_are_renamed(lisi, benet):
    lisi.do("CREATE a/b")
    lisi.append(PLAIN, "a/b")
    lisi.do("DELETE a")
    lisi.do("RENAME a x")
    assert listed(lisi) == {"INBOX": True, "x": False, "x/b": True}
    [status] = lisi.do("STATUS x/b (MESSAGES)")
    assert status == b"* STATUS x/b (MESSAGES 1)"
    lisi.do("SELECT x/b")
    assert PLAIN[:20] in lisi.do("FETCH 1 BODY[]")[0]
    directories_agree(benet)


def test_a_noselect_name_can_be_deleted_once_nothing_is_below_it(lisi, benet):
    """The example of RFC 9051 §6.3.5."""
    lisi.do("CREATE foo/bar")
    lisi.do("DELETE foo")
    lisi.do("DELETE foo", "NO [HASCHILDREN]")
    lisi.do("RENAME foo/bar z")
    assert listed(lisi) == {"INBOX": True, "foo": False, "z": True}
    lisi.do("DELETE foo")
    assert listed(lisi) == {"INBOX": True, "z": True}
    directories_agree(benet)


def test_a_rename_that_fails_leaves_no_empty_folder(lisi, benet):
    """A directory nobody knows stands in the way."""
    lisi.do("CREATE a")
    stranger = maildir_files.folder_directory("lisi@benet.com", ".new.a")
    os.makedirs(f"{stranger}/cur")
    lisi.do("RENAME a new/a", "NO [CANNOT]")
    assert listed(lisi) == {"INBOX": True, "a": True}
    assert not os.path.exists(maildir_files.folder_directory("lisi@benet.com", ".new"))
    os.rmdir(f"{stranger}/cur")
    os.rmdir(stranger)
    lisi.do("RENAME a new/a")
    directories_agree(benet)


def test_a_rename_of_inbox_that_is_refused_leaves_no_empty_mailbox(lisi, benet):
    lisi.append(PLAIN)
    cur = maildir_files.folder_directory("lisi@benet.com", ".old") + "/cur"
    os.makedirs(os.path.dirname(cur))
    with open(cur, "w"):  # no directory: the disk refuses
        pass
    lisi.do("RENAME INBOX old", "NO")
    os.unlink(cur)
    assert listed(lisi) == {"INBOX": True}
    assert lisi.do("STATUS INBOX (MESSAGES)") == [b"* STATUS INBOX (MESSAGES 1)"]


def test_a_mailbox_whose_directory_somebody_removed_is_renamed(lisi, benet):
    lisi.do("CREATE a")
    maildir_files.unmake("lisi@benet.com", ".a")
    lisi.do("RENAME a b")
    lisi.append(PLAIN, "b")
    directories_agree(benet)


def test_a_mailbox_made_while_another_of_its_name_goes_keeps_its_directory(lisi, benet):
    owner = Owner(benet["lisi"], "lisi@benet.com")
    for _ in range(5):
        lisi.do("CREATE a")
        lisi.append(PLAIN, "a")
        mailboxes.delete_mailbox(owner, "a")
    lisi.do("CREATE a")
    lisi.append(PLAIN, "a")
    directories_agree(benet)


# --- Any sequence ---------------------------------------------------------------------------------

NAMES = ["a", "a/b", "a/b/c", "b", "b/a", "a/", "INBOX", "inbox/x", "c/d/e/f"]
ODD = [
    "/a", "a//b", '""', '"a*"', '" a"', '".."', "x" * 256, "/".join("x" * 21), '"&bad"', "{3+}\r\na\0b", "&AAA-", "&2AA-",
    '"Other Users"', '"Other Users/xiaoqi@benet.com/INBOX"', '"Other Users/nobody@x/a"', f'"Other Users/{"y" * 250}/a"',
    "a.b", '"\xe5\xb7\xa5"', "{300+}\r\n" + "z" * 300,
]  # fmt: skip


class Model:
    """A model of one user's mailbox names (RFC 3501 §6.3.3–§6.3.5)."""

    def __init__(self) -> None:
        self.boxes = {"INBOX": True}

    @staticmethod
    def canonical(name: str) -> str:
        name = name.removesuffix("/")
        return "INBOX" + name[5:] if name[:5].upper() == "INBOX" and name[5:6] in ("", "/") else name

    def _below(self, name: str) -> list[str]:
        return [each for each in self.boxes if each.startswith(name + "/")]

    def _above(self, name: str) -> list[str]:
        levels = name.split("/")
        return ["/".join(levels[:depth]) for depth in range(1, len(levels))]

    def create(self, name: str) -> bool:
        if self.boxes.get(name):
            return False
        for above in self._above(name):
            self.boxes.setdefault(above, True)
        self.boxes[name] = True
        return True

    def delete(self, name: str) -> bool:
        if name == "INBOX" or name not in self.boxes or (self._below(name) and not self.boxes[name]):
            return False
        if self._below(name):
            self.boxes[name] = False
        else:
            del self.boxes[name]
        return True

    def rename(self, old: str, new: str) -> bool:
        if new == "INBOX" or new == old:
            return False
        if old == "INBOX":
            return self.create(new)
        if old not in self.boxes or new.startswith(old + "/") or new in self.boxes or self._below(new):
            return False
        moved = {new + each[len(old) :]: self.boxes[each] for each in [old, *self._below(old)]}
        for each in [old, *self._below(old)]:
            del self.boxes[each]
        for above in self._above(new):
            self.boxes.setdefault(above, True)
        self.boxes.update(moved)
        return True


def raw(text: str) -> bytes:
    return text.encode("latin-1")


def send(client: Mailer, command: str) -> str:
    client.do(raw(command), "")
    word = client.tagged.split()[0]
    assert word in ("OK", "NO", "BAD"), client.tagged
    assert "SERVERBUG" not in client.tagged, f"{command!r}: {client.tagged}"
    assert "UNAVAILABLE" not in client.tagged, f"{command!r}: {client.tagged}"
    return word


@pytest.mark.parametrize("seed", range(6))
def test_any_sequence_of_commands_over_names(lisi, benet, seed):
    chance = random.Random(seed)
    model = Model()
    for _ in range(120):
        first, second = chance.choice(NAMES), chance.choice(NAMES)
        command = chance.choice(["CREATE", "CREATE", "DELETE", "RENAME", "SUBSCRIBE", "UNSUBSCRIBE", "odd", "other"])
        one, two = Model.canonical(first), Model.canonical(second)
        before = dict(model.boxes)
        match command:
            case "CREATE":
                assert send(lisi, f"CREATE {first}") == ("OK" if model.create(one) else "NO"), (first, before)
            case "DELETE":
                expected = not first.endswith("/") and model.delete(one)
                assert send(lisi, f"DELETE {first}") == ("OK" if expected else "NO"), (first, before)
            case "RENAME":
                expected = not first.endswith("/") and model.rename(one, two)
                assert send(lisi, f"RENAME {first} {second}") == ("OK" if expected else "NO"), (first, second, before)
            case "SUBSCRIBE" | "UNSUBSCRIBE":
                send(lisi, f"{command} {first}")
            case "odd":
                odd = chance.choice(ODD)
                verb = chance.choice(
                    ["DELETE", "SUBSCRIBE", "UNSUBSCRIBE", "SELECT", "STATUS", "GETACL", "RENAME", "APPEND", "LIST"]
                )
                more = {
                    "STATUS": " (MESSAGES)",
                    "RENAME": f" {chance.choice(ODD)}",
                    "APPEND": " {1+}\r\nx",
                    "LIST": " *",
                }.get(verb, "")
                send(lisi, f"{verb} {odd}{more}")
            case "other":
                for each in (f"APPEND {first} {{1+}}\r\nx", f"SELECT {first}", f"STATUS {first} (MESSAGES)", "CLOSE"):
                    send(lisi, each)
    assert listed(lisi) == model.boxes
    directories_agree(benet)
