"""DNS names resolved once, and kept."""

from __future__ import annotations

import ipaddress
import json
import os
import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from ipsecfd.errors import IpsecfdError
from ipsecfd.policy import names as names_module
from ipsecfd.policy.files import load
from ipsecfd.policy.grammar import GrammarError
from ipsecfd.policy.mistakes import PolicyError
from ipsecfd.policy.model import IPAddress
from ipsecfd.policy.names import Names, NamesError, names_of
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


MANY = [f"host{number}" for number in range(15)]
"""Names that each would be waited for, if they were not asked for together."""


def hung(name: str) -> Iterable[IPAddress]:
    """A resolver that answers for `www` only; any other name takes longer than anybody waits."""
    if name != "www":
        time.sleep(5)
    return found("192.0.2.1")


def test_a_policy_waits_once_for_all_its_names(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names are asked for together; all that do not answer in time are refused together."""
    monkeypatch.setattr(names_module, "PATIENCE", 0.2)
    sides = ("www", "mail", "me:80", "ftp", "mail", *MANY)
    filters = ", ".join(f'"any -> {side} tcp"' for side in sides)
    policy = tmp_path / "p.toml"
    policy.write_text(f'name = "p"\n[[rule]]\naction = "block"\nfilters = [{filters}, "x"]\n')
    started = time.monotonic()
    with pytest.raises(PolicyError) as refused:
        load(policy, Names(path, resolver=hung))
    assert time.monotonic() - started < 0.2 * len(MANY)
    dead = ["mail", "ftp", "mail", *MANY]
    expected = [*(f"any -> {name} tcp" for name in dead), "x"]
    assert expected == [one.text for one in refused.value.mistakes]
    assert "expected a DNS name that resolves: no answer within 0.2 s" in str(refused.value)
    assert not path.exists()


def test_reading_asks_before_it_gives_up_on_a_mistake() -> None:
    """What a second reading finds is what counts: with the addresses, and with every mistake."""
    names = Names(resolver=Dns(a="192.0.2.1", b="192.0.2.2"))

    def read() -> list[IPAddress]:
        first = names.resolve("a")
        if first != found("192.0.2.1"):
            raise IpsecfdError("made of what is not known yet")
        return [*first, *names.resolve("b")]

    assert names.reading(read) == [*found("192.0.2.1", "192.0.2.2")]


def test_reading_known_names_reads_once(path: Path) -> None:
    """Only new names cost a second reading."""
    names = Names(path, resolver=Dns(www="192.0.2.1"))
    names.resolve("www")
    read = []
    names.reading(lambda: read.append(names.resolve("www")))
    assert [found("192.0.2.1")] == read


def test_renewing_waits_once_for_all_names(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dead servers cost `policy resolve` the same time however many names there are."""
    monkeypatch.setattr(names_module, "RENEWAL_PATIENCE", 0.2)
    started = time.monotonic()
    renewals = Names(path, resolver=hung).renew(["mail", "www", *MANY])
    assert time.monotonic() - started < 0.2 * len(MANY)
    assert [one.name for one in renewals] == ["mail", "www", *MANY]
    assert [bool(one.failure) for one in renewals] == [True, False, *(True for _ in MANY)]


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


def test_an_offline_command_passes_over_damaged_answers(path: Path) -> None:
    """They are the service's to mend: whoever only looks is not held up."""
    path.parent.mkdir()
    path.write_text("[]")
    offline = Names(path, keep=False, resolver=Dns(www="192.0.2.1"))
    assert found("192.0.2.1") == offline.resolve("www")


def test_an_interrupted_write_leaves_the_old_file(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is replaced whole or not at all, and only after it is on the disk."""
    names = Names(path, resolver=Dns(a="192.0.2.1", b="192.0.2.2"))
    names.resolve("a")
    names.save()
    monkeypatch.setattr(os, "fsync", full)
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
    monkeypatch.setattr(os, "fsync", full)
    text = 'name = "p"\n[[rule]]\naction = "block"\nfilters = ["me <-> www"]\n'
    (warning,) = parse_policy(text, "p.toml", Names(path, resolver=Dns(www="192.0.2.1"))).warnings
    assert "names.json: cannot be written: No space left on device" in str(warning)
