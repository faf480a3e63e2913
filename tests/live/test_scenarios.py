"""Every scenario that comes with ipsecfd, played with a real daemon on real packets."""

from __future__ import annotations

import os

import pytest

from ipsecfd.lab.play import play
from ipsecfd.lab.report import report
from ipsecfd.lab.scenario import builtin_scenarios, load_scenario

pytestmark = [pytest.mark.live, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]


@pytest.mark.parametrize("name", builtin_scenarios())
def test_scenario(name: str) -> None:
    """Each probe meets the expected verdict, decided by what the scenario names."""
    played = play(load_scenario(name))
    assert not played.failures, "\n".join(report(played))
