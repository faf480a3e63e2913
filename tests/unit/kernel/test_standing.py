"""How a table stands, from messages as the kernel writes them."""

from __future__ import annotations

import struct

import pytest

from ipsecfd.kernel import nfnetlink, standing
from ipsecfd.kernel.errors import KernelError
from tests.unit.kernel.netlink import Recorded

OURS = "ipsecfd"
DONE = "1400000003000200000000000000000000000000"
INTERRUPTED = 0x10


def message(kind: int, *attributes: tuple[int, bytes], table: str = OURS, flags: int = 2) -> str:
    """One thing of a table."""
    body = b"\1\0\0\0"
    body += b"".join(map(pair, ((1, text(table)), *attributes)))
    return (struct.pack("=IHHII", len(body) + 16, kind, flags, 0, 0) + body).hex()


def text(name: str) -> bytes:
    return name.encode() + b"\0"


def number(value: int) -> bytes:
    return value.to_bytes(8, "big")


def table(flags: int = 0, name: str = OURS) -> str:
    return message(0xA00, (2, flags.to_bytes(4, "big")), table=name)


def chain(name: str, policy: bytes = b"", table: str = OURS, flags: int = 2) -> str:
    return message(0xA03, (2, number(1)), (3, text(name)), (5, policy), table=table, flags=flags)


def rule(chain: str, handle: int, expressions: bytes = b"", table: str = OURS) -> str:
    what = (2, text(chain)), (3, number(handle)), (4, expressions)
    return message(0xA06, *what, table=table)


def expression(name: str, *values: tuple[int, bytes]) -> bytes:
    """One expression of a rule."""
    return attribute(1, attribute(1, text(name)) + attribute(2, b"".join(map(pair, values))))


def pair(value: tuple[int, bytes]) -> bytes:
    return attribute(*value)


def attribute(what: int, value: bytes) -> bytes:
    return struct.pack("=HH", len(value) + 4, what) + value + bytes(-len(value) % 4)


def stands(monkeypatch: pytest.MonkeyPatch, *dumps: str) -> standing.Standing:
    """How our table stands by the answers about tables, chains and rules."""
    answers = iter(dumps)
    first = Recorded(next(answers))
    second = Recorded(*answers)
    sockets = iter((first, second))
    monkeypatch.setattr(nfnetlink, "connect", lambda: next(sockets))
    return standing.read(OURS)


def test_chains_with_their_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rules belong to their chains, in order; what is in other tables is not looked at."""
    found = stands(
        monkeypatch,
        table() + table(name="foreign") + DONE,
        chain("input") + chain("own") + chain("input", table="foreign") + DONE,
        rule("input", 7) + rule("input", 5) + rule("input", 9, table="foreign") + DONE,
    )
    assert {one.name: one.handles for one in found} == {
        "input": (number(7), number(5)),
        "own": (),
    }
    assert standing.has_rules(found, {"input": 2, "own": 0})
    assert not standing.has_rules(found, {"input": 2})
    assert not standing.has_rules(found, {"input": 1, "own": 0})


def test_what_makes_a_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another rule of the same text, another order, another policy, a chain more or less."""
    chains, rules = chain("input") + DONE, rule("input", 7) + rule("input", 8) + DONE
    before = stands(monkeypatch, table() + DONE, chains, rules)
    assert before == stands(monkeypatch, table() + DONE, chains, rules)
    for others in (
        (chains, rule("input", 7) + rule("input", 9) + DONE),
        (chains, rule("input", 8) + rule("input", 7) + DONE),
        (chains, rule("input", 7) + DONE),
        (chain("input", policy=b"\0\0\0\1") + DONE, rules),
        (chain("output") + chains, rules),
        (DONE, DONE),
    ):
        assert before != stands(monkeypatch, table() + DONE, *others)


def test_a_table_that_is_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """All its rules are there, and none does anything."""
    monkeypatch.setattr(nfnetlink, "connect", lambda: Recorded(table(flags=1) + DONE))
    assert standing.read(OURS) == frozenset()


def test_reading_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """What changed while it was read is read again, and given up after a while."""
    torn = chain("input", flags=2 | INTERRUPTED) + DONE
    whole = chain("input") + chain("own") + DONE
    found = stands(monkeypatch, table() + DONE, torn, whole, DONE)
    assert {one.name for one in found} == {"input", "own"}
    with pytest.raises(KernelError, match="changes all the time"):
        stands(monkeypatch, table() + DONE, *[torn] * 10)


def test_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sets that nft makes for rules by itself are not told, and maps are no sets."""

    def one(name: str, flags: int) -> str:
        return message(0xA09, (2, text(name)), (3, flags.to_bytes(4, "big")))

    answer = one("flows", 0x30) + one("__set0", 3) + one("marks", 8) + DONE
    monkeypatch.setattr(nfnetlink, "connect", lambda: Recorded(answer))
    assert standing.names(OURS, "set") == {"flows"}
    assert standing.names(OURS, "map") == {"marks"}


def test_whose_changes_are_heard_of() -> None:
    """Messages name their table; the end of a transaction, and other families', are of none."""
    heard = bytes.fromhex(table() + rule("input", 1, table="foreign"))
    assert list(nfnetlink.tables_named(heard)) == [OURS, "foreign"]
    generation = "1c0000000f0a0000000000000000000000000002080001000000000c"
    assert list(nfnetlink.tables_named(bytes.fromhex(generation))) == []
    of_ip = bytearray(bytes.fromhex(table()))
    of_ip[16] = 2
    assert list(nfnetlink.tables_named(bytes(of_ip))) == []


QUEUE = expression("queue", (1, b"\0\x58"), (2, b"\0\1"), (3, b"\0\0"))
QUEUE_BYPASS = expression("queue", (1, b"\0\x58"), (2, b"\0\1"), (3, b"\0\1"))
QUEUE_FANOUT = expression("queue", (1, b"\0\x58"), (2, b"\0\1"), (3, b"\0\2"))


def target(flags: int, name: str = "NFQUEUE") -> bytes:
    """The iptables target."""
    information = struct.pack("=HHHxx", 88, 1, flags)
    return expression("target", (1, text(name)), (2, b"\0\0\0\3"), (3, information))


@pytest.mark.parametrize(
    ("expressions", "bypassed"),
    [
        (QUEUE, False),
        (QUEUE_BYPASS, True),
        (QUEUE_FANOUT, False),
        (target(0), False),
        (target(1), True),
        (target(1, "MARK"), False),
        (expression("meta", (1, b"\0\0\0\1"), (3, b"\0\1")) + target(1), True),
        (b"", False),
    ],
)
def test_what_passes_while_nobody_judges(
    monkeypatch: pytest.MonkeyPatch, expressions: bytes, bypassed: bool
) -> None:
    """Either way to the queue says whether it is open without anybody at it."""
    answer = rule("input", 7) + rule("judge", 8, expressions) + DONE
    monkeypatch.setattr(nfnetlink, "connect", lambda: Recorded(answer))
    assert standing.bypassed(OURS) is bypassed
