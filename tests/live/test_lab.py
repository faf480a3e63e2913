"""The lab itself: private hosts, honest probes, and nothing left however it ends."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ipsecfd.lab import HostSpec, Lab, LabError, Outcome, Probe
from ipsecfd.lab.hosts import INTERFACE

pytestmark = [pytest.mark.live, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

parse = Probe.parse

INPUT_HOOK = "type filter hook input priority 0"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        yield lab


def test_hosts_are_private(lab: Lab) -> None:
    """A host has its own links, processes, /run and name servers, and not the machine's."""
    guard = lab["guard"]
    links = guard.run(["ip", "-brief", "link"], check=True).stdout
    assert [line.split("@")[0].split()[0] for line in links.splitlines()] == ["lo", INTERFACE]
    guard.run(["touch", "/run/only-here"], check=True)
    assert guard.path("/run/only-here").exists()
    assert not Path("/run/only-here").exists()
    assert "nameserver" not in guard.run(["cat", "/etc/resolv.conf"]).stdout
    assert len(guard.run(["ls", "/proc"]).stdout.split("self")[0].split()) < 100


@pytest.mark.parametrize(
    "probe",
    [
        parse("tcp 203.0.113.66 -> 192.0.2.10:80"),
        parse("tcp [2001:db8::10]:80 -> [2001:db8:66::66]:25"),
        parse("tcp 192.0.2.10:5000 -> 198.51.100.7:25", flags="SA"),
        parse("tcp [2001:db8::77]:5000 -> [2001:db8::10]:25", flags="S"),
        parse("udp 203.0.113.66:53 -> 192.0.2.10:1434"),
        parse("udp 9.9.9.9:53 -> 192.0.2.10:1434", sender="peer"),
        parse("udp 192.0.2.77 -> 192.0.2.10:9", size=4000, mark=7),
        parse("udp [2001:db8::77]:5353 -> [2001:db8::10]:9", size=4000),
        parse("udp 192.0.2.77:137 -> 192.0.2.255:137"),
        parse("udp 192.0.2.10:68 -> 255.255.255.255:67"),
        parse("udp 192.0.2.77:5353 -> 224.0.0.251:5353"),
        parse("udp [2001:db8::77]:5353 -> [ff02::fb]:5353"),
        parse("ping 203.0.113.66 -> 192.0.2.10"),
        parse("ping 2001:db8::10 -> 2001:db8:66::66"),
        parse("icmp 203.0.113.66 -> 192.0.2.10", icmp_type=3),
        parse("icmpv6 2001:db8::77 -> 2001:db8::10"),
        parse("46 198.51.100.7 -> 192.0.2.10"),
        parse("50 2001:db8::77 -> 2001:db8::10", hop_limit=1),
    ],
    ids=str,
)
def test_everything_passes_where_nobody_filters(lab: Lab, probe: Probe) -> None:
    """Each kind of probe arrives on an open host, and much sooner than patience ends."""
    (seen,) = lab.probe(probe)
    assert (seen.outcome, seen.records) == (Outcome.PASS, ())
    assert seen.seconds < 1


@pytest.mark.parametrize(
    ("text", "packet"),
    [
        (
            "udp 192.0.2.77:1 -> 192.0.2.10:9",
            "45000024 00004000 40110000 c000024d c000020a 0001000900100000 4142434445464748",
        ),
        (  # a fragment: offset 8, the last one
            "udp [2001:db8::77]:1 -> [2001:db8::10]:9",
            (
                "60000000 00182c40"
                "20010db8000000000000000000000077 20010db8000000000000000000000010"
                "1100000800000001 41424344454647484142434445464749"
            ),
        ),
    ],
)
def test_raw_packets(lab: Lab, text: str, packet: str) -> None:
    """Raw packets go out as they are written, and a raw socket sees them arrive."""
    (seen,) = lab.probe(parse(text, raw=(bytes.fromhex(packet.replace(" ", "")),)))
    assert seen.passed


def test_what_comes_back_to_the_sender_has_not_arrived() -> None:
    """A multicast that only its sender hears, listening for another probe, is dropped."""
    with Lab() as lab:
        rules = f"table inet t {{ chain c {{ {INPUT_HOOK}; drop; }}; }}"
        lab["guard"].run(["nft", rules], check=True)
        inward, outward = lab.probe(
            parse("udp 192.0.2.77:5353 -> 224.0.0.251:5353"),
            parse("udp 192.0.2.10:5353 -> 224.0.0.251:5353"),
            patience=0.3,
        )
    assert (inward.outcome, outward.outcome) == (Outcome.DROP, Outcome.PASS)


def test_port_of_a_listener_as_source(lab: Lab) -> None:
    """A host sends from the very port that it listens on for another probe."""
    seen = lab.probe(
        parse("tcp 203.0.113.66:80 -> 192.0.2.10:80"),
        parse("tcp 192.0.2.10:80 -> 203.0.113.66:25"),
        parse("udp 203.0.113.66:500 -> 192.0.2.10:500"),
        parse("udp 192.0.2.10:500 -> 198.51.100.7:500"),
    )
    assert all(one.passed for one in seen)


def test_drops_show_by_silence() -> None:
    """What a filter of the receiver discards is dropped; what it resets is refused."""
    rules = f"""
        table inet t {{ chain c {{ {INPUT_HOOK};
            tcp dport 22 reject with tcp reset
            ip saddr 203.0.113.66 drop
        }}; }}
    """
    with Lab() as lab:
        lab["guard"].run(["nft", rules], check=True)
        seen = lab.probe(
            parse("tcp 203.0.113.66 -> 192.0.2.10:80"),
            parse("udp 203.0.113.66 -> 192.0.2.10:80"),
            parse("ping 203.0.113.66 -> 192.0.2.10"),
            parse("tcp 198.51.100.7 -> 192.0.2.10:22"),
            parse("udp 198.51.100.7 -> 192.0.2.10:80"),
            patience=0.3,
        )
    drop = Outcome.DROP
    assert [one.outcome for one in seen] == [drop, drop, drop, Outcome.REFUSED, Outcome.PASS]
    assert seen[0].how == "silence"


def test_addresses_come_and_go() -> None:
    """An address added to a host can be reached, one removed no longer."""
    with Lab() as lab:
        probe = parse("udp 192.0.2.77 -> 192.0.2.11:7")
        with pytest.raises(LabError, match=r"no other host has 192\.0\.2\.11"):
            lab.probe(probe)
        lab["guard"].add_address("192.0.2.11/24")
        assert lab.probe(probe)[0].passed
        lab["guard"].remove_address("192.0.2.11/24")
        assert "192.0.2.11" not in lab["guard"].run(["ip", "address"]).stdout


def test_kernel_parameters_are_the_hosts_own() -> None:
    """A parameter set on a host changes nobody else's network; an unknown one is an error."""
    machine = Path("/proc/sys/net/ipv4/ip_default_ttl").read_text()
    with Lab() as lab:
        lab["guard"].set_sysctl("net.ipv4.ip_default_ttl", "77")
        assert lab["guard"].run(["sysctl", "-n", "net.ipv4.ip_default_ttl"]).stdout == "77\n"
        assert Path("/proc/sys/net/ipv4/ip_default_ttl").read_text() == machine
        with pytest.raises(LabError, match="/proc/sys/net/no_such: cannot write 1: No such file"):
            lab["guard"].set_sysctl("net/no_such", "1")


def test_proc_sys_that_is_read_only() -> None:
    """The machine's is not needed, as in a container; where a host's own cannot be written either,
    the error names the file and what to do."""
    freeze = "mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys"
    tried = "from ipsecfd.lab import Lab\nwith Lab() as lab: print('built')"
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", f'{freeze} && exec "$0" -c "$1"', sys.executable, tried],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, "built\n"), done.stderr
    with Lab() as lab:
        lab["guard"].run(["sh", "-c", freeze], check=True)
        with pytest.raises(LabError) as caught:
            lab["guard"].set_sysctl("net/ipv4/ip_forward", "1")
    error = str(caught.value)
    assert "host guard: /proc/sys/net/ipv4/ip_forward: cannot write 1: Read-only file" in error
    assert "privileged container" in error


def test_more_than_two_hosts() -> None:
    """Three hosts share a wire."""
    specs = [HostSpec(name, (f"192.0.2.{n}/24",)) for n, name in enumerate(("a", "b", "c"), 1)]
    with Lab(*specs) as lab:
        seen = lab.probe(
            parse("tcp 192.0.2.1 -> 192.0.2.3:80"),
            parse("ping 192.0.2.2 -> 192.0.2.3"),
            parse("udp 192.0.2.1 -> 192.0.2.255:7"),
        )
    assert all(one.passed for one in seen)


def daemon_stub(*lines: str) -> list[str]:
    """A command that stands in for the daemon: says it is ready, then does these lines."""
    ready = (
        "import os, socket, sys, time; "
        "s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); "
        "s.sendto(b'READY=1', os.environ['NOTIFY_SOCKET']); s.close(); "
    )
    return [sys.executable, "-c", ready + "; ".join(lines)]


def test_daemon_is_ready_when_it_says_so() -> None:
    """Starting returns with READY=1; signals reach the daemon itself and not its wrapper."""
    with Lab() as lab:
        daemon = lab.start_daemon(command=daemon_stub("time.sleep(60)"))
        assert daemon.pid is not None
        assert daemon.stop() == -signal.SIGTERM
        assert daemon.pid is None


def test_daemon_that_ends_is_told_with_its_words() -> None:
    """A daemon that ends before it is ready is an error with what it wrote and its status."""
    command = ["sh", "-c", "echo no such queue >&2; exit 1"]
    with Lab() as lab, pytest.raises(LabError, match=r"status 1 .*: no such queue"):
        lab.start_daemon(command=command)


def test_records_of_the_log_settle_a_drop() -> None:
    """A logged packet that does not arrive is a drop at once; one that does arrive has passed."""
    record = (
        '{"direction": "in", "source": "203.0.113.66", "destination": "192.0.2.10",'
        ' "protocol": "udp", "source_port": 7, "destination_port": %d, "rule": "R"}'
    )
    lines = (
        "p = '/run/lab/diagnostic.jsonl'",
        "time.sleep(0.3)",
        f"open(p, 'a').write({(record % 9)!r} + chr(10) + {(record % 10)!r} + chr(10))",
        "time.sleep(60)",
    )
    with Lab() as lab:
        lab["guard"].run(
            ["nft", f"table inet t {{ chain c {{ {INPUT_HOOK}; udp dport 9 drop; }}; }}"],
            check=True,
        )
        lab.start_daemon(command=daemon_stub(*lines))
        dropped, passed = lab.probe(
            parse("udp 203.0.113.66:7 -> 192.0.2.10:9"),
            parse("udp 203.0.113.66:7 -> 192.0.2.10:10"),
            patience=5,
        )
    assert (dropped.outcome, dropped.how) == (Outcome.DROP, "logged as dropped")
    assert dropped.seconds < 3
    assert dropped.records[0]["rule"] == "R"
    assert passed.passed
    assert passed.records


LEFT_ALONE = """
import os, sys, time
from ipsecfd.lab import HostSpec, Lab
with Lab(*(HostSpec(name, (f"192.0.2.{n}/24",)) for n, name in enumerate("abc", 1))) as lab:
    for host in lab.hosts.values():
        host.popen(["sleep", "987"])
    lab["a"].run(["nft", "add table inet left"], check=True)
    print(*(host.pid for host in lab.hosts.values()), flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=str)
def test_nothing_is_left(number: signal.Signals) -> None:
    """However a lab ends, its processes end with it, and so its namespaces and rules."""
    with (
        contextlib.ExitStack() as kept,
        subprocess.Popen(
            [sys.executable, "-c", LEFT_ALONE],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        ) as child,
    ):
        assert child.stdout is not None
        holders = [int(pid) for pid in child.stdout.readline().split()]
        paths = [Path(f"/proc/{pid}/ns/net") for pid in holders]
        inside = {path.readlink() for path in paths}
        assert len(inside - {Path("/proc/self/ns/net").readlink()}) == 3
        for path in paths:  # or somebody else's might get their numbers
            kept.enter_context(path.open())
        os.killpg(child.pid, number) if number == signal.SIGINT else child.send_signal(number)
        child.wait(30)
        deadline = time.monotonic() + 5
        while inside & network_namespaces() and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not inside & network_namespaces()
    assert not any(Path(f"/proc/{pid}").exists() for pid in holders)


def network_namespaces() -> set[Path]:
    """The network namespaces that some process is in."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/ns/net"):
        try:
            found.add(path.readlink())
        except OSError:  # it ended meanwhile
            continue
    return found


IN_A_CHROOT = """
import pathlib, sys
from ipsecfd.lab import HostSpec, Lab
with Lab(HostSpec("a", ("192.0.2.1/24",)), HostSpec("b", ("192.0.2.2/24",))) as lab:
    lab["a"].run(["touch", "/run/only-in-a"], check=True)
    print(lab["a"].path("/run/only-in-a").exists(), pathlib.Path("/run/only-in-a").exists())
"""


def test_private_in_a_chroot(tmp_path: Path) -> None:
    """A lab whose creator lives in a chroot keeps to that root, and its hosts' /run is theirs."""
    steps = 'mount --rbind / "$1" && mount --make-rprivate "$1" && exec chroot "$@"'
    command = [sys.executable, "-c", IN_A_CHROOT]
    done = subprocess.run(
        ["unshare", "--mount", "--", "sh", "-c", steps, "sh", str(tmp_path), *command],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("True False\n", "")
    assert not Path("/run/only-in-a").exists()
