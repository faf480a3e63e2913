"""Batch files as cmd.exe runs them: what becomes a command, and what is named instead."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from ipsecfd.policy.scripts.batch import Command, Outcome, Program, run

NETSH = "netsh ipsec static"
CHOICE = 'if "%1"=="on" goto on\nif "%1"=="off" goto off\n'
ON_AND_OFF = "goto end\n:on\nNS a\ngoto end\n:off\nNS b\n:end"


class Folder:
    """Files next to a script."""

    def __init__(self, **files: str) -> None:
        self.files = {name.replace("_", "."): text for name, text in files.items()}

    def read(self, name: str) -> str | None:
        return self.files.get(name)

    def write(self, name: str, text: str, *, append: bool) -> None:
        self.files[name] = (self.files.get(name, "") if append else "") + f"{text}\n"

    def delete(self, name: str) -> None:
        self.files.pop(name, None)


def play(
    text: str,
    *arguments: str,
    files: Folder | None = None,
    fails: Sequence[str] = (),
    unclear: Sequence[str] = (),
) -> tuple[list[Command], Outcome]:
    """Run a script; commands fail, or are not understood, whose text ends with one of these."""
    commands: list[Command] = []

    def execute(command: Command) -> bool | None:
        commands.append(command)
        if command.text.endswith(tuple(unclear)):
            return None
        return not command.text.endswith(tuple(fails))

    outcome = run(text, "p.bat", execute, files=files or Folder(), arguments=arguments or None)
    return commands, outcome


def done(text: str, *arguments: str, fails: Sequence[str] = ()) -> list[str]:
    """What is carried out, without `netsh ipsec static`, of a script that has no problem."""
    commands, outcome = play(text.replace("NS", NETSH), *arguments, fails=fails)
    assert outcome.problems == ()
    return [command.text.removeprefix(f"{NETSH} ") for command in commands]


def problems(text: str, *arguments: str) -> list[tuple[int, str]]:
    """The lines that are named, and why."""
    outcome = play(text.replace("NS", NETSH), *arguments)[1]
    return [(one.line, one.why.partition(": ")[2] or one.why) for one in outcome.problems]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("NS a", ["a"]),
        ("@NS a", ["a"]),
        ("  \t@ NS a  ", ["a"]),
        ("REM NS a\nrem\n:: NS b\n:NS c\n@rem NS d\nremark\nNS e", ["e"]),
        ("@echo off & NS a", ["a"]),
        ("echo NS a\ntitle NS b\n@ECHO NS c & NS d", ["d"]),
        ("NS a && NS b", ["a", "b"]),
        ("NS a&&NS b&NS c", ["a", "b", "c"]),
        ("NS a || NS b", ["a"]),
        ("NS a | find x\n", ["a"]),
        ("NS a >nul 2>&1\nNS b>>x.log\nNS c 2>nul && NS d", ["a", "b", "c", "d"]),
        (">nul NS a", ["a"]),
        ("NS ^\n  a ^\n  b", ["  a   b"]),
        ("NS a ^& b", ["a & b"]),
        ('NS "a & b | c > d ^ e"', ['"a & b | c > d ^ e"']),
        ("(NS a)", ["a"]),
        ("(\n  NS a\n  (\n NS b )\n)\nNS c", ["a", "b", "c"]),
        (")\nNS a", ["a"]),
        ("NS a (b)", ["a (b)"]),
        ("cmd /c NS a", ["a"]),
        ('cmd.exe /q /d /c "NS a && NS b"', ["a", "b"]),
        ("start /wait NS a", ["a"]),
        ('start "title" /b /d "C:\\x" NS a', ["a"]),
        ("call NS a", ["a"]),
        ("NS a\nexit\nNS b", ["a"]),
        ("NS a\nexit /b 1\nNS b", ["a"]),
        ("NS a\ngoto :eof\nNS b", ["a"]),
        ("goto end\nNS a\n:END\nNS b", ["b"]),
        ("goto:end\nNS a\n:end the end\nNS b", ["b"]),
        ("goto end\nNS a\n: end\nNS b", ["b"]),
        ("call :s\nexit\n  :\ts and more\nNS b", ["b"]),
        ("goto end\nNS a\n:=== end ===\nNS b\n:end\nNS c", ["b", "c"]),
        ("goto end\nNS a\n:: end\nNS b\n:end\nNS c", ["c"]),
        ("(\ngoto end\nNS a\n)\nNS b\n:end\nNS c", ["c"]),
        ("\n\n   \n\t\nNS a\n", ["a"]),
    ],
)
def test_what_is_carried_out(text: str, expected: list[str]) -> None:
    """Comments, connectors, quotes, carets, blocks, redirections and jumps, as cmd.exe has them."""
    assert expected == done(text)


@pytest.mark.parametrize(
    "text",
    [
        "NETSH.EXE ipsec static a",
        '"netsh" ipsec static a',
        "%windir%\\system32\\netsh.exe ipsec static a",
        '"%SystemRoot%\\system32\\netsh" ipsec static a',
        "C:\\WINDOWS\\system32\\netsh ipsec static a",
        "%~dp0netsh.exe ipsec static a",
        '"%~dp0netsh" ipsec static a',
        "set N=%windir%\\system32\\netsh.exe\n%N% ipsec static a",
    ],
)
def test_programs_are_known_with_any_path(text: str) -> None:
    """Where a program lies on Windows does not matter, even if the folder cannot be known."""
    (command,), outcome = play(text)
    assert outcome.problems == ()
    assert (command.program, command.arguments) == (Program.NETSH, "ipsec static a")


@pytest.mark.parametrize(
    ("text", "program", "arguments"),
    [
        ('ipseccmd -p "a b" -x', Program.IPSECCMD, '-p "a b" -x'),
        ('"C:\\Support Tools\\IPSecCmd.exe" -u', Program.IPSECCMD, "-u"),
        ("ipsecpol -u", Program.IPSECPOL, "-u"),
        ("netsh -f x.txt", Program.NETSH, "-f x.txt"),
        ("netsh exec x.txt", Program.NETSH, "exec x.txt"),
        ("netsh ips st a", Program.NETSH, "ips st a"),
        ("regedit /s x.reg", Program.REG_FILE, "/s x.reg"),
        ("reg import x.reg", Program.REG_FILE, "import x.reg"),
        (
            "reg add HKLM\\SYSTEM\\CurrentControlSet\\Services\\IPSEC /v NoDefaultExempt /d 1",
            Program.REG,
            "reg add HKLM\\SYSTEM\\CurrentControlSet\\Services\\IPSEC /v NoDefaultExempt /d 1",
        ),
    ],
)
def test_programs(text: str, program: Program, arguments: str) -> None:
    """Each command is for one program, with everything behind its name."""
    (command,), _ = play(text)
    assert (program, arguments) == (command.program, command.arguments)


@pytest.mark.parametrize(
    "text",
    [
        'net start policyagent\nsc config PolicyAgent start= auto\nnet start "IPSEC Services"',
        "netsh advfirewall set allprofiles state on\nnetsh firewall set opmode enable",
        "netsh int ip reset\nnetsh interface ipv4 show addresses",
        "reg add HKCU\\Software\\X /v A /d 1",
        "del ipsec.log\ncopy ipsec.bat c:\\\nping ipsec.example\ngpupdate /force\npause",
        "secedit /refreshpolicy machine_policy\nfoo bar\ncls\ncolor 3f",
        "if exist ipsec.txt del ipsec.txt\nif errorlevel 1 echo no",
        "for %%i in (*.txt) do del %%i\nfor /f %%i in ('dir') do echo %%i",
        'taskkill /im ipsecmon.exe\nsc query policyagent | find /i "RUNNING"',
    ],
)
def test_what_has_nothing_to_do_with_ipsec_is_ignored(text: str) -> None:
    """Neither carried out nor named."""
    assert (play(text)[0], play(text)[1].problems) == ([], ())


def test_places() -> None:
    """A command has the line and column at which its author wrote it."""
    text = "set A=aaaa\n%A% & NS x ^\n  y & NS z\nif 1==1 (\n  NS %A% & NS b\n)"
    commands, _ = play(text.replace("NS", NETSH))
    assert [(one.line, one.column) for one in commands] == [(2, 7), (3, 7), (5, 3), (5, 28)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("set A=x\nNS %A%%a%", ["xx"]),
        ('set "A=x y"\nNS "%A%"', ['"x y"']),
        ('set A="x y"\nNS %A%', ['"x y"']),
        ("set A=x\nset A=\nNS a%A%b", ["ab"]),
        ("set A=x\nset B=%A%y\nNS %B%", ["xy"]),
        ("set A=192.0.2.7\nNS %A:~0,3% %A:~-1% %A:.=-% %A:*.=%", ["192 7 192-0-2-7 0.2.7"]),
        ("set A=x&NS %A%b", None),
        ("set A=x\n(\nset A=y\nNS %A%\n)\nNS %A%", ["x", "y"]),
        ("setlocal enabledelayedexpansion\n(\nset A=y\nNS !A!\n)", ["y"]),
        ("set A=x\nsetlocal\nset A=y\nNS %A%\nendlocal\nNS %A%", ["y", "x"]),
        ("set /a N=2\nset /a N+=3\nset /a M=N-1\nNS %N% %M%", ["5 4"]),
        ("set A=80\nset B=90\nset /a A+=1, B+=1\nNS %A% %B%", ["81 91"]),
        ('set /a "A=2,B=A*3,A-=B"\nNS %A% %B%', ["-4 6"]),
        ("set /a P[1]=70+10\nset /a P[1]*=2\nNS %P[1]%", ["160"]),
        ("set A=1\nset /a 2+3\nNS %A%", ["1"]),
        ("NS 100%%", ["100%"]),
        ("set A=NS\n%A% a", ["a"]),
        ("set A=x\ncall set B=%%A%%\nNS %B%", ["x"]),
        ("set A=x \nNS a%A%b", ["ax b"]),
        ("set A=x & NS a\nNS a%A%b", ["a", "ax b"]),
        ("(set A=x )\nNS a%A%b", ["ax b"]),
        ("set A=x >nul\nNS a%A%b", ["ax b"]),
        ("set A=x 2>nul\nNS a%A%b", ["ax b"]),
        ("set A= \nif defined A NS a%A%b", ["a b"]),
        ('set "A=x" \nNS a%A%b', ["axb"]),
        ("call set A=x \nNS a%A%b", ["ax b"]),
        ("for %%i in (1) do set A=%%i \nNS a%A%b", ["a1 b"]),
        ("set A=x \n NS %A% ", ["x"]),
    ],
)
def test_variables(text: str, expected: list[str] | None) -> None:
    """Values set in the same file are put in place when cmd.exe would: before a line is read."""
    if expected is None:
        assert problems(text) == [(1, "%A% is not known here: set it in the script")]
    else:
        assert expected == done(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("set A=x\nsetlocal\nset A=y\ncall :s\nNS %A%\nexit\n:s\nendlocal", ["y"]),
        ("set A=x\ncall :s\nNS %A%\nexit\n:s\nsetlocal\nset A=y", ["x"]),
        ("call :s\nNS %A%\nexit\n:s\nsetlocal\nset B=y\nendlocal&set A=%B%", ["y"]),
        ("endlocal\nset A=x\nendlocal\nNS %A%", ["x"]),
    ],
)
def test_scopes(text: str, expected: list[str]) -> None:
    """A subroutine closes the scopes that it opened, and no other ones."""
    assert expected == done(text)


@pytest.mark.parametrize(
    "text",
    [
        'cmd /c "set A=y"',
        "cmd /c set A=y & set B=z",
        "cmd /c b.bat",
        "start /wait b",
        "echo 1 | set A=y",
        "set A=y | more",
        "cmd /c shift",
        "cmd /c setlocal enabledelayedexpansion",
        "ver | find x && set B=1",
        "if exist x (cmd /c set A=y)",
        'cmd /c "if exist x set A=y"',
    ],
)
def test_a_child_changes_nothing_of_its_parent(text: str) -> None:
    """Variables, arguments and scopes of a cmd.exe of its own end with it."""
    text = f"set A=x\nsetlocal\n{text}\nNS %A% %1!A!\nendlocal\nNS %A%"
    files = Folder(b_bat="set A=y\nshift\nendlocal\nexit")
    commands, outcome = play(text.replace("NS", NETSH), "1", files=files)
    assert outcome.problems == ()
    assert [one.text.removeprefix(f"{NETSH} ") for one in commands] == ["x 1!A!", "x"]


def test_a_child_has_what_its_parent_has() -> None:
    """It begins with the same variables, and expands its own line before it does it."""
    assert done('set A=x\ncmd /c "set A=y& NS %%A%%"') == ["x"]
    assert done('cmd /c "set A=y& if defined A NS b"') == ["b"]
    assert done("set A=x\necho y | NS %A% && NS b") == ["x", "b"]


def test_arguments() -> None:
    """%1 and the others are what the caller gave; what he did not give is empty."""
    assert done("NS %1 %~2 '%3' %4%%", "a", '"b"', "c") == ["a b 'c' %"]
    assert done("NS %*", "a", "b") == ["a b"]
    assert done(':l\nif "%1"=="" goto :eof\nNS %1\nshift\ngoto l', "a", "b") == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("shift\nNS %1 %2.%3.", "b c.."),
        ("shift /1\nNS %1 %2.%3.", "b c.."),
        ("shift /2\nNS %1 %2.%3.", "a c.."),
        ("shift /5\nNS %1 %2 %3", "a b c"),
        ("shift /x\nNS %1 %2 %3", "a b c"),
        ("shift\nNS %0 %*", "a a b c"),
        ("shift /1\nNS %0 %*", "p.bat a b c"),
        ("call :s d e=f\nNS %1\nexit\n:s\nshift\nNS %1 %*", "e d e=f"),
    ],
)
def test_shift(text: str, expected: str) -> None:
    """It begins where it is told, and leaves %* alone, and the arguments of the caller."""
    assert done(text, "a", "b", "c")[0] == expected


def test_shift_of_arguments_that_nobody_gave() -> None:
    """What is behind the known ones moves up unknown."""
    assert [why for _, why in problems("shift\nNS %0")] == [
        "%0 is not known: give the script's arguments with --arg"
    ]
    assert done("shift /1\nNS %0") == ["p.bat"]


def test_arguments_that_nobody_gave() -> None:
    """A command that needs one is named, with what to do; a guard that asks for one is passed."""
    text = 'if "%1"=="" goto usage\nNS a\nNS %1\ngoto :eof\n:usage\necho usage'
    assert problems(text) == [(3, "%1 is not known: give the script's arguments with --arg")]
    assert [one.text.removeprefix(f"{NETSH} ") for one in play(text.replace("NS", NETSH))[0]] == [
        "a"
    ]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("NS %B%", "%B% is not known here"),
        ("NS a\nNS %TEMP%\\x", "%TEMP% is not known here"),
        ("set /p B=which? \nNS %B%", "%B% is not known here"),
        ("if exist x set B=1\nNS %B%", "%B% is not known here"),
        ("set B=1\nping x && set B=2\nNS %B%", "%B% is not known here"),
        ("set B=1\nif exist x set B=2\nNS %B%", "%B% is not known here"),
        ("for /f %%i in ('hostname') do set B=%%i\nNS %B%", "%B% is not known here"),
        ("set P=1\nset /a Q=(P=200)*1\nNS %P%", "%P% is not known here"),
        ("set P=1\nset /a Q=(P=200)*1\nNS %Q%", "%Q% is not known here"),
        ("set /a A=1, B=7/2, C=1\nNS %A% %B% %C%", "%A%, %B%, %C% are not known here"),
        ("set /a A=B=2\nNS %A%%B%", "%A%, %B% are not known here"),
        ("set /a A=999999999*999999999\nNS %A%", "%A% is not known here"),
        ("set B=2\nif exist x set /a A=3,B=4\nNS %B%", "%B% is not known here"),
        ("set A_1=2\nset A_%X%=3\nNS %A_1%", "%A_1% is not known here"),
        ("set A_1=2\nset /a A_%X%=3\nNS %A_1%", "%A_1% is not known here"),
        ("NS %~dp0x", "%~dp0 is not known"),
        ("netsh -f %B%", "%B% is not known here"),
        ("ipseccmd -f %B%+0", "%B% is not known here"),
        ("ipseccmd -f %B%/24=0 -n BLOCK", "%B% is not known here"),
        ("(NS %ProgramFiles(x86)%)", "%ProgramFiles(x86)% is not known here"),
        ("NS %a & b%", "%ab% is not known here"),
        ("%B% ipsec static add policy x", "%B% is not known here"),
        ("NS %COMPUTERNAME%-%USERNAME%", "%COMPUTERNAME%, %USERNAME% are not known here"),
    ],
)
def test_what_only_windows_knows_is_named(text: str, named: str | None) -> None:
    """A variable that the script does not set, or perhaps sets, is never guessed."""
    found = problems(text)
    if named is None:
        assert found == []
    else:
        assert [text.count("\n") + 1] == [line for line, _ in found]
        assert found[0][1].startswith(named)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("for %%i in (1 2,3;4) do NS %%i", ["1", "2", "3", "4"]),
        ("for %i in (1) do NS %i", None),
        ('for %%i in ("a b" c) do NS %%i %%~i', ['"a b" a b', "c c"]),
        ("for %%i in (1 2) do for %%j in (a b) do NS %%i%%j", ["1a", "1b", "2a", "2b"]),
        ("for %%i in (1 2) do (\n NS %%i\n NS x%%i\n)", ["1", "x1", "2", "x2"]),
        ("for %%i in (\n 1\n 2\n) do NS %%i", ["1", "2"]),
        ("for %%i in (1 2) do NS %%i & NS y", ["1", "y", "2", "y"]),
        ("for /L %%i in (1,2,5) do NS %%i", ["1", "3", "5"]),
        ("for /l %%i in (3 -1 1) do @NS %%i", ["3", "2", "1"]),
        ("for /L %%i in (2,1,1) do NS %%i", []),
        ("set L=1 2\nfor %%i in (%L%) do NS %%i", ["1", "2"]),
        ("for %%i in () do NS %%i", []),
        ('for /f "tokens=2 delims=," %%i in ("a,b,c") do NS %%i', ["b"]),
        ("setlocal enabledelayedexpansion\nfor %%i in (1 2) do (\nset A=%%i\nNS !A!)", ["1", "2"]),
        ("set A=0\nfor %%i in (1 2) do set A=%%i\nNS %A%", ["2"]),
        ("for %%i in (a b) do if %%i==b NS %%i", ["b"]),
    ],
)
def test_loops(text: str, expected: list[str] | None) -> None:
    """A loop over what stands in the script is unrolled."""
    if expected is None:
        assert [line for line, _ in problems(text)] == [1]
    else:
        assert expected == done(text)


@pytest.mark.parametrize("name", "adfnpstxzAZi")
def test_a_loop_variable_named_like_a_modifier(name: str) -> None:
    """It is the variable where no other one follows it, whatever else does (cmd.exe)."""
    for behind in ("", '"', "-b c", ")x", f"%%{name}", f" %%~{name}"):
        value = {f"%%{name}": '"1 2"', f" %%~{name}": " 1 2"}.get(behind, behind)
        found = done(f'for %%{name} in ("1 2") do NS x%%~{name}{behind.replace(")", "^)")}')
        assert found == [f"x1 2{value}"]
    assert done(f"for %%{name} in (1) do for %%j in (2) do NS %%~{name}%%~j") == ["12"]


def test_modifiers_of_a_loop_variable() -> None:
    """What only Windows knows of a file stays unknown, not a part of the text."""
    (problem,) = problems("for %%f in (1.txt) do NS %%~nf")
    assert "%%~nf" in problem[1]


def test_loops_over_files() -> None:
    """The lines of a file next to the script, or of one that the script has written itself."""
    files = Folder(ips_txt="; comment\n10.0.0.1 a b\n\n10.0.0.2 c\n")
    text = 'for /f "tokens=1,*" %%i in (ips.txt) do NS %%i-%%j\necho x y>o.txt\necho z>>o.txt\n'
    text += "for /f %%i in (o.txt) do NS %%i"
    commands, outcome = play(text.replace("NS", NETSH), files=files)
    assert [one.text.removeprefix(f"{NETSH} ") for one in commands] == [
        "10.0.0.1-a b",
        "10.0.0.2-c",
        "x",
        "z",
    ]
    assert outcome.problems == ()


@pytest.mark.parametrize(
    ("options", "lines", "expected"),
    [
        ("", ";a\nb c", ["b"]),
        ("", " ;a\nb", ["b"]),
        ("eol=# tokens=1", "#a\n;b", [";b"]),
        ("eol=;tokens=2", ";a b\nc d", ["d"]),
        ("eol= tokens=1", ";a b\n c", [";a", "c"]),
        ("eol= ", ";a b\nc", [";a", "c"]),
        ("eol= delims=", " a\n;b", [";b"]),
        ("eol=, delims=,", ",a\n;b", ["a", ";b"]),
        ("eol=", ';a\n"b\nc', [";a", "c"]),
        ("tokens=1 eol=", ';a\n"b\nc', [";a", "c"]),
        ("delims=, EOL=", ';a\n"b\nc', [";a", "c"]),
    ],
)
def test_comments_of_a_file(options: str, lines: str, expected: list[str]) -> None:
    """`eol` is the one character behind it, be it a blank or the closing quote, and begins a
    comment behind delimiters, too."""
    text = f'for /f "{options}" %%i in (ips.txt) do NS %%i'
    commands, outcome = play(text.replace("NS", NETSH), files=Folder(ips_txt=lines))
    assert outcome.problems == ()
    assert [one.text.removeprefix(f"{NETSH} ") for one in commands] == expected


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("for %%i in (*.txt) do NS %%i", "*.txt stands for names of files"),
        ("for /f %%i in (ips.txt) do NS %%i", "the file ips.txt is not next to this one"),
        ("for /f %%i in ('hostname') do NS %%i", "it counts over what a program prints"),
        ("for /r . %%i in (x) do NS %%i", "for /r . counts over folders"),
        ("for %%i in (%L%) do NS %%i", "%L% is not known here"),
        ("for /L %%i in (1,0,5) do NS %%i", "for /L with the step 0 never ends"),
        ("for /L %%i in (1,1,x) do NS %%i", "for /L needs three numbers"),
        ('for /f "skip=010" %%i in ("1") do NS %%i', "skip=010 is no decimal number"),
    ],
)
def test_loops_that_cannot_be_expanded(text: str, why: str) -> None:
    """They are named with the reason when IPsec commands are in them."""
    ((line, found),) = problems(text)
    assert line == 1
    assert found.startswith(f"this loop cannot be expanded: {why}")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("if 1==1 NS a", ["a"]),
        ("if 1==2 NS a", []),
        ("if not 1==2 NS a", ["a"]),
        ('if "x"=="X" NS a\nif /i "x"=="X" NS b', ["b"]),
        ("if 1==2 (NS a) else NS b", ["b"]),
        ("if 1==2 (\n NS a\n) else (\n NS b\n)", ["b"]),
        ("if 1==2 (NS a) else if 1==1 (NS b) else (NS c)", ["b"]),
        ("if 1==1 NS a & NS b", ["a", "b"]),
        ("if 1==2 NS a & NS b", []),
        ("if 9 LSS 10 NS a\nif 9 GTR 10 NS b\nif x NEQ y NS c\nif 1 EQU 1 NS d", ["a", "c", "d"]),
        ("if 010 EQU 8 NS a\nif 010 EQU 10 NS b\nif 0x1F GEQ 31 NS c", ["a", "c"]),
        ("if -0X10 LSS -15 NS a\nif +7 EQU 07 NS b\nif 0 EQU 00 NS c", ["a", "b", "c"]),
        ("if 08 EQU 8 NS a\nif 08 LSS 8 NS b\nif 0x EQU 0 NS c\nif 10 LSS 9a NS d", ["b", "d"]),
        ("if 4294967296 EQU 2147483647 NS a\nif -9999999999 LSS -2147483647 NS b", ["a", "b"]),
        ("NS bad\nif errorlevel 01 NS a\nif errorlevel 02 NS b", ["bad", "a"]),
        ("set A=1\nif defined A NS a\nset A=\nif not defined A NS b", ["a", "b"]),
        ('set A=x y\nif not "%A%"=="" (\n NS a\n)', ["a"]),
        ("NS bad\nif errorlevel 1 NS a", ["bad", "a"]),
        ("NS good\nif errorlevel 1 NS a", ["good"]),
        ("NS bad\nif %errorlevel%==0 NS a\nif %errorlevel% neq 0 NS b", ["bad", "b"]),
        ("NS bad && NS a\nNS good && NS b", ["bad", "good", "b"]),
        ("NS bad || NS a\nNS good || NS b", ["bad", "a", "good"]),
        ("NS good || NS a && NS b", ["good"]),
        ("echo x && NS a\nset A=1 && NS b\nsetlocal && NS c", ["a", "b", "c"]),
        ("cd /d C:\\x && NS a\npushd x && NS b\ntitle x && NS c", ["a", "b", "c"]),
        ("rem && NS a\nchcp 936 >nul && NS b\ncls && echo x && NS c", ["b", "c"]),
    ],
)
def test_conditions_that_can_be_decided(text: str, expected: list[str]) -> None:
    """Comparisons of what stands in the script, and whether commands carried out here failed."""
    assert expected == done(text, fails=["bad"])


@pytest.mark.parametrize(
    "text",
    [
        "if exist x NS a",
        "if not exist x (\n NS a\n)",
        "if errorlevel 1 (echo no) else NS a",
        "if %V%==1 NS a",
        "ping x || NS a",
        "ping x && NS a",
        "ping x && echo yes && NS a",
        "ping x && echo yes || NS a",
        "ver | find x && NS a",
        "ping x && (echo yes & NS a)",
        f"ver | find x && goto on\nver | find y && goto off\n{ON_AND_OFF}",
        f"ver | find x || goto on\ngoto off\n{ON_AND_OFF}",
        "if exist x call :s\ngoto :eof\n:s\nNS a",
        "if exist x goto b\nNS a\ngoto :eof\n:b\nNS b",
    ],
)
def test_conditions_that_only_windows_can_decide(text: str) -> None:
    """They are named when IPsec commands depend on them."""
    ((line, why),) = problems(text)
    assert line == 1
    assert why.startswith("only Windows knows whether")


@pytest.mark.parametrize(
    "text",
    [
        f"{CHOICE}{ON_AND_OFF}",
        f'if "%1"=="off" goto off\nif "%1"=="on" goto on\n{ON_AND_OFF}',
        f'if "%1"=="on" (\n goto on\n)\nif "%1"=="off" (\n goto off\n)\n{ON_AND_OFF}',
        f'if "%1"=="on" (goto on) else (goto off)\n{ON_AND_OFF}',
        f'if not "%1"=="" goto %1\n{ON_AND_OFF}',
        f"{CHOICE}exit\n:on\ncall :a\nexit /b\n:off\ncall :b\nexit /b\n:a\nNS a\nexit /b\n:b\nNS b",
    ],
)
@pytest.mark.parametrize("asked", ["", "set /p V=which?\n"])
def test_a_choice_that_nobody_made_is_not_guessed(text: str, asked: str) -> None:
    """Of branches with different IPsec commands none is taken without a word."""
    if asked:
        text = text.replace("%1", "%V%")
    named = [one for one in problems(asked + text) if one[1].startswith("only Windows knows")]
    assert [line for line, _ in named] == [2 if asked else 1]


@pytest.mark.parametrize(
    ("text", "left", "goes_on"),
    [
        (f"if exist x goto on\n{ON_AND_OFF}\nNS z", ["z"], "at line 8"),
        ("if exist x goto b\nNS a\n:b\nNS b", ["b"], "at line 3"),
        ("if exist x goto b\nNS a\ngoto :eof\n:b\nNS b", [], "nothing behind it is done"),
        (
            "if exist x goto b\ncall :s\ngoto e\n:b\nNS b\ncall :s\n:e\nNS e\nexit\n:s\nNS s",
            ["e"],
            "at line 7",
        ),
        ("ping x && goto b\nNS a\ngoto e\n:b\nNS b\n:e\nNS e", ["e"], "at line 6"),
        ("for /f %%i in ('ver') do goto b\nNS a\ngoto e\n:b\nNS b\n:e\nNS e", ["e"], "at line 6"),
        (
            "call :t\nNS e\nexit\n:t\nif exist x goto b\nNS a\nexit /b\n:b\nNS b",
            ["e"],
            "nothing behind",
        ),
        (
            "if exist x goto b\nif exist y goto b\nNS a\nexit\n:b\nNS b",
            [],
            "nothing behind it is done",
        ),
        ("if exist x goto b\nNS a\nif exist y exit\n:b\nNS b", ["b"], "at line 4"),
        ("if exist x goto b\nif exist y goto c\nNS a\n:b\nNS b\n:c\nNS c", ["c"], "at line 6"),
        ("if exist x goto b\ncall:s\ngoto :eof\n:b\nNS b\ngoto :eof\n:s\nNS s", [], "nothing"),
        ("goto %X%\nNS a", [], "%X% is not known"),
    ],
)
def test_what_depends_on_a_choice_is_left_out(text: str, left: list[str], goes_on: str) -> None:
    """Neither way is taken: the script goes on where they meet, and says so."""
    commands, outcome = play(text.replace("NS", NETSH))
    assert [one.text.removeprefix(f"{NETSH} ") for one in commands] == left
    (named,) = outcome.problems
    assert goes_on in named.why


@pytest.mark.parametrize(
    "text",
    [
        "NS unclear\nif errorlevel 1 goto b\nNS a\ngoto e\n:b\nNS b\n:e",
        "NS unclear && goto b\nNS a\ngoto e\n:b\nNS b\n:e",
        "NS unclear || NS b",
        "NS good\ncall none.bat\nif errorlevel 1 NS b",
        "NS good\nif exist x NS c\nif not errorlevel 1 NS b",
        "NS good\nfor %%i in (*) do NS c\nif not errorlevel 1 NS b",
        "NS good\nif x\nif not errorlevel 1 NS b",
    ],
)
def test_what_was_not_understood_decides_nothing(text: str) -> None:
    """Whether it would have succeeded on Windows is not known: no condition is met by it."""
    commands, outcome = play(text.replace("NS", NETSH), unclear=["unclear"])
    carried_out = [one.text.removeprefix(f"{NETSH} ") for one in commands]
    assert carried_out in (["unclear"], ["good"])
    assert any("only Windows knows whether" in one.why for one in outcome.problems)


def test_a_guard_behind_what_was_not_understood_is_passed() -> None:
    """As every guard that only Windows can decide."""
    text = "NS unclear\nif errorlevel 1 goto end\nNS a\n:end"
    commands, outcome = play(text.replace("NS", NETSH), unclear=["unclear"])
    assert len(commands) == 2
    assert outcome.problems == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("call :s\nif errorlevel 3 NS a\nif errorlevel 4 NS b\nexit\n:s\nexit /b 3", ["a"]),
        ("NS bad\ncall :s\nif errorlevel 1 NS a\nexit\n:s\nexit /b 0", ["bad"]),
        ("NS bad\ncall :s\nif errorlevel 1 NS a\nexit\n:s\nexit /b", ["bad", "a"]),
        ("NS bad\ncall :s\nif errorlevel 1 NS a\nexit\n:s\ngoto :eof", ["bad", "a"]),
        ("call :s && NS a\ncall :s || NS b\nexit\n:s\nexit /b 1", ["b"]),
        ("set R=2\ncall :s\nif %errorlevel%==2 NS a\nexit\n:s\nexit /B %R%", ["a"]),
        ("NS bad\ncall :s\nNS a\nexit\n:s\nexit /b %errorlevel%\nNS b", ["bad", "a"]),
        ("cmd /c exit 2\nif errorlevel 2 NS a", ["a"]),
        ('cmd /c "NS a & exit /b 0 & NS b"\nif not errorlevel 1 NS c', ["a", "c"]),
        ("exit /b 1\nNS a", []),
        ("NS a\nexit 5\nNS b", ["a"]),
    ],
)
def test_exit_sets_the_error_level(text: str, expected: list[str]) -> None:
    """`exit /b N` ends a subroutine, `exit N` all of the cmd.exe that reads it; both leave N."""
    assert expected == done(text, fails=["bad"])


PERHAPS = [
    "if exist x {}",
    "if exist x (\n{}\n)",
    "if exist x (echo) else {}",
    "find x y && {}",
    "find x y || {}",
    "for /f %%i in ('ver') do {}",
    "for /f %%i in (none.txt) do {}",
    "for %%i in (*.txt) do {}",
]


@pytest.mark.parametrize("perhaps", PERHAPS)
@pytest.mark.parametrize(
    "text",
    [
        "set A=y",
        'set "A=y"',
        "set/a B=1,A=2",
        "set /p A=which?",
        "call set A=%%B%%",
        "call :s",
        "call :%%L%%",
        "call :t",
        "call :u A",
        "call b.bat",
        "call b",
        "b",
        "endlocal",
        "for %%j in (1) do set A=%%j",
    ],
)
def test_what_is_perhaps_done_leaves_nothing_known(perhaps: str, text: str) -> None:
    """Whatever may give a variable another value, in subroutines and other scripts, too."""
    text = f"set L=s\nset A=w\nsetlocal\nset A=x\nset C=z\n{perhaps.format(text)}\nNS %A%\n"
    text += "exit\n:s\nif 1==2 (echo) else (set A=y)\nexit /b\n:t\ncall :s\nexit /b\n"
    text += ":u\nset %1=y\nexit /b"
    files = Folder(b_bat="call :s\nexit\n:s\nset A=y")
    commands, outcome = play(text.replace("NS", NETSH), files=files)
    assert commands == []
    assert [one.why for one in outcome.problems] == [
        "column 1: %A% is not known here: set it in the script"
    ]


@pytest.mark.parametrize("perhaps", PERHAPS)
@pytest.mark.parametrize(
    "text",
    [
        "echo set A=y",
        "set B=y",
        "call :s",
        "cmd /c set A=y",
        "start b",
        "setlocal",
        "call ping A=y",
    ],
)
def test_what_is_perhaps_done_leaves_the_rest_known(perhaps: str, text: str) -> None:
    """Other variables, and those of another cmd.exe."""
    text = f"setlocal\nset A=x\n{perhaps.format(text)}\nNS %A%\nexit\n:s\nset B=y\nrem set A=y"
    files = Folder(b_bat="set A=y")
    commands, outcome = play(text.replace("NS", NETSH), files=files)
    assert outcome.problems == ()
    assert [one.text.removeprefix(f"{NETSH} ") for one in commands] == ["x"]


def test_scopes_that_are_perhaps_there() -> None:
    """At their end a variable is known where it is worth the same with the scope and without."""
    text = "set A=x\nset B=y\nif exist x setlocal\nset B=z\nNS %A% %B%\nendlocal\nNS %A%\n"
    commands, outcome = play(f"{text}NS %B%".replace("NS", NETSH))
    assert [one.text.removeprefix(f"{NETSH} ") for one in commands] == ["x z", "x"]
    assert [one.line for one in outcome.problems] == [8]
    text = "setlocal\nset A=x\nif exist x endlocal\nset A=y\nNS %A%\nendlocal\nNS %A%"
    assert [line for line, _ in problems(text)] == [7]
    text = "if exist x setlocal enabledelayedexpansion\nset A=x\nNS %A%\nNS !A!"
    assert problems(text) == [(4, "!A! is not known here: set it in the script")]


def test_arguments_that_are_perhaps_shifted() -> None:
    """None is known but all together; those of a caller are not touched."""
    text = "call :s c d\nNS %1\nexit\n:s\nif exist x shift\nNS %*\nNS %1"
    commands, outcome = play(text.replace("NS", NETSH), "a", "b")
    assert [one.text.removeprefix(f"{NETSH} ") for one in commands] == ["c d", "a"]
    assert [one.line for one in outcome.problems] == [7]


@pytest.mark.parametrize(
    ("text", "readable"),
    [
        ("call c.bat", False),
        ("c", False),
        ("call :%X%", False),
        ("call %X%", False),
        ("call b.bat", False),
        ("if exist y call :s", False),
        ("call :t", True),
        ("call c.exe", True),
    ],
)
def test_scripts_that_are_perhaps_called(text: str, readable: bool) -> None:
    """They are named where they have IPsec commands, or are not at hand."""
    files = Folder(b_bat=f"call :x\nexit\n:x\n{NETSH} b", c_cmd="x" if text == "c" else "")
    files.files["c.cmd"] = f"{NETSH} c"
    if "c.bat" in text:
        del files.files["c.cmd"]
    outcome = play(f"if exist x {text}\nexit\n:s\n{NETSH} s\n:t\nset A=1", files=files)[1]
    assert [one.line for one in outcome.problems] == ([] if readable else [1])


@pytest.mark.parametrize("perhaps", PERHAPS)
@pytest.mark.parametrize(
    "text",
    [
        "echo x2>>s.txt",
        "(echo 2 & echo 3)>>s.txt",
        ">>s.txt echo x2",
        'echo x2>>"%~dp0s.txt"',
        "echo x2>s.txt",
        "netstat -an >>s.txt",
        "call :s",
        "call b.bat",
    ],
)
def test_lines_that_are_perhaps_written(perhaps: str, text: str) -> None:
    """A file that may have them is no list to go through, and no script to run; its other lines
    are there for netsh, and that one is marked."""
    text = f"echo x1>s.txt\n{perhaps.format(text)}\nfor /f %%i in (s.txt) do NS %%i\nNS x\n"
    text += "exit\n:s\necho 80>>s.txt\n"
    files = Folder(b_bat="echo x 2>nul >> s.txt")
    commands, outcome = play(text.replace("NS", NETSH), files=files)
    assert [one.text.removeprefix(f"{NETSH} ") for one in commands] == ["x"]
    assert ["the lines of s.txt" in one.why for one in outcome.problems] == [True]
    assert "\0(whether-line-2-is-done)\0" in files.files["s.txt"]


def test_files_that_programs_write() -> None:
    """What they print is not known; `type` prints a file, and some print nothing."""
    text = "type nul>s.txt\necho x1>>s.txt\ntype b.txt>>s.txt\nfor /f %%i in (s.txt) do NS %%i"
    commands, outcome = play(text.replace("NS", NETSH), files=Folder(b_txt="2\n3\n"))
    assert outcome.problems == ()
    assert [one.text.removeprefix(f"{NETSH} ") for one in commands] == ["x1", "2", "3"]
    for text in ("type none>>s.bat", "netstat >s.bat", "call :s >s.bat", "if exist x echo >>s.bat"):
        found = problems(f"{text}\ncall s.bat\nregedit /s s.bat\nexit\n:s\necho NS x")
        assert found == [(line, "only Windows knows all the lines of s.bat") for line in (2, 3)]


def test_a_choice_that_was_made_is_followed() -> None:
    """With the argument given, its branch is done."""
    text = f"{CHOICE}{ON_AND_OFF}"
    assert (done(text, "on"), done(text, "off"), done(text, "x")) == (["a"], ["b"], [])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("net session >nul\nif errorlevel 1 goto :eof\nNS a", ["a"]),
        ("net session >nul\nif errorlevel 1 (\n echo no\n pause\n exit /b 1\n)\nNS a", ["a"]),
        ("if not exist x exit\nNS a", ["a"]),
        ("ver | find x\nif errorlevel 1 goto bad\nNS a\ngoto end\n:bad\necho x\n:end", ["a"]),
        ("ver | find x\nif not errorlevel 1 goto ok\necho no\nexit /b\n:ok\nNS a", ["a"]),
        ("if exist x goto ok\necho new\n:ok\nNS a", ["a"]),
        ('if "%OS%"=="Windows_NT" setlocal\nNS a', ["a"]),
        ("if exist x (goto one) else goto two\n:one\necho\n:two\nNS a", ["a"]),
        ("sc query x || exit /b\nNS a", ["a"]),
        ("ver | find x && goto bad\nNS a\nexit /b\n:bad\necho x", ["a"]),
        ("ping x && (\n echo yes\n goto ok\n)\nexit /b\n:ok\nNS a", ["a"]),
        ("ping x && goto ok\necho no\nexit /b\n:ok\nNS a", ["a"]),
        ("if exist x goto ok\nif exist y goto ok\necho new\n:ok\nNS a", ["a"]),
        ('if "%1"=="" goto u\nif "%1"=="/?" goto u\nNS a\nexit /b\n:u\necho', ["a"]),
    ],
)
def test_guards_are_passed(text: str, expected: list[str]) -> None:
    """A way out for when something is wrong on Windows is not taken, and needs no mention."""
    assert expected == done(text)


def test_subroutines() -> None:
    """`call :label` runs up to `goto :eof` with arguments of its own, and comes back."""
    text = "call :add 80 TCP\ncall :add 53 UDP\nNS end\ngoto :eof\n:add\nsetlocal\nset P=%~1\n"
    text += 'if "%~3"=="" NS %P% %2\nexit /b\nNS never'
    assert done(text) == ["80 TCP", "53 UDP", "end"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("for %%i in (1 2) do call :s %%S_%%i%%\nexit\n:s\nNS %1", ["80", "443"]),
        ("set N=2\ncall :s %%S_%N%%% %%*\nexit\n:s\nNS %*", ["443 a"]),
        ("set L=s\ncall :%%L%%\nexit\n:s\nNS x", ["x"]),
        ("call b.bat %%S_1%%", ["b 80"]),
        ("set B=b.bat\ncall %%B%% %%S_1%%", ["b 80"]),
    ],
)
def test_a_call_expands_its_arguments_again(text: str, expected: list[str]) -> None:
    """`%%A%%` behind `call` is the variable, of labels and other scripts as of commands."""
    files = Folder(b_bat=f"{NETSH} b %1")
    text = f"set S_1=80\nset S_2=443\n{text}".replace("NS", NETSH)
    commands, outcome = play(text, "a", files=files)
    assert outcome.problems == ()
    assert [one.text.removeprefix(f"{NETSH} ") for one in commands] == expected


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("call :s %TEMP%\nexit\n:s\nset TEMP=x\nNS %1", "%TEMP% is"),
        ("call NS %TEMP%", "%TEMP% is"),
        ("call :%X%", "%X% is"),
        ("call NS %B:.-_%%A:x-y%", "%B:.-_%, %A:x-y% are"),
        ("for %%f in (1) do call NS %%~nf", "%%~nf is"),
        ("setlocal enabledelayedexpansion\ncall NS !TEMP!", "!TEMP! is"),
    ],
)
def test_a_call_does_not_make_the_unknown_known(text: str, named: str) -> None:
    """What was not known at first is not looked at again, and is named as it was written."""
    assert [why for _, why in problems(text)] == [f"{named} not known here: set it in the script"]


def test_other_scripts() -> None:
    """A script next to this one is run, too; with `call`, this one goes on behind it."""
    files = Folder(b_bat="set A=%1\nNS b".replace("NS", NETSH))
    text = "call b.bat 7\nNS %A%\nb.bat\nNS never".replace("NS", NETSH)
    commands, outcome = play(text, files=files)
    assert [(one.file, one.line) for one in commands] == [("b.bat", 2), ("p.bat", 2), ("b.bat", 2)]
    assert outcome.problems == ()
    assert problems("call c.cmd") == [(1, "c.cmd is not next to this file")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("call b 7\nNS x", ["b 7", "x"]),
        ('call "%~dp0b" 7\nNS x', ["b 7", "x"]),
        ('call "C:\\My Tools\\b" 7\nNS x', ["b 7", "x"]),
        ("call %TOOLS%\\b 7\nNS x", ["b 7", "x"]),
        ("call %TOOLS%b.bat 7\nNS x", ["b 7", "x"]),
        ("call c\nNS x", ["c", "x"]),
        ("b 7\nNS x", ["b 7"]),
        ("cmd /c b 7\nNS x", ["b 7", "x"]),
        ("start b 7\nNS x", ["b 7", "x"]),
        ("b.exe 7\nNS x", ["x"]),
        ("netsh int ip reset\nNS x", ["x"]),
        ("echo NS z>z.cmd\nz", ["z"]),
        ("call ping b\ncall cd b\ncall NS x", ["x"]),
    ],
)
def test_other_scripts_without_an_extension(text: str, expected: list[str]) -> None:
    """cmd.exe tries .bat and .cmd itself; Windows' own programs are none."""
    files = Folder(b_bat="NS b %1", b_cmd="NS wrong", c_cmd="NS c", netsh_bat="NS n")
    files.files = {name: script.replace("NS", NETSH) for name, script in files.files.items()}
    commands, outcome = play(text.replace("NS", NETSH), files=files)
    assert outcome.problems == ()
    assert [one.text.removeprefix(f"{NETSH} ") for one in commands] == expected


def test_a_called_script_that_is_not_at_hand() -> None:
    """What is called is a script unless it is known to be none; a program may be any."""
    assert problems('call "%~dp0vars"') == [(1, "vars.bat is not next to this file")]
    assert problems("call %X%") == [(1, "%X% is not known here: set it in the script")]
    assert problems("vars\ncall vars.exe") == []


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        ("(\nNS a", 1, 'expected ")" for this "("'),
        ("(echo a) b", 1, "expected & or the end of the line"),
        ("if x NS a", 1, "expected a comparison"),
        ("for %%i in (1 2) NS %%i", 1, "expected do"),
        ("for %%i in (1 2\nNS a", 1, 'expected ")" behind the list'),
        ("goto nowhere\nNS a", 1, "there is no label nowhere"),
        ("call :nowhere", 1, "there is no label nowhere"),
        ("goto %X%\nNS a", 1, "%X% is not known"),
        ("nesth ipsec static add policy x", 1, 'expected netsh, ipseccmd, ipsecpol or reg, not "n'),
        ("netsh ipsce static add policy x", 1, 'netsh knows no "ipsce"'),
        ("echo y | netsh", 1, "expected a command behind netsh"),
        ("psexec \\\\x netsh ipsec static delete all", 1, "expected netsh"),
        ('wmic process call create "netsh ipsec static delete all"', 1, "expected netsh"),
        (":a\nNS a\ngoto a", 3, "this loop never ends"),
        (":a\ncall :a\nNS x", 2, "expected fewer blocks and calls"),
        ("(" * 31 + ")" * 31, 1, "expected at most 30 blocks"),
        (":a\nset /a i+=1\nset A=%A%x\ngoto a", 0, "the script runs more than 100,000 commands"),
        ("set A=x\n" + "set A=%A%%A%\n" * 13, 14, "becomes longer than 8,191"),
    ],
)
def test_what_is_no_sense_is_named(text: str, line: int, why: str) -> None:
    """Line and reason, and no file can hang or explode its reader."""
    found = problems(text)
    assert found[0][1].startswith(why)
    assert line in (0, found[0][0])


def test_a_published_script_with_options() -> None:
    """Subroutines, shifts and nested guards: all of it can be followed when arguments are given."""
    text = """\
@echo off && setlocal
set DefaultPolicy=Watch
if "%1"=="" goto :usage
if not "%1"=="install" if not "%1"=="host" (
  echo ERROR: Unknown action: %1
  goto :usage
)
SET action=%1
SET policy=
SET mask=32
SHIFT
:args
IF NOT "%1"=="" (
  IF "%1"=="-policy" (
    SET policy=%2
    SHIFT && SHIFT
    GOTO :args
  )
  IF "%1"=="-mask" (
    SET mask=%2
    SHIFT && SHIFT
    GOTO :args
  )
  SET host=%1
  SHIFT
  GOTO :args
)
if "%action%" == "install" call :CreatePolicy "%policy%"
if "%action%" == "host" call :AddHost %host% %mask% "%policy%"
goto :eof
:CreatePolicy
setlocal
  set policy=%~1
  if "%policy%" == "" set policy=%DefaultPolicy%
  NS add policy name=%policy% assign=yes
endlocal
goto :eof
:AddHost
setlocal
  set policy=%~3
  if "%policy%" == "" set policy=%DefaultPolicy%
  NS add filter filterlist=%policy% srcaddr=%~1 srcmask=%2 dstaddr=me
endlocal
goto :eof
:usage
echo Usage: %0 install or host
"""
    assert done(text, "install") == ["add policy name=Watch assign=yes"]
    assert done(text, "install", "-policy", "P") == ["add policy name=P assign=yes"]
    assert done(text, "host", "-mask", "16", "10.1.0.0") == [
        "add filter filterlist=Watch srcaddr=10.1.0.0 srcmask=16 dstaddr=me"
    ]
    assert done(text, "nonsense") == []
