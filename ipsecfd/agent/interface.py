"""The Varlink interface `io.ipsecfd.Control`: what the running agent can be asked and told.

Client and server share it. asyncvarlink reads the annotations at run time, so they are not
postponed here.
"""

from typing import Final, Protocol

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

LOOKING: Final = frozenset(
    {
        *("GetMode", "Status", "Stats", "FilterStats", "ListFlows", "ListPolicies", "ShowPolicy"),
        *("GetDesk", "GetDomain", "Netdiag", "GetTrial", "GetPolicies", "GetShadow"),
    }
)
"""The methods that change nothing."""


class Refused(TypedVarlinkErrorReply, name=f"{NAME}.Refused"):
    """The agent did not do it. The reason is for people, and may have several lines."""

    class Parameters:
        """What it says."""

        reason: str


class Service(Protocol):
    """What the interface asks of the agent; IpsecfdError is a refusal."""

    def mode(self) -> str:
        """The mode's name."""

    async def set_mode(self, name: str, confirm: int | None) -> None:
        """Change the mode; with `confirm`, taken back after so many seconds unless confirmed."""

    async def status(self) -> StatusReport:
        """Everything about the agent."""

    async def stats(self) -> StatsReport:
        """How often each decision was made."""

    async def filter_stats(self, *, every: bool, first: int) -> FilterPage:
        """How often each filter decided."""

    async def list_flows(
        self,
        *,
        address: str | None,
        port: int | None,
        rule: str | None,
        direction: str | None,
        most: int,
    ) -> FlowList:
        """What the kernel has learnt."""

    async def start_shadow(self, file: str) -> list[str]:
        """Have a file's policy judge beside those in force."""

    async def shadow(self, *, most: int, flows: int) -> ShadowReport:
        """What the shadow policy would change."""

    async def stop_shadow(self) -> None:
        """Take the shadow policy away."""

    async def list_policies(self) -> list[PolicyReport]:
        """The policies in force, and those of the local store."""

    async def show_policy(self, name: str | None) -> list[PolicyText]:
        """Policies, whole."""

    async def desk(self, *, keys: bool) -> DeskReport:
        """What administration commands start from, with the pre-shared keys or without."""

    async def set_dynamic(self, revision: int, text: str) -> list[str]:
        """Put other dynamic rules in place of those of this revision."""

    async def take_stores(self) -> list[str]:
        """Read the stores again, which a command has changed."""

    def domain(self) -> DomainReport:
        """The domain policy and its source."""

    async def refresh_domain(self) -> str:
        """Fetch the domain policy."""

    async def netdiag(self, debug: bool) -> str:
        """The text of netdiag's test."""

    async def reload(self) -> list[str]:
        """Read configuration and policies again."""

    async def assign_file(self, file: str, confirm: int | None) -> list[str]:
        """Make a file the local policy."""

    async def assign(self, name: str, confirm: int | None) -> list[str]:
        """Assign a policy of the local store."""

    async def unassign(self, name: str | None, confirm: int | None) -> list[str]:
        """Take the local policy away."""

    async def foresee(
        self, *, file: str | None, name: str | None, mode: str | None, session: str
    ) -> Foresight:
        """Which connections a change would cut."""

    def trial(self) -> TrialReport | None:
        """The change that waits to be confirmed."""

    async def confirm(self) -> str:
        """Keep the change that is on trial."""

    async def rollback(self) -> str:
        """Take the change back that is on trial."""

    def in_force(self) -> InForce:
        """The policies in force, exactly."""

    async def resolve(self) -> list[str]:
        """Resolve DNS names anew."""


class Control(VarlinkInterface, name=NAME):
    """Look at the running ipsecfd, and change its mode and policies."""

    errors = (Refused,)

    def __init__(self, service: Service, *, keys: bool) -> None:
        self._service = service
        self._keys = keys  # whether the peer may see them

    @varlinkmethod(return_parameter="mode")
    def GetMode(self) -> str:  # noqa: N802
        """The mode: starting, startup-permit, startup-block, stateful, secure, permit or block."""
        return self._service.mode()

    @varlinkmethod
    async def SetMode(self, *, mode: str, confirm: int | None) -> None:  # noqa: N802
        """Change the mode to permit, block, stateful or secure, until the next start.

        With confirm, as in all methods that have it, the state before is back after so many
        seconds unless Confirm is called.
        """
        await self._service.set_mode(mode, confirm)

    @varlinkmethod(return_parameter="status")
    async def Status(self) -> StatusReport:  # noqa: N802
        """Everything about the running agent."""
        return await self._service.status()

    @varlinkmethod(return_parameter="stats")
    async def Stats(self) -> StatsReport:  # noqa: N802
        """How often each decision was made, since the service started."""
        return await self._service.stats()

    @varlinkmethod(return_parameter="page")
    async def FilterStats(self, *, every: bool, first: int) -> FilterPage:  # noqa: N802
        """How often each filter decided: those in force, with every also those without a packet,
        from the one at a place on, 0 to begin with."""
        return await self._service.filter_stats(every=every, first=first)

    @varlinkmethod(return_parameter="flows")
    async def ListFlows(  # noqa: N802
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
        return await self._service.list_flows(
            address=address, port=port, rule=rule, direction=direction, most=most
        )

    @varlinkmethod(return_parameter="notes")
    async def StartShadow(self, *, file: str) -> list[str]:  # noqa: N802
        """Have a file's policy, by its absolute path, judge every packet beside the policies in
        force, and decide about none, until StopShadow or the end of the service."""
        return await self._service.start_shadow(file)

    @varlinkmethod(return_parameter="shadow")
    async def GetShadow(self, *, most: int, flows: int) -> ShadowReport:  # noqa: N802
        """What the shadow policy would change: so many changes, with so many flows each; 1,000 at
        most of both. Refused where there is none."""
        return await self._service.shadow(most=most, flows=flows)

    @varlinkmethod
    async def StopShadow(self) -> None:  # noqa: N802
        """Take the shadow policy away."""
        await self._service.stop_shadow()

    @varlinkmethod(return_parameter="policies")
    async def ListPolicies(self) -> list[PolicyReport]:  # noqa: N802
        """The policies in force, then those of the local store that are not."""
        return await self._service.list_policies()

    @varlinkmethod(return_parameter="policies")
    async def ShowPolicy(self, *, name: str | None) -> list[PolicyText]:  # noqa: N802
        """Policies with all their rules and filters: all in force, or those of a name."""
        return await self._service.show_policy(name)

    @varlinkmethod(return_parameter="desk")
    async def GetDesk(self) -> DeskReport:  # noqa: N802
        """What administration commands start from, the dynamic rules among it."""
        return await self._service.desk(keys=self._keys)

    @varlinkmethod(return_parameter="notes")
    async def SetDynamic(self, *, revision: int, dynamic: str) -> list[str]:  # noqa: N802
        """Put other dynamic rules in place of those of GetDesk, if they are still the latest."""
        return await self._service.set_dynamic(revision, dynamic)

    @varlinkmethod(return_parameter="notes")
    async def StoresChanged(self) -> list[str]:  # noqa: N802
        """Read the stores and properties again, and have what they hold in force."""
        return await self._service.take_stores()

    @varlinkmethod(return_parameter="domain")
    def GetDomain(self) -> DomainReport:  # noqa: N802
        """The domain policy and its source; refused where none is configured."""
        return self._service.domain()

    @varlinkmethod(return_parameter="done")
    async def RefreshDomain(self) -> str:  # noqa: N802
        """Fetch the domain policy now, and say what came of it."""
        return await self._service.refresh_domain()

    @varlinkmethod(return_parameter="text")
    async def Netdiag(self, *, debug: bool) -> str:  # noqa: N802
        """What netdiag's IPSec test prints; with debug, the filters as well."""
        return await self._service.netdiag(debug)

    @varlinkmethod(return_parameter="notes")
    async def Reload(self) -> list[str]:  # noqa: N802
        """Read configuration and policies again; refused whole when there is a mistake."""
        return await self._service.reload()

    @varlinkmethod(return_parameter="notes")
    async def AssignPolicy(self, *, file: str, confirm: int | None) -> list[str]:  # noqa: N802
        """Make a file, by its absolute path, the local policy now and at later starts."""
        return await self._service.assign_file(file, confirm)

    @varlinkmethod(return_parameter="notes")
    async def AssignStored(self, *, name: str, confirm: int | None) -> list[str]:  # noqa: N802
        """Assign the policy of this name of the local store."""
        return await self._service.assign(name, confirm)

    @varlinkmethod(return_parameter="notes")
    async def UnassignPolicy(  # noqa: N802
        self, *, name: str | None, confirm: int | None
    ) -> list[str]:
        """Take the local policy away, or only if it has this name."""
        return await self._service.unassign(name, confirm)

    @varlinkmethod(return_parameter="foresight")
    async def Foresee(  # noqa: N802
        self, *, file: str | None, name: str | None, mode: str | None, session: str
    ) -> Foresight:
        """Which established connections a change would cut; nothing is changed.

        The change is a mode, or a file or a policy of the local store that would be assigned, or
        none of them, which is no local policy. The session is the caller's SSH_CONNECTION, or
        empty.
        """
        return await self._service.foresee(file=file, name=name, mode=mode, session=session)

    @varlinkmethod(return_parameter="trial")
    def GetTrial(self) -> TrialReport | None:  # noqa: N802
        """The change that waits to be confirmed, if there is one."""
        return self._service.trial()

    @varlinkmethod(return_parameter="what")
    async def Confirm(self) -> str:  # noqa: N802
        """Keep the change that waits to be confirmed, and say which; refused without one."""
        return await self._service.confirm()

    @varlinkmethod(return_parameter="what")
    async def Rollback(self) -> str:  # noqa: N802
        """Take the change back that waits to be confirmed, and say which; refused without one."""
        return await self._service.rollback()

    @varlinkmethod(return_parameter="in_force")
    def GetPolicies(self) -> InForce:  # noqa: N802
        """The policies in force, exactly, to be compared with others."""
        return self._service.in_force()

    @varlinkmethod(return_parameter="notes")
    async def ResolveNames(self) -> list[str]:  # noqa: N802
        """Resolve the DNS names of the policies anew, and put the answers in force."""
        return await self._service.resolve()
