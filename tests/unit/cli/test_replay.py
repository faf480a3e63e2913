"""`ipsecfd replay`: captures through the driver, line by line and as a summary."""

from __future__ import annotations

import gzip
import itertools
import json
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from ipsecfd.cli.main import app
from tests.builders import icmp, ipv4, ipv6, packet, tcp, udp
from tests.unit.cli import truth
from tests.unit.cli.capture_files import ETHERNET, RAW, Frame, ethernet, pcap, pcapng

OWN, OWN6, PEER, PEER6 = "192.0.2.10", "2001:db8::10", "203.0.113.66", "2001:db8:1::66"
HOST = ("--address", f"{OWN}/24", "--address", f"{OWN6}/64")
BLOCK_ALL = 'name = "P"\n[[rule]]\nname = "all"\naction = "block"\nfilters = ["me <-> any"]\n'
NOT_JUDGED = (None, None)


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names of files are short, however long that of the directory is."""
    monkeypatch.chdir(tmp_path)


def run(*arguments: str) -> Result:
    return CliRunner(env={"COLUMNS": "80"}).invoke(app, ["replay", *arguments])


def answers(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, (result.stderr, result.exception)
    return [json.loads(line) for line in result.stdout.splitlines()]


def replay(
    tmp_path: Path,
    frames: Iterable[Frame],
    *options: str,
    link: int = RAW,
    policy: str = BLOCK_ALL,
) -> list[dict[str, Any]]:
    """The lines of `--json` for a capture of these frames."""
    capture, file = tmp_path / "capture.pcap", tmp_path / "policy.toml"
    capture.write_bytes(pcap(frames, link))
    file.write_text(policy)
    return answers(run(str(capture), "--policy", str(file), *HOST, "--json", *options))


def short(answer: dict[str, Any]) -> tuple[str, str | None, str | None]:
    return answer["direction"], answer["verdict"], answer["exemption"] or answer["reason"]


def by_situation(case: dict[str, Any]) -> tuple[str, str, int]:
    return case["policy"], case["profile"], case["exempt"]


@pytest.mark.parametrize("make", [pcap, pcapng])
@pytest.mark.parametrize(
    ("situation", "cases"),
    [
        pytest.param(situation, list(cases), id="-".join(map(str, situation)))
        for situation, cases in itertools.groupby(
            sorted(truth.CASES, key=by_situation), by_situation
        )
    ],
)
def test_truth_table(
    tmp_path: Path, make: Any, situation: tuple[str, str, int], cases: list[dict[str, Any]]
) -> None:
    """Every case of the truth table, in captures of all packets judged by the same policy."""
    capture = tmp_path / "capture"
    frames = [ethernet(packet(truth.packet_text(case))[0]) for case in cases]
    capture.write_bytes(make(frames, ETHERNET))
    file = truth.policy_file(situation[0], tmp_path)
    got = answers(run(str(capture), *truth.options(cases[0], file), "--json"))
    assert [case["verdict"] for case in cases] == [one["verdict"] for one in got]
    assert [case["decided_by"] for case in cases] == [truth.decided_by(one) for one in got]
    assert [case["direction"] for case in cases] == [one["direction"] for one in got]


def test_lines_are_as_fixed(tmp_path: Path) -> None:
    """A line has the fields of the design, in order, also for what is not judged."""
    arp = bytes(12) + b"\x08\x06" + bytes(46)
    judged, other = replay(
        tmp_path,
        [ethernet(ipv4(PEER, OWN, 6, tcp(4000, 80))), arp],
        link=ETHERNET,
    )
    assert list(judged.items()) == [
        ("index", 0),
        ("direction", "in"),
        ("verdict", "block"),
        ("reason", "filter"),
        ("rule", "all"),
        ("filter", "me <-> any"),
        ("mirrored", True),
        ("exemption", None),
    ]
    assert list(other.items()) == [
        ("index", 1),
        ("direction", "other"),
        ("verdict", None),
        ("reason", None),
        ("rule", None),
        ("filter", None),
        ("mirrored", False),
        ("exemption", None),
    ]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (ipv4(OWN, PEER, 6, tcp(1, 2)), ("out", "block", "filter")),
        (ipv4(PEER, OWN, 6, tcp(1, 2)), ("in", "block", "filter")),
        (ipv4(OWN, "224.0.0.251", 17, udp(1, 2)), ("out", "block", "filter")),
        (ipv4(PEER, "224.0.0.251", 17, udp(1, 2)), ("in", "block", "filter")),
        (ipv4(PEER, "192.0.2.255", 17, udp(1, 2)), ("in", "block", "filter")),
        (ipv4("0.0.0.0", "255.255.255.255", 17, udp(68, 67)), ("in", "block", "filter")),
        (ipv4(PEER, "203.0.113.255", 17, udp(1, 2)), ("other", *NOT_JUDGED)),
        (ipv4(PEER, "192.0.2.11", 6, tcp(1, 2)), ("other", *NOT_JUDGED)),
        (ipv4(OWN, OWN, 6, tcp(1, 2)), ("out", "permit", "loopback")),
        (ipv4("127.0.0.1", "127.0.0.1", 6, tcp(1, 2)), ("out", "permit", "loopback")),
        (ipv6("::1", "::1", 6, tcp(1, 2)), ("out", "permit", "loopback")),
        (ipv6(OWN6, PEER6, 6, tcp(1, 2)), ("out", "block", "filter")),
        (ipv6(PEER6, OWN6, 6, tcp(1, 2)), ("in", "block", "filter")),
        (ipv6(PEER6, "ff02::1", 58, icmp(128)), ("in", "block", "filter")),
        (ipv6("fe80::9", "ff02::1", 58, icmp(135), hop_limit=255), ("in", "permit", "EX:ND")),
        (ipv6(PEER6, "2001:db8::11", 6, tcp(1, 2)), ("other", *NOT_JUDGED)),
        (b"", ("in", "block", "malformed")),
        (b"\x45\x00", ("in", "block", "malformed")),
        (b"\x60" + bytes(38), ("in", "block", "malformed")),
        (b"\x95" + bytes(60), ("in", "block", "malformed")),
        (ipv4(PEER, OWN, 6, tcp(1, 2), header_words=4), ("in", "block", "malformed")),
        (ipv4(OWN, PEER, 6, tcp(1, 2), total_length=200), ("out", "block", "malformed")),
        (ipv4(PEER, "192.0.2.11", 6, header_words=4), ("other", *NOT_JUDGED)),
    ],
)
def test_directions(tmp_path: Path, data: bytes, expected: tuple[str, str, str]) -> None:
    """Out by the source, else in by the destination, else not judged; what has no readable
    addresses came in."""
    (answer,) = replay(tmp_path, [data])
    assert short(answer) == expected


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (ipv6(PEER6, OWN6, 6, tcp(1, 2)), ("other", *NOT_JUDGED)),
        (ipv6(PEER6, "ff02::1", 17, udp(1, 2)), ("in", "permit", "EX:IPV6")),
    ],
)
def test_ipv6_in_profiles_without_it(
    tmp_path: Path, data: bytes, expected: tuple[str, str, str]
) -> None:
    """There own IPv6 addresses are unknown, and the multicast that comes in is exempt."""
    (answer,) = replay(tmp_path, [data], "--profile", "win2003")
    assert short(answer) == expected


def test_stateful_mode_goes_by_the_captures_clock(tmp_path: Path) -> None:
    """M7 to M10, and the entry's end 300 s after the last outbound packet."""
    query = ipv4(OWN, PEER, 17, udp(4000, 53))
    answer = ipv4(PEER, OWN, 17, udp(53, 4000))
    other_port = ipv4(PEER, OWN, 17, udp(53, 4001))
    other_peer = ipv4("203.0.113.67", OWN, 17, udp(53, 4000))
    transcript = [
        (0, answer, "block"),
        (1, query, "permit"),
        (2, answer, "permit"),
        (3, other_port, "block"),
        (4, other_peer, "block"),
        (300, answer, "permit"),
        (302, answer, "block"),
    ]
    frames = [(data, len(data), 1e9 + time) for time, data, _ in transcript]
    got = replay(tmp_path, frames, "--mode", "stateful")
    assert [verdict for *_, verdict in transcript] == [one["verdict"] for one in got]


def test_fragments_and_cut_packets(tmp_path: Path) -> None:
    """A later fragment is judged without ports; a packet cut by the capture is not malformed."""
    policy = (
        BLOCK_ALL + '[[rule]]\nname = "web"\naction = "permit"\nfilters = ["any -> me:80 tcp"]\n'
    )
    fragment = ipv4(PEER, OWN, 6, bytes(64), offset=8)
    whole = ipv4(PEER, OWN, 6, tcp(4000, 80) + bytes(80))
    later, cut, lying = replay(
        tmp_path, [fragment, (whole[:40], len(whole)), whole[:40]], policy=policy
    )
    assert short(later) == ("in", "block", "fragment")
    assert short(cut) == ("in", "permit", "filter")
    assert short(lying) == ("in", "block", "malformed")


def test_ethernet_padding_is_not_data(tmp_path: Path) -> None:
    """What Ethernet adds to reach 60 bytes is no part of the packet."""
    too_short = ipv4(PEER, OWN, 17, bytes(2))
    (answer,) = replay(tmp_path, [ethernet(too_short)], link=ETHERNET)
    assert short(answer) == ("in", "block", "malformed")


def test_interface_is_for_the_connection_type(tmp_path: Path) -> None:
    """On a named interface a packet from the host to itself is no loopback, but on lo all is."""
    frames = [ipv4(OWN, OWN, 6, tcp(1, 2)), ipv4(PEER, OWN, 6, tcp(1, 2))]
    policy = BLOCK_ALL.replace('"block"', '"block"\nconnection = "dialup"')
    reasons = {
        name: [one["reason"] for one in replay(tmp_path, frames, *option, policy=policy)]
        for name, option in (
            ("none", ()),
            ("eth0", ("--interface", "eth0")),
            ("ppp0", ("--interface", "ppp0")),
            ("lo", ("--interface", "lo")),
        )
    }
    assert reasons == {
        "none": ["loopback", "no-filter"],
        "eth0": ["no-filter", "no-filter"],
        "ppp0": ["filter", "filter"],
        "lo": ["loopback", "loopback"],
    }


def written(tmp_path: Path, content: bytes) -> tuple[str, ...]:
    """The arguments to replay a capture with this content."""
    (tmp_path / "capture.pcap").write_bytes(content)
    (tmp_path / "policy.toml").write_text(BLOCK_ALL)
    return "capture.pcap", "--policy", "policy.toml", *HOST


@pytest.mark.parametrize("json_option", [(), ("--json",)])
@pytest.mark.parametrize("content", [b"", b"garbage" * 20, pcap([])[:9], pcap([b"x"], 147)])
def test_what_cannot_be_replayed(
    tmp_path: Path, content: bytes, json_option: tuple[str, ...]
) -> None:
    """Garbage, half a header and an unknown link type are one error and no output."""
    result = run(*written(tmp_path, content), *json_option)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "capture.pcap: " in str(result.exception)


@pytest.mark.parametrize("content", [pcap([]), pcapng([])])
def test_capture_without_packets(tmp_path: Path, content: bytes) -> None:
    """A quiet network is no error: the summary says that there was nothing to judge."""
    arguments = written(tmp_path, content)
    summary = run(*arguments)
    assert (summary.exit_code, summary.stderr) == (0, "")
    text = " ".join(summary.stdout.split())
    assert "capture.pcap: a capture without a packet Profile linux" in text
    assert text.endswith("me = 192.0.2.10, 2001:db8::10")
    lines = run(*arguments, "--json")
    assert (lines.exit_code, lines.stdout) == (0, "")


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_capture_from_standard_input(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    """A pipe, which cannot be read twice, is judged like a file."""
    content = pack(pcap([ipv4(PEER, OWN, 6, tcp(1, 2))] * 3))
    capture, *options = written(tmp_path, content)
    assert capture.endswith("capture.pcap")
    command = [sys.executable, "-m", "ipsecfd", "replay", "-", *options]
    done = subprocess.run(command, input=content, capture_output=True, check=True, timeout=60)
    assert done.stdout.startswith(b"standard input: 3 packets in 0.0 s\n")


def test_standard_input_that_is_no_capture(tmp_path: Path) -> None:
    """The line says that it was standard input."""
    result = CliRunner().invoke(app, ["replay", "-", *written(tmp_path, b"")[1:]], input=b"text")
    assert (result.exit_code, result.stdout) == (1, "")
    assert str(result.exception).startswith("standard input: not a pcap")


def test_capture_cut_short(tmp_path: Path) -> None:
    """What is whole is reported, then the error; the status says that something is missing."""
    data = ipv4(PEER, OWN, 6, tcp(1, 2))
    arguments = written(tmp_path, pcap([data, data, data])[:-1])
    lines = run(*arguments, "--json")
    assert lines.exit_code == 1
    assert [json.loads(line)["index"] for line in lines.stdout.splitlines()] == [0, 1]
    assert "cut short" in str(lines.exception)
    assert "2 packets" in run(*arguments).stdout


def test_wrong_options_are_usage(tmp_path: Path) -> None:
    """A wrong option is one line and exit status 2, as with explain."""
    result = run(*written(tmp_path, pcap([])), "--exempt", "7")
    assert result.exit_code == 2
    assert result.stderr == "ipsecfd: --exempt 7: profile linux allows 0, 1, 2, 3\n"


def test_summary(tmp_path: Path) -> None:
    """The summary counts every packet, says what decided, and names what was dropped most."""
    frames: list[Frame] = [ethernet(ipv4(PEER, OWN, 6, tcp(4000, 445)))] * 3
    frames += [ethernet(ipv4(OWN, PEER, 17, udp(500, 500)))] * 2
    frames += [ethernet(ipv4(PEER, "192.0.2.99", 6, tcp(1, 2))), bytes(60)]
    frames += [(ethernet(ipv4(PEER, OWN, 6, tcp(1, 2)))[:30], 60)]
    result = run(*written(tmp_path, pcap(frames, ETHERNET)))
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert lines[0].endswith("capture.pcap: 8 packets in 0.0 s")
    assert "permit exemption 0 2" in lines
    assert "block filter 3 0" in lines
    assert "block malformed 1 0" in lines
    assert "not judged neither from nor to me 1" in lines
    assert "not judged not IP 1" in lines
    assert "3 block me <-> any (its mirror)" in lines
    assert "2 permit exemption EX:IKE (IKE, UDP port 500)" in lines
    assert "3 in tcp 203.0.113.66 -> 192.0.2.10:445" in lines
    assert "Note: 1 of the malformed packets" in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert "\x1b" not in result.stdout + result.stderr


def test_summary_warns_of_the_source_port_hole(tmp_path: Path) -> None:
    """A packet that passed as Kerberos is told with what that means; none, no warning."""
    arguments = written(tmp_path, pcap([ipv4(PEER, OWN, 6, tcp(88, 445))]))
    assert "Warning: exemption value 0" in run(*arguments, "--exempt", "0").stdout
    assert "Warning" not in run(*arguments).stdout


def test_summary_of_a_flood(tmp_path: Path) -> None:
    """Of many dropped conversations the first few are named, and the rest is counted."""
    frames = [ipv4(PEER, OWN, 6, tcp(4000, port)) for port in range(1, 101)]
    text = run(*written(tmp_path, pcap([*frames, frames[6]]))).stdout
    assert "           2  in  tcp 203.0.113.66 -> 192.0.2.10:7\n" in text
    assert "          85  others\n" in text
