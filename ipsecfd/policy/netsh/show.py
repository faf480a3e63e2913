"""What `netsh ipsec static show` and `netsh ipsec dynamic show` print (spec 7.3, 8.2, 8.3, 8.5).

Every text begins and ends with an empty line, as on Windows: programs that read it count on both.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from ipsecfd.policy.model import Store
from ipsecfd.policy.netsh import show_dynamic, show_static
from ipsecfd.policy.netsh.layout import page
from ipsecfd.policy.netsh.syntax import ShowRequest
from ipsecfd.policy.workspace import Workspace


def static(
    request: ShowRequest, workspace: Workspace, store: Store, *, silent: bool = False
) -> str:
    """What a store holds; nothing where nobody reads it. Raises NotFoundError and CommandError."""
    if silent:
        return _nothing(show_static.blocks(replace(request, format="list"), workspace, store))
    return page(show_static.blocks(request, workspace, store))


def dynamic(request: ShowRequest, workspace: Workspace, *, silent: bool = False) -> str:
    """What the running driver has in force; nothing where nobody reads it. Raises NotFoundError."""
    found = show_dynamic.blocks(request, workspace)
    return _nothing(found) if silent else page(found)


def _nothing(blocks: Iterator[Iterable[str]]) -> str:
    """Only have it fail that something is not there, which shows before anything else."""
    next(blocks, None)
    return ""
