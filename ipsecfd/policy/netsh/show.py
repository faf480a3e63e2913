"""What `netsh ipsec static show` and `netsh ipsec dynamic show` print (spec 7.3, 8.2, 8.3, 8.5).

Every text begins and ends with an empty line, as on Windows: programs that read it count on both.
"""

from __future__ import annotations

from ipsecfd.policy.model import Store
from ipsecfd.policy.netsh import show_dynamic, show_static
from ipsecfd.policy.netsh.layout import page
from ipsecfd.policy.netsh.syntax import ShowRequest
from ipsecfd.policy.workspace import Workspace


def static(request: ShowRequest, workspace: Workspace, store: Store) -> str:
    """What a store holds. Raises NotFoundError and CommandError."""
    return page(show_static.blocks(request, workspace, store))


def dynamic(request: ShowRequest, workspace: Workspace) -> str:
    """What the running driver has in force. Raises NotFoundError."""
    return page(show_dynamic.blocks(request, workspace))
