"""A host's own network, processes and mounts, held by one process and gone with its creator.

Nothing has a name that could stay behind: the namespaces live as long as a shell that is process 1
of the new process namespace and waits on a pipe from us. Whatever ends the creator, SIGKILL too,
closes that pipe; the shell ends and the kernel ends every process, rule and link inside with it.
"""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from ipsecfd.errors import IpsecfdError

T = TypeVar("T")

_CLONE_NEWNET: Final = 0x40000000
_LIBC: Final = ctypes.CDLL(None, use_errno=True)

# /proc is still the creator's while the shell reads its own process id there. /run is a tmpfs of
# the host's own, with whatever sockets, locks and logs it will hold; the machine's configuration
# and state of ipsecfd are hidden, and so are its name servers.
_HOLDER: Final = """
set -e
read -r pid _ </proc/self/stat
mount -t proc proc /proc
resolv=$(readlink -f /etc/resolv.conf || :)
mount -t tmpfs -o mode=755 tmpfs /run
for directory in /etc/ipsecfd /var/lib/ipsecfd /var/log/ipsecfd; do
    if [ -d "$directory" ]; then mount -t tmpfs -o mode=755 tmpfs "$directory"; fi
done
mkdir /run/lab
case $resolv in
    /run/*) mkdir -p "${resolv%/*}"; printf "$1" >"$resolv";;
    ?*) if [ -f "$resolv" ]; then
            printf "$1" >/run/lab/resolv.conf; mount --bind /run/lab/resolv.conf "$resolv"
        fi;;
esac
echo "$pid"
read -r _ || :
"""


class LabError(IpsecfdError):
    """The lab could not be built or used; the text says what failed and what it needs."""


class Namespace:
    """One host's namespaces. Use as a context manager, or call `close`.

    Raises LabError where the system refuses namespaces.
    """

    def __init__(self, name: str, nameservers: Sequence[str] = ()) -> None:
        if os.geteuid() != 0:
            raise LabError("the lab makes network namespaces and needs root: run it with sudo")
        self.name = name
        self._children: list[subprocess.Popen[Any]] = []
        command = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child"]
        resolv = "".join(f"nameserver {server}\\n" for server in nameservers)
        try:
            self._holder = subprocess.Popen(
                [*command, "--", "bash", "-c", _HOLDER, f"ipsecfd-{os.getpid()}-{name}", resolv],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,  # an interrupt from the terminal is the creator's to handle
            )
        except FileNotFoundError as error:
            raise LabError(f"the lab needs unshare(1) of util-linux: {error}") from None
        assert self._holder.stdout is not None
        answer = self._holder.stdout.readline().strip()
        if not answer.isdigit():
            answer += self._holder.stdout.read()
            self.close()
            raise LabError(f"cannot make namespaces for the lab's host {name!r}: {answer.strip()}")
        self.pid = int(answer)
        """The holder's process id, seen from outside."""
        self._net = os.open(f"/proc/{self.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)

    def __enter__(self) -> Namespace:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End every process inside and wait for it; safe to call again."""
        assert self._holder.stdin is not None
        assert self._holder.stdout is not None
        self._holder.stdin.close()
        try:
            self._holder.wait(5)
        except subprocess.TimeoutExpired:
            self._holder.kill()
            self._holder.wait()
        self._holder.stdout.close()
        for child in self._children:
            child.wait()
        if hasattr(self, "_net"):
            os.close(self._net)
            del self._net

    def path(self, inside: str) -> Path:
        """Where a file of the host is found from outside; `/run` is private to the host."""
        return Path(f"/proc/{self.pid}/root") / inside.lstrip("/")

    def call(self, function: Callable[[], T]) -> T:
        """Run a function inside the network namespace, in a thread of its own; its result.

        Sockets made there stay there and can be used from any thread. `/proc/sys/net` is that
        namespace's, too; files and processes are still the creator's. Raises what the function
        raises, and LabError when the namespace cannot be entered.
        """
        results: list[T] = []
        failures: list[BaseException] = []

        def inside() -> None:
            try:
                if _LIBC.setns(self._net, _CLONE_NEWNET) != 0:
                    number = ctypes.get_errno()
                    raise LabError(f"cannot enter the host {self.name!r}: {os.strerror(number)}")
                results.append(function())
            except BaseException as error:  # noqa: BLE001 - handed to the caller's thread
                failures.append(error)

        thread = threading.Thread(target=inside, name=f"inside {self.name}")
        thread.start()
        thread.join()
        if failures:
            raise failures[0]
        return results[0]

    def socket(self, family: int, kind: int, protocol: int = 0) -> socket.socket:
        """A new socket of this host."""
        return self.call(lambda: socket.socket(family, kind, protocol))

    def popen(self, command: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
        """Start a command inside all of the host's namespaces; it ends with them at the latest.

        The returned process is nsenter(1) outside, which takes the command's exit status over and
        passes no signals on: use `send_signal` for those.
        """
        options.setdefault("stdin", subprocess.DEVNULL)
        options.setdefault("start_new_session", True)
        # Root and directory are the holder's, too: the creator may live in a chroot.
        enter = ["nsenter", "--target", str(self.pid), "--net", "--mount", "--pid"]
        enter += ["--root", "--wd", "--"]
        child: subprocess.Popen[Any] = subprocess.Popen([*enter, *command], **options)
        self._children.append(child)
        return child

    def run(
        self, command: Sequence[str], *, timeout: float = 30, check: bool = False
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end inside, its output captured as text; `timeout` in seconds.

        Raises TimeoutExpired, and with `check` CalledProcessError.
        """
        with self.popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as child:
            try:
                output, errors = child.communicate(timeout=timeout)
            except BaseException:
                self.send_signal(child, 9)
                raise
        done = subprocess.CompletedProcess(list(command), child.returncode, output, errors)
        if check:
            done.check_returncode()
        return done

    @staticmethod
    def inner_pid(child: subprocess.Popen[Any]) -> int | None:
        """The process id, seen from outside, of a command started with `popen`; None once ended."""
        try:
            found = Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text().split()
        except FileNotFoundError:
            return None
        return int(found[0]) if found else None

    def send_signal(self, child: subprocess.Popen[Any], number: int) -> None:
        """Send a signal to a command started with `popen`; nothing when it has ended."""
        pid = self.inner_pid(child)
        if pid is not None:
            os.kill(pid, number)
