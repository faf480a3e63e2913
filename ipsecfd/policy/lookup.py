"""Many DNS names asked for at once, and an end to waiting for those that nobody answers."""

from __future__ import annotations

import ipaddress
import queue
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Final, TypeAlias

from ipsecfd.policy.model import IPAddress, by_family

Resolver: TypeAlias = Callable[[str], Iterable[IPAddress]]
"""Asks for the addresses of a name now; OSError when there is no answer."""
Answer: TypeAlias = tuple[IPAddress, ...] | OSError
"""The addresses of a name, sorted, IPv4 first, each once; or why there is none."""

AT_ONCE: Final = 64
"""Names asked for at the same time."""


def system_resolver(name: str) -> list[IPAddress]:
    """The addresses the system's resolver has for a name, of both families. Raises OSError."""
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except UnicodeError as error:
        raise OSError("it is not a DNS name") from error
    return [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]


def look_up(name: str, resolver: Resolver) -> tuple[IPAddress, ...]:
    """The addresses of a name; waits as long as the resolver does. Raises OSError."""
    found = set(resolver(name))
    if not found:
        raise OSError("it has no address")
    return tuple(sorted(found, key=by_family))


def look_up_all(names: Iterable[str], resolver: Resolver, patience: float) -> Mapping[str, Answer]:
    """The answers for different names that have come after `patience` seconds at the latest."""
    todo = deque(names)
    wanted = len(todo)
    answers: dict[str, Answer] = {}
    arrived = queue.SimpleQueue[tuple[str, Answer]]()

    def ask() -> None:
        while todo:
            try:
                name = todo.popleft()
            except IndexError:  # another thread was faster
                return
            try:
                arrived.put((name, look_up(name, resolver)))
            except OSError as error:
                arrived.put((name, error))

    give_up = time.monotonic() + patience
    # The system's resolver cannot be interrupted: no end of the process waits for these threads.
    for _ in range(min(wanted, AT_ONCE)):
        threading.Thread(target=ask, name="resolver", daemon=True).start()
    while len(answers) < wanted:
        try:
            name, answer = arrived.get(timeout=max(0.0, give_up - time.monotonic()))
        except queue.Empty:
            todo.clear()
            break
        answers[name] = answer
    return answers
