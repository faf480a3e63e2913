"""One run of ipseccmd or ipsecpol on a workspace (spec 8.4).

Each execution is one change, made whole or not at all; a file of commands is many executions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from ipsecfd.errors import IpsecfdError
from ipsecfd.policy.ipseccmd.dynamic import apply_dynamic
from ipsecfd.policy.ipseccmd.lines import program_of, split_line
from ipsecfd.policy.ipseccmd.methods import OtherComputerError, RefusedError, UsageError
from ipsecfd.policy.ipseccmd.query import help_text, shown
from ipsecfd.policy.ipseccmd.static import apply_static
from ipsecfd.policy.ipseccmd.switches import (
    Batch,
    Clear,
    Dynamic,
    Help,
    Request,
    Show,
    Static,
    parse,
)
from ipsecfd.policy.reply import Reply
from ipsecfd.policy.review import about_ports
from ipsecfd.policy.text import read_text
from ipsecfd.policy.workspace import Workspace

COMPLETED: Final = "The command completed successfully."
NOT_RUNNING: Final = (
    "the IPSec service is not running: there are no dynamic rules without it; start ipsecfd, or"
    " use -w"
)

Confirm = Callable[[str], bool]
"""Asks whoever sits there a question; False is no."""


def run(
    arguments: Sequence[str],
    workspace: Workspace,
    program: str = "ipseccmd",
    *,
    read: Callable[[Path], str] = read_text,
    confirm: Confirm | None = None,
) -> Reply:
    """Run the program with these arguments; a failed run has changed nothing, but for -file.

    `read` gives the text of a file for -file. `confirm` is for -confirm, which fails without it.
    """
    program = program_of(program) or program
    try:
        request = parse(arguments, program, workspace.host)
    except (OtherComputerError, RefusedError) as error:
        return Reply(f"{program}: {error}", failed=True)
    except IpsecfdError as error:
        return Reply(f"{program}: {error}", failed=True, understood=False)
    try:
        if isinstance(request, Batch):
            return _run_file(request.path, workspace, read, confirm)
        text = _perform(request, workspace, program, confirm)
        return Reply(text, failed=False, note="\n".join(_doubts(request)))
    except IpsecfdError as error:
        return Reply(f"{program}: {error}", failed=True)


def _perform(request: Request, workspace: Workspace, program: str, confirm: Confirm | None) -> str:
    """Do what is asked and answer in words. Raises IpsecfdError."""
    match request:
        case Help():
            return help_text(program)
        case Show(topics):
            if workspace.dynamic is None:
                raise RefusedError(NOT_RUNNING)
            return shown(topics, workspace)
        case Static(store=store):
            apply_static(
                request, workspace.stores[store], workspace.resolve, int(workspace.clock())
            )
        case Clear() | Dynamic():
            if workspace.dynamic is None:
                raise RefusedError(NOT_RUNNING)
            if isinstance(request, Clear):
                workspace.dynamic.clear()
            else:
                _ask(request, confirm)
                apply_dynamic(request, workspace.dynamic, workspace.resolve)
    return COMPLETED


def _doubts(request: Request) -> Iterator[str]:
    """What the filters of a rule are probably not meant to be (X10)."""
    rule = request.rule if isinstance(request, Static | Dynamic) else None
    for spec in rule.filters if rule is not None else ():
        for why in about_ports(spec.protocol, spec.source_port, spec.destination_port):
            yield f'"{spec.text}": {why}'


def _ask(request: Dynamic, confirm: Confirm | None) -> None:
    if not request.confirm:
        return
    if confirm is None:
        raise RefusedError("-confirm: nobody can be asked here; run it without")
    filters = ", ".join(spec.text for spec in request.rule.filters)
    if not confirm(f"Set {filters}?"):
        raise RefusedError("not confirmed; nothing was changed")


def _run_file(
    path: str, workspace: Workspace, read: Callable[[Path], str], confirm: Confirm | None
) -> Reply:
    """Run the commands of a file. One that makes no sense stops all of it before the first; one
    that is refused when its turn comes does not stop those behind it."""
    requests: list[tuple[int, Request]] = []
    mistakes = []
    for number, line in enumerate(read(Path(path)).split("\n"), 1):
        words = split_line(line)
        if words and program_of(words[0]):
            del words[0]
        if not words or words[0].startswith(("#", "::")) or words[0].upper() == "REM":
            continue
        try:
            request = parse(words, host=workspace.host)
            if isinstance(request, Batch):
                raise UsageError("-file: a file of commands cannot run another one")
        except IpsecfdError as error:
            mistakes.append(f"{path}:{number}: {error}")
        else:
            requests.append((number, request))
    if mistakes:
        text = "\n".join([*mistakes, f"{path}: nothing was done"])
        return Reply(text, failed=True, understood=False)
    answers = []
    notes = []
    failed = False
    for number, request in requests:
        try:
            answer = _perform(request, workspace, "ipseccmd", confirm)
            notes += [f"{path}:{number}: {one}" for one in _doubts(request)]
        except IpsecfdError as error:
            answer = f"{path}:{number}: {error}"
            failed = True
        if answer != COMPLETED:
            answers.append(answer)
    return Reply("\n".join(answers) or COMPLETED, failed, note="\n".join(notes))
