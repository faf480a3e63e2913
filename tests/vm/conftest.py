"""The lab for the tests here. Without one (`make lab-test` makes it) none of them is collected."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.vm.guests import Machines

_PLACE = os.environ.get("IPSECFD_LAB")
collect_ignore_glob = [] if _PLACE else ["test_*.py"]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Iterator[None]:
    """Nothing is skipped here: what these machines cannot show, no others can."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
    return report


@pytest.fixture(scope="session")
def machines() -> Machines:
    """Guard and peer, in whatever state they are."""
    assert _PLACE is not None
    return Machines(Path(_PLACE))


@pytest.fixture(scope="module")
def lab(machines: Machines) -> Machines:
    """Guard and peer as the snapshot has them; the tests of a module share what becomes of them."""
    machines.restore()
    return machines
