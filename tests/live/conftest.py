"""The lab of live tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ipsecfd.lab import Lab


@pytest.fixture
def lab() -> Iterator[Lab]:
    """Two hosts on a wire; the daemon goes on the one called guard."""
    with Lab() as lab:
        yield lab
