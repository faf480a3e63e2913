"""`make install` and `make uninstall` on a fresh Debian, from a checkout."""

from __future__ import annotations

import shutil

import pytest

from tests.package.debian import PACKAGES, Debian, Shelf, missing
from tests.package.stream import POLICY, Stream
from tests.systemd.machine import CHECKOUT

pytestmark = [pytest.mark.live, pytest.mark.skipif(missing() is not None, reason=str(missing()))]

PLACE = "/root/checkout"
PARTS = ("CHANGELOG.md", "Makefile", "README.md", "config", "docs", "systemd", "tools")
"""What `make install` reads, but for the program."""
STATE = ["/etc/ipsecfd", "/var/lib/ipsecfd", "/var/log/ipsecfd"]

# In place of tools/prepare, which would have pip fetch the libraries: they and the program are the
# package's.
PREPARE = """#!/bin/sh -e
[ "$1" = run ]
/usr/bin/python3 -m venv --without-pip "$2"
mkdir /tmp/package
dpkg-deb --fsys-tarfile {deb} | tar -x -C /tmp/package ./usr/lib/ipsecfd
cd /tmp/package/usr/lib/ipsecfd
cp -r lib/python3.*/site-packages "$2"/lib/python3.*/
sed "1s|.*|#!$2/bin/python|" bin/ipsecfd >"$2/bin/ipsecfd"
chmod 755 "$2/bin/ipsecfd"
rm -r /tmp/package
"""


@pytest.fixture
def cloned(fresh: Debian, shelf: Shelf) -> Debian:
    """A Debian with a checkout, and nothing installed."""
    copy = shelf.packages / "checkout"
    copy.mkdir()
    for part in PARTS:
        source = CHECKOUT / part
        (shutil.copytree if source.is_dir() else shutil.copy)(source, copy / part)
    (copy / "tools/prepare").write_text(PREPARE.format(deb=f"{PACKAGES}/{shelf.deb}"))
    fresh.run("cp", "-r", f"{PACKAGES}/{copy.name}", PLACE)
    shutil.rmtree(copy)
    return fresh


def made(debian: Debian, target: str) -> str:
    """What make says in the checkout."""
    return debian.run("make", "--no-print-directory", "-C", PLACE, target).strip()


def test_installed_and_taken_away_again(cloned: Debian) -> None:
    """The one changes no traffic, and its service can filter; the other opens the host, and leaves
    what it says."""
    stream = Stream(cloned)
    told = made(cloned, "install")
    assert told == "Installed. Start it, now and at every boot: systemctl enable --now ipsecfd"
    assert cloned.state() == "inactive"
    cloned.run("systemctl", "enable", "--now", "ipsecfd")
    seen = stream.stop()
    assert seen.sent > 100
    assert (seen.permitted, seen.forbidden) == (seen.sent, seen.sent)

    cloned.write("/etc/ipsecfd/one-port.toml", POLICY)
    cloned.run("ipsecfd", "policy", "assign", "/etc/ipsecfd/one-port.toml")
    operations = cloned.run("cat", "/usr/local/share/doc/ipsecfd/docs/operations.md")
    assert operations == (CHECKOUT / "docs/operations.md").read_text()
    assert cloned.run("which", "ipsecfd") == "/usr/local/bin/ipsecfd\n"
    assert not cloned.reaches_peer()
    told = made(cloned, "uninstall")
    assert told == f"Removed. Left in place: {', '.join(STATE)}, group ipsecfd."
    assert not cloned.has_rules()
    assert cloned.reaches_peer()
    cloned.run("rm", "-r", PLACE)
    assert cloned.left() == sorted([*STATE, "/etc/ipsecfd/ipsecfd.toml"])
    assert cloned.run("find", "/usr/local", "-type", "f", "-o", "-xtype", "l") == ""
    assert cloned.succeeds("getent", "group", "ipsecfd")
    assert cloned.run("systemctl", "list-units", "--no-legend", "ipsecfd*") == ""
