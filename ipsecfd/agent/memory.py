"""What a run of the agent takes over from earlier ones and keeps for later ones (`state_dir`).

A directory that never knew of an assignment is "nothing is assigned". One that does not know any
more is a damaged store: operational block (spec 6.5, design).
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path

from ipsecfd.agent import dynamictext, state
from ipsecfd.agent.config import Config
from ipsecfd.agent.noted import Noted
from ipsecfd.agent.policies import PolicySet
from ipsecfd.agent.sources import Places
from ipsecfd.agent.state import StateError
from ipsecfd.errors import IpsecfdError


class Memory:
    """The memory of one run, which has its configuration."""

    def __init__(self, config: Config, noted: Noted) -> None:
        self.ever_assigned = True
        """Whether a policy was in force, now or in an earlier run (spec 6.1); as long as nothing
        says that it was not so."""
        self._state_dir = config.state_dir
        self._dynamic_persist = config.dynamic_persist
        self._noted = noted

    def recall(self, places: Places, *, closed: bool = False) -> Places:
        """These places, as far as `state_dir` tells of them. Raises IpsecfdError when it is
        damaged or lost, unless the command line gives what is in force. `closed` as in `check`."""
        try:
            self.check(places, closed=closed)
            found = state.load(self._state_dir)
            self.ever_assigned = found.ever_assigned
            places = replace(places, assigned=found.assigned)
            if self._dynamic_persist:
                return replace(places, dynamic=dynamictext.load(self._state_dir))
        except IpsecfdError:
            if not places.given:
                raise
        else:
            dynamictext.forget(self._state_dir)
        return places

    def check(self, places: Places, *, closed: bool = False) -> None:
        """Raise StateError if the directory lost what was assigned; later boots then know it, too.

        Nothing is lost by it as long as the command line gives what is in force. `closed` says that
        rules were there before any agent in this boot: `ipsecfd-boot` knows of hosts where it ran.
        """
        if places.given:
            return
        left, noted = state.raw(self._state_dir), self._noted.place() == self._state_dir
        if left or not (noted or (closed and self._is_empty())):
            return
        if left is None:
            with contextlib.suppress(StateError):
                state.put_back(self._state_dir, "")
        if noted:
            raise StateError(
                f"{self._state_dir}: lost: it knew which policy is assigned, and does not any more;"
                " expected what it held, as from a backup, or another `ipsecfd policy assign` or"
                " `unassign`"
            )
        raise StateError(
            f"{self._state_dir}: lost: this host was closed at its boot, so ipsecfd ran here,"
            " and nothing is there; expected what it held: is its file system mounted?"
        )

    def elsewhere(self) -> Path | None:
        """Another directory that says that a policy is assigned, while this one knows of none: it
        never had a policy (design), perhaps by mistake. Raises StateError."""
        place = self._noted.place()
        return None if place == self._state_dir or state.raw(self._state_dir) else place

    def _is_empty(self) -> bool:
        """Whether nothing is there, not even what any run leaves."""
        try:
            return not any(self._state_dir.iterdir())
        except OSError:
            return True

    def left_behind(self, coming: Config) -> list[str]:
        """What a start with this configuration would not know of, in words. Raises StateError."""
        here, there = self._state_dir, coming.state_dir
        if there == here or self._noted.place() is None or state.raw(there):
            return []
        return [f"what is assigned does not move along: copy what is in {here} to {there} first"]

    def remember(self, policies: PolicySet, places: Places) -> None:
        """Keep for later starts that these are assigned, if they are; before they are in force, so
        that none is which is not kept. Raises StateError."""
        if policies.was_assigned:
            if not self.ever_assigned:
                state.save(self._state_dir, places.assigned)
            self.note(places)

    def applied(self, policies: PolicySet, places: Places) -> bool:
        """These are in force now; where nothing is assigned, later starts may find nothing.

        Says whether it is new that a policy was assigned.
        """
        if policies.was_assigned:
            new, self.ever_assigned = not self.ever_assigned, True
            return new
        if not places.given and self._noted.place() == self._state_dir:
            self._noted.forget()
        return False

    def note(self, places: Places) -> None:
        """Something is assigned, in force or not: without it a later start must not be open."""
        if not places.given:
            self._noted.assigned(self._state_dir)
