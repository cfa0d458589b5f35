"""Networks."""

from ipaddress import IPv4Address, IPv6Address, ip_network

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from crema.core.networks import network_of


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_is_in_its_network_however_dressed(address: IPv4Address) -> None:
    assert address in ip_network(network_of(str(address)))
    assert network_of(f"::ffff:{address}") == network_of(str(address))


@given(st.ip_addresses(v=6).filter(lambda address: address.ipv4_mapped is None))
def test_a_64_is_one_network(address: IPv6Address) -> None:
    neighbour = IPv6Address(int(address) ^ 1)
    stranger = IPv6Address(int(address) ^ (1 << 64))
    assume(all(each.ipv4_mapped is None for each in (address, neighbour, stranger)))

    assert network_of(str(address)) == network_of(str(neighbour)) != network_of(str(stranger))


@pytest.mark.parametrize("host", ["", "testclient", "unix:" + "x" * 300])
def test_what_is_no_address_stands_for_itself(host: str) -> None:
    assert network_of(host) == host[:64]
