"""The load: floods, streams and pings between the two hosts of a lab, and what arrived of them."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import statistics
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ipsecfd.lab import Lab
from tests.bench.mix import PORT

_COUNTER = f"""
add table inet arrived
add chain inet arrived input {{ type filter hook input priority 300; }}
add rule inet arrived input udp dport {PORT} counter
"""

_SINK = f"""
import socket, time
sink = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sink.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
sink.bind(("192.0.2.10", {PORT}))
time.sleep(3600)
"""

_FLOOD = """{{ eth(da={guard}, sa={peer}),
  ipv4(saddr=192.0.2.{host}, daddr=192.0.2.10, ttl=64, df),
  udp(sp={source}, dp={port}), fill('x', 22) }}
"""


class Measured(NamedTuple):
    """A flood for a while."""

    rate: float
    """Packets a second that arrived."""
    work: float
    """Microseconds that all processors worked for a packet, the sender's work included."""


class Arrivals:
    """Counts the flood's packets behind every filter of the guard."""

    def __init__(self, lab: Lab, python: str) -> None:
        self._guard = lab["guard"]
        self._guard.path("/run/counter.nft").write_text(_COUNTER)
        self._guard.run(["nft", "-f", "/run/counter.nft"], check=True)
        # A socket that takes nothing: no port unreachable goes back, nothing is copied.
        self._guard.popen([python, "-c", _SINK])

    def measure(self, seconds: float) -> Measured:
        """What arrives now."""
        before, start, busy = self._count(), time.monotonic(), _busy()
        time.sleep(seconds)
        packets, lasted = self._count() - before, time.monotonic() - start
        return Measured(packets / lasted, (_busy() - busy) * 1e6 / max(packets, 1))

    def _count(self) -> int:
        listed = self._guard.run(["nft", "-j", "list", "table", "inet", "arrived"], check=True)
        rules = [one["rule"] for one in json.loads(listed.stdout)["nftables"] if "rule" in one]
        return int(rules[0]["expr"][1]["counter"]["packets"])


@contextlib.contextmanager
def flood(lab: Lab, kind: str) -> Iterator[None]:
    """64-byte UDP frames as fast as one processor can send them: "one flow", "16 hosts" (one flow
    each) or "new flows" (random ports of the 16, a million flows, far more than the kernel may
    learn); "full load" is one flow from all processors."""
    peer = lab["peer"]
    source = "drnd(1024,65535)" if kind == "new flows" else "40000"
    hosts = range(100, 116) if kind in ("16 hosts", "new flows") else range(1, 2)
    text = "".join(
        _FLOOD.format(guard=lab["guard"].mac, peer=peer.mac, host=host, source=source, port=PORT)
        for host in hosts
    )
    peer.path("/run/flood.cfg").write_text(text)
    processors = os.cpu_count() if kind == "full load" else 1
    command = ["trafgen", "--dev", "eth0", "--conf", "/run/flood.cfg", "--cpus", str(processors)]
    # The limit ends it even if nobody is left to do so: some 300 seconds of packets.
    sender = peer.popen(
        [*command, "--num", "400000000"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        time.sleep(0.7)
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(sender.pid, signal.SIGKILL)
        sender.wait()


def congestion_controls() -> list[str]:
    """What may steer a TCP stream: how fast one is without a filter depends on it. First this
    machine's own, then that of most hosts, if it is another and there."""
    own = _OWN_CONTROL.read_text().strip()
    usual_too = own != _USUAL_CONTROL and _USUAL_CONTROL in _CONTROLS.read_text().split()
    return [own, _USUAL_CONTROL] if usual_too else [own]


def tcp_stream(lab: Lab, seconds: float, control: str) -> float:
    """Bits a second of one TCP stream from the peer to the guard, by a congestion control.

    Its first second is not counted: a stream is slower in it on processors that have rested, and
    some contestants take longer to start, and so rest longer, than others.
    """
    # What the stream before learnt of the way is forgotten: it may have met another filter.
    lab["peer"].run(["ip", "tcp_metrics", "flush", "all"], check=True)
    lab["guard"].run(["iperf3", "--server", "--daemon", "--one-off"], check=True)
    whole = max(1, round(seconds))  # 0 would be for ever
    client = ["iperf3", "--client", "192.0.2.10", "--json", "--time", str(whole)]
    client += ["--omit", "1", "--congestion", control]
    for _ in range(20):
        done = lab["peer"].run(client, timeout=seconds + 20)
        result = json.loads(done.stdout)
        if "error" not in result:
            return float(result["end"]["sum_received"]["bits_per_second"])
        time.sleep(0.1)
    raise RuntimeError(f"iperf3: {result['error']}")


def ping_median(lab: Lab, count: int) -> float:
    """Median round trip in microseconds."""
    done = lab["peer"].run(["ping", "-i", "0.002", "-c", str(count), "192.0.2.10"], check=True)
    times = [float(one) * 1000 for one in re.findall(r"time=([\d.]+) ms", done.stdout)]
    return statistics.median(times)


def can_stay_awake() -> bool:
    """Whether this kernel manages how its processors sleep, and takes wishes about it."""
    return _LATENCY.exists() and _CPUIDLE.exists() and _CPUIDLE.read_text().strip() != "none"


@contextlib.contextmanager
def awake() -> Iterator[None]:
    """Let no processor of this machine sleep meanwhile, so that none has to be woken."""
    with _LATENCY.open("wb", buffering=0) as wish:
        wish.write(bytes(4))  # no latency at all, as long as the file is open
        yield


def _busy() -> float:
    """Seconds that all processors worked since the machine started."""
    user, nice, system, _, _, irq, softirq, *_ = map(int, _STAT.read_text().split()[1:11])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


_LATENCY = Path("/dev/cpu_dma_latency")
_CPUIDLE = Path("/sys/devices/system/cpu/cpuidle/current_driver")
_STAT = Path("/proc/stat")
_OWN_CONTROL = Path("/proc/sys/net/ipv4/tcp_congestion_control")
_CONTROLS = Path("/proc/sys/net/ipv4/tcp_available_congestion_control")
_USUAL_CONTROL = "cubic"
