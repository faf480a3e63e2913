"""Batch files whose way only Windows knows: what is perhaps skipped leaves nothing known behind."""

from __future__ import annotations

import pytest

from ipsecfd.policy.scripts.batch import Outcome
from tests.unit.policy.test_batch import NETSH, Folder, play

GUESSED = ("column 1: %A% is not known here: set it in the script",)
OTHER = "only Windows knows all the lines of"


def ran(text: str, *arguments: str, files: Folder | None = None) -> tuple[list[str], Outcome]:
    """What is carried out, without `netsh ipsec static`, and what else came of it."""
    files = files or Folder()
    files.files = {name: each.replace("NS", NETSH) for name, each in files.files.items()}
    commands, outcome = play(text.replace("NS", NETSH), *arguments, files=files)
    return [one.text.removeprefix(f"{NETSH} ") for one in commands], outcome


def whys(outcome: Outcome) -> tuple[str, ...]:
    """Why lines are named."""
    return tuple(one.why for one in outcome.problems)


SKIPS = [
    "if exist x goto skip\n{}\n:skip",
    "if exist x (\n echo\n goto skip\n)\n{}\n:skip",
    "if exist x (goto skip) else (\n{}\n)\n:skip",
    "ping x && goto skip\n{}\n:skip",
    "ping x || goto skip\n{}\n:skip",
    "for /f %%i in ('x') do goto skip\n{}\n:skip",
    "if exist x goto b\n{}\ngoto skip\n:b\necho\n:skip",
    "if exist x goto b\ngoto skip\n:b\n{}\n:skip",
    "if exist x goto b\nif exist y goto b\n{}\n:b",
    "if exist x goto e\nif 1==1 goto b\n:e\n{}\n:b",
]
SKIPS_IN_A_LINE = [
    "(if exist x goto skip) & {}\n:skip",
    "(if exist x (\n goto skip\n)\n {}\n)\n:skip",
    "for %%i in (1 2) do (if exist x goto skip) & {}\n:skip",
    "for %%i in (1) do (\nif exist x goto skip\n{}\n)\n:skip",
    "for %%i in (1 2) do (if exist %%i goto skip) & {}\necho\n:skip",
]


@pytest.mark.parametrize("skip", [*SKIPS, *SKIPS_IN_A_LINE])
@pytest.mark.parametrize(
    "text",
    [
        "set A=y",
        'set"A=y"',
        "set/a B=1,A=2",
        "set /p A=which?",
        "@set A=y",
        "echo x & set A=y",
        "@echo off&set A=y",
        "if exist y set A=y",
        "if exist y (set A=y)",
        "if 1==2 (echo) else set A=y",
        "for %%j in (1 2) do set A=%%j",
        "call set A=%%B%%",
        "call call set A=y",
        "call :s",
        "call :t 1 2",
        "call :%%L%%",
        "call b.bat",
        "call b",
        "b",
        "if exist y call b.bat",
        "endlocal",
        "endlocal & echo x",
        "set A=x^\nyz",
    ],
)
def test_what_is_perhaps_skipped_leaves_nothing_known(skip: str, text: str) -> None:
    """Whatever may give a variable another value, however the lines are arranged."""
    text = f"set L=s\nset A=w\nsetlocal\nset A=x\n{skip.format(text)}\nNS %A%\nexit\n"
    text += ":s\nif 1==2 (echo) else (set A=y)\nexit /b\n:t\ncall :s\nexit /b"
    done, outcome = ran(text, files=Folder(b_bat="call :s\nexit /b\n:s\nset A=y"))
    assert done == []
    assert whys(outcome) == GUESSED


@pytest.mark.parametrize("skip", [*SKIPS, *SKIPS_IN_A_LINE])
@pytest.mark.parametrize(
    "text",
    [
        "echo set A=y",
        "@echo set A=y",
        "rem set A=y",
        "title set A=y",
        "echo x ^& set A=y",
        'echo "x & set A=y"',
        "if exist y echo set A=y",
        "echo call b.bat >nul",
        "set B=y",
        "setlocal",
        "cmd /c set A=y",
        "start b",
        "ping x",
        "call :u",
        "netsh int ip reset",
    ],
)
def test_what_is_perhaps_skipped_leaves_the_rest_known(skip: str, text: str) -> None:
    """What says something, or changes something else."""
    text = f"setlocal\nset A=x\n{skip.format(text)}\nNS %A%\nexit\n:u\nset B=y\nrem set A=y"
    done, outcome = ran(text, files=Folder(b_bat="set A=y"))
    assert whys(outcome) == ()
    assert done == ["x"]


@pytest.mark.parametrize(
    "text",
    [
        ":w\nset A=y\nif not exist x goto w\nNS %A%",
        "for %%i in (1 2) do (set A=%%i) & if exist %%i goto b\necho\n:b\nNS %A%",
        "for %%i in (1 2) do (\n set A=%%i\n if exist %%i goto b\n)\necho\n:b\nNS %A%",
        "if exist x goto b\nset N=A\nset %N%=y\n:b\nNS %A%",
        "for /f %%i in ('x') do set %%i=y\nNS %A%",
        "if exist x goto b\nfor %%i in (A B) do set %%i=y\n:b\nNS %A%",
    ],
)
def test_what_is_perhaps_done_again_or_by_another_name(text: str) -> None:
    """In loops, and where the variable's name is not known either."""
    done, outcome = ran(f"set A=x\nset N=B\n{text}")
    assert done == []
    assert whys(outcome) == GUESSED


def test_arguments_that_are_perhaps_skipped_over() -> None:
    """Behind a `shift` that is perhaps skipped, none is known."""
    done, outcome = ran("if exist x goto b\nshift\n:b\nNS %*\nNS %1", "a", "b")
    assert done == ["a b"]
    assert [one.line for one in outcome.problems] == [5]


@pytest.mark.parametrize("skip", SKIPS)
@pytest.mark.parametrize(
    "text",
    [
        "echo NS y>>f.cmd",
        "echo NS y >>f.cmd",
        ">>f.cmd echo NS y",
        "(echo NS y)>>f.cmd",
        "(\necho NS y\n) >>f.cmd",
        "echo NS y>f.cmd",
        "call :s",
    ],
)
def test_lines_whose_writing_is_perhaps_skipped(skip: str, text: str) -> None:
    """A script that may have them is named where it is run."""
    text = f"echo NS x>f.cmd\n{skip.format(text)}\ncall f.cmd\nNS z\nexit\n:s\necho NS y>>f.cmd"
    done, outcome = ran(text)
    assert done == ["z"]
    assert [f"{OTHER} f.cmd" in why for why in whys(outcome)] == [True]


@pytest.mark.parametrize(
    "text",
    [
        "if exist x del f.cmd",
        "if exist x erase /q f.cmd",
        "if exist x (\necho\ndel f.cmd\n)",
        "find x y && del /f f.cmd g.txt",
        "if exist x goto b\ndel f.cmd\n:b",
        "if exist x call :s",
        "if exist g.cmd (\ndel f.cmd\necho\n)",
    ],
)
def test_files_that_are_perhaps_deleted(text: str) -> None:
    """They are not run without a word, and not as they were before."""
    text = f"echo NS x>f.cmd\n{text}\ncall f.cmd\nNS z\nexit\n:s\ndel f.cmd"
    done, outcome = ran(text)
    assert done == ["z"]
    assert [f"{OTHER} f.cmd" in why for why in whys(outcome)] == [True]


@pytest.mark.parametrize(
    "text",
    [
        "if exist x del g.cmd",
        "if not exist f.cmd del f.cmd",
        "if exist x echo del f.cmd",
        "if errorlevel 1 (\ndel f.cmd\nset A=y\ngoto bad\n)",
        "if errorlevel 1 del f.cmd & set A=y & exit /b 1",
        "ping x || (del f.cmd & set A=y & goto bad)",
        "ping x || (\ndel f.cmd\nif exist y (exit /b 1) else goto bad\n)",
        "if exist f.cmd (\necho deleted\ndel f.cmd\n)\necho NS %A%>>f.cmd",
        "if exist f.cmd del f.cmd\necho NS %A%>>f.cmd",
        "if exist x del f.cmd\necho NS %A%>f.cmd",
    ],
)
def test_files_that_are_deleted_or_not(text: str) -> None:
    """What a guard does before it leaves the script makes no difference, as it is not gone."""
    text = f"set A=x\necho NS %A%>f.cmd\n{text}\ncall f.cmd\nNS %A%\nexit\n:bad\necho"
    done, outcome = ran(text)
    assert whys(outcome) == ()
    assert done == ["x", "x"]


COMPUTES = [
    "if exist x goto b\nset A=y\ngoto :eof\n:b\nset A=z",
    "if exist x goto b\nset A=y\nexit /b 0\n:b\nset A=z\nexit /b",
    "if exist x goto :eof\nset A=y",
    "if exist x exit /b\nset A=y",
    "ping x && exit /b\nset A=y",
    "if exist x (\n goto :eof\n)\nset A=y",
    "(if exist x goto :eof) & set A=y",
    "for %%i in (1 2) do (\n if exist %%i goto :eof\n set A=%%i\n)",
    "if exist x goto b\nset A=y\n:b\nif exist y goto :eof",
    "set A=y\nif exist y goto :eof\nset A=z",
    "if exist x goto b\nif exist y goto :eof\nset A=y\n:b\necho",
    "if exist x goto :eof\ncall :o\ngoto :eof\n:o\nset A=y",
    "if exist x goto b\nNS s\nset A=y\ngoto :eof\n:b\nNS t",
]


@pytest.mark.parametrize("called", ["call :s", "call s.bat", "call s", "if 1==1 (call :s)"])
@pytest.mark.parametrize("text", COMPUTES)
def test_what_a_subroutine_perhaps_computes(called: str, text: str) -> None:
    """Its caller knows none of the values that only some of its ways lead to."""
    whole = f"set A=x\n{called}\nNS %A%\nNS e\nexit\n:s\n{text}"
    done, outcome = ran(whole, files=Folder(s_bat=text))
    assert done == ["e"]
    assert whys(outcome)[-1:] == GUESSED or GUESSED[0] in whys(outcome)
    assert len(outcome.problems) == 1 + ("NS" in text)


@pytest.mark.parametrize("called", ["call :s", "call s.bat"])
@pytest.mark.parametrize(
    "text",
    [
        "if exist x goto b\necho no\n:b\nset A=y",
        "if exist x goto b\nset B=1\n:b\nset A=y\nif exist x goto :eof\nset B=2",
        "set A=y\nif exist x goto :eof\nset B=y",
        "set A=y\nif exist x exit /b\necho no\nexit /b",
        "if exist x goto :eof\nset A=y\nNS s",
        "if exist x goto bad\nset A=y\nNS s\nexit /b\n:bad\nset A=z",
        "if exist x set B=z\nset A=y",
        "set A=y\nsetlocal\nset A=z\nif exist x goto :eof\nset A=w",
    ],
)
def test_what_a_subroutine_surely_computes(called: str, text: str) -> None:
    """On all ways, or behind a guard of its IPsec commands."""
    whole = f"set A=x\n{called}\nNS %A%\nexit\n:s\n{text}"
    done, outcome = ran(whole, files=Folder(s_bat=text))
    assert whys(outcome) == ()
    assert done[-1:] == ["y"]


@pytest.mark.parametrize(
    ("text", "left", "goes_on"),
    [
        ("if exist x goto b\ncall a.bat\ngoto e\n:b\ncall b.bat\n:e\nNS e", ["e"], "line 6"),
        ("if exist x goto b\ncall a.bat\ngoto e\n:b\ncall b.bat\n:e", [], "nothing behind"),
        ("if exist x goto b\ncall a\nexit\n:b\ncmd /c b", [], "nothing behind"),
        ("if exist x goto b\na.bat\n:b\nb.bat", ["b"], "line 3"),
        ("if exist x goto b\ncall %~dp0a.bat\n:b\nNS e", ["e"], "line 3"),
        ("set C=a.bat\nif exist x goto b\ncall %C%\n:b\nNS e", ["e"], "line 4"),
        ("if exist x goto b\ncall c.bat\n:b\nNS e", ["e"], "line 3"),
        ("if exist x goto b\ncall none.bat\n:b\nNS e", ["e"], "line 3"),
        ("if exist x goto b\ncall %C%\n:b\nNS e", ["e"], "line 3"),
        ("if exist x goto b\necho NS w>w.bat\ncall w.bat\nexit\n:b\nNS e", [], "nothing behind"),
        ("if exist x goto b\n@echo off & NS a\ngoto e\n:b\nNS b\n:e\nNS e", ["e"], "line 6"),
        ("if exist x goto b\necho x & NS a\nexit\n:b\n@echo x&NS b", [], "nothing behind"),
        ("set N=NS\nif exist x goto b\n%N% a\nexit\n:b\nNS b", [], "nothing behind"),
        ("if exist x goto b\nnetsh ^\n ipsec ^\n static a\n:b\nNS b", ["b"], "line 5"),
        ("if exist x goto b\n%N% add policy a\nexit\n:b\n%N% add policy b", [], "nothing"),
        ("(if exist x goto b) & NS a\n:b\nNS b", ["b"], "line 2"),
        ("ping x && goto b || goto c\nexit\n:b\nNS b\nexit\n:c\nNS c", [], "nothing behind"),
        (
            "for %%i in (1 2) do (NS %%i & if exist %%i goto b)\nexit\n:b\nNS b",
            ["1", "b"],
            "line 3",
        ),
        ("if exist x goto b\ngoto %X%\n:a\nNS a\nexit\n:b\nNS b", [], "nothing behind"),
        ("if exist x goto b\ncall :%X%\nexit\n:a\nNS a\nexit\n:b\nNS b", [], "nothing behind"),
        ("for %%i in (a b) do if exist %%i goto %%i\nexit\n:a\nNS a\n:b\nNS b", [], "nothing"),
    ],
)
def test_ipsec_commands_that_are_perhaps_skipped(text: str, left: list[str], goes_on: str) -> None:
    """They are named by the condition, in whatever script or line they stand."""
    files = Folder(a_bat="NS a", b_bat="NS b", c_bat="call a.bat")
    done, outcome = ran(text, files=files)
    assert done == left
    assert [goes_on in why for why in whys(outcome)] == [True]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("if errorlevel 1 goto bad\nNS a\nexit /b\n:bad\ncall none.bat\npause", ["a"]),
        ("if errorlevel 1 goto bad\nNS a\nexit /b\n:bad\ncall v.bat\ncall :log\n:log", ["a"]),
        ("if exist x goto b\ncall v.bat\n:b\nNS a", ["a"]),
        ("if exist x goto b\ncall :log\ngoto e\n:b\necho\n:e\nNS a\nexit\n:log\necho", ["a"]),
        (":w\nping x\nif not exist x goto w\nNS a", ["a"]),
        (":w\nping x\nif exist x goto ok\ngoto w\n:ok\nNS a", ["a"]),
        (":w\nset /a N+=1\nif not exist x goto w\nNS a", ["a"]),
        ("for %%i in (1 2) do (\n if errorlevel 1 goto bad\n NS %%i\n)\nexit\n:bad", ["1", "2"]),
        ("if exist x echo goto bad\nNS a\nexit\n:bad\nNS b", ["a"]),
        ("if exist x goto ok\ngoto bad\n:ok\nNS a\nexit\n:bad\necho NS b", ["a"]),
        ("if exist x goto b\nNS a\nexit\n:b\nrem NS b\n:: NS c\ntitle NS d", ["a"]),
        ('if not "%1"=="" goto %1\nNS a\nexit\n:help\necho', None),
    ],
)
def test_guards_and_loops_that_wait_are_passed(text: str, expected: list[str] | None) -> None:
    """Other scripts, subroutines and lines without IPsec commands make no difference."""
    done, outcome = ran(text, files=Folder(v_bat="set A=1"))
    if expected is None:
        assert len(outcome.problems) == 1
    else:
        assert whys(outcome) == ()
        assert done == expected


def test_a_subroutine_that_may_come_back_early_without_calling_a_script() -> None:
    """A script that is not at hand is named when it is perhaps not run."""
    done, outcome = ran("call :s\nNS e\nexit\n:s\nif exist x goto :eof\ncall none.bat")
    assert done == ["e"]
    assert [one.line for one in outcome.problems] == [5]


WAIT = ':wait\nif "%1"=="on" (\n{}\n{}\nNS end'
TO_WAIT = "if errorlevel 1 goto wait"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (WAIT.format(f"ping x\n{TO_WAIT}", ") else (\nNS other\n)"), ["end"]),
        (WAIT.format(f"ping x\n{TO_WAIT}", ") else if 1==1 (\nNS other\n)"), ["end"]),
        (WAIT.format(f"ping x\n{TO_WAIT}", ") ^\nelse (\nNS other\n)"), ["end"]),
        (WAIT.format("ping x || goto wait", ") else (\nexit /b 1\n)"), ["end"]),
        (WAIT.format("ping x || goto wait", ") & NS tail"), ["end"]),
        ("set A=0\n:b\nif exist x (\nfor %%i in (5) do set A=%%i\ngoto b\n)\nNS other %A%", []),
        ("if exist y goto l\nif 1==1 (\n:l\nNS x\n) else (\nNS y\n)", []),
    ],
)
def test_ways_never_meet_inside_a_statement(text: str, expected: list[str]) -> None:
    """Of the other branch, or of what follows a block in its line, nothing is done unless named."""
    done, outcome = ran(text, "on")
    assert done == expected
    assert bool(outcome.problems) == ("NS other" in text or "tail" in text or "NS y" in text)


@pytest.mark.parametrize(
    ("text", "done"),
    [
        ("set L=d\nif exist x goto a\nif exist y goto %L%\n:a\nNS a\n:d\nNS d", []),
        ("set L=c\n:c\nNS 1\nif exist x goto a\nif exist y goto %L%\n:a\nNS end", ["1"]),
    ],
)
def test_a_jump_that_may_lead_anywhere(text: str, done: list[str]) -> None:
    """Nobody knows what is perhaps done behind it."""
    found, outcome = ran(text)
    assert found == done
    assert outcome.problems


@pytest.mark.parametrize(
    "text", ["set C=set A=y\nif exist x goto b\n%C%", "set C=set A=\nif exist x goto b\n%C%y"]
)
def test_an_assignment_in_a_variable_is_perhaps_done(text: str) -> None:
    done, outcome = ran(f"set A=x\n{text}\n:b\nNS %A%")
    assert (done, whys(outcome)) == ([], GUESSED)


BOTH_LEAVE = "if exist x (\necho\ngoto end\n) else (\necho\n{}\n)\nNS a\n:end"


@pytest.mark.parametrize("leaving", ["goto end", "goto :eof", "exit /b 1"])
def test_a_condition_of_which_both_ways_leave(leaving: str) -> None:
    """What is behind it is never done, whatever only Windows knows."""
    done, outcome = ran(BOTH_LEAVE.format(leaving))
    assert (done, outcome.problems) == ([], ())
    done, outcome = ran(f"call :s\nNS b\nexit /b\n:s\n{BOTH_LEAVE.format(leaving)}")
    assert (done, outcome.problems) == (["b"], ())


@pytest.mark.parametrize(
    ("argument", "done", "value"), [("on", ["on"], None), ("off", [], "x"), (None, None, None)]
)
@pytest.mark.parametrize("doubt", ["if exist x", "for /f %%i in ('x') do", "ping x &&"])
def test_a_known_condition_behind_an_unknown_one(
    argument: str | None, done: list[str] | None, value: str | None, doubt: str
) -> None:
    """A branch that is never taken jumps nowhere and changes nothing."""
    arguments = () if argument is None else (argument,)
    condition = f'{doubt} if "%1"=="on"'
    found, outcome = ran(f"{condition} goto on\ngoto :eof\n:on\nNS on", *arguments)
    assert done is None or (found, outcome.problems) == (done, ())
    found, outcome = ran(f"set A=x\n{condition} set A=y\nNS %A%", *arguments)
    assert found == ([] if value is None else [value])


def test_a_condition_that_changes_no_status() -> None:
    """What IPsec commands left is still known behind it."""
    for skip in ("if exist x echo x", "if exist x goto n\n:n"):
        done, outcome = ran(f"NS a\n{skip}\nif not errorlevel 1 goto ok\nNS b\n:ok")
        assert (done, outcome.problems) == (["a"], ())


@pytest.mark.parametrize(
    "command",
    ['cmd /c "call b.bat"', 'cmd /c "echo hi & b.bat"', "start cmd /c b.bat", "cmd /c cmd /c b"],
)
def test_what_a_child_perhaps_runs_is_looked_into(command: str) -> None:
    files = Folder(b_bat="NS b")
    done, outcome = ran(f"if exist x {command}\nNS a", files=files)
    assert done == ["a"]
    assert len(outcome.problems) == 1


def test_netsh_with_a_context_in_a_variable_is_perhaps_of_ipsec() -> None:
    text = "set S=ipsec static\nif exist x goto go\nnetsh %S% add policy a\ngoto end\n"
    done, outcome = ran(f"{text}:go\nnetsh %S% add policy b\n:end")
    assert done == []
    assert outcome.problems


@pytest.mark.parametrize(
    "success",
    [
        "if not errorlevel 1 goto end",
        "if not errorlevel 1 exit /b 0",
        'if "%errorlevel%"=="0" goto end',
        "if %ERRORLEVEL% EQU 0 goto end",
        "if not %errorlevel% NEQ 0 goto end",
        "ping x && goto end",
        "ping x && exit /b 0",
        "if errorlevel 1 goto undo\ngoto end\n:undo",
        "if %errorlevel% NEQ 0 goto undo\nexit /b\n:undo",
        "ping x || goto undo\ngoto end\n:undo",
    ],
)
def test_what_may_take_back_what_was_done(success: str) -> None:
    """Behind IPsec commands, the way out of a command that succeeds is no guard."""
    text = f"ping x\n{success}\nNS undo\n:end"
    done, outcome = ran(f"NS do\n{text}")
    assert done == ["do"]
    assert len(outcome.problems) == 1
    done, outcome = ran(text)
    assert (done, outcome.problems) == (["undo"], ())


@pytest.mark.parametrize(
    "failure",
    [
        "if errorlevel 1 goto end",
        "if not %errorlevel% EQU 0 exit /b 1",
        "ping x || goto end",
        "if not errorlevel 1 goto more\ngoto end\n:more",
        "ping x && goto more\nexit /b\n:more",
        "if exist x goto end",
    ],
)
def test_a_way_out_of_failure_is_a_guard_wherever_it_stands(failure: str) -> None:
    done, outcome = ran(f"NS do\nping x\n{failure}\nNS more\n:end")
    assert (done, outcome.problems) == (["do", "more"], ())
