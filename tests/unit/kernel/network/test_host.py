"""The host as files of a made-up root tell of it."""

from __future__ import annotations

import os
from pathlib import Path

from ipsecfd.driver.host import Host
from ipsecfd.kernel.network.host import read_host
from ipsecfd.policy.model import IPAddress, ServerKind
from tests.builders import ips


def write(root: Path, path: str, content: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(content)


def servers(host: Host, kind: ServerKind) -> frozenset[IPAddress]:
    return host.servers[kind]


def test_resolvers_behind_the_stub(tmp_path: Path) -> None:
    """Where systemd-resolved answers, its own servers are meant; the stub itself never is."""
    write(tmp_path, "etc/resolv.conf", "nameserver 127.0.0.53\n")
    write(tmp_path, "run/systemd/resolve/resolv.conf", "nameserver 192.0.2.53\n")
    assert ips("192.0.2.53") == servers(read_host(tmp_path), ServerKind.DNS)


def test_an_unused_resolved_is_not_asked(tmp_path: Path) -> None:
    """Servers of systemd-resolved do not count where nothing asks it."""
    write(tmp_path, "etc/resolv.conf", "nameserver 127.0.0.1\nnameserver 192.0.2.1\n")
    write(tmp_path, "run/systemd/resolve/resolv.conf", "nameserver 192.0.2.53\n")
    assert ips("192.0.2.1") == servers(read_host(tmp_path), ServerKind.DNS)


def test_a_lease_counts_while_its_address_is_held(tmp_path: Path) -> None:
    """The server of a lease for an address the host does not have is a stranger."""
    write(tmp_path, "var/lib/dhcp/dhclient.eth0.leases", "lease {\n fixed-address 203.0.113.250;\n"
          " option dhcp-server-identifier 203.0.113.67;\n}\n")  # fmt: skip
    assert servers(read_host(tmp_path), ServerKind.DHCP) == frozenset()


def test_odd_files_are_ignored(tmp_path: Path) -> None:
    """A directory, a pipe or a dangling link in a file's place is no file, and holds nothing up."""
    (tmp_path / "etc/samba").mkdir(parents=True)
    os.mkfifo(tmp_path / "etc/resolv.conf")
    (tmp_path / "etc/samba/smb.conf").symlink_to("nowhere")
    (tmp_path / "var/lib/dhcp/a.leases").mkdir(parents=True)
    host = read_host(tmp_path)
    assert not host.delivered
    for kind in (ServerKind.DNS, ServerKind.DHCP, ServerKind.WINS):
        assert servers(host, kind) == frozenset()
