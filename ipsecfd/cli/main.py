"""The `ipsecfd` command with all of its groups."""

from __future__ import annotations

import os
from typing import Annotated

import typer
from typer.completion import completion_init  # type: ignore[attr-defined]

from ipsecfd import __version__
from ipsecfd.cli.after_stop import after_stop
from ipsecfd.cli.apply import apply
from ipsecfd.cli.check import check
from ipsecfd.cli.domain import app as domain
from ipsecfd.cli.ending import run_to_its_end
from ipsecfd.cli.explain import explain
from ipsecfd.cli.export import export
from ipsecfd.cli.flows import flows
from ipsecfd.cli.group import HELP_OPTIONS, Group
from ipsecfd.cli.import_ import import_
from ipsecfd.cli.ipseccmd import ipseccmd, ipsecpol
from ipsecfd.cli.lab import app as lab
from ipsecfd.cli.log import log
from ipsecfd.cli.mode import mode
from ipsecfd.cli.netdiag import netdiag
from ipsecfd.cli.netsh import PASS_THROUGH, netsh
from ipsecfd.cli.policy import app as policy
from ipsecfd.cli.reload import reload
from ipsecfd.cli.replay import replay
from ipsecfd.cli.run import run
from ipsecfd.cli.secedit import secedit
from ipsecfd.cli.shadow import shadow
from ipsecfd.cli.stats import stats
from ipsecfd.cli.status import status
from ipsecfd.cli.trial import confirm, rollback

app = typer.Typer(
    name="ipsecfd",
    cls=Group,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings=HELP_OPTIONS,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"ipsecfd {__version__}")
        raise typer.Exit


@app.callback()
def _program(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """The packet filter of Windows' IP Security Policies, alive on Linux."""


# The panels of --help, in this order; within one, groups stand last.
_SERVICE = "The service"
app.command(rich_help_panel=_SERVICE)(run)
app.command(rich_help_panel=_SERVICE)(status)
app.command(rich_help_panel=_SERVICE)(log)
app.command(rich_help_panel=_SERVICE)(stats)
app.command(rich_help_panel=_SERVICE)(flows)
app.command(rich_help_panel=_SERVICE)(mode)
app.command(rich_help_panel=_SERVICE)(reload)

_POLICIES = "Policies"
app.command(rich_help_panel=_POLICIES)(apply)
app.command(rich_help_panel=_POLICIES)(confirm)
app.command(rich_help_panel=_POLICIES)(rollback)
app.command(rich_help_panel=_POLICIES)(shadow)
app.add_typer(policy, name="policy", rich_help_panel=_POLICIES)
app.add_typer(domain, name="domain", rich_help_panel=_POLICIES)

_BEFORE = "Before it filters anything"
app.command(rich_help_panel=_BEFORE)(check)
app.command(rich_help_panel=_BEFORE)(explain)
app.command(rich_help_panel=_BEFORE)(replay)
app.add_typer(lab, name="lab", rich_help_panel=_BEFORE)

_WINDOWS = "Coming from Windows"
app.command("import", rich_help_panel=_WINDOWS)(import_)
app.command(rich_help_panel=_WINDOWS)(export)
app.command(rich_help_panel=_WINDOWS, context_settings=PASS_THROUGH)(netsh)
app.command(rich_help_panel=_WINDOWS, context_settings=PASS_THROUGH)(ipseccmd)
app.command(rich_help_panel=_WINDOWS, context_settings=PASS_THROUGH)(ipsecpol)
app.command(rich_help_panel=_WINDOWS, context_settings=PASS_THROUGH)(netdiag)
app.command(rich_help_panel=_WINDOWS, context_settings=PASS_THROUGH)(secedit)

app.command("after-stop", hidden=True)(after_stop)


def main() -> None:
    """Run a command, as `run_to_its_end` does."""
    if "_IPSECFD_COMPLETE" in os.environ:  # a shell asks, by the script of tools/completion.py
        completion_init()
    run_to_its_end(app)
