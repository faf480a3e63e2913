"""Which program a command of a batch file runs, and whether IPsec policies are its business."""

from __future__ import annotations

import enum
import re
from typing import Final

from ipsecfd.policy.scripts.batch.variables import readable


class Program(enum.Enum):
    """The programs whose commands are carried out."""

    NETSH = "netsh"
    IPSECCMD = "ipseccmd"
    IPSECPOL = "ipsecpol"
    REG = "reg"
    """What changes an IPsec key, as `reg add` and `reg delete`, as a whole command."""
    REG_FILE = "regedit"
    """The name of a .reg file."""
    SERVICE = "net"
    """What stops the service of IPsec policies."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_BUILT_IN: Final = re.compile(
    r"(assoc|break|call|cd|chdir|cls|color|copy|date|del|dir|echo|endlocal|erase|exit|goto|md"
    r"|mkdir|mklink|move|path|pause|popd|prompt|pushd|rd|rem|ren|rename|rmdir|set|setlocal|shift"
    r"|start|time|title|type|ver|verify|vol)(?=[\s.,;:=/\\(+\[\]\"]|$)",
    re.IGNORECASE,
)
_ARRANGING: Final = _words(
    "break cd chdir chcp cls color date erase del path pause popd prompt pushd rem time title ver"
    " verify vol"
)
_MUTE: Final = _words("break color endlocal exit goto popd pushd setlocal shift title")
_CARRIED_OUT: Final = _words("netsh ipseccmd ipsecpol reg regedit regedt32")
_LABEL: Final = re.compile(r"[\s:]*([^\s:+,;=&|<>]*)")
_FIRST_WORD: Final = re.compile(r'(?:"[^"]*"?|[^\s",;=])+')
_CMD_SWITCHES: Final = re.compile(r"(?:\s*/[abd-jl-z]\w*(?::\w+)?)*\s*/[ck]\s*", re.IGNORECASE)
_START_SWITCHES: Final = re.compile(
    r'\s*(?:"[^"]*"?)?(?:\s*/(?:d\s*(?:"[^"]*"|\S+)|(?:node|affinity|machine)\s+\S+|[a-z]+))*\s*',
    re.IGNORECASE,
)
_WORD: Final = re.compile(r'\s*((?:"[^"]*"?|[^\s"])+)')
_EXTENSION: Final = re.compile(r"\.(?:exe|com)$")
_SCRIPT: Final = re.compile(r".*\.(?:bat|cmd)", re.IGNORECASE | re.DOTALL)
_MAY_MENTION: Final = _words(
    "attrib cacls choice cscript fc find findstr gpresult gpupdate ipconfig ipsecmon mmc more mode"
    " msg net net1 netdiag netstat ping rasdial reg regsvr32 robocopy sc secedit sleep sort"
    " systeminfo taskkill tasklist timeout title tskill wevtutil whoami wscript xcopy"
)
_SERVICES: Final = ("policyagent", "ipsec services", "ipsec policy agent")
"""Names of the one that holds IPsec policies, as this or that Windows shows it."""
_REG_CHANGES: Final = ("add", "copy", "delete", "restore")
_IPSEC_KEY: Final = re.compile(r"\\ipsec\b|\\policyagent\b", re.IGNORECASE)
_OTHER_CONTEXTS: Final = _words(
    "aaaa add advfirewall branchcache bridge bye delete dhcp dhcpclient diag dnsclient dump eapol"
    " exit firewall help http interface lan lldp mbn namespace nap netio nlm p2p quit ras routing"
    " rpc set show trace wcn wfp winhttp wins winsock wlan ?"
)
_LIKE_NETSH: Final = re.compile(
    r"\s(?:add|set|del(?:ete)?)\s+(?:policy|filter\w*|rule)\b|\sips\w*\s+(?:st|dy)", re.IGNORECASE
)


def split_program(text: str) -> tuple[str, str]:
    """The name of the program without its folder, in lower case, and what stands behind it."""
    if found := _BUILT_IN.match(text):
        return found[1].lower(), text[found.end() :]
    found = _FIRST_WORD.match(text)
    if found is None:
        return "", text
    path = found[0].replace('"', "").replace("/", "\\")
    name = _EXTENSION.sub("", path.rpartition("\\")[2].lower())
    behind_unknown = name.rpartition("\0")[2]  # as in %~dp0ipsecpol
    return behind_unknown if behind_unknown in _CARRIED_OUT else name, text[found.end() :]


def scripts_meant(text: str) -> tuple[str, ...]:
    """The scripts that a command may be, by the names that cmd.exe tries; none for programs."""
    name, _ = split_program(text)
    found = _FIRST_WORD.match(text)
    if found is None or not name or is_built_in(name) or name in _CARRIED_OUT:
        return ()
    word = found[0].replace('"', "").replace("/", "\\").rpartition("\\")[2]
    if word.endswith("\0"):
        return ()  # any program may be meant
    if _SCRIPT.fullmatch(word):
        return (word,)
    return () if _EXTENSION.search(word.lower()) else (f"{word}.bat", f"{word}.cmd")


def is_known(name: str) -> bool:
    """Whether a program is one of those that come with Windows, as far as they are known here."""
    return is_built_in(name) or name in _MAY_MENTION | _ARRANGING | _CARRIED_OUT


def is_built_in(name: str) -> bool:
    """Whether cmd.exe does a command itself."""
    return _BUILT_IN.fullmatch(name) is not None


def prints_nothing(name: str, rest: str) -> bool:
    """Whether a command leaves the file empty that its output goes to, as `type nul >f.txt`."""
    if name == "type":
        return next_word(rest)[0].lower() == "nul"
    if name == "set":
        return "=" in rest
    return name in _MUTE or (name == "cd" and rest.startswith("."))


def is_expected_to_succeed(name: str) -> bool:
    """Whether a command only arranges the script's own surroundings, such as its folder."""
    return name in _ARRANGING


def next_word(text: str) -> tuple[str, str]:
    """The next word without its quotes, and the rest; empty at the end."""
    found = _WORD.match(text)
    return (found[1].replace('"', ""), text[found.end() :]) if found else ("", "")


def child_text(name: str, rest: str) -> str | None:
    """What `cmd /c` or `start` runs in a cmd.exe of its own; None for other commands."""
    if name == "cmd" and (found := _CMD_SWITCHES.match(rest)):
        text = rest[found.end() :].strip()
        return text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text
    if name == "start":
        found = _START_SWITCHES.match(rest)
        return rest[found.end() :] if found else rest
    return None


def run_by(text: str) -> str:
    """The command that a command runs in the end: what stands behind `call`, `cmd /c`, `start`."""
    name, rest = split_program(text)
    inner = rest.strip() if name == "call" else child_text(name, rest)
    return text if inner is None else inner


def label_of(rest: str) -> str:
    """The label behind `goto` or `call`, without its colon."""
    found = _LABEL.match(rest)
    return found[1] if found else ""


def program_of(name: str, rest: str) -> Program | None:
    """The program that carries out a command about IPsec policies; None for other commands."""
    if name == "netsh":
        return Program.NETSH if _netsh_concerns(rest) else None
    if name in ("ipseccmd", "ipsecpol"):
        return Program(name)
    if name == "reg":
        verb, behind = next_word(rest)
        if verb.lower() in _REG_CHANGES and _IPSEC_KEY.search(behind):
            return Program.REG
        return Program.REG_FILE if verb.lower() == "import" else None
    if stops_service(name, rest):
        return Program.SERVICE
    return Program.REG_FILE if name in ("regedit", "regedt32") else None


def stops_service(name: str, rest: str) -> bool:
    """Whether a command stops the service that holds IPsec policies."""
    verb, behind = next_word(rest) if name in ("net", "net1", "sc") else ("", "")
    return verb.lower() == "stop" and next_word(behind)[0].lower() in _SERVICES


def is_doubtful(name: str, text: str) -> bool:
    """Whether a command of no known program may yet be one about IPsec policies.

    A misspelt name or an unknown variable must not make a policy smaller without a word.
    """
    if is_built_in(name) or name in _MAY_MENTION:
        return False
    if name == "netsh":
        return _context(text) not in _OTHER_CONTEXTS
    plain = readable(text).lower()
    return "ipsec" in plain or ("\0" in name and _LIKE_NETSH.search(plain) is not None)


def _netsh_concerns(rest: str) -> bool:
    word = next_word(rest)[0].lower()
    return word.startswith("-") or word == "exec" or _is_ipsec(word)


def _is_ipsec(word: str) -> bool:
    return len(word) > 1 and "ipsec".startswith(word)


def _context(text: str) -> str:
    """The context of a netsh command, in full when it is a known one."""
    word = next_word(split_program(text)[1])[0].lower()
    whole = [one for one in _OTHER_CONTEXTS if word and one.startswith(word)]
    return whole[0] if whole else word
