"""Matching of client addresses against network lists such as mynetworks (postconf(5))."""

import ipaddress
from functools import lru_cache


@lru_cache(maxsize=4096)
def in_networks(client_address: str, networks: tuple[str, ...]) -> bool:
    """Return True if the address is in the list; the first match decides, "!" excludes."""
    try:
        address = ipaddress.ip_address(client_address)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    for word in networks:
        pattern = word.removeprefix("!").replace("[", "").replace("]", "")
        try:
            network = ipaddress.ip_network(pattern, strict=False)
        except ValueError:
            continue
        if address.version == network.version and address in network:
            return not word.startswith("!")
    return False
