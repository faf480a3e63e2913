"""The import directions of docs/architecture.md."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import ipsecfd

ROOT = Path(ipsecfd.__file__).parent
MODULES = sorted(path.relative_to(ROOT.parent) for path in ROOT.rglob("*.py"))

EVERYWHERE = {"ipsecfd", "ipsecfd.errors"}
"""What any part may import."""

MAY_IMPORT = {
    # the form of a boot exemption, what profiles filter, what `netsh ipsec dynamic show` says of
    # specific filters
    "policy": {
        *("policy", "driver.modes", "driver.exemptions"),
        *("driver.specific", "driver.decision", "driver.sides"),
    },
    "driver": {"driver", "policy.model"},
    "kernel": {"kernel", "driver", "policy.model"},
    "agent": {"agent", "kernel", "driver", "policy"},
    "lab": {"lab", "agent", "kernel", "driver", "policy"},
    "cli": {"cli", "lab", "agent", "kernel", "driver", "policy"},
}

NOT_IN_THE_PACKET_PROCESS = {"pydantic", "pyroute2", "rich", "scapy", "structlog", "typer"}


def imports(path: Path) -> Iterator[str]:
    """The modules that a file imports anywhere in it, also inside functions."""
    for node in ast.walk(ast.parse((ROOT.parent / path).read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute here"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if is_module(inner) else str(node.module)


def is_module(name: str) -> bool:
    path = ROOT.parent.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").exists()


def part(path: Path) -> str | None:
    """The package of the architecture that a file belongs to."""
    return path.parts[1] if len(path.parts) > 2 else None


def within(name: str, allowed: set[str]) -> bool:
    return any(name == f"ipsecfd.{one}" or name.startswith(f"ipsecfd.{one}.") for one in allowed)


@pytest.mark.parametrize("path", [path for path in MODULES if part(path)], ids=str)
def test_imports_point_one_way(path: Path) -> None:
    """A part imports only what docs/architecture.md puts below it."""
    allowed = MAY_IMPORT[str(part(path))]
    wrong = [
        name
        for name in imports(path)
        if name.split(".")[0] == "ipsecfd" and name not in EVERYWHERE and not within(name, allowed)
    ]
    assert wrong == []


def test_model_imports_nothing_of_the_package() -> None:
    """policy.model stands at the bottom."""
    wrong = [name for name in imports(Path("ipsecfd/policy/model.py")) if "ipsecfd" in name]
    assert wrong == []


@pytest.mark.parametrize(
    "path",
    [path for path in MODULES if part(path) == "driver" or path.name == "model.py"],
    ids=str,
)
def test_driver_and_model_need_only_the_standard_library(path: Path) -> None:
    """No third-party import in the driver and policy.model: the packet process loads them."""
    wrong = {name.split(".")[0] for name in imports(path)} - sys.stdlib_module_names - {"ipsecfd"}
    assert wrong == set()


@pytest.mark.parametrize(
    "module", ["ipsecfd.driver.driver", "ipsecfd.driver.compile", "ipsecfd.agent.packets"]
)
def test_packet_process_loads_no_heavy_library(module: str) -> None:
    """What the packet process imports loads none of the large libraries."""
    loaded = subprocess.run(
        [sys.executable, "-c", f"import sys, {module}; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    ).stdout
    assert set(loaded.split()) & NOT_IN_THE_PACKET_PROCESS == set()
