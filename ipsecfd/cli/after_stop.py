"""`ipsecfd after-stop`: what becomes of the rules when the service has ended (ExecStopPost).

Windows opens the host when its service stops (spec 6.1). A stop is that only if it is neither part
of a restart nor of a shutdown nor a failure, and the process itself is not told which: the unit's
pending job tells. Whenever that is in doubt the host stays closed.
"""

from __future__ import annotations

import enum
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

from ipsecfd.errors import IpsecfdError

if TYPE_CHECKING:
    from ipsecfd.agent.config import Config

_SYSTEMCTL_SECONDS: Final = 5
_IN_OPERATION: Final = frozenset({"initializing", "starting", "running", "degraded", "maintenance"})
"""What `systemctl is-system-running` says while a stop is meant for the service alone. In rescue
mode, which is maintenance, too: on the way there systemd leaves the unit alone."""
_LEADS_TO_A_START: Final = frozenset({"start", "restart", "try-restart"})
_TO_OPEN: Final = "; to open the host: systemctl stop ipsecfd"
_TO_OPEN_BY_HAND: Final = f"{_TO_OPEN}, or if that fails: nft delete table inet ipsecfd"


class Action(enum.Enum):
    """What becomes of the rules."""

    REMOVE = "remove"
    KEEP = "keep"
    CLOSE = "close"
    """Rules that queue stay; where none are, everything but loopback is dropped, and in place of
    start-up rules, which let packets pass that nobody judges."""


def what_to_do(
    job: str | None,
    system: str,
    result: str,
    on_failure: Literal["block", "permit"],
    *,
    ever_assigned: bool,
) -> tuple[Action, str]:
    """The action after an end of the service, and why.

    `job` is the type of the unit's pending job, None without one, `system` what
    `systemctl is-system-running` says, `result` systemd's $SERVICE_RESULT.
    """
    if system not in _IN_OPERATION:
        return Action.KEEP, f"the system is {system or 'in an unknown state'}: the rules stay"
    if job == "stop":
        return Action.REMOVE, "the service was stopped: nothing is filtered any more"
    if job is not None and job not in _LEADS_TO_A_START:
        return Action.KEEP, f"systemd's job {job!r} is not understood: the rules stay"
    if result == "success":
        return Action.KEEP, "a start follows: the rules stay, closed until then"
    if on_failure == "permit":
        return Action.REMOVE, f'failed ({result}) and on_failure = "permit": nothing is filtered'
    if ever_assigned:
        return Action.CLOSE, f"failed ({result}): closed until ipsecfd runs again{_TO_OPEN}"
    return Action.KEEP, f"failed ({result}) before any policy was assigned: nothing is changed"


def after_stop(
    unit: Annotated[str, typer.Argument(help="The unit's name, %n in its file.")],
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The configuration that `run` was given.")
    ] = None,
) -> None:
    """Remove the rules after a stop, keep them after anything else; for the unit's ExecStopPost."""
    from ipsecfd.kernel import boot, rules
    from ipsecfd.kernel.expected import Expected
    from ipsecfd.kernel.marks import Marks

    found, ever_assigned = _remembered(config)
    try:
        job, system = _job(unit), _systemctl("is-system-running")
    except (OSError, subprocess.SubprocessError) as error:
        action, why = Action.KEEP, f"systemd cannot be asked ({error}): the rules stay"
        why += _TO_OPEN_BY_HAND
    else:
        action, why = what_to_do(
            job,
            system,
            os.environ.get("SERVICE_RESULT", "unknown"),
            found.on_failure,
            ever_assigned=ever_assigned,
        )
    print(f"ipsecfd: {why}", file=sys.stderr)
    if action is Action.REMOVE:
        rules.remove()
        Expected().forget()
    elif action is Action.CLOSE and (boot.loaded() or not rules.present()):
        marks = Marks(found.queue.mark)
        rules.close(rules.RulesConfig(forward=found.forward, marks=marks))
        if Expected().left() is None:
            Expected().ended()


def _remembered(path: Path | None) -> tuple[Config, bool]:
    """The configuration, and whether a policy was ever assigned; the closed side of what is
    unknown."""
    from ipsecfd.agent import spared, state
    from ipsecfd.agent.noted import Noted

    config = spared.load(path)
    if Noted().place() is not None:
        return config, True
    try:
        return config, state.load(config.state_dir).ever_assigned
    except IpsecfdError:
        return config, True


def _job(unit: str) -> str | None:
    """The type of the unit's pending job, such as `stop` or `restart`; None without one.

    `systemctl list-jobs` prints number, unit, type and state of each.
    """
    jobs = (line.split() for line in _systemctl("list-jobs", "--plain", "--no-legend").splitlines())
    return next((words[2] for words in jobs if len(words) > 2 and words[1] == unit), None)


def _systemctl(*words: str) -> str:
    """What systemctl prints; raises OSError or SubprocessError when it says nothing at all."""
    result = subprocess.run(
        ["systemctl", *words],
        capture_output=True,
        text=True,
        timeout=_SYSTEMCTL_SECONDS,
        check=False,
    )
    if result.stderr and not result.stdout:
        raise subprocess.SubprocessError(result.stderr.strip())
    return result.stdout.strip()
