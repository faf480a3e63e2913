"""`ipsecfd shadow`: what would change, readable; and what is sent to the daemon."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ipsecfd.cli.shadow import shadow_lines
from tests.unit.cli.fake_daemon import SHADOW, FakeDaemon, ipsecfd


def test_the_page() -> None:
    """Which policy, since when, that nothing is learnt; then each change with flows."""
    assert shadow_lines(SHADOW, 80) == [
        "Shadow policy New web server, in place of the local policy",
        "  /etc/ipsecfd/new.toml",
        "  compared with what is in force, since 2026-01-02 03:04:05",
        "  the kernel learns nothing meanwhile: every packet is judged",
        "",
        "12,345 packets judged twice, 1,300 would meet another verdict",
        "",
        "in, permit now, block then: 1,234 packets",
        "  now   any <-> me:80 tcp [Web]",
        "  then  me <-> any (its mirror) [Block]",
        "  1,000  tcp 203.0.113.66:40000 -> 192.0.2.10:80",
        "  and 200 packets of 7 more flows",
        "  and 34 packets of flows not told apart",
        "",
        "and 66 packets of other changes: --top 2",
    ]


def test_what_is_odd_is_said() -> None:
    """Another mode than secure, and packets that it could not judge."""
    text = "\n".join(shadow_lines(replace(SHADOW, mode="permit", faults=1), 80))
    assert "  permit mode decides now, not the policies\n" in text
    assert "  1 packet it failed to judge" in text


def test_long_ends_fit() -> None:
    """80 columns, and a fragment has no protocol."""
    address = "2001:db8:1111:2222:3333:4444:5555:6666"
    [change] = SHADOW.changes
    flow = replace(change.flows[0], protocol=None, source=address, destination=address)
    found = replace(SHADOW, changes=[replace(change, flows=[flow])])
    lines = shadow_lines(found, 80)
    assert max(map(len, lines)) <= 80
    assert any("fragment [2001:db8:" in line for line in lines)


def test_the_file_is_sent_with_its_absolute_path(
    daemon: FakeDaemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And it is said what that means until when."""
    monkeypatch.chdir(tmp_path)
    done = ipsecfd("shadow", "new.toml")
    assert daemon.asked[0][2] == {"file": str(tmp_path / "new.toml")}
    assert done.stdout == f"judges beside the policies in force: {tmp_path / 'new.toml'}\n"
    assert "until `ipsecfd shadow off` or the end of the service" in done.stderr


def test_a_file_called_show_needs_its_path(daemon: FakeDaemon) -> None:
    """The words are commands."""
    ipsecfd("shadow", "./show")
    ipsecfd("shadow", "show", "--top", "7", "--flows", "0")
    assert daemon.methods == ["StartShadow", "GetShadow"]
    assert daemon.asked[1][2] == {"most": 7, "flows": 0}


def test_options_of_show_belong_to_show(daemon: FakeDaemon) -> None:
    """Exit status 2, and the daemon is not asked."""
    assert ipsecfd("shadow", "off", "--top", "7").exit_code == 2
    assert ipsecfd("shadow", "new.toml", "--flows", "7").exit_code == 2
    assert daemon.asked == []
