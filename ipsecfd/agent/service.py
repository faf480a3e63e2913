"""The service's process: puts the agent together with the real kernel, log, socket and signals."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import signal
import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from ipsecfd.agent.agent import Agent
from ipsecfd.agent.answers import Answers
from ipsecfd.agent.background import background
from ipsecfd.agent.bootfile import BootFile
from ipsecfd.agent.changes import Changes
from ipsecfd.agent.config import Config
from ipsecfd.agent.configurations import Configurations
from ipsecfd.agent.control import ControlServer
from ipsecfd.agent.diagnostics import Diagnostics
from ipsecfd.agent.domain import Domain
from ipsecfd.agent.domaintext import parse as parse_domain
from ipsecfd.agent.events import Event
from ipsecfd.agent.fetch import fetch
from ipsecfd.agent.lock import only_instance
from ipsecfd.agent.noted import Noted
from ipsecfd.agent.packets import PacketProcess
from ipsecfd.agent.parts import Parts
from ipsecfd.agent.pool import Process
from ipsecfd.agent.start import start
from ipsecfd.agent.status import StatusPage
from ipsecfd.agent.systemd import Systemd, is_manager, watchdog_seconds
from ipsecfd.agent.wall_clock import WallClock, words
from ipsecfd.errors import IpsecfdError
from ipsecfd.kernel import counters, flows, rules
from ipsecfd.kernel.boottime import boottime
from ipsecfd.kernel.connections import interfaces, open_connections
from ipsecfd.kernel.expected import Expected
from ipsecfd.kernel.forwarding import forwarding
from ipsecfd.kernel.network.watcher import NetworkWatcher
from ipsecfd.kernel.queue_health import health
from ipsecfd.kernel.rulewatch import RuleWatch
from ipsecfd.policy import files, names
from ipsecfd.policy.stores.host import Stores
from ipsecfd.policy.tomlfile import Loaded

WATCH_SECONDS: Final = 5.0
"""How often the queues' health is looked at, and systemd told that packets are judged."""

COUNT_SECONDS: Final = 5.0
"""Pause between two readings of what the kernel has learnt."""

STOPPED_SECONDS: Final = 0.5
"""A packet process that a signal stopped is replaced if it still is after as long."""

CLOCK_SECONDS: Final = 1.0
"""How often the wall clock is looked at."""

RETRY_SECONDS: Final = 0.5
"""Pause between two tries to put our rules back."""

_TURN_SECONDS: Final = 0.0005
"""How long a thread keeps others waiting, at most: while one compiles a large policy, each of the
many small steps in which rules are put back would wait for Python's usual 5 ms."""

_CAP_NET_ADMIN = 12


def run(config_path: Path | None, policies: Sequence[Path]) -> None:
    """Run the service until it is told to end.

    Raises ConfigurationError for mistakes in the configuration, and IpsecfdError when it cannot
    start for another reason: no privileges, mistakes in a policy that the command names, a second
    instance, a log that cannot be written, a queue that is taken.
    """
    _check_privileges()
    configurations = Configurations(config_path)
    config = configurations.load_first()
    sys.setswitchinterval(_TURN_SECONDS)
    with only_instance(config.control.socket):
        asyncio.run(_serve(config, configurations, [path.absolute() for path in policies]))


async def _serve(config: Config, configurations: Configurations, policies: Sequence[Path]) -> None:
    systemd = Systemd()
    async with AsyncExitStack() as stack:
        log = Diagnostics(config.diagnostics.log, say=_say)
        stack.callback(log.close)
        parts = _parts(config, configurations, log)
        agent = Agent(config, parts, policies=policies, managed=is_manager())
        watcher = await stack.enter_async_context(NetworkWatcher(agent.host_changed))
        agent.host = watcher.host
        changes = Changes(agent)
        await changes.trials.before_start()
        page = StatusPage(agent, log, health=health, forwarding=forwarding)
        answers = Answers(agent, changes, page)
        server = ControlServer(config.control.socket, config.control.group, answers)
        await stack.enter_async_context(server)
        if server.warning:
            page.warn(server.warning)
            _say(f"warning: {server.warning}")

        rule_watch = await stack.enter_async_context(RuleWatch())
        keeping = asyncio.create_task(_keep_rules(agent, rule_watch))
        stack.callback(keeping.cancel)
        stopping = _on_signals(lambda: _reload(changes, systemd))
        starting = asyncio.create_task(start(agent))
        stop = asyncio.create_task(stopping.wait())
        await asyncio.wait((starting, stop), return_when=asyncio.FIRST_COMPLETED)
        if not stopping.is_set():
            starting.result()
            systemd.ready()
            await changes.trials.after_start()
            tasks = [
                keeping,
                watcher.following,
                asyncio.create_task(_end_stopped(agent)),
                asyncio.create_task(_watch(agent, page, systemd)),
                asyncio.create_task(_count(agent)),
                asyncio.create_task(_follow_clock(agent)),
                asyncio.create_task(changes.trials.watch()),
            ]
            if agent.domain is not None:
                tasks.append(asyncio.create_task(changes.domain.follow(agent.domain)))
            await asyncio.wait((stop, *tasks), return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task  # if it failed, so does the service
        else:
            starting.cancel()  # what becomes of it is told by nobody: to end was the order
            with contextlib.suppress(asyncio.CancelledError, IpsecfdError):
                await starting
        systemd.stopping()
        await agent.stop()


def _on_signals(reload: Callable[[], Coroutine[None, None, None]]) -> asyncio.Event:
    """SIGTERM and SIGINT set the event, SIGHUP reloads."""
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    reloads: set[asyncio.Task[None]] = set()

    def on_hangup() -> None:
        task = background(reload())
        reloads.add(task)
        task.add_done_callback(reloads.discard)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    loop.add_signal_handler(signal.SIGHUP, on_hangup)
    return stopping


async def _reload(changes: Changes, systemd: Systemd) -> None:
    systemd.reloading()
    try:
        for note in await changes.reload():
            _say(f"warning: {note}")
    except IpsecfdError:
        pass  # the agent has said and logged it
    finally:
        systemd.ready()


async def _watch(agent: Agent, page: StatusPage, systemd: Systemd) -> None:
    """Look after the queues, and tell systemd that packets are judged as long as they are."""
    wanted = watchdog_seconds()
    pause = min(WATCH_SECONDS, wanted / 3) if wanted else WATCH_SECONDS
    while True:
        page.watch()
        systemd.status(f"{agent.mode} mode, {agent.policies}")
        if all((await agent.pool.reports()).values()):
            systemd.alive()
        await asyncio.sleep(pause)


async def _count(agent: Agent) -> None:
    """Keep the tally up to date. What a flow counts between its last reading and its end is due to
    no filter. Full sets take long to read, so nothing else waits for it."""
    while True:
        await agent.count()
        await asyncio.sleep(COUNT_SECONDS)


async def _follow_clock(agent: Agent) -> None:
    """Log jumps of the wall clock: who reads the log must know."""
    clock = WallClock(lambda: boottime().seconds)
    while True:
        await asyncio.sleep(CLOCK_SECONDS)
        jump = clock.jump()
        if jump is not None:
            agent.event(Event.FAILURE, words(jump), jump_s=round(jump))


async def _end_stopped(agent: Agent) -> None:
    """Have packet processes replaced that a signal stopped; the kernel tells when one may be."""
    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, told.set)
    while True:
        if agent.pool.end_stopped():
            await asyncio.sleep(STOPPED_SECONDS)
        else:
            await told.wait()
            told.clear()


async def _keep_rules(agent: Agent, watch: RuleWatch) -> None:
    """Put our rules back as soon as somebody else has changed them. Now and then they are looked
    at unasked, in case the kernel did not tell."""
    looked, pause = time.monotonic(), WATCH_SECONDS
    while True:
        heard = await watch.changed(pause)
        now = time.monotonic()
        kept = await agent.keep_rules(looked if heard is None else heard)
        looked, pause = (now, WATCH_SECONDS) if kept else (looked, RETRY_SECONDS)


def _parts(config: Config, configurations: Configurations, log: Diagnostics) -> Parts:
    answers_file = config.state_dir / names.FILE_NAME
    stores = Stores(config.state_dir)

    def domain(config: Config) -> Domain | None:
        if not config.domain.source:
            return None
        return Domain(
            config.domain.source,
            fallback=config.domain.fallback == "local",
            fetch=fetch,
            parse=lambda data, source: parse_domain(data, source, names.Names(answers_file)),
            stores=stores,
            clock=time.monotonic,
            now=_now,
        )

    async def start_process(number: int, drops: tuple[int, float]) -> Process:
        level, interval = drops
        return await PacketProcess.start(
            number,
            config.queue.length,
            config.queue.mark,
            log.drops,
            level=level,
            interval=interval,
        )

    return Parts(
        rules=rules,
        read_flows=flows.read_all,
        read_counters=counters.read,
        expected=Expected(),
        noted=Noted(),
        boot_file=BootFile(configurations.load_next),
        start_process=start_process,
        log=log,
        load=lambda path: _load(path, names.Names(answers_file)),
        renew=lambda wanted: names.Names(answers_file).renew(wanted),
        stores=stores,
        domain=domain,
        load_config=configurations.load,
        load_next_config=configurations.load_next,
        say=_say,
        now=_now,
        boottime=boottime,
        connections=open_connections,
        interfaces=interfaces,
    )


def _load(path: Path, answers: names.Names) -> Loaded:
    """A policy file, which must be a plain one: reading a pipe or a device may never end."""
    with contextlib.suppress(OSError):  # files.load says it better
        if not path.is_file() and path.exists():
            raise IpsecfdError(f"{path}: not a plain file; the service reads no pipes or devices")
    return files.load(path, answers)


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def _say(text: str) -> None:
    with contextlib.suppress(OSError):  # a terminal that was closed must not stop the service
        for line in text.splitlines():
            # In one piece: the log's thread may have something to say at the same time.
            sys.stderr.write(f"ipsecfd: {line}\n")
            sys.stderr.flush()


def _check_privileges() -> None:
    """Raises IpsecfdError without CAP_NET_ADMIN, which queues and rules need."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:") and not int(line.split()[1], 16) >> _CAP_NET_ADMIN & 1:
            raise IpsecfdError("packets can only be filtered with CAP_NET_ADMIN: run as root")
