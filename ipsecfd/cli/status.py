"""`ipsecfd status`: everything about the running daemon on one page, warnings last."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from ipsecfd.cli.decision_text import wrap
from ipsecfd.cli.figures import many, size, time
from ipsecfd.cli.live import JsonOption, SocketOption, ask, print_json
from ipsecfd.cli.policy import policy_lines
from ipsecfd.cli.terminal import width
from ipsecfd.cli.trial import trial_words

if TYPE_CHECKING:
    from ipsecfd.agent.packet_reports import CacheReport
    from ipsecfd.agent.report import DomainReport, QueueReport, StatusReport

_LABEL = 13  # columns of the names on the left
_MANY_ADDRESSES = 20
_WAYS = (
    "mend it, then `ipsecfd reload`; unless a store is damaged, `ipsecfd policy assign` takes"
    " another policy, and `ipsecfd policy unassign` does without; meanwhile `ipsecfd mode permit`"
    " opens this host"
)


def status(as_json: JsonOption = False, socket: SocketOption = None) -> None:
    """Show mode, policies, addresses, counts, health and warnings."""
    found: StatusReport = ask(socket, "Status")
    if as_json:
        print_json(found)
    else:
        print("\n".join(status_lines(found, width())))


def status_lines(found: StatusReport, columns: int) -> list[str]:
    """The page, at most `columns` wide but for file names."""
    return [*_head(found, columns), "", *_body(found, columns), *_warnings(found, columns)]


def _head(found: StatusReport, columns: int) -> Iterator[str]:
    state = f"in {found.mode.upper()} mode"
    if found.starting and found.started_in is None:
        state = "STARTING: until the policies are read, what held before does"
    elif found.starting:
        state += " until the policies are read"
    yield from wrap("", f"ipsecfd {found.release} is {state}", columns)
    if found.mode_reason and found.mode_reason != found.trouble:
        yield from wrap("  ", found.mode_reason, columns)
    if found.trouble and not found.starting:
        for line in ("what is assigned cannot be applied:", *found.trouble.splitlines(), _WAYS):
            yield from wrap("  ", line, columns)
    if found.trial:
        yield from wrap("  ", trial_words(found.trial), columns)
    yield f"running since {time(found.since)}, pid {found.pid}"


def _body(found: StatusReport, columns: int) -> Iterator[str]:
    def row(label: str, text: str) -> Iterator[str]:
        yield from wrap(f"{label:{_LABEL}}", text, columns)

    began = f"in {found.started_in} mode" if found.started_in else "closed by rules that were there"
    began = "" if found.starting else f"this start was {began}, "
    yield from row("start-up", f"{began}the next will be in {found.startup_mode} mode")
    yield from row("behaves like", f"{found.profile}, default exemptions {found.exempt}")
    opened = "dropped" if found.on_failure == "block" else "let through unjudged"
    yield from row("on failure", f"{found.on_failure}: while nobody judges, packets are {opened}")
    routed = "judged" if found.forward else "not judged"
    yield from row("packets by", f"{found.hook or 'no hook yet'}; routed packets are {routed}")
    yield ""
    yield from _policies(found, columns)
    yield ""
    yield from row("stores", _stores(found))
    if found.domain is not None:
        yield from row("domain", found.domain.source)
        yield from row("", domain_words(found.domain))
    yield ""
    yield from row("me", _some(found.addresses))
    for kind, servers in sorted(found.servers.items()):
        yield from row(kind, _some(servers))
    yield ""
    yield from _packets(found)
    yield ""
    for queue in found.queues:
        yield from row(f"queue {queue.number}", _queue(queue))
        if queue.pid:
            yield from row("", f"process {queue.pid}, {queue.memory / 1e6:.0f} MB")
    if found.restarts:
        times = "once" if found.restarts == 1 else f"{found.restarts:,} times"
        yield from row("", f"a packet process died and was replaced {times}")
    for label, text in zip(("cache", "", ""), _cache(found.cache), strict=False):
        yield from row(label, text)
    log = found.log
    how = f"written every {log.interval} s" if log.interval else "written at once"
    if log.problem:
        how = "not written at present"
    yield from row("log", f"level {log.level}, {how}, {_lost(found)}")
    yield f"{'':{_LABEL}}{log.file}"


def _policies(found: StatusReport, columns: int) -> Iterator[str]:
    filters = sum(policy.filters for policy in found.policies)
    yield f"Policies in force, version {found.version}, {many(filters, 'filter')}"
    if not found.policies:
        if found.starting:
            yield "  none yet"
        elif found.trouble:
            yield "  none: what is assigned cannot be applied"
        else:
            yield "  none: nothing is filtered in secure mode"
    for policy in found.policies:
        yield from (f"  {line}" for line in policy_lines(policy, columns - 2))


def _stores(found: StatusReport) -> str:
    if not found.stores:
        return "not read"
    held = [f"{one.store} {one.policies:,}" for one in found.stores if one.policies]
    if found.dynamic_rules:
        held.append(f"dynamic {many(found.dynamic_rules, 'rule')}")
    return f"policies: {', '.join(held)}" if held else "all empty"


def domain_words(domain: DomainReport) -> str:
    """How it stands with the domain policy, in a sentence."""
    again = f"next look {time(domain.next_look)}"
    if domain.error:
        what = "the copy kept here counts" if domain.known else "nothing is known of it"
        return f"not reached, {what}; {again}: {domain.error}"
    if domain.last_success is None:
        what = "the copy kept here counts" if domain.known else "nothing is known of it"
        return f"not reached yet, {what}; {again}"
    policy = f'"{domain.policy}"' if domain.policy else "no policy is assigned"
    return f"{policy}, last looked at {time(domain.last_success)}; {again}"


def _packets(found: StatusReport) -> Iterator[str]:
    yield "Packets judged"
    if not found.packets:
        yield "  none yet"
        return
    digits = max(len(f"{one.packets:,}") for one in found.packets)
    for one in sorted(found.packets, key=lambda one: (one.verdict != "block", -one.packets)):
        yield f"  {one.verdict:6}  {one.reason:10}  {one.packets:>{digits},}"


def _queue(queue: QueueReport) -> str:
    if not queue.pid:
        return "nobody judges its packets: the packet process is being replaced"
    return (
        f"{queue.waiting:,} waiting; dropped unjudged: {queue.dropped_full:,} when full,"
        f" {queue.dropped_socket:,} at the socket"
    )


def _cache(cache: CacheReport) -> Iterator[str]:
    if cache.on:
        yield f"on, {many(cache.flows, 'flow')} learnt"
    else:
        yield f"every packet is queued: {cache.why_off}"
    if cache.read is None:
        return
    yield f"{many(cache.packets, 'packet')} ({size(cache.octets)}) decided by the kernel alone"
    if cache.refused:
        yield f"{many(cache.refused, 'packet')} queued for want of room in a set"


def _lost(found: StatusReport) -> str:
    lost = [
        many(number, word)
        for number, word in ((found.log.lost_drops, "drop"), (found.log.lost_events, "event"))
        if number
    ]
    if lost:
        return f"{' and '.join(lost)} not written"
    return "nothing lost yet" if found.log.problem else "nothing lost"


def _warnings(found: StatusReport, columns: int) -> Iterator[str]:
    if found.warnings:
        yield ""
        yield many(len(found.warnings), "warning")
    for warning in found.warnings:
        yield from wrap("  ! ", warning, columns)


def _some(words: Iterable[str]) -> str:
    """A list that stays readable on a host with very many addresses."""
    all_words = list(words)
    text = ", ".join(all_words[:_MANY_ADDRESSES])
    left = len(all_words) - _MANY_ADDRESSES
    return (text or "none") + (f" and {left:,} more" if left > 0 else "")
