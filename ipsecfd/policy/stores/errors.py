"""Why a store refuses a change."""

from __future__ import annotations

from ipsecfd.errors import IpsecfdError


class StoreError(IpsecfdError):
    """A change that is refused; nothing was changed."""


class ExistsError(StoreError):
    """There is an object of this kind and name already."""

    def __init__(self, text: str, kind: str = "") -> None:
        super().__init__(text)
        self.kind = kind
        """Such as "filter list", where it has a name."""


class NotFoundError(StoreError):
    """There is no object of this kind and name."""


class InUseError(StoreError):
    """The object is used by a rule and cannot be deleted."""


class ReadOnlyError(StoreError):
    """The store cannot be changed here, whatever the change is."""
