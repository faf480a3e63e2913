"""A session of `netsh`: one line after another, in a context that lines may change (spec 8.1)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from ipsecfd.errors import IpsecfdError
from ipsecfd.policy.computer import is_this_computer
from ipsecfd.policy.model import Store
from ipsecfd.policy.netsh import help as help_text
from ipsecfd.policy.netsh.contexts import ROOT, Context, is_help, locate
from ipsecfd.policy.netsh.errors import Code, CommandError, as_text
from ipsecfd.policy.netsh.state import PolicyFiles, State
from ipsecfd.policy.netsh.syntax import HELP_WORDS, parse
from ipsecfd.policy.netsh.words import Word, from_arguments, split
from ipsecfd.policy.reply import Reply
from ipsecfd.policy.workspace import Workspace

EVERYWHERE: Final = ("..", "bye", "exit", "help", "popd", "pushd", "quit")
"""Words that mean the same in every context; they are not shortened."""
_NOTHING: Final = Reply("", failed=False)
_DEEPEST: Final = 1000
"""Contexts that pushd keeps; a script in a loop must not fill the memory."""


class Session:
    """Runs commands on a workspace; a command that fails changes nothing and never raises."""

    def __init__(self, workspace: Workspace, files: PolicyFiles | None = None) -> None:
        self.state = State(workspace, files)
        self.context: Context = ROOT
        self._kept: list[Context] = []
        self._script_context = ROOT

    def begin(self, context: str) -> None:
        """Go to a context by its name, as netsh -c does. Raises CommandError."""
        reply = self.execute(context)
        if reply.failed or reply.text:
            raise CommandError(
                Code.COMMAND, f'-c {context}: expected a context, as -c "ipsec static"'
            )

    def check_computer(self, name: str) -> None:
        """Raise CommandError unless a computer is this one, as for netsh -r."""
        if not is_this_computer(name, self.state.workspace.host):
            raise CommandError(
                Code.COMMAND, f"-r {name}: netsh works on this computer only; run it there"
            )

    def of_script(self) -> Session:
        """The session for the lines of the script that the last reply named.

        It begins in the context of that command, and shares the store; `exit` ends the script.
        """
        made = Session(self.state.workspace)
        made.state = self.state
        made.context = self._script_context
        return made

    @property
    def store(self) -> Store:
        """The store that `set store` selected."""
        return self.state.store

    @property
    def batch(self) -> bool:
        """Whether `set batch mode=enable` holds: whoever saves the workspace waits for its end."""
        return self.state.batch

    @property
    def prompt(self) -> str:
        """What stands before the line that is typed."""
        return f"netsh {self.context.path}".rstrip() + ">"

    def execute(self, line: str) -> Reply:
        """Run one line: a command, a context, a comment or nothing.

        A line that begins with `netsh` is a command of its own, as in a batch file: it starts at
        the root, and the context stays.
        """
        if line.lstrip().startswith("#"):
            return _NOTHING
        return self._run(split(line))

    def execute_arguments(self, arguments: Sequence[str]) -> Reply:
        """Run one command whose words a shell has split, without `netsh` before them."""
        return self._run(from_arguments(arguments))

    def _run(self, words: Sequence[Word]) -> Reply:
        if not words:
            return _NOTHING
        try:
            if is_netsh(words[0]):
                return self._run_alone(words[1:])
            return self._run_here(words)
        except IpsecfdError as error:
            understood = not isinstance(error, CommandError) or error.understood
            return Reply(as_text(error), failed=True, understood=understood)

    def _run_alone(self, words: Sequence[Word]) -> Reply:
        """A whole `netsh ...` line, with the options of the program."""
        kept = self.context, self._kept
        self.context, self._kept = ROOT, []
        try:
            while words and words[0].text.lower() in _OPTIONS:
                words = _OPTIONS[words[0].text.lower()](self, words[1:])
            reply = self._run_here(words) if words else _NOTHING
        finally:
            self.context, self._kept = kept
        return replace(reply, done=False)

    def _run_here(self, words: Sequence[Word]) -> Reply:
        general = _GENERAL.get(words[0].text.lower())
        if general is not None:
            return general(self, words[1:])
        place = locate(self.context, words)
        if place.command is None:
            if place.verb or place.rest:
                return Reply(help_text.text(place), failed=False)
            self.context = place.context
            return _NOTHING
        if place.rest and place.rest[-1].text in HELP_WORDS and not place.rest[-1].quoted:
            return Reply(help_text.text(place), failed=False)
        text = place.command.run(self.state, parse(place.command, place.rest))
        script, self.state.script = self.state.script, ""
        note, self.state.note = self.state.note, ""
        self._script_context = self.context if place.context is ROOT else place.context
        return Reply(text, failed=False, script=script, note=note)

    def _end(self, words: Sequence[Word]) -> Reply:
        _no_more(words)
        return Reply("", failed=False, done=True)

    def _up(self, words: Sequence[Word]) -> Reply:
        _no_more(words)
        self.context = self.context.parent or self.context
        return _NOTHING

    def _push(self, words: Sequence[Word]) -> Reply:
        place = locate(self.context, words)
        if place.verb or (place.rest and words):
            raise CommandError(Code.COMMAND, "pushd takes a context, as ipsec static")
        if len(self._kept) == _DEEPEST:
            raise CommandError(Code.REFUSED, f"pushd keeps {_DEEPEST} contexts and no more")
        self._kept.append(self.context)
        self.context = place.context
        return _NOTHING

    def _pop(self, words: Sequence[Word]) -> Reply:
        _no_more(words)
        if not self._kept:
            raise CommandError(Code.REFUSED, "no context was kept by pushd")
        self.context = self._kept.pop()
        return _NOTHING

    def _help(self, words: Sequence[Word]) -> Reply:
        place = locate(self.context, [word for word in words if not is_help(word)])
        return Reply(help_text.text(place), failed=False)

    def _option_context(self, words: Sequence[Word]) -> Sequence[Word]:
        if not words:
            raise CommandError(Code.COMMAND, '-c needs a context, as -c "ipsec static"')
        place = locate(ROOT, split(words[0].text))
        if place.verb or place.rest:
            raise CommandError(Code.COMMAND, f'-c needs a context, not "{words[0].text}"')
        self.context = place.context
        return words[1:]

    def _option_computer(self, words: Sequence[Word]) -> Sequence[Word]:
        if not words:
            raise CommandError(Code.COMMAND, "-r needs a computer, as -r .")
        self.check_computer(words[0].text)
        return words[1:]

    def _option_elsewhere(self, _: Sequence[Word]) -> Sequence[Word]:
        raise CommandError(Code.COMMAND, "files, aliases and users are not for a line of a script")


def is_netsh(word: Word) -> bool:
    """Whether a word is the program itself, with or without its path."""
    name = word.text.lower().replace("\\", "/").rpartition("/")[2]
    return name in ("netsh", "netsh.exe")


def _no_more(words: Sequence[Word]) -> None:
    if words:
        raise CommandError(Code.COMMAND, f'"{words[0].text}": expected nothing more on the line')


_GENERAL: Final[dict[str, Callable[[Session, Sequence[Word]], Reply]]] = {
    "bye": Session._end,
    "exit": Session._end,
    "quit": Session._end,
    "..": Session._up,
    "pushd": Session._push,
    "popd": Session._pop,
    "help": Session._help,
    **dict.fromkeys(HELP_WORDS, Session._help),
}
_OPTIONS: Final[dict[str, Callable[[Session, Sequence[Word]], Sequence[Word]]]] = {
    "-c": Session._option_context,
    "-r": Session._option_computer,
    **dict.fromkeys(("-a", "-f", "-u", "-p"), Session._option_elsewhere),
}
