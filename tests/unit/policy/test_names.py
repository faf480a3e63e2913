"""DNS names resolved once, and kept."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterable
from pathlib import Path

import pytest

from ipsecfd.policy import names as names_module
from ipsecfd.policy.grammar import GrammarError
from ipsecfd.policy.model import IPAddress
from ipsecfd.policy.names import Names, NamesError, names_of, system_resolver
from ipsecfd.policy.tomlfile import parse_policy


class Dns:
    """A resolver whose zone a test can change; it counts how often it is asked."""

    def __init__(self, **zone: str) -> None:
        self.zone = zone
        self.asked = 0

    def __call__(self, name: str) -> Iterable[IPAddress]:
        self.asked += 1
        if name not in self.zone:
            raise OSError(-2, "Name or service not known")
        return [ipaddress.ip_address(one) for one in self.zone[name].split()]


def found(*texts: str) -> tuple[IPAddress, ...]:
    return tuple(ipaddress.ip_address(text) for text in texts)


def full(_descriptor: int) -> None:
    """An fsync on a full disk."""
    raise OSError(28, "No space left on device")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "names.json"


def test_all_addresses_of_both_families_sorted_and_once() -> None:
    """One side holds every address of the name."""
    names = Names(resolver=Dns(www="2001:db8::1 192.0.2.9 192.0.2.1 192.0.2.9"))
    assert found("192.0.2.1", "192.0.2.9", "2001:db8::1") == names.resolve("www")


def test_a_name_is_asked_for_once() -> None:
    """However many filters use it, and whether it resolves or not."""
    dns = Dns(www="192.0.2.1")
    names = Names(resolver=dns)
    for _ in range(3):
        names.resolve("www")
        with pytest.raises(GrammarError, match="Name or service not known"):
            names.resolve("nowhere")
    assert dns.asked == 2


def test_a_name_without_addresses_is_refused() -> None:
    """A filter never stands for nothing without saying so."""
    with pytest.raises(GrammarError, match="it has no address"):
        Names(resolver=Dns(www="")).resolve("www")


def test_kept_answers_outlive_the_process_and_the_network(path: Path) -> None:
    """A boot without a network still has its policy; a changed zone changes nothing."""
    names = Names(path, resolver=Dns(www="192.0.2.1"))
    names.resolve("www")
    names.save()
    for later in (Dns(), Dns(www="192.0.2.66")):
        assert found("192.0.2.1") == Names(path, resolver=later).resolve("www")
        assert later.asked == 0


def test_renew_takes_new_answers_and_keeps_old_ones(path: Path) -> None:
    """`policy resolve` says what changed; a name that fails keeps its addresses."""
    dns = Dns(www="192.0.2.1", ftp="192.0.2.2")
    names = Names(path, resolver=dns)
    names.resolve("www")
    names.resolve("ftp")
    dns.zone = {"www": "192.0.2.3"}
    www, ftp = names.renew(["www", "ftp", "www"])
    assert (found("192.0.2.1"), found("192.0.2.3"), "") == (www.before, www.after, www.failure)
    assert (found("192.0.2.2"), "Name or service not known") == (ftp.after, ftp.failure)
    again = Names(path, resolver=Dns())
    assert found("192.0.2.3") == again.resolve("www")
    assert found("192.0.2.2") == again.resolve("ftp")


def test_without_a_path_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Offline commands leave no traces."""
    monkeypatch.chdir(tmp_path)
    for names in (
        Names(resolver=Dns(www="192.0.2.1")),
        Names(tmp_path / "n.json", keep=False, resolver=Dns(www="192.0.2.1")),
    ):
        names.resolve("www")
        names.save()
    assert list(tmp_path.iterdir()) == []


def test_a_read_only_user_sees_the_kept_answers(path: Path) -> None:
    """`explain` judges with the addresses that the daemon uses."""
    first = Names(path, resolver=Dns(www="192.0.2.1"))
    first.resolve("www")
    first.save()
    assert found("192.0.2.1") == Names(path, keep=False, resolver=Dns()).resolve("www")


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", '{"www": "192.0.2.1"}', '{"www": []}', '{"www": ["x"]}', "[" * 9999, "\xff"],
)
def test_damaged_answers_are_refused_and_left_alone(path: Path, text: str) -> None:
    """What a name meant is unknown then; nobody guesses, and the line says what to do."""
    path.parent.mkdir()
    path.write_text(text, encoding="latin-1")
    names = Names(path, resolver=Dns(www="192.0.2.1"))
    with pytest.raises(GrammarError, match=r"names\.json: damaged; remove it"):
        names.resolve("www")
    names.save()
    assert text == path.read_text(encoding="latin-1")


def test_answers_that_cannot_be_read_are_refused_or_passed_over(path: Path) -> None:
    """The daemon must know them; an offline command resolves anew."""
    path.mkdir(parents=True)  # as unreadable for root as for anybody
    with pytest.raises(GrammarError, match=r"names\.json: cannot be read"):
        Names(path, resolver=Dns(www="192.0.2.1")).resolve("www")
    offline = Names(path, keep=False, resolver=Dns(www="192.0.2.1"))
    assert found("192.0.2.1") == offline.resolve("www")


def test_an_interrupted_write_leaves_the_old_file(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is replaced whole or not at all, and only after it is on the disk."""
    names = Names(path, resolver=Dns(a="192.0.2.1", b="192.0.2.2"))
    names.resolve("a")
    names.save()
    monkeypatch.setattr(names_module.os, "fsync", full)
    names.resolve("b")
    with pytest.raises(NamesError, match="No space left on device"):
        names.save()
    assert json.loads(path.read_text()) == {"a": ["192.0.2.1"]}


def test_a_valid_policy_keeps_its_answers_and_a_refused_one_does_not(path: Path) -> None:
    """What was never enforced leaves nothing behind."""
    valid = 'name = "p"\n[[rule]]\naction = "block"\nfilters = ["me <-> www"]\n'
    with pytest.raises(Exception, match="a protocol"):
        parse_policy(
            valid.replace("www", "www tpc"), "p.toml", Names(path, resolver=Dns(www="192.0.2.1"))
        )
    assert not path.exists()
    loaded = parse_policy(valid, "p.toml", Names(path, resolver=Dns(www="192.0.2.1")))
    assert path.exists()
    assert names_of(loaded.policy) == ("www",)


def test_answers_that_cannot_be_kept_are_a_warning(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The policy is valid now; that it may not be at the next boot is said."""
    monkeypatch.setattr(names_module.os, "fsync", full)
    text = 'name = "p"\n[[rule]]\naction = "block"\nfilters = ["me <-> www"]\n'
    (warning,) = parse_policy(text, "p.toml", Names(path, resolver=Dns(www="192.0.2.1"))).warnings
    assert "names.json: cannot be written: No space left on device" in str(warning)


def test_the_system_resolver_knows_this_host() -> None:
    """`localhost` needs no network."""
    assert any(address.is_loopback for address in system_resolver("localhost"))


def test_what_no_resolver_takes_is_no_answer() -> None:
    """Names that cannot be encoded fail like names that do not exist."""
    with pytest.raises(OSError, match="not a DNS name"):
        system_resolver("a" * 64 + ".example")
