"""Carries out the commands of scripts on a workspace, and remembers what could not be done.

A command that Windows would have refused has failed, and the script goes on; what is no command of
Windows, or needs what only Windows knows, is untranslated.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from ipsecfd.errors import IpsecfdError
from ipsecfd.policy.ipseccmd.commands import run as run_ipseccmd
from ipsecfd.policy.ipseccmd.lines import program_of, split_line
from ipsecfd.policy.mistakes import PolicyError
from ipsecfd.policy.model import Store
from ipsecfd.policy.names import Names
from ipsecfd.policy.netsh.errors import Code, CommandError, as_text
from ipsecfd.policy.netsh.session import Session
from ipsecfd.policy.registry.objects import apply_tree
from ipsecfd.policy.registry.regcommand import run_reg_command
from ipsecfd.policy.registry.regfile import read_text as read_registry
from ipsecfd.policy.registry.tree import Tree
from ipsecfd.policy.reply import Reply
from ipsecfd.policy.scripts import batch
from ipsecfd.policy.scripts.batch import Program
from ipsecfd.policy.scripts.batch.programs import next_word
from ipsecfd.policy.scripts.batch.variables import readable, unknowns
from ipsecfd.policy.scripts.failure import Failure
from ipsecfd.policy.scripts.kinds import Kind, ScriptFiles, kind_of
from ipsecfd.policy.stores.builtin import lent
from ipsecfd.policy.stores.content import name_key
from ipsecfd.policy.stores.file import StoreFileError, is_store
from ipsecfd.policy.stores.policyfile import add_text
from ipsecfd.policy.workspace import Workspace

_NOT_FOUND: Final = f"IPsec [{Code.NOT_FOUND:05}]"
_LINE: Final = re.compile(r"line (\d+)")
_READS_ON: Final = (
    "netsh goes to a context here and reads its commands from the keyboard, a pipe or a file: write"
    " them to a file and run it with netsh -f"
)
_SELECTED: Final = (
    "set store holds for the commands behind it, whichever run of netsh they are; to be sure of"
    " that on Windows, too, put them into one script for netsh -f"
)
_STOPS: Final = (
    "on Windows this stops the service for IPsec policies; its dynamic rules end here, too, and all"
    " else stays in force"
)
_PERHAPS_STOPS: Final = (
    "only Windows knows whether the service for IPsec policies is stopped, which ends the dynamic"
    " rules made before"
)
_DEEPEST: Final = 8
"""Files of commands that one another names."""


class Performer:
    """Does what scripts say to one workspace."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._depth = 0
        self._dynamic = set(workspace.dynamic.rules) if workspace.dynamic else set()
        """The rules that were there before."""
        self._selected = Store.LOCAL  # by `set store` on a netsh line of a batch file
        self.failed: list[Failure] = []
        self.untranslated: list[Failure] = []
        self.notes: list[str] = []
        self.ignored = 0
        self.done = 0
        """Commands that were carried out or refused."""

    def perform(
        self, text: str, file: str, files: ScriptFiles, arguments: Sequence[str] | None
    ) -> None:
        """Do what the text of a script says."""
        match kind_of(text):
            case Kind.NETSH:
                self._netsh_script(text, file, files, self._session())
            case Kind.IPSECCMD:
                self._ipseccmd_script(text, file, "ipseccmd")
            case Kind.REGISTRY:
                self._registry(read_registry(text, file))
            case Kind.TOML if text.strip():
                self._toml(text, file)
            case Kind.TOML:
                self.untranslated.append(Failure(file, 0, "", "the file is empty"))
            case Kind.BATCH:
                self._batch(text, file, files, arguments)

    def _batch(
        self, text: str, file: str, files: ScriptFiles, arguments: Sequence[str] | None
    ) -> None:
        tree = Tree(file)
        self._selected = Store.LOCAL
        untranslated = len(self.untranslated)

        def flush() -> None:
            """Do what the `reg` commands so far say: what follows works on what they left behind.

            Not each of them for itself: they name objects of one another before they are there.
            """
            nonlocal tree
            if tree.root.keys or tree.root.deleted_keys or tree.failures:
                self._registry(tree)
                tree = Tree(file)

        def execute(command: batch.Command) -> bool | None:
            nonlocal tree
            if command.program is Program.SERVICE:
                self._service_stops(command)
                return None
            if command.program is Program.REG:
                if command.file != tree.file:
                    flush()
                    tree = Tree(command.file)
                refused = len(tree.failures)
                run_reg_command(tree, command.text, command.line)
                self.done += 1
                return None if len(tree.failures) > refused else True
            flush()
            failed, unknown = len(self.failed), len(self.untranslated)
            match command.program:
                case Program.NETSH:
                    self._netsh(command, files)
                case Program.REG_FILE:
                    self._registry_file(command, files)
                case _:
                    self._ipseccmd(command, files)
            # What was not understood here may have succeeded on Windows, or failed.
            return None if len(self.untranslated) > unknown else len(self.failed) == failed

        outcome = batch.run(text, file, execute, files=files, arguments=arguments)
        self.ignored += outcome.ignored
        self.untranslated += outcome.problems
        flush()
        self.untranslated[untranslated:] = sorted(
            self.untranslated[untranslated:], key=lambda one: (one.file != file, one.line)
        )

    def _toml(self, text: str, file: str) -> None:
        """An export in our own form, or a policy file, which is added and assigned by nobody."""
        draft = self._workspace.stores[Store.LOCAL]
        names = Names(resolver=self._workspace.resolve)
        now = int(self._workspace.clock())
        try:
            add_text(draft, text, file, names, now, assign=is_store(text))
        except (PolicyError, StoreFileError) as error:
            for one in error.mistakes:
                line = _LINE.match(one.place)
                why = one.expected if line else f"{one.place}: {one.expected}".removeprefix(": ")
                number = int(line[1]) if line else 0
                self.untranslated.append(Failure(file, number, one.text, why))
        self.done += 1

    # netsh

    def _netsh(self, command: batch.Command, files: ScriptFiles) -> None:
        """One run of netsh: a session of its own, as it is a process of its own on Windows, but for
        the store, which stays selected for the commands that follow (X8)."""
        session, name = self._session(), ""
        rest = command.arguments
        word, behind = next_word(rest)
        while (option := word.lower()) in ("-c", "-f", "-r"):
            value, rest = next_word(behind)
            try:
                if option == "-c":
                    session.begin(value)
                elif option == "-r":
                    session.check_computer(value)
                else:
                    name = value
            except CommandError as error:
                self.untranslated.append(_failure(command, as_text(error)))
                return
            word, behind = next_word(rest)
        if name and word:
            why = f'"{rest.strip()}": expected nothing behind -f FILE'
            self.untranslated.append(_failure(command, why))
            return
        if name:
            with self._file(name, command, files) as text:
                if text is not None:
                    self._netsh_script(text, _name_of(name), files, session)
            return
        context, session.state.store = session.context, self._selected
        reply = self._execute(session, rest, command, files)
        if not word or session.context is not context:
            self.untranslated.append(_failure(command, _READS_ON))
        elif session.store is not self._selected and not reply.script:
            self._selected = session.store
            self.notes.append(f"{command.file}:{command.line}: {_SELECTED}")

    def _session(self) -> Session:
        session = Session(self._workspace)
        session.state.silent = True
        return session

    def _netsh_script(self, text: str, file: str, files: ScriptFiles, session: Session) -> None:
        """The lines of a script for `netsh -f`, or for `exec`."""
        for number, line in enumerate(text.split("\n"), 1):
            command = batch.Command(file, number, 1, Program.NETSH, line, line.strip())
            if not command.text or command.text.startswith(("#", "::", "rem ", "REM ")):
                continue
            if self._is_unknown(command):
                continue
            if self._execute(session, line, command, files).done:
                break

    def _execute(
        self, session: Session, line: str, command: batch.Command, files: ScriptFiles
    ) -> Reply:
        reply = session.execute(line)
        if reply.failed and _NOT_FOUND in reply.text:
            line_key = name_key(line)
            draft, now = self._workspace.stores[session.store], int(self._workspace.clock())
            with lent(lambda name: name_key(name) in line_key, draft, now) as more:
                if more:
                    reply = session.execute(line)
        self._took(reply, command)
        if reply.script:
            with self._file(reply.script, command, files) as text:
                if text is not None:
                    self._netsh_script(text, _name_of(reply.script), files, session.of_script())
        return reply

    # ipseccmd and ipsecpol

    def _ipseccmd(self, command: batch.Command, files: ScriptFiles) -> None:
        arguments = split_line(command.arguments)
        program = command.program.value
        of_file = len(arguments) > 1 and arguments[0].lower() in ("-file", "/file")
        if of_file and command.program is Program.IPSECCMD:
            with self._file(arguments[1], command, files) as text:
                if text is not None:
                    self._ipseccmd_script(text, _name_of(arguments[1]), program)
            return
        self._took(run_ipseccmd(arguments, self._workspace, program), command)

    def _ipseccmd_script(self, text: str, file: str, program: str) -> None:
        """The lines of a file for `ipseccmd -file`, with or without the program's name."""
        for number, line in enumerate(text.split("\n"), 1):
            words = split_line(line)
            if words and (named := program_of(words[0])):
                program = named
                del words[0]
            if not words or words[0].startswith(("#", "::")) or words[0].lower() == "rem":
                continue
            command = batch.Command(file, number, 1, Program.IPSECCMD, line, line.strip())
            if self._is_unknown(command):
                continue
            self._took(run_ipseccmd(words, self._workspace, program), command)

    # The registry

    def _registry_file(self, command: batch.Command, files: ScriptFiles) -> None:
        words = [word for word in split_line(command.arguments) if word.lower() != "import"]
        if any(word.lower() in ("/e", "-e", "/d", "-d") for word in words):
            return  # writes an export, or deletes
        for name in (word for word in words if not word.startswith(("/", "-"))):
            with self._file(name, command, files) as text:
                if text is not None and "\\ipsec" in text.lower():
                    self._registry(read_registry(text, _name_of(name)))

    def _registry(self, tree: Tree) -> None:
        applied = apply_tree(tree, self._workspace)
        self.failed += applied.failed
        self.untranslated += applied.untranslated
        self.notes += applied.notes
        self.done += 1

    # The service

    def _service_stops(self, command: batch.Command) -> None:
        """Dynamic rules live until it does, or for ever where it is configured so (spec 0, X6)."""
        dynamic = self._workspace.dynamic
        if dynamic is None or self._workspace.dynamic_persist:
            return
        if not command.certain:
            if not self._dynamic.issuperset(dynamic.rules):
                self.untranslated.append(_failure(command, _PERHAPS_STOPS))
        elif dynamic.rules:
            dynamic.clear()
            self.notes.append(f"{command.file}:{command.line}: {_STOPS}")

    def _is_unknown(self, command: batch.Command) -> bool:
        """Whether a line that a script wrote needs what only Windows knows; it is named then."""
        missing = unknowns(command.text)
        if missing:
            plain = replace(command, text=readable(command.text))
            self.untranslated.append(_failure(plain, f"{', '.join(missing)} not known here"))
        return bool(missing)

    # What came of it

    def _took(self, reply: Reply, command: batch.Command) -> None:
        self.done += 1
        if reply.failed:
            kept = self.failed if reply.understood else self.untranslated
            kept.append(_failure(command, reply.text))

    @contextlib.contextmanager
    def _file(self, name: str, command: batch.Command, files: ScriptFiles) -> Iterator[str | None]:
        """The text of a file that a command names; None, and named, when it is not at hand."""
        text = files.read(name)
        self._depth += 1
        try:
            if self._depth > _DEEPEST:
                text = None
                why = f"more than {_DEEPEST} files that name one another"
                self.untranslated.append(_failure(command, why))
            elif text is None:
                self.untranslated.append(_failure(command, files.why_missing(name)))
            yield text
        except IpsecfdError as error:
            self.untranslated.append(_failure(command, str(error)))
        finally:
            self._depth -= 1


def _failure(command: batch.Command, why: str) -> Failure:
    return Failure(command.file, command.line, command.text, why)


def _name_of(path: str) -> str:
    return path.replace("/", "\\").rpartition("\\")[2]
