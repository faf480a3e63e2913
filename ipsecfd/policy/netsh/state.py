"""What the commands of one session share: the workspace, and which store they work on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ipsecfd.policy.model import Store
from ipsecfd.policy.netsh.errors import ServiceError
from ipsecfd.policy.stores.content import Content
from ipsecfd.policy.stores.draft import Draft
from ipsecfd.policy.stores.dynamic import DynamicDraft
from ipsecfd.policy.workspace import Workspace


class PolicyFiles(Protocol):
    """Reads and writes the files of `exportpolicy` and `importpolicy`."""

    def write(self, path: str, content: Content) -> None:
        """Write a store to a file; raises IpsecfdError."""

    def read(self, path: str, draft: Draft) -> None:
        """Add what a file holds to a store; raises IpsecfdError and has changed nothing."""


@dataclass(slots=True)
class State:
    """The part of a session that commands change."""

    workspace: Workspace
    files: PolicyFiles | None = None
    """None where no file may be touched."""
    store: Store = Store.LOCAL
    """The store that the commands of `ipsec static` work on."""
    note: str = ""
    """What the command is probably not meant to do; the session hands it on and forgets it."""
    script: str = ""
    """The file that `exec` named; the session hands it on and forgets it."""
    silent: bool = False
    """Whether nobody reads what `show` and `dump` print, as in an import."""
    batch: bool = False
    """`set batch mode=enable`: whoever saves the workspace waits until it is False again."""

    @property
    def draft(self) -> Draft:
        """The store that commands work on."""
        return self.workspace.stores[self.store]

    @property
    def dynamic(self) -> DynamicDraft:
        """The dynamic rules; raises ServiceError where there is nobody to hold them."""
        if self.workspace.dynamic is None:
            raise ServiceError
        return self.workspace.dynamic

    @property
    def now(self) -> int:
        """Seconds since 1970."""
        return int(self.workspace.clock())
