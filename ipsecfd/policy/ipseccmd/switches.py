"""The switches of ipseccmd and ipsecpol: from arguments to one checked request (spec 8.4).

Nothing is resolved, read or changed here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from ipsecfd.policy.computer import is_this_computer
from ipsecfd.policy.ipseccmd.filters import Spec, parse_endpoint, parse_spec
from ipsecfd.policy.ipseccmd.methods import (
    MainMode,
    Negotiation,
    OtherComputerError,
    RefusedError,
    UsageError,
    parse_authentication,
    parse_key_exchange,
    parse_negotiation,
    parse_rekey,
    parse_seconds,
)
from ipsecfd.policy.mistakes import known_names, printable
from ipsecfd.policy.model import Connection, Store
from ipsecfd.policy.stores.content import DEFAULT_POLLING, Authentication, Behaviour

TOPICS: Final = ("filters", "policies", "auth", "stats", "sas", "all")

_DASHES: Final = "-\N{HYPHEN}\N{NON-BREAKING HYPHEN}\N{EN DASH}\N{EM DASH}\N{MINUS SIGN}"
"""People paste switches from web pages, whose typography makes dashes of them."""
_FLAGS: Final = ("soft", "lan", "dialup", "1p", "confirm", "u", "x", "y", "o", "?")
_VALUES: Final = ("t", "1e", "w", "p", "r", "file")
_LISTS: Final = ("f", "n", "a", "1s", "1k", "1f")
_KNOWN: Final = frozenset((*_FLAGS, *_VALUES, *_LISTS))
_STATIC_ONLY: Final = ("p", "r", "x", "y", "o")
_RULE_ONLY: Final = ("n", "t", "a", "soft", "lan", "dialup", "1f")
_IPSECCMD_ONLY: Final = ("file", "1f", "1e")
_STORES: Final = {"reg": Store.LOCAL, "ds": Store.DOMAIN, "pers": Store.PERSISTENT}
_POLLING: Final = re.compile(r"(.+):([0-9]{1,8})", re.DOTALL)
_LONGEST_POLLING: Final = 0xFFFFFFFF // 60
_LONGEST_NAME: Final = 255
_UNPRINTABLE: Final = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")
"""What no name may hold: control characters, and bytes that were no text."""

Given: TypeAlias = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class RuleSpec:
    """The one rule that a run makes."""

    filters: tuple[Spec, ...]
    """Empty for the default response rule."""
    negotiation: Negotiation
    tunnel: str
    authentication: tuple[Authentication, ...]
    connection: Connection


@dataclass(frozen=True, slots=True)
class Help:
    """-?"""


@dataclass(frozen=True, slots=True)
class Show:
    """show TOPIC..."""

    topics: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Batch:
    """-file FILE: a file of commands."""

    path: str


@dataclass(frozen=True, slots=True)
class Clear:
    """-u: delete all dynamic policy."""


@dataclass(frozen=True, slots=True)
class Dynamic:
    """A rule for the driver's database."""

    rule: RuleSpec
    main_mode: MainMode
    confirm: bool


@dataclass(frozen=True, slots=True)
class Static:
    """A change of a stored policy."""

    store: Store
    policy: str
    polling: int | None
    """Seconds; None where -p gave none."""
    name: str
    """The rule's name; empty without a rule."""
    rule: RuleSpec | None
    main_mode: MainMode
    assign: bool | None
    delete: bool


Request: TypeAlias = Help | Show | Batch | Clear | Dynamic | Static


def parse(arguments: Sequence[str], program: str = "ipseccmd", host: str = "localhost") -> Request:
    """What the arguments ask for. Raises UsageError, FilterError, RefusedError or
    OtherComputerError.

    `host` is the name of this computer, the only one that can be administered.
    """
    words = list(arguments)
    for word in words:
        if _UNPRINTABLE.search(word):
            raise UsageError(f'"{printable(word)}": expected text without control characters')
    if words and words[0].startswith("\\"):
        _check_computer(words.pop(0).lstrip("\\"), host)
    if not words:
        raise UsageError(f"expected switches; {program} -? lists them")
    if words[0].lower() == "show":
        return _show(words[1:], program)
    if words == ["/?"]:
        return Help()
    given = _collect(words)
    if "?" in given:
        return Help()
    newer = [f"-{one}" for one in _IPSECCMD_ONLY if one in given]
    if newer and program != "ipseccmd":
        raise UsageError(f"{program} has no {', '.join(newer)}; ipseccmd has")
    if "file" in given:
        if len(given) > 1:
            raise UsageError("-file FILE stands alone")
        return Batch(given["file"][0])
    if "u" in given:
        if len(given) > 1:
            raise UsageError("-u deletes all dynamic policy and stands alone")
        return Clear()
    main_mode = _main_mode(given)
    return _static(given, main_mode, host) if "w" in given else _dynamic(given, main_mode)


def _switch(argument: str) -> str | None:
    """The switch that an argument looks like, without its dash."""
    return argument[1:].lower() if argument[:1] in _DASHES and argument else None


def _collect(words: Sequence[str]) -> Given:
    """The values of each switch given."""
    given: dict[str, list[str]] = {}
    position = 0
    while position < len(words):
        word = words[position]
        switch = _switch(word)
        if switch is None:
            raise UsageError(f'"{word}": expected a switch before it')
        if switch not in _KNOWN:
            raise UsageError(f'"{word}": no such switch; {_near_switch(switch)}')
        position += 1
        values = given.setdefault(switch, [])
        if switch in _LISTS:
            first = position
            while position < len(words) and _switch(words[position]) is None:
                position += 1
            if position == first:
                raise UsageError(f"-{switch}: expected at least one value behind it")
            values.extend(words[first:position])
        elif switch in _VALUES:
            if position == len(words) or _switch(words[position]) in _KNOWN:
                raise UsageError(f"-{switch}: expected a value behind it")
            if values and switch != "r":
                raise UsageError(f"-{switch} may be given once")
            values.append(words[position])
            position += 1
    return given


def _near_switch(switch: str) -> str:
    return known_names(f"-{switch}", [f"-{one}" for one in (*_FLAGS, *_VALUES, *_LISTS)])


def _show(words: Sequence[str], program: str) -> Show:
    if program != "ipseccmd":
        raise UsageError(f"{program} has no show; ipseccmd has")
    topics = tuple(dict.fromkeys(word.lower() for word in words))
    for topic in topics:
        if topic not in TOPICS:
            raise UsageError(f'show "{topic}": expected {", ".join(TOPICS)}')
    if not topics:
        raise UsageError(f"show: expected one or more of {', '.join(TOPICS)}")
    return Show(TOPICS[:-1] if "all" in topics else topics)


def _main_mode(given: Given) -> MainMode:
    quick_modes, lifetime = (None, None)
    if "1k" in given:
        quick_modes, lifetime = parse_rekey("/".join(given["1k"]))
    for text in given.get("1f", ()):
        spec = parse_spec(text)
        if spec.source_port or spec.destination_port:
            raise UsageError(f'-1f "{text}": main mode filters have no ports')
    return MainMode(
        parse_key_exchange(given["1s"]) if "1s" in given else None,
        quick_modes,
        lifetime,
        True if "1p" in given else None,
        parse_seconds(given["1e"][0]) if "1e" in given else None,
    )


def _rule(given: Given) -> RuleSpec:
    texts = given["f"]
    default = [text for text in texts if text.upper() == "DEFAULT"]
    if default and len(texts) > 1:
        raise UsageError("-f DEFAULT is a rule of its own: it goes with no other filter")
    specs = () if default else tuple(parse_spec(text) for text in dict.fromkeys(texts))
    if "lan" in given and "dialup" in given:
        raise UsageError("expected -lan or -dialup, not both; without either a rule is for all")
    tunnel = ""
    if "t" in given:
        tunnel = parse_endpoint(given["t"][0])
        if any(spec.mirrored for spec in specs):
            raise UsageError("-t: a tunnel needs two rules of one way each: write = instead of +")
    negotiation = parse_negotiation(given.get("n", ()), soft="soft" in given, static="w" in given)
    if default and negotiation.behaviour is not Behaviour.NEGOTIATE:
        raise UsageError("-f DEFAULT is the default response rule: it only negotiates")
    connection = Connection.LAN if "lan" in given else Connection.ALL
    return RuleSpec(
        specs,
        negotiation,
        tunnel,
        parse_authentication(given.get("a", ())),
        Connection.DIALUP if "dialup" in given else connection,
    )


def _dynamic(given: Given, main_mode: MainMode) -> Dynamic:
    static = [f"-{one}" for one in _STATIC_ONLY if one in given]
    if static:
        raise RefusedError(f"{', '.join(static)}: only with -w REG, -w DS or -w PERS")
    if "f" not in given:
        raise UsageError("expected -f with one or more filters")
    rule = _rule(given)
    if not rule.filters:
        raise UsageError("-f DEFAULT: the default response rule belongs to a policy: use -w")
    return Dynamic(rule, main_mode, "confirm" in given)


def _static(given: Given, main_mode: MainMode, host: str) -> Static:
    kind, _, location = given["w"][0].partition(":")
    store = _STORES.get(kind.lower())
    if store is None:
        raise UsageError(f'-w "{given["w"][0]}": expected REG, DS[:DOMAIN] or PERS')
    if store is not Store.DOMAIN:
        _check_computer(location.lstrip("\\"), host)
    if "confirm" in given:
        raise RefusedError("-confirm is for dynamic mode: it does not go with -w")
    if "p" not in given:
        raise RefusedError("-w: expected -p with the name of a policy")
    if "x" in given and "y" in given:
        raise RefusedError("expected -x (assign) or -y (un-assign), not both")
    policy, polling = _policy(given["p"][0])
    rule = None
    if "f" in given:
        rule = _stored_rule(given)
    elif "o" not in given:
        stray = [f"-{one}" for one in _RULE_ONLY if one in given]
        if stray:
            raise UsageError(f"{', '.join(stray)}: part of a rule, which needs -f with its filters")
        if "x" not in given and "y" not in given:
            raise UsageError("expected something to do: -f, -x, -y or -o")
    names = [_name(name, "-r") for name in given.get("r", ())]
    return Static(
        store,
        policy,
        polling,
        names[0] if rule is not None and names else "",
        rule,
        main_mode,
        None if "x" not in given and "y" not in given else "x" in given,
        "o" in given,
    )


def _stored_rule(given: Given) -> RuleSpec:
    if "o" in given:
        raise UsageError("-o deletes the policy: it does not go with -f")
    rule = _rule(given)
    names = given.get("r", ())
    if len(names) > 1 or (rule.filters and not names):
        raise UsageError("-f: expected one -r with the name of the rule")
    for spec in rule.filters:
        if spec.override is not None:
            instead = "BLOCK" if spec.text.startswith("[") else "PASS"
            raise RefusedError(
                f'-f "{spec.text}": brackets are for dynamic mode; with -w write -n {instead}'
            )
    return rule


def _policy(text: str) -> tuple[str, int | None]:
    """The name and the polling interval in seconds of NAME[:MINUTES]; 0 is the usual (X7)."""
    found = _POLLING.fullmatch(text)
    if found is None:
        return _name(text, "-p"), None
    if int(found[2]) > _LONGEST_POLLING:
        raise UsageError(f"-p: expected a polling interval of at most {_LONGEST_POLLING} minutes")
    return _name(found[1], "-p"), int(found[2]) * 60 or DEFAULT_POLLING


def _name(text: str, switch: str) -> str:
    if not text.strip() or len(text) > _LONGEST_NAME:
        raise UsageError(f"{switch}: expected a name of 1 to {_LONGEST_NAME} characters")
    return text


def _check_computer(name: str, host: str) -> None:
    if not is_this_computer(name, host):
        raise OtherComputerError(
            f'"{name}" is another computer: run the command there; this one is "{host}"'
        )
