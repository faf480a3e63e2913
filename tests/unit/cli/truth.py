"""The truth table as command lines: its policies as files, its cases as packets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

TRUTH = json.loads((Path(__file__).parents[2] / "data" / "truth-table.json").read_text())
CASES: list[dict[str, Any]] = TRUTH["cases"]
ADDRESS = "192.0.2.10/24"


def _side(address: str, port: int) -> str:
    return f"{address}:{port}" if port else address


def policy_file(name: str, directory: Path) -> Path:
    """A policy of the table as a TOML file: each filter as a rule of its own name."""
    (policy,) = (one for one in TRUTH["policies"] if one["name"] == name)
    lines = [f'name = "{name}"']
    for one in policy["filters"]:
        source, destination = _side(one["src"], one["srcport"]), _side(one["dst"], one["dstport"])
        arrow = "<->" if one["mirrored"] else "->"
        text = f"{source} {arrow} {destination} {one['protocol'].lower()}"
        lines += ["[[rule]]", f'name = "{one["name"]}"', f'action = "{one["action"]}"']
        lines += [f'filters = ["{text}"]']
    path = directory / f"{name}.toml"
    path.write_text("\n".join(lines) + "\n")
    return path


def packet_text(case: dict[str, Any]) -> str:
    """A case's packet as the text that `explain` takes."""
    source, destination = _side(case["src"], case["sport"]), _side(case["dst"], case["dport"])
    return f"{case['direction']} {case['proto']} {source} -> {destination}"


def options(case: dict[str, Any], policy: Path) -> list[str]:
    """The options that a case is judged by."""
    return [
        *("--policy", str(policy), "--address", ADDRESS),
        *("--profile", case["profile"], "--exempt", str(case["exempt"])),
    ]


def decided_by(answer: dict[str, Any]) -> str:
    """Who decided, in the table's spelling, of the JSON of either command."""
    if answer["exemption"]:
        return str(answer["exemption"])
    if answer["reason"] == "no-filter":
        return "no filter"
    return f"{answer['rule']}'" if answer["mirrored"] else str(answer["rule"])
