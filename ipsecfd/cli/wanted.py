"""Which packets are wanted: the options of `log` and `flows`, and which records they choose."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import re
from dataclasses import dataclass
from typing import Any

import typer

from ipsecfd.cli.log_text import datetime_of, is_drop
from ipsecfd.cli.usage import UsageError
from ipsecfd.cli.values import number, offered
from ipsecfd.policy.model import IPNetwork

_AGO = re.compile(r"(\d{1,9})\s*([smhd])", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def address_option(things: str) -> Any:
    """The option that chooses by either end's address; `things` is what is shown."""
    return typer.Option("--address", metavar="ADDRESS[/PREFIX]", help=f"{things} from or to there.")


def port_option(things: str) -> Any:
    """The option that chooses by either end's port."""
    ports = number(0, 65535)
    return typer.Option("--port", metavar="PORT", parser=ports, help=f"{things} from or to it.")


def rule_option(things: str) -> Any:
    """The option that chooses by the deciding filter's rule."""
    return typer.Option("--rule", metavar="NAME", help=f"{things} by this rule, in any case.")


def direction_option(things: str) -> Any:
    """The option that chooses by direction."""
    return typer.Option(
        "--direction",
        metavar="DIRECTION",
        help=f"{things} in, out or forward.",
        autocompletion=offered(("in", "out", "forward")),
    )


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which records to show; None asks for nothing."""

    network: IPNetwork | None = None
    port: int | None = None
    rule: str | None = None
    direction: str | None = None
    since: datetime.datetime | None = None

    @classmethod
    def of_options(
        cls,
        address: str | None,
        port: int | None,
        rule: str | None,
        direction: str | None,
        since: str | None = None,
    ) -> Wanted:
        """Read the options; raises UsageError."""
        try:
            network = None if address is None else ipaddress.ip_network(address, strict=False)
        except ValueError:
            raise UsageError(f"--address {address!r}: expected an address or a prefix") from None
        direction = None if direction is None else direction.lower()
        if direction not in (None, "in", "out", "forward"):
            raise UsageError(f"--direction {direction!r}: expected in, out or forward")
        at = None if since is None else _moment(since)
        return cls(network, port, None if rule is None else rule.casefold(), direction, at)

    @property
    def everything(self) -> bool:
        """Whether nothing is asked for."""
        return self == Wanted()

    def matches(self, record: dict[str, Any]) -> bool:
        """Whether to show this record. Only drops have addresses, ports, rules and directions."""
        if self.since is not None:
            at = datetime_of(record.get("last", record.get("time")))
            if at is None or at < self.since:
                return False
        if self.port is not None and (
            self.port not in (record.get("source_port"), record.get("destination_port"))
        ):
            return False
        if self.rule is not None and (
            not is_drop(record) or str(record.get("rule")).casefold() != self.rule
        ):
            return False
        if self.direction is not None and record.get("direction") != self.direction:
            return False
        return self.network is None or any(
            self._covers(record.get(end)) for end in ("source", "destination")
        )

    def _covers(self, address: object) -> bool:
        assert self.network is not None
        try:
            return ipaddress.ip_address(str(address)) in self.network
        except ValueError:
            return False


def _moment(text: str) -> datetime.datetime:
    """The time that --since means, in the local time zone."""
    now = datetime.datetime.now().astimezone()
    ago = _AGO.fullmatch(text.strip())
    try:
        if ago is not None:
            seconds = int(ago[1]) * _SECONDS[ago[2]]
            return now - datetime.timedelta(seconds=seconds)
        with contextlib.suppress(ValueError):
            today = datetime.time.fromisoformat(text.strip())
            return datetime.datetime.combine(now.date(), today).astimezone()
        return datetime.datetime.fromisoformat(text.strip()).astimezone()
    except (ValueError, OverflowError):
        raise UsageError(
            f'--since {text!r}: expected such as 10m, 2h, 1d, 12:00 or "2026-11-21 12:00"'
        ) from None
