"""The binary values of a policy store, byte by byte (spec 8.6)."""

from __future__ import annotations

import ipaddress
import uuid
from dataclasses import replace

import pytest

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
    InterfaceType,
    Method,
    Offer,
    Ports2,
    RuleBlob,
)
from tests.unit.policy.registry_blobs import (
    build_filters,
    build_negotiation,
    build_policy,
    build_rule,
)

from .registry_file import me_to

POLICY = bytes.fromhex("632120224c4fd111863b00a0248d3021 04000000 302a0000 00")
FILTERS = bytes.fromhex("b520dc80c82ed111a89e00a0248d3021")
EMPTY = bytes.fromhex("02000000 0000") * 3
GUID = uuid.UUID("d239c599-f945-47a3-a4e3-b37bc12826b9")
# me -> any:1434 UDP, not mirrored
SLAMMER = (
    EMPTY
    + GUID.bytes_le
    + bytes.fromhex("00000000 00000000 ffffffff 00000000 00000000 00000000 11000000 0000 9a05")
    + bytes.fromhex("00 00 0000")
)


def test_the_policy_of_the_specification() -> None:
    """The published example is 10,800 seconds, and is written the same."""
    assert parse_policy(POLICY) == 10_800
    assert build_policy(10_800) == POLICY


def test_a_policy_without_the_pad_byte() -> None:
    """The byte behind a value is often there, not always."""
    assert parse_policy(POLICY[:-1]) == 10_800


def test_a_filter_of_70_bytes() -> None:
    """Every field of version 1 stands where the specification says."""
    assert len(SLAMMER) == 70
    data = FILTERS + bytes.fromhex("4a000000 01000000") + SLAMMER + b"\0"
    expected = me_to("0.0.0.0", "0.0.0.0", protocol=17, destination_port=1434, mirrored=False)
    (found,) = parse_filters(data).effective
    assert isinstance(found, Filter1)
    assert expected == replace(found, guid=expected.guid)
    assert found.guid == GUID
    assert data == build_filters(parse_filters(data))


@pytest.mark.parametrize("length", ["4a", "46", "ff", "00"])
def test_the_count_of_filters_is_trusted(length: str) -> None:
    """The length counts differently on newer systems, and is ignored."""
    data = FILTERS + bytes.fromhex(f"{length}000000 01000000") + SLAMMER
    assert len(parse_filters(data).filters) == 1


def test_newer_systems_leave_the_count_out_of_the_length() -> None:
    """0x4a and 0x46 for one filter without texts."""
    one = FilterBlob((me_to("192.0.2.1"),))
    assert build_filters(one)[16] == 0x4A
    assert build_filters(one, newer=True)[16] == 0x46


def test_more_filters_than_there_is_room_for() -> None:
    """A wild count is refused before anything is read for it."""
    data = FILTERS + bytes.fromhex("4a000000 ffffffff") + SLAMMER
    with pytest.raises(BlobError, match="no more filters than there is room for") as error:
        parse_filters(data)
    assert error.value.offset == 20


def test_a_wrong_kind_of_value() -> None:
    """The GUID at the front tells kinds apart."""
    with pytest.raises(BlobError, match="begins a filter list"):
        parse_filters(POLICY)


def test_a_value_that_is_cut_off() -> None:
    """The message says where bytes are missing and how many."""
    with pytest.raises(BlobError, match="byte 20: expected a number: 4 bytes, not 2"):
        parse_policy(POLICY[:22])


def test_bytes_behind_the_end() -> None:
    """Only zero bytes may follow."""
    with pytest.raises(BlobError, match="byte 24: expected the end, not 2 more bytes"):
        parse_policy(POLICY[:-1] + b"\0x")


def test_a_rule() -> None:
    """Authentication, connection type, tunnel and the active flag are kept."""
    rule = RuleBlob(
        (Method(1, "geheim\0".encode("utf-16-le")), Method(5)),
        InterfaceType.DIALUP,
        "",
        ipaddress.IPv4Address("192.0.2.9"),
        True,
        False,
        "tunnel.example",
    )
    assert rule == parse_rule(build_rule(rule))


def test_extensions_behind_a_rule_are_skipped() -> None:
    """Newer systems add parts that an older one does not know."""
    extension = bytes.fromhex("01010101010101010101010101010102 04000000 01020304")
    assert RuleBlob() == parse_rule(build_rule(RuleBlob())[:-1] + extension)


def test_a_rule_in_bytes() -> None:
    """A rule with Kerberos for all connections, written by hand."""
    data = bytes.fromhex(
        "00acbb118d49d111863900a0248d3021 2a000000 01000000 05000000 00000000 fdffffff"
        "02000000 0000 00000000 00000000 01000000 02000000 0000 00"
    )
    assert RuleBlob((Method(5),)) == parse_rule(data)


def test_offers_of_80_bytes() -> None:
    """A negotiation policy keeps its security methods and the empty one that means soft."""
    offers = (
        Offer(3600, 100_000, 0, True, (Algorithm(2, 3, 2),)),
        Offer(algorithms=(Algorithm(1, 2), Algorithm(2, 0, 1))),
        Offer(),
    )
    assert offers == parse_negotiation(build_negotiation(offers))
    assert len(build_negotiation(offers)) == 16 + 4 + 4 + 3 * 80 + 1


def test_too_many_algorithms() -> None:
    """There is room for three in an offer."""
    data = bytearray(build_negotiation((Offer(),)))
    data[24 + 16] = 4
    with pytest.raises(BlobError, match="byte 40: expected up to 3 algorithms, not 4"):
        parse_negotiation(bytes(data))


def test_version_2_counts_before_version_1() -> None:
    """Filters that newer systems also write for older ones are meant once."""
    ranged = Filter2(
        Address2(8),
        Address2(2, 1, bytes([10, 0, 0, 1] + 12 * [0]), bytes([10, 0, 0, 9] + 12 * [0])),
    )
    plain = me_to("192.0.2.1")
    blob = FilterBlob(
        (plain, me_to("10.0.0.1"), me_to("10.0.0.2", "255.255.255.254")), (ranged,), 1
    )
    assert blob == parse_filters(build_filters(blob))
    assert (plain, ranged) == blob.effective


def test_a_version_2_filter_keeps_everything() -> None:
    """Both families, ranges of addresses and ports."""
    one = Filter2(
        Address2(4, 2, bytes(range(16)), bytes([48] + 15 * [0])),
        Address2(1, 1, bytes([192, 0, 2, 1] + 12 * [0])),
        Ports2(2, 1024, 65535),
        Ports2(1, 80, 0),
        6,
        8,
        False,
        "a",
        "b",
        "Grüße",
        GUID,
    )
    blob = FilterBlob((), (one,), 0)
    assert blob == parse_filters(build_filters(blob))


def test_text_that_is_no_utf16() -> None:
    """Half a character is refused where it stands."""
    data = FILTERS + bytes.fromhex("00000000 01000000 02000000 00d8") + bytes(80)
    with pytest.raises(BlobError, match="byte 28: expected text in UTF-16"):
        parse_filters(data)
