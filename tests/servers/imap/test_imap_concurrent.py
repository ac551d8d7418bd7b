"""Several clients change the same mailboxes at once: responses, rows and counters agree afterwards."""

import os
import random
import re
import threading
import time
from collections import defaultdict

import pytest
from django.db import transaction

from imap_client import ImapRunning, Mailer
from mailcore.models import Account, Expunged, Mailbox, Message
from mailcore.store.mailbox import copy_move, messages
from mailcore.store.mailbox import open_mailbox as boxes
from mailcore.values import Owner
from mailcore.wire.imap import system_flags as wire_flags

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

ALL = [(1, (1 << 32) - 1)]
TEXT = b"Subject: together\r\n\r\n%d\r\n"


@pytest.fixture
def running(imap) -> ImapRunning:
    return imap()


@pytest.fixture
def lisi(running) -> Mailer:
    """Signed in, INBOX selected, 40 messages there; a mailbox "x"."""
    client = running.dial().sign_in()
    client.do("CREATE x")
    for number in range(40):
        client.append(TEXT % number)
    client.do("SELECT INBOX")
    return client


def counters_agree(client: Mailer) -> None:
    """STATUS says what SEARCH finds, in every mailbox; the account's usage is their sum."""
    total = data = 0
    names = ["INBOX", "x", "y"]
    for name in names:
        if not Mailbox.objects.filter(account__address="lisi@benet.com", name=name).exists():
            continue
        client.do(f"EXAMINE {name}")
        responses = client.do(f"STATUS {name} (MESSAGES UNSEEN SIZE UIDNEXT)")
        status = next(line for line in responses if line.startswith(b"* STATUS"))
        responses = dict(re.findall(rb"(\w+) (\d+)", status.partition(b"(")[2]))
        found = [client.do(f"UID SEARCH {key}")[-1].split()[2:] for key in ("ALL", "UNSEEN")]
        assert int(responses[b"MESSAGES"]) == len(found[0]), name
        assert int(responses[b"UNSEEN"]) == len(found[1]), name
        sizes = list(
            Message.objects.filter(mailbox__name=name, mailbox__account__address="lisi@benet.com").values_list(
                "size", flat=True
            )
        )
        assert int(responses[b"SIZE"]) == sum(sizes), name
        total, data = total + len(sizes), data + sum(sizes)
    account = Account.objects.get(address="lisi@benet.com")
    assert (account.used_messages, account.used_bytes) == (total, data)


def owner_of(address: str = "lisi@benet.com") -> Owner:
    return Owner(Account.objects.get(address=address).pk, address)


@pytest.mark.parametrize("before", [0, wire_flags.SEEN])
@pytest.mark.parametrize("command", ["COPY", "MOVE"])
def test_flags_change_while_a_command_waits_for_its_lock(lisi, command, before):
    """The command has linked its files by the flags of then; the flags of now are what count."""
    if before:
        lisi.do("STORE 1:40 +FLAGS.SILENT (\\Seen)")
    owner = owner_of()
    inbox, target = boxes.find_mailbox(owner, "INBOX"), boxes.find_mailbox(owner, "x")
    with transaction.atomic():
        messages.store_flags(inbox, ALL, "remove" if before else "add", wire_flags.SEEN, ())
        lisi.say(f"a UID {command} 1:* x")
        deadline = time.monotonic() + 30
        while len(os.listdir(f"{target.directory}/cur")) < 40:
            assert time.monotonic() < deadline, "the command never linked its files"
    while not (line := lisi.hear()).startswith("a "):
        assert line
    assert line.startswith("a OK")
    counters_agree(lisi)
    lisi.do("SELECT x")
    assert len(lisi.do("UID SEARCH UNSEEN")[-1].split()[2:]) == (40 if before else 0)
    names = os.listdir(f"{target.directory}/cur")
    assert len(names) == 40
    assert {name.endswith(":2,S") for name in names} == {not before}, "file names say the flags that rows have"
    lisi.do("STORE 1:* +FLAGS (\\Seen \\Deleted)")
    lisi.do("EXPUNGE")
    counters_agree(lisi)


def test_messages_that_go_while_a_command_waits_leave_no_files(lisi):
    owner = owner_of()
    inbox, target = boxes.find_mailbox(owner, "INBOX"), boxes.find_mailbox(owner, "x")
    lisi.do("CREATE y")
    with transaction.atomic():
        copy_move.move_messages(inbox, [(1, 20)], boxes.find_mailbox(owner, "y"))
        lisi.say("a UID COPY 1:* x")
        deadline = time.monotonic() + 30
        while len(os.listdir(f"{target.directory}/cur")) < 40:
            assert time.monotonic() < deadline
    while not (line := lisi.hear()).startswith("a "):
        assert line
    assert re.fullmatch(r"a OK \[COPYUID \d+ 21:40 1:20\] Copy completed\.", line)
    assert len(os.listdir(f"{target.directory}/cur")) == 20
    counters_agree(lisi)


def test_a_constraint_that_fails_is_a_tagged_no(lisi):
    """Counters that are wrong already: the command is refused, the client stays."""
    Mailbox.objects.filter(name="INBOX", account__address="lisi@benet.com").update(unseen=0)
    lisi.do("STORE 1:40 +FLAGS (\\Seen)", "NO [")
    lisi.do("NOOP")
    lisi.do("UID MOVE 1:* x", "NO [")
    lisi.do("FETCH 1 BODY[]", "NO [")
    assert not os.listdir(f"{boxes.find_mailbox(owner_of(), 'x').directory}/cur")


class Client(threading.Thread):
    """Random commands of one connection. What arrived where is noted from the tagged answers."""

    def __init__(self, running: ImapRunning, seed: int, rounds: int) -> None:
        super().__init__()
        self._chance = random.Random(seed)
        self._client = running.dial().sign_in()
        self._rounds = rounds
        self.arrived: dict[str, list[int]] = defaultdict(list)
        self.faults: list[str] = []

    def run(self) -> None:
        try:
            for _ in range(self._rounds):
                self._act()
        except AssertionError as error:
            self.faults.append(str(error))

    def _set(self) -> str:
        low = self._chance.randrange(1, 80)
        return f"{low}:{low + self._chance.randrange(30)}"

    def _act(self) -> None:
        client, chance = self._client, self._chance
        here, there = chance.sample(["INBOX", "x", "y"], 2)
        client.do(f"SELECT {here}")
        flag = chance.choice(["\\Seen", "\\Flagged", "\\Seen \\Answered", "$Label"])
        match chance.randrange(9):
            case 0 | 1:
                self._note(client, f"UID COPY {self._set()} {there}", there)
            case 2 | 3:
                self._note(client, f"UID MOVE {self._set()} {there}", there)
            case 4:
                client.do(f"UID STORE {self._set()} {chance.choice(['+', '-', ''])}FLAGS ({flag})")
            case 5:
                client.do(f"UID FETCH {self._set()} (BODY[])")
            case 6:
                self.arrived[here].append(client.append(TEXT % chance.randrange(1000), here))
            case 7:
                client.do(f"UID STORE {self._set()} +FLAGS.SILENT (\\Deleted)")
                client.do("EXPUNGE")
            case 8:
                client.do(f"UID STORE {self._set()} FLAGS.SILENT ({flag})")

    def _note(self, client: Mailer, command: str, target: str) -> None:
        responses = [*client.do(command), client.tagged.encode()]
        for line in responses:
            if match := re.search(rb"\[COPYUID \d+ \S+ (\S+)\]", line):
                for piece in match[1].split(b","):
                    low, _, high = piece.partition(b":")
                    self.arrived[target] += range(int(low), int(high or low) + 1)


@pytest.mark.parametrize("seed", range(3))
def test_many_clients_and_one_model(running, lisi, seed):
    lisi.do("CREATE y")
    clients = [Client(running, seed * 100 + number, 40) for number in range(4)]
    for each in clients:
        each.start()
    for each in clients:
        each.join(100)
    faults = [fault for each in clients for fault in each.faults if "[UNAVAILABLE]" not in fault]
    assert not faults
    counters_agree(lisi)
    for name in ("INBOX", "x", "y"):
        box = Mailbox.objects.get(account__address="lisi@benet.com", name=name)
        arrived = sorted(
            [*(range(1, 41) if name == "INBOX" else ()), *(uid for each in clients for uid in each.arrived[name])]
        )
        assert arrived == list(range(1, box.uid_next)), "every UID was reported once, to the client that made it"
        gone = set(Expunged.objects.filter(mailbox=box).values_list("uid", flat=True))
        there = list(Message.objects.filter(mailbox=box).order_by("uid").values_list("uid", flat=True))
        assert there == [uid for uid in arrived if uid not in gone]
        lisi.do(f"SELECT {name}")
        if there:
            bodies = [line for line in lisi.do("UID FETCH 1:* (BODY.PEEK[])") if b"BODY[] {" in line]
            assert len(bodies) == len(there)
