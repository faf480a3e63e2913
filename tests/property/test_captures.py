"""Whatever bytes a capture file holds, reading it gives records or the one documented error."""

from __future__ import annotations

import gzip
import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ipsecfd.cli.captures import LINK_TYPES, CaptureError, Record, records
from ipsecfd.cli.offline import Situation, make_settings
from ipsecfd.cli.replay import judge
from ipsecfd.driver.exemptions import PROFILES
from ipsecfd.driver.modes import Mode
from ipsecfd.policy.model import Store
from tests.builders import THIS_HOST, ipv4, ipv6, policy, tcp, udp
from tests.unit.cli.capture_files import block, ethernet, interface, pcap, pcapng, section, simple

MOST = 10_000
"""Records; no test file can hold more, so more would be a loop."""

V4, V6 = ipv4("203.0.113.66", "192.0.2.10", 6, tcp(1, 2)), ipv6("::2", "::3", 17, udp(1, 2))
SEEDS = [
    pcap([ethernet(V4), ethernet(V6)], 1),
    pcap([V4, V6], order=">", nano=True),
    pcapng([ethernet(V4), ethernet(V6)], 1),
    pcapng([V4], order=">") + pcapng([V6], nano=True),
    section() + interface() + simple(V4) + block(10, b"\x4b\x53\x4c\x54\x04\0\0\0abcd"),
    section() + interface() + block(0x80000001, b"\1\0\0\0\2\0\3\0abc\0") + simple(V4),
    gzip.compress(pcap([V4, V6])),
]


def situation(mode: Mode) -> Situation:
    active = [(Store.LOCAL, policy("block me <-> any", "permit any -> me:2 tcp"))]
    settings = make_settings(active, mode=mode, profile=PROFILES["linux"], exempt=0, host=THIS_HOST)
    return Situation(settings, active, None, ())


SITUATIONS = [situation(Mode.SECURE), situation(Mode.STARTUP_STATEFUL)]


@pytest.fixture(scope="module")
def path() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as directory:
        yield Path(directory) / "capture"


def read(path: Path, content: bytes) -> list[Record]:
    """The records before the end or the error; anything but CaptureError fails the test."""
    path.write_bytes(content)
    got: list[Record] = []
    said = ""
    try:
        for record in itertools.islice(records(path), MOST):
            got.append(record)  # noqa: PERF402 - keep what comes before an error
    except CaptureError as error:
        said = str(error)
    assert not said or (said.startswith(f"{path}: ") and "\n" not in said)
    assert len(got) < MOST
    return got


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A good capture with bytes changed, cut out or put in anywhere."""
    content = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(content)))
        removed = draw(st.integers(0, 8))
        content[place : place + removed] = draw(st.binary(max_size=8))
    return bytes(content)


@given(content=st.one_of(st.binary(max_size=400), damaged()))
@example(content=SEEDS[0] + b"\xff" * 15)
@example(content=SEEDS[2] + b"\xff" * 15)
def test_any_bytes_give_records_or_the_error(path: Path, content: bytes) -> None:
    """Nothing but CaptureError comes out, times never fall, and each record is judged."""
    got = read(path, content)
    assert all(one.time <= two.time for one, two in itertools.pairwise(got))
    for one in SITUATIONS:
        judged = list(judge(got, one))
        assert [number for number, *_ in judged] == list(range(len(got)))


@given(frames=st.lists(st.binary(max_size=100), max_size=20), link=st.sampled_from([*LINK_TYPES]))
def test_any_frames_are_all_there(path: Path, frames: list[bytes], link: int) -> None:
    """Both formats give a record for each frame, with the same packet in it."""
    one, two = read(path, pcap(frames, link)), read(path, pcapng(frames, link))
    assert len(frames) == len(one)
    assert one == two


@given(content=st.sampled_from(SEEDS), data=st.data())
def test_a_beginning_gives_the_first_records(
    path: Path, content: bytes, data: st.DataObject
) -> None:
    """Of a file cut anywhere, what comes out are the first records of the whole file."""
    whole = read(path, content)
    got = read(path, content[: data.draw(st.integers(0, len(content)))])
    assert got == whole[: len(got)]
