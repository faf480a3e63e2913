"""A scenario played: probes sent, changes made, and whether everything went as expected."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ipsecfd.driver.decision import Decision, Reason
from ipsecfd.driver.modes import Mode
from ipsecfd.lab.daemon import Daemon
from ipsecfd.lab.lab import Lab
from ipsecfd.lab.namespaces import LabError
from ipsecfd.lab.oracle import OPERATIONAL_MODES, decide
from ipsecfd.lab.probes import Probe, Record, Seen
from ipsecfd.lab.scenario import GUARDED, Do, Scenario, Try
from ipsecfd.policy.files import load
from ipsecfd.policy.model import Policy
from ipsecfd.policy.names import Names


@dataclass(frozen=True, slots=True)
class Cause:
    """What decided about a probe."""

    reason: str
    rule: str | None = None
    filter: str | None = None
    mirrored: bool = False
    exemption: str | None = None
    detail: str | None = None
    logged: bool = False
    """Whether the diagnostic log says so; otherwise the driver does, asked outside."""

    @property
    def name(self) -> str:
        """The one word that `by` of a scenario asks for: rule, else exemption, else reason."""
        return self.rule or self.exemption or self.reason


@dataclass(frozen=True, slots=True)
class Result:
    """What a step came to; `seen` and `cause` are None for a step that sends nothing."""

    step: Try | Do
    seen: Seen | None = None
    cause: Cause | None = None

    @property
    def as_expected(self) -> bool:
        """Whether the verdict, and what decided, are what the scenario expects."""
        if isinstance(self.step, Do) or self.seen is None:
            return True
        if self.seen.outcome is not self.step.expect:
            return False
        if self.seen.passed and self.seen.records:
            return False  # logged as dropped, and yet it arrived
        return not self.step.by or (self.cause is not None and self.cause.name == self.step.by)


@dataclass(frozen=True, slots=True)
class Played:
    """A whole scenario's results."""

    scenario: Scenario
    results: tuple[Result, ...]
    records: tuple[Record, ...]
    """The diagnostic log, all of it."""
    seconds: float

    @property
    def tries(self) -> list[Result]:
        """The results of the steps that sent something."""
        return [result for result in self.results if result.seen]

    @property
    def failures(self) -> int:
        """How many were not as expected."""
        return sum(not result.as_expected for result in self.results)


def play(scenario: Scenario) -> Played:
    """Build the hosts, start the daemon, go through the steps, and leave nothing.

    Raises LabError when the lab or the daemon does not work at all.
    """
    started = time.monotonic()
    with Lab(*scenario.hosts) as lab:
        game = _Game(scenario, lab)
        results = tuple(game.results())
        records = tuple(game.daemon.records())
    return Played(scenario, results, records, time.monotonic() - started)


class _Game:
    """The state of a scenario under way."""

    def __init__(self, scenario: Scenario, lab: Lab) -> None:
        self._scenario = scenario
        self._lab = lab
        self._config = scenario.config or {}
        self.daemon: Daemon = lab.start_daemon(scenario.policy, self._config, host=GUARDED)
        self._policy = self._enforced() if scenario.policy else None
        self._mode: Mode | None = Mode.SECURE

    def results(self) -> Iterator[Result]:
        """Go through the steps; tries between two changes go at the same time where they may."""
        waiting: list[Try] = []
        for step in self._scenario.steps:
            if isinstance(step, Do):
                yield from self._try_all(waiting)
                waiting = []
                self._do(step)
                yield Result(step)
                continue
            if self._scenario.in_order or any(_same_flow(step.probe, one.probe) for one in waiting):
                yield from self._try_all(waiting)
                waiting = []
            waiting.append(step)
        yield from self._try_all(waiting)

    def _try_all(self, steps: list[Try]) -> Iterator[Result]:
        seen = self._lab.probe(*(step.probe for step in steps)) if steps else []
        for step, one in zip(steps, seen, strict=True):
            yield Result(step, one, self._cause(one))

    def _do(self, step: Do) -> None:
        guard = self._lab[GUARDED]
        match step.verb:
            case "mode":
                self.daemon.cli("mode", *step.words)
                self._mode = OPERATIONAL_MODES.get(step.words[0])
            case "reload":
                self.daemon.reload(step.policy)
                self._policy = self._enforced()
            case "restart":
                self.daemon.stop()
                self.daemon = self._lab.start_daemon(
                    self._scenario.policy, self._config, host=GUARDED
                )
                self._policy = self._enforced() if self._scenario.policy else None
                self._mode = Mode.SECURE
            case "wait":
                time.sleep(float(step.words[0]))
            case "address":
                change, address = step.words
                (guard.add_address if change == "add" else guard.remove_address)(address)
            case _:
                raise LabError(f"a step that the lab does not know: {step}")

    def _enforced(self) -> Policy:
        """The policy that the daemon was given, read from the very file."""
        return load(self.daemon.policy_path, Names()).policy

    def _cause(self, seen: Seen) -> Cause | None:
        """What decided: about a drop the log says it and nothing else, else the driver."""
        if not seen.passed:
            return _logged(seen.records[0]) if seen.records else None
        if self._mode is None:
            return Cause(Reason.MODE.value, detail="stateful")
        guard = self._lab[GUARDED].seen_by_driver()
        return _decided(decide(seen.probe, guard, self._policy, self._config, self._mode))


def _decided(decision: Decision | None) -> Cause | None:
    if decision is None:
        return None
    return Cause(
        decision.reason.value,
        decision.rule,
        decision.filter,
        decision.mirrored,
        decision.exemption,
        decision.detail,
    )


def _logged(record: Record) -> Cause:
    keys: dict[str, Any] = {key: record.get(key) for key in ("rule", "filter", "detail")}
    mirrored = bool(record.get("mirrored"))
    return Cause(str(record.get("reason")), mirrored=mirrored, logged=True, **keys)


def _same_flow(one: Probe, other: Probe) -> bool:
    """Whether the log could not tell two probes apart: equal ends, or each other's answers."""
    if one.protocol != other.protocol:
        return False
    ends = ((one.source, one.source_port), (one.destination, one.destination_port))
    others = ((other.source, other.source_port), (other.destination, other.destination_port))
    return ends in (others, others[::-1])
