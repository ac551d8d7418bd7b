"""Another host, as bad as a test wants it."""

import socket
import ssl
import threading

Script = dict[str, bytes]
POLITE: Script = {
    "": b"220 far.example ESMTP\r\n",
    "EHLO": b"250-far.example\r\n250-SIZE\r\n250 8BITMIME\r\n",
    "HELO": b"250 far.example\r\n",
    "MAIL": b"250 2.1.0 Ok\r\n",
    "RCPT": b"250 2.1.5 Ok\r\n",
    "DATA": b"354 go on\r\n",
    ".": b"250 2.0.0 Ok: queued as FAR\r\n",
    "RSET": b"250 2.0.0 Ok\r\n",
    "QUIT": b"221 2.0.0 Bye\r\n",
}
HANG_UP, SILENCE = b"", b"\0"


class FarHost:
    """A host that answers by a script: verb → reply, HANG_UP, or SILENCE. With `context` it knows STARTTLS."""

    def __init__(self, script: Script, context: ssl.SSLContext | None = None) -> None:
        self.script = script
        self.context = context
        self.messages: list[bytes] = []
        self.commands: list[str] = []
        self.connections = 0
        self.most_at_once = 0
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port = self.listening.getsockname()[1]
        self.hop = f"[127.0.0.1]:{self.port}"
        self._open = 0
        self._lock = threading.Lock()
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def content(self) -> bytes:
        return b"".join(self.messages)

    @property
    def verbs(self) -> list[str]:
        return [command.split()[0].upper() for command in self.commands if command]

    def close(self) -> None:
        self.listening.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.listening.accept()
            except OSError:
                return
            threading.Thread(target=self._meet, args=(connection,), daemon=True).start()

    def _meet(self, connection: socket.socket) -> None:
        with self._lock:
            self.connections += 1
            self._open += 1
            self.most_at_once = max(self.most_at_once, self._open)
        try:
            with connection:
                self._talk(connection)
        except OSError:
            pass  # the other side has gone
        finally:
            with self._lock:
                self._open -= 1

    def _talk(self, connection: socket.socket, *, greet: bool = True) -> None:
        lines = connection.makefile("rb")
        if greet and not self.answer(connection, "", ""):
            return
        for line in lines:
            command = line.decode("utf-8", "replace").strip()
            verb = command.partition(" ")[0].upper()
            self.commands.append(command)
            if not self.answer(connection, verb, command):
                return
            if verb == "STARTTLS" and self.context is not None:
                with self.context.wrap_socket(connection, server_side=True) as secret:
                    self._talk(secret, greet=False)
                return
            if verb == "DATA" and self.script["DATA"].startswith(b"354"):
                content = b""
                while (each := lines.readline()) not in (b".\r\n", b""):
                    content += each
                self.messages.append(content)
                if not self.answer(connection, ".", command):
                    return

    def answer(self, connection: socket.socket, verb: str, command: str) -> bool:
        """Answer a command; False: the conversation is over."""
        reply = self.script.get(verb, b"500 5.5.2 what?\r\n")
        if reply == SILENCE:
            connection.recv(1 << 16)  # until the other side gives up
            return False
        if reply:
            connection.sendall(reply)
        return reply != HANG_UP
