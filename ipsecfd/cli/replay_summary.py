"""What a replayed capture comes to: counts by verdict, by what decided, and what was dropped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from ipsecfd.cli.captures import Record
from ipsecfd.cli.decision_text import half, reason_in_words, source_port_hole, wrap
from ipsecfd.cli.figures import many
from ipsecfd.cli.offline import Situation
from ipsecfd.cli.packet_words import endpoint
from ipsecfd.cli.terminal import width
from ipsecfd.driver.decision import Decision, Direction, Reason
from ipsecfd.driver.packet import Packet, parse, to_address
from ipsecfd.policy.model import by_family, packet_protocol_name

_SHOWN: Final = 15
_CONVERSATIONS: Final = 50_000
"""Dropped conversations that are told apart; a flood of random addresses must not fill memory."""

_Conversation = tuple[Direction, int, int | None, int, int, int | None]
"""Direction, family, protocol, source, destination, destination port."""


class Summary:
    """Counts of a capture; its size does not grow with the capture's."""

    def __init__(self) -> None:
        self._decisions: Counter[tuple[Decision, Direction]] = Counter()
        self._dropped: Counter[_Conversation] = Counter()
        self._further_dropped = 0
        self._strangers = 0
        self._not_ip = 0
        self._too_short = 0
        self._first: float | None = None
        self._last = 0.0

    def add(self, direction: Direction | None, decision: Decision | None, record: Record) -> None:
        """Count one record; without direction and decision it was not judged."""
        if self._first is None:
            self._first = record.time
        self._last = record.time
        if record.data is None:
            self._not_ip += 1
        elif direction is None or decision is None:
            self._strangers += 1
        else:
            self._decisions[decision, direction] += 1
            if not decision.permits:
                self._too_short += record.cut and decision.reason is Reason.MALFORMED
                self._drop(direction, record.data, record.cut)

    def _drop(self, direction: Direction, data: bytes, cut: bool) -> None:
        packet = parse(data, cut)
        if not isinstance(packet, Packet):
            return
        conversation = (
            direction,
            packet.family,
            packet.protocol,
            packet.source,
            packet.destination,
            packet.destination_port if packet.has_ports else None,
        )
        if conversation in self._dropped or len(self._dropped) < _CONVERSATIONS:
            self._dropped[conversation] += 1
        else:
            self._further_dropped += 1

    def report(self, capture: str, situation: Situation) -> Iterator[str]:
        """The summary for people, in lines that fit the terminal, or 80 characters."""
        columns = width(80)
        yield from self._head(capture, situation, columns)
        if self._first is None:
            return
        yield from self._verdicts()
        yield from self._deciders(columns)
        yield from self._drops(columns)
        yield from self._notes(situation.settings.exempt, columns)

    def _notes(self, exempt: int, columns: int) -> Iterator[str]:
        if any(decision.exemption == "EX:KRB" for decision, _ in self._decisions):
            yield ""
            yield from wrap("Warning: ", source_port_hole(exempt), columns)
        if self._too_short:
            yield ""
            yield from wrap(
                "Note: ",
                f"{self._too_short:,} of the malformed packets are cut by the capture itself;"
                " capture at least 96 bytes of each packet",
                columns,
            )

    def _head(self, capture: str, situation: Situation, columns: int) -> Iterator[str]:
        settings = situation.settings
        total = self._decisions.total() + self._strangers + self._not_ip
        seconds = self._last - (self._first or 0.0)
        held = (
            f"{many(total, 'packet')} in {seconds:,.1f} s"
            if total
            else "a capture without a packet"
        )
        yield from wrap("", f"{capture}: {held}", columns)
        addresses = sorted(settings.host.addresses, key=by_family)
        me = ", ".join(map(str, addresses)) or "no address"
        yield from wrap(
            "",
            f"Profile {settings.profile.name}, exemption value {settings.exempt},"
            f" mode {settings.mode}, me = {me}",
            columns,
        )

    def _verdicts(self) -> Iterator[str]:
        counts: Counter[tuple[str, str, Direction]] = Counter()
        for (decision, direction), count in self._decisions.items():
            counts[decision.verdict.value, decision.reason.value, direction] += count
        yield ""
        neither = f"{'Neither':>12}" if self._strangers or self._not_ip else ""
        yield f"{'Verdict':<12}{'Reason':<24}{'In':>12}{'Out':>12}{neither}"
        rows = sorted({key[:2] for key in counts}, reverse=True)
        for verdict, reason in rows:
            inbound, outbound = (
                counts[verdict, reason, direction] for direction in (Direction.IN, Direction.OUT)
            )
            yield f"{verdict:<12}{reason:<24}{inbound:>12,}{outbound:>12,}"
        if self._strangers:
            yield f"{'not judged':<12}{'neither from nor to me':<24}{self._strangers:>36,}"
        if self._not_ip:
            yield f"{'not judged':<12}{'not IP':<24}{self._not_ip:>36,}"

    def _deciders(self, columns: int) -> Iterator[str]:
        counts: Counter[tuple[str, str, str | None]] = Counter()
        for (decision, _), count in self._decisions.items():
            by = reason_in_words(decision)
            if decision.filter is not None:
                by = half(decision.filter, decision.mirrored)
            counts[decision.verdict.value, by, decision.rule] += count
        if not counts:
            return
        yield ""
        yield f"{'Packets':>12}  {'Verdict':<9}Decided by"
        shown = counts.most_common(_SHOWN)
        for (verdict, by, rule), count in shown:
            yield from wrap(f"{count:>12,}  {verdict:<9}", by, columns)
            if rule is not None:
                yield from wrap(" " * 23 + "rule ", rule, columns)
        yield from _others(counts.total() - sum(count for _, count in shown))

    def _drops(self, columns: int) -> Iterator[str]:
        if not self._dropped:
            return
        yield ""
        yield f"{'Packets':>12}  Dropped most"
        shown = self._dropped.most_common(_SHOWN)
        for conversation, count in shown:
            yield from wrap(f"{count:>12,}  ", _in_words(conversation), columns)
        told = sum(count for _, count in shown)
        yield from _others(self._dropped.total() + self._further_dropped - told)


def _others(count: int) -> Iterator[str]:
    if count:
        yield f"{count:>12,}  others"


def _in_words(conversation: _Conversation) -> str:
    direction, family, protocol, source, destination, port = conversation
    name = "?" if protocol is None else packet_protocol_name(protocol)
    target = endpoint(str(to_address(family, destination)), port)
    return f"{direction!s:<4}{name} {to_address(family, source)} -> {target}"
