"""A start of the agent: its start-up mode, then the policies, then secure mode (spec 6.5)."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from typing import Final

from ipsecfd.agent.agent import NEW, Agent
from ipsecfd.agent.domain import Domain
from ipsecfd.agent.events import Event
from ipsecfd.agent.policies import PolicySet
from ipsecfd.agent.sources import GivenError
from ipsecfd.agent.state import StateError
from ipsecfd.driver.modes import Mode
from ipsecfd.errors import IpsecfdError

FIRST_LOOK_SECONDS: Final = 2.0
"""How long a start waits for a domain policy that is a file, which may be on a slow disk."""


async def start(agent: Agent) -> None:
    """From nothing, or from what an earlier run left, to the policies in force.

    Leftover rules keep the host closed until it is judged in secure mode; where they were to be
    there and are missing, it is closed first. Raises IpsecfdError when there is no way; then
    leftover rules still stand, and there are none where none were before, unless this is the boot
    of a host that had a policy: systemd decides about those.
    The start-up rules of a boot count as leftover: they hold until then, in their own mode.
    """
    parts, hook, pool = agent.parts, agent.hook, agent.pool
    async with agent.lock:
        left = parts.expected.left()
        booted = await asyncio.to_thread(parts.boot_file.loaded)
        # Of rules that filter nothing it is no matter what becomes.
        leftover = booted is Mode.STARTUP_PERMIT or await hook.hold()
        agent.event(Event.STARTED, "the policy agent starts")
        if left is not None and left.pid:
            message = f"the agent before this one, process {left.pid}, was killed or crashed"
            agent.event(Event.FAILURE, message, pid=left.pid)
        _recall(agent, closed=leftover and booted is None and left is None)
        if leftover and booted is None:
            parts.say("rules of an earlier run are there: closed until policies decide")
        elif not leftover and agent.memory.ever_assigned and (left, booted) != (None, None):
            booted, leftover = None, await _closed_first(agent)
        startup_mode = agent.startup_mode(agent.config)
        reading = asyncio.create_task(_first_read(agent))
        try:
            if leftover:
                if booted is not None:
                    agent.entered(booted)
                    agent.started_in = booted
                mode = await _first_mode(agent, reading)
                await pool.open(agent.settings(mode))
                await hook.install(agent.settings(mode))
                agent.entered(mode)
            else:
                await pool.open(agent.settings(startup_mode))
                await hook.install(agent.settings(startup_mode))
                agent.entered(startup_mode)
                agent.started_in = startup_mode
                await agent.enter(await _first_mode(agent, reading))
        except BaseException:
            reading.cancel()
            with contextlib.suppress(asyncio.CancelledError, IpsecfdError):
                await reading
            await _give_up(agent, leftover=leftover)
            raise
        agent.starting = False
        parts.say(f"packets come by {hook.kind}, queue {agent.config.queue.number}")
        await agent.keep_boot_file()


async def _give_up(agent: Agent, *, leftover: bool) -> None:
    """End a start that failed; the rules go or stay, as `start` says."""
    keep = leftover or (agent.managed and agent.memory.ever_assigned)
    if agent.hook.kind and not keep:
        await agent.hook.remove()
    else:
        agent.hook.leave()
    await agent.pool.close()


def _recall(agent: Agent, *, closed: bool) -> None:
    """Learn what earlier runs left; say it if that is nothing because there is no directory, or
    because it is in another one. `closed` as in `Memory.check`."""
    state_dir = agent.config.state_dir
    new = not state_dir.exists()
    try:
        elsewhere = None if agent.places.given else agent.memory.elsewhere()
        agent.places = agent.memory.recall(agent.places, closed=closed)
    except IpsecfdError as error:
        agent.trouble = str(error)
        return
    warning = None
    if elsewhere is not None:
        warning = (
            f"{state_dir} knows of no policy, while {elsewhere} says that one is assigned; copy"
            " what is there and restart ipsecfd, or assign it anew"
        )
    elif new:
        warning = (
            f"{state_dir} is new: no policy was ever assigned here; if there was one, put the"
            " directory back and restart ipsecfd"
        )
    if warning is not None and not agent.places.given:
        agent.warnings[NEW] = warning
        agent.event(Event.FAILURE, warning)


async def _closed_first(agent: Agent) -> bool:
    """Close the host, where rules that were to be in force are missing, and log it; whether it is
    closed. Raises KernelError."""
    missing = "another program removed our rules while no agent ran: packets may have passed"
    if agent.config.on_failure == "permit":
        agent.event(Event.FAILURE, f"{missing}, as on_failure has it")
        return False
    await agent.hook.close()
    agent.event(Event.FAILURE, f"{missing} unjudged; this host is closed until policies decide")
    return True


async def _first_read(agent: Agent) -> PolicySet:
    """The policies of a start; the domain's copy counts until its source was reached."""
    domain = agent.domain
    if domain is not None:
        damaged = None
        try:
            await domain.recall()
        except IpsecfdError as error:
            damaged = error
        # A host that is closed until this is done cannot reach a server.
        if domain.is_local and await _first_look(agent, domain):
            damaged = None
        agent.places = replace(agent.places, domain=domain.policy)
        if damaged is not None:
            agent.event(Event.COPY_FAILED, f"the copy of the domain policy: {damaged}")
            raise damaged
    return await agent.read(agent.places)


async def _first_look(agent: Agent, domain: Domain) -> bool:
    """Whether the domain's file could be read."""
    try:
        async with asyncio.timeout(FIRST_LOOK_SECONDS):
            content = await domain.look()
            if content is not None:
                await domain.accept(content)
    except (IpsecfdError, TimeoutError) as error:
        why = str(error) or f"{domain.source}: not read in {FIRST_LOOK_SECONDS:g} s"
        domain.refuse(IpsecfdError(why))
        agent.event(Event.DOMAIN_FAILED, f"domain policy: {why}")
    return domain.content is not None and not domain.from_copy


async def _first_mode(agent: Agent, reading: asyncio.Task[PolicySet]) -> Mode:
    """The policies of a start, when they are read, and the mode that follows from them.

    A policy that was assigned and cannot be applied is operational block (spec 6.5); a file
    that the command line names is a mistake of the command.
    """
    try:
        policies = await reading
        await asyncio.to_thread(agent.memory.remember, policies, agent.places)
        agent.memory.applied(policies, agent.places)
    except GivenError as error:
        agent.parts.log.event(int(Event.FAILED), f"policy not applied: {error}")
        raise
    except StateError:
        raise  # nothing was kept of the policy: without `state_dir` there is no service
    except IpsecfdError as error:
        agent.trouble = str(error)
    if agent.trouble:
        if agent.memory.ever_assigned:
            agent.memory.note(agent.places)
        agent.event(Event.FAILED, f"what is assigned cannot be applied: {agent.trouble}")
        return Mode.BLOCK
    agent.policies = policies
    if policies.sources:
        agent.applied(Event.APPLIED, "policy applied")
    domain = agent.domain
    if domain is not None and domain.content is not None:
        event = Event.COPY_APPLIED if domain.from_copy else Event.DOMAIN_APPLIED
        what = "the kept copy of the domain policy" if domain.from_copy else "the domain policy"
        agent.event(event, f"{what} counts: {domain.source}")
    return Mode.SECURE
