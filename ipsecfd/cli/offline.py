"""What `explain` and `replay` share: their options, and the driver's Settings made of them."""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple, TypeAlias, get_type_hints

import typer

from ipsecfd.agent.policies import tables
from ipsecfd.cli.in_force import UNASSIGNED, Known, ask_daemon
from ipsecfd.cli.known import kept_names
from ipsecfd.cli.live import SocketOption
from ipsecfd.cli.usage import UsageError
from ipsecfd.cli.values import choice, number
from ipsecfd.driver.driver import DIALUP_INTERFACES, Settings, is_dialup
from ipsecfd.driver.exemptions import PROFILES, Profile
from ipsecfd.driver.host import Host
from ipsecfd.driver.modes import BootExemption, Mode
from ipsecfd.driver.specific import ActivePolicies
from ipsecfd.errors import IpsecfdError
from ipsecfd.policy.model import IPAddress, Policy, ServerKind, Store

Interface: TypeAlias = ipaddress.IPv4Interface | ipaddress.IPv6Interface

_PROFILES: Final = tuple(PROFILES)
_MODES: Final = tuple(str(mode) for mode in Mode)
_WITH_BOOT_EXEMPTIONS: Final = (Mode.STARTUP_BLOCK, Mode.STARTUP_STATEFUL)


@dataclass(frozen=True, slots=True)
class Situation:
    """By what, and where, packets are judged offline."""

    settings: Settings
    policies: ActivePolicies
    interface: str | None
    """The interface that packets pass; None as in a capture, where nobody knows."""
    warnings: tuple[str, ...]
    forward: bool = True
    """Whether routed packets are judged at all."""

    @property
    def dialup(self) -> bool:
        """Whether the rules for dial-up interfaces apply (spec 1.4)."""
        return self.interface is not None and is_dialup(
            self.interface, self.settings.dialup_interfaces
        )


class Options(NamedTuple):
    """What the command line says of the situation, as it was typed."""

    policy: Annotated[
        list[Path],
        typer.Option(
            "--policy",
            metavar="FILE",
            help="A policy to judge by; may repeat. Default: what the daemon has in force, with its"
            " profile, exemptions and mode.",
        ),
    ] = []  # noqa: RUF012 - typer copies it
    address: Annotated[
        list[str],
        typer.Option(
            "--address",
            metavar="ADDRESS[/PREFIX]",
            help="An address of the host, its broadcast address follows from the prefix;"
            " may repeat. Default: this machine's own.",
        ),
    ] = []  # noqa: RUF012
    profile: Annotated[
        str | None,
        choice("--profile", "PROFILE", _PROFILES, "Default: linux."),
    ] = None
    exempt: Annotated[
        int | None,
        typer.Option(
            "--exempt",
            metavar="0-3",
            parser=number(0),
            help="Default exemptions. Default: the profile's own.",
        ),
    ] = None
    mode: Annotated[
        str | None,
        choice("--mode", "MODE", _MODES, "Default: secure."),
    ] = None
    interface: Annotated[
        str | None,
        typer.Option(
            "--interface",
            metavar="NAME",
            help="Where the packets pass: lo is loopback, ppp*, tun* and wg* are dial-up.",
        ),
    ] = None
    server: Annotated[
        list[str],
        typer.Option(
            "--server",
            metavar="KIND=ADDRESS",
            help="A dns, wins, dhcp or gateway server, such as dns=192.0.2.53; may repeat."
            " Default: none with --address, else this machine's.",
        ),
    ] = []  # noqa: RUF012
    boot_exemption: Annotated[
        list[str],
        typer.Option(
            "--boot-exemption",
            metavar="EXEMPTION",
            help="What passes in the modes startup-block and stateful, such as tcp:0:22:inbound;"
            " may repeat. Default: those of an untouched configuration.",
        ),
    ] = []  # noqa: RUF012

    socket: SocketOption = None

    def read(self) -> Situation:
        """The Situation that they describe; what they leave open where no policy is named, the
        daemon is asked for.

        Raises UsageError, and IpsecfdError with the mistakes of all policies that cannot be used.
        """
        alone = self.read_beside(UNASSIGNED)  # mistakes of the options come first
        if self.policy:
            return alone
        if self.mode not in (None, str(Mode.SECURE)):
            print("note: no --policy: judged by none, and by the defaults", file=sys.stderr)
            return alone
        known = ask_daemon(self.socket)
        situation = self.read_beside(known)
        mode = situation.settings.mode
        note = f"no --policy: judged by what the daemon has in force, in {mode} mode"
        print(f"note: {note}", file=sys.stderr)
        return situation

    def read_beside(self, known: Known) -> Situation:
        """The Situation that they describe where something is known already; raises as `read`."""
        profile = known.profile if self.profile is None else PROFILES[self.profile]
        default = known.exempt if self.profile is None else profile.default_exempt
        exempt = _exempt(self.exempt, profile, default)
        mode = Mode(self.mode or known.mode)
        boot_exemptions = _boot_exemptions(self.boot_exemption, mode, known)
        host = _host(self.address, self.server, profile)
        policies, warnings = read_policies(self.policy)
        active = [(Store.LOCAL, one) for one in policies] if self.policy else known.policies
        settings = make_settings(
            active,
            mode=mode,
            profile=profile,
            exempt=exempt,
            host=host,
            boot_exemptions=boot_exemptions,
            dialup_interfaces=known.dialup_interfaces,
        )
        return Situation(settings, active, self.interface, tuple(warnings), known.forward)


def with_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command each of the Options in the place of its parameter `options`."""
    return with_some(*Options._fields)(command)


def with_some(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """As `with_options`, with the options of these names only."""
    hints = get_type_hints(Options, include_extras=True)
    shared = [
        Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=hints[name])
        for name, default in Options._field_defaults.items()
        if name in names
    ]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        parameters = [
            one.replace(kind=Parameter.KEYWORD_ONLY)
            for own in signature(command, eval_str=True).parameters.values()
            for one in (shared if own.name == "options" else [own])
        ]

        def run(**given: Any) -> None:
            options = Options(**{one.name: given.pop(one.name) for one in shared})
            command(options=options, **given)

        run.__name__, run.__doc__ = command.__name__, command.__doc__
        run.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {one.name: one.annotation for one in parameters}
        return run

    return decorate


def make_settings(
    policies: ActivePolicies,
    *,
    mode: Mode,
    profile: Profile,
    exempt: int,
    host: Host,
    boot_exemptions: tuple[BootExemption, ...] = (),
    dialup_interfaces: tuple[str, ...] = DIALUP_INTERFACES,
) -> Settings:
    """The driver's Settings for some policies."""
    table, dialup_table = tables(policies, profile)
    return Settings(
        mode=mode,
        profile=profile,
        exempt=exempt,
        host=host,
        boot_exemptions=boot_exemptions,
        table=table,
        dialup_table=dialup_table,
        dialup_interfaces=dialup_interfaces,
    )


def print_warnings(warnings: Iterable[str]) -> None:
    """Say warnings on stderr, one line each."""
    for warning in warnings:
        print(f"ipsecfd: warning: {warning}", file=sys.stderr)


def _exempt(value: int | None, profile: Profile, default: int) -> int:
    if value is None:
        return default
    if value not in profile.allowed_exempt:
        allowed = ", ".join(map(str, sorted(profile.allowed_exempt)))
        raise UsageError(f"--exempt {value}: profile {profile.name} allows {allowed}")
    return value


def _boot_exemptions(texts: Sequence[str], mode: Mode, known: Known) -> tuple[BootExemption, ...]:
    if texts:
        return tuple(map(_boot_exemption, texts))
    return known.boot_exemptions if mode in _WITH_BOOT_EXEMPTIONS else ()


def _boot_exemption(text: str) -> BootExemption:
    try:
        return BootExemption.parse(text)
    except ValueError as error:
        raise UsageError(f"--boot-exemption {text}: {error}") from None


def _host(addresses: Sequence[str], servers: Sequence[str], profile: Profile) -> Host:
    """The host of `--address` and `--server`; without any address, this machine."""
    if addresses:
        host = Host.from_interfaces(_interface(text) for text in addresses)
    else:
        from ipsecfd.kernel.network.host import read_host

        host = read_host()
    if not profile.filters_ipv6:
        own = frozenset(address for address in host.addresses if address.version == 4)
        host = replace(host, addresses=own)
    if not servers:
        return host
    known: dict[ServerKind, frozenset[IPAddress]] = {}
    for text in servers:
        kind, address = _server(text)
        known[kind] = known.get(kind, frozenset()) | {address}
    return replace(host, servers={**host.servers, **known})


def _interface(text: str) -> Interface:
    try:
        return ipaddress.ip_interface(text)
    except ValueError:
        raise UsageError(
            f"--address {text}: expected an address, with or without its prefix length,"
            " such as 192.0.2.10/24 or 2001:db8::10/64"
        ) from None


def _server(text: str) -> tuple[ServerKind, IPAddress]:
    kind, _, address = text.partition("=")
    try:
        return ServerKind(kind.lower()), ipaddress.ip_address(address)
    except ValueError:
        kinds = ", ".join(one.value for one in ServerKind)
        raise UsageError(
            f"--server {text}: expected KIND=ADDRESS with KIND one of {kinds},"
            " such as dns=192.0.2.53"
        ) from None


def read_policies(paths: Sequence[Path]) -> tuple[list[Policy], list[str]]:
    """The policies of files, and what is odd about them.

    Raises IpsecfdError with the mistakes of all files at once.
    """
    if not paths:
        return [], []
    from ipsecfd.policy.files import load

    names = kept_names()
    policies: list[Policy] = []
    warnings: list[str] = []
    mistakes: list[str] = []
    for path in paths:
        try:
            loaded = load(path, names)
        except IpsecfdError as error:
            mistakes.append(str(error))
        else:
            policies.append(loaded.policy)
            warnings.extend(str(warning) for warning in loaded.warnings)
    if mistakes:
        raise IpsecfdError("\n".join(mistakes))
    return policies, warnings
