"""`python -m tests.bench`: run it all, print the table and the ratios with what they should be."""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import os
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from ipsecfd.agent.config import Config
from ipsecfd.lab import Daemon, Lab
from tests.bench import contestants, load, mix

FEW, MANY = 10, 10_000
Setup = Callable[[Lab], contextlib.AbstractContextManager[object]]


@dataclass(frozen=True)
class Figure:
    """One line of the issue's table: what was measured, and what it should at least be."""

    what: str
    measured: float
    unit: str
    bound: str
    """Such as ">= 0.9"; empty for what is only reported."""

    @property
    def met(self) -> bool | None:
        """Whether the bound holds; None when there is none."""
        if not self.bound:
            return None
        sign, limit = self.bound.split()
        return self.measured >= float(limit) if sign == ">=" else self.measured <= float(limit)


class Bench:
    """One run: rates by contestant and load, figures for the end."""

    def __init__(self, rounds: int, seconds: float, console: Console) -> None:
        self.rounds = rounds
        self.seconds = seconds
        self.console = console
        self.rates: dict[tuple[str, str], list[float]] = defaultdict(list)
        self.figures: list[Figure] = []
        self.length = Config().queue.length
        self.policies = {size: mix.policy_text(size) for size in (FEW, MANY)}

    def run(self) -> None:
        """Everything, one lab after the other."""
        with Progress(console=self.console, transient=True) as progress:
            steps = [
                ("floods", self.floods),
                ("TCP streams", self.streams),
                ("pings", self.pings),
                ("loading", self.loading),
                ("starting", self.starting),
            ]
            task = progress.add_task("", total=len(steps))
            for name, step in steps:
                progress.update(task, description=f"{name:12}")
                step()
                progress.advance(task)

    def floods(self) -> None:
        """Packets a second through each contestant, one flow and new flows."""
        few, many = self.policies[FEW], self.policies[MANY]
        turns: dict[str, Setup] = {
            "bare": lambda lab: contestants.bare(lab, self.length),
            f"ipsecfd {FEW}": lambda lab: contestants.ipsecfd(lab, few),
            f"ipsecfd {MANY}": lambda lab: contestants.ipsecfd(lab, many),
        }
        once: dict[str, Setup] = {
            "nothing": contestants.nothing,
            "scapy": lambda lab: contestants.scapy(lab, self.length),
            f"iptables {MANY}": lambda lab: contestants.iptables(lab, MANY),
        }
        with Lab() as lab:
            arrivals = load.Arrivals(lab, sys.executable)
            for number in range(self.rounds):
                # Every other round backwards: a machine that tires favours nobody.
                names = list(turns)[:: 1 if number % 2 == 0 else -1]
                for name in names:
                    self._flood(lab, arrivals, name, turns[name])
            for name, setup in once.items():
                self._flood(lab, arrivals, name, setup)
        for size, fresh_bound in ((FEW, 0.5), (MANY, 0.3)):
            one = self._ratio(f"ipsecfd {size}", "bare", "one flow")
            new = self._ratio(f"ipsecfd {size}", "bare", "new flows")
            self._figure(f"one flow, {size:,} filters / bare queue", one, ">= 0.9")
            self._figure(f"new flows, {size:,} filters / bare queue", new, f">= {fresh_bound}")
        both = self._ratio(f"ipsecfd {MANY}", f"ipsecfd {FEW}", "one flow")
        self._figure(f"one flow, {MANY:,} filters / {FEW} filters", both, ">= 0.95")

    def streams(self) -> None:
        """One TCP stream with and without the queue."""
        with Lab() as lab:
            for _ in range(self.rounds):
                self.rates["nothing", "TCP"].append(load.tcp_stream(lab, self.seconds))
                with contestants.ipsecfd(lab, self.policies[FEW]):
                    rate = load.tcp_stream(lab, self.seconds)
                self.rates[f"ipsecfd {FEW}", "TCP"].append(rate)
        self._figure(
            "TCP stream / unqueued", self._ratio(f"ipsecfd {FEW}", "nothing", "TCP"), ">= 0.8"
        )

    def pings(self) -> None:
        """What judging adds to a ping."""
        added = []
        with Lab() as lab:
            for _ in range(self.rounds):
                without = load.ping_median(lab, 300)
                with contestants.ipsecfd(lab, self.policies[FEW]):
                    added.append(load.ping_median(lab, 300) - without)
        self._figure("median added to a ping", statistics.median(added), "<= 80", "us")

    def loading(self) -> None:
        """10,000 filters from file to enforced, and the packet process' memory then."""
        times = []
        with Lab() as lab, contestants.ipsecfd(lab, self.policies[FEW]) as daemon:
            assert isinstance(daemon, Daemon)
            for _ in range(self.rounds):
                for text in (self.policies[FEW], self.policies[MANY]):
                    seconds = _reload(daemon, text)
                times.append(seconds)
            status = json.loads(daemon.cli("status", "--json").stdout)
        memory = max(one["memory"] for one in status["queues"]) / 1e6
        self._figure(
            f"{MANY:,} filters from file to enforced", statistics.median(times), "<= 1", "s"
        )
        self._figure(f"packet process, {MANY:,} filters", memory, "<= 80", "MB")

    def starting(self) -> None:
        """From the start of the command to the first packet that the policy blocked."""
        times = [_start_to_first_drop() for _ in range(self.rounds)]
        self._figure("start to first packet judged", statistics.median(times), "<= 1.5", "s")

    def _flood(self, lab: Lab, arrivals: load.Arrivals, name: str, setup: Setup) -> None:
        with setup(lab):
            for kind in ("one flow", "new flows"):
                with load.flood(lab, new_flows=kind == "new flows"):
                    self.rates[name, kind].append(arrivals.rate(self.seconds))

    def _ratio(self, one: str, other: str, kind: str) -> float:
        """The median over the rounds of one contestant's rate by another's."""
        pairs = zip(self.rates[one, kind], self.rates[other, kind], strict=True)
        return statistics.median(a / b for a, b in pairs)

    def _figure(self, what: str, measured: float, bound: str, unit: str = "") -> None:
        self.figures.append(Figure(what, measured, unit, bound))

    def print(self) -> None:
        """The tables."""
        rates = Table(title="Packets a second, 64-byte UDP (median)", title_justify="left")
        rates.add_column("filter")
        rates.add_column("one flow", justify="right")
        rates.add_column("new flows", justify="right")
        for name in dict.fromkeys(name for name, kind in self.rates if kind != "TCP"):
            row = [statistics.median(self.rates[name, kind]) for kind in ("one flow", "new flows")]
            rates.add_row(name, *(f"{rate:,.0f}" for rate in row))
        self.console.print(rates)
        for name in ("nothing", f"ipsecfd {FEW}"):
            speed = statistics.median(self.rates[name, "TCP"]) / 1e9
            self.console.print(f"TCP stream, {name}: {speed:.1f} Gbit/s")
        self.console.print(
            f"The mix of {MANY:,} filters has {mix.groups(MANY)} groups (combinations of address"
            " class, prefix lengths and ports)."
        )
        table = Table(title="\nRatios and bounds", title_justify="left")
        for title in ("what", "measured", "bound", ""):
            table.add_column(title, justify="right" if title == "measured" else "left")
        for one in self.figures:
            met = {True: "met", False: "MISSED", None: ""}[one.met]
            table.add_row(one.what, f"{one.measured:.2f} {one.unit}".strip(), one.bound, met)
        self.console.print(table)


def _reload(daemon: Daemon, policy: str) -> float:
    """Seconds from the wish to reload until the new policy is in force, by the daemon's log."""
    from ipsecfd.lab.daemon import POLICY

    daemon.host.path(POLICY).write_text(policy)
    tail = daemon.log()
    start = time.time()
    daemon.send_signal(1)
    while time.time() < start + 30:
        for record in tail.new():
            if record["event"] == 5465:
                return _seconds(record["time"]) - start
        time.sleep(0.01)
    raise RuntimeError("no reload within 30 s")


def _start_to_first_drop() -> float:
    with Lab() as lab:
        sender = lab["peer"].popen([sys.executable, "-c", _TICKER])
        start = time.time()
        policy = 'name = "Block"\n[[rule]]\naction = "block"\nfilters = ["any -> me:7 udp"]\n'
        with Daemon(lab["guard"], policy) as daemon:
            while time.time() < start + 30:
                for record in daemon.records():
                    if record["event"] == 4289:
                        lab["peer"].send_signal(sender, 9)
                        sender.wait()
                        return _seconds(record["time"]) - start
                time.sleep(0.01)
    raise RuntimeError("no packet was judged within 30 s")


_TICKER = """
import socket, time
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for _ in range(6000):
    try:
        sender.sendto(b"tick", ("192.0.2.10", 7))
    except OSError:
        pass
    time.sleep(0.005)
"""


def _seconds(time_text: str) -> float:
    return datetime.datetime.fromisoformat(time_text).timestamp()


def main() -> None:
    """Parse the arguments, run, print."""
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each contestant")
    parser.add_argument("--seconds", type=float, default=2.0, help="length of one measurement")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("ipsecfd: network namespaces need root: sudo make bench")
    console = Console(stderr=arguments.json)
    bench = Bench(arguments.rounds, arguments.seconds, console)
    bench.run()
    bench.print()
    if arguments.json:
        rates = {f"{name}, {kind}": rate for (name, kind), rate in bench.rates.items()}
        figures = [asdict(one) | {"met": one.met} for one in bench.figures]
        print(json.dumps({"rates": rates, "figures": figures}, indent=2))


if __name__ == "__main__":
    main()
