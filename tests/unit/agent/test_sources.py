"""Which stores count, and in which order (spec 1.5, 1.7)."""

from __future__ import annotations

from pathlib import Path

import pytest

from ipsecfd.agent.sources import DomainPolicy, GivenError, Places, gather
from ipsecfd.errors import IpsecfdError
from ipsecfd.policy.model import Store
from ipsecfd.policy.stores.host import Stores
from ipsecfd.policy.tomlfile import Loaded
from tests.builders import policy
from tests.unit.agent.stage import content, dynamic

FILE = Path("/etc/ipsecfd/file.toml")
SOURCE = "https://policies.example/web"
KNOWN = DomainPolicy(SOURCE, content("domain", "any -> me:1434 udp"))
UNKNOWN = DomainPolicy(SOURCE)


@pytest.fixture
def stores(tmp_path: Path) -> Stores:
    """Nothing in any store yet."""
    return Stores(tmp_path)


def load(path: Path) -> Loaded:
    """Every file is a policy of its name."""
    if path.name == "bad":
        raise IpsecfdError("bad: mistake")
    return Loaded(policy("permit me <-> any", name=path.stem))


def counting(stores: Stores, places: Places) -> list[tuple[str, str]]:
    """Store and name of what counts."""
    return [(one.store.name, one.policy.name) for one in gather(places, stores, load).found]


def test_nothing_anywhere(stores: Stores) -> None:
    """A store that never existed is "no policy"."""
    assert counting(stores, Places()) == []


def test_persistent_and_dynamic_add(stores: Stores) -> None:
    """Persistent policy and dynamic rules come beside the local policy."""
    stores.replace(Store.PERSISTENT, content("always"))
    stores.replace(Store.LOCAL, content("mine"))
    assert counting(stores, Places(dynamic=dynamic("any -> me:22 tcp"))) == [
        ("PERSISTENT", "always"),
        ("LOCAL", "mine"),
        ("DYNAMIC", "Dynamic rules"),
    ]


def test_doubtful_filters_are_told_of_every_store(stores: Stores) -> None:
    """In the words of `check`, with the place (X10); what is not in force is not looked at."""
    stores.replace(Store.LOCAL, content("mine", "any -> me:50 tcp"))
    places = Places(dynamic=dynamic("any:51 -> me tcp"))
    found = gather(places, stores, load).found
    why = "which is protocol {} without ports"
    esp, ah = why.format(50), why.format(51)
    path = stores.path(Store.LOCAL)
    assert [one.warnings for one in found] == [
        (f'{path}: filter list "l": "any -> me:50 tcp": TCP port 50 is not ESP, {esp}',),
        (f'dynamic rules: "any:51 -> me tcp": TCP port 51 is not AH, {ah}',),
    ]


def test_domain_replaces_local(stores: Stores) -> None:
    """The domain policy replaces the local one completely, and adds to the others."""
    stores.replace(Store.PERSISTENT, content("always"))
    stores.replace(Store.LOCAL, content("mine"))
    for given in ((), (FILE,)):
        assert counting(stores, Places(given=given, domain=KNOWN)) == [
            ("PERSISTENT", "always"),
            ("DOMAIN", "domain"),
        ]


def test_unknown_domain_does_not_fall_back(stores: Stores) -> None:
    """A host with a domain has no local policy while nothing is known, unless it is asked for."""
    stores.replace(Store.LOCAL, content("mine"))
    assert counting(stores, Places(domain=UNKNOWN)) == []
    fallback = DomainPolicy(SOURCE, fallback=True)
    assert counting(stores, Places(domain=fallback)) == [("LOCAL", "mine")]


def test_domain_that_assigns_nothing_leaves_the_local_policy(stores: Stores) -> None:
    """The local policy counts when no domain policy is assigned."""
    stores.replace(Store.LOCAL, content("mine"))
    none = DomainPolicy(SOURCE, content("domain", assigned=False))
    assert counting(stores, Places(domain=none)) == [("LOCAL", "mine")]


def test_files_stand_in_for_the_local_policy(stores: Stores) -> None:
    """`--policy` goes before the store, and the store before a file that was assigned."""
    assert counting(stores, Places(assigned=FILE)) == [("LOCAL", "file")]
    stores.replace(Store.LOCAL, content("mine"))
    assert counting(stores, Places(assigned=FILE)) == [("LOCAL", "mine")]
    assert counting(stores, Places(given=(FILE,))) == [("LOCAL", "file")]


def test_only_the_assigned_policy_counts(stores: Stores) -> None:
    """Policies that are not assigned are only counted."""
    stores.replace(Store.LOCAL, content("mine", assigned=False))
    gathered = gather(Places(), stores, load)
    assert gathered.found == ()
    assert [(one.policies, one.assigned) for one in gathered.held] == [(0, None), (1, None)]


def test_damaged_stores_are_told_together(stores: Stores) -> None:
    """A damaged store counts as a mistake even while a domain policy replaces it."""
    for store in (Store.PERSISTENT, Store.LOCAL):
        stores.replace(store, content("mine"))
        stores.path(store).write_text("version = [")
    with pytest.raises(IpsecfdError, match=r"(?s)persistent\.toml.*local\.toml") as caught:
        gather(Places(domain=KNOWN), stores, load)
    assert not isinstance(caught.value, GivenError)


def test_files_of_the_command_line_are_the_commands_mistake(stores: Stores) -> None:
    """A wrong file of `--policy` ends the start; a wrong assigned one is operational block."""
    with pytest.raises(GivenError, match="bad: mistake"):
        gather(Places(given=(Path("/bad"),)), stores, load)
    with pytest.raises(IpsecfdError, match="bad: mistake") as caught:
        gather(Places(assigned=Path("/bad")), stores, load)
    assert not isinstance(caught.value, GivenError)
