"""The domain policy: where it is looked for, when next, and what was found (spec 1.5, 1.6).

Nothing here waits: whoever calls `look` asks `next_look` when to call it again.
"""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from ipsecfd.agent.sources import DomainPolicy, StoreFiles
from ipsecfd.errors import IpsecfdError
from ipsecfd.policy.model import Store
from ipsecfd.policy.stores.content import DEFAULT_POLLING, Content

LONGEST_RETRY: Final = 166
"""Minutes between two tries at a source that cannot be reached (spec 1.6)."""
SHORTEST_POLLING: Final = 60
"""Seconds; a policy cannot ask for more work than that."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a source gave."""

    data: bytes | None
    """None when it has not changed since the last look."""
    etag: str = ""
    """What to show it the next time."""


Fetch = Callable[[str, str], Awaitable[Fetched]]
"""Fetches a path or URL that had this etag last time; raises IpsecfdError."""
Parse = Callable[[bytes, str], Content]
"""The policies in a text from this source, one of them assigned; raises IpsecfdError."""


class Domain:
    """What is known of the domain policy, and of the source it comes from."""

    def __init__(
        self,
        source: str,
        *,
        fallback: bool,
        fetch: Fetch,
        parse: Parse,
        stores: StoreFiles,
        clock: Callable[[], float],
        now: Callable[[], datetime.datetime],
    ) -> None:
        self.source = source
        self.content: Content | None = None
        self.from_copy = False
        """Whether the content is the kept copy, because the source was not reached yet."""
        self.etag = ""
        self.last_success: datetime.datetime | None = None
        self.error: str | None = None
        """Why the last look failed; None when it did not, or there was none yet."""
        self._fallback = fallback
        self._fetch = fetch
        self._parse = parse
        self._stores = stores
        self._clock = clock
        self._now = now
        self._etag_found = ""
        self._retry = 0
        self._due = clock()

    @property
    def is_local(self) -> bool:
        """Whether the source is a file of this host."""
        return self.source.startswith("/")

    @property
    def next_look(self) -> float:
        """Seconds until the next look is due."""
        return max(0.0, self._due - self._clock())

    @property
    def policy(self) -> DomainPolicy:
        """What is known, for `sources.gather`."""
        return self.policy_with(self.content)

    def policy_with(self, content: Content | None) -> DomainPolicy:
        """What would be known with this content."""
        return DomainPolicy(self.source, content, self._fallback)

    async def recall(self) -> None:
        """Take the copy that an earlier run kept; raises IpsecfdError when it is damaged."""
        kept = await asyncio.to_thread(self._stores.read, Store.DOMAIN)
        if kept != Content():
            self.content, self.from_copy = kept, True

    async def look(self) -> Content | None:
        """Fetch the policy; None if it is the known one. Raises IpsecfdError.

        What is returned counts once it is accepted; after any failure call `refuse`.
        """
        fetched = await self._fetch(self.source, self.etag)
        content = None
        if fetched.data is not None:
            content = await asyncio.to_thread(self._parse, fetched.data, self.source)
        self._etag_found = fetched.etag
        if content is None or (content == self.content and not self.from_copy):
            self._succeed()
            return None
        return content

    async def accept(self, content: Content) -> None:
        """Have this for the policy from now on, and keep a copy of it.

        Raises IpsecfdError when none can be kept.
        """
        self.content, self.from_copy = content, False
        self._succeed()
        await asyncio.to_thread(self._stores.replace, Store.DOMAIN, content)

    def refuse(self, error: IpsecfdError) -> None:
        """The look failed; what was known stays, and the next try is soon, then ever later."""
        self.error = str(error)
        self._retry = min((self._retry + 1) ** 2, LONGEST_RETRY)
        self._due = self._clock() + self._retry * 60

    def _succeed(self) -> None:
        self.etag = self._etag_found
        self.last_success = self._now()
        self.error = None
        self._retry = 0
        self._due = self._clock() + self._polling

    @property
    def _polling(self) -> int:
        """Seconds between two looks, by the policy's own wish."""
        content = self.content
        if content is None or content.assigned is None:
            return DEFAULT_POLLING
        return max(content.policies[content.assigned].polling or DEFAULT_POLLING, SHORTEST_POLLING)
