"""Conversations with real servers on real sockets. `C:` is what the client says, `S:` what it hears."""

import asyncio
import re
import socket
import ssl
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

import uvloop

from mailcore.servers.concurrency.executor import Executor
from mailcore.store.notify import notifications


class Server(Protocol):
    async def listen(self, sock: socket.socket) -> None: ...

    async def close(self, grace: float) -> None: ...


class Conversation:
    """One connection. `talk` plays a transcript; in its S: lines `…` stands for anything."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), 10)
        self.file = self.socket.makefile("rb")

    def say(self, line: str | bytes) -> None:
        self.socket.sendall((line.encode() if isinstance(line, str) else line) + b"\r\n")

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def hear(self) -> str:
        line = self.file.readline()
        assert line.endswith(b"\r\n") or not line
        return line[:-2].decode()

    def hear_all(self) -> list[str]:
        """The rest of a multi-line answer, without the final dot."""
        return list(iter(self.hear, "."))

    def talk(self, transcript: str) -> None:
        for step in transcript.strip().splitlines():
            side, _, text = step.strip().partition(":")
            text = text.removeprefix(" ")
            if side == "C":
                self.say(text)
            elif side == "S":
                heard = self.hear().rstrip()
                assert re.fullmatch(re.escape(text).replace("…", ".*"), heard), f"{heard!r} is not {text!r}"

    def start_tls(self, context: ssl.SSLContext) -> None:
        self.socket = context.wrap_socket(self.socket, server_hostname="localhost")
        self.file = self.socket.makefile("rb")

    def close(self) -> None:
        self.file.close()
        self.socket.close()


class Running:
    """A server in a thread with its own loop."""

    def __init__(self, make: Callable[[Executor], Server]) -> None:
        self.executor = Executor(4)
        self.loop = uvloop.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        self.server = make(self.executor)
        listening = socket.create_server(("127.0.0.1", 0))
        self.port = listening.getsockname()[1]
        self.do(self.server.listen(listening))
        self.open: list[Conversation] = []

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)

    def dial(self) -> Conversation:
        self.open.append(Conversation(self.port))
        return self.open[-1]

    def stop(self) -> None:
        for conversation in self.open:
            conversation.close()
        self.do(self.server.close(5))
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()
        self.executor.close()


class Hearing(Running):
    """A server that hears the news, as in a server process."""

    def __init__(self, make: Callable[[Executor], Server]) -> None:
        super().__init__(make)
        self.hearing = notifications.open_listener(notifications.SERVERS)
        self.loop.call_soon_threadsafe(self.loop.add_reader, self.hearing, self._hear)

    def _hear(self) -> None:
        try:
            while True:
                self.server.on_notifications(list(map(int, self.hearing.recv(1 << 16).split()[1:])))  # type: ignore[attr-defined]
        except BlockingIOError:
            pass

    def stop(self) -> None:
        if self.loop.is_closed():
            return
        self.loop.call_soon_threadsafe(self.loop.remove_reader, self.hearing)
        super().stop()
        notifications.close_listener(self.hearing, notifications.SERVERS)
