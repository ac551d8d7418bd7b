"""Messages while processes are killed: nothing lost, nothing twice.

    bench/torture.py [--messages N] [--kills N] [--everything] [--sessions N] [--workers N] [--queue] [--seed N]
                     [--json]

Sessions hand in messages by SMTP while a killer sends SIGKILL to server processes, couriers and (less
often) the supervisor, which is then started again. A session whose connection breaks tries the next
message on a new one. Six in ten messages are short and for one mailbox, so that the server delivers them itself; the
others (several recipients, an alias, both at once, one of 40 KB, one of 300 KB) take other ways. Every attempt has a
Message-ID of its own, so that the account is exact: an attempt answered 250 must be in each of its mailboxes exactly
once, an attempt that never got its answer in all of them once or in none. What counts is what a mail program would be
shown: the index's messages, with their files.
Exit status 0 when the account is right. DATABASE_URL and REDIS_URL are passed on; with REDIS_URL and
--workers so many Celery workers deliver, and are killed too (their children, less often they themselves).
With --queue every message goes through the queue (direct_delivery is off). With --everything each kill ends all
processes at once, one time in four while they start; the server must then start by itself, at the first try.
"""

import argparse
import contextlib
import json
import os
import random
import re
import signal
import smtplib
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from demosite import ROOT, Site, running

USERS = 20
GROUP = {"all": ("xiaoqi", "lisi")}  # the demo's alias
_REPORT_EVERY = 10.0  # seconds
_WRONG = ("lost", "in part", "twice", "from nowhere", "starts that failed")
MESSAGE_ID = re.compile(rb"^Message-ID: <(\d+\.\d+)@torture>", re.MULTILINE)


def recipients(number: int) -> list[str]:
    """Names at benet.com that a message is for; three messages in ten have several or an alias."""
    first, second, third = (f"user{(number + step) % USERS:03d}" for step in (0, 3, 7))
    return {5: [first, second, third], 6: ["all"], 7: [first, "all", second]}.get(number % 10, [first])


def mailboxes(attempt: str) -> set[tuple[str, str]]:
    """(attempt, address) for every mailbox where it belongs."""
    names = (name for each in recipients(int(attempt.partition(".")[0])) for name in GROUP.get(each, (each,)))
    return {(attempt, f"{name}@benet.com") for name in names}


def size(number: int) -> int:
    """Bytes: what the commit carries, what has a file of its own, what is on disk before its end."""
    return {8: 40_000, 9: 300_000 if number % 100 == 9 else 4_000}.get(number % 10, 1_000)


class Worker:
    """A Celery worker and its children."""

    def __init__(self, site: Site, number: int) -> None:
        self._site, self._number = site, number
        self.start()

    def start(self) -> None:
        name = f"worker{self._number}@torture"
        with open(self._site.folder / f"worker{self._number}.log", "ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "celery", "-A", "mailcore", "worker", "-c", "2", "-n", name],
                cwd=ROOT, env=self._site.environment, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def children(self) -> list[int]:
        try:
            words = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        except OSError:
            return []
        return [int(word) for word in words]

    def kill(self) -> None:
        """The worker with all its children, as when its machine goes."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


class Run:
    def __init__(self, site: Site, workers: list[Worker], options: argparse.Namespace) -> None:
        self.site, self.workers = site, workers
        self.messages: int = options.messages
        self.kills: int = options.kills
        self.everything: bool = options.everything
        self.failed_starts = 0
        self.random = random.Random(options.seed)
        self.lock = threading.Lock()
        self.waiting = list(range(self.messages))
        self.accepted: set[str] = set()  # attempts answered 250
        self.uncertain: set[str] = set()  # attempts whose answer never came
        self.killed: Counter[str] = Counter()
        self.done = threading.Event()

    def session(self) -> None:
        """Hand in messages until none is left; a message whose fate is unknown is handed in again."""
        attempt = 0
        while True:
            with self.lock:
                if not self.waiting:
                    return
                number = self.waiting.pop()
            while self.everything and len(self.accepted) > (self._kills_done() + 1) / self.kills * self.messages:
                time.sleep(0.01)  # a start takes longer than its share of the messages
            while not self._hand_in(number, attempt):
                attempt += 1

    def _hand_in(self, number: int, attempt: int) -> bool:
        name = f"{number}.{attempt}"
        sending = False
        try:
            with smtplib.SMTP("127.0.0.1", self.site.ports["smtp"], timeout=30) as client:
                client.helo("torture.example")
                client.mail("a@torture.example")
                if any(client.rcpt(f"{each}@benet.com")[0] != 250 for each in recipients(number)):
                    return False
                sending = True
                body = ("x" * 70 + "\r\n") * (size(number) // 72)
                content = f"Message-ID: <{name}@torture>\r\nSubject: {number}\r\n\r\n{body}"
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
        """Spread the kills over the run: one whenever another share of the messages is in."""
        while self._kills_done() < self.kills and not self.done.is_set():
            due = len(self.accepted) / self.messages * self.kills
            if self._kills_done() < due or self.done.wait(0.05):
                self._kill_one()

    def _kills_done(self) -> int:
        return sum(self.killed.values())

    def _kill_one(self) -> None:
        # Server processes, couriers (or workers' children), and one time in ten a whole family.
        children = _living(self.site)
        children += [("worker's child", pid) for worker in self.workers for pid in worker.children()]
        if not children:
            return
        if self.everything:
            self._kill_all()
            return
        if self.random.random() < 0.1:
            self._kill_family()
            return
        role, pid = self.random.choice(sorted(children))
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            self.killed[role] += 1

    def _kill_family(self) -> None:
        if self.workers and self.random.random() < 0.5:
            worker = self.random.choice(self.workers)
            worker.kill()
            self.killed["worker"] += 1
            worker.start()
            return
        os.kill(self.site.pids["supervisor"], signal.SIGKILL)
        self.killed["supervisor"] += 1
        assert self.site.process is not None
        self.site.process.wait()
        _start_again(self.site)

    def _kill_all(self) -> None:
        self.site.kill()
        self.killed["everything"] += 1
        if self.random.random() < 0.25:
            self.site.spawn()
            time.sleep(self.random.uniform(0, 3))
            self.site.kill()
            self.killed["everything, starting"] += 1
        try:
            self.site.start()
        except RuntimeError:
            self.failed_starts += 1
            _start_again(self.site)

    def account(self) -> dict[str, object]:
        """Count the messages that IMAP clients see."""
        found: Counter[tuple[str, str]] = Counter()
        for address, content in _shown():
            if match := MESSAGE_ID.search(content):
                found[match[1].decode(), address] += 1
        owed = {place for name in self.accepted for place in mailboxes(name)}
        possible = {place for name in self.uncertain for place in mailboxes(name)}
        begun = {name for name, _ in found}
        in_part = {place for name in self.uncertain & begun for place in mailboxes(name)} - set(found)
        return {
            "messages": self.messages,
            "accepted": len(self.accepted),
            "killed": dict(self.killed),
            "kills": self._kills_done(),
            "starts that failed": self.failed_starts,
            "answers that never came": len(self.uncertain),
            "mailboxes owed": len(owed),
            "delivered": len(found),
            "lost": sorted(owed - set(found)),
            "in part": sorted(in_part),
            "twice": sorted(place for place, count in found.items() if count > 1),
            "from nowhere": sorted(set(found) - owed - possible),
        }


def _shown() -> Iterator[tuple[str, bytes]]:
    """Address and content of every message in the index."""
    from mailcore.models import Message
    from mailcore.store.maildir import maildir_files

    rows = Message.objects.values_list("mailbox__account__address", "mailbox__folder", "base_name", "flags")
    for address, folder, base_name, flags in rows.iterator():
        yield address, maildir_files.read_message(maildir_files.folder_directory(address, folder), base_name, flags)


def _living(site: Site) -> list[tuple[str, int]]:
    """Return the supervisor's children now, with their roles.

    The process ids of the ready line are outdated when a child was replaced, so the process table is asked. Web servers
    have no sockets there.
    """
    children = []
    for path in (site.folder / "data/run").glob("*-*"):
        role, pid = path.name.partition("-")[0], path.name.rpartition("-")[2]
        try:
            parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue
        if parent == site.pids["supervisor"]:
            children.append((role, int(pid)))
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
    parser.add_argument("--messages", type=int, default=2000)
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--everything", action="store_true", help="kill all processes at once, each time")
    parser.add_argument("--sessions", type=int, default=8)
    parser.add_argument("--workers", type=int, default=0, help="Celery workers; needs REDIS_URL")
    parser.add_argument("--queue", action="store_true", help="no direct delivery")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with running(USERS, {"MAIL_DIRECT_DELIVERY": "no"} if options.queue else {}) as site:
        workers = [Worker(site, number) for number in range(options.workers)]
        try:
            account = torture(site, workers, options)
        finally:
            for worker in workers:
                worker.kill()
    wrong = any(account[name] for name in _WRONG)
    if options.json:
        print(json.dumps(account))
    else:
        for name, value in account.items():
            print(f"{name:24} {value}")
        print("wrong" if wrong else "right: nothing lost, nothing twice")
    return 1 if wrong else 0


def torture(site: Site, workers: list[Worker], options: argparse.Namespace) -> dict[str, object]:
    run = Run(site, workers, options)
    threads = [threading.Thread(target=run.session) for _ in range(options.sessions)]
    killer = threading.Thread(target=run.killer)
    began = said = time.monotonic()
    for thread in (*threads, killer):
        thread.start()
    while any(thread.is_alive() for thread in threads):
        if time.monotonic() - said > _REPORT_EVERY:
            said = time.monotonic()
            kills = sum(run.killed.values())
            print(f"{len(run.accepted)}/{options.messages} messages, {kills} kills", file=sys.stderr, flush=True)
        time.sleep(0.2)
    run.done.set()
    killer.join()
    handed_in = time.monotonic()
    _settle(site)
    settled = time.monotonic()
    return {
        **run.account(),
        "seconds to hand in": round(handed_in - began, 1),
        "seconds to settle": round(settled - handed_in, 1),
    }


def _settle(site: Site) -> None:
    """Until no message waits: files whose message was never taken in stay, so the database is asked."""
    environment = {**site.environment, "DJANGO_SETTINGS_MODULE": "mailcore.settings"}
    os.environ.update({k: v for k, v in environment.items() if k.startswith(("DATA_DIR", "DJANGO_", "DATABASE_"))})
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    import django

    django.setup()
    from mailcore.models import Queued

    deadline = time.monotonic() + 120
    while Queued.objects.exclude(state="done").exists():
        if time.monotonic() > deadline:
            raise TimeoutError(f"messages still wait: {list(Queued.objects.exclude(state='done').values())[:3]}")
        time.sleep(0.1)


if __name__ == "__main__":
    sys.exit(main())
