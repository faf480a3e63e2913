"""What goes wrong on a busy host: each fault closes rather than opens, and the service recovers."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import statistics
import sys
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from threading import Thread

import pytest

from ipsecfd.agent.packet_process import TICK
from ipsecfd.kernel.cache import SIZE
from ipsecfd.kernel.queue_health import Health
from ipsecfd.kernel.room import STANDING
from ipsecfd.lab import Host, Lab
from ipsecfd.lab.daemon import Daemon
from tests.live.asking import FIRST_QUEUE, health_of, status, wait_until_judged
from tests.live.streams import GUARD, PEER, Stream

pytestmark = [pytest.mark.live, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

ALWAYS, SOMETIMES, NEVER, TCP = 7001, 7002, 7003, 7004
POLICY = f"""
name = "Two ports"
[[rule]]
action = "block"
filters = ["me <-> any"]
[[rule]]
action = "permit"
filters = ["any <-> me:{ALWAYS} udp", "any <-> me:{TCP} tcp"]
"""


def eventually(what: Callable[[], bool], seconds: float = 10) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def send(lab: Lab, packet: str, number: int) -> None:
    """Send packets of trafgen's language from the peer, as fast as one core can, to the end."""
    peer, guard = lab["peer"], lab["guard"]
    peer.path("/run/packets.cfg").write_text(
        f"{{ eth(da={guard.mac}, sa={peer.mac}), {packet} }}\n"
    )
    command = ["trafgen", "--dev", "eth0", "--conf", "/run/packets.cfg", "--cpus", "1"]
    peer.run([*command, "--num", str(number)], timeout=60, check=True)


needs_trafgen = pytest.mark.skipif(not shutil.which("trafgen"), reason="needs trafgen")


def arrivals(guard: Host, *matches: str) -> Callable[[], int]:
    """Counts packets behind our rules."""
    rules = "\n".join(f"{match} counter name found drop" for match in matches)
    guard.path("/run/arrived.nft").write_text(f"""
table inet arrived {{
    counter found {{ }}
    chain last {{
        type filter hook input priority 300;
        {rules}
    }}
}}
""")
    guard.run(["nft", "-f", "/run/arrived.nft"], check=True)

    def count() -> int:
        listed = guard.run(["nft", "list", "counter", "inet", "arrived", "found"], check=True)
        return int(listed.stdout.partition("packets ")[2].split()[0])

    return count


def test_killed_agent(lab: Lab) -> None:
    """SIGKILL: what was learnt goes on in the kernel, all else is closed, and the next agent takes
    over without breaking a connection."""
    daemon = lab.start_daemon(POLICY)
    listener = lab["guard"].socket(socket.AF_INET, socket.SOCK_STREAM)
    client = lab["peer"].socket(socket.AF_INET, socket.SOCK_STREAM)
    with listener, client:
        listener.bind((GUARD, TCP))
        listener.listen()
        client.settimeout(10)
        client.connect((GUARD, TCP))
        server, _ = listener.accept()
        with server, Stream(lab, ALWAYS) as learnt, Stream(lab, NEVER) as never:
            server.settimeout(10)
            for _ in range(5):
                client.sendall(b"before")
                assert server.recv(100) == b"before"
            time.sleep(0.3)
            daemon.stop(signal.SIGKILL)
            first = learnt.sent
            time.sleep(0.3)
            last = learnt.sent
            with Stream(lab, ALWAYS + 1000) as other:
                client.sendall(b"between")
                assert server.recv(100) == b"between"
                time.sleep(0.2)
            daemon = lab.start_daemon(POLICY)
            client.sendall(b"after")
            assert server.recv(100) == b"after"
            time.sleep(0.2)
    assert set(range(first, last)) <= set(learnt.arrived)
    assert never.arrived == other.arrived == []
    assert any("was killed or crashed" in one.get("message", "") for one in daemon.records())


def test_two_hundred_reloads(lab: Lab) -> None:
    """SIGHUP after SIGHUP while traffic flows, for one policy and another in turn: nothing is lost,
    nothing opened, and from each reload on its own verdicts hold."""
    daemon = lab.start_daemon(POLICY)
    more = POLICY.replace('filters = ["any', f'filters = ["any <-> me:{SOMETIMES} udp", "any')
    guard = lab["guard"]
    log = daemon.log()
    spans: dict[bool, set[int]] = {True: set(), False: set()}
    with (
        Stream(lab, ALWAYS, rate=500) as always,
        Stream(lab, NEVER, rate=500) as never,
        Stream(lab, SOMETIMES, rate=500) as sometimes,
    ):
        for number in range(1, 201):
            permitted = number % 2 == 1
            daemon.policy_path.write_text(more if permitted else POLICY)
            daemon.send_signal(signal.SIGHUP)
            eventually(lambda: any(one["event"] == 5465 for one in log.new()))
            first = sometimes.sent + 1  # the one before may be under way
            time.sleep(0.02)
            spans[permitted] |= set(range(first, sometimes.sent))
            wait_until_judged(guard)
    assert sorted(always.arrived) == list(range(always.sent))
    assert never.arrived == []
    assert len(spans[True]) > 100 < len(spans[False])
    assert not spans[True].difference(sometimes.arrived)
    assert not spans[False].intersection(sometimes.arrived)


@needs_trafgen
def test_million_flows(lab: Lab) -> None:
    """A scan of a million permitted flows: what is learnt and what is remembered stay bounded, and
    somebody else is judged as ever."""
    daemon = lab.start_daemon(POLICY, {"diagnostics": {"level": 0}})
    guard = lab["guard"]
    count = arrivals(guard, f"udp dport {ALWAYS} ip saddr != {PEER}")
    scan = f"ipv4(saddr=drnd(), daddr={GUARD}), udp(sp=drnd(), dp={ALWAYS}), fill(0, 9)"
    with Stream(lab, NEVER, rate=200) as never:
        send(lab, scan, 1_000_000)
    assert never.arrived == []
    assert count() > 1000
    memory = [one["memory"] for one in status(daemon)["queues"]]
    # One starts with 16 MB, and what it remembers of flows takes some 13 more; of all of these
    # flows it would be 35 or more.
    assert all(0 < one < 40 << 20 for one in memory), memory
    assert memory_of(daemon, guard) < 150 << 20
    assert learnt(guard, "in4_ports_permit") < SIZE / 10  # flows of one packet are not worth it
    with Stream(lab, ALWAYS) as afterwards:
        time.sleep(0.5)
    assert sorted(afterwards.arrived) == list(range(afterwards.sent))


def memory_of(daemon: Daemon, guard: Host) -> int:
    """Bytes that the agent has in use."""
    told = guard.run(["cat", f"/proc/{status(daemon)['pid']}/statm"], check=True).stdout
    return int(told.split()[1]) * os.sysconf("SC_PAGE_SIZE")


@needs_trafgen
def test_full_set(lab: Lab) -> None:
    """More flows than a set holds: those for which there is no room are counted, where people
    look, and judged as ever."""
    daemon = lab.start_daemon(POLICY, {"queue": {"length": 65_536}})
    guard = lab["guard"]
    guard_from_peer = f"eth(da={guard.mac}, sa={lab['peer'].mac})"

    def pairs_of_each_flow() -> None:
        for last in range(1, 5):
            ends = f"ipv4(saddr=10.0.11.{last}, daddr={GUARD})"
            packet = f"{ends}, udp(sp=dinc(20001, 40000), dp={ALWAYS}), fill(0, 9)"
            # Two counters in step: the second packet of a flow comes right behind the first.
            send(lab, f"{packet} }} {{ {guard_from_peer}, {packet}", 40_000)
            wait_until_judged(guard)

    def full() -> bool:
        # New flows may come faster than the kernel makes a set's hash table larger; then it learns
        # them by one of their next packets.
        pairs_of_each_flow()
        return learnt(guard, "in4_ports_permit") == SIZE

    eventually(full, 40)

    def refused() -> int:
        # The kernel's own account: `stats` would read all that is learnt each time.
        listed = guard.run(["nft", "list", "counter", "inet", "ipsecfd", "in_full"], check=True)
        return int(listed.stdout.partition("packets ")[2].split()[0])

    before = refused()
    assert before > 10_000  # of 80,000 flows, a set holds 65,536
    with Stream(lab, ALWAYS) as always, Stream(lab, NEVER) as never:
        time.sleep(0.3)
    assert sorted(always.arrived) == list(range(always.sent))
    assert never.arrived == []
    eventually(lambda: refused() - before >= always.sent - 1)
    told = daemon.cli("stats").stdout
    assert f"\n{refused():,} packets were judged because their flows found no room" in told
    cache = status(daemon)["cache"]
    assert (cache["refused"], cache["flows"]) == (refused(), SIZE)


def learnt(guard: Host, name: str) -> int:
    """How many flows the set of this name and the generation in force holds."""
    sets = guard.run(["nft", "-j", "list", "table", "inet", "ipsecfd"], check=True).stdout
    found = [one["set"] for one in json.loads(sets)["nftables"] if "set" in one]
    return max(
        (len(one.get("elem", ())) for one in found if one["name"].startswith(name)), default=0
    )


FROM4, FROM6 = "10.0.11.9", "2001:db8:66::66"
TO6 = "2001:db8::10"
FLOOD = f"ipv4(saddr={FROM4}, daddr={GUARD}), udp(sp=drnd(), dp={NEVER}), fill(0, 9)"
GARBAGE = (
    # Fragments within whole packets that say that they are parts: the kernel puts together only
    # these. It has no room even for them once it waits for the rest of the others below.
    f"ipv6(saddr={FROM6}, daddr={TO6}, nexthdr=44), 44, fill(0, 7), 6, 0, drnd(6), fill(0, 40)",
    f"ipv4(saddr={FROM4}, daddr={GUARD}, proto=drnd()), drnd(8), fill(0, 32)",
    f"ipv4(saddr={FROM4}, daddr={GUARD}, proto=17, id=drnd(), frag=drnd()), fill(0, 40)",
    f"ipv6(saddr={FROM6}, daddr={TO6}, nexthdr=drnd()), drnd(16), fill(0, 40)",
    f"ipv6(saddr={FROM6}, daddr={TO6}, nexthdr=60), drnd(1), 0, drnd(16), fill(0, 40)",
    f"ipv6(saddr={FROM6}, daddr={TO6}, nexthdr=44), drnd(16), fill(0, 40)",
    FLOOD,
)


@needs_trafgen
def test_garbage(lab: Lab) -> None:
    """A million packets of all kinds as fast as one core sends: nothing that is blocked passes, no
    packet stays without a verdict, and the host is judged as before afterwards."""
    daemon = lab.start_daemon(POLICY)
    count = arrivals(
        lab["guard"],
        f"ip saddr {FROM4} udp dport != {ALWAYS}",
        f"ip saddr {FROM4} tcp dport != {TCP}",
        f"ip saddr {FROM4} meta l4proto != {{ tcp, udp }}",
        f"ip6 saddr {FROM6} udp dport != {ALWAYS}",
        f"ip6 saddr {FROM6} tcp dport != {TCP}",
        f"ip6 saddr {FROM6} meta l4proto != {{ tcp, udp, icmpv6 }}",
    )
    for packet in GARBAGE:
        send(lab, packet, 1_000_000 // len(GARBAGE))
    eventually(lambda: all(one["waiting"] < 5 for one in status(daemon)["queues"]), 20)
    assert count() == 0
    found = status(daemon)
    assert found["restarts"] == 0
    assert {"filter", "malformed", "fragment"} <= {one["reason"] for one in found["packets"]}
    with Stream(lab, ALWAYS) as stream:
        time.sleep(0.3)
    assert sorted(stream.arrived) == list(range(stream.sent))


@pytest.mark.skipif(not shutil.which("ping"), reason="needs ping")
def test_large_pings(lab: Lab) -> None:
    """Packets larger than what is copied of them, by the thousand: each gets its verdict."""
    permitted = POLICY.replace('filters = ["any <->', 'filters = ["any <-> me icmp", "any <->')
    daemon = lab.start_daemon(permitted, {"cache": "off"})
    flood = ["ping", "-q", "-f", "-c", "3000", "-w", "30", "-s", "8000", GUARD]
    told = lab["peer"].run(flood, timeout=40).stdout
    assert "3000 packets transmitted, 3000 received" in told
    (queue,) = status(daemon)["queues"]
    assert (queue["waiting"], queue["dropped_full"], queue["dropped_socket"]) == (0, 0, 0)


def test_full_disk_and_lost_log(lab: Lab) -> None:
    """The log has no room, or its directory is gone: packets are judged as before, status says it,
    and once there is room again the log goes on."""
    guard = lab["guard"]
    guard.path("/run/small").mkdir()
    guard.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", "/run/small"], check=True)
    log = "/run/small/log/diagnostic.jsonl"
    daemon = lab.start_daemon(POLICY, {"diagnostics": {"log": log}})
    with Stream(lab, ALWAYS, rate=500) as always, Stream(lab, NEVER, rate=500) as never:
        guard.run(["dd", "if=/dev/zero", "of=/run/small/filler"])
        eventually(lambda: bool(status(daemon)["log"]["problem"]))
        daemon.reload(POLICY)
        guard.run(["rm", "/run/small/filler"], check=True)
        eventually(lambda: not status(daemon)["log"]["problem"])
        assert any(one.get("event") == 5465 for one in daemon.records())
        guard.run(["rm", "-rf", "/run/small/log"], check=True)
        eventually(lambda: bool(daemon.records()))
    assert "was deleted" in daemon.records()[0].get("message", "")
    assert sorted(always.arrived) == list(range(always.sent))
    assert never.arrived == []


def test_full_state_directory(lab: Lab) -> None:
    """What must be remembered and cannot be is refused whole, and logged; everything else goes on,
    and once there is room again so does this."""
    guard = lab["guard"]
    guard.path("/run/small").mkdir()
    guard.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", "/run/small"], check=True)
    daemon = lab.start_daemon(POLICY, {"state_dir": "/run/small/state"})
    closed = guard.path("/run/lab/closed.toml")
    closed.write_text(POLICY.partition('[[rule]]\naction = "permit"')[0])
    assign = "policy", "assign", "/run/lab/closed.toml"
    with Stream(lab, ALWAYS, rate=500) as always, Stream(lab, NEVER, rate=500) as never:
        guard.run(["dd", "if=/dev/zero", "of=/run/small/filler", "bs=512"])
        refused = daemon.cli(*assign, check=False)
        assert refused.returncode == 1
        assert "No space left on device" in refused.stderr
        assert any(one.get("event") == 5461 for one in daemon.records())
        daemon.reload(POLICY)
        first = always.sent
        time.sleep(0.3)
        guard.run(["rm", "/run/small/filler"], check=True)
        last = always.sent
        daemon.cli(*assign)
        end = always.sent
        time.sleep(0.3)
    assert set(range(first, last - 10)) <= set(always.arrived)
    assert max(always.arrived) <= end
    assert never.arrived == []


@needs_trafgen
def test_full_queue(lab: Lab) -> None:
    """Packets for which there is no room are dropped, and the log says how many; then it goes
    on."""
    daemon = lab.start_daemon(POLICY, {"queue": {"length": 32}, "cache": "off"})
    count = arrivals(lab["guard"], "ip saddr 10.0.11.9")
    send(lab, FLOOD, 100_000)
    assert count() == 0
    eventually(lambda: lost(daemon, "dropped_full") > 0)
    with Stream(lab, ALWAYS, rate=200) as stream:
        time.sleep(0.3)
    assert sorted(stream.arrived) == list(range(stream.sent))


@needs_trafgen
def test_standing_queue(lab: Lab) -> None:
    """In a flood that is more than can be judged hardly any packet waits behind thousands; once it
    is over there is room again for a burst."""
    daemon = lab.start_daemon(POLICY, {"cache": "off"})
    guard = lab["guard"]

    def state() -> Health:
        found = health_of(guard, FIRST_QUEUE)
        assert found is not None
        return found

    def stands_short() -> bool:
        """Flood: whether for half a second packets were lost all the time and few waited, most of
        it. There is more room again each time that the sender pauses, on a busy machine often."""
        flood = Thread(target=send, args=(lab, FLOOD, 3_000_000))
        flood.start()
        before, waiting, found = state(), deque[int](maxlen=25), False
        while flood.is_alive():
            time.sleep(0.02)
            now = state()
            if now.dropped_full == before.dropped_full:
                waiting.clear()
            waiting.append(now.waiting)
            short = STANDING / 2 < statistics.median(waiting) <= 2 * STANDING
            found = found or (short and len(waiting) == waiting.maxlen)
            before = now
        flood.join()
        return found

    eventually(stands_short, 120)
    wait_until_none_waits = partial(eventually, lambda: state().waiting == 0)
    wait_until_none_waits()
    time.sleep(10 * TICK)
    count = arrivals(guard, f"udp dport {ALWAYS}")
    (before,) = status(daemon)["queues"]
    # Faster than they can be judged: some thousands wait.
    send(lab, f"ipv4(saddr={FROM4}, daddr={GUARD}), udp(sp=1, dp={ALWAYS})", 10_000)
    wait_until_none_waits()
    assert count() == 10_000
    (after,) = status(daemon)["queues"]
    assert {**after, "memory": 0} == {**before, "memory": 0}


@needs_trafgen
def test_full_socket(lab: Lab) -> None:
    """So it is with packets for which the socket of a packet process has no room."""
    daemon = lab.start_daemon(POLICY, {"cache": "off"})
    (queue,) = status(daemon)["queues"]
    lab["guard"].run([sys.executable, "-c", SMALL_SOCKET, str(queue["pid"])], check=True)
    count = arrivals(lab["guard"], "ip saddr 10.0.11.9")
    send(lab, FLOOD, 100_000)
    assert count() == 0
    eventually(lambda: lost(daemon, "dropped_socket") > 0)
    (after,) = status(daemon)["queues"]
    assert (after["pid"], after["dropped_full"]) == (queue["pid"], 0)
    assert after["waiting"] < 5
    with Stream(lab, ALWAYS, rate=200) as stream:
        time.sleep(0.3)
    assert sorted(stream.arrived) == list(range(stream.sent))


SMALL_SOCKET = """
import ctypes, os, socket, sys

libc = ctypes.CDLL(None, use_errno=True)
pid = int(sys.argv[1])
process = os.pidfd_open(pid)
for name in os.listdir(f"/proc/{pid}/fd"):
    if os.readlink(f"/proc/{pid}/fd/{name}").startswith("socket:"):
        one = socket.socket(fileno=libc.syscall(438, process, int(name), 0))  # pidfd_getfd
        if one.family == socket.AF_NETLINK:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
"""
"""Leaves a process only a small buffer for what the kernel sends it."""


def lost(daemon: Daemon, why: str) -> int:
    """How many packets the log says the queue has lost."""
    return sum(one.get(why, 0) for one in daemon.records())
