"""Networks of IP addresses: one person can have all addresses of one."""

from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network


@lru_cache(10_000)
def network_of(host: str, *, ipv4_prefix: int = 24) -> str:
    """Return the network of an address: the /24 of an IPv4 address, the /64 of an IPv6 one.

    An IPv4 address that is written as an IPv6 one (`::ffff:192.0.2.7`, on a socket that listens to both) counts as
    IPv4. With `ipv4_prefix=32` an IPv4 address stands for itself. Any other text is returned as it is, cut
    to 64 characters.
    """
    try:
        address = ip_address(host)
    except ValueError:
        return host[:64]
    if isinstance(address, IPv6Address):
        address = address.ipv4_mapped or address
    prefix = ipv4_prefix if address.version == 4 else 64  # noqa: PLR2004
    return str(ip_network((address.packed, prefix), strict=False))
