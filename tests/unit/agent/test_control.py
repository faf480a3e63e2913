"""The control socket: who may do what, refusals, and clients that misbehave."""

# ruff: noqa: ASYNC240 - a test may wait for the disk

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import stat
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from asyncvarlink import VarlinkMethodCall
from asyncvarlink.serviceerrors import PermissionDenied

from ipsecfd.agent import client, control
from ipsecfd.agent.control import ControlError, ControlServer, Registry, Rights, rights
from ipsecfd.agent.interface import LOOKING, NAME, REQUESTS, Control, Service
from ipsecfd.agent.packet_reports import FilterPage, FlowList, ShadowReport, StatsReport
from ipsecfd.agent.report import (
    CutReport,
    DeskReport,
    DomainReport,
    ExactPolicy,
    Foresight,
    InForce,
    PolicyReport,
    PolicyText,
    StatusReport,
    TrialReport,
)
from ipsecfd.errors import IpsecfdError
from tests.unit.cli.fake_daemon import CACHE, CALM, COUNT, FILTER, FLOW, SHADOW, SINCE

METHODS = {name for name in vars(Control) if name[0].isupper()}
GROUP = 54321


class FakeService:
    """Answers without an agent; `told` is what it was told to do."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def mode(self) -> str:
        return "secure"

    async def set_mode(self, *, mode: str, confirm: int | None) -> None:
        self.told.append(f"mode {mode} {confirm}")

    async def status(self) -> StatusReport:
        raise ZeroDivisionError

    async def stats(self) -> StatsReport:
        return StatsReport(SINCE, [COUNT], CACHE, CALM)

    async def filter_stats(self, *, every: bool, first: int) -> FilterPage:
        return FilterPage(SINCE, 3, [FILTER] if every else [], 2, first or None, CACHE, CALM)

    async def list_flows(
        self,
        *,
        address: str | None,
        port: int | None,
        rule: str | None,
        direction: str | None,
        most: int,
    ) -> FlowList:
        return FlowList(None, most, 1_234_567, 987_654_321, [FLOW])

    async def start_shadow(self, *, file: str) -> list[str]:
        self.told.append(f"shadow {file}")
        return []

    async def shadow(self, *, most: int, flows: int) -> ShadowReport:
        return SHADOW

    async def stop_shadow(self) -> None:
        raise IpsecfdError("there is no shadow policy")

    async def list_policies(self) -> list[PolicyReport]:
        return [PolicyReport("web", "local", "/web.toml", "", 1, 2, "2026-01-02T03:04:05+00:00")]

    async def show_policy(self, *, name: str | None) -> list[PolicyText]:
        raise IpsecfdError(f"no policy named {name}")

    async def reload(self) -> list[str]:
        raise IpsecfdError("web.toml: first mistake\nweb.toml: second mistake")

    def state_dir(self) -> str:
        return "/var/lib/ipsecfd"

    async def desk(self, *, keys: bool) -> DeskReport:
        raise IpsecfdError(f"with keys: {keys}")

    async def set_dynamic(self, *, revision: int, dynamic: str) -> list[str]:
        self.told.append(f"dynamic {revision} {len(dynamic)}")
        return []

    async def take_stores(self) -> list[str]:
        return []

    def domain(self) -> DomainReport:
        raise IpsecfdError("there is no domain policy here")

    async def refresh_domain(self) -> str:
        return "the domain policy has not changed"

    async def netdiag(self, *, debug: bool) -> str:
        return "IP Security test"

    async def assign(self, *, name: str, confirm: int | None) -> list[str]:
        self.told.append(f"assign stored {name} {confirm}")
        return []

    async def assign_file(self, *, file: str, confirm: int | None) -> list[str]:
        self.told.append(f"assign {file} {confirm}")
        return ["a note"]

    async def unassign(self, *, name: str | None, confirm: int | None) -> list[str]:
        self.told.append(f"unassign {name} {confirm}")
        return []

    async def foresee(
        self, *, file: str | None, name: str | None, mode: str | None, session: str
    ) -> Foresight:
        cut = CutReport("a <- b", True, "in", "filter", "r", "f", False, None)
        return Foresight(3, 1, [cut])

    def trial(self) -> TrialReport | None:
        return None

    async def confirm(self) -> str:
        return "mode block"

    async def rollback(self) -> str:
        raise IpsecfdError("nothing is on trial")

    def in_force(self) -> InForce:
        return InForce("linux", 3, False, False, False, ["ppp*"], [], [ExactPolicy("local", "{}")])

    async def resolve(self) -> list[str]:
        return []


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that other users can enter, with a path short enough for a socket."""
    if os.geteuid() != 0:
        pytest.skip("only root may use a control socket, and only root can give one to a group")
    with tempfile.TemporaryDirectory(prefix="ipsecfd-") as name:
        Path(name).chmod(0o755)
        yield Path(name) / "run" / "control.sock"


@pytest.fixture
def service() -> FakeService:
    """What the socket leads to."""
    return FakeService()


@pytest.fixture
async def served(
    place: Path, service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Path]:
    """A socket that is served, with a group."""
    monkeypatch.setattr(control, "group_number", lambda _name: GROUP)
    async with ControlServer(place, "ipsecfd", service):
        yield place


async def call(path: Path, method: str, **parameters: Any) -> Any:
    """Call a method as a command does."""
    return await asyncio.to_thread(client.call, path, method, **parameters)


# --- rights ---


def test_rights_by_credentials() -> None:
    """Root everything, members of the group look, others nothing, and nobody without a group."""
    assert Rights.EVERYTHING is rights(0, frozenset(), GROUP)
    assert Rights.LOOK is rights(1000, frozenset({1000, GROUP}), GROUP)
    assert Rights.NOTHING is rights(1000, frozenset({1000}), GROUP)
    assert Rights.NOTHING is rights(1000, frozenset({1000, GROUP}), None)


@pytest.mark.parametrize("method", sorted(METHODS))
@pytest.mark.parametrize("allowed", Rights)
def test_each_method_by_rights(service: FakeService, method: str, allowed: Rights) -> None:
    """Who may look may call what changes nothing, and that only."""
    registry = Registry(service, allowed)
    wanted = Rights.LOOK if method in LOOKING else Rights.EVERYTHING
    if allowed >= wanted:
        assert registry.lookup_method(VarlinkMethodCall(f"{NAME}.{method}", {}))
    else:
        with pytest.raises(PermissionDenied):
            registry.lookup_method(VarlinkMethodCall(f"{NAME}.{method}", {}))


def test_everything_the_agent_does_can_be_asked_for() -> None:
    """Each method of the agent has a name on the socket, and GetDesk knows who asks."""
    asked = {one.method.__name__ for one in REQUESTS} | {"desk"}
    assert asked == {name for name in vars(Service) if not name.startswith("_")}


HARMLESS = "FilterStats GetDesk GetDomain GetMode GetPolicies GetShadow GetStateDir GetTrial"
HARMLESS += " ListFlows ListPolicies Netdiag ShowPolicy Stats Status"


def test_what_the_group_may_call() -> None:
    """The methods that change nothing, and no other."""
    assert set(HARMLESS.split()) == LOOKING


_ASK = f"""
import json, os, socket, sys
user, *groups = map(int, sys.argv[2:])
os.setgroups(groups)
os.setgid(user)
os.setuid(user)
peer = socket.socket(socket.AF_UNIX)
try:
    peer.connect(sys.argv[1])
except PermissionError:
    print("refused at the door")
    sys.exit()
for method in ("GetMode", "Reload"):
    peer.sendall(json.dumps({{"method": "{NAME}." + method}}).encode() + b"\\0")
    answer = b""
    while not answer.endswith(b"\\0"):
        answer += peer.recv(4096)
    print(json.loads(answer[:-1]).get("error", "done"))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes other users")
@pytest.mark.parametrize(
    ("user", "groups", "answers"),
    [
        (0, [], ["done", f"{NAME}.Refused"]),
        (1000, [GROUP], ["done", "org.varlink.service.PermissionDenied"]),
        (1000, [], ["refused at the door"]),
    ],
)
async def test_other_users(served: Path, user: int, groups: list[int], answers: list[str]) -> None:
    """The kernel's word counts: user, and supplementary groups, of the process that connects."""
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", _ASK, *map(str, (served, user, *groups))],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (answers, "") == (done.stdout.splitlines(), done.stderr)


async def test_socket_file_is_for_root_and_the_group(served: Path) -> None:
    """Nobody else can even connect."""
    found = served.stat()
    assert (stat.S_IMODE(found.st_mode), found.st_gid) == (0o660, GROUP)


async def test_missing_group_means_root_only(place: Path, service: FakeService) -> None:
    """A warning, never a failed start (design)."""
    async with ControlServer(place, "no-such-group", service) as server:
        assert stat.S_IMODE(place.stat().st_mode) == 0o600
        assert server.warning is not None
        assert "no-such-group" in server.warning
        assert await call(place, "GetMode") == "secure"


@pytest.mark.parametrize(("allowed", "keys"), [(Rights.EVERYTHING, True), (Rights.LOOK, False)])
async def test_keys_are_for_root(service: FakeService, allowed: Rights, keys: bool) -> None:
    """Who may only look sees dynamic rules without their pre-shared keys."""
    method, _ = Registry(service, allowed).lookup_method(VarlinkMethodCall(f"{NAME}.GetDesk", {}))
    with pytest.raises(IpsecfdError, match=f"with keys: {keys}"):
        await method()


# --- calls ---


async def test_answers_arrive_typed(served: Path, service: FakeService) -> None:
    """What the service returns is what the command gets."""
    assert await service.list_policies() == await call(served, "ListPolicies")
    assert await call(served, "AssignPolicy", file="/x") == ["a note"]
    assert None is await call(served, "SetMode", mode="block")
    assert await call(served, "AssignPolicy", file="/x", confirm=60) == ["a note"]
    assert await call(served, "GetTrial") is None
    assert await call(served, "GetPolicies") == service.in_force()
    foreseen = await service.foresee(file=None, name=None, mode="block", session="")
    assert foreseen == await call(served, "Foresee", file=None, name=None, mode="block", session="")
    assert service.told == ["assign /x None", "mode block None", "assign /x 60"]


async def test_counts_arrive_typed(served: Path, service: FakeService) -> None:
    """So do counts, learnt flows and what a shadow policy would change."""
    assert await service.stats() == await call(served, "Stats")
    assert await service.filter_stats(every=True, first=0) == await call(
        served, "FilterStats", every=True, first=0
    )
    wanted: dict[str, Any] = {"address": "192.0.2.0/24", "port": 80, "rule": None}
    wanted |= {"direction": "in", "most": 7}
    assert await service.list_flows(**wanted) == await call(served, "ListFlows", **wanted)
    assert await call(served, "GetShadow", most=20, flows=3) == SHADOW
    assert await call(served, "StartShadow", file="/x") == []
    assert service.told == ["shadow /x"]
    with pytest.raises(client.ClientError, match="there is no shadow policy"):
        await call(served, "StopShadow")


@pytest.mark.parametrize("answer", [{}, {"mode": 5}, {"mode": "secure", "new": 1}])
async def test_daemon_of_another_release(place: Path, answer: dict[str, object]) -> None:
    """An answer with other fields is no defect of the command's: the line says what to do."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\0")
        writer.write(json.dumps({"parameters": answer}).encode() + b"\0")
        await reader.read()
        writer.close()

    place.parent.mkdir()
    async with await asyncio.start_unix_server(serve, place):
        with pytest.raises(client.ClientError, match=r"control\.sock .* another release\? restart"):
            await call(place, "GetMode")


async def test_refusals_carry_all_mistakes(served: Path) -> None:
    """A reason may have a line for each mistake."""
    with pytest.raises(client.ClientError, match=r"first mistake\nweb\.toml: second mistake"):
        await call(served, "Reload")


async def test_refusals_of_plain_methods(served: Path) -> None:
    """Methods that answer at once refuse in the same way."""
    with pytest.raises(client.ClientError, match="no policy named web"):
        await call(served, "ShowPolicy", name="web")


async def test_defect_is_not_the_end(served: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An unexpected error is told and logged, and the next call is answered."""
    with pytest.raises(client.ClientError, match="internal error"):
        await call(served, "Status")
    assert "ZeroDivisionError" in capsys.readouterr().err
    assert await call(served, "GetMode") == "secure"


async def test_describes_itself(served: Path) -> None:
    """`varlinkctl introspect` works: the interface says what it can do, and no name in it
    stands for two things, which `varlinkctl validate-idl` refuses."""
    question = {
        "method": "org.varlink.service.GetInterfaceDescription",
        "parameters": {"interface": NAME},
    }
    [answer] = await raw(served, question)
    description = answer["parameters"]["description"]
    assert description.startswith("# Look at the running ipsecfd")
    for method in METHODS:
        assert f"method {method}(" in description
    names = re.findall(
        r"^(?:type|method|error) (\w+) ", description.replace("(", " ("), re.MULTILINE
    )
    assert [name for name, times in Counter(names).items() if times > 1] == []


async def raw(path: Path, *questions: object) -> list[Any]:
    """The answers to questions sent all at once."""
    reader, writer = await asyncio.open_unix_connection(path)
    for question in questions:
        text = question if isinstance(question, bytes) else json.dumps(question).encode()
        writer.write(text + b"\0")
    answers = [json.loads((await reader.readuntil(b"\0"))[:-1]) for _ in questions]
    writer.close()
    await writer.wait_closed()
    return answers


@pytest.mark.parametrize(
    ("question", "error"),
    [
        ({"method": f"{NAME}.Nonsense"}, "org.varlink.service.MethodNotFound"),
        ({"method": "a.b.C"}, "org.varlink.service.InterfaceNotFound"),
        ({"method": f"{NAME}.SetMode"}, "org.varlink.service.InvalidParameter"),
        (
            {"method": f"{NAME}.SetMode", "parameters": {"mode": 5}},
            "org.varlink.service.InvalidParameter",
        ),
        (
            {"method": f"{NAME}.SetMode", "parameters": {"mode": "block", "x": 1}},
            "org.varlink.service.InvalidParameter",
        ),
    ],
)
async def test_wrong_calls(served: Path, question: object, error: str) -> None:
    """Nonsense is answered with Varlink's own errors."""
    [answer] = await raw(served, question)
    assert error == answer["error"]


async def flood(path: Path) -> None:
    """Send a request without an end."""
    _, writer = await asyncio.open_unix_connection(path)
    try:
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()
            await asyncio.sleep(0)
    finally:
        writer.close()


async def test_endless_request_is_cut_off(served: Path) -> None:
    """No client can fill the agent's memory."""
    with pytest.raises(ConnectionError):
        await flood(served)
    assert await call(served, "GetMode") == "secure"


async def test_many_connections_keep_nobody_out(
    served: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Idle connections are limited; when they end, others have their turn."""
    monkeypatch.setattr(control, "MAX_CONNECTIONS", 4)
    idle = [await asyncio.open_unix_connection(served) for _ in range(4)]
    await asyncio.sleep(0.01)
    waiting = asyncio.create_task(call(served, "GetMode"))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    for _, writer in idle:
        writer.close()
        await writer.wait_closed()
    assert await asyncio.wait_for(waiting, 5) == "secure"


# --- the socket itself ---


async def test_stale_socket_is_replaced(place: Path, service: FakeService) -> None:
    """What a crash left behind is in nobody's way."""
    place.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as old:
        old.bind(str(place))
    async with ControlServer(place, "ipsecfd", service):
        assert await call(place, "GetMode") == "secure"
    assert not place.exists()


async def test_other_file_is_not_replaced(place: Path, service: FakeService) -> None:
    """A mistyped path costs nobody a file."""
    place.parent.mkdir()
    place.write_text("precious")
    with pytest.raises(ControlError, match="already in use"):
        async with ControlServer(place, "ipsecfd", service):
            pass
    assert place.read_text() == "precious"


async def test_path_that_is_too_long(tmp_path: Path, service: FakeService) -> None:
    """The kernel's limit of 107 bytes is told, not raised."""
    with pytest.raises(ControlError, match="control socket cannot be made"):
        async with ControlServer(tmp_path / ("x" * 120), "ipsecfd", service):
            pass


def test_client_without_a_daemon(tmp_path: Path) -> None:
    """The line says how to start it."""
    path = tmp_path / "control.sock"
    with pytest.raises(client.ClientError, match=f"not running.*{path}.*systemctl start ipsecfd"):
        client.call(path, "GetMode")
