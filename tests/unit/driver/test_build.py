"""Built packets say what they were built from."""

from __future__ import annotations

import ipaddress

import pytest

from ipsecfd.driver.build import build
from ipsecfd.driver.packet import Packet, parse


@pytest.mark.parametrize("protocol", [1, 6, 17, 50, 58, 255])
@pytest.mark.parametrize("ends", [("192.0.2.1", "192.0.2.10"), ("2001:db8::1", "2001:db8::10")])
def test_parser_finds_the_facts_again(protocol: int, ends: tuple[str, str]) -> None:
    """Addresses, protocol and ports are read as they were meant, and the packet is whole."""
    source, destination = map(ipaddress.ip_address, ends)
    ports = (4000, 80) if protocol in (6, 17) else (0, 0)
    packet = parse(build(source, destination, protocol, *ports))
    assert isinstance(packet, Packet)
    assert (packet.source_address, packet.destination_address) == (source, destination)
    assert (packet.protocol, packet.source_port, packet.destination_port) == (protocol, *ports)
    assert not packet.fragment
