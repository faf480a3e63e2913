"""`ipsecfd-boot`, which loads the start-up rules without Python: what becomes of the host when it
can and when it cannot."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ipsecfd.agent import state
from ipsecfd.agent.bootfile import BootFile, render
from ipsecfd.agent.config import load
from ipsecfd.driver.modes import Mode
from ipsecfd.kernel import rules
from ipsecfd.lab import Lab, Probe
from tests.builders import packet
from tests.live.streams import GUARD, PEER, Stream
from tests.live.witness import Witness, numbered

pytestmark = [pytest.mark.live, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

SCRIPT = Path(__file__).parents[2] / "systemd/ipsecfd-boot"
CONFIG, STATE = "/run/lab/ipsecfd.toml", "/run/lab/state"

SSH = Probe.parse("tcp 203.0.113.66 -> 192.0.2.10:22")
HTTP = Probe.parse("tcp 203.0.113.66 -> 192.0.2.10:80")
PING_OUT = Probe.parse("ping 192.0.2.10 -> 203.0.113.66")
LEARNT = 7001
BLOCK_ALL = 'name = "p"\n[[rule]]\naction = "block"\nfilters = ["me <-> any"]\n'
PORTS = f"""{BLOCK_ALL}
[[rule]]
action = "permit"
filters = ["any <-> me:{LEARNT} udp"]
"""
OPEN, CLOSED = [True, True, True], [False, False, False]
STATEFUL = [True, False, True]
"""Of SSH, a boot exemption, HTTP, and a ping of the host's own."""


class Guard:
    """The lab's guard, with a configuration, and a boot file that a run of the agent has left."""

    def __init__(self, lab: Lab) -> None:
        self.lab, self.host = lab, lab["guard"]
        self.path = self.host.path(f"{STATE}/boot.nft")
        self.configure("")
        state.save(self.host.path(STATE), None)
        self.keep()

    def configure(self, text: str, state_dir: str = f'"{STATE}"') -> None:
        self.host.path(CONFIG).write_text(f"state_dir = {state_dir}\n{text}")

    def keep(self) -> None:
        """Keep the boot file, as the agent does."""
        inside = {"state_dir": self.host.path(STATE)}
        config = load(self.host.path(CONFIG)).model_copy(update=inside)
        self.host.call(BootFile(lambda: config).keep)

    def boot(self, ok: bool = True) -> str:
        """Load the rules of the boot; what the journal has of it."""
        done = self.host.run([str(SCRIPT), "load", CONFIG])
        assert (done.returncode == 0) is ok, done.stderr
        assert done.stdout == ""
        return done.stderr

    def passing(self) -> list[bool]:
        """Which of SSH, HTTP and a ping of the host's own pass."""
        return [one.passed for one in self.lab.probe(SSH, HTTP, PING_OUT, patience=0.4)]

    def nft(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self.host.run(["nft", *words])


@pytest.fixture
def guard() -> Iterator[Guard]:
    with Lab() as lab:
        yield Guard(lab)


def one_line(said: str, *words: str) -> None:
    """Assert that a single line, with a priority for the journal, has all these words."""
    (line,) = said.splitlines()
    assert line[0] + line[2:12] == "<>ipsecfd: "
    for word in words:
        assert word in line


def test_boot_file_is_loaded(guard: Guard) -> None:
    """The mode that it holds is in force, and named."""
    one_line(guard.boot(), "stateful mode")
    assert guard.passing() == STATEFUL


@pytest.mark.parametrize(
    ("mode", "passing"), [("permit", OPEN), ("block", [False] * 3), ("stateful", STATEFUL)]
)
def test_each_mode(guard: Guard, mode: str, passing: list[bool]) -> None:
    """As it was configured when the file was kept, whatever the configuration says since."""
    guard.configure(f'[startup]\nmode = "{mode}"\nexemptions = ["tcp:0:22:inbound"]\n')
    guard.keep()
    guard.configure("")
    one_line(guard.boot(), f"{mode} mode")
    assert guard.passing() == passing


def test_host_where_it_never_ran_is_left_alone(guard: Guard) -> None:
    """Neither a missing state directory nor an empty one, as a package brings it, closes a host."""
    guard.path.unlink()
    guard.host.path(f"{STATE}/assigned.json").unlink()
    one_line(guard.boot(), "never ran here")
    guard.host.path(STATE).rmdir()
    one_line(guard.boot(), "never ran here")
    assert guard.passing() == OPEN


def damaged(content: bytes) -> dict[str, bytes]:
    """What may become of a file."""
    body = content.partition(b"\n")[2]
    nonsense = body.replace(b"counter drop", b"counter pass")
    return {
        "empty": b"",
        "cut short": content[: len(content) // 2],
        "without its end": content[:-3],
        "another port": content.replace(b"22", b"23"),
        "without its checksum": body,
        "zeros": bytes(len(content)),
        "no rules": b"# sha256 " + hashlib.sha256(b"").hexdigest().encode() + b"\n" + nonsense,
        "rules that nft refuses": render(Mode.STARTUP_STATEFUL, nonsense.decode()),
    }


@pytest.mark.parametrize("damage", damaged(b""))
def test_damage_closes_or_opens_as_configured(guard: Guard, damage: str) -> None:
    """Rules of which anything is wrong are not loaded, not even in part (on_failure)."""
    guard.path.write_bytes(damaged(guard.path.read_bytes())[damage])
    why = "nft refuses" if damage == "rules that nft refuses" else "is damaged"
    one_line(guard.boot(), f"{STATE}/boot.nft", why, "closed", "systemctl stop ipsecfd")
    assert guard.passing() == CLOSED
    assert guard.nft("delete", "table", "inet", "ipsecfd").returncode == 0
    guard.configure("on_failure = 'permit' # not yet\n")
    one_line(guard.boot(), f"{STATE}/boot.nft", why, "nothing is filtered", "on_failure")
    assert guard.passing() == OPEN


def test_missing_file_closes(guard: Guard) -> None:
    """It was there once, for other files of the agent are."""
    guard.path.unlink()
    one_line(guard.boot(), f"{STATE}/boot.nft is missing", "closed")
    assert guard.passing() == CLOSED


def test_what_is_no_file_closes(guard: Guard) -> None:
    """A directory of that name, for one; in one line as well."""
    guard.path.unlink()
    guard.path.mkdir()
    one_line(guard.boot(), f"{STATE}/boot.nft is damaged", "closed")


@pytest.mark.parametrize(
    "text",
    [
        '[queue]\non_failure = "permit"\n',
        '# on_failure = "permit"\n',
        'on_failure = "permit" or "block"\n',
        "on_failure = permitted\n",
        'on_failure_or_not = "permit"\n',
    ],
)
def test_only_a_clear_word_opens(guard: Guard, text: str) -> None:
    """What is not plainly on_failure = "permit" is not taken for it."""
    guard.configure(text)
    guard.path.unlink()
    guard.boot()
    assert guard.passing() == CLOSED


@pytest.mark.parametrize("quoted", ["'{}'", '"{}"   # the big disk', "  '{}'"])
def test_state_directory_elsewhere(guard: Guard, quoted: str) -> None:
    """It is found as far as the configuration names it plainly."""
    elsewhere = "/run/lab/with a space"
    guard.host.path(STATE).rename(guard.host.path(elsewhere))
    guard.configure("", state_dir=quoted.format(elsewhere))
    one_line(guard.boot(), "stateful mode")


OURS = 0xFC000000, 0x00001F00
"""Bits of the mark that a configuration may give ipsecfd: its default, and others."""


@pytest.mark.parametrize("mask", OURS, ids=hex)
@pytest.mark.parametrize("forward", ["false", "true"])
def test_closed_host_routes_what_is_not_judged(guard: Guard, forward: str, mask: int) -> None:
    """Whatever marks packets have, and whichever of their bits are ours: nothing passes in or out,
    and routed packets do, with the marks that they had, unless they are judged as well."""
    guard.host.set_sysctl("net/ipv4/ip_forward", "1")
    guard.configure(f"forward = {forward}\n[queue]\nmark = {mask:#x}\n")
    guard.path.unlink()
    one_line(guard.boot(), "closed")
    marks = (0, 0x80000000, 0x00001000, 0xFFFFFFFF)
    ends = ("in", "192.0.2.1", GUARD), ("out", GUARD, PEER), ("forward", PEER, "198.51.100.7")
    sent = [
        packet(f"{way} udp {source}:{1 + number} -> {destination}:2")
        for way, source, destination in ends
        for number, _ in enumerate(marks)
    ]
    forged = ", ".join(f"{1 + number} : {mark:#x}" for number, mark in enumerate(marks))
    forge = f"meta mark set udp sport map {{ {forged} }};"
    same = " ".join(
        f"udp sport {1 + number} meta mark {mark:#x} counter name same;"
        for number, mark in enumerate(marks)
    )
    guard.host.path("/run/marks.nft").write_text(f"""
table inet marks {{
    counter same {{ }}
    chain in {{ type filter hook prerouting priority 0; {forge} }}
    chain out {{ type filter hook output priority 0; {forge} }}
    chain last {{ type filter hook postrouting priority 300; {same} }}
}}
""")
    assert guard.nft("-f", "/run/marks.nft").returncode == 0
    with Witness(guard.lab) as witness:
        for number, (data, direction) in enumerate(sent, 1):
            witness.send(numbered(data, number), direction)
        witness.settle()
        routed = set() if forward == "true" else {9, 10, 11, 12}
        assert witness.passed(4) == routed
        assert (
            f"packets {len(routed)} "
            in guard.nft("list", "counter", "inet", "marks", "same").stdout
        )


@pytest.mark.parametrize("forward", ["false", "true"])
def test_emptied_rules_of_a_closed_host_are_none(guard: Guard, forward: str) -> None:
    """Somebody empties one of the chains that close it: the next start does not rely on them."""
    guard.configure(f"forward = {forward}\n")
    guard.path.unlink()
    guard.boot()
    assert guard.host.call(rules.present)
    for chain in ("input", "own", *(["forward"] if forward == "true" else [])):
        guard.nft("delete", "table", "inet", "ipsecfd")
        guard.boot()
        guard.nft("flush", "chain", "inet", "ipsecfd", chain)
        assert not guard.host.call(rules.present)


def test_rules_that_are_there_stay(guard: Guard) -> None:
    """Started again beside a running agent, or one that was killed, it neither opens nor disturbs
    anything."""
    daemon = guard.lab.start_daemon(BLOCK_ALL)
    for _ in range(2):
        before = guard.nft("list", "ruleset").stdout
        one_line(guard.boot(), "already")
        assert before == guard.nft("list", "ruleset").stdout
        assert guard.passing() == CLOSED
        if daemon.pid is not None:
            daemon.stop(signal.SIGKILL)


def load_saved(guard: Guard) -> None:
    """Begin another boot with a saved ruleset: `nft list ruleset` while an agent ran, which had
    learnt a flow."""
    daemon = guard.lab.start_daemon(PORTS)
    with Stream(guard.lab, LEARNT) as stream:
        end = time.monotonic() + 10
        while "expires" not in (saved := guard.nft("list", "ruleset").stdout):
            assert time.monotonic() < end
        daemon.stop(signal.SIGKILL)
        guard.nft("delete", "table", "inet", "ipsecfd")
        # Not every kernel knows this, and where nobody listens it is a drop.
        saved = re.sub(r"queue (num|to) 88", "drop", saved)
        guard.host.path("/run/nftables.conf").write_text(saved)
        shutil.rmtree(guard.host.path("/run/ipsecfd"))
        assert guard.nft("-f", "/run/nftables.conf").returncode == 0
        first = stream.sent
        time.sleep(0.2)
    assert stream.arrived[-1] > first  # it is in force, elements and all


def test_saved_ruleset_does_not_count(guard: Guard) -> None:
    """The start-up rules come in place of rules that a boot has loaded from a saved ruleset; no
    flow of policies long gone passes by those."""
    load_saved(guard)
    one_line(guard.boot(), "stateful mode", "in place of its rules in a saved ruleset")
    assert guard.passing() == STATEFUL
    with Stream(guard.lab, LEARNT) as stream:
        time.sleep(0.1)
    assert stream.arrived == []


@pytest.mark.parametrize(
    ("on_failure", "passing", "word"), [("block", CLOSED, "closed"), ("permit", OPEN, "on_failure")]
)
def test_damage_beside_a_saved_ruleset(
    guard: Guard, on_failure: str, passing: list[bool], word: str
) -> None:
    """The host is what on_failure says, and not what was saved."""
    guard.nft("add", "table", "inet", "ipsecfd")
    guard.configure(f'on_failure = "{on_failure}"\n')
    guard.path.write_bytes(b"")
    one_line(guard.boot(), "is damaged", word, "saved ruleset")
    assert guard.passing() == passing
    assert (guard.nft("list", "table", "inet", "ipsecfd").returncode == 0) is (passing == CLOSED)


def test_daemon_takes_over_from_closed_rules(guard: Guard) -> None:
    """Closed until the policies decide, as after a crash."""
    guard.path.unlink()
    guard.boot()
    daemon = guard.lab.start_daemon('name = "Nothing is filtered"\n')
    assert guard.passing() == OPEN
    assert "closed until policies decide" in daemon.output
    assert guard.path.exists()


SYSTEMCTL = """#!/bin/sh
cd /run/lab/looks
case $1 in
is-system-running) echo running ;;
list-jobs)
    head -n 1 next >now
    [ "$(wc -l <next)" = 1 ] || sed -i 1d next
    read -r service stop boot _ <now
    echo "1 ipsecfd.service $service waiting
        2 ipsecfd-stop.service $stop running
        3 ipsecfd-boot.service $boot waiting" | sed '/ - /d'
    ;;
show) cut -d ' ' -f 4 now ;;
esac
"""
"""Shows the lines of a file, one at each look: jobs of three units, and what the service does."""


@pytest.mark.parametrize(
    ("event", "looks", "opened"),
    [
        ("a stop after it failed", ["- stop - failed"], True),
        ("a stop before its next try", ["stop stop - auto-restart"], True),
        (
            "a stop while it runs",
            ["stop stop - running", "stop stop - stop-post", "- stop - dead"],
            True,
        ),
        ("its next try", ["start restart - dead", "start restart - start"], False),
        ("a stop when that is due", ["start restart - dead", "- stop - dead"], True),
        (
            "a restart",
            ["restart restart - stop-sigterm", "start restart - dead", "- - - running"],
            False,
        ),
        (
            "a stop in a restart",
            ["restart restart - stop-sigterm", "stop stop - stop-post", "- stop - dead"],
            True,
        ),
        (
            "a stop, and a start at once",
            ["stop stop - stop-sigterm", "start restart - start"],
            False,
        ),
        ("a start that waits for the boot's rules", ["start restart start dead"], False),
        ("a restart of this alone", ["- restart - dead"], False),
        ("a stop of this alone", ["- stop - running"], False),
    ],
)
def test_only_a_stop_unloads(guard: Guard, event: str, looks: list[str], opened: bool) -> None:
    """It looks until ipsecfd runs, or is to run no more."""
    guard.boot()
    directory = guard.host.path("/run/lab/looks")
    directory.mkdir()
    (directory / "next").write_text("".join(f"{look}\n" for look in looks))
    (directory / "systemctl").write_text(SYSTEMCTL)
    (directory / "systemctl").chmod(0o755)
    path = f"PATH=/run/lab/looks:{os.environ['PATH']}"
    done = guard.host.run(["env", path, str(SCRIPT), "unload"])
    assert done.returncode == 0, done.stderr
    present = guard.nft("list", "table", "inet", "ipsecfd").returncode == 0
    assert present is not opened, event


def test_wrong_use(guard: Guard) -> None:
    """It says how it is used."""
    done = guard.host.run([str(SCRIPT), "reload"])
    assert done.returncode == 2
    assert done.stderr.startswith("ipsecfd-boot load|unload [CONFIG]: ")
