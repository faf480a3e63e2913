"""What travels between the agent and a packet process: settings one way, answers the other.

A table of 100,000 filters takes tenths of a second to unpickle in one piece, and no packet is
judged meanwhile. So the filters travel in pieces of a few hundred entries, to be taken in between
packets. What is ten times smaller comes whole with the last piece: the numbers of the addresses
and prefixes, and the filters of tunnel rules.

Counts of what they decided take as long to pickle, and go back in pieces for the same reason: each
answer is any number of messages with some of the counts, and one that ends it.
"""

from __future__ import annotations

import contextlib
import io
import pickle
import socket
import struct
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any, Final, NamedTuple

from ipsecfd.driver.decision import Decision, Direction
from ipsecfd.driver.driver import Settings
from ipsecfd.driver.table import Table

HEADER: Final = struct.Struct("=I")
"""Every message has its length before it."""

PIECE: Final = 256
"""Entries of a mapping in one piece."""

COUNTS: Final = 32
"""Counts in one message."""

Piece = tuple[tuple[str, int, str] | None, Any]
"""Part of a mapping with its place (name of the table, family, field), or, at the end, None with
the Settings, whose mappings are empty."""

_TABLES = ("table", "dialup_table")
_CANDIDATE = "candidate's "  # before the names of the tables of settings that are only compared


class Judged(NamedTuple):
    """How often one decision was made since the packet process last told."""

    direction: Direction
    decision: Decision
    packets: int
    octets: int


def answer(value: object, judged: Iterable[Judged] = ()) -> Iterator[bytes]:
    """An answer as pickled messages, headers included. Each is a pair: whether it ends the answer,
    and some of the counts or, at the end, the value."""
    counts = iter(judged)
    while some := tuple(islice(counts, COUNTS)):
        yield _message((False, some))
    yield _message((True, value))


def _message(content: tuple[bool, object]) -> bytes:
    data = pickle.dumps(content, protocol=5)
    return HEADER.pack(len(data)) + data


class Replies:
    """Sends answers over a socket that does not block, one message at a call at most, so that
    whoever is slow to read them holds nobody up. For use by one thread."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._answers: deque[Iterator[bytes]] = deque()
        self._rest = b""

    def __bool__(self) -> bool:
        """Whether there is something left to send."""
        return bool(self._rest or self._answers)

    def add(self, answer: Iterator[bytes]) -> None:
        """Send another answer behind those that wait."""
        self._answers.append(answer)

    def send_some(self) -> None:
        """Send the next message, or what there is room for."""
        while not self._rest and self._answers:
            self._rest = next(self._answers[0], b"")
            if not self._rest:
                self._answers.popleft()
        with contextlib.suppress(BlockingIOError):
            self._rest = self._rest[self._channel.send(self._rest) :] if self._rest else b""


class PacketReport(NamedTuple):
    """What a packet process has done so far."""

    pid: int
    memory: int
    """Resident memory in bytes."""
    judged: tuple[Judged, ...]
    """What came before it in its answer."""
    faults: int
    """Packets dropped because judging them failed, which is a defect."""
    refused_conversations: int
    """Entries for which stateful start-up mode had no room."""


def pieces(settings: Settings) -> Iterator[bytes]:
    """Settings as pickled pieces, to be fed to an Assembly in this order."""
    buffer = io.BytesIO()
    pickler = pickle.Pickler(buffer, protocol=5)  # one for all: names are sent once
    for piece in _cut(settings):
        buffer.seek(0)
        buffer.truncate()
        pickler.dump(piece)
        yield buffer.getvalue()


class Assembly:
    """Puts pieces together; `feed` returns the Settings with the last one."""

    def __init__(self) -> None:
        self._buffer = io.BytesIO()
        self._unpickler = pickle.Unpickler(self._buffer)  # the agent is the only one who sends
        self._mappings: dict[tuple[str, int, str], dict[int, Any]] = {}

    def feed(self, data: bytes) -> Settings | None:
        """Take the next piece."""
        self._buffer.seek(0)
        self._buffer.truncate()
        self._buffer.write(data)
        self._buffer.seek(0)
        place, value = self._unpickler.load()
        if place is None:
            return self._complete(value)
        self._mappings.setdefault(place, {}).update(value)
        return None

    def _complete(self, settings: Settings) -> Settings:
        candidate = settings.candidate
        if candidate is not None:
            candidate = self._filled(candidate, _CANDIDATE)
        return replace(self._filled(settings, ""), candidate=candidate)

    def _filled(self, settings: Settings, prefix: str) -> Settings:
        tables: dict[str, Any] = {}
        for name in _TABLES:
            table: Table | None = getattr(settings, name)
            if table is not None:
                place = prefix + name
                families = {
                    family: replace(
                        one,
                        pairs=self._mappings.get((place, family, "pairs"), {}),
                        filters=self._mappings.get((place, family, "filters"), {}),
                    )
                    for family, one in table.families.items()
                }
                tables[name] = replace(table, families=families)
        return replace(settings, **tables)


def _cut(settings: Settings) -> Iterator[Piece]:
    candidate = settings.candidate
    if candidate is not None:
        yield from _cut_tables(candidate, _CANDIDATE)
        candidate = _emptied_tables(candidate)
    yield from _cut_tables(settings, "")
    yield None, replace(_emptied_tables(settings), candidate=candidate)


def _cut_tables(settings: Settings, prefix: str) -> Iterator[Piece]:
    for name in _TABLES:
        table: Table | None = getattr(settings, name)
        if table is not None:
            for family, one in table.families.items():
                for field, mapping in (("pairs", one.pairs), ("filters", one.filters)):
                    for some in _batched(mapping):
                        yield (prefix + name, family, field), some


def _emptied_tables(settings: Settings) -> Settings:
    empty: dict[str, Any] = {}
    for name in _TABLES:
        table: Table | None = getattr(settings, name)
        if table is not None:
            families = {
                family: replace(one, pairs={}, filters={}) for family, one in table.families.items()
            }
            empty[name] = replace(table, families=families)
    return replace(settings, **empty)


def _batched(mapping: Mapping[int, Any]) -> Iterator[dict[int, Any]]:
    items = iter(mapping.items())
    while some := dict(islice(items, PIECE)):
        yield some
