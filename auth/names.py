"""By which name a caller is known: in the audit, to the limits, and when refused at the door."""

import functools
import ipaddress

from mcp.server.auth.provider import AccessToken

LONGEST = 100  # characters of an address that a proxy says


def of_token(token: AccessToken) -> str:
    return f"token:{token.subject or token.client_id}"


@functools.lru_cache(1024)  # three guards of a call ask, 25 us each
def of_address(host: str) -> str:
    """The address; of IPv6 the /64, all of which one subscriber has, unless it stands for one of IPv4."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return f"address:{''.join(filter(str.isprintable, host[:LONGEST]))}"
    if isinstance(address, ipaddress.IPv6Address):
        network = ipaddress.ip_network((address, 64), strict=False)
        address = address.ipv4_mapped or network.network_address
    return f"address:{address}"
