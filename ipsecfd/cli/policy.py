"""`ipsecfd policy`: which policies are in force, what is in them, and changing that."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ipsecfd.cli.apply import apply_file
from ipsecfd.cli.decision_text import wrap
from ipsecfd.cli.diff import diff
from ipsecfd.cli.figures import many, time
from ipsecfd.cli.foresight import look_ahead
from ipsecfd.cli.group import Group
from ipsecfd.cli.live import JsonOption, SocketOption, ask, print_json, print_notes
from ipsecfd.cli.terminal import width
from ipsecfd.cli.trial import ConfirmOption, YesOption, trial_notes
from ipsecfd.errors import IpsecfdError

if TYPE_CHECKING:
    from ipsecfd.agent.report import PolicyReport, PolicyText, RuleReport

app = typer.Typer(
    cls=Group,
    help="The policies here: list, show, assign, unassign, diff, resolve.",
    no_args_is_help=True,
)


@app.command("list")
def list_(as_json: JsonOption = False, socket: SocketOption = None) -> None:
    """List the policies in force, and the others of the local store.

    Where the store cannot be read, those in force, and exit status 1.
    """
    policies: list[PolicyReport]
    unread: IpsecfdError | None = None
    try:
        policies = ask(socket, "ListPolicies")
    except IpsecfdError as error:
        policies = [one.policy for one in ask(socket, "ShowPolicy", name=None)]
        unread = error
    if as_json:
        print_json(policies)
    else:
        if not any(policy.in_force for policy in policies):
            print("no policy is in force")
        for policy in policies:
            print("\n".join(policy_lines(policy, width())))
    if unread is not None:
        raise unread


@app.command()
def show(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Default: all policies in force.")
    ] = None,
    as_json: JsonOption = False,
    socket: SocketOption = None,
) -> None:
    """Show the policies in force, or one, with rules and filters."""
    found: list[PolicyText] = ask(socket, "ShowPolicy", name=name)
    if as_json:
        print_json(found)
        return
    if not found:
        print("no policy is in force")
        return
    print("\n\n".join("\n".join(_text_lines(text, width())) for text in found))


@app.command()
def assign(
    policy: Annotated[
        str, typer.Argument(metavar="NAME|FILE", help="A policy of the local store, or a file.")
    ],
    confirm: ConfirmOption = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
    socket: SocketOption = None,
) -> None:
    """Make a policy the assigned one, now and at later starts.

    It takes the place of the one before. The daemon reads a FILE again at each
    start and reload, so leave it where it is. What has a / in it, or is there,
    is a file.
    """
    if "/" in policy or Path(policy).exists():
        path, notes = apply_file(Path(policy), socket, confirm=confirm, yes=yes)
        print_notes(notes, f"assigned: {path}", as_json=as_json)
        return
    look_ahead(socket, name=policy, sure=yes or confirm is not None)
    notes = trial_notes(confirm) + ask(socket, "AssignStored", name=policy, confirm=confirm)
    print_notes(notes, f"assigned: {policy}", as_json=as_json)


@app.command()
def unassign(
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="Only if the assigned policy has this name."),
    ] = None,
    confirm: ConfirmOption = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
    socket: SocketOption = None,
) -> None:
    """Take the assigned local policy out of force."""
    look_ahead(socket, sure=yes or confirm is not None)
    notes = trial_notes(confirm) + ask(socket, "UnassignPolicy", name=name, confirm=confirm)
    print_notes(notes, "unassigned", as_json=as_json)


app.command()(diff)


@app.command()
def resolve(as_json: JsonOption = False, socket: SocketOption = None) -> None:
    """Ask for the DNS names of the policies anew.

    Packets are judged by the new addresses at once.
    """
    answers: list[str] = ask(socket, "ResolveNames")
    if as_json:
        print_json({"answers": answers})
    else:
        print("\n".join(answers))


def policy_lines(policy: PolicyReport, columns: int) -> list[str]:
    """A policy in a few lines."""
    amount = f"{many(policy.rules, 'rule')}, {many(policy.filters, 'filter')}"
    since = f"in force since {time(policy.since)}" if policy.in_force else "not in force"
    return [
        *wrap("", policy.name, columns),
        *wrap("  ", f"{policy.store} policy, {amount}, {since}", columns),
        f"  {policy.file}",
    ]


def _text_lines(text: PolicyText, columns: int) -> list[str]:
    lines = policy_lines(text.policy, columns)
    if text.policy.description:
        lines += wrap("  ", text.policy.description, columns)
    for rule in text.rules:
        lines += ["", *_rule_lines(rule, columns)]
    return lines


def _rule_lines(rule: RuleReport, columns: int) -> list[str]:
    about = [rule.action]
    if rule.connection != "all":
        about.append(f"{rule.connection} connections only")
    if not rule.active:
        about.append("not active")
    lines = wrap("  ", f"{rule.name or '(unnamed)'}: {', '.join(about)}", columns)
    if rule.description:
        lines += wrap("    ", rule.description, columns)
    return [*lines, *(f"    {one}" for one in rule.filters)]
