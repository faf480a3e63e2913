"""Registry exports: any bytes are a value or its one error, any text a tree with failures."""

from __future__ import annotations

import ipaddress
import uuid
from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ipsecfd.policy.model import IPAddress, Store
from ipsecfd.policy.registry.blobs import (
    BlobError,
    parse_filters,
    parse_negotiation,
    parse_policy,
    parse_rule,
)
from ipsecfd.policy.registry.layout import (
    Address2,
    Algorithm,
    Filter1,
    Filter2,
    FilterBlob,
    Method,
    Offer,
    Ports2,
    RuleBlob,
)
from ipsecfd.policy.registry.objects import apply_tree
from ipsecfd.policy.registry.regfile import read
from ipsecfd.policy.registry.tree import RegistryFileError
from ipsecfd.policy.workspace import Workspace
from tests.unit.policy.registry_blobs import (
    build_filters,
    build_negotiation,
    build_policy,
    build_rule,
)
from tests.unit.policy.registry_file import BLOCK, NEGOTIATE, Export, me_to

u32 = st.integers(0, 0xFFFFFFFF)
u16 = st.integers(0, 0xFFFF)
u8 = st.integers(0, 0xFF)
texts = st.text(st.characters(codec="utf-16-le", exclude_characters="\0"), max_size=8)
addresses = st.builds(ipaddress.IPv4Address, u32)
guids = st.builds(lambda data: uuid.UUID(bytes=data), st.binary(min_size=16, max_size=16))
wide = st.binary(min_size=16, max_size=16)
algorithms = st.builds(Algorithm, u32, u32, u32, u32, u32)
offers = st.builds(Offer, u32, u32, u32, st.booleans(), st.lists(algorithms, max_size=3).map(tuple))
rules = st.builds(
    RuleBlob,
    st.lists(st.builds(Method, u32, st.binary(max_size=9)), max_size=3).map(tuple),
    u32,
    texts,
    addresses,
    st.booleans(),
    st.booleans(),
    texts,
)
filters_1 = st.builds(
    Filter1,
    *(addresses, addresses, addresses, addresses),
    *(u32, u16, u16, st.booleans(), texts, texts, texts, guids, addresses, st.booleans(), u8),
)
ports = st.builds(Ports2, u32, u16, u16)
sides = st.builds(Address2, u32, u32, wide, wide)
filters_2 = st.builds(
    Filter2, *(sides, sides, ports, ports, u32, u32, st.booleans(), texts, texts, texts, guids)
)
filter_blobs = st.builds(
    FilterBlob,
    st.lists(filters_1, max_size=3).map(tuple),
    st.lists(filters_2, max_size=2).map(tuple),
    u32,
) | st.builds(FilterBlob, st.lists(filters_1, max_size=3).map(tuple))

PARSERS: list[Callable[[bytes], Any]] = [
    parse_policy,
    parse_rule,
    parse_negotiation,
    parse_filters,
]


@given(u32)
def test_policies_round_trip(seconds: int) -> None:
    """What is written is read."""
    assert seconds == parse_policy(build_policy(seconds))


@given(rules)
def test_rules_round_trip(rule: RuleBlob) -> None:
    """What is written is read."""
    assert rule == parse_rule(build_rule(rule))


@given(st.lists(offers, max_size=4).map(tuple))
def test_offers_round_trip(made: tuple[Offer, ...]) -> None:
    """What is written is read."""
    assert made == parse_negotiation(build_negotiation(made))


@given(filter_blobs, st.booleans())
def test_filters_round_trip(blob: FilterBlob, newer: bool) -> None:
    """What is written is read."""
    assert blob == parse_filters(build_filters(blob, newer=newer))


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A good value with bytes cut, changed or put in."""
    data = draw(
        st.one_of(
            u32.map(build_policy),
            rules.map(build_rule),
            st.lists(offers, max_size=3).map(tuple).map(build_negotiation),
            filter_blobs.map(build_filters),
        )
    )
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(data)))
        end = start + draw(st.integers(0, 5))
        data = data[:start] + draw(st.binary(max_size=5)) + data[end:]
    return data


@given(st.one_of(st.binary(), damaged()))
def test_any_bytes_are_a_value_or_its_error(data: bytes) -> None:
    """One documented error, with an offset inside the value, is all that can come out."""
    for parse in PARSERS:
        refusal = None
        try:
            parse(data)
        except BlobError as error:
            refusal = error
        assert refusal is None or 0 <= refusal.offset <= len(data)
        assert str(refusal).isprintable()


def example() -> str:
    export = Export()
    export.filters(1, "Web", me_to("192.0.2.1", protocol=6, destination_port=80))
    export.action(2, "Block", BLOCK)
    export.action(3, "Secure", NEGOTIATE, Offer())
    export.rule(4, "R", 2, 1)
    export.policy(5, "P", [4])
    export.assign(5)
    return export.text


EXAMPLE = example()
LINES = EXAMPLE.split("\n")


def no_dns(name: str) -> tuple[IPAddress, ...]:
    raise AssertionError(f"an import asks for no name: {name}")


def import_(data: bytes) -> None:
    """Import into a fresh workspace: content and failures that can be shown, or one refusal."""
    to = Workspace(no_dns)
    refusal = ""
    try:
        result = apply_tree(read(data, "x.reg"), to)
    except RegistryFileError as error:
        refusal = str(error)
    if refusal:
        assert refusal.startswith("x.reg: ")
        assert refusal.isprintable()
        return
    count = data.count(b"\n") + data.count(b"\r") + 1
    for failure in (*result.failed, *result.untranslated):
        assert failure.why
        assert 0 <= failure.line <= count
    content = to.stores[Store.LOCAL].content()
    for policy in content.policies.values():
        content.compiled(policy)
        assert policy.name.isprintable()


@st.composite
def damaged_texts(draw: st.DrawFn) -> str:
    """The example with lines taken out, doubled, moved or overwritten."""
    lines = list(LINES)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(lines) - 1))
        other = draw(st.sampled_from(LINES))
        match draw(st.sampled_from(["cut", "put", "half", "text"])):
            case "cut":
                del lines[at]
            case "put":
                lines.insert(at, other)
            case "half":
                lines[at] = lines[at][: draw(st.integers(0, 80))]
            case _:
                lines[at] += draw(st.text(max_size=5))
    return "\n".join(lines)


@given(damaged_texts())
def test_any_damage_is_named(text: str) -> None:
    """A damaged export is imported in part, whatever the damage."""
    import_(text.encode("utf-8", "replace"))


@given(st.binary().map(lambda data: data[:200]) | st.text().map(lambda one: one.encode("utf-16")))
def test_any_file(data: bytes) -> None:
    """What is no export is refused."""
    import_(data)
    import_(b"REGEDIT4\n" + data)
    import_(b"reg add HKLM\\X /f\n" + data)
