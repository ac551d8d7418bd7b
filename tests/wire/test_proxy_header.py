"""PROXY headers: what each version says, and what is none."""

import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailcore.wire.proxy_header import SIGNATURE, ProxyHeader, ProxyHeaderError, binary_length, parse_binary, parse_line


@pytest.mark.parametrize(
    ("line", "header"),
    [
        (b"PROXY TCP4 192.0.2.7 192.0.2.1 4711 25\r\n", ProxyHeader("192.0.2.7", 4711, "192.0.2.1", 25)),
        (b"PROXY TCP6 2001:db8::7 2001:db8::1 4711 25\r\n", ProxyHeader("2001:db8::7", 4711, "2001:db8::1", 25)),
        (b"PROXY TCP6 ::ffff:192.0.2.7 ::ffff:c000:201 4711 25\r\n", ProxyHeader("192.0.2.7", 4711, "192.0.2.1", 25)),
        (b"PROXY UNKNOWN\r\n", None),
        (b"PROXY UNKNOWN ff::1 ff::2 1 2\r\n", None),
    ],
)
def test_version_1(line, header):
    assert parse_line(line) == header


@pytest.mark.parametrize(
    "line",
    [
        b"EHLO proxy\r\n",
        b"PROXY TCP4 192.0.2.7 192.0.2.1 4711\r\n",
        b"PROXY TCP4 192.0.2.7 192.0.2.1 4711 65536\r\n",
        b"PROXY TCP4 192.0.2.7 192.0.2.1 4_711 25\r\n",
        b"PROXY TCP4 192.0.2.7 192.0.2.1 +4711 25\r\n",
        b"PROXY TCP4 192.0.2.7 192.0.2.1 -0 25\r\n",
        b"PROXY TCP6 fe80::7%\x1b[2J 2001:db8::1 4711 25\r\n",
        b"PROXY TCP6 2001:db8::7 fe80::1%eth0 4711 25\r\n",
        b"PROXY TCP4 2001:db8::7 2001:db8::1 4711 25\r\n",
        b"PROXY TCP4 192.0.2 192.0.2.1 4711 25\r\n",
        b"PROXY UDP4 192.0.2.7 192.0.2.1 4711 25\r\n",
        b"PROXY TCP4  192.0.2.7 192.0.2.1 4711 25\r\n",
        b"PROXY TCP4 192.0.2.7 192.0.2.1 4711 25\n",
        b"",
    ],
)
def test_what_is_no_version_1(line):
    with pytest.raises(ProxyHeaderError):
        parse_line(line)


def binary(command: int, family: int, addresses: bytes) -> tuple[bytes, bytes]:
    return SIGNATURE + struct.pack("!BBH", 0x20 | command, family, len(addresses)), addresses


V4 = socket.inet_aton("192.0.2.7") + socket.inet_aton("192.0.2.1") + struct.pack("!HH", 4711, 465)
V6 = socket.inet_pton(socket.AF_INET6, "2001:db8::7") + bytes(16) + struct.pack("!HH", 4711, 465)


def test_version_2():
    head, rest = binary(1, 0x11, V4 + b"\x03\x00\x04more")
    assert binary_length(head) == len(rest)
    assert parse_binary(head, rest) == ProxyHeader("192.0.2.7", 4711, "192.0.2.1", 465)
    assert parse_binary(*binary(1, 0x21, V6)) == ProxyHeader("2001:db8::7", 4711, "::", 465)
    mapped = bytes(10) + b"\xff\xff" + socket.inet_aton("192.0.2.7") + V6[16:]
    assert parse_binary(*binary(1, 0x21, mapped)) == ProxyHeader("192.0.2.7", 4711, "::", 465)
    assert parse_binary(*binary(0, 0x00, b"")) is None
    assert parse_binary(*binary(1, 0x31, bytes(216))) is None


@pytest.mark.parametrize("parts", [binary(1, 0x11, V4[:8]), binary(2, 0x11, V4), (b"\r\n" * 8, b"")])
def test_what_is_no_version_2(parts):
    with pytest.raises(ProxyHeaderError):
        parse_binary(*parts)


@given(st.binary(max_size=120))
def test_whatever_comes_is_a_header_or_a_fault(data):
    for parse in (parse_line, lambda data: parse_binary(data.ljust(16, b"\0")[:16], data[16:])):
        try:
            parse(data)
        except ProxyHeaderError:
            continue
