"""What a run of the agent takes over from earlier ones and keeps for later ones (`state_dir`)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ipsecfd.agent import dynamictext, state
from ipsecfd.agent.config import Config
from ipsecfd.agent.policies import PolicySet
from ipsecfd.agent.sources import Places
from ipsecfd.errors import IpsecfdError


class Memory:
    """The memory of one run, which has its configuration."""

    def __init__(self, config: Config) -> None:
        self.ever_assigned = True
        """Whether a policy was in force, now or in an earlier run (spec 6.1); as long as nothing
        says that it was not so."""
        self._state_dir = config.state_dir
        self._dynamic_persist = config.dynamic_persist

    def recall(self, places: Places) -> Places:
        """These places, as far as `state_dir` tells of them. Raises IpsecfdError when it is
        damaged, unless the command line gives what is in force."""
        try:
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

    def remember(self, policies: PolicySet, assigned: Path | None) -> bool:
        """Keep for later starts that a policy was in force, and the file that is assigned; raises
        StateError.

        Says whether that is new.
        """
        if not policies.was_assigned or self.ever_assigned:
            return False
        state.save(self._state_dir, assigned)
        self.ever_assigned = True
        return True
