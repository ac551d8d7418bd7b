"""Letters while processes are killed: nothing lost, nothing twice.

    bench/torture.py [--letters N] [--kills N] [--sessions N] [--seed N] [--json]

Sessions hand in letters by SMTP while a killer sends SIGKILL to server processes, couriers and (less
often) the supervisor, which is then started again. A session whose connection breaks tries the next
letter on a new one. Every attempt has a Message-ID of its own, so that the account is exact: an attempt
answered 250 must be in the mailbox exactly once, an attempt that never got its answer at most once.
Exit status 0 when the account is right. DATABASE_URL and REDIS_URL are passed on.
"""

import argparse
import json
import os
import random
import re
import signal
import smtplib
import sys
import threading
import time
from collections import Counter
from pathlib import Path

from demosite import Site, running

USERS = 20
MESSAGE_ID = re.compile(rb"^Message-ID: <(\d+\.\d+)@torture>", re.MULTILINE)


class Run:
    def __init__(self, site: Site, letters: int, kills: int, sessions: int, seed: int) -> None:
        self.site, self.letters, self.kills, self.sessions = site, letters, kills, sessions
        self.random = random.Random(seed)
        self.lock = threading.Lock()
        self.waiting = list(range(letters))
        self.accepted: set[str] = set()  # attempts answered 250
        self.uncertain: set[str] = set()  # attempts whose answer never came
        self.killed: Counter[str] = Counter()
        self.done = threading.Event()

    def session(self) -> None:
        """Hand in letters until none is left; a letter whose fate is unknown is handed in again."""
        attempt = 0
        while True:
            with self.lock:
                if not self.waiting:
                    return
                number = self.waiting.pop()
            while not self._hand_in(number, attempt):
                attempt += 1

    def _hand_in(self, number: int, attempt: int) -> bool:
        name = f"{number}.{attempt}"
        sending = False
        try:
            with smtplib.SMTP("127.0.0.1", self.site.ports["smtp"], timeout=30) as client:
                client.helo("torture.example")
                client.mail("a@torture.example")
                client.rcpt(f"user{number % USERS:03d}@benet.com")
                sending = True
                content = f"Message-ID: <{name}@torture>\r\nSubject: {number}\r\n\r\n" + "x" * 1000 + "\r\n"
                code, _ = client.data(content)
                if code == 250:
                    with self.lock:
                        self.accepted.add(name)
                    return True
                return False
        except (OSError, smtplib.SMTPException):
            if name in self.accepted:
                return True  # only QUIT went wrong
            if sending:
                with self.lock:
                    self.uncertain.add(name)
            time.sleep(0.05)
            return False

    def killer(self) -> None:
        """Spread the kills over the run: one whenever another share of the letters is in."""
        while sum(self.killed.values()) < self.kills and not self.done.is_set():
            due = len(self.accepted) / self.letters * self.kills
            if sum(self.killed.values()) < due or self.done.wait(0.05):
                self._kill_one()

    def _kill_one(self) -> None:
        children = {name: pid for name, pid in _living(self.site).items() if not name.startswith("web")}
        if not children:
            return
        name = "supervisor" if self.random.random() < 0.1 else self.random.choice(sorted(children))
        pid = self.site.pids["supervisor"] if name == "supervisor" else children[name]
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        self.killed[name.rpartition("-")[0] or name] += 1
        if name == "supervisor":
            assert self.site.process is not None
            self.site.process.wait()
            _start_again(self.site)

    def account(self) -> dict[str, object]:
        """What the Maildirs say."""
        found: Counter[str] = Counter()
        for path in (self.site.folder / "data/mail").rglob("new/*"):
            for match in MESSAGE_ID.findall(path.read_bytes()):
                found[match.decode()] += 1
        return {
            "letters": self.letters,
            "accepted": len(self.accepted),
            "killed": dict(self.killed),
            "answers that never came": len(self.uncertain),
            "delivered": len(found),
            "lost": sorted(self.accepted - set(found)),
            "twice": sorted(name for name, count in found.items() if count > 1),
            "from nowhere": sorted(set(found) - self.accepted - self.uncertain),
        }


def _living(site: Site) -> dict[str, int]:
    """The supervisor's children now, by what they do: the ready line's pids grow old when parts are
    started again, so the process table is asked. Web servers are told by the sockets they do not have."""
    children: dict[str, int] = {}
    supervisor = site.pids["supervisor"]
    run = site.folder / "data/run"
    for path in run.glob("*-*"):
        role, _, pid = path.name.rpartition("-")
        try:
            parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue
        if parent == supervisor:
            children[f"{role}-{pid}"] = int(pid)
    return children


def _start_again(site: Site) -> None:
    """The children of a killed supervisor leave by themselves; until then the ports are theirs."""
    for _ in range(100):
        try:
            site.start()
            return
        except RuntimeError:
            time.sleep(0.2)
    raise RuntimeError("the site did not start again")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--letters", type=int, default=2000)
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--sessions", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with running(USERS) as site:
        run = Run(site, options.letters, options.kills, options.sessions, options.seed)
        threads = [threading.Thread(target=run.session) for _ in range(options.sessions)]
        killer = threading.Thread(target=run.killer)
        for thread in (*threads, killer):
            thread.start()
        while any(thread.is_alive() for thread in threads):
            if sys.stderr.isatty():
                kills = sum(run.killed.values())
                print(f"\r{len(run.accepted)}/{options.letters} letters, {kills} kills ", end="", file=sys.stderr)
            time.sleep(0.2)
        run.done.set()
        killer.join()
        began = time.monotonic()
        _settle(site)
        account = {**run.account(), "seconds to settle": round(time.monotonic() - began, 1)}
    wrong = account["lost"] or account["twice"] or account["from nowhere"]
    if options.json:
        print(json.dumps(account))
    else:
        for name, value in account.items():
            print(f"{name:24} {value}")
        print("wrong" if wrong else "right: nothing lost, nothing twice")
    return 1 if wrong else 0


def _settle(site: Site) -> None:
    """Until no letter waits: files whose letter was never taken in stay, so the database is asked."""
    environment = {**site.environment, "DJANGO_SETTINGS_MODULE": "mailcore.settings"}
    os.environ.update({k: v for k, v in environment.items() if k.startswith(("DATA_DIR", "DJANGO_", "DATABASE_"))})
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    import django

    django.setup()
    from mailcore.models import Queued

    deadline = time.monotonic() + 120
    while Queued.objects.exclude(state="done").exists():
        if time.monotonic() > deadline:
            raise TimeoutError(f"letters still wait: {list(Queued.objects.exclude(state='done').values())[:3]}")
        time.sleep(0.1)


if __name__ == "__main__":
    sys.exit(main())
