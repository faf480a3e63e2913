"""Who runs: nothing, ipsecfd, a bare queue, scapy on every packet, iptables with as many rules."""

from __future__ import annotations

import contextlib
import ipaddress
import random
import sys
import time
from collections.abc import Callable, Iterator

from ipsecfd.lab import Daemon, Lab
from tests.bench.mix import PORT

QUEUE = 88
Setup = Callable[[Lab], contextlib.AbstractContextManager[object]]
"""Puts a contestant in place on the guard of a lab."""

_BARE = f"""
from netfilterqueue import NetfilterQueue
queue = NetfilterQueue()
queue.bind({QUEUE}, lambda packet: packet.accept(), max_len={{length}}, range=256)
queue.run()
"""

_BARE_SEGMENTS = f"""
import os, select, socket
from netfilterqueue import NetfilterQueue
from ipsecfd.kernel import nfnetlink
last = 0
def hold(packet):
    global last
    last = packet.id
queue = NetfilterQueue()
queue.bind({QUEUE}, hold, max_len={{length}}, range=256, sock_len={{length}} * 2048)
own = socket.socket(fileno=os.dup(queue.get_fd()))
own.send(nfnetlink.queue_flags({QUEUE}, nfnetlink.QUEUE_FLAG_GSO))
accept = nfnetlink.verdict({QUEUE}, nfnetlink.ACCEPT, batch=True)
os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
poll = select.poll()
poll.register(own, select.POLLIN)
while True:
    poll.poll()
    queue.run(block=False)
    accept[-4:] = last.to_bytes(4, "big")
    own.send(accept)
"""

_SCAPY = f"""
from netfilterqueue import NetfilterQueue
from scapy.layers.inet import IP, UDP
def judge(packet):
    dissected = IP(packet.get_payload())
    if UDP in dissected and dissected[UDP].dport == {PORT}:
        packet.accept()
    else:
        packet.drop()
queue = NetfilterQueue()
queue.bind({QUEUE}, judge, max_len={{length}}, range=256)
queue.run()
"""

_RULES = """
from ipsecfd.kernel import rules
rules.{}
"""


@contextlib.contextmanager
def nothing(lab: Lab) -> Iterator[None]:
    """No filter at all."""
    yield


@contextlib.contextmanager
def ipsecfd(lab: Lab, policy: str, *, cache: str = "off", processes: int = 1) -> Iterator[Daemon]:
    """The daemon with a policy; without the cache every packet is queued and judged."""
    config: dict[str, object] = {
        "cache": cache,
        "startup": {"mode": "permit"},
        "queue": {"processes": processes},
    }
    with Daemon(lab["guard"], policy, config) as daemon:
        yield daemon
        daemon.stop()
        _python(lab, _RULES.format("remove()"))


@contextlib.contextmanager
def bare(lab: Lab, length: int) -> Iterator[None]:
    """A NetfilterQueue callback that only accepts, bound with the same copy range and length."""
    with _callback(lab, _BARE.format(length=length)):
        yield


@contextlib.contextmanager
def bare_segments(lab: Lab, length: int) -> Iterator[None]:
    """The same at its best for what comes one by one: segments as large as the kernel makes them,
    accepted in batches, by a process that goes before all ordinary ones, as ours does then."""
    with _callback(lab, _BARE_SEGMENTS.format(length=length)):
        yield


@contextlib.contextmanager
def scapy(lab: Lab, length: int) -> Iterator[None]:
    """A callback that dissects each packet with scapy."""
    with _callback(lab, _SCAPY.format(length=length)):
        yield


@contextlib.contextmanager
def iptables(lab: Lab, rules: int) -> Iterator[None]:
    """As many linear iptables rules, none of which matches the load."""
    random_ = random.Random(1)
    lines = ["*filter", ":INPUT ACCEPT [0:0]", ":FORWARD ACCEPT [0:0]", ":OUTPUT ACCEPT [0:0]"]
    for _ in range(rules):
        address = ipaddress.ip_address(random_.randint(11 << 24, (100 << 24) - 1))
        port = random_.randint(1, 8999)
        lines.append(f"-A INPUT -s {address}/32 -p udp --dport {port} -j DROP")
    guard = lab["guard"]
    guard.path("/run/iptables").write_text("\n".join([*lines, "COMMIT", ""]))
    guard.run(["iptables-restore", "/run/iptables"], check=True)
    try:
        yield
    finally:
        guard.run(["iptables", "-F", "INPUT"])


@contextlib.contextmanager
def nftables(lab: Lab, rules: int) -> Iterator[None]:
    """As many linear nftables rules, none of which matches the load."""
    random_ = random.Random(1)
    lines = ["table inet linear {", "chain input { type filter hook input priority 0;"]
    for _ in range(rules):
        address = ipaddress.ip_address(random_.randint(11 << 24, (100 << 24) - 1))
        lines.append(f"ip saddr {address} udp dport {random_.randint(1, 8999)} drop")
    guard = lab["guard"]
    guard.path("/run/linear.nft").write_text("\n".join([*lines, "}", "}", ""]))
    guard.run(["nft", "-f", "/run/linear.nft"], check=True)
    try:
        yield
    finally:
        guard.run(["nft", "delete", "table", "inet", "linear"], check=True)


@contextlib.contextmanager
def _callback(lab: Lab, source: str) -> Iterator[None]:
    guard = lab["guard"]
    process = guard.popen([sys.executable, "-c", source])
    time.sleep(1.5)  # scapy takes its time
    if process.poll() is not None:
        raise RuntimeError("the queue could not be bound")
    _python(lab, _RULES.format(f"install(rules.RulesConfig(queue={QUEUE}))"))
    try:
        yield
    finally:
        _python(lab, _RULES.format("remove()"))
        guard.send_signal(process, 9)
        process.wait()


def _python(lab: Lab, source: str) -> None:
    lab["guard"].run([sys.executable, "-c", source], check=True)
