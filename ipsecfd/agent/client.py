"""Commands' side of the control socket: one call, one answer, errors in plain words."""

from __future__ import annotations

import asyncio
import socket as sockets
from pathlib import Path
from typing import Any, Final

from asyncvarlink import (
    GenericVarlinkErrorReply,
    VarlinkClientProtocol,
    VarlinkErrorReply,
    VarlinkTransport,
)
from asyncvarlink.conversion import ConversionError

from ipsecfd.agent.interface import Control, Refused
from ipsecfd.errors import IpsecfdError

ANSWER_SECONDS: Final = 120
"""A reload may have to wait for DNS servers that do not answer."""
_TURN_SECONDS: Final = 0.05
"""Pause between two tries to get in where too many wait already."""


class ClientError(IpsecfdError):
    """The agent cannot be reached, refused, or is another release; the text says which."""


class NotRunningError(ClientError):
    """Nobody serves the socket."""


def call(socket: Path, method: str, *, within: float = ANSWER_SECONDS, **parameters: Any) -> Any:
    """Call a method of `io.ipsecfd.Control` and return its one result, or None without any.

    Raises ClientError, also when there is no answer within so many seconds.
    """
    return asyncio.run(_call(socket, method, within, parameters))


async def _call(socket: Path, method: str, within: float, parameters: dict[str, Any]) -> Any:
    connected = False
    try:
        async with asyncio.timeout(within):
            transport, protocol = await _connect(socket)
            connected = True
            try:
                answer = await getattr(protocol.make_proxy(Control), method)(**parameters)
            finally:
                transport.close()
                await asyncio.sleep(0)
    except Refused as error:
        raise ClientError(error.parameters["reason"]) from error
    except GenericVarlinkErrorReply as error:
        raise ClientError(_in_words(error.name, socket)) from error
    except VarlinkErrorReply as error:
        raise ClientError(f"the daemon answered {error.name}") from error
    except ConversionError as error:
        raise ClientError(_other_release(str(error), socket)) from error
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise NotRunningError(
            f"the daemon is not running (nobody serves {socket}): start it with"
            " `systemctl start ipsecfd` or `ipsecfd run`"
        ) from error
    except PermissionError as error:
        raise ClientError(f"{socket}: permission denied: {_WHO}") from error
    except TimeoutError as error:
        why = "does not answer within" if connected else "has had too many other clients for"
        raise ClientError(
            f"the daemon at {socket} {why} {within:g} s;"
            " `systemctl restart ipsecfd` replaces one that hangs"
        ) from error
    except ConnectionResetError as error:
        raise ClientError(f"the daemon at {socket} ended before it answered") from error
    except OSError as error:
        raise ClientError(f"{socket}: {error.strerror or error}") from error
    return next(iter(answer.values()), None)


async def _connect(socket: Path) -> tuple[VarlinkTransport, VarlinkClientProtocol]:
    """A connection to whoever serves the socket, in one's turn. Raises OSError.

    asyncio would take the refusal of a full queue for a connection under way.
    """
    loop = asyncio.get_running_loop()
    ours = sockets.socket(sockets.AF_UNIX, sockets.SOCK_STREAM | sockets.SOCK_NONBLOCK)
    try:
        while True:
            try:
                ours.connect(str(socket))
            except BlockingIOError:
                await asyncio.sleep(_TURN_SECONDS)
            else:
                break
        protocol = VarlinkClientProtocol()
        transport = VarlinkTransport(loop, ours, ours, protocol)
    except BaseException:
        ours.close()
        raise
    await asyncio.sleep(0)  # the transport begins to read
    return transport, protocol


_WHO: Final = "only root may change anything, and only root and the control group may look"


def _in_words(error: str, socket: Path) -> str:
    if error == "org.varlink.service.PermissionDenied":
        return f"permission denied: {_WHO}"
    return _other_release(error, socket)


def _other_release(error: str, socket: Path) -> str:
    return (
        f"the daemon at {socket} and this command do not understand each other ({error}): is it"
        " another release? restart it"
    )
