"""`ipsecfd explain`: the decision, and why every other matching filter lost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from ipsecfd.cli.main import app
from tests.unit.cli import truth

ME = ("--address", "192.0.2.10/24")
FIXED = ["index", "direction", "verdict", "reason", "rule", "filter", "mirrored", "exemption"]


def run(*arguments: str) -> Result:
    return CliRunner(env={"COLUMNS": "80"}).invoke(app, ["explain", *arguments])


@pytest.fixture
def policy(tmp_path: Path) -> Any:
    """Write rules, given as `NAME ACTION FILTER`, as a policy, and give the option for it."""

    def write(*rules: str) -> tuple[str, str]:
        lines = ['name = "Test"']
        for one in rules:
            name, action, text = one.split(" ", 2)
            lines += ["[[rule]]", f'name = "{name}"', f'action = "{action}"']
            lines += [f'filters = ["{text}"]']
        path = tmp_path / "policy.toml"
        path.write_text("\n".join(lines))
        return "--policy", str(path)

    return write


def explain(*arguments: str) -> dict[str, Any]:
    """What `--json` says."""
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.stderr
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer


@pytest.mark.parametrize("case", truth.CASES, ids=lambda case: str(case["id"]))
def test_truth_table(tmp_path: Path, case: dict[str, Any]) -> None:
    """Every case of the truth table, from its text to verdict and decider."""
    file = truth.policy_file(case["policy"], tmp_path)
    answer = explain(truth.packet_text(case), *truth.options(case, file))
    assert list(answer)[: len(FIXED)] == FIXED
    assert case["verdict"] == answer["verdict"]
    assert case["decided_by"] == truth.decided_by(answer)
    assert case["direction"] == answer["direction"]


@pytest.mark.parametrize(
    ("winner", "loser", "why"),
    [
        ("any <-> me:80 tcp", "10.0.0.9 <-> any", "(any, host) ranks above (host, any)"),
        ("any <-> me", "any <-> any", "(any, host) ranks above (any, any)"),
        ("10.0.0.0/8 -> me", "any -> me:80 tcp", "(subnet, host) ranks above (any, host)"),
        (
            "any -> 192.0.2.0/24",
            "any -> 192.0.0.0/16",
            "shorter destination prefix: /16 against /24",
        ),
        ("10.0.0.0/24 -> me", "10.0.0.0/8 -> me:80 tcp", "shorter source prefix: /8 against /24"),
        (
            "any -> me:80 tcp",
            "any:4000 -> me tcp",
            "protocol and destination port ranks above protocol and source port",
        ),
        ("any:4000 -> me:80 tcp", "any -> me:80 tcp", "protocol and both ports ranks above"),
        ("any -> me tcp", "any -> me", "protocol alone ranks above any protocol"),
    ],
)
def test_why_a_filter_lost(policy: Any, winner: str, loser: str, why: str) -> None:
    """The first difference in the order of spec 3.2 is told, whatever the actions are."""
    for actions in (("permit", "block"), ("block", "permit")):
        option = policy(f"w {actions[0]} {winner}", f"l {actions[1]} {loser}")
        answer = explain("in tcp 10.0.0.9:4000 -> 192.0.2.10:80", *option, *ME)
        assert (answer["rule"], answer["verdict"]) == ("w", actions[0])
        (lost,) = answer["losers"]
        assert why in lost["why"]
        del lost["why"]
        assert lost == {"rule": "l", "filter": loser, "mirrored": False, "action": actions[1]}


STATIC_TUNNEL = """\
pushd ipsec static
add policy p assign=yes
add filter host 10.0.0.9 me protocol=tcp dstport=80
add filter all any me
add filteraction pass action=permit
add filteraction drop action=block
add rule host p host pass
add rule all p all drop tunnel=198.51.100.1
popd
"""
DYNAMIC_TUNNEL = """\
ipseccmd -f 10.0.0.9=0:80:TCP -n PASS
ipseccmd -f *=0 -n BLOCK -t 198.51.100.1
"""


@pytest.mark.parametrize("script", [STATIC_TUNNEL, DYNAMIC_TUNNEL])
def test_tunnel_rules_come_first(tmp_path: Path, script: str) -> None:
    """Filters of rules with a tunnel end point come before all others (spec 3.2)."""
    file = tmp_path / "script.txt"
    file.write_text(script)
    answer = explain("in tcp 10.0.0.9:4000 -> 192.0.2.10:80", "--policy", str(file), *ME)
    assert answer["verdict"] == "block"
    (lost,) = answer["losers"]
    assert lost["why"] == "no tunnel rule: those come before all others"


def test_equal_filters(policy: Any) -> None:
    """Of equal filters the more restrictive decides; of equal actions only the name differs."""
    option = policy("a permit any -> me", "b block any -> me", "c block any -> me")
    answer = explain("in 50 10.0.0.9 -> 192.0.2.10", *option, *ME)
    assert answer["rule"] == "b"
    assert [(lost["rule"], lost["why"]) for lost in answer["losers"]] == [
        ("c", "equally specific and the same action: the first by store and name decides"),
        ("a", "equally specific, but block is more restrictive than permit"),
    ]


def test_losers_stand_in_order_and_each_half_once(policy: Any) -> None:
    """Losers come in the order in which they would decide; a filter and its mirror are two."""
    option = policy(
        "x block any <-> any", "y permit 10.0.0.0/8 <-> 10.0.0.0/8", "z block any -> me"
    )
    answer = explain("forward 50 10.0.0.1 -> 10.0.0.2", *option, *ME)
    assert [answer["rule"]] + [lost["rule"] for lost in answer["losers"]] == ["y", "x"]


def test_exemption_hides_all_filters(policy: Any) -> None:
    """With an exemption every matching filter lost to it, and the hole of value 0 is told."""
    arguments = ("in tcp 10.0.0.9:88 -> 192.0.2.10:445", *policy("all block me <-> any"), *ME)
    answer = explain(*arguments, "--exempt", "0")
    assert (answer["verdict"], answer["reason"], answer["exemption"]) == (
        "permit",
        "exemption",
        "EX:KRB",
    )
    assert (answer["rule"], answer["filter"], answer["mirrored"]) == (None, None, False)
    assert [lost["why"] for lost in answer["losers"]] == [
        "exemption EX:KRB comes before every filter"
    ]
    text = run(*arguments, "--exempt", "0").stdout
    assert 'the exemption: block by filter "me <-> any (its mirror)"' in " ".join(text.split())
    assert "Warning" in text
    assert "Warning" not in run(*arguments).stdout


TO_445 = "in tcp 10.0.0.9:1 -> 192.0.2.10:445"
TO_22 = "in tcp 10.0.0.9:1 -> 192.0.2.10:22"


@pytest.mark.parametrize(
    ("mode", "packet", "verdict", "why"),
    [
        ("startup-permit", TO_445, "permit", "mode"),
        ("permit", TO_445, "permit", "mode"),
        ("block", TO_22, "block", "mode"),
        ("block", "out udp 192.0.2.10:68 -> 10.0.0.9:67", "block", "mode"),
        ("startup-block", TO_445, "block", "mode"),
        ("startup-block", "out udp 0.0.0.0:68 -> 255.255.255.255:67", "permit", "EX:DHCP"),
        ("startup-block", TO_22, "permit", "EX:BOOT tcp:0:22:inbound"),
        ("stateful", "out udp 192.0.2.10:1 -> 10.0.0.9:53", "permit", "mode"),
        ("stateful", "in udp 10.0.0.9:53 -> 192.0.2.10:1", "block", "mode"),
    ],
)
def test_modes(policy: Any, mode: str, packet: str, verdict: str, why: str) -> None:
    """Each mode decides as in spec 6, with the configuration's boot exemptions."""
    answer = explain(packet, *policy("all block me <-> any"), *ME, "--mode", mode)
    assert (answer["verdict"], answer["exemption"] or answer["reason"]) == (verdict, why)


def test_boot_exemptions_replace_the_default(policy: Any) -> None:
    """With --boot-exemption only those given pass."""
    arguments = ("--mode", "startup-block", "--boot-exemption", "TCP:0:3389:inbound", *ME)
    given = explain("in tcp 10.0.0.9:1 -> 192.0.2.10:3389", *policy(), *arguments)
    default = explain("in tcp 10.0.0.9:1 -> 192.0.2.10:22", *policy(), *arguments)
    assert (given["verdict"], default["verdict"]) == ("permit", "block")


def test_mode_says_what_secure_mode_would_do(policy: Any) -> None:
    """For people, a mode's verdict comes with the one of mode secure."""
    option = policy("all block me <-> any")
    text = run("in 50 10.0.0.9 -> 192.0.2.10", *option, *ME, "--mode", "permit").stdout
    assert 'mode permit: block by filter "me <-> any (its mirror)" of rule "all"' in " ".join(
        text.split()
    )


def test_interface_decides_loopback_and_connection_type(tmp_path: Path) -> None:
    """`lo` is loopback, a dial-up rule applies on ppp0 only, and by default nowhere."""
    file = tmp_path / "policy.toml"
    file.write_text(
        'name = "P"\n[[rule]]\nname = "r"\nconnection = "dialup"\naction = "block"\n'
        'filters = ["me <-> any"]\n'
    )
    arguments = ("in 50 10.0.0.9 -> 192.0.2.10", "--policy", str(file), *ME)
    reasons = [
        explain(*arguments, *(("--interface", name) if name else ()))["reason"]
        for name in ("ppp0", "eth0", "lo", None)
    ]
    assert reasons == ["filter", "no-filter", "loopback", "no-filter"]


def test_server_types(policy: Any) -> None:
    """--server says who dns is; with --address there is none by default."""
    arguments = ("out udp 192.0.2.10:1 -> 192.0.2.53:53", *policy("r block me <-> dns"), *ME)
    assert explain(*arguments)["reason"] == "no-filter"
    assert explain(*arguments, "--server", "dns=192.0.2.53")["rule"] == "r"


def test_own_addresses_without_address(policy: Any) -> None:
    """Without --address the host is this machine, whose addresses always can be read."""
    answer = explain("in 50 10.0.0.9 -> 255.255.255.255", *policy("r block me <-> any"))
    assert answer["verdict"] == "block"


def test_ipv6_addresses_are_ignored_without_ipv6(policy: Any) -> None:
    """In profiles without IPv6 an IPv6 address is no mistake, and IPv6 passes."""
    arguments = (*policy("all block me <-> any"), *ME, "--address", "2001:db8::10/64")
    packet = "in tcp [2001:db8::1]:1 -> [2001:db8::10]:80"
    assert explain(packet, *arguments)["rule"] == "all"
    answer = explain(packet, *arguments, "--profile", "win2003")
    assert (answer["exemption"], answer["losers"]) == ("EX:IPV6", [])


@pytest.mark.parametrize(
    ("packet", "profile", "noted"),
    [
        ("in tcp 203.0.113.66:1 -> 192.0.2.11:80", "linux", True),
        ("in tcp 127.0.0.1:1 -> 127.0.0.1:80", "linux", False),
        ("in tcp [2001:db8::1]:1 -> [2001:db8::10]:80", "win2003", False),
    ],
)
def test_note_of_an_address_that_is_not_me(
    policy: Any, packet: str, profile: str, noted: bool
) -> None:
    """It is noted where a filter with `me` might have matched, not what no filter ever sees."""
    result = run(packet, *policy("all block me <-> any"), *ME, "--profile", profile)
    assert "Verdict" in result.stdout
    assert ("is no address of the host" in " ".join(result.stdout.split())) is noted


def test_address_without_prefix_has_no_broadcast(policy: Any) -> None:
    """The broadcast address follows from the prefix; a single address has none."""
    arguments = ("in udp 192.0.2.77:1 -> 192.0.2.255:1", *policy("all block me <-> any"))
    with_prefix = explain(*arguments, "--address", "192.0.2.10/24")
    without = explain(*arguments, "--address", "192.0.2.10")
    assert (with_prefix["reason"], without["reason"]) == ("filter", "no-filter")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("in tcp",), "DIRECTION PROTOCOL"),
        (("in 50 10.0.0.9 -> 10.0.0.1", "--profile", "win95"), "expected win2000"),
        (("in 50 10.0.0.9 -> 10.0.0.1", "--profile", "win2000", "--exempt", "3"), "allows 0, 1"),
        (("in 50 10.0.0.9 -> 10.0.0.1", "--exempt", "4"), "allows 0, 1, 2, 3"),
        (("in 50 10.0.0.9 -> 10.0.0.1", "--mode", "on"), "expected startup-permit"),
        (("in 50 10.0.0.9 -> 10.0.0.1", "--address", "me"), "such as 192.0.2.10/24"),
        (("in 50 10.0.0.9 -> 10.0.0.1", *ME, "--server", "dns"), "KIND=ADDRESS"),
        (
            ("in 50 10.0.0.9 -> 10.0.0.1", *ME, "--boot-exemption", "x"),
            "--boot-exemption x: expected",
        ),
    ],
)
def test_usage_mistakes(arguments: tuple[str, ...], said: str) -> None:
    """A wrong option or packet is one line on stderr and exit status 2."""
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert said in line


def test_bad_policies_are_told_together(tmp_path: Path) -> None:
    """The mistakes of all policies are told at once; main() makes them exit status 1."""
    bad = tmp_path / "bad.toml"
    bad.write_text("name = 1")
    missing = tmp_path / "missing.toml"
    result = run("in 50 10.0.0.9 -> 10.0.0.1", *ME, "--policy", str(bad), "--policy", str(missing))
    assert result.exit_code == 1
    assert str(bad) in str(result.exception)
    assert str(missing) in str(result.exception)


def test_text_fits_eighty_columns(policy: Any) -> None:
    """What people read has no line over 80 characters and no colour."""
    long = "198.51.100.0/24 <-> me:3389 tcp"
    rules = [f"{'rule-with-a-long-name-' * 3}{n} block {long}" for n in range(3)]
    text = run("in tcp 198.51.100.7:88 -> 192.0.2.10:3389", *policy(*rules), *ME).stdout
    assert max(map(len, text.splitlines())) <= 80
    assert "\x1b" not in text
