"""Fetches a domain policy from a file or a web server: bounded in time and size, ETag by ETag."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import ssl
import threading
from pathlib import Path
from typing import Final

from ipsecfd.agent.domain import Fetched
from ipsecfd.errors import IpsecfdError
from ipsecfd.policy.denied import reason

FETCH_SECONDS: Final = 30.0
"""A server that takes longer counts as not there."""
MAX_BYTES: Final = 16 << 20
"""A policy is far smaller."""
_NOT_MODIFIED, _OK = 304, 200
_reading = threading.Lock()


class FetchError(IpsecfdError):
    """The source cannot be reached, or gives no policy; the text says why."""


async def fetch(source: str, etag: str = "", *, seconds: float = FETCH_SECONDS) -> Fetched:
    """Fetch a path or an http or https URL that had this etag last time.

    Raises FetchError, also when there is no answer after so many seconds.
    """
    try:
        async with asyncio.timeout(seconds):
            if source.startswith("/"):
                return await _read_aside(Path(source), etag)
            return await _download(source, etag)
    except TimeoutError as error:
        raise FetchError(f"{source}: no answer in {seconds:g} s") from error


async def _read_aside(path: Path, etag: str) -> Fetched:
    """Read a file in a thread that nothing waits for, one at a time: its file system may hang, and
    must keep neither the threads that look after the rules nor the service from ending."""
    if not _reading.acquire(blocking=False):
        raise FetchError(f"{path}: the file system has not answered the last time it was asked")
    loop = asyncio.get_running_loop()
    found: asyncio.Future[Fetched] = loop.create_future()

    def tell(fetched: Fetched | None, error: BaseException | None) -> None:
        if found.cancelled():
            return
        if fetched is not None:
            found.set_result(fetched)
        elif error is not None:
            found.set_exception(error)

    def read() -> None:
        fetched: Fetched | None = None
        error: BaseException | None = None
        try:
            fetched = _read(path, etag)
        except BaseException as failure:  # noqa: BLE001 - for whoever waits for this
            error = failure
        _reading.release()
        with contextlib.suppress(RuntimeError):  # the service has ended
            loop.call_soon_threadsafe(tell, fetched, error)

    try:
        threading.Thread(target=read, name="domain source", daemon=True).start()
    except RuntimeError as error:
        _reading.release()
        raise FetchError(f"{path}: cannot be read: {error}") from error
    return await found


def _read(path: Path, etag: str) -> Fetched:
    try:
        if not path.is_file() and path.exists():
            raise FetchError(f"{path}: expected a plain file")
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise FetchError(f"{path}: cannot be read: {reason(path, error)}") from error
    if len(data) > MAX_BYTES:
        raise _too_large(str(path))
    digest = hashlib.sha256(data).hexdigest()
    return Fetched(None if digest == etag else data, digest)


async def _download(url: str, etag: str) -> Fetched:
    import httpx  # most hosts have no domain source, and it takes a while to load

    headers = {"If-None-Match": etag} if etag else {}
    try:
        async with (
            httpx.AsyncClient(
                verify=ssl.create_default_context(),  # whom the system trusts
                follow_redirects=True,
                timeout=None,  # the whole fetch has one
                headers=headers,
            ) as client,
            client.stream("GET", url) as response,
        ):
            if response.status_code == _NOT_MODIFIED and etag:
                return Fetched(None, etag)
            if response.status_code != _OK:
                raise FetchError(
                    f"{url}: answered {response.status_code} {response.reason_phrase}; expected"
                    " 200 and a policy"
                )
            data = bytearray()
            async for piece in response.aiter_bytes():
                data += piece
                if len(data) > MAX_BYTES:
                    raise _too_large(url)
            return Fetched(bytes(data), response.headers.get("ETag", ""))
    except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError, OSError) as error:
        raise FetchError(f"{url}: cannot be reached: {error or type(error).__name__}") from error


def _too_large(source: str) -> FetchError:
    return FetchError(f"{source}: larger than {MAX_BYTES >> 20} MB; expected a policy")
