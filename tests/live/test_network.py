"""The watcher against a real kernel: what changes there reaches `on_change`, and soon."""

from __future__ import annotations

import asyncio
import ctypes
import ipaddress
import os
import subprocess
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from ipsecfd.driver.host import Host
from ipsecfd.kernel.network.host import Stamp, read_host, stamp
from ipsecfd.kernel.network.watcher import NetworkWatcher
from ipsecfd.policy.model import IPAddress, ServerKind

pytestmark = [pytest.mark.live, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

CLONE_NEWNET = 0x40000000
SOON = 0.5
"""Seconds; loose, since test machines are busy."""


def in_namespace(body: Callable[[], Awaitable[None]]) -> None:
    """Run a coroutine in a thread with a network namespace of its own, which ends with it."""

    def run() -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "unshare")
        asyncio.run(asyncio.wait_for(_main(body), 20))

    with ThreadPoolExecutor(1) as pool:
        pool.submit(run).result()


async def _main(body: Callable[[], Awaitable[None]]) -> None:
    batch(
        "link add eth0 type veth peer name eth1\nlink set lo up\nlink set eth1 up\nlink set eth0 up"
    )
    await body()


def batch(commands: str) -> None:
    """Run lines of `ip` in this thread's namespace."""
    subprocess.run(["ip", "-batch", "-"], input=commands, text=True, check=True, timeout=10)


def ip(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    return ipaddress.ip_address(text)


class Changes:
    """Collects what `on_change` is told, and waits for what is expected."""

    def __init__(self) -> None:
        self.hosts: list[Host] = []

    async def until(self, holds: Callable[[Host], bool]) -> float:
        """Seconds until a Host came for which this holds; fails after SOON."""
        started = time.monotonic()
        while not (self.hosts and holds(self.hosts[-1])):
            assert time.monotonic() - started < SOON, self.hosts[-1:]
            await asyncio.sleep(0.002)
        return time.monotonic() - started


async def quiet(watcher: NetworkWatcher, changes: Changes) -> None:
    """Wait until the links have settled: IPv6 addresses come late."""
    await asyncio.sleep(0.1)
    seen = None
    while seen != watcher.host:
        seen = watcher.host
        await asyncio.sleep(0.2)
    changes.hosts.clear()


def has(address: IPAddress, host: Host) -> bool:
    return address in host.addresses


def lacks(address: IPAddress, host: Host) -> bool:
    return address not in host.addresses


def gateways(host: Host) -> frozenset[object]:
    return frozenset(host.servers[ServerKind.GATEWAY])


def test_addresses_come_and_go(tmp_path: Path) -> None:
    """An address added to or removed from any interface, lo too, changes the Host at once."""

    async def body() -> None:
        changes = Changes()
        async with NetworkWatcher(changes.hosts.append, tmp_path) as watcher:
            await quiet(watcher, changes)
            for text in (
                "192.0.2.10/24 dev eth0",
                "198.51.100.1/32 dev lo",
                "2001:db8::1/64 dev eth0",
            ):
                address = ip(text.partition("/")[0])
                batch(f"address add {text}")
                await changes.until(partial(has, address))
                assert watcher.host.delivered
                batch(f"address del {text}")
                await changes.until(partial(lacks, address))

    in_namespace(body)


def test_broadcasts_follow_the_addresses(tmp_path: Path) -> None:
    """Both an explicit broadcast address and the subnet's last address are known; a point-to-point
    link has the host's own end, never the peer's."""

    async def body() -> None:
        batch(
            "address add 192.0.2.10/24 broadcast 192.0.2.127 dev eth0\n"
            "address add 10.0.0.1 peer 10.0.0.2/32 dev eth0\n"
            "address add 10.9.0.1/8 dev lo"
        )
        host = read_host(tmp_path)
        own = {ip("192.0.2.10"), ip("10.0.0.1"), ip("10.9.0.1")}
        assert own == {one for one in host.addresses if one.version == 4}
        assert host.broadcasts == {ip("192.0.2.127"), ip("192.0.2.255"), ip("255.255.255.255")}

    in_namespace(body)


def test_default_routes_of_every_table(tmp_path: Path) -> None:
    """Gateways are the next hops of all default routes: both families, multipath, other tables,
    IPv4 by way of IPv6; they go when the routes go, also by the link going down."""

    async def body() -> None:
        changes = Changes()
        batch("address add 192.0.2.10/24 dev eth0\naddress add 2001:db8::10/64 dev eth0 nodad")
        async with NetworkWatcher(changes.hosts.append, tmp_path) as watcher:
            await quiet(watcher, changes)
            batch("route add default via 192.0.2.1\n")
            await changes.until(lambda host: gateways(host) == {ip("192.0.2.1")})
            batch(
                "route add default table 1234 nexthop via 192.0.2.2 nexthop via 192.0.2.3\n"
                "route add default via 2001:db8::1\n"
                "route add default via inet6 fe80::7 dev eth0 metric 50\n"
                "route add unreachable default metric 900\n"
                "route add 10.0.0.0/8 via 192.0.2.99\n"
            )
            hops = {ip(f"192.0.2.{one}") for one in (1, 2, 3)} | {ip("2001:db8::1"), ip("fe80::7")}
            await changes.until(lambda host: gateways(host) == hops)
            batch("route flush table 1234\nroute del default via 2001:db8::1\n")
            await changes.until(lambda host: gateways(host) == {ip("192.0.2.1"), ip("fe80::7")})
            batch("link set eth0 down")
            await changes.until(lambda host: not gateways(host))

    in_namespace(body)


def test_route_storm(tmp_path: Path) -> None:
    """Thousands of route changes cost next to nothing, are no change, and hide no later one."""

    async def body() -> None:
        changes = Changes()
        batch("address add 192.0.2.10/24 dev eth0")
        async with NetworkWatcher(changes.hosts.append, tmp_path) as watcher:
            await quiet(watcher, changes)
            routes = [f"10.{n >> 8}.{n & 255}.0/24 via 192.0.2.9" for n in range(5000)]
            storm = "\n".join(f"route add {one}" for one in routes)
            before = time.process_time()
            await asyncio.get_running_loop().run_in_executor(None, batch, storm)
            assert time.process_time() - before < 0.5
            assert changes.hosts == []
            batch("route add default via 192.0.2.1")
            await changes.until(lambda host: gateways(host) == {ip("192.0.2.1")})

    in_namespace(body)


def test_address_storm(tmp_path: Path) -> None:
    """More events than the socket holds: some are lost, the last state is still known."""

    async def body() -> None:
        changes = Changes()
        async with NetworkWatcher(changes.hosts.append, tmp_path) as watcher:
            await quiet(watcher, changes)
            added = [f"10.0.{n >> 8}.{n & 255}/32 dev eth0" for n in range(2000)]
            batch("\n".join(f"address add {one}" for one in added))  # the loop does not run
            batch("\n".join(f"address del {one}" for one in added[:-1]))
            last = ip(added[-1].partition("/")[0])
            await changes.until(
                lambda host: {one for one in host.addresses if one.version == 4} == {last}
            )
            assert len(changes.hosts) < 5

    in_namespace(body)


def test_files_are_followed(tmp_path: Path) -> None:
    """A resolver and the server of a lease that is held are known a second or so later."""

    async def body() -> None:
        changes = Changes()
        batch("address add 192.0.2.10/24 dev eth0")
        etc, leases = tmp_path / "etc", tmp_path / "var/lib/dhcp"
        etc.mkdir()
        leases.mkdir(parents=True)
        async with NetworkWatcher(changes.hosts.append, tmp_path) as watcher:
            await quiet(watcher, changes)
            (etc / "resolv.conf").write_text("nameserver 192.0.2.53\n")
            (leases / "dhclient.eth0.leases").write_text(
                "lease {\n  fixed-address 192.0.2.10;\n"
                "  option dhcp-server-identifier 192.0.2.67;\n}\n"
            )
            await asyncio.sleep(1.2)
            await changes.until(
                lambda host: (
                    host.servers[ServerKind.DNS] == {ip("192.0.2.53")}
                    and host.servers[ServerKind.DHCP] == {ip("192.0.2.67")}
                )
            )
            (etc / "resolv.conf").unlink()
            batch("address add 192.0.2.11/24 dev eth0\naddress del 192.0.2.10/24 dev eth0")
            await changes.until(lambda host: host.servers[ServerKind.DHCP] == frozenset())
            assert watcher.host.servers[ServerKind.DNS] == frozenset()

    in_namespace(body)


def test_names_of_interfaces(tmp_path: Path) -> None:
    """An interface that comes, gets another name or goes is told, though the Host is the same."""

    async def body() -> None:
        changes = Changes()
        batch("address add 192.0.2.10/24 dev eth0\nlink add lan0 type veth peer name lan1")
        async with NetworkWatcher(changes.hosts.append, tmp_path) as watcher:
            await quiet(watcher, changes)
            for command in ("link set lan0 name ppp0", "link del ppp0", "link add x type bridge"):
                before = watcher.host
                batch(command)
                await changes.until(lambda _: True)
                assert changes.hosts[-1] == before
                changes.hosts.clear()

    in_namespace(body)


def test_files_that_hang_hold_nothing_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a look at the resolver's files waits for their file system, the service goes on; what
    changed meanwhile is known as soon as it answers."""
    hang, waits, answers, waited = (threading.Event() for _ in range(4))

    def slow(root: Path) -> Stamp:
        if hang.is_set():
            waits.set()
            answers.wait(2)
            waited.set()
        return stamp(root)

    monkeypatch.setattr("ipsecfd.kernel.network.watcher.stamp", slow)

    async def body() -> None:
        changes = Changes()
        async with NetworkWatcher(changes.hosts.append, tmp_path) as watcher:
            await quiet(watcher, changes)
            hang.set()
            assert await asyncio.to_thread(waits.wait, 5)
            assert not waited.is_set()
            batch("address add 192.0.2.10/24 dev eth0")
            answers.set()
            await changes.until(partial(has, ip("192.0.2.10")))

    in_namespace(body)


def test_an_error_in_on_change_does_not_end_the_watch(tmp_path: Path) -> None:
    """A callback that raises is reported to the event loop, and called again for the next Host."""

    async def body() -> None:
        reported: list[dict[str, object]] = []
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: reported.append(context)
        )
        changes = Changes()

        def on_change(host: Host) -> None:
            changes.hosts.append(host)
            raise ValueError

        async with NetworkWatcher(on_change, tmp_path) as watcher:
            await quiet(watcher, changes)
            batch("address add 192.0.2.10/24 dev eth0")
            await changes.until(lambda host: ip("192.0.2.10") in host.addresses)
            batch("address del 192.0.2.10/24 dev eth0")
            await changes.until(lambda host: ip("192.0.2.10") not in host.addresses)
        assert reported

    in_namespace(body)
