"""A store as a script for `netsh -f` (spec 8.1 to 8.3)."""

from __future__ import annotations

from ipsecfd.policy.export.exported import Exported
from ipsecfd.policy.export.netsh_dynamic import write_dynamic
from ipsecfd.policy.export.netsh_lines import Script
from ipsecfd.policy.export.netsh_static import write_static
from ipsecfd.policy.stores.content import Content
from ipsecfd.policy.stores.dynamic import DynamicContent


def write(content: Content, dynamic: DynamicContent | None = None) -> Exported:
    """The commands that make this store, and these dynamic rules, and what they do not say."""
    script = Script()
    script.comment("Policies of ipsecfd. Read them back with: netsh -f FILE")
    rules = DynamicContent() if dynamic is None else dynamic
    if content != Content() or rules == DynamicContent():
        write_static(script, content)
    if rules != DynamicContent():
        write_dynamic(script, rules)
    return script.exported()
