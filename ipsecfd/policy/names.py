"""DNS names of a policy, resolved once; the answers outlive the process (design, policy file).

So a boot without a network still has its policy, and a change in the DNS changes no filter until
`ipsecfd policy resolve` asks for it (spec 2.1).
"""

from __future__ import annotations

import ipaddress
import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from ipsecfd.errors import IpsecfdError
from ipsecfd.policy import durable
from ipsecfd.policy.grammar import GrammarError
from ipsecfd.policy.lookup import Resolver, look_up, look_up_all, system_resolver
from ipsecfd.policy.model import DnsName, IPAddress, Policy

FILE_NAME: Final = "names.json"
"""The name of the file under `state_dir`."""

PATIENCE: Final = 3.0
"""Seconds that reading a policy waits for the answers to all its new names together: a start, and
whoever asked for a reload, wait for it."""
RENEWAL_PATIENCE: Final = 20.0
"""Seconds that `policy resolve` waits, which asks for nothing else."""

_UNKNOWN_YET: Final = (ipaddress.IPv4Address(0),)
"""Stands for the addresses of a name that is asked for once the whole policy was read."""

_Read = TypeVar("_Read")


class NamesError(IpsecfdError):
    """The file of kept answers cannot be read or written; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Renewal:
    """What asking again for one name brought; without an answer the kept addresses stay."""

    name: str
    before: tuple[IPAddress, ...]
    after: tuple[IPAddress, ...]
    failure: str = ""


class Names:
    """The answers for DNS names: kept ones first, the resolver for names not seen before.

    `path` is the file they are kept in; without one, or with `keep` False, nothing is written.
    An offline command may pass a path that it cannot read or that is damaged: every name is then
    new to it.
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
        self._wanted: dict[str, None] | None = None
        """Names to ask for when everything was read; None outside of `reading`."""

    def reading(self, read: Callable[[], _Read]) -> _Read:
        """What `read` returns or raises, which resolves names while it reads a policy.

        New names are asked for all at once, for PATIENCE seconds; then it is called again, so it
        must change nothing that outlives it.
        """
        give_up = None
        while True:
            self._wanted = wanted = dict[str, None]()
            try:
                result = read()
            except IpsecfdError:
                if not wanted:
                    raise
            else:
                if not wanted:
                    return result
            finally:
                self._wanted = None
            give_up = give_up or time.monotonic() + PATIENCE
            answers = look_up_all(wanted, self._resolver, give_up - time.monotonic())
            for name in wanted:
                answer = answers.get(name) or OSError(f"no answer within {PATIENCE:g} s")
                if isinstance(answer, OSError):
                    self._refuse(name, answer)
                else:
                    self._learn(name, answer)

    def resolve(self, name: str) -> tuple[IPAddress, ...]:
        """The addresses of a name, sorted, IPv4 first, each once.

        Raises GrammarError for a name that was never resolved and cannot be now.
        """
        if name in self._refused:
            raise self._refused[name]
        try:
            self._read_kept()
        except NamesError as error:
            raise GrammarError(name, str(error)) from error
        if name not in self._answers:
            if self._wanted is not None:
                self._wanted[name] = None
                return _UNKNOWN_YET
            try:
                self._learn(name, look_up(name, self._resolver))
            except OSError as error:
                raise self._refuse(name, error) from error
        return self._answers[name]

    def renew(self, names: Iterable[str]) -> tuple[Renewal, ...]:
        """Ask anew for these names, keep what is answered, and say what changed.

        Raises NamesError when the answers cannot be kept.
        """
        self._read_kept()
        renewals = []
        wanted = tuple(dict.fromkeys(names))
        answers = look_up_all(wanted, self._resolver, RENEWAL_PATIENCE)
        for name in wanted:
            before = self._answers.get(name, ())
            answer = answers.get(name) or OSError(f"no answer within {RENEWAL_PATIENCE:g} s")
            if isinstance(answer, OSError):
                renewals.append(Renewal(name, before, before, _why(answer)))
                continue
            renewals.append(Renewal(name, before, answer))
            if answer != before:
                self._learn(name, answer)
        self.save()
        return tuple(renewals)

    def save(self) -> None:
        """Write new answers to the file, whole or not at all. Raises NamesError."""
        if self._path is None or not self._keep or not self._unsaved:
            return
        kept = {name: [str(one) for one in self._answers[name]] for name in sorted(self._answers)}
        try:
            durable.keep(self._path, (json.dumps(kept, indent=1) + "\n").encode())
        except OSError as error:
            raise NamesError(
                f"{self._path}: cannot be written: {error.strerror}; a start without a network"
                " would refuse the policy"
            ) from error
        self._unsaved = False

    def _learn(self, name: str, addresses: tuple[IPAddress, ...]) -> None:
        self._answers[name] = addresses
        self._unsaved = True

    def _refuse(self, name: str, error: OSError) -> GrammarError:
        """Remember that there is no answer, so that a name is asked for once."""
        why = f"expected a DNS name that resolves: {_why(error)}"
        self._refused[name] = GrammarError(name, why)
        return self._refused[name]

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
            if self._keep:
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


def _why(error: OSError) -> str:
    return error.strerror or str(error)
