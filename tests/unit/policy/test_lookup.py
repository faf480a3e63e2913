"""Many DNS names asked for at once."""

from __future__ import annotations

import ipaddress
import threading
import time
from collections.abc import Iterable

import pytest

from ipsecfd.policy.lookup import AT_ONCE, look_up_all, system_resolver
from ipsecfd.policy.model import IPAddress

ADDRESS = ipaddress.ip_address("192.0.2.1")


def test_more_names_than_are_asked_for_at_once() -> None:
    """Every name gets its own answer, or its own reason."""

    def resolver(name: str) -> Iterable[IPAddress]:
        if name == "7":
            raise OSError(-2, "Name or service not known")
        return [ADDRESS + int(name)]

    names = [str(number) for number in range(3 * AT_ONCE)]
    answers = look_up_all(names, resolver, 10)
    assert set(names) == set(answers)
    assert isinstance(answers["7"], OSError)
    assert answers["9"] == (ADDRESS + 9,)


def test_no_more_is_asked_when_patience_is_at_an_end() -> None:
    """What has not answered is missing, and names not yet asked for never are."""
    asked = []
    end = threading.Event()

    def resolver(name: str) -> Iterable[IPAddress]:
        asked.append(name)
        if name == "0":
            return [ADDRESS]
        end.wait(10)
        return []

    started = time.monotonic()
    answers = look_up_all([str(number) for number in range(3 * AT_ONCE)], resolver, 0.2)
    assert time.monotonic() - started < 2
    assert answers == {"0": (ADDRESS,)}
    end.set()
    time.sleep(0.1)
    assert len(asked) <= AT_ONCE + 1


@pytest.mark.parametrize("patience", [0.0, -1.0])
def test_nothing_to_ask(patience: float) -> None:
    """No name needs no time."""
    assert look_up_all([], system_resolver, patience) == {}


def test_the_system_resolver_knows_this_host() -> None:
    """`localhost` needs no network."""
    assert any(address.is_loopback for address in system_resolver("localhost"))


def test_what_no_resolver_takes_is_no_answer() -> None:
    """Names that cannot be encoded fail like names that do not exist."""
    with pytest.raises(OSError, match="not a DNS name"):
        system_resolver("a" * 64 + ".example")
