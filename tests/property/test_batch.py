"""Batch files: any text gives commands and problems, soon, and nothing else."""

from __future__ import annotations

import itertools
import time
from pathlib import Path

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from ipsecfd.policy.grammar import GrammarError
from ipsecfd.policy.model import IPAddress
from ipsecfd.policy.scripts.batch import Command, run
from ipsecfd.policy.scripts.encoding import EncodingError, decode
from ipsecfd.policy.scripts.importing import import_files
from ipsecfd.policy.stores.dynamic import DynamicDraft
from ipsecfd.policy.workspace import Workspace

SOON = 10.0
"""Seconds for whatever is made here; most take a tenth of one, but at the end of thousands of tests
on a busy machine, collecting garbage alone takes its time."""
EXAMPLES = [
    path.read_bytes() for path in sorted((Path(__file__).parents[1] / "data").glob("*/*.bat"))
]
PIECES = st.sampled_from(
    [
        *(
            "(",
            ")",
            '"',
            "^",
            "&",
            "&&",
            "||",
            "|",
            ">",
            "2>&1",
            "<",
            "%",
            "%%",
            "!",
            "@",
            ":",
            ",",
        ),
        *("\n", "\r", "\x1a", " ", "=", "^\n", "::", "rem ", "echo ", "NUL"),
        *(
            "if 1==1 ",
            "if not exist x ",
            "else ",
            "if errorlevel 1 ",
            'if "%A%"=="" ',
            "if /i a EQU ",
        ),
        *(
            "for %%i in (1 2) do ",
            "for /L %%i in (1,1,99999) do ",
            "for /f %%i in ('x') do ",
            "%%i",
        ),
        *("set A=%A%%A%x\n", "set /a N+=1\n", "%A%", "!A!", "%1", "%~dp0", "%A:~0,2%", "%A:x=xx%"),
        *("goto a\n", ":a\n", "call :a\n", "goto :eof\n", "exit /b\n", "shift\n", "setlocal\n"),
        *("setlocal enabledelayedexpansion\n", "endlocal\n", "call ", "cmd /c ", "start ", "x.bat"),
        *("netsh ipsec static add policy P", "netsh ipsec static delete all", "netsh -f x.txt"),
        *("ipseccmd -f 0+* -n BLOCK", "reg add HKLM\\SYSTEM\\CurrentControlSet\\Services\\IPSEC"),
    ]
)
scripts = st.lists(st.one_of(PIECES, PIECES, st.text(max_size=4)), max_size=60).map(
    lambda pieces: "".join(pieces).replace("\0", "")  # what is decoded never has any
)


class Nowhere:
    """No file is at hand."""

    def read(self, name: str) -> str | None:
        return None

    def write(self, name: str, text: str, *, append: bool) -> None:
        pass

    def delete(self, name: str) -> None:
        pass


class Written(Nowhere):
    """Only what the script has written is."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}

    def read(self, name: str) -> str | None:
        return self._texts.get(name)

    def write(self, name: str, text: str, *, append: bool) -> None:
        self._texts[name] = (self._texts.get(name, "") if append else "") + f"{text}\n"


def resolve(name: str) -> tuple[IPAddress, ...]:
    raise GrammarError(name, "expected a DNS name that resolves")


@given(
    scripts,
    st.one_of(st.none(), st.lists(st.text('ab %"^&', max_size=5), max_size=3)),
    st.booleans(),
)
@example("(call ^\n%A%", None, False)
@example("IF(%A%", None, False)
@settings(deadline=None, max_examples=300)
def test_any_script_ends(text: str, arguments: list[str] | None, succeeds: bool) -> None:
    """Commands have places in the file, problems have a line and a reason, and it takes no time."""
    commands: list[Command] = []

    def execute(command: Command) -> bool:
        commands.append(command)
        return succeeds

    lines = text.count("\n") + 1
    start = time.process_time()
    outcome = run(text, "p.bat", execute, files=Nowhere(), arguments=arguments)
    assert time.process_time() - start < SOON
    for command in commands:
        assert 1 <= command.line <= lines
        assert command.column >= 1
        assert "\0" not in command.text + command.arguments
    for problem in outcome.problems:
        assert 1 <= problem.line <= lines
        assert problem.why
        assert "\0" not in problem.text + problem.why


EITHER = "if exist x "
VALUES = [
    *("set V=1", "set V=2", "set W=3", "setlocal", "endlocal", "shift", "echo x", "goto :eof"),
    *("exit /b", "for %%i in (5 6) do set V=%%i", "for %%i in (V W) do (\nset %%i=7\n)"),
    *(f"{EITHER}{jump}" for jump in ("goto :eof", "exit /b", "set V=8", "(\nset W=9\necho\n)")),
]
COMMANDS = [
    *("netsh ipsec static %V%.%W%", "netsh ipsec static %1", "call :s", "call :t", "call f.bat"),
    *("echo netsh ipsec static 4>>f.bat", "for %%i in (5 6) do netsh ipsec static %%i.%W%"),
]


def jumps(labels: str) -> list[str]:
    """Lines with these labels, that perhaps jump to them."""
    return [
        line.replace("@", label)
        for label in labels
        for line in (
            *(":@", ":@", "goto @", f"{EITHER}goto @", f"{EITHER}(\necho\ngoto @\n)"),
            *(f"({EITHER}goto @) & set V=4", f"{EITHER}(goto @) else set W=5"),
            f"for %%i in (5 6) do (\nset V=%%i\n{EITHER}goto @\n)",
        )
    ]


def script_of(lines: list[str], size: int) -> st.SearchStrategy[str]:
    return st.lists(st.sampled_from(lines), min_size=2, max_size=size).map("\n".join)


def carried_out(text: str) -> tuple[list[str], bool]:
    """The commands of a script, and whether all of it was understood."""
    commands: list[str] = []

    def execute(command: Command) -> bool:
        commands.append(command.arguments)
        return True

    outcome = run(text, "p.bat", execute, files=Written(), arguments=["1", "2", "3"])
    return commands, not outcome.problems


@given(
    script_of(VALUES + COMMANDS + jumps("ab"), 12),
    script_of(VALUES + jumps("stuv"), 8),
)
@settings(deadline=None, max_examples=300)
def test_no_way_has_other_commands(main: str, subroutines: str) -> None:
    """Where nothing is named, whatever Windows decides, no command is another one than was carried
    out here; some are missing where a guard leaves the script."""
    values = "netsh ipsec static %V%.%W%"
    text = f"set V=0\nset W=0\n{main}\n:a\n:b\n{values}\ncall :s\n{values}\nexit\n"
    text += f":s\n{subroutines}\n:s\n:t\n:u\n:v"
    first, *pieces = text.split(EITHER)
    assume(len(pieces) <= 5)
    found, understood = carried_out(text)
    assume(understood)
    for answers in itertools.product(("if 1==1 ", "if 1==2 "), repeat=len(pieces)):
        decided = "".join(answer + piece for answer, piece in zip(answers, pieces, strict=True))
        commands, ends = carried_out(first + decided)
        left = iter(found)
        assert not ends or all(one in left for one in commands), answers


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A published script with pieces cut out, doubled or overwritten, in any encoding."""
    data = draw(st.sampled_from(EXAMPLES))
    if draw(st.booleans()):
        data = data.decode().encode(draw(st.sampled_from(["utf-16", "utf-16-be", "gb18030"])))
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.integers(0, 30)))
        middle = draw(
            st.one_of(st.just(b""), st.just(data[start:end] * 2), st.binary(max_size=5), PIECES)
        )
        data = data[:start] + (middle.encode() if isinstance(middle, str) else middle) + data[end:]
    return data


@given(st.one_of(damaged(), st.binary(), scripts.map(str.encode)))
@settings(deadline=None, max_examples=300)
def test_any_bytes_give_a_result(data: bytes) -> None:
    """Objects, or what failed and what was not understood by line; what stops has a reason."""
    start = time.process_time()
    workspace = Workspace(resolve, dynamic=DynamicDraft())
    result = import_files([("p.bat", data)], workspace)
    assert time.process_time() - start < SOON
    assert result.stopped == bool(result.untranslated)
    for failure in (*result.failed, *result.untranslated):
        assert failure.line >= 0
        assert failure.why


@given(st.binary())
def test_any_bytes_are_text_or_one_error(data: bytes) -> None:
    """Never another error; a text has no zero byte."""
    try:
        text = decode(data)
    except EncodingError as error:
        text = str(error)
    assert "\0" not in text


@pytest.mark.parametrize(
    "text",
    [
        "(" * 20_000,
        '"' * 100_000,
        "^\n" * 20_000,
        "%" * 100_000,
        "set A=x\n" + "set A=%A%%A%\n" * 5_000,
        "start " * 5_000,
        "cmd /c " * 5_000,
        "for /L %%a in (1,1,9999) do for /L %%b in (1,1,9999) do set x=1\n",
        "".join(f"if exist {number} goto x\n" for number in range(5_000)) + ":x\nnetsh -f x\n",
        "".join(f"goto l{number}\n:l{number}\n" for number in range(5_000)),
        ":a\ncall :a\ncall :a\n",
        ":a\nset A=%A%x\ngoto a\n",
        "setlocal\n" + "setlocal\nset a%random%=1\n" * 5_000,
        "if 1==1 " * 5_000,
        "".join(f"netsh ipsec static add filter L 10.0.0.{one} me\n" for one in range(250))
        + "for /L %%i in (1,1,20000) do netsh ipsec static show all\n",
        "echo x>>f\n" * 5_000 + "netsh -f f\n" * 5,
        "if exist x call :a\n" * 5_000 + ":a\n" + "set A=1\n" * 5_000,
        "".join(f"if exist x call :a{one}\n" for one in range(3_000))
        + "".join(f":a{one}\ncall :a{one + 1}\n" for one in range(3_000)),
        "for /L %%i in (1,1,99999) do if exist x call b\n",
        "if exist x " + "call " * 1_600 + ":a\n:a\n",
        "if exist x goto b\n" + "^\n" * 20_000 + ":b\nnetsh -f x\n",
        "if exist x goto b\n" + (")" * 8_000 + "\n" + "(" * 8_000 + "\n") * 50 + ":b\nnetsh -f x\n",
        ":a\n" + "if exist x goto a\n" * 5_000 + "netsh -f x\n",
        "for %%i in (1 2) do (\n" + "if exist x goto a\n" * 5_000 + ")\n:a\nnetsh -f x\n",
        "for /L %%i in (1,1,9999) do call :a\nexit\n:a\n" + "if exist x exit /b\n" * 5_000,
        "if exist x goto b\ncall c\n:b\n" * 5_000 + "netsh -f x\n",
        "".join(f"set A{one}=1\n" for one in range(5_000))
        + "setlocal\n" * 20
        + "if exist x endlocal\nfor /L %%i in (1,1,99999) do endlocal\n",
    ],
    ids=lambda text: repr(text[:20]),
)
def test_hostile_scripts_end_soon(text: str) -> None:
    """Nesting, doubling, loops and jumps made to hang a reader."""
    start = time.process_time()
    import_files([("p.bat", text.encode())], Workspace(resolve))
    assert time.process_time() - start < SOON
