"""The other scripts that the commands of a batch file may run (spec 8.1)."""

from __future__ import annotations

from dataclasses import dataclass

from ipsecfd.policy.scripts.batch.command import Files
from ipsecfd.policy.scripts.batch.glance import glance
from ipsecfd.policy.scripts.batch.named import script_names
from ipsecfd.policy.scripts.batch.nodes import simple_commands
from ipsecfd.policy.scripts.batch.programs import run_by, scripts_meant
from ipsecfd.policy.scripts.batch.script import Script, concerns_ipsec
from ipsecfd.policy.scripts.batch.variables import Variables


@dataclass(frozen=True, slots=True)
class Other:
    """A script that a command names."""

    name: str
    text: str | None
    """None when it is not at hand."""


class Others:
    """Finds them next to the first one, or among the files that it wrote."""

    def __init__(self, files: Files, variables: Variables) -> None:
        self._files = files
        self._variables = variables
        self._missing: set[str] = set()
        """Names that no file had when they were looked for."""
        self._scripts: dict[str, Script] = {}
        self._leading: dict[str, bool] = {}

    def changed(self) -> None:
        """Say that the run has written a script: what is known of others is to be found again."""
        self._missing.clear()
        self._scripts.clear()
        self._leading.clear()

    def find(self, text: str, *, expected: bool) -> Other | None:
        """The script that a command runs; None when it runs none.

        Without an extension it names what is at hand, or any when one is expected.
        """
        meant = scripts_meant(text)
        for name in (one for each in meant for one in script_names(each)):
            if name not in self._missing:
                if (found := self._files.read(name)) is not None:
                    return Other(name, found)
                self._missing.add(name)
        return Other(meant[0], None) if len(meant) == 1 or (meant and expected) else None

    def script(self, name: str, text: str) -> Script:
        """The lines of one that is at hand."""
        known = self._scripts.get(name)
        if known is None or known.text != text:
            known = self._scripts[name] = Script(name, text, self.lead_to_ipsec)
        return known

    def lead_to_ipsec(self, line: str) -> bool:
        """Whether a line, with what variables are worth now, has an IPsec command in it, or runs a
        script at hand that has any or runs others."""
        if any(map(concerns_ipsec, self._commands(line))):
            return True
        for one in self._at_hand(line):
            if one.file not in self._leading:
                runs_others = Script(one.file, one.text, lambda each: bool(self._at_hand(each)))
                self._leading[one.file] = runs_others.leads_to_ipsec(0)
            if self._leading[one.file]:
                return True
        return False

    def _at_hand(self, line: str) -> list[Script]:
        """The scripts at hand that a line runs."""
        found = (self.find(run_by(one), expected=False) for one in self._commands(line))
        return [self.script(one.name, one.text) for one in found if one and one.text is not None]

    def _commands(self, line: str) -> list[str]:
        return [one.text for one in simple_commands(glance(self._variables.expand(line)[0]))]
