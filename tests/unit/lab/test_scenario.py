"""Scenario files: everything in them is checked, and all mistakes are told at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from ipsecfd.lab.lab import GUARD, PEER
from ipsecfd.lab.probes import Outcome
from ipsecfd.lab.scenario import (
    Do,
    ScenarioError,
    Try,
    builtin_scenarios,
    load_scenario,
    parse_scenario,
)

STEP = """
[[step]]
what = "a stranger"
send = "tcp 203.0.113.66 -> 192.0.2.10:80"
expect = "pass"
by = "Web"
"""


def mistakes(text: str) -> list[str]:
    with pytest.raises(ScenarioError) as caught:
        parse_scenario(text, "x.toml")
    return str(caught.value).splitlines()


def test_smallest_scenario() -> None:
    """A name and a step are enough: the hosts are then guard and peer."""
    scenario = parse_scenario('name = "n"' + STEP, "x.toml")
    assert (scenario.name, scenario.hosts, scenario.policy) == ("n", (GUARD, PEER), None)
    (step,) = scenario.steps
    assert isinstance(step, Try)
    assert (step.words, step.expect, step.by) == ("a stranger", Outcome.PASS, "Web")


def test_steps_that_do() -> None:
    """A step that does something is a word and what follows it."""
    text = 'name = "n"\n' + "\n".join(
        f"[[step]]\ndo = {do!r}"
        for do in ("mode block", "wait 0.5", "restart", "address add 192.0.2.11/24")
    )
    steps = parse_scenario(text, "x.toml").steps
    assert steps[0] == Do("mode", ("block",))
    assert [str(step) for step in steps[1:]] == ["wait 0.5", "restart", "address add 192.0.2.11/24"]


def test_policy_file_beside_the_scenario(tmp_path: Path) -> None:
    """`policy_file` is looked up from the scenario's own folder."""
    (tmp_path / "p.toml").write_text('name = "p"')
    file = tmp_path / "s.toml"
    file.write_text('name = "n"\npolicy_file = "p.toml"' + STEP)
    assert load_scenario(str(file)).policy == b'name = "p"'


def test_all_mistakes_at_once() -> None:
    """Every mistake of a file is a line with file, place, text and what was expected."""
    found = mistakes(
        """
        name = "n"
        policy_file = "missing.toml"
        [[host]]
        name = "guard"
        addresses = ["192.0.2.300/24"]
        [[step]]
        send = "tcp 203.0.113.66 -> 192.0.2.10"
        expect = "pass"
        [[step]]
        send = "ping 203.0.113.66 -> 192.0.2.10"
        expect = "maybe"
        [[step]]
        do = "mode off"
        [[step]]
        do = "dance"
        [[step]]
        do = "restart"
        send = "ping 203.0.113.66 -> 192.0.2.10"
        [[step]]
        wath = "x"
        """
    )
    places = [line.split(": ")[1] for line in found]
    assert places == [
        "host[1].addresses",
        "step[1].send",
        "step[2].expect",
        "step[3].do",
        "step[4].do",
        "step[5]",
        "step[6]",
        "policy_file",
    ]
    assert found[3] == (
        'x.toml: step[3].do: "mode off": expected mode and then permit, block, stateful or secure'
    )
    assert all(line.startswith("x.toml: ") for line in found)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("name = ", "expected TOML"),
        (STEP, "name: missing"),
        ('name = "n"', "step: missing"),
        ('name = "n"\n[[host]]\nname = "a"\naddresses = []' + STEP, '"guard"'),
        ('name = "n"\n[[step]]\ndo = "reload"', "`policy`"),
        ('name = "n"\n[[step]]\ndo = "restart"\nexpect = "pass"', "sends nothing"),
        ('name = "n"\n[[step]]\nsend = "ping 192.0.2.1 -> 192.0.2.10"', "expect: missing"),
    ],
)
def test_refused(text: str, complaint: str) -> None:
    """A file that is no scenario is refused with what it lacks."""
    assert any(complaint in line for line in mistakes(text))


def test_unknown_scenario() -> None:
    """A name that is neither a file nor built in is answered with the built-in names."""
    with pytest.raises(ScenarioError, match=r"did you mean .web-server."):
        load_scenario("web-serve")


@pytest.mark.parametrize("name", builtin_scenarios())
def test_builtin_scenarios_are_valid(name: str) -> None:
    """What comes with ipsecfd can be read, says what it tries, and names what decides."""
    scenario = load_scenario(name)
    tries = [step for step in scenario.steps if isinstance(step, Try)]
    assert scenario.description
    assert tries
    assert all(step.words != str(step.probe) for step in tries)
