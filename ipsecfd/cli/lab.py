"""`ipsecfd lab`: scenarios on real packets, between hosts in private network namespaces."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from ipsecfd.cli.group import Group
from ipsecfd.cli.terminal import colored
from ipsecfd.cli.values import offered

if TYPE_CHECKING:
    from ipsecfd.lab.play import Played
    from ipsecfd.lab.scenario import Scenario

DEMO = "web-server"

app = typer.Typer(
    cls=Group,
    help="Try policies on real packets, in private namespaces (root).",
    no_args_is_help=True,
)

_Json = Annotated[bool, typer.Option("--json", help="One JSON object a scenario and line.")]


def _names(incomplete: str) -> list[str]:
    """The names of `lab list` that begin so."""
    from ipsecfd.lab.scenario import builtin_scenarios

    return offered(list(builtin_scenarios()))(incomplete)


@app.command()
def run(
    scenario: Annotated[
        list[str],
        typer.Argument(
            metavar="SCENARIO", help="A file, or a name of `lab list`.", autocompletion=_names
        ),
    ],
    as_json: _Json = False,
    log: Annotated[bool, typer.Option("--log", help="Show the drops as they were logged.")] = False,
) -> None:
    """Play scenarios; report what was expected and what was seen.

    The exit status is 1 when they differ. Nothing touches the machine's own
    network, and nothing is left behind.
    """
    from ipsecfd.lab.scenario import load_scenario

    scenarios = [load_scenario(name) for name in scenario]
    failures = 0
    for number, one in enumerate(scenarios):
        if number and not as_json:
            print()
        failures += _play(one, as_json=as_json, log=log)
    if failures:
        raise typer.Exit(1)


@app.command()
def demo(as_json: _Json = False) -> None:
    """Play the web server scenario, and show the drops as logged.

    Two hosts, real packets, and nothing of it in the machine's own network.
    """
    run([DEMO], as_json=as_json, log=True)


@app.command("list")
def list_scenarios() -> None:
    """List the scenarios that come with ipsecfd."""
    from ipsecfd.lab.scenario import builtin_scenarios, parse_scenario

    scenarios = {name: parse_scenario(text, name) for name, text in builtin_scenarios().items()}
    width = max(map(len, scenarios))
    for name, one in scenarios.items():
        print(f"{name:<{width}}  {one.name}")


def _play(scenario: Scenario, *, as_json: bool, log: bool) -> int:
    """Play one scenario and print what came of it; how many steps were not as expected."""
    from ipsecfd.lab.play import play
    from ipsecfd.lab.report import report, report_fields

    played = play(scenario)
    if as_json:
        print(json.dumps(report_fields(played), ensure_ascii=False), flush=True)
        return played.failures
    color = colored()
    for line in report(played, color=color):
        print(line)
    if log:
        _print_drops(played, color=color)
    sys.stdout.flush()
    return played.failures


def _print_drops(played: Played, *, color: bool) -> None:
    """The drops of a scenario as `ipsecfd log` shows them."""
    from ipsecfd.cli.log_text import format_record, is_drop
    from ipsecfd.lab.report import WIDTH

    drops = [dict(record) for record in played.records if is_drop(dict(record))]
    print(f"\nThe diagnostic log has {len(drops)} records of dropped packets:\n")
    for record in drops:
        print(format_record(record, WIDTH, color))
