"""Which raw packets pass our rules: each is noted before and behind them, by a number it carries.

The packets come from the wire, from the host itself, or are to be routed by it. Behind the rules
they end, and the host sends nothing of its own: only they change what a rule remembers.
"""

from __future__ import annotations

import contextlib
import json
import socket
import time
from typing import Final

from ipsecfd.driver.decision import Direction
from ipsecfd.lab import Lab
from ipsecfd.lab.craft import with_header_checksum

MARKED: Final = 0x1C
"""The type of service of packets that are noted: the kernel's own have another."""
_SENTINEL: Final = 0xFFFF
_LAST, _FIRST = 2_147_483_647, -2_147_483_648  # hook priorities

_TABLE: Final = f"""
table inet witness {{
    set seen4 {{ typeof ip id; flags dynamic; size 65536; }}
    set seen6 {{ typeof ip6 flowlabel; flags dynamic; size 65536; }}
    set passed4 {{ typeof ip id; flags dynamic; size 65536; }}
    set passed6 {{ typeof ip6 flowlabel; flags dynamic; size 65536; }}
    chain see {{
        ip dscp {MARKED >> 2} add @seen4 {{ ip id }}
        ip6 dscp {MARKED >> 2} add @seen6 {{ ip6 flowlabel }}
    }}
    chain pass {{
        ip dscp {MARKED >> 2} add @passed4 {{ ip id }} drop
        ip6 dscp {MARKED >> 2} add @passed6 {{ ip6 flowlabel }} drop
        drop
    }}
    chain nobody_else {{
        type filter hook output priority {_FIRST};
        oif lo accept
        ip dscp != {MARKED >> 2} drop
        ip6 dscp != {MARKED >> 2} drop
    }}
    chain before_in {{ type filter hook input priority mangle - 3; jump see; }}
    chain behind_in {{ type filter hook input priority {_LAST}; iif lo accept; goto pass; }}
    chain before_out {{ type filter hook postrouting priority {_FIRST}; jump see; }}
    chain behind_out {{ type filter hook postrouting priority {_LAST}; oif lo accept; goto pass; }}
    chain routed {{ type filter hook forward priority mangle - 3; jump see; }}
}}
"""


class Witness:
    """Sends packets to, from and through the lab's guard, and knows which of them passed."""

    def __init__(self, lab: Lab) -> None:
        self._guard, self._peer = lab["guard"], lab["peer"]
        self._guard.path("/run/witness.nft").write_text(_TABLE)
        self._guard.run(["nft", "-f", "/run/witness.nft"], check=True)
        self._wire = self._peer.socket(socket.AF_PACKET, socket.SOCK_RAW)
        self._wire.bind(("eth0", 0))
        self._own = {
            4: self._guard.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW),
            6: self._guard.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW),
        }
        self._own[4].setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)

    def __enter__(self) -> Witness:
        return self

    def __exit__(self, *_: object) -> None:
        for one in (self._wire, *self._own.values()):
            one.close()

    def send(self, packet: bytes, direction: Direction) -> None:
        """Send one IP packet; `numbered` has given it the number by which it is known."""
        if direction is Direction.OUT:
            self._send_own(packet)
        else:
            self._send_on_wire(packet)

    def settle(self) -> None:
        """Wait until what came from the wire has been judged."""
        number = str(_SENTINEL)
        self._guard.run(["nft", "delete", "element", "inet", "witness", "seen4", f"{{{number}}}"])
        self._send_on_wire(numbered(SENTINEL, _SENTINEL))
        deadline = time.monotonic() + 10
        get = ["nft", "get", "element", "inet", "witness", "seen4", f"{{ {number} }}"]
        while self._guard.run(get).returncode:
            assert time.monotonic() < deadline, "packets do not arrive"

    def forget(self) -> None:
        """Forget all packets; numbers may be used again."""
        names = ("seen4", "seen6", "passed4", "passed6")
        self._guard.path("/run/forget.nft").write_text(
            "".join(f"flush set inet witness {name}\n" for name in names)
        )
        self._guard.run(["nft", "-f", "/run/forget.nft"], check=True)

    def seen(self, family: int) -> set[int]:
        """The numbers of the packets that came to our rules."""
        return self._set(f"seen{family}")

    def passed(self, family: int) -> set[int]:
        """The numbers of those that our rules let pass."""
        return self._set(f"passed{family}")

    def _send_own(self, packet: bytes) -> None:
        with contextlib.suppress(PermissionError):  # how a sender learns that it was dropped
            if packet[0] >> 4 == 4:
                self._own[4].sendto(packet, (socket.inet_ntoa(packet[16:20]), 0))
            else:
                destination = socket.inet_ntop(socket.AF_INET6, packet[24:40])
                self._own[6].sendto(packet, (destination, 0, 0, self._guard.ifindex))

    def _send_on_wire(self, packet: bytes) -> None:
        kind = b"\x08\x00" if packet[0] >> 4 == 4 else b"\x86\xdd"
        frame = _link_address(packet, self._guard.mac) + bytes.fromhex("020000000002") + kind
        self._wire.send(frame + with_header_checksum(packet))

    def _set(self, name: str) -> set[int]:
        listed = self._guard.run(["nft", "-j", "list", "set", "inet", "witness", name], check=True)
        (found,) = (one["set"] for one in json.loads(listed.stdout)["nftables"] if "set" in one)
        return {int(one) for one in found.get("elem", ())} - {_SENTINEL}


def numbered(packet: bytes, number: int) -> bytes:
    """A packet that is noted under this number, of 16 bits for IPv4, of 20 for IPv6."""
    if packet[0] >> 4 == 4:
        return packet[:1] + bytes((MARKED,)) + packet[2:4] + number.to_bytes(2, "big") + packet[6:]
    return (6 << 28 | MARKED << 20 | number).to_bytes(4, "big") + packet[4:]


def _link_address(packet: bytes, unicast: str) -> bytes:
    """Where on the link a packet for its destination goes."""
    if packet[0] >> 4 == 6:
        if packet[24] == 0xFF:
            return b"\x33\x33" + packet[36:40]
    elif packet[16:20] in (b"\xff" * 4, socket.inet_aton("192.0.2.255")):
        return b"\xff" * 6
    elif packet[16] >> 4 == 14:
        return b"\x01\x00\x5e" + bytes((packet[17] & 0x7F,)) + packet[18:20]
    return bytes.fromhex(unicast.replace(":", ""))


SENTINEL: Final = bytes.fromhex(
    "4500001c0000000040110000c0000201c000020a0001000100080000"  # UDP 192.0.2.1:1 -> 192.0.2.10:1
)
