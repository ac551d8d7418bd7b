"""Fixtures of the webmail's tests: IMAP and submission servers on ports of their own, a browser, messages."""

import asyncio
import html
import imaplib
import re
import socket
import threading
from email.message import EmailMessage

import uvloop
from django.contrib.auth.hashers import MD5PasswordHasher
from django.test import Client
from markup import compact

from mailcore import conf
from mailcore.mta.workers.courier import Courier
from mailcore.servers.concurrency.executor import Executor
from mailcore.servers.imap import ImapServer
from mailcore.servers.managesieve.session import SieveServer
from mailcore.servers.smtp import SmtpServer
from mailcore.servers.smtp.committer import Committer
from mailcore.store.notify import notifications
from webmail.mailserver import connection_pool

PASSWORD = "123456"
PASSWORD_HASH = MD5PasswordHasher().encode(PASSWORD, "s" * 22)


class PostOffice:
    """IMAP and submission in a thread with its own loop."""

    def __init__(self) -> None:
        conf.current()
        self.executor = Executor(4)
        self.loop = uvloop.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        self.imap_port = self._serve(lambda: ImapServer(self.executor, None, implicit_tls=False))
        self.sieve_port = self._serve(lambda: SieveServer(self.executor, None))
        self.hearing = notifications.open_listener(notifications.SERVERS)
        self.loop.call_soon_threadsafe(self.loop.add_reader, self.hearing, self._hear)
        self.smtp_port = self._serve(lambda: SmtpServer("submission", self.executor, None, Committer(self.executor)))

    def _serve(self, make) -> int:
        listening = socket.create_server(("127.0.0.1", 0))

        async def start():
            server = make()
            await server.listen(listening)
            return server

        self.servers = [*getattr(self, "servers", []), self._do(start())]
        return listening.getsockname()[1]

    def _hear(self) -> None:
        """Pass notifications of changed mailboxes to sessions in IDLE, as in a server process."""
        kind, *words = self.hearing.recv(1 << 20).split()
        if kind == notifications.MAILBOX:
            self.servers[0].on_notifications(set(map(int, words)))

    def _do(self, work):
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)

    def deliver(self) -> None:
        """Deliver the queued messages."""
        Courier().run_until_idle()

    def connect(self, name: str = "lisi") -> imaplib.IMAP4:
        """Another mail program of the same person."""
        program = imaplib.IMAP4("127.0.0.1", self.imap_port)
        program.login(name, PASSWORD)
        return program

    def put(self, content: bytes | EmailMessage, name: str = "lisi", box: str = "INBOX", flags: str = "") -> None:
        raw = content if isinstance(content, bytes) else content.as_bytes()
        program = self.connect(name)
        said, _data = program.append(box, flags, None, re.sub(rb"\r?\n", b"\r\n", raw))
        assert said == "OK"
        program.logout()

    def flags(self, uid: int, name: str = "lisi", box: str = "INBOX") -> set[str]:
        program = self.connect(name)
        program.select(box)
        _said, [line] = program.uid("FETCH", str(uid), "(FLAGS)")
        program.logout()
        return set(re.search(rb"FLAGS \(([^)]*)\)", line)[1].decode().split()) - {"\\Recent"} if line else {"gone"}

    def messages(self, name: str, box: str = "INBOX") -> list[bytes]:
        program = self.connect(name)
        program.select(f'"{box}"')
        _said, [found] = program.uid("SEARCH", "ALL")
        contents = [program.uid("FETCH", uid, "(BODY.PEEK[])")[1][0][1] for uid in found.split()]
        program.logout()
        return contents

    def stop(self) -> None:
        connection_pool.close_all()
        self.loop.call_soon_threadsafe(self.loop.remove_reader, self.hearing)
        for server in self.servers:
            self._do(server.close(5))
        notifications.close_listener(self.hearing, notifications.SERVERS)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()
        self.executor.close()


class Browser(Client):
    """Django's client that checks CSRF tokens, follows redirects and speaks English."""

    def __init__(self) -> None:
        super().__init__(enforce_csrf_checks=True, headers={"Accept-Language": "en"})
        self.page = ""

    def see(self, path: str, **data: str):
        response = self.get(path, data, follow=True)
        self.page = compact(response.content.decode())
        return response

    def press(self, path: str, **data):
        """Post a form of the page last seen."""
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', self.page)
        response = self.post(path, data | {"csrfmiddlewaretoken": token[1] if token else ""}, follow=True)
        self.page = compact(response.content.decode())
        return response

    def field(self, name: str) -> str:
        """The value a hidden or text field of the page has."""
        match = re.search(rf'<input[^>]* name="{name}"[^>]*? value="([^"]*)"', self.page)
        return html.unescape(match[1]) if match else ""

    def body(self) -> str:
        return html.unescape(re.search(r"<textarea[^>]*>\n?(.*?)</textarea>", self.page, re.DOTALL)[1])

    def sign_in(self, name: str = "lisi", password: str = PASSWORD, **more: str):
        self.see("/login/")
        return self.press("/login/", username=name, password=password, **more)


def make_message(
    subject: str = "会议", text: str = "您好\n", sender: str = "小七 <xiaoqi@benet.com>", **more: str
) -> EmailMessage:
    message = EmailMessage()
    message["From"] = sender
    message["To"] = "李四 <lisi@benet.com>"
    message["Subject"] = subject
    message["Date"] = "Sat, 12 Sep 2026 14:05:00 +0800"
    message["Message-ID"] = f"<{abs(hash((subject, text)))}@benet.com>"
    for name, value in more.items():
        del message[name.replace("_", "-")]
        message[name.replace("_", "-")] = value
    message.set_content(text)
    return message
