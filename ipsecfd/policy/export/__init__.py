"""A store written as text that makes the same store when it is read again.

`toml` holds everything; what `netsh` and `ipseccmd` have no words for is said in the notes.
Nothing is asked of the network.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

from ipsecfd.policy.export.exported import Exported
from ipsecfd.policy.stores.content import Content
from ipsecfd.policy.stores.dynamic import DynamicContent

__all__ = ["FORMS", "Exported", "Form", "export"]

Form: TypeAlias = Literal["toml", "netsh", "ipseccmd"]
FORMS: Final[tuple[Form, ...]] = ("toml", "netsh", "ipseccmd")


def export(content: Content, form: Form, *, dynamic: DynamicContent | None = None) -> Exported:
    """The store as text, and with it the dynamic rules for the tools that can make some.

    Without notes, importing the text into an empty store gives an equal Content.
    """
    if form == "netsh":
        from ipsecfd.policy.export import netsh

        return netsh.write(content, dynamic)
    if form == "ipseccmd":
        from ipsecfd.policy.export import ipseccmd

        return ipseccmd.write(content, dynamic)
    from ipsecfd.policy.stores import text as storetext

    rules = len(dynamic.rules) if dynamic else 0
    notes = (f"dynamic rules are no part of a store: {rules} not written",) if rules else ()
    return Exported(storetext.render(content), notes)
