"""What all tests begin with; the package and a Debian that has it, for all who boot it."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.package.debian import Debian, Shelf, built, newer, root
from tests.package.stream import POLICY


def pytest_configure() -> None:
    """A shell ignores Ctrl-C for what it runs in the background; what tests start would, too."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    """The package of this checkout, the next version of it, and a Debian for them."""
    packages = tmp_path_factory.mktemp("packages")
    deb = Path(shutil.copy(built(), packages))
    upgrade, version = newer(deb, packages)
    return Shelf(root(deb), packages, deb.name, upgrade.name, version)


@pytest.fixture(scope="session")
def filtering_layer(shelf: Shelf) -> Iterator[Path]:
    """What the package is on a disk once it is installed and a policy assigned."""
    with closing(Debian(shelf.packages, shelf.debian)) as debian:
        debian.dpkg("install", shelf.deb)
        debian.write("/etc/ipsecfd/one-port.toml", POLICY)
        debian.run("ipsecfd", "policy", "assign", "/etc/ipsecfd/one-port.toml")
        debian.power_off()
        yield debian.layer
