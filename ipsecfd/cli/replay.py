"""`ipsecfd replay`: a capture through the driver, packet by packet or as a summary."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Final, NamedTuple

import typer

from ipsecfd.cli import offline
from ipsecfd.cli.captures import CaptureError, Record, capture_name, records
from ipsecfd.cli.decision_text import decision_fields
from ipsecfd.cli.live import JsonOption
from ipsecfd.cli.replay_summary import Summary
from ipsecfd.cli.usage import usage_errors
from ipsecfd.driver.decision import Decision, Direction
from ipsecfd.driver.driver import Driver
from ipsecfd.driver.sides import Roles

_LOOPBACK_IPV4: Final = 127
_LOOPBACK_IPV6: Final = 1
_PROGRESS_SECONDS: Final = 0.5
_PROGRESS_RECORDS: Final = 1024


class Judged(NamedTuple):
    """One record of a capture, and what becomes of it."""

    number: int
    """From 0, records without an IP packet included."""
    record: Record
    direction: Direction | None
    """None for what is neither from nor to the host, or no IP packet: it is not judged."""
    decision: Decision | None


@offline.with_options
def replay(
    capture: Annotated[
        Path,
        typer.Argument(
            metavar="CAPTURE",
            help="A pcap or pcapng file; - is standard input.",
            show_default=False,
        ),
    ],
    options: offline.Options,
    as_json: JsonOption = False,
) -> None:
    """Say what becomes of the packets of a capture.

    In a summary; with --json an object for each packet. A packet is outbound
    if its source is the host's, else inbound if its destination is the host's,
    multicast or broadcast, else not judged.

    With --policy it needs neither root nor the daemon. If the capture is damaged
    or cut short, what comes before counts, and the exit status is 1.
    """
    with usage_errors():
        situation = options.read()
    offline.print_warnings(situation.warnings)
    judged = judge(records(capture), situation)
    if sys.stderr.isatty() and not (as_json and sys.stdout.isatty()):
        judged = _with_progress(judged)
    summary = Summary()
    count = 0
    damage = None
    try:
        for one in judged:
            count += 1
            if as_json:
                print(json.dumps(judged_fields(one)))
            else:
                summary.add(one.direction, one.decision, one.record)
    except CaptureError as error:
        damage = error
    if not as_json and (count or damage is None):
        print("\n".join(summary.report(capture_name(capture), situation)))
    if damage is not None:
        raise damage


def judge(packets: Iterable[Record], situation: offline.Situation) -> Iterator[Judged]:
    """Decide about the records of a capture, by the capture's own clock."""
    now = 0.0
    driver = Driver(situation.settings, lambda: now)
    roles = Roles(situation.settings.host, situation.settings.profile)
    for index, record in enumerate(packets):
        now = record.time
        direction = None if record.data is None else direction_of(record.data, roles)
        decision = None
        if record.data is not None and direction is not None:
            decision = driver.decide(record.data, direction, situation.interface, record.cut)
        yield Judged(index, record, direction, decision)


def direction_of(data: bytes, roles: Roles) -> Direction | None:
    """Which way a packet goes by its addresses; None if it is neither from nor to the host.

    Loopback addresses are every host's. A packet whose addresses cannot be read has reached the
    host, or it would not be in the capture: it is inbound, and the driver calls it malformed. Own
    IPv6 addresses are unknown in profiles without IPv6, so there only multicast is inbound.
    """
    version = data[0] >> 4 if data else 0
    if version == 4 and len(data) >= 20:
        source, destination = data[12:16], data[16:20]
    elif version == 6 and len(data) >= 40:
        source, destination = data[8:24], data[24:40]
    else:
        return Direction.IN
    if _is_own(version, int.from_bytes(source, "big"), roles):
        return Direction.OUT
    address = int.from_bytes(destination, "big")
    if _is_own(version, address, roles) or roles.group(version, address):
        return Direction.IN
    return None


def _is_own(version: int, address: int, roles: Roles) -> bool:
    if version == 4 and address >> 24 == _LOOPBACK_IPV4:
        return True
    return roles.is_me(version, address) or (version == 6 and address == _LOOPBACK_IPV6)


def judged_fields(one: Judged) -> dict[str, object]:
    """A judged record as the JSON line of the design."""
    return {
        "index": one.number,
        "direction": "other" if one.direction is None else str(one.direction),
        **decision_fields(one.decision),
    }


def _with_progress(judged: Iterable[Judged]) -> Iterator[Judged]:
    """The same, with a count on a line of stderr that goes away at the end."""
    due = time.monotonic() + _PROGRESS_SECONDS
    shown = False
    try:
        for one in judged:
            if one.number % _PROGRESS_RECORDS == 0 and time.monotonic() >= due:
                print(f"\r{one.number:,} packets", end="", file=sys.stderr, flush=True)
                due = time.monotonic() + _PROGRESS_SECONDS
                shown = True
            yield one
    finally:
        if shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
