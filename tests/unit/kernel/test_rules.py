"""Our table, as far as it can be told without a kernel."""

from __future__ import annotations

import pytest

from ipsecfd.kernel import nft, rules, standing
from ipsecfd.kernel.errors import KernelError


def test_a_change_is_none_the_less_made_when_it_cannot_be_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Other programs' changes may keep our table from being read for a while: whoever has changed
    it must not take that for a refusal, and looks again later."""

    def unreadable() -> standing.Standing:
        raise KernelError("netfilter's rules change too fast to be read")

    monkeypatch.setattr(standing, "dormant", lambda _table: False)
    monkeypatch.setattr(standing, "names", lambda _table, _kind: set())
    monkeypatch.setattr(rules, "stands", unreadable)
    scripts: list[str] = []
    monkeypatch.setattr(nft, "apply", scripts.append)
    assert rules.close(rules.RulesConfig()) is None
    assert "drop" in scripts[0]
