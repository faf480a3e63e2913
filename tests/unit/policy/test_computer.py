"""Names of computers."""

from __future__ import annotations

import pytest

from ipsecfd.policy.computer import is_this_computer


@pytest.mark.parametrize(
    "name", ["", ".", r"\\.", "localhost", "127.0.0.1", "VM", r"\\vm", "vm.Example.com"]
)
def test_names_of_this_computer(name: str) -> None:
    """Its own, in full or in part and in any case, and those that every computer has."""
    assert is_this_computer(name, "vm.example.com")


@pytest.mark.parametrize("name", ["v", "vm.example", "example.com", r"\\other", "127.0.0.2", " "])
def test_names_of_others(name: str) -> None:
    """A part of the name that is not its first is another computer's."""
    assert not is_this_computer(name, "vm.example.com")
