"""The configuration: defaults, and mistakes in an administrator's words."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from ipsecfd.agent import config
from ipsecfd.agent.config import Config, load, parse
from ipsecfd.driver.exemptions import PROFILES
from ipsecfd.driver.modes import Mode
from ipsecfd.policy.mistakes import PolicyError
from ipsecfd.policy.stores.properties import Properties


def test_defaults_are_the_designs() -> None:
    """An empty file means what design.md fixes."""
    found = parse("", "ipsecfd.toml")
    assert found == Config()
    assert (
        found.profile,
        found.exempt_value,
        found.on_failure,
        found.forward,
    ) == ("linux", 3, "block", False)
    assert [str(one) for one in found.startup.exemptions] == [
        "udp:0:68:inbound",
        "tcp:0:22:inbound",
        "tcp:22:0:outbound",
    ]
    assert (
        found.queue.number,
        found.diagnostics.level,
        found.diagnostics.interval,
        found.control.group,
    ) == (88, 7, 0, "ipsecfd")
    assert Path("/run/ipsecfd/control.sock") == found.control.socket
    assert Path("/var/log/ipsecfd/diagnostic.jsonl") == found.diagnostics.log
    assert Path("/var/lib/ipsecfd") == found.state_dir


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ('profil = "linux"', 'x: "profil": unknown key; did you mean "profile"?'),
        ("[queue]\nlenght = 1", 'x: queue: "lenght": unknown key; did you mean "length"?'),
        ("profile = 5", 'x: profile: "5": expected one of win2000, winxp'),
        ('profile = "win2000"\nexempt = 3', 'x: exempt: "3": expected one of 0, 1 in profile'),
        ("exempt = 4", 'x: exempt: "4": expected one of 0, 1, 2, 3 in profile linux'),
        ('exempt = "3"', 'x: exempt: "3": expected a number from 0 to 3'),
        ('profile = "xp"\nexempt = 4', 'x: exempt: "4": expected a number from 0 to 3'),
        ('on_failure = "open"', 'x: on_failure: "open": expected "block" or "permit"'),
        ("forward = 1", 'x: forward: "1": expected true or false'),
        ('state_dir = "lib"', 'x: state_dir: "lib": expected an absolute path'),
        ('[startup]\nmode = "secure"', 'x: startup.mode: "secure": expected "permit", "block"'),
        (
            '[startup]\nexemptions = ["tcp:1"]',
            'x: startup.exemptions[1]: "tcp:1": expected (tcp|udp):',
        ),
        ("[startup]\nexemptions = [7]", 'x: startup.exemptions[1]: "7": expected text such as'),
        ("[queue]\nnumber = -1", 'x: queue.number: "-1": expected a number from 0 to 65535'),
        ("[queue]\nprocesses = 0", 'x: queue.processes: "0": expected "auto" or a number'),
        ("[queue]\nprocesses = true", 'x: queue.processes: "true": expected "auto"'),
        ("[queue]\nnumber = 65535\nprocesses = 2", "expected number + processes up to 65536"),
        ("[queue]\nmark = 3", 'x: queue.mark: "3": expected a number of 32 bits with 5'),
        ("[diagnostics]\nlevel = 8", 'x: diagnostics.level: "8": expected a number from 0 to 7'),
        ("queue = 88", 'x: queue: "88": expected [queue], a table'),
        ("[domain]\nfallback = ['a', true]", 'x: domain.fallback: "[a, true]": expected "none"'),
        ("exempt = ", "x: line 1"),
    ],
)
def test_mistakes_name_place_text_and_expectation(text: str, mistake: str) -> None:
    """One line says where, what, and what was expected."""
    with pytest.raises(PolicyError) as caught:
        parse(text, "x")
    assert mistake in str(caught.value)


@pytest.mark.parametrize(
    ("section", "key", "least", "most"),
    [
        ("queue", "number", 0, 65_535),
        ("queue", "processes", 1, 16),
        ("queue", "length", 32, 1_000_000),
        ("diagnostics", "level", 0, 7),
        ("diagnostics", "interval", 0, 86_400),
    ],
)
def test_ranges(section: str, key: str, least: int, most: int) -> None:
    """The first and the last number are taken, those beyond are refused with both."""
    one = "" if key == "processes" else "queue.processes = 1\n"  # else by the machine
    for number in (least, most):
        found = getattr(parse(f"{one}{section}.{key} = {number}", "x"), section)
        assert getattr(found, key) == number
    for number in (least - 1, most + 1):
        mistake = rf'x: {section}\.{key}: "{number}": .* {least} to {most}'
        with pytest.raises(PolicyError, match=mistake):
            parse(f"{one}{section}.{key} = {number}", "x")


def test_all_mistakes_at_once() -> None:
    """Every mistake of a file is told, one line each."""
    with pytest.raises(PolicyError) as caught:
        parse("exempt = 9\nforward = 1\nnonsense = 1\n[queue]\nnumber = -1\n", "x")
    assert len(str(caught.value).splitlines()) == 4


def test_every_unknown_key_is_told() -> None:
    """Also several of one table."""
    with pytest.raises(PolicyError) as caught:
        parse("levle = 1\nmoed = 2\n[queue]\nfoo = 1\nbar = 2", "f")
    assert sorted(one.text for one in caught.value.mistakes) == ["bar", "foo", "levle", "moed"]


def test_missing_file_is_a_mistake_only_when_it_was_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without --config a missing file means the defaults."""
    missing = tmp_path / "ipsecfd.toml"
    monkeypatch.setattr(config, "DEFAULT_PATH", missing)
    assert Config() == load(None)
    with pytest.raises(PolicyError, match="cannot be read"):
        load(missing)
    missing.write_text("exempt = 1\n")
    assert load(None).exempt_value == 1


def test_a_pipe_is_no_configuration(tmp_path: Path) -> None:
    """The service would wait for whoever writes to it, and nobody could end that."""
    pipe = tmp_path / "ipsecfd.toml"
    os.mkfifo(pipe)
    with pytest.raises(PolicyError, match="expected a plain file"):
        load(pipe)


@pytest.mark.parametrize(
    ("profile", "exempt"),
    [("win2000", 0), ("winxp", 0), ("winxpsp2", 1), ("win2003", 3), ("vista", 3), ("linux", 3)],
)
def test_exempt_is_the_profiles_own_by_default(profile: str, exempt: int) -> None:
    """Each profile has its own default value (spec 4.1)."""
    assert exempt == parse(f'profile = "{profile}"', "x").exempt_value


@pytest.mark.parametrize("profile", list(PROFILES))
def test_exemptions_are_the_profiles_own_unless_set(profile: str) -> None:
    """IPsec through NAT, and inbound multicast and broadcast (spec 4.2, X3, case 52)."""
    own = PROFILES[profile]
    named = f'profile = "{profile}"\n'
    assert own == parse(named, "x").driver_profile
    for value in (True, False):
        text = f"{named}natt_exempt = {str(value).lower()}"
        assert replace(own, natt_exempt=value) == parse(text, "x").driver_profile
        text = f"{named}inbound_mcast_exempt = {str(value).lower()}"
        assert replace(own, inbound_group_exempt=value) == parse(text, "x").driver_profile


def test_startup_mode_by_default() -> None:
    """Unset: stateful once a policy was ever assigned, else permit (spec 6.1)."""
    startup = Config().startup
    assert Mode.STARTUP_PERMIT is startup.driver_mode(ever_assigned=False)
    assert Mode.STARTUP_STATEFUL is startup.driver_mode(ever_assigned=True)


def test_changes_are_told_key_by_key() -> None:
    """What a reload finds changed is named with both values."""
    changed = parse('on_failure = "permit"\n[queue]\nnumber = 90\n', "x")
    assert Config().changes(changed) == [
        "on_failure changed from block to permit",
        "queue.number changed from 88 to 90",
    ]
    assert changed.changes(changed) == []


def test_properties_go_over_the_file() -> None:
    """What `set config` set counts; what it did not is the file's (spec 7.1)."""
    config = parse('exempt = 1\n[startup]\nmode = "permit"\n[diagnostics]\nlevel = 2\n', "f")
    assert config == config.with_properties(Properties(), "p")
    found = config.with_properties(
        Properties(
            ipsecdiagnostics=6,
            ipsecloginterval=60,
            ipsecexempt=0,
            bootmode="block",
            bootexemptions=("tcp:0:3389:inbound",),
        ),
        "p",
    )
    assert (found.exempt_value, found.diagnostics.level, found.diagnostics.interval) == (0, 6, 60)
    assert found.startup.mode == "block"
    assert [str(one) for one in found.startup.exemptions] == ["tcp:0:3389:inbound"]
    assert config.with_properties(Properties(bootexemptions=()), "p").startup.exemptions == ()


def test_property_that_does_not_fit_the_profile() -> None:
    """The profile's allowed exemption values hold for properties, too (spec 4.1)."""
    with pytest.raises(PolicyError, match=r"p: exempt: \"3\": expected one of 0, 1"):
        parse('profile = "win2000"', "f").with_properties(Properties(ipsecexempt=3), "p")


@pytest.mark.parametrize("source", ["web.toml", "ftp://x/y", "https://", "http:x"])
def test_domain_source_is_a_path_or_a_url(source: str) -> None:
    """Anything else is refused, with the forms there are."""
    with pytest.raises(PolicyError, match=r"domain\.source.*URL"):
        parse(f'[domain]\nsource = "{source}"', "f")
