"""A Debian to install something on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.package.debian import Debian, Shelf


@pytest.fixture
def fresh(shelf: Shelf) -> Iterator[Debian]:
    """A Debian without the package."""
    with closing(Debian(shelf.packages, shelf.debian)) as debian:
        yield debian
