"""Real messages through the whole system, every byte compared.

    bench/corpus.py DIRECTORY [--json] [--limit N] [--browser]

Each file below DIRECTORY is one message. It is sent by SMTP, must come back below its trace headers
byte for byte by IMAP and POP3, must answer FETCH ENVELOPE BODYSTRUCTURE validly, and in the webmail it must
be listed, open, print, stand in its conversation, be answered and forwarded, each page with status 200 within two
seconds. With --browser Chromium opens every message that has HTML: nothing may be asked of another host, and no
script may run. A refusal counts as right when the message earned it: too
large, or a bare CR. Exit status 0 when nothing is wrong.
"""

import argparse
import http.cookiejar
import json
import poplib
import re
import shutil
import smtplib
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections import Counter
from pathlib import Path

from imapclient import IMAPClient
from playwright.sync_api import sync_playwright

from demosite import Site, running

poplib._MAXLINE = 1 << 30  # real mail has longer lines than poplib expects
USER, PASSWORD = "xiaoqi@benet.com", "123456"
TRACE = re.compile(
    rb"Return-Path: <m(\d+)@corpus\.example>\r\nX-Original-To: \S+\r\nDelivered-To: \S+\r\n"
    rb"Received: from [^\r]+\r\n(?:\t[^\r]+\r\n)+"
)


def as_sent(content: bytes) -> bytes:
    """CRLF line ends, a last line that ends; a CR that stands alone stays alone."""
    content = content.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    return content if content.endswith(b"\r\n") else content + b"\r\n"


def earned(content: bytes, code: int, limit: int) -> bool:
    lone = content.count(b"\r") != content.count(b"\r\n")
    hops = len(re.findall(rb"(?mi)^received:", content.partition(b"\r\n\r\n")[0])) > 50
    return (code == 552 and len(content) > limit) or (code == 550 and lone) or (code == 554 and hops)


class Check:
    def __init__(self, site: Site, files: list[Path], show: bool) -> None:
        self.site, self.show = site, show
        self.sent = {number: as_sent(file.read_bytes()) for number, file in enumerate(files)}
        self.names = {number: str(file) for number, file in enumerate(files)}
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.uids: dict[int, int] = {}  # message number → UID
        self.formatted: dict[int, int] = {}  # those shown as HTML

    def fail(self, number: int, what: str) -> None:
        self.counts["wrong"] += 1
        self.wrong.append(f"{self.names[number]}: {what}")

    def progress(self, what: str, done: int, of: int) -> None:
        if self.show:
            print(f"\r{what} {done}/{of} ", end="" if done < of else "\n", file=sys.stderr, flush=True)

    def send(self) -> None:
        client = smtplib.SMTP("127.0.0.1", self.site.ports["smtp"])
        client.ehlo()
        for number, content in self.sent.items():
            self.progress("smtp", number + 1, len(self.sent))
            code, text = client.mail(f"m{number}@corpus.example", ["BODY=8BITMIME"])
            if code == 250:
                client.rcpt(USER)
                code, text = client.docmd("DATA")
                client.send(re.sub(rb"(?m)^\.", b"..", content) + b".\r\n")
                code, text = client.getreply()
            if code == 250:
                self.counts["accepted"] += 1
            elif earned(content, code, 10_240_000):
                self.counts["refused as earned"] += 1
            else:
                self.fail(number, f"SMTP said {code} {text!r}")
        client.quit()
        self.site.await_empty_queue()

    def imap(self) -> None:
        client = IMAPClient("127.0.0.1", self.site.ports["imap"], ssl=False)
        client.login(USER, PASSWORD)
        client.select_folder("INBOX", readonly=True)
        uids = client.search("ALL")
        for done, uid in enumerate(uids, 1):
            self.progress("imap", done, len(uids))
            [got] = client.fetch([uid], ["BODY.PEEK[]", "RFC822.SIZE"]).values()
            content = got[b"BODY[]"]
            trace = TRACE.match(content)
            if trace is None:
                continue  # the welcome message
            number = int(trace[1])
            if number in self.uids:
                self.fail(number, "delivered twice")
            self.uids[number] = uid
            if content[trace.end() :] != self.sent[number]:
                self.fail(number, "IMAP returns other bytes")
            if got[b"RFC822.SIZE"] != len(content):
                self.fail(number, "RFC822.SIZE is not the size")
            try:
                [parts] = client.fetch([uid], ["ENVELOPE", "BODYSTRUCTURE"]).values()
                if b"ENVELOPE" not in parts or b"BODYSTRUCTURE" not in parts:
                    self.fail(number, "no ENVELOPE or BODYSTRUCTURE")
            except Exception as error:
                self.fail(number, f"ENVELOPE BODYSTRUCTURE: {error}")
            self.counts["identical over IMAP"] += 1
        missing = self.counts["accepted"] - len(self.uids)
        if missing:
            self.counts["wrong"] += missing
            self.wrong.append(f"{missing} accepted messages are not in the mailbox")
        client.logout()

    def pop3(self) -> None:
        client = poplib.POP3("127.0.0.1", self.site.ports["pop3"])
        client.user(USER)
        client.pass_(PASSWORD)
        count, _ = client.stat()
        for index in range(1, count + 1):
            self.progress("pop3", index, count)
            content = b"\r\n".join(client.retr(index)[1]) + b"\r\n"
            trace = TRACE.match(content)
            if trace is None:
                continue
            if content[trace.end() :] != self.sent[int(trace[1])]:
                self.fail(int(trace[1]), "POP3 returns other bytes")
            self.counts["identical over POP3"] += 1
        client.quit()

    def webmail(self) -> None:
        base = f"http://127.0.0.1:{self.site.ports['web']}"
        jar = http.cookiejar.CookieJar()
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))
        page = opener.open(f"{base}/login/").read().decode()
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)
        assert token is not None
        form = {"username": USER, "password": PASSWORD, "csrfmiddlewaretoken": token[1]}
        opener.open(f"{base}/login/", urllib.parse.urlencode(form).encode())

        def fetch(number: int, path: str, allowed: tuple[int, ...] = (200,)) -> str:
            began = time.monotonic()
            try:
                answer = opener.open(f"{base}{path}")
                status, text = answer.status, answer.read().decode()
                status = status if "/login/" not in answer.geturl() else 403
            except urllib.error.HTTPError as error:
                status, text = error.code, ""
            took = time.monotonic() - began
            self.counts["slowest page, ms"] = max(self.counts["slowest page, ms"], round(took * 1000))
            if status not in allowed:
                self.fail(number, f"{path} has status {status}")
            if took > 2:
                self.fail(number, f"{path} took {took:.1f} s")
            return text

        for done, (number, uid) in enumerate(self.uids.items(), 1):
            self.progress("webmail", done, len(self.uids))
            read = fetch(number, f"/mail/{uid}")
            # A message without HTML has no frame to show.
            body = fetch(number, f"/mail/{uid}/body", (200, 404) if "<iframe" not in read else (200,))
            if "<iframe" in read and body:
                self.formatted[number] = uid
            fetch(number, f"/mail/{uid}/print")
            fetch(number, f"/conversation/{uid}")
            for mode in ("reply", "all", "forward"):
                if "<textarea" not in fetch(number, f"/compose/?mode={mode}&of={uid}"):
                    self.fail(number, f"{mode}: no message to write")
            self.counts["opened, answered and forwarded in the webmail"] += 1
        listed: set[int] = set()
        for at in range(1, -(-len(self.uids) // 50) + 2):
            text = fetch(0, f"/?page={at}")
            listed |= {int(uid) for uid in re.findall(r'name="uid" value="(\d+)"', text)}
        for number, uid in self.uids.items():
            if uid not in listed:
                self.fail(number, "is in no list")
        self.counts["listed"] = len(listed & set(self.uids.values()))

    def browser(self) -> None:
        """Chromium opens every formatted message, in its frame and as printed."""
        base = f"http://127.0.0.1:{self.site.ports['web']}"
        with sync_playwright() as playwright:
            found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
            browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
            page = browser.new_page()
            asked: list[str] = []
            page.on("request", lambda request: asked.append(request.url))
            page.on("dialog", lambda dialog: (asked.append(f"dialog: {dialog.message}"), dialog.dismiss()))
            page.on("popup", lambda popup: (asked.append(f"popup: {popup.url}"), popup.close()))
            page.goto(f"{base}/login/")
            page.fill("[name=username]", USER)
            page.fill("[name=password]", PASSWORD)
            page.press("[name=password]", "Enter")
            page.wait_for_selector(".list-rows")
            for done, (number, uid) in enumerate(self.formatted.items(), 1):
                self.progress("browser", done, len(self.formatted))
                asked.clear()
                for path in (f"/mail/{uid}", f"/mail/{uid}/print"):
                    page.goto(base + path, wait_until="load")
                    if not page.url.startswith(base + path):
                        self.fail(number, f"{path} led to {page.url}")
                self.counts["requests of the browser"] += len(asked)
                for url in asked:
                    if not url.startswith((f"{base}/", "data:", "about:")):
                        self.fail(number, f"the browser was made to ask for {url[:200]}")
                self.counts["opened in Chromium"] += 1
            browser.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--limit", type=int, default=0, help="take only so many messages")
    parser.add_argument("--browser", action="store_true", help="open what is formatted in Chromium")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    files = sorted(path for path in options.directory.rglob("*") if path.is_file())
    if not files:
        parser.error(f"no files below {options.directory}")
    with running() as site:
        check = Check(site, files[: options.limit or None], show=sys.stderr.isatty())
        check.send()
        check.imap()
        check.pop3()
        check.webmail()
        if options.browser:
            check.browser()
    counts = {"messages": len(check.sent), "wrong": 0, **check.counts}
    if options.json:
        print(json.dumps({**counts, "what is wrong": check.wrong}, ensure_ascii=False))
    else:
        for name, count in counts.items():
            print(f"{count:7} {name}")
        for line in check.wrong:
            print(f"  {line}")
    return 1 if counts["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
