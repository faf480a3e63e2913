"""Where the policies in force come from, and which of them count (spec 1.5).

The persistent policy adds to the others, and so do the dynamic rules. A domain policy replaces the
local one completely.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from ipsecfd.errors import IpsecfdError
from ipsecfd.policy.mistakes import Mistake
from ipsecfd.policy.model import Policy, Store
from ipsecfd.policy.review import about_policy
from ipsecfd.policy.stores.content import Content
from ipsecfd.policy.stores.draft import Draft
from ipsecfd.policy.stores.dynamic import DynamicContent
from ipsecfd.policy.tomlfile import Loaded

DYNAMIC_ORIGIN: Final = "the memory of the running service"
"""Where dynamic rules come from, for people."""

Load = Callable[[Path], Loaded]
"""Reads a policy file whole; raises IpsecfdError with a line for each mistake."""


class StoreReader(Protocol):
    """The stores, to look at. Each call may take a while."""

    def path(self, store: Store) -> Path:
        """The file of a store."""

    def read(self, store: Store) -> Content:
        """What a store holds; raises IpsecfdError when it is damaged or has vanished."""


class StoreFiles(StoreReader, Protocol):
    """The stores on disk, as `policy.stores.host.Stores` has them. Each call may take a while."""

    def edit(self, store: Store) -> AbstractContextManager[Draft]:
        """A draft of a store, kept if the body succeeds; raises IpsecfdError."""

    def replace(self, store: Store, content: Content) -> None:
        """Put this in a store's place, damaged or not; raises IpsecfdError."""


class GivenError(IpsecfdError):
    """A file of `--policy` has mistakes: the command is wrong, not what the host keeps."""


@dataclass(frozen=True, slots=True)
class DomainPolicy:
    """The domain policy, as far as it is known, of a host that is to have one."""

    source: str
    """Path or URL."""
    content: Content | None = None
    """None as long as it was never reached and there is no copy of it."""
    fallback: bool = False
    """Whether the local policy counts while nothing is known (option `fallback = "local"`)."""

    @property
    def replaces_local(self) -> bool:
        """Whether the local policy does not count."""
        if self.content is None:
            return not self.fallback
        return self.content.assigned is not None


@dataclass(frozen=True, slots=True)
class Places:
    """All that policies are taken from, beside the files of the stores."""

    given: tuple[Path, ...] = ()
    """The files of `--policy`, which stand in for the local policy."""
    assigned: Path | None = None
    """The file assigned by name of file; a policy that is assigned in the local store goes
    before it."""
    domain: DomainPolicy | None = None
    """None where no domain source is configured."""
    dynamic: DynamicContent = field(default_factory=DynamicContent)


@dataclass(frozen=True, slots=True)
class Found:
    """A policy that is to be in force."""

    store: Store
    origin: str
    """File or URL it came from."""
    policy: Policy
    guid: str
    warnings: tuple[str, ...] = ()
    """What is probably not meant in it."""


@dataclass(frozen=True, slots=True)
class Held:
    """A store in a few words."""

    store: Store
    policies: int
    assigned: str | None
    """The assigned policy's name."""


@dataclass(frozen=True, slots=True)
class Gathered:
    """What counts, strongest store first, and what there is."""

    found: tuple[Found, ...]
    held: tuple[Held, ...]


def gather(places: Places, stores: StoreReader, load: Load) -> Gathered:
    """Read everything that counts.

    Raises IpsecfdError with the mistakes of all of it; GivenError when some are of `given`.
    """
    reader = _Reader(stores, load)
    persistent, local = reader.store(Store.PERSISTENT), reader.store(Store.LOCAL)
    domain = places.domain
    found = reader.assigned(Store.PERSISTENT, persistent)
    if domain is not None and domain.replaces_local:
        if domain.content is not None:
            found += _assigned(Store.DOMAIN, domain.content, domain.source)
    elif places.given:
        found += reader.files(places.given)
    elif local.assigned is not None:
        found += reader.assigned(Store.LOCAL, local)
    elif places.assigned is not None:
        found += reader.files((places.assigned,))
    if places.dynamic.rules:
        policy = places.dynamic.policy()
        warnings = tuple(
            str(Mistake("dynamic rules", "", text, why)) for _, text, why in about_policy(policy)
        )
        found.append(Found(Store.DYNAMIC, DYNAMIC_ORIGIN, policy, guid_of(policy.name), warnings))
    if reader.mistakes:
        wrong = GivenError if reader.wrong_files and places.given else IpsecfdError
        raise wrong("\n".join(reader.mistakes))
    held = [_held(Store.PERSISTENT, persistent), _held(Store.LOCAL, local)]
    if domain is not None and domain.content is not None:
        held.insert(1, _held(Store.DOMAIN, domain.content))
    return Gathered(tuple(found), tuple(held))


class _Reader:
    """Reads one place after another, and collects all that is wrong."""

    def __init__(self, stores: StoreReader, load: Load) -> None:
        self.mistakes: list[str] = []
        self.wrong_files = False
        self._stores = stores
        self._load = load

    def store(self, store: Store) -> Content:
        try:
            return self._stores.read(store)
        except IpsecfdError as error:
            self.mistakes.append(str(error))
            return Content()

    def assigned(self, store: Store, content: Content) -> list[Found]:
        return _assigned(store, content, str(self._stores.path(store)))

    def files(self, paths: tuple[Path, ...]) -> list[Found]:
        found = []
        for path in paths:
            try:
                loaded = self._load(path)
            except IpsecfdError as error:
                self.mistakes.append(str(error))
                self.wrong_files = True
                continue
            warnings = tuple(map(str, loaded.warnings))
            guid = guid_of(str(path))
            found.append(Found(Store.LOCAL, str(path), loaded.policy, guid, warnings))
        return found


def guid_of(origin: str) -> str:
    """An identity that stays the same for what has none of its own."""
    return f"{{{str(uuid.uuid5(uuid.NAMESPACE_URL, origin)).upper()}}}"


def _assigned(store: Store, content: Content, origin: str) -> list[Found]:
    policy = content.assigned_policy()
    if policy is None or content.assigned is None:
        return []
    warnings = tuple(str(Mistake(origin, *doubt)) for doubt in about_policy(policy))
    return [Found(store, origin, policy, content.policies[content.assigned].guid, warnings)]


def _held(store: Store, content: Content) -> Held:
    assigned = content.policies[content.assigned].name if content.assigned is not None else None
    return Held(store, len(content.policies), assigned)
