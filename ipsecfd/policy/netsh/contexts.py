"""The contexts of netsh, and the way from words to a command in one of them (spec 8.1)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from ipsecfd.policy.netsh import dynamic, static, values
from ipsecfd.policy.netsh.errors import Code, CommandError
from ipsecfd.policy.netsh.state import State
from ipsecfd.policy.netsh.syntax import HELP_WORDS, Arguments, Command, Tag, ambiguous, find
from ipsecfd.policy.netsh.words import Word

_ELSEWHERE: Final = (
    *("aaaa", "advfirewall", "branchcache", "bridge", "dhcp", "dhcpclient", "diag", "dnsclient"),
    *("firewall", "http", "interface", "lan", "mbn", "namespace", "nap", "netio", "p2p", "ras"),
    *("routing", "rpc", "trace", "wcn", "wfp", "winhttp", "wins", "winsock", "wlan"),
)
"""Contexts of Windows' netsh that are not here: known, so that nobody takes them for ours."""


@dataclass(frozen=True, slots=True)
class Context:
    """A place in netsh, with its commands and the contexts below it."""

    path: str
    """As it is typed behind `netsh`; empty for the root."""
    about: str
    parent: Context | None = None
    commands: tuple[Command, ...] = ()
    contexts: dict[str, Context] = field(default_factory=dict)
    verbs: Mapping[str, dict[str, Command]] = field(init=False)
    """The commands by verb and object; the object is empty where a verb has none."""

    def __post_init__(self) -> None:
        verbs: dict[str, dict[str, Command]] = {}
        for command in self.commands:
            verbs.setdefault(command.verb, {})[command.object] = command
        object.__setattr__(self, "verbs", verbs)

    def below(self, name: str, about: str, commands: tuple[Command, ...] = ()) -> Context:
        """Make a context below this one."""
        made = Context(f"{self.path} {name}".strip(), about, self, commands)
        self.contexts[name] = made
        return made

    def upwards(self) -> Iterator[Context]:
        """The context itself, then those above it: their commands can be used in it, too."""
        here: Context | None = self
        while here is not None:
            yield here
            here = here.parent


def _exec(state: State, arguments: Arguments) -> str:
    state.script = arguments["file"]
    return ""


ROOT: Final = Context(
    "",
    "The root of netsh",
    commands=(
        Command(
            "exec",
            "",
            "Runs the lines of a script",
            _exec,
            (Tag("file", values.FILE, "The script", required=True),),
            "exec filters.txt",
        ),
    ),
)
IPSEC: Final = ROOT.below(
    "ipsec",
    "IP security policies",
    (static.DUMP_EVERYTHING,),
)
STATIC: Final = IPSEC.below("static", "Policies in the stores", static.COMMANDS)
DYNAMIC: Final = IPSEC.below("dynamic", "Rules of the running service", dynamic.COMMANDS)


@dataclass(frozen=True, slots=True)
class Place:
    """How far words lead: a context, perhaps a verb in it, perhaps a command."""

    context: Context
    verb: str = ""
    command: Command | None = None
    rest: Sequence[Word] = ()
    """The words that are left: the command's values, or a call for help."""


def locate(start: Context, words: Sequence[Word]) -> Place:
    """Where words lead from a context. Raises CommandError for a word that is nothing there."""
    if not words or is_help(words[0]):
        return Place(start, rest=words)
    first = words[0].text
    for here in start.upwards():
        elsewhere = dict.fromkeys(_ELSEWHERE) if here is ROOT else {}
        found = find(first, {**here.contexts, **here.verbs, **elsewhere})
        if len(found) > 1:
            raise ambiguous(first, [name for name, _ in found])
        if found and found[0][0] in elsewhere:
            raise CommandError(Code.COMMAND, f'"{first}": of netsh, only ipsec is here')
        if found:
            return _enter(here, found[0][0], words)
    raise CommandError(Code.COMMAND, f"the following command was not found: {_line(words)}")


def is_help(word: Word) -> bool:
    """Whether a word asks what can stand in its place."""
    return word.text in HELP_WORDS or word.text.lower() == "help"


def _enter(here: Context, name: str, words: Sequence[Word]) -> Place:
    rest = words[1:]
    if name in here.contexts:
        # The way down: what follows belongs to that context, or to every one.
        below = here.contexts[name]
        if not rest or is_help(rest[0]):
            return Place(below, rest=rest)
        found = find(rest[0].text, {**below.contexts, **below.verbs})
        if len(found) > 1:
            raise ambiguous(rest[0].text, [one for one, _ in found])
        if found:
            return _enter(below, found[0][0], rest)
        if common := find(rest[0].text, ROOT.verbs):
            verb, objects = common[0]
            return Place(below, verb, objects[""], rest[1:])
        raise CommandError(Code.COMMAND, f"the following command was not found: {_line(words)}")
    objects = here.verbs[name]
    if "" in objects:
        return Place(here, name, objects[""], rest)
    if not rest or is_help(rest[0]):
        return Place(here, name, rest=rest)
    named = find(rest[0].text, objects)
    if len(named) > 1:
        raise ambiguous(rest[0].text, [one for one, _ in named])
    if not named:
        raise CommandError(
            Code.COMMAND,
            f'"{rest[0].text}" cannot be used with {name}; what can: {", ".join(objects)}',
        )
    return Place(here, name, named[0][1], rest[1:])


def _line(words: Sequence[Word]) -> str:
    return " ".join(word.text for word in words)
