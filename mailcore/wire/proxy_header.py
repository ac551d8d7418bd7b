"""The PROXY protocol header, versions 1 and 2 (HAProxy's proxy-protocol.txt): a proxy names the real client."""

import ipaddress
import struct
from dataclasses import dataclass

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"  # start of a version 2 header
FIRST = len(SIGNATURE)  # bytes that every header has at least, and that tell the versions apart
LONGEST_LINE = 107  # bytes in a version 1 header
_FAMILIES: dict[int, tuple[int, type[ipaddress.IPv4Address] | type[ipaddress.IPv6Address]]] = {
    0x11: (4, ipaddress.IPv4Address),
    0x21: (16, ipaddress.IPv6Address),
}


class ProxyHeaderError(ValueError):
    """The input is not a PROXY header."""


@dataclass(frozen=True, slots=True)
class ProxyHeader:
    """The client's address and the address it connected to, as the proxy saw them."""

    source: str
    source_port: int
    destination: str
    destination_port: int


def parse_line(line: bytes) -> ProxyHeader | None:
    """Parse a version 1 header with its CRLF. Raise ProxyHeaderError.

    Return None if the proxy does not know the client or speaks for itself.
    """
    words = line.removesuffix(b"\r\n").decode("ascii", "replace").split(" ")
    if not line.endswith(b"\r\n") or words[0] != "PROXY":
        raise ProxyHeaderError("no PROXY header")
    if words[1:2] == ["UNKNOWN"]:
        return None
    if len(words) != 6 or words[1] not in ("TCP4", "TCP6"):
        raise ProxyHeaderError("a PROXY header of an unknown kind")
    _, kind, source, destination, source_port, destination_port = words
    version = int(kind[-1])
    try:
        addresses = [ipaddress.ip_address(source), ipaddress.ip_address(destination)]
    except ValueError as error:
        raise ProxyHeaderError(str(error)) from error
    # A zone ("fe80::1%eth0") is no part of the protocol, and any characters may stand in it.
    if any(each.version != version for each in addresses) or "%" in source + destination:
        raise ProxyHeaderError("a PROXY header that contradicts itself")
    return ProxyHeader(
        _shortened(addresses[0]), _parse_port(source_port), _shortened(addresses[1]), _parse_port(destination_port)
    )


def _parse_port(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 5 and int(text) <= 65535):
        raise ProxyHeaderError("a PROXY header without a port")
    return int(text)


def _shortened(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """Return an address as text, an IPv4 address that a dual-stack proxy maps to IPv6 as the IPv4 address.

    Tables of addresses and networks name it so.
    """
    return str(getattr(address, "ipv4_mapped", None) or address)


def binary_length(head: bytes) -> int:
    """Return the number of bytes that follow the first 16 of a version 2 header."""
    (length,) = struct.unpack_from("!H", head, 14)
    return int(length)


def parse_binary(head: bytes, rest: bytes) -> ProxyHeader | None:
    """Parse a version 2 header: its first 16 bytes, and the bytes that follow. Raise ProxyHeaderError.

    Return None in the same cases as `parse_line`.
    """
    if not head.startswith(SIGNATURE) or head[12] >> 4 != 2 or head[12] & 15 > 1:
        raise ProxyHeaderError("no PROXY header of version 2")
    local = head[12] & 15 == 0
    if local or head[13] not in _FAMILIES:
        return None
    size, kind = _FAMILIES[head[13]]
    if len(rest) < 2 * size + 4:
        raise ProxyHeaderError("a PROXY header that is too short")
    source_port, destination_port = struct.unpack_from("!HH", rest, 2 * size)
    source, destination = _shortened(kind(rest[:size])), _shortened(kind(rest[size : 2 * size]))
    return ProxyHeader(source, source_port, destination, destination_port)
