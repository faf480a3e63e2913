"""What the last word of an unfinished line may become, for the interactive prompt."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ipsecfd.policy.netsh.contexts import ROOT, Context, Place, locate
from ipsecfd.policy.netsh.errors import CommandError
from ipsecfd.policy.netsh.session import EVERYWHERE, Session, is_netsh
from ipsecfd.policy.netsh.syntax import Command, Tag, find
from ipsecfd.policy.netsh.words import Word, quoted, split


def complete(session: Session, text: str) -> list[str]:
    """The words that the last word of the text may become; words end at blanks outside quotes.

    A name with a blank in it comes in quotes.
    """
    words = split(text)
    last = words.pop() if words and not _ends_word(text) else Word("")
    start = session.context
    if words and is_netsh(words[0]):
        words, start = words[1:], ROOT
    if words and words[0].text.lower() == "pushd":
        words = words[1:]
    try:
        place = locate(start, words)
    except CommandError:
        return []
    if place.command is not None:
        return _values(session, place, place.command, last)
    if place.verb:
        return _beginning(last.text, place.context.verbs[place.verb])
    if words:
        return _beginning(last.text, (*place.context.contexts, *place.context.verbs))
    return _beginning(last.text, (*_usable(start), *EVERYWHERE))


def _ends_word(text: str) -> bool:
    return text[-1:] in " \t" and text.count('"') % 2 == 0


def _usable(context: Context) -> Iterable[str]:
    for here in context.upwards():
        yield from (*here.contexts, *here.verbs)


def _beginning(begin: str, words: Iterable[str]) -> list[str]:
    return sorted({word for word in words if word.startswith(begin.lower())})


def _values(session: Session, place: Place, command: Command, last: Word) -> list[str]:
    if last.tagged:
        tag_text, begin = last.text[: last.equals], last.text[last.equals + 1 :]
        found = find(tag_text, {tag.name: tag for tag in command.tags if not tag.bare})
        if len(found) != 1:
            return []
        return [f"{tag_text}={value}" for value in _offers(session, found[0][1], begin)]
    given = _given(command, place.rest)
    free = [tag for tag in command.tags if tag.repeats or not _excluded(tag, given)]
    names = [tag.name if tag.bare else f"{tag.name}=" for tag in free]
    offers = [name for name in names if name.startswith(last.text.lower())]
    first = next((tag for tag in free if not tag.bare), None)
    return offers + (_offers(session, first, last.text) if first else [])


def _given(command: Command, words: Sequence[Word]) -> list[Tag]:
    """The tags that words give, as far as they are written with their names."""
    given = []
    for word in words:
        name = word.text[: word.equals] if word.tagged else word.text
        given += [tag for _, tag in find(name, {tag.name: tag for tag in command.tags})][:1]
    return given


def _excluded(tag: Tag, given: Sequence[Tag]) -> bool:
    return any(one is tag or (one.one_of and one.one_of == tag.one_of) for one in given)


def _offers(session: Session, tag: Tag, begin: str) -> list[str]:
    if tag.objects:
        held: Mapping[str, Any] = getattr(session.state.draft, tag.objects)
        names = [one.name for one in held.values()]
        lower = begin.lower()
        return [_written(name) for name in names if name.lower().startswith(lower)]
    return [word for word in tag.kind.words if word.lower().startswith(begin.lower())]


def _written(name: str) -> str:
    plain = not any(one in " \t'\"=" for one in name)
    return name if plain else quoted(name)
