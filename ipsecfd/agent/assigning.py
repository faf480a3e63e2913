"""Which local policy is assigned: looked at beforehand, chosen, and put back as it was.

At most one is: a policy of the local store, or a file in its place (spec 1.1).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from ipsecfd.agent import state
from ipsecfd.agent.noted import Noted
from ipsecfd.agent.policies import PolicySet
from ipsecfd.agent.sources import Load, Places, StoreFiles, StoreReader, gather
from ipsecfd.agent.trial import Assignment
from ipsecfd.errors import IpsecfdError
from ipsecfd.policy import durable, exact
from ipsecfd.policy.model import Policy, Store
from ipsecfd.policy.stores.content import Content
from ipsecfd.policy.stores.draft import Draft
from ipsecfd.policy.stores.errors import NotFoundError
from ipsecfd.policy.tomlfile import Loaded

KEPT_NAME: Final = "restored"
"""What the files under `state_dir` are named by that hold a policy whose own file changed."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What is to be assigned: a file, a policy of the local store, or with neither, nothing."""

    file: Path | None = None
    name: str | None = None

    def __str__(self) -> str:
        if self.file is not None:
            return f"policy {self.file}"
        return "the unassignment" if self.name is None else f'policy "{self.name}"'


class Chosen:
    """The stores as they will be with a choice made; nothing is written."""

    def __init__(self, stores: StoreFiles, choice: Choice) -> None:
        self._stores = stores
        self._choice = choice

    def path(self, store: Store) -> Path:
        """The file of a store."""
        return self._stores.path(store)

    def read(self, store: Store) -> Content:
        """What a store will hold; raises IpsecfdError, also when it has no such policy."""
        content = self._stores.read(store)
        if store is not Store.LOCAL:
            return content
        draft = Draft(content)
        _assign(draft, self._choice.name)
        return draft.content()


class Assignments:
    """The assignment as it is kept on disk, in the local store and in `state_dir`."""

    def __init__(self, stores: StoreFiles, load: Load, state_dir: Path, noted: Noted) -> None:
        self._stores = stores
        self._load = load
        self._state_dir = state_dir
        self._noted = noted

    def choose(self, choice: Choice) -> None:
        """Assign something else, now and for later starts. Raises IpsecfdError.

        A policy assigned in the store goes before a file: so it comes first and goes last, lest
        nothing be assigned for a moment that a power loss could choose.
        """
        if choice.name is not None:
            self._assign_stored(choice.name)
        state.save(self._state_dir, choice.file)
        if choice.name is None:
            self._assign_stored(None)

    def now(self, places: Places, policies: PolicySet, *, failed: bool) -> Assignment:
        """What is assigned, to put it back; `policies` are those in force, `failed` says that they
        are not those assigned, which could not be applied. Raises IpsecfdError."""
        content = self._stores.read(Store.LOCAL)
        stored = None if content.assigned is None else content.policies[content.assigned].name
        return Assignment(
            state.raw(self._state_dir),
            stored,
            places.given,
            tuple(one.policy for one in policies.sources if one.store is Store.LOCAL),
            failed,
        )

    def put_back(self, was: Assignment) -> None:
        """Assign again what was, in the order of `choose`. Raises IpsecfdError."""
        stored = was.stored
        if stored is not None:
            try:
                self._assign_stored(stored)
            except NotFoundError:  # deleted or renamed meanwhile
                if was.policies and not was.given:
                    self.choose(Choice(self._keep(was.policies)[0]))
                    return
                stored = None
        if was.state is None:
            self._noted.forget()  # first: the file is not lost
        if state.raw(self._state_dir) != was.state:  # a full disk takes nothing, not even the same
            state.put_back(self._state_dir, was.state)
        if stored is None:
            self._assign_stored(None)

    def kept(self, was: Assignment, places: Places) -> Places:
        """The places to read from so that the policies are what they were.

        They are those given, once `put_back`, unless a file or the store says something else by
        now: then what the policies were is in files of their own, and those are assigned. Raises
        IpsecfdError.
        """
        replaced = places.domain is not None and places.domain.replaces_local
        if not was.policies or replaced or self._local(places) == was.policies:
            return places
        files = self._keep(was.policies)
        if was.given:
            return replace(places, given=files)
        self.choose(Choice(files[0]))
        return replace(places, assigned=files[0])

    def unwritten(self, was: Assignment, places: Places) -> tuple[Places, StoreReader, Load]:
        """Where to read from so that the policies are what they were, when the disk takes nothing.

        Raises IpsecfdError.
        """
        file = state.understood(was.state, self._state_dir).assigned
        if was.stored is not None:
            file = self._stores.path(Store.LOCAL)
        origins = was.given or ((file,) if file is not None else ())
        known = dict(zip(origins, was.policies, strict=False))

        def load(path: Path) -> Loaded:
            return Loaded(known[path]) if path in known else self._load(path)

        assigned = file if was.stored is None or file in known else None
        places = replace(places, given=was.given, assigned=assigned)
        return places, Chosen(self._stores, Choice()), load

    def _local(self, places: Places) -> tuple[Policy, ...] | None:
        try:
            found = gather(places, self._stores, self._load).found
        except IpsecfdError:
            return None
        return tuple(one.policy for one in found if one.store is Store.LOCAL)

    def _keep(self, policies: tuple[Policy, ...]) -> tuple[Path, ...]:
        numbers = ["", *(f"-{number}" for number in range(2, len(policies) + 1))]
        paths = tuple(self._state_dir / f"{KEPT_NAME}{number}.json" for number in numbers)
        try:
            for path, policy in zip(paths, policies, strict=True):
                durable.write(path, f"{exact.render(policy)}\n".encode())
        except OSError as error:
            raise IpsecfdError(
                f"{self._state_dir}: nothing can be kept there: {error.strerror}"
            ) from error
        return paths

    def _assign_stored(self, name: str | None) -> None:
        """Assign a policy of the local store, or none of them."""
        if name is None and self._stores.read(Store.LOCAL).assigned is None:
            return
        with self._stores.edit(Store.LOCAL) as draft:
            _assign(draft, name)


def _assign(draft: Draft, name: str | None) -> None:
    if name is None:
        draft.unassign()
    else:
        draft.assign(name)
