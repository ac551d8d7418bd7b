"""Helpers for conversations with the SMTP server."""

import base64

from conversation import Conversation, Running
from mailcore.models import Message
from mailcore.store.maildir import maildir_files


def greeted(running: Running) -> Conversation:
    """After HELO."""
    client = running.dial()
    client.talk("S: 220 mail.benet.com ESMTP Youju\nC: HELO localhost\nS: 250 mail.benet.com")
    return client


def extended(running: Running, verb: str = "EHLO") -> Conversation:
    """After EHLO."""
    client = running.dial()
    client.talk("S: 220 …")
    offered(client, verb)
    return client


def offered(client: Conversation, verb: str = "EHLO") -> list[str]:
    """EHLO, and the words of its answer."""
    client.say(f"{verb} x")
    words = [client.hear()]
    while words[-1].startswith("250-"):
        words.append(client.hear())
    return [word[4:] for word in words]


def signed_in(running: Running, name: str = "lisi") -> Conversation:
    """After AUTH, as somebody whose password is everybody's."""
    client = extended(running)
    client.talk(f"C: AUTH PLAIN {plain(name, '123456')}\nS: 235 2.7.0 Authentication successful")
    return client


def plain(name: str, password: str) -> str:
    return base64.b64encode(f"\0{name}\0{password}".encode()).decode()


def send(client: Conversation, sender: str, recipient: str, content: str = "Subject: s\r\n\r\nx\r\n") -> str:
    """A whole message; the last reply, or the first that is a refusal."""
    for line in (f"MAIL FROM:<{sender}>", f"RCPT TO:<{recipient}>", "DATA", content + "."):
        client.say(line)
        reply = client.hear()
        if reply[0] not in "23":
            return reply
    return reply


def messages(name: str) -> list[bytes]:
    """Return the contents of an INBOX."""
    where = maildir_files.folder_directory(f"{name}@benet.com", "")
    rows = Message.objects.filter(mailbox__account__address=f"{name}@benet.com").order_by("uid")
    return [maildir_files.read_message(where, row.base_name, row.flags) for row in rows]
