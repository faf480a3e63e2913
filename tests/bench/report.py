"""The tables of a run, in a terminal and as docs/performance.md with its plot."""

from __future__ import annotations

import datetime
import os
import platform
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ipsecfd import __version__
from tests.bench import mix, steps
from tests.bench.figures import Results
from tests.bench.load import congestion_controls

PLOT = "performance.svg"
_INTRODUCTION = """\
# How fast ipsecfd is

Written by `sudo make bench`, which measures all of it anew on your machine. Machines differ and are
noisy: compare the ratios, which are taken within one run; absolute numbers are this machine's.
ipsecfd {version}, {today}, Linux {linux}, Python {python}, {processors} processors; two network
namespaces on one machine, so the sender takes one of the processors, and under full load all of
them: one flow from as many senders. Medians of {rounds} rounds in which the contestants take turns,
of {floods} for the bounds on numbers of filters, of {streams} for TCP streams, of {pings} for
pings; the plot is one turn. A ratio is that of each round; ± is by how much such a median may be
another one next time, 19 times of 20, as the notch of a box plot has it.
"""

_ABOUT_THE_BOUNDS = """
A ping and a TCP stream pay for waking a process, more where processors are virtual and sleep, and
where it is not the processor that packets come in on; a bare queue stays on either by chance.
"Processors awake" is the same while none of them sleeps, as `/dev/cpu_dma_latency` has it (tuned's
profile `latency-performance`). A stream's bound is for the congestion control of this machine; what
the usual one makes of a link that nothing slows is told beside it; the first second of each stream
is not counted. One sender cannot send several times what is judged ("no filter, one flow / queued"
is all that the cache could reach there); under full load it shows how much more learnt flows carry,
also than what is judged at its best.
"""

_ABOUT_THE_PLOT = """
## Packets a second over the number of filters

![packets a second over filters]({plot})

One flow of 64-byte UDP, as fast as one processor can send. The rules of iptables and nftables are
linear lists, none of which matches before the end; scapy dissects every packet in a NetfilterQueue
callback and has one rule. {mix}
"""

_LOADS = (steps.ONE_FLOW, steps.FULL_LOAD, steps.NEW_FLOWS, steps.MANY_FLOWS)
_SENTENCE = {True: "met", False: "MISSED", None: ""}


def show(results: Results, console: Console) -> None:
    """Print what was measured."""
    rates = Table(title="Packets a second, 64-byte UDP (median)", title_justify="left")
    for title in ("filter", *_LOADS):
        rates.add_column(title, justify="left" if title == "filter" else "right")
    for row in _rates(results):
        rates.add_row(*row)
    if rates.rows:
        console.print(rates)
    for speeds in _streams(results):
        console.print(speeds)
    console.print(_mix())
    table = Table(title="\nRatios and bounds", title_justify="left")
    for title in ("what", "measured", "bound", ""):
        table.add_column(title, justify="right" if title == "measured" else "left")
    for one in results.figures:
        table.add_row(one.what, one.shown, one.bound, _SENTENCE[one.met])
    console.print(table)


def write(results: Results, directory: Path, rounds: int) -> None:
    """Write performance.md and the plot into a directory."""
    _plot(results, directory / PLOT)
    (directory / "performance.md").write_text("\n".join(_page(results, rounds)) + "\n")


def _page(results: Results, rounds: int) -> Iterator[str]:
    yield _INTRODUCTION.format(
        version=__version__,
        today=datetime.datetime.now(datetime.UTC).date(),
        linux=platform.release(),
        python=platform.python_version(),
        processors=os.cpu_count(),
        rounds=rounds,
        floods=steps.FLOOD_TURNS * rounds,
        streams=steps.STREAM_TURNS * rounds,
        pings=steps.PING_TURNS * rounds,
    )
    yield "| what | measured | at least or at most | |"
    yield "|---|---:|---|---|"
    for one in results.figures:
        yield f"| {one.what} | {one.shown} | {one.bound} | {_SENTENCE[one.met]} |"
    yield _ABOUT_THE_BOUNDS.rstrip()
    yield _ABOUT_THE_PLOT.format(plot=PLOT, mix=_mix())
    yield "## All rates\n"
    yield "Packets a second, 64-byte UDP, median.\n"
    yield f"| filter | {' | '.join(_LOADS)} |"
    yield f"|---|{'---:|' * len(_LOADS)}"
    for row in _rates(results):
        yield f"| {' | '.join(row)} |"
    for speeds in _streams(results):
        yield f"\n{speeds}."


def _mix() -> str:
    return (
        f"The mix of {steps.MANY:,} filters has {mix.groups(steps.MANY)} groups (combinations of"
        " address class, prefix lengths and ports)."
    )


def _rates(results: Results) -> Iterator[list[str]]:
    """A row for each contestant: its name, and its rate under each load it met."""
    for name in dict.fromkeys(name for name, load in results.rates if load in _LOADS):
        found = [results.median(name, load) for load in _LOADS]
        yield [name, *(f"{rate:,.0f}" if rate else "" for rate in found)]


def _streams(results: Results) -> Iterator[str]:
    """How fast a TCP stream was through each contestant, where that was measured."""
    for stream in map(steps.stream, congestion_controls()):
        names = [name for name, load in results.rates if load == stream]
        if names:
            speeds = (f"{name} {results.median(name, stream) / 1e9:.1f}" for name in names)
            yield f"One {stream}, Gbit/s: {'; '.join(speeds)}"


def _plot(results: Results, path: Path) -> None:
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "ipsecfd"  # the same figures give the same file
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 5))
    for name in (steps.CACHED, steps.QUEUED, "iptables", "nftables, linear"):
        rates = [results.median(steps.sized(name, size), steps.ONE_FLOW) for size in steps.SIZES]
        axes.plot(steps.SIZES, rates, marker="o", label=name)
    scapy = results.median("scapy", steps.ONE_FLOW)
    axes.plot(steps.SIZES, [scapy] * len(steps.SIZES), linestyle="--", label="scapy, one rule")
    axes.set(
        xscale="log", yscale="log", xlabel="filters", ylabel="packets a second", ylim=(1e3, None)
    )
    axes.grid(visible=True, which="both", alpha=0.3)
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
