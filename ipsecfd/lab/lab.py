"""The lab: two or more hosts on a private wire, a daemon on one of them, probes between them."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

from ipsecfd.lab.daemon import Daemon
from ipsecfd.lab.hosts import Host, HostSpec, join
from ipsecfd.lab.namespaces import LabError, Namespace
from ipsecfd.lab.probes import Probe, Seen
from ipsecfd.lab.rounds import GRACE, PATIENCE, play_round

GUARD = HostSpec(
    "guard",
    ("192.0.2.10/24", "2001:db8::10/64"),
    gateways=("192.0.2.1", "2001:db8::1"),
)
"""The guarded host of the examples: the truth table's `me` and its network."""

PEER = HostSpec(
    "peer",
    (
        "192.0.2.1/24",
        "192.0.2.77/24",
        "203.0.113.66/32",
        "198.51.100.7/32",
        "198.51.100.8/32",
        "10.0.11.9/32",
        "10.0.12.9/32",
        "2001:db8::1/64",
        "2001:db8::77/64",
        "2001:db8:66::66/128",
    ),
)
"""Everybody else, on one host: the guard's router, its neighbour .77, strangers and partners."""


class Lab:
    """Hosts on one wire; made on entry, gone on exit, whatever happens in between.

    ```
    with Lab() as lab:
        lab["guard"].set_sysctl(...)
        daemon = lab.start_daemon(policy=TEXT, config={"exempt": 0})
        (seen,) = lab.probe(Probe.parse("tcp 203.0.113.66:1025 -> 192.0.2.10:80"))
        assert seen.passed
        daemon.cli("mode", "block")
    ```
    """

    def __init__(self, *specs: HostSpec) -> None:
        self.specs = specs or (GUARD, PEER)
        names = [spec.name for spec in self.specs]
        if len(set(names)) < len(names):
            raise LabError(f"two hosts of the lab share a name: {', '.join(names)}")
        self.hosts: dict[str, Host] = {}
        self.daemon: Daemon | None = None
        self._stack = ExitStack()

    def __enter__(self) -> Lab:
        with self._stack as stack:
            for index, spec in enumerate(self.specs, 1):
                self.hosts[spec.name] = stack.enter_context(Host(spec, index))
            hosts = list(self.hosts.values())
            switch = stack.enter_context(Namespace("switch")) if len(hosts) > 2 else None
            join(hosts, switch)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def __getitem__(self, name: str) -> Host:
        return self.hosts[name]

    def start_daemon(
        self,
        policy: str | bytes | None = None,
        config: Mapping[str, Any] | None = None,
        *,
        host: str = "guard",
        **options: Any,
    ) -> Daemon:
        """Start `ipsecfd run` on a host and wait until it is ready; see Daemon for `options`.

        `policy` is what a policy file holds; `config` goes over the lab's own configuration, its
        tables key by key. Probes look for their drops in this daemon's log.
        """
        self.daemon = Daemon(self[host], policy, config or {}, **options)
        self._stack.enter_context(self.daemon)
        return self.daemon

    def probe(self, *probes: Probe, patience: float = PATIENCE, grace: float = GRACE) -> list[Seen]:
        """Send probes at the same time and say what became of each, in their order.

        `patience`: seconds of silence after which a packet counts as dropped. `grace`: seconds for
        a packet to arrive although the log says it was dropped.
        """
        return play_round(self.hosts, probes, self.daemon, patience=patience, grace=grace)
