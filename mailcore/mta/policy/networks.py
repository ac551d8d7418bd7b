"""Is a client in a list of networks, such as mynetworks? (postconf(5))"""

import ipaddress
from functools import lru_cache


@lru_cache(maxsize=4096)
def in_networks(client_address: str, networks: tuple[str, ...]) -> bool:
    """Is the address in a list such as mynetworks? Left to right, the first match counts, "!" excludes."""
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
