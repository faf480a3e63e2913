"""The configuration, `ipsecfd.toml`: every key has a default, every mistake is told at once."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    StrictBool,
    StrictInt,
    StrictStr,
    ValidationError,
    field_validator,
    model_validator,
)

from ipsecfd.agent.boot_keys import misread
from ipsecfd.agent.config_words import flat, mistakes, toml_text
from ipsecfd.driver.driver import DIALUP_INTERFACES
from ipsecfd.driver.exemptions import PROFILES, Profile
from ipsecfd.driver.modes import (
    DEFAULT_BOOT_EXEMPTIONS,
    MAX_BOOT_EXEMPTIONS,
    BootExemption,
    Mode,
)
from ipsecfd.kernel.marks import DEFAULT_MASK, LEAST_BITS, Marks
from ipsecfd.policy.mistakes import PolicyError
from ipsecfd.policy.stores.properties import Properties
from ipsecfd.policy.text import parse_toml, read_plain_text

DEFAULT_PATH: Final = Path("/etc/ipsecfd/ipsecfd.toml")
DEFAULT_SOCKET: Final = Path("/run/ipsecfd/control.sock")
MAX_PROCESSES: Final = 16

_WEB: Final = ("http", "https")
_STARTUP_MODES: Final = {
    "permit": Mode.STARTUP_PERMIT,
    "block": Mode.STARTUP_BLOCK,
    "stateful": Mode.STARTUP_STATEFUL,
}


def _absolute_path(value: object) -> Path:
    if isinstance(value, Path) or (isinstance(value, str) and value.startswith("/")):
        return Path(value)
    raise ValueError("expected an absolute path in quotes, one that begins with /")


def _domain_source(value: str) -> str:
    parts = urlsplit(value)
    if value and not value.startswith("/") and not (parts.scheme in _WEB and parts.netloc):
        raise ValueError("expected a path that begins with /, or a URL as https://HOST/PATH")
    return value


def _mask(mark: int) -> int:
    return Marks(mark).mask


def _processes(value: object) -> int:
    if value == "auto":
        return max(1, min(4, (os.cpu_count() or 1) // 2))
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MAX_PROCESSES:
        return value
    raise ValueError(f'expected "auto" or a number from 1 to {MAX_PROCESSES}')


def _boot_exemption(value: object) -> BootExemption:
    if isinstance(value, BootExemption):
        return value
    if not isinstance(value, str):
        raise ValueError('expected text such as "tcp:0:22:inbound"')
    return BootExemption.parse(value)


_AbsolutePath = Annotated[Path, PlainValidator(_absolute_path)]
_BootExemption = Annotated[BootExemption, PlainValidator(_boot_exemption)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class Domain(_Section):
    """`[domain]`: a policy for many hosts, which replaces the local one (spec 1.5, 1.6)."""

    source: Annotated[StrictStr, AfterValidator(_domain_source)] = Field(
        default="", description='a path or an http or https URL in quotes, or "" for none'
    )
    fallback: Literal["none", "local"] = Field(default="none", description='"none" or "local"')
    """Whether the local policy counts while nothing is known of the domain's."""


class Startup(_Section):
    """`[startup]`: until the policies are in force (spec 6.1 to 6.3)."""

    mode: Literal["permit", "block", "stateful"] | None = Field(
        default=None, description='"permit", "block" or "stateful"'
    )
    """None: stateful once a policy was ever assigned, else permit (spec 6.1)."""
    exemptions: tuple[_BootExemption, ...] = Field(
        default=DEFAULT_BOOT_EXEMPTIONS,
        max_length=MAX_BOOT_EXEMPTIONS,
        description=f'a list of up to {MAX_BOOT_EXEMPTIONS}, such as ["tcp:0:22:inbound"]',
    )

    def driver_mode(self, *, ever_assigned: bool) -> Mode:
        """The mode between the start and the policies (spec 6.1)."""
        default = "stateful" if ever_assigned else "permit"
        return _STARTUP_MODES[self.mode or default]


class Queue(_Section):
    """`[queue]`: between the kernel and the packet processes."""

    number: StrictInt = Field(default=88, ge=0, le=65535, description="a number from 0 to 65535")
    """The first queue; each process has one of its own."""
    processes: Annotated[int, PlainValidator(_processes)] = _processes("auto")
    """How many packet processes; "auto" is half the processors, at least one, at most four."""
    length: StrictInt = Field(
        default=16_384, ge=32, le=1_000_000, description="a number of packets from 32 to 1000000"
    )
    """Packets of a burst that may wait in a queue; the kernel drops what comes on top."""
    mark: Annotated[StrictInt, AfterValidator(_mask)] = Field(
        default=DEFAULT_MASK,
        description=f"a number with {LEAST_BITS} or more bits in a row, such as {DEFAULT_MASK:#x}",
    )
    """The bits of the packet mark that are ours; nobody else's rules should use them."""

    @property
    def numbers(self) -> range:
        """The queues' numbers, one for each packet process."""
        return range(self.number, self.number + self.processes)

    @model_validator(mode="after")
    def _last_queue_exists(self) -> Queue:
        if self.number + self.processes > 65536:
            raise ValueError(
                f"expected number + processes up to 65536, got {self.number} + {self.processes}"
            )
        return self


class Diagnostics(_Section):
    """`[diagnostics]`: the log of dropped packets (spec 7)."""

    level: StrictInt = Field(default=7, ge=0, le=7, description="a number from 0 to 7")
    interval: StrictInt = Field(
        default=0, ge=0, le=86_400, description="a number of seconds from 0 to 86400"
    )
    """Seconds of aggregation; 0 writes every record at once."""
    log: _AbsolutePath = Path("/var/log/ipsecfd/diagnostic.jsonl")


class Control(_Section):
    """`[control]`: the socket that commands talk to."""

    socket: _AbsolutePath = DEFAULT_SOCKET
    group: StrictStr = Field(
        default="ipsecfd", min_length=1, description="the name of a group, as text in quotes"
    )
    """Members may look; only root may change anything."""


class Config(_Section):
    """The whole file; what it says is what the agent does from one start to the next."""

    profile: str = "linux"
    exempt: StrictInt | None = Field(default=None, description="a number from 0 to 3")
    """NoDefaultExempt (spec 4.1); None is the profile's own default, 3 for `linux`."""
    natt_exempt: StrictBool | None = Field(default=None, description="true or false")
    """Whether IPsec through NAT always passes (spec 4.2); None is as the profile has it."""
    inbound_mcast_exempt: StrictBool | None = Field(default=None, description="true or false")
    """Whether inbound multicast and broadcast pass with values 2 and 3 (X3); None as above."""
    on_failure: Literal["block", "permit"] = Field(
        default="block", description='"block" or "permit"'
    )
    """What the host is while nobody judges."""
    state_dir: _AbsolutePath = Path("/var/lib/ipsecfd")
    forward: StrictBool = Field(default=False, description="true or false")
    """Also judge routed packets, by their literal addresses."""
    cache: Literal["on", "off"] = Field(default="on", description='"on" or "off"')
    """Whether the kernel learns verdicts on flows; "off" queues every packet."""
    dialup_interfaces: tuple[StrictStr, ...] = Field(
        default=DIALUP_INTERFACES, description='a list of patterns, such as ["ppp*", "wg0"]'
    )
    """Shell patterns of the interfaces that count as dial-up (spec 1.4)."""
    dynamic_persist: StrictBool = Field(default=False, description="true or false")
    """Whether dynamic rules outlive the service, as one source on ipseccmd has it (spec 0, X6)."""
    domain: Domain = Field(default=Domain(), description="[domain], a table")
    startup: Startup = Field(default=Startup(), description="[startup], a table")
    queue: Queue = Field(default=Queue(), description="[queue], a table")
    diagnostics: Diagnostics = Field(default=Diagnostics(), description="[diagnostics], a table")
    control: Control = Field(default=Control(), description="[control], a table")

    @field_validator("profile", mode="before")
    @classmethod
    def _known_profile(cls, value: object) -> object:
        if not isinstance(value, str) or value not in PROFILES:
            raise ValueError(f"expected one of {', '.join(PROFILES)}")
        return value

    @field_validator("exempt")
    @classmethod
    def _fits_profile(cls, value: int | None, info: Any) -> int | None:
        profile = PROFILES.get(info.data.get("profile"))
        if profile is None:  # which is a mistake of its own
            if value is not None and not 0 <= value <= 3:
                raise ValueError("expected a number from 0 to 3")
        elif value is not None and value not in profile.allowed_exempt:
            allowed = ", ".join(str(one) for one in sorted(profile.allowed_exempt))
            raise ValueError(f"expected one of {allowed} in profile {profile.name}")
        return value

    @property
    def driver_profile(self) -> Profile:
        """The profile that `profile` names, with the exemptions that are set over its own."""
        own = PROFILES[self.profile]
        natt, groups = self.natt_exempt, self.inbound_mcast_exempt
        return replace(
            own,
            natt_exempt=own.natt_exempt if natt is None else natt,
            inbound_group_exempt=own.inbound_group_exempt if groups is None else groups,
        )

    @property
    def exempt_value(self) -> int:
        """NoDefaultExempt in force, 0 to 3."""
        return self.driver_profile.default_exempt if self.exempt is None else self.exempt

    def with_properties(self, properties: Properties, file: str) -> Config:
        """The configuration with what `set config` set over it (spec 7.1).

        Raises PolicyError for what does not fit, an exemption value of another profile.
        """
        startup = {"mode": properties.bootmode, "exemptions": properties.bootexemptions}
        diagnostics = {
            "level": properties.ipsecdiagnostics,
            "interval": properties.ipsecloginterval,
        }
        data = {
            **_over(self, {"exempt": properties.ipsecexempt}),
            "startup": _over(self.startup, startup),
            "diagnostics": _over(self.diagnostics, diagnostics),
        }
        try:
            return Config.model_validate(data)
        except ValidationError as error:
            raise PolicyError(mistakes(Config, error, file)) from error

    def changes(self, other: Config) -> list[str]:
        """Each key that `other` has otherwise, with both values, in words."""
        before, after = dict(flat(self)), dict(flat(other))
        return [
            f"{key} changed from {toml_text(before[key])} to {toml_text(after[key])}"
            for key in before
            if before[key] != after[key]
        ]


def load(path: Path | None) -> Config:
    """The configuration in a file; None is the default place, where it may be missing.

    Raises PolicyError with every mistake of the file.
    """
    if path is None and not DEFAULT_PATH.exists():
        return Config()
    return parse(read_plain_text(path or DEFAULT_PATH), str(path or DEFAULT_PATH))


def parse(text: str, file: str) -> Config:
    """The configuration that a text means; raises PolicyError with every mistake in it."""
    values = parse_toml(text, file)
    unclear = list(misread(text, values, file))
    try:
        config = Config.model_validate(values)
    except ValidationError as error:
        found = list(mistakes(Config, error, file))
        places = {one.place for one in found}
        raise PolicyError([*(one for one in unclear if one.place not in places), *found]) from error
    if unclear:
        raise PolicyError(unclear)
    return config


def _over(section: BaseModel, values: dict[str, Any]) -> dict[str, Any]:
    """The keys of a section, with the values that are set over them."""
    return dict(section) | {key: value for key, value in values.items() if value is not None}
