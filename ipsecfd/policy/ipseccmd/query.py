"""What ipseccmd shows: its help, and the policies, filters and authentication in force."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Final

from ipsecfd.policy.model import Policy, Store
from ipsecfd.policy.netdiag import filter_lines, shown_filters
from ipsecfd.policy.netsh.values import IPV6_PROFILES
from ipsecfd.policy.stores.content import Authentication, StoredPolicy
from ipsecfd.policy.workspace import Workspace

_HELP: Final = r"""Usage:
  {program} -f FILTER... [RULE]
      A dynamic rule: until the service stops.
  {program} -w TYPE -p NAME -r NAME -f FILTER... [RULE] [-x|-y]
      A rule of a stored policy, made or replaced.
  {program} -w TYPE -p NAME -x|-y|-o
      Assign, un-assign or delete a policy.
  {program} -u
      Delete all dynamic rules.
{more}
FILTER is SIDE=SIDE[:PROTOCOL], one way, or with + for = mirrored; DEFAULT is the
default response rule. (FILTER) permits and [FILTER] blocks, in dynamic rules.
SIDE is ADDRESS[/MASK][:PORT]; 0 is me, * is any, 10.0.11.* is a subnet.
PROTOCOL is ICMP, UDP, TCP, RAW or a number, behind the right side's port or an
empty one: *=0:80:TCP, 0:80+*::TCP, 0+*::ICMP.

RULE:
  -n BLOCK|PASS|INPASS|METHOD...  what to do; METHOD as ESP[3DES,SHA]
  -soft                           negotiate, but allow clear text
  -lan, -dialup                   the interfaces it is for; without, all
  -t ADDRESS                      tunnel end point
  -a METHOD...                    KERBEROS, PRESHARE:"KEY", CERT:"AUTHORITY"
  {main_mode:<32}main mode settings: kept, without effect
  -confirm                        ask first; dynamic rules only

TYPE is REG (local), DS[:DOMAIN] or PERS (persistent). NAME:MINUTES behind -p is
a policy with its polling interval. -x assigns it, -y un-assigns it, -o deletes
it with its rules and the lists and actions that no other rule uses."""
_IPSECCMD_HELP: Final = """\
  ipseccmd show filters|policies|auth|stats|sas|all...
  ipseccmd -file FILE
      Run the commands of a file.
"""

_AUTHENTICATION_WORDS: Final = MappingProxyType(
    {"kerberos": "KERBEROS", "psk": "PRESHARE", "rootca": "CERT"}
)


def help_text(program: str) -> str:
    """What -? prints."""
    is_ipsecpol = program == "ipsecpol"
    return _HELP.format(
        program=program,
        more="" if is_ipsecpol else _IPSECCMD_HELP,
        main_mode="-1s, -1k, -1p" if is_ipsecpol else "-1s, -1k, -1p, -1f, -1e",
    )


def shown(topics: Iterable[str], workspace: Workspace) -> str:
    """What `show` prints of each topic."""
    return "\n\n".join("\n".join(_TOPICS[topic](workspace)) for topic in topics)


def _assigned(workspace: Workspace) -> Iterator[tuple[Store, StoredPolicy]]:
    """The assigned policies of stores that count: a domain policy replaces a local one, and so
    does that of a file (spec 1.5)."""
    domain = workspace.stores[Store.DOMAIN].assigned is not None
    local = [] if workspace.given else [Store.DOMAIN if domain else Store.LOCAL]
    for store in (Store.PERSISTENT, *local):
        draft = workspace.stores[store]
        if draft.assigned is not None:
            yield store, draft.policies[draft.assigned]


def _in_force(workspace: Workspace) -> Iterator[tuple[Store, Policy]]:
    for store, policy in _assigned(workspace):
        yield store, workspace.stores[store].content().compiled(policy)
    for given in workspace.given:
        yield Store.LOCAL, given.read()
    if workspace.dynamic is not None:
        yield Store.DYNAMIC, workspace.dynamic.content().policy()


def _filters(workspace: Workspace) -> Iterator[str]:
    return filter_lines(
        shown_filters(
            _in_force(workspace),
            workspace.addresses,
            ipv6=workspace.profile in IPV6_PROFILES,
        )
    )


def _policies(workspace: Workspace) -> Iterator[str]:
    found = False
    for store, policy in _assigned(workspace):
        found = True
        yield f"    {store.name.capitalize()} IPSec Policy Active: '{policy.name}'"
        yield f"        Rules : {len(policy.rules)}"
        yield f"        Polling Interval : {policy.polling // 60} minutes"
    for given in workspace.given:
        found = True
        yield f"    {Store.LOCAL.name.capitalize()} IPSec Policy Active: '{given.name}'"
        yield f"        File : {given.file}"
    if not found:
        yield "    No policy is assigned."
    if workspace.dynamic is not None:
        yield f"    Dynamic Rules : {len(workspace.dynamic.rules)}"


def _auth(workspace: Workspace) -> Iterator[str]:
    found = False
    for _, policy in _assigned(workspace):
        for rule in policy.rules:
            found = True
            yield f"    Rule '{rule.name}': {_words(rule.authentication)}"
    for dynamic in workspace.dynamic.rules.values() if workspace.dynamic else ():
        found = True
        yield f"    Dynamic rule {dynamic.filter}: {_words(dynamic.authentication)}"
    if not found:
        yield "    There are no rules."


def _words(methods: Iterable[Authentication]) -> str:
    """The methods without their keys: a shown key is a key given away."""
    return ", ".join(_AUTHENTICATION_WORDS.get(one.kind, one.kind) for one in methods)


def _stats(_: Workspace) -> Iterator[str]:
    yield "    There is no key exchange here: all IKE and IPSec counters are 0."
    yield "    ipsecfd stats shows the counters of packets."


def _sas(_: Workspace) -> Iterator[str]:
    yield "    There is no key exchange here: there are no security associations."


_TOPICS: Final[Mapping[str, Callable[[Workspace], Iterator[str]]]] = {
    "filters": _filters,
    "policies": _policies,
    "auth": _auth,
    "stats": _stats,
    "sas": _sas,
}
