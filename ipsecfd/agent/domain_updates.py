"""The domain policy fetched and put in force: on demand, and whenever it is time to (spec 1.6)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final

from ipsecfd.agent.agent import Agent
from ipsecfd.agent.domain import Domain
from ipsecfd.agent.events import Event
from ipsecfd.agent.policies import Remembering
from ipsecfd.agent.sources import Places
from ipsecfd.errors import IpsecfdError
from ipsecfd.policy.stores.content import Content

LONGEST_SLEEP: Final = 60.0
"""Seconds; a look on demand may have put off the next one meanwhile, or brought it nearer."""

NO_DOMAIN: Final = (
    "there is no domain policy here: no `source` is set in [domain] of the configuration"
)


class DomainUpdates:
    """Keeps an agent's domain policy as its source has it.

    `places` tells where the other policies are taken from; it raises IpsecfdError while nobody
    knows.
    """

    def __init__(self, agent: Agent, places: Callable[[], Awaitable[Places]]) -> None:
        self._agent = agent
        self._places = places
        self._looking = asyncio.Lock()  # one look at a time, which holds up no other change

    async def look(self) -> str:
        """Fetch the domain policy and have it in force; says what came of it.

        Raises IpsecfdError when there is no source, or it gives nothing that can be applied.
        """
        domain = self._agent.domain
        if domain is None:
            raise IpsecfdError(NO_DOMAIN)
        async with self._looking:
            was_copy = domain.from_copy
            try:
                content = await domain.look()
                if content is None:
                    return "the domain policy has not changed"
                event = Event.DOMAIN_REACHED if was_copy else Event.DOMAIN_APPLIED
                await self._take(domain, content, event)
            except IpsecfdError as error:
                domain.refuse(error)
                self._agent.event(Event.DOMAIN_FAILED, f"domain policy: {error}")
                raise
            try:
                await domain.accept(content)
            except IpsecfdError as error:
                self._agent.event(Event.COPY_FAILED, f"no copy of the domain policy: {error}")
            return "the domain policy is in force"

    async def follow(self, domain: Domain) -> None:
        """Look for the domain policy whenever it is time to, for ever (spec 1.6)."""
        while True:
            await asyncio.sleep(min(domain.next_look, LONGEST_SLEEP))
            if domain.next_look == 0:
                with contextlib.suppress(IpsecfdError):  # logged, and tried again
                    await self.look()

    async def _take(self, domain: Domain, content: Content, event: Event) -> None:
        agent = self._agent
        async with agent.lock:
            places = replace(await self._places(), domain=domain.policy_with(content))
            load = Remembering(agent.parts.load, agent.policies)
            new = await agent.read(places, load=load)
            await agent.put_in_force(new, event, "domain policy applied", places)
