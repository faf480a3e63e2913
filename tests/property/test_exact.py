"""Policies as exact JSON: whatever a policy may hold reads back equal."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from ipsecfd.policy import exact
from tests.property.worlds import random_world


@given(st.integers(0, 2**32), st.integers(0, 20))
def test_any_policy_reads_back(seed: int, size: int) -> None:
    """Nothing is lost, and nothing is refused that was written."""
    for _, policy in random_world(Random(seed), size).policies:
        assert policy == exact.parse(exact.render(policy))
