"""Conversations with the IMAP server under test: transcripts, and the people of benet.com signed in."""

from collections.abc import Callable

from conversation import Conversation, Hearing
from mailcore.servers.imap import ImapServer

PASSWORD = "123456"

PLAIN = (
    b"From: =?utf-8?b?5p2O5Zub?= <lisi@benet.com>\r\nTo: xiaoqi@benet.com\r\n"
    b"Subject: =?utf-8?q?=E4=BC=9A=E8=AE=AE?=\r\nDate: Sat, 17 Jan 2009 17:33:50 +0800\r\n"
    b"Message-ID: <1@benet.com>\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n\xe4\xbd\xa0\xe5\xa5\xbd\r\n"
)
MIXED = (
    b"From: a@example.com\r\nSubject: two parts\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
    b"--b\r\nContent-Type: text/plain\r\n\r\nfirst\r\n--b\r\nContent-Type: application/octet-stream; name=x.bin\r\n"
    b"Content-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename=x.bin\r\n\r\nAAECAw==\r\n--b--\r\n"
)


class Mailer(Conversation):
    """A conversation that knows IMAP's tags and literals."""

    _tags = 0

    def hear_response(self) -> bytes:
        """One response, its literals in place."""
        out = b""
        while True:
            line = self.file.readline()
            if not line:
                return out
            out += line
            if not line.endswith(b"}\r\n"):
                return out
            out += self.file.read(int(line[line.rindex(b"{") + 1 : -3].rstrip(b"+")))

    def do(self, command: str | bytes, expect: str = "OK") -> list[bytes]:
        """Send a command; its untagged responses. The tagged one must begin with `expect`."""
        self._tags += 1
        tag = f"t{self._tags}".encode()
        self.say(tag + b" " + (command.encode() if isinstance(command, str) else command))
        found = []
        while not (response := self.hear_response()).startswith(tag + b" "):
            assert response, f"closed after {command!r}"
            found.append(response.rstrip(b"\r\n"))
        self.tagged = response.rstrip(b"\r\n").partition(b" ")[2].decode()
        assert self.tagged.startswith(expect), f"{command!r}: {self.tagged}"
        return found

    def sign_in(self, name: str = "lisi") -> "Mailer":
        greeting = self.hear()
        assert greeting.startswith("* OK [CAPABILITY IMAP4rev1 ")
        self.do(f"LOGIN {name} {PASSWORD}")
        return self

    def append(self, content: bytes, mailbox: str = "INBOX", more: str = "") -> int:
        """Its UID."""
        self.do(
            b"APPEND %b %b{%d+}\r\n%b" % (mailbox.encode(), f"{more} ".encode() if more else b"", len(content), content)
        )
        return int(self.tagged.split("]")[0].split()[-1])


class ImapRunning(Hearing):
    """An IMAP server."""

    def __init__(self, **options: object) -> None:
        super().__init__(lambda executor: ImapServer(executor, options.get("context"), bool(options.get("implicit"))))  # type: ignore[arg-type]

    def dial(self) -> Mailer:
        self.open.append(Mailer(self.port))
        return self.open[-1]  # type: ignore[return-value]


Dial = Callable[..., Mailer]
