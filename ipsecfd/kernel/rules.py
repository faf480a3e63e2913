"""The nftables table `inet ipsecfd`: which packets are queued, and what holds while nobody judges.

Always changed in single transactions, so that no packet meets half a rule set. Nobody else's table
is touched, and an accepted packet goes on to everybody else's chains.
"""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from typing import Any, Final

from ipsecfd.kernel import nfnetlink
from ipsecfd.kernel.errors import KernelError

TABLE: Final = "ipsecfd"
NFT_QUEUE: Final = "nft queue"
XT_NFQUEUE: Final = "iptables NFQUEUE target"
DEFAULT_MARK: Final = 0x80000000

_NFT_SECONDS = 30
_LAST, _FIRST = 2_147_483_647, -2_147_483_647  # hook priorities


@dataclass(frozen=True, slots=True)
class RulesConfig:
    """Which packets go to which queues."""

    queue: int = 88
    processes: int = 1
    """How many queues, from `queue` on; both directions of a flow go to the same one."""
    forward: bool = False
    """Queue routed packets, too."""
    bypass: bool = False
    """Accept packets while nobody is bound to their queue; otherwise they are dropped."""
    mark: int = DEFAULT_MARK
    """The bit of the packet mark that tells routed packets from the host's own between FORWARD
    and POSTROUTING. It is seen by nobody else and never set on a packet of the host."""


def install(config: RulesConfig) -> str:
    """Queue packets from now on, in place of whatever our table held; says which hook is used.

    Until somebody binds the queues, packets are dropped (or pass, with `bypass`). Raises
    KernelError and changes nothing when the kernel or nft refuses.
    """
    kind = hook_kind()
    old = _chains()
    chain = next(name for name in ("judge", "judge2", "judge3") if name not in old)
    last = config.queue + config.processes - 1
    numbers = f"{config.queue}-{last}" if config.processes > 1 else f"{config.queue}"
    statement = f"queue {'flags bypass ' if config.bypass else ''}to {numbers}"
    # The chain that queues leads nowhere until the second step puts it in use.
    _nft(
        f"add table inet {TABLE}\nadd chain inet {TABLE} {chain}\n"
        + (f"add rule inet {TABLE} {chain} {statement}\n" if kind == NFT_QUEUE else "")
    )
    if kind == XT_NFQUEUE:
        try:
            nfnetlink.add_queue_target(
                TABLE, chain, config.queue, config.processes, bypass=config.bypass
            )
        except KernelError:
            _nft(f"delete chain inet {TABLE} {chain}" if old else f"delete table inet {TABLE}")
            raise
    judge = f"goto {chain}"
    routed = f"jump {chain}" if config.forward else ""
    _replace(_base_chains(config.mark, judge, routed, judge), keep=chain)
    return kind


def close() -> None:
    """Drop everything in and out but loopback and routed packets, in place of our table's rules."""
    _nft(f"add table inet {TABLE}")
    _replace(_base_chains(DEFAULT_MARK, inbound="drop", routed="", outbound="drop"), keep=None)


def remove() -> None:
    """Take all our rules away; the host is open afterwards, as when Windows' service stops."""
    _nft(f"add table inet {TABLE}\ndelete table inet {TABLE}")


def present() -> bool:
    """Whether our rules are in force, perhaps from a run that crashed.

    A table that somebody emptied, and that lets everything pass, is none.
    """
    last: dict[str, dict[str, Any]] = {}  # by chain, the last statement of its last rule
    for one in _listed():
        if "rule" in one:
            last[one["rule"]["chain"]] = one["rule"]["expr"][-1]
    return all(
        "drop" in statement or statement.get("goto", {}).get("target") in last
        for statement in (last.get("input", {}), last.get("postrouting", {}))
    )


def hook_kind() -> str:
    """NFT_QUEUE where this kernel has nftables' own queue statement, else XT_NFQUEUE."""
    return NFT_QUEUE if _accepts("queue to 0") else XT_NFQUEUE


def _base_chains(mark: int, inbound: str, routed: str, outbound: str) -> str:
    """The base chains, with the statement for packets in, routed and out; loopback passes.

    Routed packets get the mark bit behind everybody else's FORWARD chains and lose it before
    everybody else's POSTROUTING chains. A packet of the host's own that carries the bit, forged
    or restored, loses it behind everybody else's OUTPUT chains.
    """
    bit, rest = f"{mark:#010x}", f"{~mark & 0xFFFFFFFF:#010x}"
    # Reassembles fragments of both families before they reach a hook (spec 5): the tproxy
    # expression loads that, and no packet ever matches this rule.
    defragment = _DEFRAGMENT if _accepts(_DEFRAGMENT, hook="prerouting") else ""
    return f"""
    chain defragment {{
        type filter hook prerouting priority raw; policy accept;
        {defragment}
    }}
    chain input {{
        type filter hook input priority mangle; policy accept;
        iif lo accept
        {inbound}
    }}
    chain forward {{
        type filter hook forward priority mangle; policy accept;
        {routed}
    }}
    chain routed {{
        type filter hook forward priority {_LAST}; policy accept;
        meta mark set meta mark or {bit}
    }}
    chain own {{
        type filter hook output priority {_LAST}; policy accept;
        meta mark and {bit} != 0 meta mark set meta mark and {rest}
    }}
    chain postrouting {{
        type filter hook postrouting priority {_FIRST}; policy accept;
        oif lo accept
        meta mark and {bit} != 0 meta mark set meta mark and {rest} accept
        {outbound}
    }}
"""


_DEFRAGMENT: Final = 'iifname "ipsecfd-none" meta l4proto tcp tproxy to :1'


def _replace(chains: str, keep: str | None) -> None:
    """Put these chains in place of all others of our table but `keep`, in one transaction."""
    old = [name for name in _chains() if name != keep]
    _nft(
        "".join(f"flush chain inet {TABLE} {name}\n" for name in old)
        + "".join(f"delete chain inet {TABLE} {name}\n" for name in old)
        + f"table inet {TABLE} {{ {chains} }}"
    )


def _chains() -> list[str]:
    return [one["chain"]["name"] for one in _listed() if "chain" in one]


def _listed() -> list[dict[str, Any]]:
    """All that is in our table; nothing when there is none."""
    there = any(
        one.get("table", {}).get("name") == TABLE and one["table"]["family"] == "inet"
        for one in _nft_json("list", "tables")
    )
    return _nft_json("list", "table", "inet", TABLE) if there else []


def _accepts(rule: str, hook: str = "input") -> bool:
    """Whether this kernel knows a rule; nothing is changed."""
    script = (
        f"add table inet {TABLE}-probe\n"
        f"add chain inet {TABLE}-probe probe {{ type filter hook {hook} priority 0; }}\n"
        f"add rule inet {TABLE}-probe probe {rule}\n"
    )
    return _run(["nft", "-c", "-f", "-"], script).returncode == 0


def _nft(script: str) -> None:
    result = _run(["nft", "-f", "-"], script)
    if result.returncode:
        raise KernelError(_explain(result.stderr))


def _nft_json(*words: str) -> list[dict[str, Any]]:
    result = _run(["nft", "-j", *words])
    if result.returncode:
        raise KernelError(_explain(result.stderr))
    listed: list[dict[str, Any]] = json.loads(result.stdout)["nftables"]
    return listed


def _run(command: list[str], script: str | None = None) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command,
            input=script,
            capture_output=True,
            text=True,
            timeout=_NFT_SECONDS,
            check=False,
            process_group=0,  # a second Ctrl-C must not end the nft that takes the rules away
        )
    except FileNotFoundError as error:
        raise KernelError("the program nft is missing: apt install nftables") from error
    except subprocess.TimeoutExpired as error:
        raise KernelError(f"nft did not answer within {_NFT_SECONDS} s") from error


def _explain(stderr: str) -> str:
    first = next((line for line in stderr.splitlines() if "rror" in line), stderr.strip())
    if "not permitted" in stderr:
        return "nftables rules cannot be changed: run as root or with CAP_NET_ADMIN"
    return f"nft refused our rules: {first}"
