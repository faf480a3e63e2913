"""A machine that boots with ipsecfd enabled: what holds before anything of it runs, and after."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator

import pytest

from tests.systemd.machine import HERE, PEER, Machine, missing

pytestmark = [pytest.mark.live, pytest.mark.skipif(missing() is not None, reason=str(missing()))]

ALWAYS, AT_BOOT, IN_FORCE, NEVER = 9001, 9002, 9003, 9004
"""Ports of the machine, by when something permits UDP to them."""
PORTS = (ALWAYS, AT_BOOT, IN_FORCE, NEVER)
POLICY = f"""
name = "Two ports"
[[rule]]
action = "block"
filters = ["me <-> any"]
[[rule]]
action = "permit"
filters = ["any <-> me:{ALWAYS} udp", "any <-> me:{IN_FORCE} udp", "me <-> {PEER} icmp"]
"""
STARTUP = f"""
[startup]
exemptions = ["udp:0:{ALWAYS}:inbound", "udp:0:{AT_BOOT}:inbound"]
"""
CONFIG, BOOT_FILE = "/etc/ipsecfd/ipsecfd.toml", "/var/lib/ipsecfd/boot.nft"

WITNESS = "".join(
    f"""
table inet witness {{
    set port{port} {{ typeof ip id; flags dynamic; size 65535; }}
    chain input{port} {{
        type filter hook input priority mangle + 1;
        udp dport {port} add @port{port} {{ ip id }}
    }}
}}"""
    for port in PORTS
)
"""Notes the numbers of the datagrams that come past ipsecfd's rules."""

SENDER = f"""
import select, socket, struct, sys, time
wire = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
address = socket.inet_aton("{HERE}")
for number in range(1, 60000):
    if select.select([sys.stdin], [], [], 0.002)[0]:
        break
    for port in {PORTS}:
        header = struct.pack("!BBHHHBBH", 0x45, 0, 28, number, 0, 64, 17, 0)
        datagram = struct.pack("!HHHH", 9, port, 8, 0)
        try:
            wire.sendto(header + bytes(4) + address + datagram, ("{HERE}", 0))
        except OSError:  # its cable is not there yet
            pass
print(number)
"""
"""Numbered datagrams to each port, two milliseconds apart."""


@pytest.fixture
def machine() -> Iterator[Machine]:
    """Switched off, with ipsecfd enabled, a policy assigned, and a boot file that was kept."""
    machine = Machine()
    try:
        machine.write("/etc/ipsecfd/policy.toml", POLICY)
        machine.write(CONFIG, STARTUP)
        machine.write("/root/witness.nft", WITNESS)
        machine.run("systemctl", "enable", "--now", "ipsecfd")
        machine.run("systemctl", "add-wants", "test.target", "ipsecfd.service")
        machine.run("ipsecfd", "policy", "assign", "/etc/ipsecfd/policy.toml")
        yield machine
    finally:
        machine.close()


def boot(machine: Machine, state: str = "running") -> None:
    """Switch it off and on, and wait until it is."""
    machine.power_off()
    machine.power_on()
    machine.wait_for_boot(state)


def before_the_network(machine: Machine) -> str:
    """What filtered when the network was let up."""
    return machine.run("cat", "/run/rules-before-the-network")


def said(machine: Machine) -> str:
    """The line that the loading of the start-up rules has in the journal."""
    lines = machine.journal("ipsecfd-boot").splitlines()
    (line,) = (one for one in lines if one.startswith("ipsecfd: "))
    return line


def test_enabled_with_the_service(machine: Machine) -> None:
    """Who enables ipsecfd, or disables it, need not know of other units."""
    assert machine.succeeds("systemctl", "is-enabled", "ipsecfd-boot")
    machine.run("systemctl", "disable", "ipsecfd")
    assert not machine.succeeds("systemctl", "is-enabled", "ipsecfd-boot")


def test_agent_takes_over_before_the_network_is_there(machine: Machine) -> None:
    """An ordinary boot: start-up rules, the agent, its policies, and only then the network."""
    boot(machine)
    assert said(machine) == "ipsecfd: stateful mode until the policies are in force"
    assert "queue_in" in before_the_network(machine)
    assert "stateful_in" not in before_the_network(machine)
    assert "stateful mode" in machine.run("ipsecfd", "status")
    assert machine.reaches_peer("icmp")
    assert not machine.reaches_peer("udp")


NFTABLES = """
[Unit]
DefaultDependencies=no
Before=network-pre.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=nft -f /etc/nftables.conf
"""
"""As Debian's service of this name."""


def test_start_up_rules_replace_a_saved_ruleset(machine: Machine) -> None:
    """Whoever saves all rules while ipsecfd runs saves its own, too; the next boot does not begin
    with what it let pass then."""
    machine.write("/etc/systemd/system/nftables.service", NFTABLES)
    machine.run("systemctl", "add-wants", "test.target", "nftables.service")
    assert machine.reaches_peer("icmp")
    # Not every kernel takes "queue" from nft, and where nobody listens it is a drop.
    save = "nft list ruleset | sed -E 's/queue (num|to) [0-9-]+/drop/' >/etc/nftables.conf"
    machine.run("sh", "-c", save)
    boot(machine)
    assert said(machine) == (
        "ipsecfd: stateful mode until the policies are in force, in place of its rules in a saved"
        " ruleset"
    )
    assert "stateful mode" in machine.run("ipsecfd", "status")


def test_damaged_file_closes_until_the_agent_runs(machine: Machine) -> None:
    """Said in one line; the agent has the policies in force and mends the file."""
    machine.run("sh", "-c", f"echo >>{BOOT_FILE}")
    boot(machine)
    assert "boot.nft is damaged: this host is closed until it runs" in said(machine)
    assert machine.reaches_peer("icmp")
    boot(machine)
    assert "stateful mode" in said(machine)


def test_missing_file_opens_where_asked(machine: Machine) -> None:
    """With on_failure = "permit", until the agent runs."""
    machine.write(CONFIG, 'on_failure = "permit"\n')
    machine.run("rm", BOOT_FILE)
    boot(machine)
    assert "boot.nft is missing: nothing is filtered until it runs" in said(machine)
    assert not machine.reaches_peer("udp")


def test_host_whose_state_cannot_be_mounted_is_closed(machine: Machine) -> None:
    """Neither the rules nor the agent's memory can be read, and the agent cannot start."""
    machine.write("/etc/fstab", "/nowhere /var/lib ext4 noauto 0 0\n")
    boot(machine, "degraded")
    assert "/var/lib is not mounted: this host is closed" in said(machine)
    assert "counter packets 0 bytes 0 drop" in before_the_network(machine)
    assert not machine.reaches_peer("icmp")
    machine.run("systemctl", "stop", "ipsecfd")
    machine.wait_until_open()


def test_host_whose_own_file_system_is_missing_stays_closed(machine: Machine) -> None:
    """A `state_dir` on a file system that systemd does not know to be needed: the agent starts, and
    an empty directory does not open the host."""
    machine.write("/etc/fstab", "/nowhere /mnt ext4 noauto 0 0\n")
    machine.write(CONFIG, f'state_dir = "/mnt/ipsecfd"\n{STARTUP}')
    machine.override("[Service]\nReadWritePaths=/mnt\n")
    boot(machine)
    assert "/mnt is not mounted: this host is closed" in said(machine)
    machine.wait_until("active")
    assert not machine.reaches_peer("icmp")
    assert "is its file system mounted?" in machine.run("ipsecfd", "status")


def test_restarted_beside_the_agent_it_changes_nothing(machine: Machine) -> None:
    """Neither a stop nor a start of the start-up rules is one of the service."""
    before = machine.run("nft", "list", "ruleset")
    for command in ("restart", "stop", "start"):
        machine.run("systemctl", command, "ipsecfd-boot")
        assert before == machine.run("nft", "list", "ruleset")


def test_start_up_rules_load_while_tmp_is_emptied(machine: Machine) -> None:
    """systemd-tmpfiles empties /tmp in the same moment of a boot, of what systemd makes there for
    the confinement of a service, too."""
    machine.write("/run/emptying", "while :; do rm -rf /tmp/namespace-*; done")
    emptying = "[Unit]\nDefaultDependencies=no\n[Service]\nExecStart=timeout 30 sh /run/emptying\n"
    machine.write("/run/systemd/system/emptying.service", emptying)
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "start", "emptying")
    for _ in range(5):
        machine.run("systemctl", "restart", "ipsecfd-boot")


def test_start_that_fails_at_boot_closes(machine: Machine) -> None:
    """While nobody judges, the start-up rules are not in force either (on_failure)."""
    machine.write(CONFIG, "profile = 'windows 95'\n")
    boot(machine, "degraded")
    machine.wait_until("failed")
    assert "stateful mode" in said(machine)
    assert "stateful_in" not in machine.run("nft", "list", "table", "inet", "ipsecfd")
    assert not machine.reaches_peer("icmp")


EARLY_NETWORK = f"""
[Unit]
DefaultDependencies=no
After=ipsecfd-boot.service
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=nft -f /root/witness.nft
ExecStart=ip address add {HERE}/24 dev eth1
ExecStart=ip link set eth1 up
"""
"""Does not wait for network-pre.target, as cloud-init does not."""


def test_no_packet_passes_that_no_phase_permits(machine: Machine) -> None:
    """A stream from power-on to secure mode: boot exemptions end where the policy begins, what both
    permit has no gap, and what neither permits never passes."""
    machine.write("/etc/systemd/system/network.service", EARLY_NETWORK)
    machine.override("[Service]\nExecStartPre=sleep 2\n")
    machine.power_off()
    machine.power_on()
    while not machine.peer_is_there():
        time.sleep(0.01)
    sender = subprocess.Popen(
        machine.beside("/usr/bin/python3", "-c", SENDER),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    passed, dropped = while_booting(machine)
    machine.wait_for_boot()
    time.sleep(0.5)
    last = int(sender.communicate(timeout=30)[0])
    always, at_boot, in_force, never = (noted(machine, port) for port in PORTS)
    # The last ones may still be under way.
    assert always == list(range(always[0], always[-1] + 1))
    assert last - always[-1] < 10
    assert at_boot == list(range(always[0], at_boot[-1] + 1))
    assert in_force == list(range(in_force[0], in_force[-1] + 1))
    assert 1 <= in_force[0] - at_boot[-1] <= 2  # one transaction, between two of the stream
    assert never == []
    assert 100 < passed < 2 * len(at_boot) + 10
    assert 100 < dropped < 2 * len(at_boot) + 10
    counts = json.loads(machine.run("ipsecfd", "stats", "--json"))["counts"]
    judged = sum(one["packets"] for one in counts if one["direction"] == "in")
    assert judged > 4 * len(in_force) - 50


def while_booting(machine: Machine) -> tuple[int, int]:
    """How many packets the start-up rules have let in and dropped, once they have."""
    end = time.monotonic() + 20
    while True:
        assert time.monotonic() < end
        try:
            chain = machine.run(
                "nft", "-j", "list", "chain", "inet", "ipsecfd", "stateful_in", ok=False
            )
            rules = json.loads(chain)["nftables"]
        except (LookupError, ValueError):
            continue
        passed = dropped = 0
        for rule in (one["rule"]["expr"] for one in rules if "rule" in one):
            for counter in (one["counter"]["packets"] for one in rule if "counter" in one):
                if "accept" in rule[-1]:
                    passed += counter
                else:
                    dropped += counter
        if min(passed, dropped) > 100:
            return passed, dropped


def noted(machine: Machine, port: int) -> list[int]:
    """The numbers of the datagrams that came to a port."""
    listed = machine.run("nft", "-j", "list", "set", "inet", "witness", f"port{port}")
    (found,) = (one["set"] for one in json.loads(listed)["nftables"] if "set" in one)
    return sorted(int(one) for one in found.get("elem", ()))
