"""A real reboot while the peer never stops sending: nothing passes too early."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.vm.guests import GUARD, PEER, Guest, Machines, Service

FORBIDDEN, PERMITTED = 9999, 9000
"""Ports of datagrams, by the policy; the start-up modes let neither in."""
POLICY = f"""
name = "One port"
[[rule]]
action = "block"
filters = ["me <-> any"]
[[rule]]
action = "permit"
filters = ["any <-> me:{PERMITTED} udp"]
"""
# Counts what comes from the network and what programs send, and what of it is left behind ipsecfd's
# rules; from before there is a network, and without a word about any verdict.
WITNESS = f"""
table inet witness {{
    counter arrived {{}}
    counter sent {{}}
    counter forbidden {{}}
    counter permitted {{}}
    chain first {{
        type filter hook prerouting priority -500; policy accept;
        iifname "eth1" udp dport {FORBIDDEN} counter name arrived
    }}
    chain last {{
        type filter hook input priority 500; policy accept;
        iifname "eth1" udp dport {FORBIDDEN} counter name forbidden
        iifname "eth1" udp dport {PERMITTED} counter name permitted
    }}
    chain own {{
        type filter hook output priority -500; policy accept;
        oifname "eth1" udp dport {FORBIDDEN} counter name sent
    }}
    chain out {{
        type filter hook postrouting priority 500; policy accept;
        oifname "eth1" udp dport {FORBIDDEN} counter name forbidden
    }}
}}
"""
WITNESS_UNIT = """
[Unit]
DefaultDependencies=no
After=local-fs.target
Before=ipsecfd-boot.service ipsecfd.service network-pre.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=nft -f /etc/witness.nft
[Install]
WantedBy=sysinit.target
"""
# From as early as it can be: a program on the guard that does not wait for the network either.
SPEAKER_UNIT = """
[Unit]
DefaultDependencies=no
After=local-fs.target
[Service]
ExecStart=python3 /root/stream.py {peer} {port}
[Install]
WantedBy=sysinit.target
"""
STREAM = """
import socket, sys, time
client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
while True:
    for port in sys.argv[2:]:
        try:
            client.sendto(b"?", (sys.argv[1], int(port)))
        except OSError:
            pass
    time.sleep(0.02)
"""


@pytest.fixture(scope="module")
def world(lab: Machines) -> Iterator[Machines]:
    """A guard with a policy, and two streams that never stop: one each way."""
    guard, peer = lab.guard, lab.peer
    for guest in (guard, peer):
        guest.write("/root/stream.py", STREAM)
    guard.write("/etc/witness.nft", WITNESS)
    guard.write("/etc/systemd/system/witness.service", WITNESS_UNIT)
    speaker = SPEAKER_UNIT.format(peer=PEER, port=FORBIDDEN)
    guard.write("/etc/systemd/system/speaker.service", speaker)
    guard.run("systemctl daemon-reload && systemctl --quiet enable witness speaker")
    guard.assign(POLICY)
    guard.configure('[startup]\nmode = "block"\n')
    guard.run("systemctl restart ipsecfd")
    stream = Service(f"python3 /root/stream.py {GUARD} {FORBIDDEN} {PERMITTED}")
    with peer.services(stream=stream):
        yield lab


def reboot(guest: Guest) -> None:
    """Reboot in order."""
    old = guest.boot_id()
    guest.try_to("systemctl reboot")
    guest.connect(not_to=old)


def test_boot_to_secure_mode(world: Machines) -> None:
    """From the first packet on nothing passes that the policy forbids, in or out."""
    guard = world.guard
    reboot(guard)
    guard.wait_until("systemctl is-active ipsecfd && ipsecfd mode | grep -qx secure")
    guard.wait_until("nft list counter inet witness permitted | grep -q 'packets [1-9]'")
    counted = guard.witnessed()
    assert counted["arrived"] > 0
    assert counted["sent"] > 0
    assert counted["forbidden"] == 0
    assert counted["permitted"] > 0


def test_boot_that_never_gets_to_the_policy(world: Machines) -> None:
    """Without the service the start-up mode holds, and its exemption keeps ssh."""
    guard = world.guard
    guard.run(
        "systemctl --quiet disable ipsecfd"
        # Who disables the service has no start-up mode either, unless it is asked for.
        " && systemctl --quiet add-wants sysinit.target ipsecfd-boot.service"
    )
    reboot(guard)
    assert not guard.succeeds("systemctl is-active ipsecfd")
    guard.run("sleep 3")
    counted = guard.witnessed()
    assert counted["arrived"] > 0
    assert counted["sent"] > 0
    assert counted["forbidden"] == 0
    assert counted["permitted"] == 0
    guard.run("systemctl start ipsecfd")
    assert guard.status()["mode"] == "secure"
    assert guard.witnessed()["forbidden"] == 0
