"""The Varlink interface `io.ipsecfd.Control`: what the running agent can be asked and told.

Client and server share it. asyncvarlink reads the annotations at run time, so they are not
postponed here.
"""

from typing import Final, Protocol

from asyncvarlink import TypedVarlinkErrorReply, VarlinkInterface, varlinkmethod

from ipsecfd.agent.report import PolicyReport, PolicyText, Stats, Status

NAME: Final = "io.ipsecfd.Control"

LOOKING: Final = frozenset({"GetMode", "Status", "Stats", "ListPolicies", "ShowPolicy"})
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

    async def set_mode(self, name: str) -> None:
        """Change the mode."""

    async def status(self) -> Status:
        """Everything about the agent."""

    async def stats(self) -> Stats:
        """How often each decision was made."""

    def list_policies(self) -> list[PolicyReport]:
        """The policies in force."""

    def show_policy(self, name: str | None) -> list[PolicyText]:
        """Policies in force, whole."""

    async def reload(self) -> list[str]:
        """Read configuration and policies again."""

    async def assign(self, file: str) -> list[str]:
        """Make a file the local policy."""

    async def unassign(self, name: str | None) -> list[str]:
        """Take the local policy away."""

    async def resolve(self) -> list[str]:
        """Resolve DNS names anew."""


class Control(VarlinkInterface, name=NAME):
    """Look at the running ipsecfd, and change its mode and policies."""

    errors = (Refused,)

    def __init__(self, service: Service) -> None:
        self._service = service

    @varlinkmethod(return_parameter="mode")
    def GetMode(self) -> str:  # noqa: N802
        """The mode: startup-permit, startup-block, stateful, secure, permit or block."""
        return self._service.mode()

    @varlinkmethod
    async def SetMode(self, *, mode: str) -> None:  # noqa: N802
        """Change the mode to permit, block, stateful or secure, until the next start."""
        await self._service.set_mode(mode)

    @varlinkmethod(return_parameter="status")
    async def Status(self) -> Status:  # noqa: N802
        """Everything about the running agent."""
        return await self._service.status()

    @varlinkmethod(return_parameter="stats")
    async def Stats(self) -> Stats:  # noqa: N802
        """How often each decision was made, since policies, mode or addresses last changed."""
        return await self._service.stats()

    @varlinkmethod(return_parameter="policies")
    def ListPolicies(self) -> list[PolicyReport]:  # noqa: N802
        """The policies in force."""
        return self._service.list_policies()

    @varlinkmethod(return_parameter="policies")
    def ShowPolicy(self, *, name: str | None) -> list[PolicyText]:  # noqa: N802
        """Policies in force with all their rules and filters: all, or those of a name."""
        return self._service.show_policy(name)

    @varlinkmethod(return_parameter="notes")
    async def Reload(self) -> list[str]:  # noqa: N802
        """Read configuration and policies again; refused whole when there is a mistake."""
        return await self._service.reload()

    @varlinkmethod(return_parameter="notes")
    async def AssignPolicy(self, *, file: str) -> list[str]:  # noqa: N802
        """Make a file, by its absolute path, the local policy now and at later starts."""
        return await self._service.assign(file)

    @varlinkmethod(return_parameter="notes")
    async def UnassignPolicy(self, *, name: str | None) -> list[str]:  # noqa: N802
        """Take the local policy away, or only if it has this name."""
        return await self._service.unassign(name)

    @varlinkmethod(return_parameter="notes")
    async def ResolveNames(self) -> list[str]:  # noqa: N802
        """Resolve the DNS names of the policies anew, and put the answers in force."""
        return await self._service.resolve()
