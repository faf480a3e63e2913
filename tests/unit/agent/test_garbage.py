"""Garbage in cycles stays while policies are built, and no longer."""

from __future__ import annotations

import gc

import pytest

from ipsecfd.agent import garbage


def test_garbage_is_kept_inside_and_looked_for_again_afterwards() -> None:
    """The collector is off inside, and on again behind it."""
    with garbage.kept():
        assert not gc.isenabled()
    assert gc.isenabled()


def test_what_fails_inside_does_not_leave_the_collector_off() -> None:
    """A policy with mistakes does not end the collection of garbage for good."""
    with pytest.raises(ValueError, match="mistake"), garbage.kept():
        raise ValueError("mistake")
    assert gc.isenabled()
