"""A strict reader of ENVELOPE and BODYSTRUCTURE, for tests."""

from dataclasses import dataclass, field


@dataclass
class Structure:
    """A part as BODYSTRUCTURE describes it: a multipart has children only, a message/rfc822 a message."""

    kind: bytes
    subtype: bytes
    size: int = 0
    lines: int | None = None
    children: "list[Structure]" = field(default_factory=list)
    message: "Structure | None" = None


class Reader:
    """A strict reader of RFC 9051's `envelope` and `body` productions; fails where the grammar ends."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def eat(self, token: bytes) -> None:
        assert self.data.startswith(token, self.at), (token, self.data[self.at : self.at + 40])
        self.at += len(token)

    def peek(self, token: bytes) -> bool:
        return self.data.startswith(token, self.at)

    def string(self) -> bytes:
        if self.peek(b"{"):
            end = self.data.index(b"}\r\n", self.at)
            size = int(self.data[self.at + 1 : end])
            value = self.data[end + 3 : end + 3 + size]
            assert len(value) == size
            assert b"\0" not in value
            self.at = end + 3 + size
            return value
        self.eat(b'"')
        value = bytearray()
        while not self.peek(b'"'):
            byte = self.data[self.at]
            assert byte not in b"\r\n\0"
            assert byte < 128
            if byte == 0x5C:
                self.at += 1
                assert self.data[self.at] in b'"\\'
            value.append(self.data[self.at])
            self.at += 1
        self.eat(b'"')
        return bytes(value)

    def nstring(self) -> bytes | None:
        if self.peek(b"NIL"):
            self.at += 3
            return None
        return self.string()

    def number(self) -> int:
        start = self.at
        while self.data[self.at : self.at + 1].isdigit():
            self.at += 1
        return int(self.data[start : self.at])

    def space(self) -> None:
        self.eat(b" ")

    def envelope(self) -> list:
        self.eat(b"(")
        out: list = []
        for index in range(10):
            if index:
                self.space()
            out.append(self.addresses() if 2 <= index <= 7 else self.nstring())
        self.eat(b")")
        return out

    def addresses(self) -> list | None:
        if self.peek(b"NIL"):
            self.at += 3
            return None
        self.eat(b"(")
        found = []
        while self.peek(b"("):
            self.eat(b"(")
            one = []
            for index in range(4):
                if index:
                    self.space()
                one.append(self.nstring())
            self.eat(b")")
            found.append(one)
        self.eat(b")")
        assert found
        return found

    def parameters(self) -> dict | None:
        if self.peek(b"NIL"):
            self.at += 3
            return None
        self.eat(b"(")
        found = {}
        while True:
            name = self.string()
            self.space()
            found[name] = self.string()
            if self.peek(b")"):
                self.at += 1
                return found
            self.space()

    def extensions(self) -> None:
        if self.peek(b"("):
            self.eat(b"(")
            self.string()
            self.space()
            self.parameters()
            self.eat(b")")
        else:
            self.eat(b"NIL")
        self.space()
        if self.peek(b"("):
            self.eat(b"(")
            self.string()
            while self.peek(b" "):
                self.space()
                self.string()
            self.eat(b")")
        else:
            self.nstring()
        self.space()
        self.nstring()

    def body(self) -> Structure:
        self.eat(b"(")
        if self.peek(b"("):
            parts = []
            while self.peek(b"("):
                parts.append(self.body())
            self.space()
            subtype = self.string()
            if not self.peek(b")"):
                self.space()
                self.parameters()
                self.space()
                self.extensions()
            self.eat(b")")
            return Structure(b"MULTIPART", subtype.upper(), children=parts)
        kind = self.string().upper()
        self.space()
        subtype = self.string().upper()
        self.space()
        self.parameters()
        for _ in range(2):
            self.space()
            self.nstring()
        self.space()
        self.string()
        self.space()
        size = self.number()
        found = Structure(kind, subtype, size)
        if kind == b"TEXT":
            self.space()
            found.lines = self.number()
        elif kind == b"MESSAGE" and subtype in (b"RFC822", b"GLOBAL"):
            self.space()
            self.envelope()
            self.space()
            found.message = self.body()
            self.space()
            found.lines = self.number()
        if not self.peek(b")"):
            self.space()
            self.nstring()
            self.space()
            self.extensions()
        self.eat(b")")
        return found
