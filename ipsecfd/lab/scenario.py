"""Scenario files: hosts, a policy, and what is tried with the verdict that is expected.

```toml
name = "Web server"
policy = \"\"\" a policy file's text \"\"\"     # or policy_file = "web.toml", beside this file;
                                         # also a script of Windows' tools, "web.bat"
[config]                                 # over the lab's ipsecfd.toml
exempt = 3
[[host]]                                 # default: guard and peer, as the lab has them
name = "guard"                           # the host of this name runs the daemon
addresses = ["192.0.2.10/24"]
[[step]]
what = "a stranger opens the web site"
send = "tcp 203.0.113.66 -> 192.0.2.10:80"
expect = "pass"
by = "Permitted traffic"                 # the rule, exemption or reason that has to decide
[[step]]
do = "mode block"
```
"""

from __future__ import annotations

import ipaddress
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import Field

from ipsecfd.lab.hosts import HostSpec
from ipsecfd.lab.lab import GUARD, PEER
from ipsecfd.lab.namespaces import LabError
from ipsecfd.lab.probes import FORM, Outcome, Probe
from ipsecfd.policy.mistakes import Mistake, known_names
from ipsecfd.policy.tables import Table, read_table

GUARDED: Final = "guard"
"""The name of the host that runs the daemon."""

ACTIONS: Final = {
    "mode": "permit, block, stateful or secure",
    "reload": "nothing more; the new policy stands in `policy` or `policy_file`",
    "restart": "nothing more",
    "wait": "seconds",
    "address": "add or remove, and an address with its prefix length",
}
"""What a step can do, and what follows the word."""

_TEXT: Final = "text in quotes"
_BUILTIN: Final = resources.files("ipsecfd.lab") / "scenarios"


class ScenarioError(LabError):
    """A scenario that is refused as a whole, a line for each of its mistakes."""


@dataclass(frozen=True, slots=True)
class Try:
    """A step that sends a probe."""

    words: str
    probe: Probe
    expect: Outcome
    by: str = ""
    """The rule, exemption or reason that has to decide; empty: not checked."""


@dataclass(frozen=True, slots=True)
class Do:
    """A step that changes something: a word of ACTIONS and what follows it."""

    verb: str
    words: tuple[str, ...] = ()
    policy: bytes = b""
    """The new policy of a reload, the bytes of its file."""

    def __str__(self) -> str:
        return " ".join((self.verb, *self.words))


@dataclass(frozen=True, slots=True)
class Scenario:
    """A whole file."""

    name: str
    steps: tuple[Try | Do, ...]
    hosts: tuple[HostSpec, ...] = (GUARD, PEER)
    policy: bytes | None = None
    """The bytes of the policy's file; None starts the daemon without one."""
    config: dict[str, Any] | None = None
    description: str = ""
    in_order: bool = False
    """One probe after the other; otherwise those between two changes go at the same time."""


class _File(Table):
    name: str = Field(description=_TEXT)
    description: str = Field("", description=_TEXT)
    policy: str = Field("", description="the text of a policy file")
    policy_file: str = Field("", description="the path of a policy file, from this file's folder")
    config: dict[str, Any] = Field({}, description="[config], with keys of ipsecfd.toml")
    in_order: bool = Field(False, description="true or false")
    host: list[Any] = Field([], description="[[host]] in double brackets, once for each host")
    step: list[Any] = Field(description="[[step]] in double brackets, once for each step")


class _Host(Table):
    name: str = Field(description="the host's name in quotes", pattern=r"^[a-z][a-z0-9-]{0,31}$")
    addresses: list[str] = Field(description='a list such as ["192.0.2.10/24"]')
    gateways: list[str] = Field([], description='a list such as ["192.0.2.1"]')
    nameservers: list[str] = Field([], description='a list such as ["192.0.2.53"]')


class _Step(Table):
    do: str = Field("", description=f"one of {', '.join(ACTIONS)}")
    policy: str = Field("", description="the text of a policy file")
    policy_file: str = Field("", description="the path of a policy file, from this file's folder")
    what: str = Field("", description="what is tried, in words")
    send: str = Field("", description=FORM)
    expect: Literal["", "pass", "drop"] = Field("", description='"pass" or "drop"')
    by: str = Field("", description="the name of a rule or exemption, or a reason")
    sender: str = Field("", description="the name of a host")
    receiver: str = Field("", description="the name of a host")
    flags: str = Field("", description='TCP flags such as "S"')
    icmp_type: int | None = Field(None, ge=0, le=255, description="0 to 255")
    size: int = Field(0, ge=0, le=60_000, description="bytes of payload, 0 to 60000")
    mark: int = Field(0, ge=0, lt=1 << 32, description="a packet mark, 0 to 0xffffffff")
    hop_limit: int | None = Field(None, ge=1, le=255, description="1 to 255")
    raw: list[str] = Field([], description="a list of whole packets, each in hexadecimal digits")


def builtin_scenarios() -> dict[str, str]:
    """The scenarios that come with ipsecfd: name of the file without `.toml`, to its text."""
    found = {
        one.name.removesuffix(".toml"): one.read_text("utf-8")
        for one in _BUILTIN.iterdir()
        if one.name.endswith(".toml")
    }
    return dict(sorted(found.items()))


def load_scenario(name: str) -> Scenario:
    """A scenario by the name of a built-in one, or by the path of a file.

    Raises ScenarioError with every mistake in it.
    """
    builtin = builtin_scenarios()
    if name in builtin:
        return parse_scenario(builtin[name], name)
    path = Path(name)
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ScenarioError(
            f"scenario {name}: neither a file that can be read ({why}) nor a built-in one;"
            f" {known_names(name, builtin)}"
        ) from None
    return parse_scenario(text, name, path.parent)


def parse_scenario(text: str, file: str, folder: Traversable = _BUILTIN) -> Scenario:
    """The scenario that a text describes; `folder` is where its policy files are.

    Raises ScenarioError with every mistake in it.
    """
    try:
        value = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ScenarioError(f"{file}: expected TOML: {error}") from None
    reader = _Reader(file, folder)
    scenario = reader.scenario(value)
    if scenario is None or reader.mistakes:
        raise ScenarioError("\n".join(map(str, reader.mistakes)))
    return scenario


class _Reader:
    """Reads one file and collects what is wrong with it."""

    def __init__(self, file: str, folder: Traversable) -> None:
        self._file = file
        self._folder = folder
        self.mistakes: list[Mistake] = []

    def scenario(self, value: object) -> Scenario | None:
        table, mistakes = read_table(_File, value, self._file, "")
        self.mistakes += mistakes
        if table is None:
            return None
        hosts = tuple(self._hosts(table.host)) if table.host else (GUARD, PEER)
        if GUARDED not in {host.name for host in hosts} and not self.mistakes:
            self._wrong("host", "", f'expected one of the name "{GUARDED}", to run the daemon')
        return Scenario(
            table.name,
            tuple(self._steps(table.step)),
            hosts,
            self._policy("", table.policy, table.policy_file),
            table.config,
            table.description.strip(),
            table.in_order,
        )

    def _wrong(self, place: str, text: str, expected: str) -> None:
        self.mistakes.append(Mistake(self._file, place, text, expected))

    def _policy(self, place: str, text: str, file: str) -> bytes | None:
        """A policy file's bytes, from the scenario itself or from beside it."""
        where = f"{place}.policy_file" if place else "policy_file"
        if text and file:
            self._wrong(where, file, "expected either policy or policy_file")
        if not file:
            return text.encode() or None
        try:
            return self._folder.joinpath(file).read_bytes()
        except OSError as error:
            self._wrong(where, file, f"cannot be read: {error}")
            return None

    def _hosts(self, values: list[Any]) -> Iterator[HostSpec]:
        names = set()
        for number, value in enumerate(values, 1):
            place = f"host[{number}]"
            table, mistakes = read_table(_Host, value, self._file, place)
            self.mistakes += mistakes
            if table is None:
                continue
            if table.name in names:
                self._wrong(f"{place}.name", table.name, "another host has this name")
            names.add(table.name)
            for text in table.addresses:
                self._address(f"{place}.addresses", text)
            for key, texts in (("gateways", table.gateways), ("nameservers", table.nameservers)):
                for text in texts:
                    self._plain_address(f"{place}.{key}", text)
            yield HostSpec(
                table.name,
                tuple(table.addresses),
                tuple(table.gateways),
                tuple(table.nameservers),
            )

    def _address(self, place: str, text: str) -> None:
        try:
            ipaddress.ip_interface(text)
        except ValueError:
            self._wrong(place, text, "expected an address with its prefix length: 192.0.2.10/24")

    def _plain_address(self, place: str, text: str) -> None:
        try:
            ipaddress.ip_address(text)
        except ValueError:
            self._wrong(place, text, "expected an address such as 192.0.2.1")

    def _steps(self, values: list[Any]) -> Iterator[Try | Do]:
        for number, value in enumerate(values, 1):
            place = f"step[{number}]"
            table, mistakes = read_table(_Step, value, self._file, place)
            self.mistakes += mistakes
            if table is None:
                continue
            if bool(table.do) == bool(table.send):
                self._wrong(place, "", "expected either `send` with a probe, or `do`")
            elif table.do:
                yield from self._do(place, table)
            else:
                yield from self._try(place, table)

    def _do(self, place: str, table: _Step) -> Iterator[Do]:
        given = table.model_fields_set - {"do", "policy", "policy_file"}
        for key in sorted(given):
            self._wrong(place, key, "a step that does something sends nothing")
        verb, *words = table.do.split()
        policy = self._policy(place, table.policy, table.policy_file) or b""
        fitting = {
            "mode": len(words) == 1 and words[0] in ("permit", "block", "stateful", "secure"),
            "reload": not words and bool(policy),
            "restart": not words,
            "wait": len(words) == 1 and words[0].replace(".", "", 1).isdigit(),
            "address": len(words) == 2 and words[0] in ("add", "remove"),
        }
        if verb not in fitting:
            self._wrong(f"{place}.do", verb, f"unknown; {known_names(verb, ACTIONS)}")
        elif not fitting[verb]:
            self._wrong(f"{place}.do", table.do, f"expected {verb} and then {ACTIONS[verb]}")
        elif policy and verb != "reload":
            self._wrong(f"{place}.policy", "", "only a reload has one")
        else:
            if verb == "address":
                self._address(f"{place}.do", words[1])
            yield Do(verb, tuple(words), policy)

    def _try(self, place: str, table: _Step) -> Iterator[Try]:
        if not table.expect:
            self._wrong(f"{place}.expect", "", 'missing; expected "pass" or "drop"')
            return
        if table.policy or table.policy_file:
            self._wrong(place, "", 'a policy belongs to a step with do = "reload"')
        try:
            raw = tuple(bytes.fromhex(packet) for packet in table.raw)
        except ValueError:
            self._wrong(f"{place}.raw", "", "expected hexadecimal digits")
            return
        try:
            probe = Probe.parse(
                table.send,
                sender=table.sender,
                receiver=table.receiver,
                flags=table.flags,
                icmp_type=table.icmp_type,
                size=table.size,
                mark=table.mark,
                hop_limit=table.hop_limit,
                raw=raw,
            )
        except LabError as error:
            self._wrong(f"{place}.send", "", str(error))
            return
        yield Try(table.what or str(probe), probe, Outcome(table.expect), table.by)
