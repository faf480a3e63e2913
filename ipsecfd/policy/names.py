"""DNS names of a policy, resolved once; the answers outlive the process (design, policy file).

So a boot without a network still has its policy, and a change in the DNS changes no filter until
`ipsecfd policy resolve` asks for it (spec 2.1).
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from ipsecfd.errors import IpsecfdError
from ipsecfd.policy.grammar import GrammarError
from ipsecfd.policy.model import DnsName, IPAddress, Policy

FILE_NAME: Final = "names.json"
"""The name of the file under `state_dir`."""

Resolver: TypeAlias = Callable[[str], Iterable[IPAddress]]
"""Asks for the addresses of a name now; OSError when there is no answer."""


class NamesError(IpsecfdError):
    """The file of kept answers cannot be read or written; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Renewal:
    """What asking again for one name brought; without an answer the kept addresses stay."""

    name: str
    before: tuple[IPAddress, ...]
    after: tuple[IPAddress, ...]
    failure: str = ""


def system_resolver(name: str) -> list[IPAddress]:
    """The addresses the system's resolver has for a name, of both families."""
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except UnicodeError as error:
        raise OSError("it is not a DNS name") from error
    return [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]


class Names:
    """The answers for DNS names: kept ones first, the resolver for names not seen before.

    `path` is the file they are kept in; without one, or with `keep` False, nothing is written.
    An offline command may pass a path it cannot read: every name is then new to it.
    """

    def __init__(
        self,
        path: Path | None = None,
        *,
        keep: bool = True,
        resolver: Resolver = system_resolver,
    ) -> None:
        self._path = path
        self._keep = keep
        self._resolver = resolver
        self._answers: dict[str, tuple[IPAddress, ...]] = {}
        self._read = False
        self._unsaved = False
        self._refused: dict[str, GrammarError] = {}

    def resolve(self, name: str) -> tuple[IPAddress, ...]:
        """The addresses of a name, sorted, IPv4 first, each once.

        Raises GrammarError for a name that was never resolved and cannot be now.
        """
        if name in self._refused:
            raise self._refused[name]
        try:
            self._read_kept()
            if name not in self._answers:
                self._answers[name] = self._ask(name)
                self._unsaved = True
        except OSError as error:
            why = f"expected a DNS name that resolves: {error.strerror or error}"
            self._refused[name] = GrammarError(name, why)
            raise self._refused[name] from error
        except NamesError as error:
            raise GrammarError(name, str(error)) from error
        return self._answers[name]

    def renew(self, names: Iterable[str]) -> tuple[Renewal, ...]:
        """Ask anew for these names, keep what is answered, and say what changed.

        Raises NamesError when the answers cannot be kept.
        """
        self._read_kept()
        renewals = []
        for name in dict.fromkeys(names):
            before = self._answers.get(name, ())
            try:
                after = self._ask(name)
            except OSError as error:
                renewals.append(Renewal(name, before, before, error.strerror or str(error)))
                continue
            renewals.append(Renewal(name, before, after))
            if after != before:
                self._answers[name] = after
                self._unsaved = True
        self.save()
        return tuple(renewals)

    def save(self) -> None:
        """Write new answers to the file, whole or not at all. Raises NamesError."""
        if self._path is None or not self._keep or not self._unsaved:
            return
        kept = {name: [str(one) for one in self._answers[name]] for name in sorted(self._answers)}
        try:
            _write(self._path, json.dumps(kept, indent=1) + "\n")
        except OSError as error:
            raise NamesError(
                f"{self._path}: cannot be written: {error.strerror}; a start without a network"
                " would refuse the policy"
            ) from error
        self._unsaved = False

    def _ask(self, name: str) -> tuple[IPAddress, ...]:
        found = set(self._resolver(name))
        if not found:
            raise OSError("it has no address")
        return tuple(sorted(found, key=lambda one: (one.version, int(one))))

    def _read_kept(self) -> None:
        """Read the file when the first name needs it; a file that never existed is no answers."""
        if self._read or self._path is None:
            return
        try:
            self._answers = _read(self._path)
        except FileNotFoundError:
            pass
        except OSError as error:
            if self._keep:
                raise NamesError(f"{self._path}: cannot be read: {error.strerror}") from error
        except (ValueError, RecursionError) as error:
            raise NamesError(
                f"{self._path}: damaged; remove it to have every name resolved anew"
            ) from error
        self._read = True


def names_of(policy: Policy) -> tuple[str, ...]:
    """The DNS names that a policy's filters use, each once: what `policy resolve` renews."""
    found = {
        address.name
        for rule in policy.rules
        for one in rule.filter_list.filters
        for address in (one.source, one.destination)
        if isinstance(address, DnsName)
    }
    return tuple(sorted(found))


def _read(path: Path) -> dict[str, tuple[IPAddress, ...]]:
    found = json.loads(path.read_bytes())
    if not isinstance(found, dict):
        raise ValueError("not an object")
    answers = {}
    for name, addresses in found.items():
        if not isinstance(addresses, list) or not addresses:
            raise ValueError(f"{name}: not a list of addresses")
        answers[name] = tuple(ipaddress.ip_address(str(one)) for one in addresses)
    return answers


def _write(path: Path, text: str) -> None:
    new = path.with_name(f"{path.name}.new")
    path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    with new.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    with contextlib.suppress(OSError):  # some file systems cannot sync a directory
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
