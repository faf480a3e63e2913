"""What goes wrong on a machine of its own: damage, death, a clock that jumps, a reset button."""

from __future__ import annotations

import json

import pytest

from tests.vm.guests import GUARD, PEER, Guard, Machines, Service, listening

WEB = """
name = "Web"
[[rule]]
action = "block"
filters = ["me <-> any"]
[[rule]]
action = "permit"
filters = ["any <-> me:80 tcp"]
"""
FILES = WEB.replace("Web", "Files").replace("80", "445")
PERSISTENT = """
pushd ipsec static
set store location=persistent
add policy name=Worm
add filterlist name=Worm
add filter filterlist=Worm srcaddr=any dstaddr=me protocol=UDP dstport=1434
add filteraction name=Block action=block
add rule name=Worm policy=Worm filterlist=Worm filteraction=Block
set policy name=Worm assign=y
popd
"""
STORE = "/var/lib/ipsecfd/stores/persistent.toml"
DAMAGED = f"""
cp {STORE} /root/good
echo '[[' >{STORE}
systemctl restart ipsecfd
ipsecfd status --json >/root/status
ping -c2 -W1 {PEER} >/root/ping
sleep 15 # for the peer to try
cp /root/good {STORE}
systemctl restart ipsecfd
touch /root/mended
"""
ASSIGN_FOR_EVER = """
from itertools import cycle
from pathlib import Path

from ipsecfd.agent.client import call
from ipsecfd.agent.config import DEFAULT_SOCKET

for name in cycle(("web", "files")):
    call(DEFAULT_SOCKET, "AssignPolicy", file=f"/etc/ipsecfd/{name}.toml", confirm=None)
    Path("/run/assigned").write_text(name)
"""


@pytest.fixture(scope="module")
def world(lab: Machines) -> Machines:
    """Two services on the guard that are there after every boot."""
    guard = lab.guard
    for name, port in (("web", 80), ("files", 445)):
        guard.write(
            f"/etc/systemd/system/test-{name}.service",
            f"[Service]\nExecStart=nc -lkn {port}\n[Install]\nWantedBy=multi-user.target\n",
        )
    guard.run("systemctl --quiet enable --now test-web test-files")
    guard.wait_until(listening(445))
    guard.assign(WEB, "web")
    return lab


def reached(lab: Machines) -> dict[str, bool]:
    """What the peer reaches on the guard."""
    return lab.peer.outcomes(
        web=f"nc -z -w4 {GUARD} 80",
        files=f"nc -z -w4 {GUARD} 445",
        ping=f"ping -c1 -W3 {GUARD}",
    )


ONLY_WEB = {"web": True, "files": False, "ping": False}
NOTHING = {"web": False, "files": False, "ping": False}


def test_damaged_persistent_store_closes_everything(world: Machines) -> None:
    """It is operational block, ssh and all, until the store is mended (spec 6.5)."""
    guard = world.guard
    guard.write("/root/worm.netsh", PERSISTENT)
    guard.run("ipsecfd netsh -f /root/worm.netsh")
    assert reached(world) == ONLY_WEB
    guard.write("/root/damage", DAMAGED)
    guard.run("systemd-run --quiet --unit=test-damage bash /root/damage")
    world.peer.run(f"while ping -c1 -W1 {GUARD} || nc -z -w1 {GUARD} 80; do sleep 0.2; done")
    assert reached(world) == NOTHING
    guard.wait_until("[ -e /root/mended ]")
    status = json.loads(guard.run("cat /root/status"))
    assert status["mode"] == "block"
    assert STORE in status["mode_reason"]
    assert "100% packet loss" in guard.run("cat /root/ping")
    assert reached(world) == ONLY_WEB


def test_killed_agent_opens_nothing_and_comes_back(world: Machines) -> None:
    """Whatever is killed, what the policy forbids stays out, and soon it judges again."""
    guard = world.guard
    pid = guard.run("systemctl show --value -p MainPID ipsecfd").strip()
    stream = f"for try in {{1..150}}; do nc -z -w1 {GUARD} 445 && echo in; done"
    with world.peer.services(stream=Service(f"bash -c '{stream}'")):
        guard.run("systemctl kill --signal=KILL ipsecfd")
        guard.wait_until(
            "[ $(systemctl is-active ipsecfd) = active ] &&"
            f" [ $(systemctl show --value -p MainPID ipsecfd) != {pid} ]"
        )
        guard.wait_until("ipsecfd mode | grep -qx secure")
        assert reached(world) == ONLY_WEB
    assert "in" not in world.peer.said("stream").split()


@pytest.mark.parametrize("jump", ["+3 hours", "-2 days"])
def test_clock_jump(world: Machines, jump: str) -> None:
    """The wall clock leaps, and nobody notices: same process, same verdicts, all logged."""
    guard = world.guard
    pid = guard.run("systemctl show --value -p MainPID ipsecfd")
    guard.run(f"date --set='{jump}'")
    before = len(guard.drops())
    assert reached(world) == ONLY_WEB
    guard.run("sleep 25", seconds=60)  # longer than the watchdog waits
    assert reached(world) == ONLY_WEB
    assert guard.run("systemctl show --value -p MainPID ipsecfd") == pid
    drops = guard.drops()[before:]
    assert {drop["destination_port"] for drop in drops} == {445, None}
    now = guard.run("date --iso-8601=hours").strip()
    assert drops[-1]["time"][:10] == now[:10]


def test_log_rotation_loses_no_record(world: Machines) -> None:
    """Every packet is in the old file or in the new one, once."""
    guard, peer = world.guard, world.peer
    send = "python3 -"
    first, rotated = (_datagrams(start) for start in (20000, 21000))
    peer.run(send, stdin=first)
    guard.run("logrotate --force /etc/logrotate.d/ipsecfd")
    peer.run(send, stdin=rotated)
    guard.run("sleep 2")
    logs = "/var/log/ipsecfd/diagnostic.jsonl"
    lines = guard.run(f"cat {logs}.1 {logs}").splitlines()
    ports = [json.loads(line).get("destination_port") or 0 for line in lines]
    assert sorted(port for port in ports if port >= 20000) == [
        *range(20000, 20100),
        *range(21000, 21100),
    ]
    assert guard.status()["log"]["lost_drops"] == 0


def _datagrams(first: int) -> str:
    """A program that sends one datagram to each of a hundred ports."""
    return f"""
import socket
client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for port in range({first}, {first + 100}):
    client.sendto(b"?", ("{GUARD}", port))
"""


def test_reset_while_the_policy_is_written(world: Machines) -> None:
    """After the reset the old policy is in force or the new one, never none and never block."""
    guard = world.guard
    guard.assign(FILES, "files")
    guard.write("/root/assign.py", ASSIGN_FOR_EVER)
    guard.run("systemd-run --quiet --unit=test-assign /usr/lib/ipsecfd/bin/python3 /root/assign.py")
    guard.wait_until("[ -e /run/assigned ]")
    world.reset(guard)
    _wait_for_secure(guard)
    after = reached(world)
    assert not after["ping"]
    assert after["web"] is not after["files"]
    assert guard.status()["mode"] == "secure"


def _wait_for_secure(guard: Guard) -> None:
    guard.wait_until("systemctl is-active ipsecfd && ipsecfd mode | grep -qx secure")
