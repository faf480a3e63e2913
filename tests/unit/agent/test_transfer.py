"""Settings and answers in pieces: whole again at the other end, and nobody waits meanwhile."""

from __future__ import annotations

import contextlib
import pickle
import socket
from dataclasses import replace
from typing import Any

from ipsecfd.agent.transfer import COUNTS, HEADER, PIECE, Assembly, Judged, Replies, answer, pieces
from ipsecfd.driver.decision import Decision, Direction, Reason, Verdict
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


def counts(number: int) -> list[Judged]:
    """So many counts."""
    decisions = (Decision(Verdict.PERMIT, Reason.FILTER, order=order) for order in range(number))
    return [Judged(Direction.IN, one, 1, 100) for one in decisions]


def messages(data: bytes) -> list[tuple[bool, Any]]:
    """What arrived, message by message."""
    found = []
    place = 0
    while place < len(data):
        (length,) = HEADER.unpack_from(data, place)
        place += HEADER.size + length
        found.append(pickle.loads(data[place - length : place]))
    return found


def test_answers_travel_in_pieces() -> None:
    """One call sends one message; the counts come first, and what ends the answer last."""
    here, there = socket.socketpair()
    with here, there:
        here.setblocking(False)
        replies = Replies(here)
        replies.add(answer("first", counts(2 * COUNTS + 1)))
        replies.add(answer("second"))
        seen = []
        for _ in range(5):
            replies.send_some()
            (one,) = messages(there.recv(1 << 20))
            seen.append(one)
        replies.send_some()
        assert not replies
    assert [ended for ended, _ in seen] == [False, False, False, True, True]
    assert [one.decision.order for _, some in seen[:3] for one in some] == [*range(2 * COUNTS + 1)]
    assert [value for _, value in seen[3:]] == ["first", "second"]


def test_whoever_reads_no_answer_holds_nobody_up() -> None:
    """What there is no room for waits, without being made; then it arrives whole."""
    here, there = socket.socketpair()
    made = 0

    def endless() -> Any:
        nonlocal made
        for one in counts(100_000):
            made += 1
            yield one

    with here, there:
        here.setblocking(False)
        replies = Replies(here)
        replies.add(answer(None, endless()))
        for _ in range(10_000):
            replies.send_some()
        assert made < 100_000
        there.setblocking(False)
        data = bytearray(there.recv(1 << 20))
        while replies:
            replies.send_some()
            with contextlib.suppress(BlockingIOError):
                data += there.recv(1 << 20)
    assert sum(len(some) for ended, some in messages(bytes(data)) if not ended) == 100_000
