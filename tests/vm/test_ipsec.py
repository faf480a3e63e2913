"""Real IPsec between the two machines, by strongSwan: what ipsecfd sees of it, and how it judges.

ESP is protocol 50 like any other; the key exchange is exempt; what was decrypted comes in again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.vm.guests import GUARD, PEER, Guest, Machines, on_port

pytestmark = pytest.mark.needs_esp

CONNECTION = """
connections {{
  lab {{
    version = 2
    mobike = no  # it would go on over UDP 4500, which is not exempt
    local_addrs = {here}
    remote_addrs = {there}
    proposals = aes128gcm16-prfsha256-ecp256
    local {{
      auth = psk
      id = {here}
    }}
    remote {{
      auth = psk
      id = {there}
    }}
    children {{
      all {{
        mode = transport
        esp_proposals = aes128gcm16
        start_action = none
      }}
    }}
  }}
}}
secrets {{
  ike-lab {{
    secret = for-this-lab-only
  }}
}}
"""
ONLY_ESP = """
name = "Nothing but ESP"
[[rule]]
action = "block"
filters = ["me <-> any"]
[[rule]]
action = "permit"
filters = ["me <-> any 50"]
"""
ESP_AND_WEB = ONLY_ESP.replace('"me <-> any 50"', '"me <-> any 50", "any <-> me:80 tcp"')
NEGOTIATE = """
name = "Nothing in clear text"
[[rule]]
action = "negotiate"
filters = ["me <-> any"]
"""
ONLY_WEB = ONLY_ESP.replace('"me <-> any 50"', '"any <-> me:80 tcp"')


@pytest.fixture(scope="module")
def world(lab: Machines) -> Iterator[Machines]:
    """Both machines ready to negotiate, with a web site and another service on the guard."""
    for guest, here, there in ((lab.guard, GUARD, PEER), (lab.peer, PEER, GUARD)):
        guest.write("/etc/swanctl/conf.d/lab.conf", CONNECTION.format(here=here, there=there))
        guest.run("systemctl start strongswan && swanctl --load-all")
    with lab.guard.services(web=on_port(80), files=on_port(445)):
        yield lab


def negotiate(lab: Machines) -> None:
    """Let the peer open the connection, keys and all."""
    lab.peer.run("swanctl --initiate --child all --timeout 30", seconds=90)


def end(lab: Machines) -> None:
    """Close the connection; both machines forget the keys."""
    lab.peer.run("swanctl --terminate --ike lab --timeout 30", seconds=90)
    lab.guard.wait_until('[ -z "$(ip xfrm state)" ]')


def reaches(guest: Guest, host: str, port: int) -> bool:
    """Whether a connection to the port opens."""
    return guest.succeeds(f"nc -z -w4 {host} {port}")


def esp_packets(lab: Machines) -> int:
    """How many packets the guard's incoming security associations have decrypted."""
    states = lab.guard.run(f"ip -s xfrm state list dst {GUARD}")
    return sum(map(int, re.findall(r"(\d+)\(packets\)", states)))


def test_key_exchange_is_exempt_and_esp_is_protocol_50(world: Machines) -> None:
    """IKE passes a policy that blocks all; the ESP it leads to is a protocol like any other."""
    world.guard.assign(ONLY_WEB)
    negotiate(world)
    assert not reaches(world.peer, GUARD, 80)
    blocked = {drop["protocol"] for drop in world.guard.drops() if drop["source"] == PEER}
    assert blocked == {50}
    end(world)


def test_what_was_decrypted_is_judged_again(world: Machines) -> None:
    """With ESP permitted the packets inside it still need a filter of their own."""
    world.guard.assign(ESP_AND_WEB)
    negotiate(world)
    before = esp_packets(world)
    assert reaches(world.peer, GUARD, 80)
    assert not reaches(world.peer, GUARD, 445)
    assert esp_packets(world) > before
    last = world.guard.drops()[-1]
    assert (last["source"], last["protocol"], last["destination_port"]) == (PEER, "tcp", 445)
    end(world)


def test_esp_alone_lets_nothing_else_through(world: Machines) -> None:
    """A policy of ESP and nothing else stops clear text, and what ESP carried as well."""
    world.guard.assign(ONLY_ESP)
    assert not reaches(world.peer, GUARD, 80)
    negotiate(world)
    assert not reaches(world.peer, GUARD, 80)
    end(world)


def test_new_policy_counts_for_open_security_associations(world: Machines) -> None:
    """The keys stay, the packets stop: another policy decides at once."""
    world.guard.assign(ESP_AND_WEB)
    negotiate(world)
    assert reaches(world.peer, GUARD, 80)
    world.guard.assign(ONLY_WEB)
    assert not reaches(world.peer, GUARD, 80)
    end(world)


def test_filters_that_negotiate_pass_what_strongswan_protects(world: Machines) -> None:
    """Before there are keys and after their end nothing passes; in between everything does."""
    guard, peer = world.guard, world.peer
    guard.assign(NEGOTIATE)
    assert not reaches(peer, GUARD, 80)
    assert guard.drops()[-1]["reason"] == "negotiate"
    negotiate(world)
    before = esp_packets(world)
    assert reaches(peer, GUARD, 80)
    assert esp_packets(world) > before
    end(world)
    assert not reaches(peer, GUARD, 80)
    assert guard.drops()[-1]["reason"] == "negotiate"
