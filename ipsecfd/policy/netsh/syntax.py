"""Commands as data, and words matched against them (spec 8.1).

One table of commands serves parsing, help and completion. Verbs, objects and tags may be shortened
to a prefix that no other one begins with; a value without a tag fills the first tag that was not
given before it, and behind tags the description.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias, TypeVar

from ipsecfd.errors import IpsecfdError
from ipsecfd.policy.grammar import GrammarError
from ipsecfd.policy.model import Address
from ipsecfd.policy.netsh.errors import Code, CommandError
from ipsecfd.policy.netsh.state import State
from ipsecfd.policy.netsh.values import Kind
from ipsecfd.policy.netsh.words import Word, unescaped
from ipsecfd.policy.stores.content import Behaviour

HELP_WORDS = frozenset({"?", "/?", "-?"})


@dataclass(frozen=True, slots=True)
class Tag:
    """One `name=value` of a command."""

    name: str
    kind: Kind
    about: str = ""
    """What it is, for help."""
    required: bool = False
    default: str | None = None
    """What stands for the tag where it is not given, as an administrator would write it."""
    field: str = ""
    """The field of the stored object that takes the value as it is."""
    one_of: str = ""
    """Tags with the same word here exclude each other."""
    bare: bool = False
    """The name alone is the value, as `all`; there is no `=`."""
    repeats: bool = False
    objects: str = ""
    """"policies", "filter_lists" or "filter_actions" of the store, whose names are offered."""

    def optional(self) -> Tag:
        """The tag for a command that changes only what is given."""
        return replace(self, required=False, default=None)


@dataclass(frozen=True, slots=True)
class Arguments:
    """The values of a command's tags."""

    given: Mapping[str, Any]
    """By tag, in the order of the command line; a list for a tag that repeats."""
    values: Mapping[str, Any]
    """Given values and defaults."""
    fields: Mapping[str, Any]
    """The same, by field of the stored object, for the tags that have one."""
    order: Sequence[tuple[str, Any]]
    """Every tag and value in the order of the command line."""

    def __getitem__(self, tag: str) -> Any:
        """The value of a tag, its default, or None."""
        return self.values.get(tag)

    def __contains__(self, tag: str) -> bool:
        """Whether a tag was given."""
        return tag in self.given


Run: TypeAlias = Callable[[State, Arguments], str]
"""Does a command and gives the text to print; raises IpsecfdError and has changed nothing."""


@dataclass(frozen=True, slots=True)
class Command:
    """A verb with its object, the tags in syntax order, and what it does."""

    verb: str
    object: str
    about: str
    run: Run
    tags: tuple[Tag, ...] = ()
    example: str = ""
    defaults: Mapping[str, Any] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        found = {
            tag.name: tag.kind.parse(tag.default) for tag in self.tags if tag.default is not None
        }
        object.__setattr__(self, "defaults", found)

    @property
    def name(self) -> str:
        """The command as it is typed."""
        return f"{self.verb} {self.object}" if self.object else self.verb


@dataclass(frozen=True, slots=True)
class ShowRequest:
    """What a `show` command asks for; None and "" where nothing was said."""

    object: str
    name: str = ""
    rule: str = ""
    """Only what this rule uses."""
    policy: str = ""
    id: int | None = None
    """A rule's number in its policy, from 1."""
    all: bool = False
    """Everything was asked for, or nothing in particular."""
    default: bool = False
    """The default response rule."""
    level: str = "normal"
    """normal or verbose."""
    format: str = "list"
    """list or table."""
    wide: bool = False
    resolvedns: bool = False
    type: str = ""
    """Rules: tunnel or transport; filters: generic or specific; stats: ike or ipsec."""
    source: Address | None = None
    destination: Address | None = None
    """A DNS name here has no addresses: it is compared by its name."""
    source_port: int | None = None
    destination_port: int | None = None
    protocol: int | None = None
    inbound: Behaviour | None = None
    outbound: Behaviour | None = None


Found = TypeVar("Found")


def find(word: str, named: Mapping[str, Found]) -> list[tuple[str, Found]]:
    """What a word may mean: the one of this name, or all whose names begin with it."""
    lower = word.lower()
    if lower in named:
        return [(lower, named[lower])]
    return [(name, one) for name, one in named.items() if name.startswith(lower)] if lower else []


def ambiguous(word: str, names: Iterable[str]) -> CommandError:
    """The refusal of a word that begins more than one name."""
    return CommandError(Code.COMMAND, f'"{word}" is short for more than one: {", ".join(names)}')


def parse(command: Command, words: Sequence[Word]) -> Arguments:
    """The values that the words after a command give to its tags. Raises CommandError."""
    given: dict[str, Any] = {}
    order: list[tuple[str, Any]] = []
    taken: dict[str, str] = {}
    at = 0
    while at < len(words):
        tag, text, at = _next(command, words, at, given, taken)
        value = _value(tag, text)
        if tag.one_of and taken.setdefault(tag.one_of, tag.name) != tag.name:
            raise CommandError(
                Code.TAG, f"{taken[tag.one_of]} and {tag.name} exclude each other; give one of them"
            )
        if tag.repeats:
            given.setdefault(tag.name, []).append(value)
        elif tag.name in given:
            raise CommandError(Code.TAG, f"the tag {tag.name} is given twice")
        else:
            given[tag.name] = value
        order.append((tag.name, value))
    if missing := _missing(command, given, taken):
        raise CommandError(
            Code.MISSING, f'"{command.name}" needs {", ".join(missing)}; see "{command.name} ?"'
        )
    values = {**command.defaults, **given}
    fields = {
        tag.field: values[tag.name] for tag in command.tags if tag.field and tag.name in values
    }
    return Arguments(given, values, fields, order)


def _next(
    command: Command,
    words: Sequence[Word],
    at: int,
    given: Mapping[str, Any],
    taken: Mapping[str, str],
) -> tuple[Tag, str, int]:
    """The next tag with the text of its value, and the place behind it."""
    word, after = words[at], words[at + 1 : at + 2]
    if word.tagged:
        tag_text, value = word.text[: word.equals], word.text[word.equals + 1 :]
        if tag_text[-1].isspace():  # "name = x": blanks around the = within the quotes of it all
            tag_text, value = tag_text.strip(), value.strip()
        tag = _tag(command, tag_text)
        if value or word.quoted:
            return tag, value, at + 1
        return _value_behind(command, tag, words, at + 1)
    if word.joins:
        raise CommandError(Code.TAG, f'"{word.text}": expected a tag before the =')
    if after and after[0].joins:
        tag = _tag(command, word.text)
        value = after[0].text[1:]
        if value or after[0].quoted:
            return tag, value, at + 2
        return _value_behind(command, tag, words, at + 2)
    behind_tags = any(one.tagged or one.joins for one in words[:at])
    return _positional(command, word, given, taken, behind_tags=behind_tags), word.text, at + 1


def _value_behind(
    command: Command, tag: Tag, words: Sequence[Word], at: int
) -> tuple[Tag, str, int]:
    """The value of a tag whose `=` a blank follows; none when the next tag begins there."""
    if at == len(words):
        return tag, "", at
    word, after = words[at], words[at + 1 : at + 2]
    name = word.text[: word.equals] if word.tagged else word.text
    begins = word.tagged or bool(after and after[0].joins)
    if begins and not word.quoted and _find_tags(command, name):
        return tag, "", at
    return tag, word.text, at + 1


def _find_tags(command: Command, text: str) -> list[Tag]:
    lower = text.lower()
    found = []
    for tag in command.tags:
        if tag.name == lower:
            return [tag]
        if lower and tag.name.startswith(lower):
            found.append(tag)
    return found


def _tag(command: Command, text: str) -> Tag:
    found = _find_tags(command, text)
    if len(found) == 1 and not found[0].bare:
        return found[0]
    if len(found) > 1:
        names = ", ".join(tag.name for tag in found)
        raise CommandError(Code.TAG, f'the tag "{text}" is short for more than one: {names}')
    names = ", ".join(tag.name for tag in command.tags if not tag.bare) or "none"
    raise CommandError(Code.TAG, f'"{command.name}" has no tag "{text}"; its tags: {names}')


def _positional(
    command: Command,
    word: Word,
    given: Mapping[str, Any],
    taken: Mapping[str, str],
    *,
    behind_tags: bool,
) -> Tag:
    """The tag that a value without a tag is for.

    Behind values with tags it is the description, once nothing that must be given is missing (spec
    8.1): a comment there does not name the end of a tunnel, or a policy anew.
    """
    lower = word.text.lower()
    for tag in command.tags:
        if tag.bare and tag.name == lower:
            return tag
    if behind_tags and not _missing(command, given, taken) and "description" not in given:
        for tag in command.tags:
            if tag.name == "description":
                return tag
    for tag in command.tags:
        if not tag.bare and tag.name not in given and tag.one_of not in taken:
            return tag
    raise CommandError(Code.TAG, f'"{word.text}" is one value more than "{command.name}" takes')


def _value(tag: Tag, text: str) -> Any:
    if tag.bare:
        return True
    try:
        return tag.kind.parse(unescaped(text))
    except GrammarError as error:
        raise CommandError(Code.VALUE, f'"{text}" for {tag.name}: {error.expected}') from error
    except IpsecfdError as error:
        raise CommandError(Code.VALUE, f'"{text}" for {tag.name}: expected {error}') from error


def _missing(command: Command, given: Mapping[str, Any], taken: Mapping[str, str]) -> list[str]:
    """The tags that must be given and are not."""
    missing: dict[str, None] = {}
    for tag in command.tags:
        if tag.required and tag.name not in given and tag.one_of not in taken:
            others = [one.name for one in command.tags if tag.one_of and one.one_of == tag.one_of]
            missing[" or ".join(others) or tag.name] = None
    return list(missing)
