"""A daemon for the commands that talk to one, which answers what a test wants."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from ipsecfd.agent.packet_reports import (
    CacheReport,
    Count,
    FilterCount,
    FilterPage,
    FlowList,
    FlowReport,
    ShadowChange,
    ShadowFlow,
    ShadowReport,
    StatsReport,
    UnreportedReport,
    Why,
)
from ipsecfd.agent.report import (
    DomainReport,
    Foresight,
    LogReport,
    PolicyReport,
    PolicyText,
    QueueReport,
    ReasonCount,
    RuleReport,
    StatusReport,
    StoreReport,
)
from ipsecfd.cli.main import app

SINCE = "2026-01-02T03:04:05+00:00"
POLICY = PolicyReport("Web server", "local", "/etc/ipsecfd/web.toml", "", 2, 1234, SINCE)
DOMAIN = DomainReport(
    *("https://policies.example/web.toml", "Web server", True, False, SINCE, None, SINCE, '"1"')
)
CALM = UnreportedReport(0, None, None)
CACHE = CacheReport(
    *(True, None, 321, 8_765_432, 12_345_678_901, 1234, 98_765, 2, SINCE, 0, None, None)
)
STATUS = StatusReport(
    release="0.1.0",
    pid=4711,
    since=SINCE,
    mode="secure",
    mode_reason=None,
    starting=False,
    trouble=None,
    trial=None,
    started_in="permit",
    startup_mode="stateful",
    profile="linux",
    exempt=3,
    on_failure="block",
    hook="nft queue",
    forward=False,
    version=3,
    policies=[POLICY],
    stores=[StoreReport("persistent", 0, None), StoreReport("local", 3, "Web server")],
    dynamic_rules=1,
    domain=DOMAIN,
    addresses=[f"192.0.2.{number}" for number in range(1, 50)],
    servers={"gateway": ["192.0.2.1"]},
    packets=[ReasonCount("permit", "filter", 1234567), ReasonCount("block", "no-filter", 5)],
    queues=[QueueReport(88, 4712, 20_000_000, 0, 12, 0), QueueReport(89, 0, 0, 0, 0, 0)],
    restarts=1,
    cache=CACHE,
    log=LogReport("/var/log/ipsecfd/diagnostic.jsonl", 7, 0, 14312, 0, None),
    warnings=["Something that a careful administrator wants to know " * 3, "and more"],
)
COUNT = Count(
    *("in", "block", "filter", "Web server", "Block", "me <-> any", True, None, None),
    *(99, 9900, 33, SINCE),
)
FILTER = FilterCount("Web server", "Block", "me <-> any", "block", 99, 9900, 33, SINCE)
FLOW = FlowReport(
    *("in", "permit", None, "tcp", "203.0.113.66", 40000, "192.0.2.10", 80, 1_234_567, 987_654_321),
    *(42, "filter", "Web server", "Web", "any <-> me:80 tcp", False, None),
)
RULE = RuleReport("Block", "as always", False, "lan", "block", "l", ["me <-> any # all"])
SHADOW = ShadowReport(
    *("/etc/ipsecfd/new.toml", "New web server", "local", SINCE, "secure", 12_345, 1_300),
    [
        ShadowChange(
            "in",
            Why("permit", "filter", "Web server", "Web", "any <-> me:80 tcp", False, None, None),
            Why("block", "filter", "New", "Block", "me <-> any", True, None, None),
            1_234,
            [ShadowFlow("tcp", "203.0.113.66", 40000, "192.0.2.10", 80, 1_000)],
            *(7, 200, 34),
        )
    ],
    *(1, 66, 0),
)


class FakeDaemon:
    """Answers by method, one after the other where they are an iterator; `asked` is what it was
    asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[Path, str, dict[str, Any]]] = []
        self.answers: dict[str, Any] = {
            "GetMode": "block",
            "SetMode": None,
            "Status": STATUS,
            "Stats": StatsReport(SINCE, [COUNT], CACHE, CALM),
            "FilterStats": FilterPage(SINCE, 3, [FILTER], 2, None, CACHE, CALM),
            "ListFlows": FlowList(None, 1, 1_234_567, 987_654_321, [FLOW]),
            "GetShadow": SHADOW,
            "StartShadow": [],
            "StopShadow": None,
            "ListPolicies": [POLICY],
            "ShowPolicy": [PolicyText(POLICY, [RULE])],
            "Reload": ["exempt changed from 3 to 0: takes effect at the next start"],
            "AssignPolicy": [],
            "AssignStored": [],
            "UnassignPolicy": [],
            "ResolveNames": ["www.example: 192.0.2.1"],
            "Foresee": Foresight(3, 0, []),
            "Confirm": "mode block",
            "Rollback": "mode block",
            "GetTrial": None,
        }

    def call(self, socket: Path, method: str, **parameters: Any) -> Any:
        self.asked.append((socket, method, parameters))
        answer = self.answers[method]
        if isinstance(answer, Iterator):
            answer = next(answer)
        if isinstance(answer, Exception):
            raise answer
        return answer

    @property
    def methods(self) -> list[str]:
        """The methods that were called."""
        return [method for _, method, _ in self.asked]


def ipsecfd(*arguments: str, typed: str | None = None) -> Result:
    """Run a command; `typed` is what stands on its input."""
    return CliRunner().invoke(app, arguments, input=typed)
