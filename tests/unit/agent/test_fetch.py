"""Fetching a domain policy: from a file, from a web server, and what goes wrong on the way."""

from __future__ import annotations

import asyncio
import http.server
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ipsecfd.agent import fetch as fetch_module
from ipsecfd.agent.domain import Fetched
from ipsecfd.agent.fetch import FetchError, fetch


class Server(http.server.ThreadingHTTPServer):
    """A web server with one page."""

    body = b"name = 'x'"
    etag = '"1"'
    status = 200
    delay = 0.0

    def handle_error(self, *_: Any) -> None:
        """A client that gave up is no error."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/policy.toml"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        if self.path == "/elsewhere":
            self.send_response(302)
            self.send_header("Location", "/policy.toml")
            self.end_headers()
            return
        threading.Event().wait(self.server.delay)
        if self.headers.get("If-None-Match") == self.server.etag:
            self.send_response(304)
            self.end_headers()
            return
        self.send_response(self.server.status)
        self.send_header("ETag", self.server.etag)
        self.send_header("Content-Length", str(len(self.server.body)))
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    """A web server on this host."""
    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


async def test_file_system_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It keeps one thread, which nobody waits for, however often it is asked; when it is back, so
    is the policy."""
    path = tmp_path / "policy.toml"
    path.write_bytes(b"name = 'x'")
    back, read = threading.Event(), fetch_module._read

    def hanging(*arguments: Any) -> Fetched:
        assert back.wait(20)
        return read(*arguments)

    monkeypatch.setattr(fetch_module, "_read", hanging)
    with pytest.raises(FetchError, match=r"no answer in 0\.05 s"):
        await fetch(str(path), seconds=0.05)
    for _ in range(40):
        with pytest.raises(FetchError, match="has not answered the last time"):
            await fetch(str(path), seconds=20)
    assert await asyncio.to_thread(int) == 0
    (stuck,) = [one for one in threading.enumerate() if one.name == "domain source"]
    assert stuck.daemon
    back.set()
    stuck.join(20)
    assert (await fetch(str(path))).data == b"name = 'x'"


async def test_file_that_never_ends(tmp_path: Path) -> None:
    """A pipe is no policy, and nobody waits for one."""
    os.mkfifo(tmp_path / "pipe")
    for _ in range(2):
        with pytest.raises(FetchError, match="pipe: expected a plain file"):
            await fetch(str(tmp_path / "pipe"), seconds=20)


async def test_no_thread_to_read_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host without threads left for a moment."""
    path = tmp_path / "policy.toml"
    path.write_bytes(b"name = 'x'")

    def none(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as short:
        short.setattr(threading.Thread, "start", none)
        with pytest.raises(FetchError, match="cannot be read: can't start new thread"):
            await fetch(str(path))
    assert (await fetch(str(path))).data == b"name = 'x'"


async def test_etag_saves_the_second_download(server: Server) -> None:
    """An unchanged page is not sent again; a changed one is."""
    assert await fetch(server.url) == Fetched(server.body, '"1"')
    assert await fetch(server.url, '"1"') == Fetched(None, '"1"')
    server.etag, server.body = '"2"', b"other"
    assert await fetch(server.url, '"1"') == Fetched(b"other", '"2"')


async def test_redirections_are_followed(server: Server) -> None:
    """A policy may move."""
    moved = server.url.replace("/policy.toml", "/elsewhere")
    assert (await fetch(moved)).data == server.body


async def test_other_answers_are_no_policy(server: Server) -> None:
    """A missing page does not count as an empty policy."""
    server.status = 404
    with pytest.raises(FetchError, match="answered 404 Not Found"):
        await fetch(server.url)


async def test_large_answers_are_cut_off(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The agent's memory is not the server's to fill."""
    monkeypatch.setattr(fetch_module, "MAX_BYTES", 5)
    with pytest.raises(FetchError, match="larger than"):
        await fetch(server.url)


async def test_slow_servers_are_given_up(server: Server) -> None:
    """The whole fetch has a time limit."""
    server.delay = 0.5
    with pytest.raises(FetchError, match=r"no answer in 0\.1 s"):
        await fetch(server.url, seconds=0.1)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/", "http://[::1", "https://127.0.0.1:1/", "http://"]
)
async def test_unreachable_sources(url: str) -> None:
    """The reason is in the message, beside the source."""
    with pytest.raises(FetchError, match=r"cannot be reached: .") as caught:
        await fetch(url)
    assert str(caught.value).startswith(url)


async def test_files_are_told_apart_by_content(tmp_path: Path) -> None:
    """A file has its digest for an etag."""
    path = tmp_path / "policy.toml"
    with pytest.raises(FetchError, match="cannot be read: No such file"):
        await fetch(str(path))
    await asyncio.to_thread(path.write_bytes, b"one")
    first = await fetch(str(path))
    assert first.data == b"one"
    assert await fetch(str(path), first.etag) == Fetched(None, first.etag)
    await asyncio.to_thread(path.write_bytes, b"two")
    assert (await fetch(str(path), first.etag)).data == b"two"


async def test_large_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As large answers are."""
    monkeypatch.setattr(fetch_module, "MAX_BYTES", 5)
    path = tmp_path / "policy.toml"
    await asyncio.to_thread(path.write_bytes, b"123456")
    with pytest.raises(FetchError, match="larger than"):
        await fetch(str(path))
