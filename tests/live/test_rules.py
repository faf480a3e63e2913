"""Our rules in the kernel while other programs remove or change them."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from typing import Any

import pytest

from ipsecfd.driver.decision import Direction
from ipsecfd.kernel import rules
from ipsecfd.kernel.cache import Generation
from ipsecfd.lab import Lab
from ipsecfd.lab.daemon import Daemon
from tests.builders import packet
from tests.live.asking import HTTP, PING_OUT, passing, wait_until_judged
from tests.live.streams import GUARD, PEER, Stream
from tests.live.witness import Witness, numbered

pytestmark = [pytest.mark.live, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

BLOCK_ALL = """
name = "Closed"
[[rule]]
action = "block"
filters = ["me <-> any"]
"""
NEVER = 7003

EVERYTHING = {"forward": True, "diagnostics": {"level": 0}}
"""Asks for all rules that there are."""


def gaps(daemon: Daemon) -> list[dict[str, Any]]:
    """What the log says of the times without our rules."""
    return [dict(record) for record in daemon.records() if "gap_ms" in record]


def wait_for_gap(daemon: Daemon, number: int = 1) -> dict[str, Any]:
    """The newest record of a gap, once there are so many."""
    deadline = time.monotonic() + 5
    while len(found := gaps(daemon)) < number:
        assert time.monotonic() < deadline, found
        time.sleep(0.01)
    return found[-1]


def our_rules(lab: Lab) -> list[tuple[str, str]]:
    """Chain and handle of each rule in our table."""
    listed = lab["guard"].run(["nft", "-a", "list", "table", "inet", "ipsecfd"]).stdout
    chain, found = "", []
    for line in listed.splitlines():
        if line.endswith("{") or " { # handle " in line:
            chain = line.split()[1]
        elif " # handle " in line:
            found.append((chain, line.rpartition(" ")[2]))
    return found


@pytest.mark.parametrize(
    "script",
    [
        "flush ruleset",  # as Debian's nftables.service begins
        "flush table inet ipsecfd",
        "delete table inet ipsecfd",
        "flush chain inet ipsecfd input",
        "flush chain inet ipsecfd judge",
        "delete chain inet ipsecfd own",
        "insert rule inet ipsecfd input accept",
        "add table inet ipsecfd { flags dormant; }",
        "flush ruleset; add table inet other; add table ip filter",
    ],
)
def test_rules_come_back_at_once(lab: Lab, script: str) -> None:
    """Whatever another program does to our table, the host is closed again within 100 ms, unless
    something holds the machine up three times in a row; the log has the gap with its length."""
    daemon = lab.start_daemon(BLOCK_ALL)
    guard = lab["guard"]
    before = len(our_rules(lab))
    guard.path("/run/other.nft").write_text(script)
    command = "flush chain inet ipsecfd own; " if "delete chain" in script else ""
    for number in (1, 2, 3):
        with Stream(lab, NEVER) as stream:
            time.sleep(0.3)
            guard.run(["nft", f"{command}{script}"], check=True)
            record = wait_for_gap(daemon, number)
            time.sleep(0.3)
        assert record["event"] == 4288
        assert len(our_rules(lab)) == before
        assert passing(lab, HTTP, PING_OUT) == [False, False]
        if record["gap_ms"] <= 100:
            break
    assert 0 <= record["gap_ms"] <= 100
    assert len(stream.arrived) <= 150
    assert not stream.arrived or stream.arrived[-1] - stream.arrived[0] <= 150


def test_rules_come_back_with_new_sets(lab: Lab) -> None:
    """Whatever else changes with our rules: a flow that another program put into a set of ours does
    not stay there."""
    daemon = lab.start_daemon(BLOCK_ALL)
    guard = lab["guard"]
    flow = f"{PEER} . {GUARD} . udp . 5000 . {NEVER}"
    stray = packet(f"in udp {PEER}:5000 -> {GUARD}:{NEVER}")[0]
    add = f"add element inet ipsecfd in4_ports_permit_2 {{ {flow} }}"
    with Witness(lab) as witness:
        guard.run(["nft", add], check=True)
        witness.send(numbered(stray, 1), Direction.IN)
        witness.settle()
        guard.run(["nft", "insert rule inet ipsecfd learn_in counter"], check=True)
        wait_for_gap(daemon)
        witness.send(numbered(stray, 2), Direction.IN)
        witness.settle()
        wait_until_judged(guard)
        assert witness.seen(4) == {1, 2}
        assert witness.passed(4) == {1}


def test_each_single_rule_is_missed(lab: Lab) -> None:
    """Each rule of ours matters: any one that is deleted comes back."""
    daemon = lab.start_daemon(BLOCK_ALL, EVERYTHING)
    number = len(our_rules(lab))
    assert number > 40
    places = range(0, number, 3)
    for gap, place in enumerate(places, 1):
        chain, handle = our_rules(lab)[place]  # after each gap they are others
        delete = ["nft", "delete", "rule", "inet", "ipsecfd", chain, "handle", handle]
        lab["guard"].run(delete, check=True)
        wait_for_gap(daemon, gap)
    assert passing(lab, HTTP, PING_OUT) == [False, False]
    assert len(gaps(daemon)) == len(places)


def test_own_changes_are_no_gap(lab: Lab) -> None:
    """Reloads, modes and addresses change our rules, and nobody tampered with them; what others
    do to tables of their own is no concern of ours."""
    daemon = lab.start_daemon(BLOCK_ALL)
    guard = lab["guard"]
    for number in range(5):
        daemon.reload(BLOCK_ALL)
        daemon.cli("mode", "block")
        daemon.cli("mode", "secure")
        guard.add_address(f"192.0.2.{50 + number}/24")
        guard.run(["nft", "add", "table", "inet", f"other{number}"], check=True)
    time.sleep(0.5)
    assert gaps(daemon) == []


@pytest.mark.parametrize("forward", [False, True])
def test_closed_rules(lab: Lab, forward: bool) -> None:
    """In place of rules that queue or none: nothing passes in or out but loopback, and routed
    packets do unless they are judged as well."""
    guard = lab["guard"]
    guard.set_sysctl("net/ipv4/ip_forward", "1")
    config = rules.RulesConfig(forward=forward)
    sent = [
        packet("in udp 192.0.2.1:1 -> 192.0.2.10:2"),
        packet("out udp 192.0.2.10:1 -> 192.0.2.1:2"),
        packet("forward udp 192.0.2.1:1 -> 198.51.100.7:2"),
    ]
    with Witness(lab) as witness:
        for turn in range(2):
            if turn:
                guard.call(lambda: rules.install(config, Generation(1)))
            guard.call(lambda: rules.close(config))
            for number, (data, direction) in enumerate(sent, 10 * turn + 1):
                witness.send(numbered(data, number), direction)
            witness.settle()
        assert witness.seen(4) == {1, 2, 3, 11, 12, 13}
        assert witness.passed(4) == (set() if forward else {3, 13})
    with guard.socket(socket.AF_INET, socket.SOCK_DGRAM) as mouth:
        mouth.bind(("127.0.0.1", 0))
        mouth.sendto(b"loopback", mouth.getsockname())
        mouth.settimeout(5)
        assert mouth.recv(100) == b"loopback"


def test_changes_and_flushes_at_once(lab: Lab) -> None:
    """A command that comes while our rules are gone is not refused, and holds."""
    daemon = lab.start_daemon(BLOCK_ALL)
    guard = lab["guard"]
    flushing = guard.popen(
        ["sh", "-c", "for i in $(seq 500); do nft flush ruleset; sleep 0.2; done"]
    )
    for mode in ("block", "permit", "secure") * 2:
        daemon.cli("mode", mode)
    guard.send_signal(flushing, signal.SIGKILL)
    wait_for_gap(daemon)
    time.sleep(0.3)
    assert passing(lab, HTTP, PING_OUT) == [False, False]


FLUSH = ["nft", "flush", "ruleset"]
STARTED = 4709
TOLD = (STARTED, 4288, 4288, 5460, 4294)
KILLED, MISSING = "was killed or crashed", "another program removed our rules while no agent ran"


def messages(daemon: Daemon) -> list[str]:
    """What the log has under 4288, in words."""
    return [one["message"] for one in daemon.records() if one["event"] == 4288]


def test_flush_during_a_start(lab: Lab) -> None:
    """While an agent that takes over still reads its policies, the host is closed again at once,
    and the log has the gap."""
    lab.start_daemon(BLOCK_ALL).stop(signal.SIGKILL)
    many = ", ".join(f'"10.{n >> 8}.{n & 255}.0/24 <-> me:{n + 1} tcp"' for n in range(10_000))
    policy = f'{BLOCK_ALL}\n[[rule]]\naction = "permit"\nfilters = [{many}]\n'
    daemon = lab.start_daemon(policy, ready=0)
    while sum(one["event"] == STARTED for one in daemon.records()) < 2:
        assert daemon.process.poll() is None
    with Stream(lab, NEVER) as stream:
        time.sleep(0.05)
        lab["guard"].run(FLUSH, check=True)
        record = wait_for_gap(daemon)
        daemon.wait_ready()
        time.sleep(0.1)
    assert "our rules; this host is closed after at most" in record["message"]
    assert KILLED in messages(daemon)[0]
    assert record["gap_ms"] < 1000
    assert len(stream.arrived) <= record["gap_ms"] + 100
    assert passing(lab, HTTP, PING_OUT) == [False, False]


def test_flush_between_a_crash_and_the_start(lab: Lab) -> None:
    """The next agent closes the host first of all, and logs that rules were missing, once."""
    lab.start_daemon(BLOCK_ALL).stop(signal.SIGKILL)
    lab["guard"].run(FLUSH, check=True)
    daemon = lab.start_daemon(BLOCK_ALL)
    events = [one["event"] for one in daemon.records() if one["event"] in TOLD]
    crashed, missing = messages(daemon)
    assert KILLED in crashed
    assert MISSING in missing
    assert events[-5:] == list(TOLD)
    daemon.stop()
    again = lab.start_daemon(BLOCK_ALL)
    assert len(messages(again)) == 2


TRYING = """
import socket
import sys
from netfilterqueue import COPY_META, NetfilterQueue
from ipsecfd.driver.exemptions import PROFILES
from ipsecfd.kernel import boot, rules
from ipsecfd.kernel.queue_health import health
forward = sys.argv[1] == "routed, too"
rules.install(rules.RulesConfig(forward=forward))
holder = NetfilterQueue()
holder.bind(88, print, mode=COPY_META)
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
    for _ in range(20):
        sender.sendto(b"waits", ("192.0.2.1", 7001))
print(health(88).waiting)
for mode in boot.MODES:
    for forward in (True, False):
        boot.checked_ruleset(boot.Startup(mode, PROFILES["linux"], (), forward=forward))
rules.hook_kind()
print(health(88).waiting)
"""


@pytest.mark.parametrize("judged", ["its own", "routed, too"])
def test_rules_are_tried_without_loss(lab: Lab, judged: str) -> None:
    """What waits in a queue waits on while the kernel is asked whether it would take some rules,
    also those of a configuration for the next start that judges other packets."""
    tried = lab["guard"].run([sys.executable, "-c", TRYING, judged], check=True, timeout=60)
    before, after = map(int, tried.stdout.split())
    assert 20 <= before <= after  # the kernel itself may have sent something


def test_nft_that_fails_is_in_nobodys_way(lab: Lab) -> None:
    """However often rules were refused, those that are not are in place, and nothing is left of
    what was made for the others."""
    guard = lab["guard"]
    failing = guard.path("/run/failing/nft")
    failing.parent.mkdir()
    failing.write_text('#!/bin/sh\n[ "$1" != -f ] || exit 1\nPATH=${PATH#*:} exec nft "$@"\n')
    failing.chmod(0o755)
    install = "from ipsecfd.kernel import rules; rules.install(rules.RulesConfig())"
    path = f"/run/failing:{os.environ['PATH']}"
    for _ in range(4):
        done = guard.run(["env", f"PATH={path}", sys.executable, "-c", install])
        assert "KernelError: nft refused" in done.stderr
        assert "judge" not in guard.run(["nft", "list", "ruleset"], check=True).stdout
    for left in ("judge", "judge2", "judge3"):  # where not even that could be done
        guard.run(["nft", f"add table inet ipsecfd; add chain inet ipsecfd {left}"], check=True)
    guard.run([sys.executable, "-c", install], check=True)
    listed = guard.run(["nft", "list", "table", "inet", "ipsecfd"], check=True).stdout
    assert listed.count("chain judge") == 1
