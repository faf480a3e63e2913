"""The steps of the bench. Contestants take turns within a step, so that noise favours nobody."""

from __future__ import annotations

import contextlib
import datetime
import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from ipsecfd.agent.config import Config
from ipsecfd.kernel.rules import NFT_QUEUE
from ipsecfd.lab import Daemon, Lab
from ipsecfd.lab.daemon import POLICY
from tests.bench import contestants, load, mix
from tests.bench.contestants import Setup
from tests.bench.figures import Results

FEW, MANY, HUGE = 10, 10_000, 100_000
SIZES = (10, 100, 1_000, 10_000)
"""Numbers of filters or rules in the plot."""
QUEUED, CACHED, BARE = "ipsecfd, queued", "ipsecfd, cached", "bare queue"
ONE_FLOW, FULL_LOAD, NEW_FLOWS, MANY_FLOWS = "one flow", "full load", "new flows", "16 hosts"
PING_TURNS = 6
"""How often a ping is measured in a round."""
STREAM_TURNS, STREAM_LENGTHS = 4, 2
"""How often a TCP stream is measured in a round, and for how many times as long as a flood."""
FLOOD_TURNS = 4
"""How often a flood is measured in a round where numbers of filters are compared: they differ by
less than the noise of one."""
_LENGTH = Config().queue.length


@dataclass(frozen=True)
class Run:
    """How long a run is, and what it found."""

    results: Results
    rounds: int
    seconds: float

    def floods(self, kinds: tuple[str, ...], turns: Mapping[str, Setup], rounds: int) -> None:
        """Packets a second through each contestant."""
        with Lab() as lab:
            arrivals = load.Arrivals(lab, sys.executable)
            for number in range(rounds):
                for name in _turn(turns, number):
                    with turns[name](lab):
                        for kind in kinds:
                            with load.flood(lab, kind):
                                measured = arrivals.measure(self.seconds)
                            self.results.note(name, kind, measured.rate)
                            self.results.note(name, work(kind), measured.work)


def queued(run: Run) -> None:
    """Every packet queued and judged, beside a queue whose callback only accepts."""
    few, many = mix.policy_text(FEW), mix.policy_text(MANY)
    names = {size: f"{QUEUED}, {size:,} filters" for size in (FEW, MANY)}
    run.floods(
        (ONE_FLOW, NEW_FLOWS),
        {
            BARE: lambda lab: contestants.bare(lab, _LENGTH),
            names[FEW]: lambda lab: contestants.ipsecfd(lab, few),
            names[MANY]: lambda lab: contestants.ipsecfd(lab, many),
        },
        FLOOD_TURNS * run.rounds,
    )
    results = run.results
    for size, fresh_bound in ((FEW, 0.5), (MANY, 0.3)):
        one = results.ratios(names[size], BARE, ONE_FLOW)
        new = results.ratios(names[size], BARE, NEW_FLOWS)
        results.figure(f"queued, one flow, {size:,} filters / {BARE}", one, ">= 0.9")
        results.figure(f"queued, new flows, {size:,} filters / {BARE}", new, f">= {fresh_bound}")
    both = results.ratios(names[MANY], names[FEW], ONE_FLOW)
    results.figure(f"queued, one flow, {MANY:,} filters / {FEW} filters", both, ">= 0.95")


def cached(run: Run) -> None:
    """Flows that the kernel has learnt, beside no filter at all and beside the queue.

    What the kernel passes by itself may well be more than one processor can send. So it is
    measured also under the load that all processors make.
    """
    many = mix.policy_text(MANY)
    off, on = f"{QUEUED}, the same run", f"{CACHED}, {MANY:,} filters"
    run.floods(
        (ONE_FLOW, FULL_LOAD, NEW_FLOWS),
        {
            "no filter": contestants.nothing,
            off: lambda lab: contestants.ipsecfd(lab, many),
            on: lambda lab: contestants.ipsecfd(lab, many, cache="on"),
        },
        run.rounds,
    )
    results = run.results
    bound = ">= 0.9" if _hook() == NFT_QUEUE else ">= 0.8"
    for kind in (ONE_FLOW, FULL_LOAD):
        unfiltered = results.ratios(on, "no filter", kind)
        results.figure(f"cached, {kind} / no filter", unfiltered, bound)
        results.figure(f"cached, {kind} / queued", results.ratios(on, off, kind), ">= 2.5")
    # Senders that take all processors leave few to the judge; it does best with one.
    most = results.median(on, FULL_LOAD) / results.median(off, ONE_FLOW)
    results.figure("cached, full load / queued, one flow", most, ">= 2.5")
    # What one sender cannot send, no cache can pass.
    sent = results.ratios("no filter", off, ONE_FLOW)
    results.figure("no filter, one flow / queued", sent)
    alone = results.median("no filter", work(ONE_FLOW))
    for path, name in (("queued", off), ("cached", on)):
        added = results.median(name, work(ONE_FLOW)) - alone
        results.figure(f"{path}, one flow: processor time added to a packet", added, unit="us")
    results.figure("cached, new flows / queued", results.ratios(on, off, NEW_FLOWS), ">= 0.8")


def processes(run: Run) -> None:
    """Two packet processes beside one, for flows of many hosts."""
    few = mix.policy_text(FEW)
    one, two = "1 packet process", "2 packet processes"
    run.floods(
        (MANY_FLOWS,),
        {
            one: lambda lab: contestants.ipsecfd(lab, few),
            two: lambda lab: contestants.ipsecfd(lab, few, processes=2),
        },
        run.rounds,
    )
    run.results.figure(
        "queued, 16 hosts, 2 processes / 1", run.results.ratios(two, one, MANY_FLOWS)
    )


def streams(run: Run) -> None:
    """One TCP stream, beside none filtered and beside a queue whose callback only accepts.

    Its speed depends on where the scheduler happens to put sender, receiver and judge, and changes
    with that several times a second; so a stream is measured for longer than a flood.
    """
    few = mix.policy_text(FEW)
    controls = load.congestion_controls()
    turns: dict[str, Setup] = {
        "no filter": contestants.nothing,
        BARE: lambda lab: contestants.bare_segments(lab, _LENGTH),
        QUEUED: lambda lab: contestants.ipsecfd(lab, few),
        CACHED: lambda lab: contestants.ipsecfd(lab, few, cache="on"),
    }
    results = run.results
    with Lab() as lab:
        for number in range(STREAM_TURNS * run.rounds):
            for name in _turn(turns, number):
                with turns[name](lab):
                    for control in controls:
                        rate = load.tcp_stream(lab, STREAM_LENGTHS * run.seconds, control)
                        results.note(name, stream(control), rate)
    for control in controls:
        kind = stream(control)
        # The bounds are for this machine's own.
        bounds = {QUEUED: ">= 0.8", CACHED: ">= 0.95"} if control == controls[0] else {}
        for name, short in ((QUEUED, "queued"), (CACHED, "cached"), (BARE, BARE)):
            ratio = results.ratios(name, "no filter", kind)
            results.figure(f"{short}, {kind} / no filter", ratio, bounds.get(name, ""))
        # What any queue gives on this machine, and what of that is ours.
        results.figure(f"queued, {kind} / {BARE}", results.ratios(QUEUED, BARE, kind))


def pings(run: Run) -> None:
    """What judging adds to a ping, beside what a queue adds whose callback only accepts; also while
    no processor sleeps, for a ping through a queue waits for one to wake up most of the time."""
    few = mix.policy_text(FEW)
    bounds = {BARE: "", "queued": "<= 80", "cached": "<= 10"}
    turns: dict[str, Setup] = {
        BARE: lambda lab: contestants.bare_segments(lab, _LENGTH),
        "queued": _with(few),
        "cached": _with(few, cache="on"),
    }
    ways: dict[str, Callable[[], contextlib.AbstractContextManager[None]]] = {
        "": contextlib.nullcontext,
    }
    if load.can_stay_awake():
        ways[", processors awake"] = load.awake
    added: dict[str, list[float]] = defaultdict(list)
    with Lab() as lab:
        for number in range(PING_TURNS * run.rounds):
            without = {}
            for way, condition in ways.items():
                with condition():
                    without[way] = load.ping_median(lab, 300)
            for name in _turn(turns, number):
                with turns[name](lab):
                    for way, condition in ways.items():
                        with condition():
                            added[name + way].append(load.ping_median(lab, 300) - without[way])
    for way in ways:
        for name in turns:
            what = f"{name}, added to a ping{way}"
            bound = "" if way else bounds[name]
            run.results.figure(what, added[name + way], bound, "us")


def loading(run: Run) -> None:
    """From file to enforced, and the packet process' memory then."""
    few = mix.policy_text(FEW)
    for size, seconds_bound, memory_bound, rounds in (
        (MANY, "<= 1", "<= 80", run.rounds),
        (HUGE, "<= 6", "<= 400", 1),
    ):
        text = mix.policy_text(size)
        with Lab() as lab, contestants.ipsecfd(lab, few) as daemon:
            times = []
            for _ in range(rounds):
                _reload(daemon, few)
                times.append(_reload(daemon, text))
            status = json.loads(daemon.cli("status", "--json").stdout)
        memory = max(one["memory"] for one in status["queues"]) / 1e6
        what = f"{size:,} filters"
        run.results.figure(f"{what} from file to enforced", times, seconds_bound, "s")
        run.results.figure(f"{what}: packet process", memory, memory_bound, "MB")


def huge(run: Run) -> None:
    """Throughput with ten times as many filters as anybody has."""
    texts = {size: mix.policy_text(size) for size in (FEW, HUGE)}
    names = {size: f"{QUEUED}, {size:,} filters, the same run" for size in texts}
    run.floods(
        (ONE_FLOW,),
        {name: _with(texts[size]) for size, name in names.items()},
        FLOOD_TURNS * run.rounds,
    )
    ratio = run.results.ratios(names[HUGE], names[FEW], ONE_FLOW)
    run.results.figure(f"queued, one flow, {HUGE:,} filters / {FEW} filters", ratio, ">= 0.9")


def starting(run: Run) -> None:
    """From the start of the command to the first packet that the policy blocked."""
    times = [_start_to_first_drop() for _ in range(run.rounds)]
    run.results.figure("start to first packet judged", times, "<= 1.5", "s")


def sizes(run: Run) -> None:
    """Packets a second over the number of filters, for what people use today as well: the plot."""
    texts = {size: mix.policy_text(size) for size in SIZES}
    turns: dict[str, Setup] = {"scapy": lambda lab: contestants.scapy(lab, _LENGTH)}
    for size, text in texts.items():
        turns[sized(QUEUED, size)] = _with(text)
        turns[sized(CACHED, size)] = _with(text, cache="on")
        turns[sized("iptables", size)] = _rules(contestants.iptables, size)
        turns[sized("nftables, linear", size)] = _rules(contestants.nftables, size)
    run.floods((ONE_FLOW,), turns, 1)


def stream(control: str) -> str:
    """What the rate of a TCP stream by a congestion control is noted as."""
    return f"TCP stream ({control})"


def work(kind: str) -> str:
    """What the processor time for each packet of a load is noted as."""
    return f"{kind}, processor time"


def sized(name: str, size: int) -> str:
    """A contestant's name in the plot's step."""
    return f"{name} ({size})"


def _hook() -> str:
    """How packets come to a queue on this kernel."""
    with Lab() as lab, contestants.ipsecfd(lab, mix.policy_text(FEW)) as daemon:
        status = json.loads(daemon.cli("status", "--json").stdout)
    return str(status["hook"])


def _with(text: str, cache: str = "off") -> Setup:
    return lambda lab: contestants.ipsecfd(lab, text, cache=cache)


def _rules(
    contestant: Callable[[Lab, int], contextlib.AbstractContextManager[None]], size: int
) -> Setup:
    return lambda lab: contestant(lab, size)


def _turn(turns: Mapping[str, Setup], number: int) -> Iterator[str]:
    """Every other round backwards: a machine that tires favours nobody."""
    names = list(turns)
    yield from names if number % 2 == 0 else reversed(names)


def _reload(daemon: Daemon, policy: str) -> float:
    """Seconds from the wish to reload until the new policy is in force, by the daemon's log."""
    daemon.host.path(POLICY).write_text(policy)
    tail = daemon.log()
    start = time.time()
    daemon.send_signal(1)
    while time.time() < start + 60:
        for record in tail.new():
            if record["event"] == 5465:
                return _seconds(record["time"]) - start
        time.sleep(0.01)
    raise RuntimeError("no reload within 60 s")


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
