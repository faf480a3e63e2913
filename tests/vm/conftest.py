"""The lab for the tests here. Without one (`make lab-test` makes it) each of them is skipped."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.vm.guests import Machines

_PLACE = os.environ.get("IPSECFD_LAB")
_HERE = Path(__file__).parent
_NEEDS = {
    "needs_nft_queue": "a kernel with nftables' own queue statement",
    "needs_esp": "a kernel with ESP",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where there is no lab, say of each test here what it needs."""
    for item in [] if _PLACE else items:
        if item.path.is_relative_to(_HERE):
            needs = [what for name, what in _NEEDS.items() if item.get_closest_marker(name)]
            reason = f"needs {', '.join(['two machines', *needs])}: make lab-test runs it"
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In the lab nothing is skipped: what these machines cannot show, no others can."""
    report = yield
    if _PLACE and report.skipped and not hasattr(report, "wasxfail"):
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
