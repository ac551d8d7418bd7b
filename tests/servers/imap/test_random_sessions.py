"""A random walk: three clients do whatever comes to mind in two mailboxes; a plain model says what must be true.

Each client keeps what a mail program keeps, a list of messages with their flags, and changes it by nothing but the
responses it hears. Now and then all say NOOP: then every list must be the model's.
"""

import os
import random
import re
from dataclasses import dataclass, field

import pytest

from imap_client import ImapRunning, Mailer

pytestmark = pytest.mark.django_db(transaction=True)

SEEDS = range(int(os.environ.get("WALK_FROM", "0")), int(os.environ.get("WALK_TO", "12")))
STEPS = 150
MESSAGE = "{23+}\r\nSubject: walk\r\n\r\nbody\r\n"
BOXES = ("INBOX", "Archive")
FLAGS = ("\\Seen", "\\Flagged", "\\Deleted", "$Label1")


@dataclass
class Model:
    """One mailbox: flags by UID, in order."""

    messages: dict[int, set[str]] = field(default_factory=dict)
    uid_next: int = 1

    def add(self, flags: set[str]) -> None:
        self.messages[self.uid_next] = set(flags)
        self.uid_next += 1


class Client:
    """A mail program: `uids` and `flags` are what it believes, by sequence number."""

    def __init__(self, mailer: Mailer, name: str) -> None:
        self.mailer, self.name, self.box = mailer, name, ""
        self.uids: list[int] = []
        self.flags: list[set[str]] = []

    def do(self, command: str, expect: str = "OK", expunges: bool = True) -> list[bytes]:
        heard = self.mailer.do(command, expect)
        for response in heard:
            self._hear(response.decode(), expunges)
        if 0 in self.uids:  # EXISTS announced some
            for response in self.mailer.do(f"FETCH {self.uids.index(0) + 1}:* (UID FLAGS)"):
                self._hear(response.decode(), expunges=False)
        return heard

    def _hear(self, response: str, expunges: bool) -> None:
        if match := re.match(r"\* (\d+) EXISTS", response):
            new = int(match[1]) - len(self.uids)
            assert new >= 0, response
            self.uids += [0] * new
            self.flags += [set() for _ in range(new)]
        elif match := re.match(r"\* (\d+) EXPUNGE", response):
            assert expunges, response
            del self.uids[int(match[1]) - 1], self.flags[int(match[1]) - 1]
        elif match := re.match(r"\* VANISHED ([\d:,]+)", response):
            assert expunges, response
            for uid in _numbers(match[1]):
                at = self.uids.index(uid)
                del self.uids[at], self.flags[at]
        elif match := re.match(r"\* (\d+) FETCH \((.*)\)$", response):
            at = int(match[1]) - 1
            if uid := re.search(r"UID (\d+)", match[2]):
                assert self.uids[at] in (0, int(uid[1])), response
                self.uids[at] = int(uid[1])
            if flags := re.search(r"FLAGS \(([^)]*)\)", match[2]):
                self.flags[at] = set(flags[1].split()) - {"\\Recent"}


def _numbers(text: str) -> list[int]:
    found: list[int] = []
    for piece in text.split(","):
        low, _, high = piece.partition(":")
        found += range(int(low), int(high or low) + 1)
    return found


class Walk:
    def __init__(self, running: ImapRunning, seed: int) -> None:
        self.chance = random.Random(seed)
        self.models = {name: Model() for name in BOXES}
        self.clients = []
        for name in ("old", "condstore", "qresync"):
            client = Client(running.dial().sign_in(), name)
            if name != "old":
                client.mailer.do(f"ENABLE {name.upper()}")
            self.clients.append(client)
            self.select(client)

    def step(self) -> None:
        actions = [
            self.append, self.append, self.store, self.store, self.store, self.expunge, self.copy, self.move,
            self.replace, self.fetch, self.search, self.select, self.leave, self.meet,
        ]  # fmt: skip
        self.chance.choice(actions)(self.chance.choice(self.clients))

    def select(self, client: Client) -> None:
        client.box, client.uids, client.flags = self.chance.choice(BOXES), [], []
        client.do(f"SELECT {client.box}")
        assert dict(zip(client.uids, client.flags, strict=True)) == self.models[client.box].messages

    def leave(self, client: Client) -> None:
        word = self.chance.choice(("CLOSE", "UNSELECT"))
        if word == "CLOSE":
            # Removes what this client knows of, and nothing that came since.
            model = self.models[client.box]
            known = [uid for uid in client.uids if "\\Deleted" in model.messages.get(uid, ())]
            for uid in known:
                del model.messages[uid]
        client.mailer.do(word)
        self.select(client)

    def append(self, client: Client) -> None:
        name, flags = self.chance.choice(BOXES), self._some_flags()
        client.do(f"APPEND {name} ({' '.join(sorted(flags))}) {MESSAGE}")
        self.models[name].add(flags)

    def _some_flags(self) -> set[str]:
        return set(self.chance.sample(FLAGS, self.chance.randrange(3)))

    def _some(self, client: Client) -> tuple[str, str, list[int]]:
        """("UID " or "", a set of messages of the client's, their UIDs)."""
        chosen = sorted(self.chance.sample(range(len(client.uids)), self.chance.randint(1, min(4, len(client.uids)))))
        by_uid = self.chance.random() < 0.5
        numbers = [client.uids[at] if by_uid else at + 1 for at in chosen]
        return "UID " if by_uid else "", ",".join(map(str, numbers)), [client.uids[at] for at in chosen]

    def store(self, client: Client) -> None:
        if not client.uids:
            return
        prefix, numbers, uids = self._some(client)
        mode, flags = self.chance.choice(("", "+", "-")), self._some_flags()
        silent = self.chance.choice(("", ".SILENT"))
        client.do(f"{prefix}STORE {numbers} {mode}FLAGS{silent} ({' '.join(sorted(flags))})", expunges=bool(prefix))
        messages = self.models[client.box].messages
        for uid in uids:
            if uid in messages:
                before = messages[uid]
                messages[uid] = {"": flags, "+": before | flags, "-": before - flags}[mode].copy()
                if silent and uid in client.uids:  # nobody says so: the client knows what it did
                    client.flags[client.uids.index(uid)] = messages[uid].copy()

    def expunge(self, client: Client) -> None:
        model = self.models[client.box]
        gone = [uid for uid in client.uids if "\\Deleted" in model.messages.get(uid, ())]
        if self.chance.random() < 0.5 and client.uids:
            chosen = self.chance.sample(client.uids, self.chance.randint(1, len(client.uids)))
            gone = [uid for uid in gone if uid in chosen]
            command = f"UID EXPUNGE {','.join(map(str, sorted(chosen)))}"
        else:
            command = "EXPUNGE"
        for uid in gone:
            del model.messages[uid]
        client.do(command)
        assert not set(gone) & set(client.uids)

    def copy(self, client: Client) -> None:
        self._transfer(client, "COPY")

    def move(self, client: Client) -> None:
        self._transfer(client, "MOVE")

    def _transfer(self, client: Client, word: str) -> None:
        if not client.uids:
            return
        prefix, numbers, uids = self._some(client)
        target = self.chance.choice(BOXES)
        source = self.models[client.box].messages
        there = [uid for uid in uids if uid in source]
        flags = [source[uid] for uid in there]
        if word == "MOVE":
            for uid in there:
                del source[uid]
        for each in flags:
            self.models[target].add(each)
        client.do(f"{prefix}{word} {numbers} {target}", expunges=word == "MOVE" or bool(prefix))

    def replace(self, client: Client) -> None:
        if not client.uids:
            return
        uid, target, flags = self.chance.choice(client.uids), self.chance.choice(BOXES), self._some_flags()
        model = self.models[client.box]
        there = uid in model.messages
        if there:
            del model.messages[uid]
            self.models[target].add(flags)
        command = f"UID REPLACE {uid} {target} ({' '.join(sorted(flags))}) {MESSAGE}"
        client.do(command, "OK" if there else "NO [EXPUNGEISSUED]")

    def fetch(self, client: Client) -> None:
        if not client.uids:
            return
        prefix, numbers, uids = self._some(client)
        responses = client.do(f"{prefix}FETCH {numbers} (UID FLAGS RFC822.SIZE)", expunges=bool(prefix))
        found = {
            int(match[1]): set(match[2].split()) - {"\\Recent"}
            for response in responses
            if (match := re.search(r"UID (\d+) FLAGS \(([^)]*)\) RFC822.SIZE", response.decode()))
        }
        messages = self.models[client.box].messages
        assert found == {uid: messages[uid] for uid in uids if uid in messages}

    def search(self, client: Client) -> None:
        flag = self.chance.choice(("SEEN", "FLAGGED", "DELETED", "KEYWORD $Label1"))
        known = set(client.uids)
        responses = client.do(f"UID SEARCH {flag}")
        name = {"SEEN": "\\Seen", "FLAGGED": "\\Flagged", "DELETED": "\\Deleted"}.get(flag, "$Label1")
        found = next(r for r in responses if r.startswith(b"* SEARCH")).split()[2:]
        messages = self.models[client.box].messages
        # Of the messages that had been announced to the client.
        expected = [uid for uid, flags in messages.items() if name in flags and uid in known]
        assert list(map(int, found)) == expected, (client.name, client.box, name, sorted(known), messages)

    def meet(self, _: Client) -> None:
        for client in self.clients:
            client.do("NOOP")
            messages = self.models[client.box].messages
            assert client.uids == list(messages), client.name
            assert client.flags == list(messages.values()), client.name


@pytest.mark.parametrize("seed", SEEDS)
def test_three_clients_never_believe_what_is_not_so(imap, seed):
    walk = Walk(imap(), seed)
    for _ in range(STEPS):
        walk.step()
    walk.meet(walk.clients[0])
    for name, model in walk.models.items():
        status = walk.clients[0].mailer.do(f"STATUS {name} (MESSAGES UIDNEXT UNSEEN DELETED)")[-1].decode()
        unseen = sum("\\Seen" not in flags for flags in model.messages.values())
        deleted = sum("\\Deleted" in flags for flags in model.messages.values())
        counts = f"MESSAGES {len(model.messages)} UIDNEXT {model.uid_next} UNSEEN {unseen} DELETED {deleted}"
        assert status == f"* STATUS {name} ({counts})"
