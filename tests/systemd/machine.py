"""A booted systemd to try the service in: some machine's files, copied on write, in a container.

The container has a network of its own with a peer at the other end of a cable. All of it ends with
the test process, however that ends.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from tests.systemd.mounts import CGROUPS, MOUNTS, OWN, refused

CHECKOUT: Final = Path(__file__).parents[2]
HERE, PEER = "10.77.0.1", "10.77.0.2"

_SYSTEMD: Final = Path("/lib/systemd/systemd")
_PATH: Final = "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_BOOT_SECONDS: Final = 90
_DIES_WITH_US: Final = ("setpriv", "--pdeathsig", "KILL")
_TARGET: Final = "[Unit]\nWants=systemd-journald.service network.service\n"

# Brings the interface up when systemd lets it, and notes what filtered just before.
_NETWORK: Final = """
[Unit]
DefaultDependencies=no
After=network-pre.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c 'nft list ruleset >/run/rules-before-the-network'
ExecStart=ip address add {here}/24 dev eth1
ExecStart=ip link set eth1 up
"""

_BOOT: Final = """
{mounts}
for tree in {trees}; do
    [ -e $tree/cgroup.procs ] || continue
    mkdir -p $tree/{name}
    echo $$ >$tree/{name}/cgroup.procs
done
cd {place}
{network}
mount -t overlay overlay -o lowerdir={lower},upperdir=upper,workdir=work root
systemd-nspawn --quiet --directory=root --boot --register=no --keep-unit --machine=ipsecfd-test \\
    --capability=CAP_NET_ADMIN,CAP_NET_RAW --link-journal=no --resolv-conf=off --timezone=off \\
    --console=pipe {binds} -- --unit={target}
nft list tables >tables-at-the-end
"""

# A cable to the network of the peer, and what is plugged in at this end before anything runs.
_CABLE: Final = f"""
touch peer
unshare --net=peer true
nsenter --net=peer sh -ec '
    ip link add eth0 type veth peer name eth1 netns 1
    ip address add {PEER}/24 dev eth0
    ip link set eth0 up'
"""
_PLUGGED: Final = f"""
ip address add {HERE}/24 dev eth1
ip link set eth1 up
"""


def missing() -> str | None:
    """Why no systemd can be booted here; None if it can."""
    if os.geteuid() != 0:
        return "booting systemd in a container needs root"
    if not _SYSTEMD.exists():
        return "systemd is not installed"
    if shutil.which("systemd-nspawn") is None:
        return "systemd-nspawn is missing: apt install systemd-container"
    why = refused()
    return None if why is None else f"no systemd can be booted here: {why}"


class Container:
    """A boot of the files in `lower`, as overlayfs names its layers, to a target.

    With `cabled` its interface is up before anything in it runs. One `beside` another boots in the
    network of the other's peer.
    """

    def __init__(
        self,
        lower: str,
        target: str,
        binds: Iterable[str],
        *,
        cabled: bool = True,
        beside: Container | None = None,
    ) -> None:
        self._place = Path(tempfile.mkdtemp(prefix="ipsecfd-", dir="/dev/shm"))
        for name in ("upper", "work", "root"):
            (self._place / name).mkdir()
        self._prepare(self._place / "upper")
        self._command = ["unshare", "--net"]
        network = _CABLE + (_PLUGGED if cabled else "")
        if beside is not None:
            self._command, network = beside.beside("unshare"), ""
        self._script = _BOOT.format(
            mounts=MOUNTS,
            trees=" ".join(CGROUPS),
            name=self._place.name,
            place=self._place,
            lower=lower,
            target=target,
            binds=shlex.join(f"--bind-ro={bind}" for bind in binds),
            network=network,
        )
        self.power_on()
        try:
            self.wait_for_boot()
        except BaseException:
            self.close()
            raise

    def power_on(self) -> None:
        """Begin another boot, once it is switched off, in which the peer is there from the start.

        The files are those that the boots before have left.
        """
        with (self._place / "console").open("wb") as console:
            self._holder = subprocess.Popen(
                [*_DIES_WITH_US, *self._command, *OWN, "bash", "-ec", self._script],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
            )

    def run(self, *command: str, ok: bool = True) -> str:
        """Run a command in the container; its output, and AssertionError when it fails."""
        return _run(self.inside(*command), ok=ok)

    def succeeds(self, *command: str) -> bool:
        """Whether a command in the container has exit status 0."""
        return _completed(self.inside(*command)).returncode == 0

    def inside(self, *command: str) -> list[str]:
        """A command in the container, for the test's own use."""
        return ["nsenter", "--target", str(self._leader()), "--all", *command]

    def beside(self, *command: str) -> list[str]:
        """A command on the peer, which has the files of this machine."""
        peer = ["nsenter", f"--net={self._place / 'peer'}", *command]
        return ["nsenter", "--target", str(self._holder.pid), "--mount", *peer]

    def peer_is_there(self) -> bool:
        """Whether the peer can be used, which it can before anything is up in the container."""
        return _completed(self.beside("true")).returncode == 0

    def write(self, path: str, text: str) -> None:
        """Write a file in the container."""
        self.run(
            "sh", "-c", f"mkdir -p {Path(path).parent} && printf %s {shlex.quote(text)} >{path}"
        )

    def override(self, text: str) -> None:
        """Change the unit, as `systemctl edit` would."""
        self.write("/etc/systemd/system/ipsecfd.service.d/override.conf", text)
        self.run("systemctl", "daemon-reload")

    def property(self, name: str) -> str:
        """One property of the service, as systemd tells it."""
        return self.run("systemctl", "show", "--value", "--property", name, "ipsecfd").strip()

    def wait_for(self, name: str, wanted: Callable[[str], bool], seconds: float = 60) -> None:
        """Wait until a property of the service is as wanted."""
        end = time.monotonic() + seconds
        while not wanted(value := self.property(name)):
            assert time.monotonic() < end, f"{name} is {value}:\n{self.journal()}"
            time.sleep(0.05)

    def state(self) -> str:
        """The unit's state, such as `active`."""
        return self.property("ActiveState")

    def wait_until(self, state: str, seconds: float = 60) -> None:
        """Wait for the unit's state."""
        self.wait_for("ActiveState", lambda found: found == state, seconds)

    def journal(self, unit: str = "ipsecfd") -> str:
        """What a unit said in this boot."""
        return self.run("journalctl", "--boot", f"--unit={unit}", "--output=cat", "--no-pager")

    def has_rules(self) -> bool:
        """Whether ipsecfd's table is loaded."""
        return "table inet ipsecfd\n" in self.run("nft", "list", "tables")

    def wait_until_open(self) -> None:
        """Wait until ipsecfd's table is gone: what takes it away may end after the stop does."""
        end = time.monotonic() + 10
        while self.has_rules():
            assert time.monotonic() < end, self.run("nft", "list", "table", "inet", "ipsecfd")
            time.sleep(0.05)

    def reaches_peer(self, protocol: str = "icmp") -> bool:
        """Whether the peer answers a ping, or a UDP packet with port unreachable."""
        if protocol == "icmp":
            return self.succeeds("ping", "-c1", "-W0.5", PEER)
        probe = (
            "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM);"
            f"s.settimeout(0.3); s.connect(('{PEER}', 9)); s.send(b'?'); s.recv(1)"
        )
        return "ConnectionRefusedError" in self.run("/usr/bin/python3", "-c", probe, ok=False)

    def power_off(self) -> str:
        """Shut down in order; the kernel's tables as they then are."""
        os.kill(self._leader(), signal.SIGRTMIN + 4)
        self._holder.wait(20)
        return (self._place / "tables-at-the-end").read_text()

    def close(self) -> None:
        """End it at once, if it runs, and leave nothing."""
        self._holder.kill()
        self._holder.wait()
        for tree in CGROUPS:
            for cgroup, _, _ in os.walk(Path(tree, self._place.name), topdown=False):
                _remove_cgroup(Path(cgroup))
        shutil.rmtree(self._place, ignore_errors=True)

    def _prepare(self, upper: Path) -> None:
        """Lay what the files below do not have; for a subclass to add to."""
        (upper / "etc").mkdir()
        (upper / "etc/fstab").touch()
        (upper / "etc/machine-id").write_text("0123456789abcdef0123456789abcdef\n")

    def wait_for_boot(self, state: str = "running") -> None:
        """Wait until all of the target is there; "degraded" if some of it could not be."""
        end = time.monotonic() + _BOOT_SECONDS
        seen = "not there"
        while seen != state:
            console = (self._place / "console").read_text(errors="replace")
            assert self._holder.poll() is None, f"the container ended:\n{console}"
            assert time.monotonic() < end, f"it is {seen}:\n{console}\n{self._what_it_does()}"
            with contextlib.suppress(LookupError):
                seen = self.run("systemctl", "is-system-running", ok=False).strip()
            time.sleep(0.05)

    def _what_it_does(self) -> str:
        """What a boot waits for, or what of it failed."""
        asked = "systemctl list-jobs; systemctl --failed; ps axf; journalctl --boot --lines 50"
        try:
            return self.run("sh", "-c", asked, ok=False)
        except LookupError:
            return _completed(["pstree", "-p", str(self._holder.pid)]).stdout

    def _leader(self) -> int:
        """The container's systemd: unshare's child's (bash's) child's (nspawn's) child."""
        pid = self._holder.pid
        for _ in range(3):
            children = _completed(["pgrep", "--parent", str(pid), "--oldest"]).stdout
            if not children:
                raise LookupError("the container is not there")
            pid = int(children)
        return pid


class Machine(Container):
    """A boot of this machine's own files, with the unit installed and nothing configured yet.

    None of the machine's own services is started there.
    """

    def __init__(self) -> None:
        binds = sorted({sys.prefix, sys.base_prefix, str(CHECKOUT)})
        super().__init__("/", "test.target", binds, cabled=False)

    def _prepare(self, upper: Path) -> None:
        """What `make install` does, with this test's own Python; and no trace of a real one."""
        super()._prepare(upper)
        for hidden in ("etc/systemd/system", "etc/ipsecfd", "var/lib/ipsecfd", "var/log/ipsecfd"):
            (upper / hidden).mkdir(parents=True)
            os.setxattr(upper / hidden, "trusted.overlay.opaque", b"y")
        units = upper / "etc/systemd/system"
        (units / "test.target").write_text(_TARGET)
        (units / "network.service").write_text(_NETWORK.format(here=HERE))
        for unit in (CHECKOUT / "systemd").glob("*.service"):
            shutil.copy(unit, units)
        (units / "ipsecfd.service.d").mkdir()
        # The sandbox hides /root, /home and /tmp, where a checkout and its Python may well be.
        (units / "ipsecfd.service.d/checkout.conf").write_text(
            "[Service]\nProtectHome=tmpfs\n"
            f"BindReadOnlyPaths={sys.prefix} {sys.base_prefix} {CHECKOUT}\n"
        )
        (upper / "usr/local/lib/ipsecfd").mkdir(parents=True)
        shutil.copy(CHECKOUT / "systemd/ipsecfd-boot", upper / "usr/local/lib/ipsecfd")
        (upper / "usr/local/bin").mkdir(parents=True)
        (upper / "usr/local/bin/ipsecfd").symlink_to(Path(sys.prefix, "bin/ipsecfd"))


def _remove_cgroup(cgroup: Path) -> None:
    """Once the kernel has done with the processes that were in it."""
    for _ in range(100):
        try:
            cgroup.rmdir()
        except OSError:
            time.sleep(0.02)
        else:
            return


def _run(command: list[str], *, ok: bool) -> str:
    result = _completed(command)
    output = result.stdout + result.stderr
    assert result.returncode == 0 or not ok, f"{shlex.join(command)}:\n{output}"
    return output


def _completed(command: list[str]) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": _PATH, "LANG": "C.UTF-8", "HOME": "/root", "TERM": "dumb"}
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
