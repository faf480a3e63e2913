"""The Varlink interface `io.ipsecfd.Control`: what the running agent can be asked and told.

Client and server share it. Each request is said once, as a method of `Service`, and has a line in
`REQUESTS`; Varlink's methods, with parameters and types, are made of those. asyncvarlink reads the
annotations at run time, so they are not postponed here.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any, Final, NamedTuple, Protocol

from asyncvarlink import TypedVarlinkErrorReply, VarlinkInterface, varlinkmethod

from ipsecfd.agent.packet_reports import FilterPage, FlowList, ShadowReport, StatsReport
from ipsecfd.agent.report import (
    DeskReport,
    DomainReport,
    Foresight,
    InForce,
    PolicyReport,
    PolicyText,
    StatusReport,
    TrialReport,
)

NAME: Final = "io.ipsecfd.Control"


class Refused(TypedVarlinkErrorReply, name=f"{NAME}.Refused"):
    """The agent did not do it. The reason is for people, and may have several lines."""

    class Parameters:
        """What it says."""

        reason: str


class Service(Protocol):
    """What the agent does; IpsecfdError is a refusal. Texts are those of the Varlink interface."""

    def mode(self) -> str:
        """The mode: starting, startup-permit, startup-block, stateful, secure, permit or block."""

    async def set_mode(self, *, mode: str, confirm: int | None) -> None:
        """Change the mode to permit, block, stateful or secure, until the next start.

        With confirm, as in all methods that have it, the state before is back after so many
        seconds unless Confirm is called.
        """

    async def status(self) -> StatusReport:
        """Everything about the running agent."""

    async def stats(self) -> StatsReport:
        """How often each decision was made, since the service started."""

    async def filter_stats(self, *, every: bool, first: int) -> FilterPage:
        """How often each filter decided: those in force, with every also those without a packet,
        from the one at a place on, 0 to begin with."""

    async def list_flows(
        self,
        *,
        address: str | None,
        port: int | None,
        rule: str | None,
        direction: str | None,
        most: int,
    ) -> FlowList:
        """What the kernel has learnt: of the flows from or to an address or prefix and a port, by
        a rule and in a direction, those with most packets; 10,000 at most."""

    async def start_shadow(self, *, file: str) -> list[str]:
        """Have a file's policy, by its absolute path, judge every packet beside the policies in
        force, and decide about none, until StopShadow or the end of the service."""

    async def shadow(self, *, most: int, flows: int) -> ShadowReport:
        """What the shadow policy would change: so many changes, with so many flows each; 1,000 at
        most of both. Refused where there is none."""

    async def stop_shadow(self) -> None:
        """Take the shadow policy away."""

    async def list_policies(self) -> list[PolicyReport]:
        """The policies in force, then those of the local store that are not."""

    async def show_policy(self, *, name: str | None) -> list[PolicyText]:
        """Policies with all their rules and filters: all in force, or those of a name."""

    def state_dir(self) -> str:
        """The directory that the stores are in."""

    async def desk(self, *, keys: bool) -> DeskReport:
        """What administration commands start from, the dynamic rules among it; with the
        pre-shared keys or without."""

    async def set_dynamic(self, *, revision: int, dynamic: str) -> list[str]:
        """Put other dynamic rules in place of those of GetDesk, if they are still the latest."""

    async def take_stores(self) -> list[str]:
        """Read the stores and properties again, and have what they hold in force."""

    def domain(self) -> DomainReport:
        """The domain policy and its source; refused where none is configured."""

    async def refresh_domain(self) -> str:
        """Fetch the domain policy now, and say what came of it."""

    async def netdiag(self, *, debug: bool) -> str:
        """What netdiag's IPSec test prints; with debug, the filters as well."""

    async def reload(self) -> list[str]:
        """Read configuration and policies again; refused whole when there is a mistake."""

    async def assign_file(self, *, file: str, confirm: int | None) -> list[str]:
        """Make a file, by its absolute path, the local policy now and at later starts."""

    async def assign(self, *, name: str, confirm: int | None) -> list[str]:
        """Assign the policy of this name of the local store."""

    async def unassign(self, *, name: str | None, confirm: int | None) -> list[str]:
        """Take the local policy away, or only if it has this name."""

    async def foresee(
        self, *, file: str | None, name: str | None, mode: str | None, session: str
    ) -> Foresight:
        """Which open connections a change would cut; nothing is changed.

        The change is a mode, or a file or a policy of the local store that would be assigned, or
        none of them, which is no local policy. The session is the caller's SSH_CONNECTION, or
        empty.
        """

    def trial(self) -> TrialReport | None:
        """The change that waits to be confirmed, if there is one."""

    async def confirm(self) -> str:
        """Keep the change that waits to be confirmed, and say which; refused without one."""

    async def rollback(self) -> str:
        """Take the change back that waits to be confirmed, and say which; refused without one."""

    def in_force(self) -> InForce:
        """The policies in force, exactly, to be compared with others."""

    async def resolve(self) -> list[str]:
        """Resolve the DNS names of the policies anew, and put the answers in force."""


class Request(NamedTuple):
    """A method of Service as Varlink has it."""

    name: str
    method: Callable[..., Any]
    answer: str | None = None
    """What the result is called; None where there is none."""
    looks: bool = False
    """Whether it changes nothing."""


REQUESTS: Final = (
    Request("GetMode", Service.mode, "mode", looks=True),
    Request("SetMode", Service.set_mode),
    Request("Status", Service.status, "status", looks=True),
    Request("Stats", Service.stats, "stats", looks=True),
    Request("FilterStats", Service.filter_stats, "page", looks=True),
    Request("ListFlows", Service.list_flows, "flows", looks=True),
    Request("StartShadow", Service.start_shadow, "notes"),
    Request("GetShadow", Service.shadow, "shadow", looks=True),
    Request("StopShadow", Service.stop_shadow),
    Request("ListPolicies", Service.list_policies, "policies", looks=True),
    Request("ShowPolicy", Service.show_policy, "policies", looks=True),
    Request("GetStateDir", Service.state_dir, "state_dir", looks=True),
    Request("SetDynamic", Service.set_dynamic, "notes"),
    Request("StoresChanged", Service.take_stores, "notes"),
    Request("GetDomain", Service.domain, "domain", looks=True),
    Request("RefreshDomain", Service.refresh_domain, "done"),
    Request("Netdiag", Service.netdiag, "text", looks=True),
    Request("Reload", Service.reload, "notes"),
    Request("AssignPolicy", Service.assign_file, "notes"),
    Request("AssignStored", Service.assign, "notes"),
    Request("UnassignPolicy", Service.unassign, "notes"),
    Request("Foresee", Service.foresee, "foresight"),
    Request("GetTrial", Service.trial, "trial", looks=True),
    Request("Confirm", Service.confirm, "what"),
    Request("Rollback", Service.rollback, "what"),
    Request("GetPolicies", Service.in_force, "in_force", looks=True),
    Request("ResolveNames", Service.resolve, "notes"),
)
LOOKING: Final = frozenset({"GetDesk", *(one.name for one in REQUESTS if one.looks)})
"""The methods that change nothing."""


class Control(VarlinkInterface, name=NAME):
    """Look at the running ipsecfd, and change its mode and policies."""

    errors = (Refused,)

    def __init__(self, service: Service, *, keys: bool) -> None:
        self._service = service
        self._keys = keys  # whether the peer may see them

    @varlinkmethod(return_parameter="desk")
    async def GetDesk(self) -> DeskReport:  # noqa: N802
        """What administration commands start from, the dynamic rules among it."""
        return await self._service.desk(keys=self._keys)


def _passed_on(request: Request) -> Callable[..., Any]:
    """The method of Control that passes a request on to the service."""

    @functools.wraps(request.method)
    async def method(self: Control, **parameters: Any) -> Any:
        answer = getattr(self._service, request.method.__name__)(**parameters)
        return await answer if inspect.isawaitable(answer) else answer

    return varlinkmethod(method, return_parameter=request.answer)


for _request in REQUESTS:
    setattr(Control, _request.name, _passed_on(_request))
