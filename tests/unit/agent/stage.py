"""A stage for the agent: everything it acts through, written down line by line as it happens."""

from __future__ import annotations

import asyncio
import datetime
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from ipsecfd.agent.agent import Agent
from ipsecfd.agent.bootfile import startup_of
from ipsecfd.agent.config import Config, load
from ipsecfd.agent.domain import Domain, Fetched
from ipsecfd.agent.noted import Noted
from ipsecfd.agent.parts import Parts
from ipsecfd.agent.transfer import Judged, PacketReport
from ipsecfd.driver.decision import Decision, Direction, Reason, Verdict
from ipsecfd.driver.driver import Settings
from ipsecfd.driver.modes import Mode
from ipsecfd.driver.shadow import Compared
from ipsecfd.errors import IpsecfdError
from ipsecfd.kernel.boottime import BootTime
from ipsecfd.kernel.cache import Generation
from ipsecfd.kernel.connections import TcpConnection
from ipsecfd.kernel.counters import Counters
from ipsecfd.kernel.errors import KernelError
from ipsecfd.kernel.expected import Expected
from ipsecfd.kernel.flows import Flow
from ipsecfd.kernel.rules import Installed, RulesConfig
from ipsecfd.kernel.standing import ChainState, Standing
from ipsecfd.policy import files
from ipsecfd.policy.model import Action, IPAddress, Policy
from ipsecfd.policy.names import Names, Renewal
from ipsecfd.policy.stores.content import (
    Behaviour,
    Content,
    StoredAction,
    StoredList,
    StoredPolicy,
    StoredRule,
)
from ipsecfd.policy.stores.draft import Draft
from ipsecfd.policy.stores.dynamic import DynamicContent, DynamicDraft, DynamicRule
from ipsecfd.policy.stores.host import Stores
from ipsecfd.policy.tomlfile import Loaded
from tests.builders import generic, policy

BLOCKED = Decision(Verdict.BLOCK, Reason.FILTER, policy="web", rule="r", filter="any <-> any")
NOW = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)


def content(name: str, *filters: str, assigned: bool = True) -> Content:
    """A store with one policy that blocks these filters."""
    draft = Draft()
    draft.add_filter_list(StoredList("l", tuple(map(generic, filters))))
    draft.add_filter_action(StoredAction("a", Behaviour.BLOCK))
    draft.add_policy(StoredPolicy(name, rules=(StoredRule("r", "l", "a"),)))
    if assigned:
        draft.assign(name)
    return draft.content()


def dynamic(*filters: str) -> DynamicContent:
    """Dynamic rules that block these filters inbound (T6)."""
    draft = DynamicDraft()
    for one in filters:
        draft.add_rule(DynamicRule(generic(one), Action.BLOCK, Action.PERMIT))
    return draft.content()


def learnt(*, packets: int, port: int = 80) -> Flow:
    """A TCP flow from a stranger to a port of ours, 100 bytes a packet, learnt just now."""
    ends = (0xCB007142, 0xC000020A, 6, 4000, port)
    key = b"%d" % port
    return Flow(Direction.IN, Verdict.PERMIT, 0, 4, *ends, packets, 100 * packets, 60.0, key)


async def settled(agent: Agent) -> None:
    """Wait until what was learnt before the last change is counted and removed."""
    assert agent.hook._settling is not None
    await agent.hook._settling


class FakeClock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


class FakeProcess:
    """A packet process that judges nothing."""

    def __init__(self, stage: Stage, number: int) -> None:
        self.stage = stage
        self.number = number
        self.settings: Settings | None = None
        self.judged = stage.judged
        """What it has judged and not yet told."""
        self.found: Compared | None = None
        """What it has compared and not yet told."""
        self.died: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.stubborn = False
        """Whether it takes no settings any more."""
        self.stopped = False
        self.refused = 0
        """Conversations that it had no room for."""
        self._asking = asyncio.Lock()

    async def install(self, settings: Settings) -> tuple[Judged, ...]:
        if self.stubborn:
            raise KernelError("packet process 1 did not answer in 10 s")
        async with self._asking:
            if self.stage.taking is not None:
                await self.stage.taking.wait()
        self.settings = settings
        self.stage.note(f"{self.number}: {settings.mode} v{settings.table.version}")
        judged, self.judged = self.judged, ()
        return judged

    async def report(self) -> PacketReport:
        if self.died.done():
            raise KernelError("packet process 1 has ended")
        judged, self.judged = self.judged, ()
        return PacketReport(1000 + self.number, 30_000_000, judged, 0, self.refused)

    async def compared(self) -> Compared | None:
        found, self.found = self.found, None
        return found

    async def set_diagnostics(self, level: int, interval: float) -> None:
        self.stage.note(f"{self.number}: level {level}, interval {interval:g}")

    def kill(self, why: str) -> None:
        self.die(why)

    async def stop(self) -> None:
        self.die("signal 9")

    def die(self, how: str) -> None:
        if not self.died.done():
            self.stage.note(f"{self.number}: ends")
            self.died.set_result(how)


class FakeBootFile:
    """The start-up rules of the next boot, of which only the mode is kept, and of this one."""

    def __init__(self, load_config: Callable[[], Config]) -> None:
        self.kept: list[str] = []
        """The mode of the next boot, each time that it was kept."""
        self.in_force: Mode | None = None
        self.refused = False
        self._load_config = load_config

    def keep(self) -> None:
        if self.refused:
            raise KernelError("nft refused our rules")
        self.kept.append(str(startup_of(self._load_config()).mode))

    def loaded(self) -> Mode | None:
        return self.in_force


class Stage:
    """Rules, processes, policy files and log; `happened` is the transcript since last asked."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.state_dir = directory / "state"
        self.config_text = ""
        self.files: dict[Path, Policy | IpsecfdError] = {}
        self.rules_there = False
        self.refuses_rules = False
        self.queue_taken = False
        self.judged: tuple[Judged, ...] = (Judged(Direction.IN, BLOCKED, 5, 300),)
        """What each packet process judges as soon as it starts."""
        self.tells_learning = False
        """Whether the transcript has what the kernel is told to learn and to forget."""
        self.flows: dict[int, list[Flow]] = {}
        """What the kernel has learnt, by generation."""
        self.reading = threading.Event()
        """What readings of it wait for."""
        self.reading.set()
        self.counters = Counters()
        """What the kernel decided by itself."""
        self.processes: dict[int, FakeProcess] = {}
        self.taking: asyncio.Event | None = None
        """What processes wait for before they take settings."""
        self.said: list[str] = []
        self.events: list[tuple[int, str]] = []
        self.renewals: tuple[Renewal, ...] = ()
        self.stores = Stores(self.state_dir)
        self.clock = FakeClock()
        self.boot = "first boot"
        self.connections: list[TcpConnection] = []
        self.interfaces: dict[IPAddress, str] = {}
        self.source: Content | IpsecfdError | None = None
        """What the domain source gives; None is what it gave before."""
        self.boot_file = FakeBootFile(self.load_config)
        self.expected = Expected(directory / "run")
        self.noted = Noted(directory / "run")
        self._happened: list[str] = []

    def note(self, line: str) -> None:
        self._happened.append(line)

    def happened(self) -> list[str]:
        """What happened since the last call."""
        found, self._happened = self._happened, []
        return found

    def policy_file(self, name: str, *rules: str) -> Path:
        """Write, or rewrite, a policy file whose policy has the file's name."""
        path = Path("/etc/ipsecfd") / name
        self.files[path] = policy(*rules, name=name)
        return path

    def agent(self, *policies: Path, managed: bool = False) -> Agent:
        """A new run of the agent; its host is where the last one left it."""
        config = self.load_config()
        parts = Parts(
            rules=self,
            read_flows=self.read_flows,
            read_counters=lambda: self.counters,
            expected=self.expected,
            noted=self.noted,
            boot_file=self.boot_file,
            start_process=self.start_process,
            log=self,
            load=self.load,
            renew=self.renew,
            stores=self.stores,
            domain=self.domain,
            load_config=self.load_config,
            load_next_config=self.load_config,
            say=self.said.append,
            now=lambda: NOW,
            boottime=lambda: BootTime(self.boot, self.clock()),
            connections=lambda: self.connections,
            interfaces=lambda: self.interfaces,
        )
        return Agent(config, parts, policies=policies, managed=managed)

    def domain(self, config: Config) -> Domain | None:
        """A domain whose source is what `source` says."""
        if not config.domain.source:
            return None
        return Domain(
            config.domain.source,
            fallback=config.domain.fallback == "local",
            fetch=self.fetch,
            parse=self.parse,
            stores=self.stores,
            clock=self.clock,
            now=lambda: NOW,
        )

    async def fetch(self, source: str, etag: str) -> Fetched:
        self.note(f"fetch {source}{f' if not {etag}' if etag else ''}")
        if isinstance(self.source, IpsecfdError):
            raise self.source
        return Fetched(None if self.source is None else b"text", "etag")

    def parse(self, _data: bytes, _source: str) -> Content:
        assert isinstance(self.source, Content)
        return self.source

    def crash(self, agent: Agent) -> None:
        """The end of an agent that nobody asked for: its processes end, the rules stay."""
        for task in agent.pool._guards:
            task.cancel()
        self.processes.clear()
        self.happened()

    # what the agent acts through

    def load(self, path: Path) -> Loaded:
        if path.parent == self.state_dir:
            return files.load(path, Names(keep=False))  # what the agent itself has kept
        found = self.files.get(path, IpsecfdError(f"{path}: cannot be read: No such file"))
        if isinstance(found, IpsecfdError):
            raise found
        return Loaded(found)

    def renew(self, names: Iterable[str]) -> tuple[Renewal, ...]:
        self.note(f"resolve {', '.join(names)}")
        return self.renewals if names else ()

    def load_config(self) -> Config:
        path = self.directory / "ipsecfd.toml"
        path.write_text(f'state_dir = "{self.state_dir}"\n{self.config_text}')
        return load(path)

    async def start_process(self, number: int, drops: tuple[int, float]) -> FakeProcess:
        if self.queue_taken:
            raise KernelError(f"queue {number} cannot be bound, another program uses it")
        self.note(f"{number}: starts")
        self.processes[number] = FakeProcess(self, number)
        return self.processes[number]

    def install(self, config: RulesConfig, generation: Generation | None) -> Installed:
        if self.refuses_rules:
            raise KernelError("nft refused our rules")
        self.rules_there = True
        self.boot_file.in_force = None
        self.note("rules" + (", bypass" if config.bypass else ""))
        self._learns(generation)
        return Installed("nft queue", self.stands())

    def relearn(self, _config: RulesConfig, generation: Generation) -> Standing:
        if self.refuses_rules or not self.rules_there:
            raise KernelError("nft refused our rules")
        self._learns(generation)
        return self.stands()

    def stands(self) -> Standing:
        return frozenset({ChainState("input", b"", b"", ())} if self.rules_there else ())

    def forget(self, _config: RulesConfig, generation: Generation) -> None:
        if self.tells_learning:
            self.note(f"forget {generation.number}")

    def read_flows(self, _config: RulesConfig, generation: Generation) -> list[Flow]:
        assert self.reading.wait(20)
        if self.tells_learning:
            self.note(f"read {generation.number}")
        return self.flows.get(generation.number, [])

    def _learns(self, generation: Generation | None) -> None:
        if self.tells_learning:
            self.note(f"learn {generation.number}" if generation else "learn nothing")

    def close(self, _config: RulesConfig) -> Standing:
        if self.refuses_rules:
            raise KernelError("nft refused our rules")
        self.rules_there = True
        self.boot_file.in_force = None
        self.note("closed")
        return self.stands()

    def remove(self) -> None:
        self.rules_there = False
        self.note("no rules")

    def present(self) -> bool:
        return self.rules_there

    def event(self, event_id: int, message: str, **fields: object) -> None:
        self.events.append((event_id, message))
        self.note(f"event {event_id}")
