"""Our table, as far as it can be told without a kernel."""

from __future__ import annotations

import pytest

from ipsecfd.kernel import nft, rules, standing
from ipsecfd.kernel.errors import KernelError


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What nft(8) is told, in a kernel without our table."""
    scripts: list[str] = []
    monkeypatch.setattr(standing, "dormant", lambda _table: False)
    monkeypatch.setattr(standing, "names", lambda _table, _kind: set())
    monkeypatch.setattr(nft, "apply", scripts.append)
    return scripts


def unreadable() -> standing.Standing:
    raise KernelError("netfilter's rules change too fast to be read")


def test_a_change_is_none_the_less_made_when_it_cannot_be_read(
    monkeypatch: pytest.MonkeyPatch, scripts: list[str]
) -> None:
    """Whoever has changed our table must not take that for a refusal."""
    monkeypatch.setattr(rules, "stands", unreadable)
    monkeypatch.setattr(rules, "READ_SECONDS", 0)
    assert rules.close(rules.RulesConfig()) is None
    assert "drop" in scripts[0]


def test_what_cannot_be_read_for_a_moment_is_read_again(
    monkeypatch: pytest.MonkeyPatch, scripts: list[str]
) -> None:
    """Other programs' changes of their own tables are no change of ours."""
    chains = rules._rules(rules.RulesConfig(), None, "drop")
    ours = frozenset(
        standing.ChainState(name, b"", b"", (b"",) * len(body.splitlines()))
        for name, body in chains.items()
    )
    quiet = iter([False, False, True])
    monkeypatch.setattr(rules, "stands", lambda: ours if next(quiet) else unreadable())
    assert rules.close(rules.RulesConfig()) == ours
    assert len(scripts) == 1
