"""Hosts on one wire: namespaces joined by veth, with addresses and routes."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

from ipsecfd.driver import host as driver_host
from ipsecfd.lab.namespaces import LabError, Namespace
from ipsecfd.policy.model import IPAddress, ServerKind

IPInterface: TypeAlias = ipaddress.IPv4Interface | ipaddress.IPv6Interface

INTERFACE: Final = "eth0"
"""Every host's interface on the wire."""

_NODAD: Final = 0x02
_LINK_SECONDS: Final = 5.0

# Distributions differ here, and a new namespace takes some of it over from the machine. Addresses
# must work at once (no duplicate address detection), and no host speaks unasked.
_SETTINGS: Final = {
    "net/ipv4/ip_forward": "0",
    "net/ipv4/conf/all/rp_filter": "0",
    "net/ipv4/conf/default/rp_filter": "0",
    "net/ipv4/icmp_echo_ignore_broadcasts": "1",
    "net/ipv6/conf/all/forwarding": "0",
    "net/ipv6/conf/default/disable_ipv6": "0",
    "net/ipv6/conf/default/accept_dad": "0",
    "net/ipv6/conf/default/accept_ra": "0",
    "net/ipv6/conf/default/router_solicitations": "0",
}


@dataclass(frozen=True, slots=True)
class HostSpec:
    """What a host is to be."""

    name: str
    addresses: tuple[str, ...] = ()
    """With their prefix lengths, such as `192.0.2.10/24`."""
    gateways: tuple[str, ...] = ()
    """Default routers, at most one of each family."""
    nameservers: tuple[str, ...] = ()


class Host(Namespace):
    """A host of the lab; `index` numbers the hosts of one wire from 1."""

    def __init__(self, spec: HostSpec, index: int) -> None:
        self.spec = spec
        self.interfaces = [_interface(text, spec.name) for text in spec.addresses]
        """The addresses it has now."""
        self.mac = f"02:00:00:00:00:{index:02x}"
        self.ifindex = 0
        """Index of its interface on the wire."""
        super().__init__(spec.name, spec.nameservers)

    def __enter__(self) -> Host:
        return self

    def has(self, address: IPAddress) -> bool:
        """Whether this is one of its addresses now."""
        return any(interface.ip == address for interface in self.interfaces)

    def seen_by_driver(self) -> driver_host.Host:
        """The host as its own driver knows it."""
        servers = {
            ServerKind.GATEWAY: frozenset(map(ipaddress.ip_address, self.spec.gateways)),
            ServerKind.DNS: frozenset(map(ipaddress.ip_address, self.spec.nameservers)),
        }
        return driver_host.Host.from_interfaces(self.interfaces, servers, delivered=True)

    def set_sysctl(self, name: str, value: str) -> None:
        """Set a kernel parameter of the host's network, such as `net/ipv4/ip_forward`.

        Raises LabError.
        """
        self._write_sysctl(name.replace(".", "/"), value)

    def set_up(self) -> None:
        """Bring the interface up with its addresses and routes, once the wire is attached."""

        def configure() -> int:
            with _netlink() as ip:
                found: int = ip.link_lookup(ifname=INTERFACE)[0]
                ip.link("set", index=ip.link_lookup(ifname="lo")[0], state="up")
                ip.link("set", index=found, state="up")
                for interface in self.interfaces:
                    ip.addr("add", index=found, **_address(interface))
                for gateway in self.spec.gateways:
                    family = 2 if ipaddress.ip_address(gateway).version == 4 else 10
                    ip.route("add", dst="default", gateway=gateway, family=family)
                return found

        self.ifindex = self._netlink_call(configure, "set up its addresses and routes")

    def apply_settings(self) -> None:
        """Set the kernel parameters that every host of the lab starts with."""
        for name, value in _SETTINGS.items():
            if self.call(self._sysctl(name).exists):  # IPv6 may be missing
                self._write_sysctl(name, value)

    def _sysctl(self, name: str) -> Path:
        """A kernel parameter; the host's own /proc can be written where the machine's cannot."""
        return self.path(f"/proc/sys/{name}")

    def _write_sysctl(self, name: str, value: str) -> None:
        try:
            self.call(lambda: self._sysctl(name).write_text(f"{value}\n"))
        except OSError as error:
            raise LabError(
                f"host {self.name}: /proc/sys/{name}: cannot write {value}: {error.strerror};"
                " the lab sets kernel parameters of its own namespaces, and needs a writable"
                " /proc/sys for it: run it as root of the machine, or in a privileged container"
            ) from None

    def add_address(self, address: str) -> None:
        """Give the host one more address, `192.0.2.11/24`."""
        interface = _interface(address, self.name)
        self._address_command("add", interface)
        self.interfaces.append(interface)

    def remove_address(self, address: str) -> None:
        """Take an address away again."""
        interface = _interface(address, self.name)
        self._address_command("del", interface)
        self.interfaces.remove(interface)

    def _address_command(self, verb: str, interface: IPInterface) -> None:
        def command() -> None:
            with _netlink() as ip:
                ip.addr(verb, index=self.ifindex, **_address(interface))

        self._netlink_call(command, f"{verb} address {interface}")

    def _netlink_call(self, function: Callable[[], Any], what: str) -> Any:
        from pyroute2.netlink.exceptions import NetlinkError

        try:
            return self.call(function)
        except NetlinkError as error:
            raise LabError(f"host {self.name}: cannot {what}: {error}") from None


def join(hosts: Sequence[Host], switch: Namespace | None) -> None:
    """Put hosts on one wire: two directly, more by a bridge in the namespace `switch`."""
    for host in hosts:
        host.apply_settings()
    if switch is None:
        if len(hosts) == 2:
            _cable(hosts[0], hosts[1], INTERFACE, hosts[1].mac)
        else:
            _cable(hosts[0], hosts[0], "wire", "02:00:00:00:01:00")
    else:
        names = [f"port{number}" for number in range(len(hosts))]
        for host, name in zip(hosts, names, strict=True):
            _cable(host, switch, name, f"02:00:00:00:01:{host.mac[-2:]}")
        switch.call(lambda: _set_up_ports(names))
    for host in hosts:
        host.set_up()
    for host in hosts:
        host.call(lambda: _wait_until_up([INTERFACE]))
    if switch is not None:
        switch.call(lambda: _bridge(names))


def _cable(host: Host, other: Namespace, name: str, mac: str) -> None:
    """A veth pair: INTERFACE on the host, `name` with the address `mac` at the other end."""

    def command() -> None:
        with _netlink() as ip:
            peer = {"ifname": name, "address": mac, "net_ns_pid": other.pid}
            ip.link("add", ifname=INTERFACE, kind="veth", address=host.mac, peer=peer)
            if other is host:
                ip.link("set", index=ip.link_lookup(ifname=name)[0], state="up")

    host.call(command)


def _set_up_ports(names: Sequence[str]) -> None:
    with _netlink() as ip:
        for name in names:
            ip.link("set", index=ip.link_lookup(ifname=name)[0], state="up")


def _bridge(names: Sequence[str]) -> None:
    """Bridge ports that are up, so that they forward at once."""
    _wait_until_up(names)
    with _netlink() as ip:
        ip.link("add", ifname="bridge", kind="bridge", br_mcast_snooping=0, br_forward_delay=0)
        bridge = ip.link_lookup(ifname="bridge")[0]
        ip.link("set", index=bridge, state="up")
        for name in names:
            ip.link("set", index=ip.link_lookup(ifname=name)[0], master=bridge)


def _wait_until_up(names: Sequence[str]) -> None:
    """Wait until these interfaces carry packets: the kernel finds that out in the background, and
    loses what is sent before."""
    deadline = time.monotonic() + _LINK_SECONDS
    with _netlink() as ip:
        for name in names:
            index = ip.link_lookup(ifname=name)[0]
            while ip.get_links(index)[0].get("operstate") != "UP":
                if time.monotonic() > deadline:
                    raise LabError(f"the lab's link {name} did not come up")
                time.sleep(0.001)


def _netlink() -> Any:
    from pyroute2 import IPRoute

    return IPRoute()


def _address(interface: IPInterface) -> dict[str, Any]:
    options: dict[str, Any] = {
        "address": str(interface.ip),
        "prefixlen": interface.network.prefixlen,
    }
    if interface.version == 6:
        options["flags"] = _NODAD
    elif interface.network.prefixlen < 31:
        options["broadcast"] = str(interface.network.broadcast_address)
    return options


def _interface(text: str, host: str) -> IPInterface:
    try:
        return ipaddress.ip_interface(text)
    except ValueError:
        raise LabError(
            f"host {host}: {text!r} is not an address with its prefix length, as in 192.0.2.10/24"
        ) from None
