"""Settings in pieces: whole again at the other end, with and without a candidate beside them."""

from __future__ import annotations

from dataclasses import replace

from ipsecfd.agent.transfer import PIECE, Assembly, pieces
from ipsecfd.driver.driver import Settings
from tests.builders import make_driver, rule


def settings(port: int) -> Settings:
    """Settings whose filters begin at a port; there are more than fit into a piece."""
    rules = (f"permit any <-> me:{number} tcp" for number in range(port, port + PIECE + 10))
    return make_driver(*rules, "block me <-> any").settings


def sent(whole: Settings) -> tuple[Settings | None, int]:
    """What arrives, and in how many pieces."""
    assembly, found, number = Assembly(), None, 0
    for piece in pieces(whole):
        assert found is None, "something came behind the end"
        found = assembly.feed(piece)
        number += 1
    return found, number


def test_settings_arrive_whole() -> None:
    """Tables too, though they travel apart."""
    whole = settings(1000)
    found, number = sent(whole)
    assert found is not None
    assert number > 3
    got, expected = found.table.families[4], whole.table.families[4]
    assert (got.pairs, [*got.filters]) == (expected.pairs, [*expected.filters])
    assert found.candidate is None


def test_tunnel_rules_arrive() -> None:
    """The table that is asked first comes along."""
    whole = make_driver(rule("block", "any -> me:7 tcp", tunnel=True), "permit any -> me").settings
    found, _ = sent(whole)
    assert found is not None
    assert filed(found.table) == {"any -> me"}
    assert filed(found.table.tunnels) == {"any -> me:7 tcp"}


def test_a_candidate_travels_with_its_own_tables() -> None:
    """In pieces as well, and neither is taken for the other."""
    whole, candidate = settings(1000), settings(30000)
    together = replace(whole, candidate=candidate, comparison=7)
    found, number = sent(together)
    assert number == sent(whole)[1] + sent(candidate)[1] - 1
    assert found is not None
    assert found.candidate is not None
    assert found.comparison == 7
    for got, expected in ((found, whole), (found.candidate, candidate)):
        for name in ("table", "dialup_table"):
            assert filed(getattr(got, name)) == filed(getattr(expected, name))


def filed(table: object) -> set[str]:
    """The filters of a table as written."""
    return {
        entry[0].filter
        for family in table.families.values()  # type: ignore[attr-defined]
        for entry in family.filters.values()
    }
