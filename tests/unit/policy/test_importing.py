"""Import of whole files: the published examples, what is counted, failed, or not understood."""

from __future__ import annotations

import ipaddress
import re
import time
from pathlib import Path

import pytest

from ipsecfd.policy.export import export
from ipsecfd.policy.files import load
from ipsecfd.policy.grammar import GrammarError
from ipsecfd.policy.model import IPAddress, Store
from ipsecfd.policy.names import Names
from ipsecfd.policy.scripts.importing import import_files
from ipsecfd.policy.scripts.outcome import ImportResult
from ipsecfd.policy.stores.dynamic import DynamicDraft
from ipsecfd.policy.workspace import Workspace
from tests.builders import ME, make_driver, verdict

DATA = Path(__file__).parents[2] / "data" / "netsh"
POLICY = "ipsecPolicy{00000000-0000-0000-0000-000000000007}"


def table(title: str) -> list[list[str]]:
    """The cells of a table of INDEX.md, by the first cell of its head and the second."""
    lines = (DATA / "INDEX.md").read_text().splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(title))
    rows: list[list[str]] = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def resolve(name: str) -> tuple[IPAddress, ...]:
    if name == "known.example":
        return (ipaddress.ip_address("192.0.2.99"),)
    raise GrammarError(name, "expected a DNS name that resolves")


def workspace() -> Workspace:
    return Workspace(resolve, dynamic=DynamicDraft())


def imported(text: str | bytes, *arguments: str, partial: bool = False) -> ImportResult:
    data = text.encode() if isinstance(text, str) else text
    return import_files(
        [("p.bat", data)], workspace(), arguments=arguments or None, partial=partial
    )


def counts(result: ImportResult) -> tuple[int, ...]:
    return (
        result.policies,
        result.filter_lists,
        result.filters,
        result.rules,
        result.filter_actions,
    )


@pytest.mark.parametrize("row", table("| file | policies"), ids=lambda row: row[0])
def test_published_examples(row: list[str]) -> None:
    """Each has the counts that its INDEX.md tells, and its policy is assigned."""
    name, *numbers, actions, assigned, _ = row
    result = import_files([DATA / name], workspace())
    assert result.untranslated == ()
    assert counts(result)[:4] == tuple(map(int, numbers))
    assert result.filter_actions == len(actions.split("+"))
    assert (assigned == "yes") == (result.assigned is not None)


@pytest.mark.parametrize("row", table("| file | packet"), ids=" ".join)
@pytest.mark.parametrize("profile", ["linux", "win2003"])
def test_packets_of_the_published_examples(row: list[str], profile: str) -> None:
    """The driver judges the packets of INDEX.md as it tells."""
    number, text, expected = row
    (path,) = DATA.glob(f"{number}-*")
    sides, protocol = text.rsplit(" ", 1)
    sides = re.sub(r"\bme\b", ME, sides).replace("remote", "198.51.100.7")
    direction = "out" if sides.startswith(ME) else "in"
    loaded = load(path, Names())
    driver = make_driver(policies=[(Store.LOCAL, loaded.policy)], profile=profile)
    assert expected.split()[0] == verdict(driver, f"{direction} {protocol.lower()} {sides}")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("netsh ipsec static add policy P", (1, 0, 0, 0, 0)),
        ("netsh ipsec static add filter filterlist=L srcaddr=me dstaddr=any", (0, 1, 1, 0, 0)),
        ("pushd ipsec static\nadd policy P\nadd filterlist L\npopd\n", (1, 1, 0, 0, 0)),
        ("# netsh script\n\nipsec static\nadd policy P\nexit\nadd policy Q", (1, 0, 0, 0, 0)),
        ("add policy name=P", None),
        ("-w REG -p P -r R -f 0+* -n BLOCK -x", (1, 1, 1, 1, 1)),
        ("rem x\nipseccmd -w REG -p P -r R -f 0+* 0+*:80:TCP -n BLOCK", (1, 1, 2, 1, 1)),
        ("netsh ipsec static restorepolicyexamples release=win2003", (0, 0, 0, 0, 0)),
    ],
)
def test_kinds_of_files(text: str, expected: tuple[int, ...] | None) -> None:
    """Batch files, netsh scripts and lines of ipseccmd are told apart by their first line."""
    result = imported(text)
    if expected is None:
        assert result.stopped
    else:
        assert result.untranslated == ()
        assert counts(result) == expected


def test_toml() -> None:
    """A policy file is added; an export of a store is the store again, with what is assigned."""
    result = imported('name = "p"\n[[rule]]\naction = "block"\nfilters = ["me <-> any"]\n')
    assert (result.untranslated, result.assigned) == ((), None)
    assert counts(result) == (1, 1, 1, 1, 1)
    work = workspace()
    import_files([DATA / "17-gamesvr-web-out.bat"], work)
    before = work.stores[Store.LOCAL].content()
    again = workspace()
    import_files([("x.toml", export(before, "toml").text.encode())], again)
    assert again.stores[Store.LOCAL].content() == before


def test_mistakes_of_an_export_are_told_one_by_one() -> None:
    """Each with its place and text."""
    result = imported('version = 1\nassigned = "q"\n[[policy]]\nname = "p"\nfoo = 1\n')
    assert result.stopped
    assert [one.text for one in result.untranslated] == ["q", "foo"]
    assert [one.why.partition(": ")[0] for one in result.untranslated] == ["assigned", "policy[1]"]


def test_equal_actions_of_ipsecpol_are_one() -> None:
    """Each run makes a rule and a list of its own; an action is made once."""
    text = "".join(
        f"ipsecpol -w REG -p P -r R{number} -f *=0:{number}:TCP -n {action}\n"
        for number, action in ((1, "BLOCK"), (2, "PASS"), (3, "BLOCK"))
    )
    assert counts(imported(text)) == (1, 3, 3, 3, 2)


def test_only_what_is_new_is_counted() -> None:
    """What the store held before is left as it is, and is no work of the import."""
    work = workspace()
    import_files(
        [("a", b"netsh ipsec static add filter filterlist=L srcaddr=me dstaddr=any")], work
    )
    text = b"netsh ipsec static add filter filterlist=L srcaddr=me dstaddr=10.0.0.1"
    result = import_files([("b", text)], work)
    assert counts(result) == (0, 1, 1, 0, 0)
    assert len(work.stores[Store.LOCAL].filter_list("L").filters) == 2


def test_what_windows_refuses_has_failed() -> None:
    """It is listed with its line, and what follows is done; the policy is assigned."""
    text = (
        "netsh ipsec static delete policy name=none\n"
        "netsh ipsec static add policy name=P\n"
        "netsh ipsec static add rule name=R policy=P filterlist=L filteraction=none\n"
        "netsh ipsec static add filter filterlist=L srcaddr=me dstaddr=unknown.example\n"
        "netsh ipsec static add filter filterlist=L srcaddr=me dstaddr=known.example\n"
        "netsh ipsec static set policy name=P assign=y\n"
    )
    result = imported(text)
    assert not result.stopped
    assert [failure.line for failure in result.failed] == [1, 3, 4]
    assert result.failed[0].text == "netsh ipsec static delete policy name=none"
    assert result.failed[0].why.startswith("ERR IPsec [")
    assert (result.assigned, result.filters) == ("P", 1)


@pytest.mark.parametrize(
    "refused",
    [
        "-w REG -p P -r R2 -f [*=0:80:TCP] -n BLOCK",
        "-w REG -p P -r R2 -f (*=0:80:TCP) -n PASS",
        "-w REG -p P -r R2 -f *=0:80 -n BLOCK",
        "-w REG -p P -r R2 -f *=0:80:ICMP -n BLOCK",
        "-f [*=0:80]",
    ],
)
def test_what_ipseccmd_refuses_has_failed(refused: str) -> None:
    """Brackets in a stored policy, and ports of nothing: understood, refused, and gone on from."""
    result = imported(f"ipseccmd -w REG -p P -r R -f *=0:53:UDP -n BLOCK\nipseccmd {refused}\n")
    assert (result.untranslated, result.rules) == ((), 1)
    assert [failure.line for failure in result.failed] == [2]


def test_what_is_not_understood_stops_the_import() -> None:
    """Nothing counts, unless the import may be partial: then the rest is done."""
    text = "netsh ipsec static add policy name=P\nnetsh ipsec static add polycy name=Q\n"
    result = imported(text)
    assert result.stopped
    assert counts(result) == (0, 0, 0, 0, 0)
    ((line, why),) = [(one.line, one.why) for one in result.untranslated]
    assert (line, "polycy" in why) == (2, True)
    result = imported(text, partial=True)
    assert not result.stopped
    assert counts(result) == (1, 0, 0, 0, 0)
    assert [one.line for one in result.untranslated] == [2]


def test_what_importpolicy_would_read_is_not_understood() -> None:
    """Windows reads that file, an import does not; a file that is only written changes no store."""
    text = "netsh ipsec static add policy P\nnetsh ipsec static exportpolicy c:\\old\n"
    result = imported(text)
    assert (result.failed, result.untranslated, result.policies) == ((), (), 1)
    result = imported(f"{text}netsh ipsec static importpolicy file=c:\\new\n")
    assert result.stopped
    ((line, why),) = [(one.line, one.why) for one in result.untranslated]
    assert (line, "c:\\new.ipsec is not read" in why) == (3, True)


def test_what_happens_again_is_told_once() -> None:
    """A loop or a script that starts itself anew says the same thing many times."""
    text = "for %%i in (1 2 3) do (\nnetsh ipsec static delete policy x\nnesth ipsec %X%\n)\n"
    result = imported(text)
    assert (
        [one.line for one in result.failed],
        [one.line for one in result.untranslated],
    ) == ([2], [3])


def test_dynamic_rules_are_counted() -> None:
    """Those of netsh ipsec dynamic, and of ipseccmd without -w."""
    text = (
        "netsh ipsec dynamic add mmpolicy name=M\n"
        "netsh ipsec dynamic add rule srcaddr=any dstaddr=me mmpolicy=M actioninbound=block"
        " actionoutbound=permit\nipseccmd -f *=0:80:TCP -n BLOCK\n"
    )
    result = imported(text)
    assert result.failed == result.untranslated == ()
    assert result.dynamic_rules == 2


@pytest.mark.parametrize(
    "text",
    [
        "netsh ipsec static add rule name=R policy=P filterlist=L filteraction=Permit",
        'netsh ipsec static add rule name=R policy=P filterlist="All IP Traffic" filteraction=A',
        'netsh ipsec static add rule R P "All ICMP traffic" permit',
        'netsh ipsec static set policy name="Client (Respond Only)" assign=y',
        'netsh ipsec static set policy name="Server (Request Security)" assign=y',
        "netsh ipsec static delete filteraction name=Permit",
    ],
)
def test_what_every_fresh_windows_has(text: str) -> None:
    """A command that names a built-in object finds it; the object itself is not counted."""
    before = (
        "netsh ipsec static add policy P\nnetsh ipsec static add filteraction A action=block\n"
        "netsh ipsec static add filter filterlist=L srcaddr=me dstaddr=any\n"
    )
    result = imported(before + text)
    assert result.failed == result.untranslated == ()
    assert counts(result) == (1, 1, 1, "add rule" in text, 1)


def test_built_in_objects_do_not_stay_unused() -> None:
    """What was lent for a command that failed for another reason is taken back, and a script may
    make an action of that name."""
    text = (
        "netsh ipsec static add rule name=R policy=none filterlist=L filteraction=Permit\n"
        "netsh ipsec static add filteraction name=Permit action=permit\n"
    )
    result = imported(text)
    assert [one.line for one in result.failed] == [1]
    assert result.filter_actions == 1


@pytest.mark.parametrize(
    "deletion",
    [
        "netsh ipsec static delete all",
        "netsh ipsec static del filterlist all",
        "netsh ipsec static delete filteraction all",
        'netsh ipsec static delete filterlist name="All IP Traffic"',
        "netsh ipsec static delete filteraction Permit",
        "netsh ipsec static set filteraction name=Permit newname=Pass",
        (
            "netsh ipsec static restorepolicyexamples win2003\n"
            "netsh ipsec static delete policy all\nnetsh ipsec static delete filterlist all"
        ),
        "reg delete HKLM\\SOFTWARE\\Policies\\Microsoft\\Windows\\IPSec\\Policy\\Local /f",
    ],
)
def test_what_a_script_deleted_does_not_come_back(deletion: str) -> None:
    """`all` is everything, what every fresh Windows has included (spec 8.2)."""
    text = (
        'netsh ipsec static add policy P\nnetsh ipsec static add rule R P "All IP Traffic" Permit\n'
    )
    assert imported(text).rules == 1
    result = imported(f"{deletion}\n{text}")
    assert result.untranslated == ()
    assert len(result.failed) == 1
    assert "There is no filter" in result.failed[0].why
    assert result.rules == 0


@pytest.mark.parametrize("kind", ["policy", "all"])
def test_policies_that_a_script_deleted_are_not_assigned(kind: str) -> None:
    """Those of Windows are none of the others."""
    deletion = f"netsh ipsec static delete {'policy ' * (kind == 'policy')}all\n"
    result = imported(f'{deletion}netsh ipsec static set policy "Client (Respond Only)" assign=y\n')
    assert ([one.line for one in result.failed], result.assigned) == ([2], None)
    text = "netsh ipsec static add rule R P {} Permit\n".format('"All IP Traffic"')
    result = imported(f"{deletion}netsh ipsec static add policy P\n{text}")
    assert result.rules == (kind == "policy")


def test_doubtful_filters_are_noted() -> None:
    """TCP port 50 is not ESP (X10), whatever tool wrote it; no more than ten are told."""
    why = "TCP port 50 is not ESP, which is protocol 50 without ports"
    add = "netsh ipsec static add filter filterlist=L dstaddr=me protocol=TCP dstport=50"
    assert imported(f"{add} srcaddr=any\n").notes == (
        f'filter list "L": "any <-> me:50 tcp": {why}',
    )
    assert imported("ipseccmd -f *=0:50:TCP -n PASS\n").notes == (
        f'dynamic rule "any -> me:50 tcp": {why}',
    )
    many = imported("".join(f"{add} srcaddr=192.0.2.{number}\n" for number in range(1, 13)))
    assert len(many.notes) == 11
    assert many.notes[-1] == "and 2 more filters like these"


def test_properties_are_told() -> None:
    """Whether netsh sets them or the registry does, with when they take effect (spec 7.1)."""
    text = (
        "netsh ipsec dynamic set config bootexemptions none\n"
        "netsh ipsec dynamic set config ikelogging 1\n"
        "reg add HKLM\\SYSTEM\\CurrentControlSet\\Services\\IPSEC /v NoDefaultExempt"
        " /t REG_DWORD /d 1\n"
    )
    result = imported(text)
    assert not result.untranslated
    assert result.properties == (
        ("ikelogging", "1"),
        ("ipsecexempt", "1"),
        ("bootexemptions", "none"),
    )
    assert result.notes == (
        "ipsecexempt: the new value takes effect when ipsecfd is started again",
        "bootexemptions: the new value takes effect at the next boot",
    )


def test_files_that_scripts_name(tmp_path: Path) -> None:
    """For netsh -f, netsh -c -f, netsh exec and ipseccmd -file they are next to the script; what
    fails in them is told by their own lines."""
    (tmp_path / "One.txt").write_text("pushd ipsec static\nadd policy name=A\nadd polycy B\n")
    (tmp_path / "two.txt").write_text("\n# x\nadd policy name=C\ndelete policy name=none\n")
    (tmp_path / "three.txt").write_bytes("-w REG -p D -r R -f 0+* -n BLOCK\n".encode("utf-16"))
    script = tmp_path / "p.bat"
    script.write_text(
        'netsh -f "C:\\install\\one.txt"\n'
        'netsh -c "ipsec static" -f two.txt\nipseccmd -file three.txt\n'
        "netsh exec none.txt\necho add policy name=E>e.txt\n"
        'netsh -c "ipsec static" -f %~dp0e.txt\n'
    )
    result = import_files([script], workspace(), partial=True)
    assert {(Path(one.file).name.lower(), one.line) for one in result.untranslated} == {
        ("one.txt", 3),
        ("p.bat", 4),
    }
    assert [(one.file, one.line) for one in result.failed] == [("two.txt", 4)]
    assert result.policies == 4


def test_a_line_that_was_left_out_decides_nothing() -> None:
    """With `partial`, neither way of a condition on it is taken, and the line says so; what comes
    behind both is imported."""
    text = (
        "netsh ipsec static add polycy name=X\n"
        "if errorlevel 1 goto old\n"
        "netsh ipsec static add policy name=New\n"
        "goto end\n"
        ":old\n"
        "netsh ipsec static add policy name=Old\n"
        ":end\n"
        "netsh ipsec static add policy name=Both\n"
    )
    result = imported(text, partial=True)
    assert [one.line for one in result.untranslated] == [1, 2]
    assert "goes on where the ways meet, at line 7" in result.untranslated[1].why
    assert result.policies == 1
    refused = imported(text.replace("polycy name=X", "policy name=").replace("=Old", "=New"))
    assert ([one.line for one in refused.failed], refused.policies) == ([1], 2)


def test_scripts_that_scripts_name(tmp_path: Path) -> None:
    """`exec` in a context, at the root and in another script; each begins where it was typed."""
    (tmp_path / "one.txt").write_text("add policy name=A\nexec two.txt\nadd policy name=B\n")
    (tmp_path / "two.txt").write_text("add policy name=C\nadd policy name=C\n..\nexit\nfoo\n")
    script = tmp_path / "p.bat"
    script.write_text("netsh ipsec static exec C:\\x\\one.txt\n")
    result = import_files([script], workspace())
    assert not result.untranslated
    assert [(one.file, one.line) for one in result.failed] == [("two.txt", 2)]
    assert result.policies == 3


@pytest.mark.parametrize(
    "name",
    [
        "%TEMP%\\s.txt",
        '"%TEMP%\\s.txt"',
        "%~dp0s.txt",
        '"%~dp0a b.txt"',
        "%OUT%",
        "%TEMP%\\%RANDOM%.txt",
        "%1",
    ],
)
def test_files_that_scripts_write(name: str) -> None:
    """They are found by their text, even where only Windows knows what it stands for."""
    result = imported(
        f"echo ipsec static>{name}\necho add policy name=A>>{name}\nnetsh -f {name}\n"
    )
    assert (result.untranslated, result.policies) == ((), 1)


@pytest.mark.parametrize(
    ("text", "policies"),
    [
        ("(\necho ipsec static\necho add policy A\n)> s.txt\nnetsh -f s.txt\n", 1),
        ("(echo ipsec static & echo add policy A)>s.txt & netsh -f s.txt\n", 1),
        ("(echo ipsec static)>s.txt\n(echo add policy A)>>s.txt\nnetsh -f s.txt\n", 1),
        ("(echo add policy B)>s.txt\n(echo ipsec static)>s.txt 2>&1\nnetsh -f s.txt\n", 0),
        (
            "(\necho ipsec static\nfor %%i in (A B) do echo add policy %%i\n)>s.txt\n\
if 1==1 (echo add policy D) >>s.txt else (echo add policy E) >>s.txt\nnetsh -f s.txt\n",
            3,
        ),
        ("(echo ipsec static\necho add policy A>other.txt)>s.txt\nnetsh -f s.txt\n", 0),
        ("(netsh ipsec static add policy A)>nul 2>&1\n", 1),
    ],
)
def test_files_that_blocks_write(text: str, policies: int) -> None:
    """What is said in a block goes where its output goes, once made anew, then added."""
    result = imported(text)
    assert (result.untranslated, result.failed, result.policies) == ((), (), policies)


@pytest.mark.parametrize(
    ("text", "policies"),
    [
        ("echo add policy C>>base.txt\nnetsh -f base.txt\n", {"a", "b", "c"}),
        ("(echo add policy C\necho add policy D)>>Base.txt\nnetsh -f base.txt\n", set("abcd")),
        ("echo ipsec static>base.txt\necho add policy C>>base.txt\nnetsh -f base.txt\n", {"c"}),
        ("NEW A\nnetsh -f n.txt\ndel n.txt\nNEW C\nnetsh -f n.txt\n", {"a", "c"}),
        ("NEW A\nerase /f /q %~dp0n.txt>nul 2>&1\nNEW C\nnetsh -f n.txt\n", {"c"}),
        ('NEW A\ndel x.txt, "n.txt"\nNEW C\nnetsh -f n.txt\n', {"c"}),
        ("NEW A\ndel *.*\nNEW C\nnetsh -f n.txt\n", {"c"}),
        ("NEW A\ndel m?.txt\nNEW C\nnetsh -f n.txt\n", {"a", "c"}),
        ("del base.txt\necho ipsec static>>base.txt\nnetsh -f base.txt\n", set()),
        ("NEW A\nif exist n.txt del /q n.txt\nNEW C\nnetsh -f n.txt\n", {"c"}),
        ('NEW A\nif exist "%~dp0n.txt" (\nerase N.txt\n)\nNEW C\nnetsh -f n.txt\n', {"c"}),
        ("NEW A\nset F=%TEMP%\\n.txt\nif exist %F% del %F%\nNEW C\nnetsh -f %F%\n", {"c"}),
        ("NEW A\nif not exist n.txt del n.txt\nNEW C\nnetsh -f n.txt\n", {"a", "c"}),
    ],
)
def test_what_scripts_make_of_files(tmp_path: Path, text: str, policies: set[str]) -> None:
    """`>>` adds to what is there, be it next to the script or written by it; `del` ends that."""
    (tmp_path / "BASE.txt").write_text("ipsec static\nadd policy A\nadd policy B\n")
    text = re.sub(r"NEW (.)", r"echo ipsec static>>n.txt\necho add policy \1>>n.txt", text)
    (tmp_path / "p.bat").write_text(text)
    work = workspace()
    result = import_files([tmp_path / "p.bat"], work)
    assert result.untranslated == ()
    assert set(work.stores[Store.LOCAL].content().policies) == policies


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        ("del base.txt\nnetsh -f base.txt\n", 2, "base.txt is not next to this file"),
        ("del *.txt\nnetsh -f base.txt\n", 2, "base.txt is not next to this file"),
        ("echo #>n.txt\ndel %TEMP%\\n*.*\nnetsh -f n.txt\n", 3, "what the script wrote to n.txt"),
    ],
)
def test_files_that_are_gone_or_not_known(tmp_path: Path, text: str, line: int, why: str) -> None:
    """The command that reads one is named, with the reason."""
    (tmp_path / "base.txt").write_text("ipsec static\nadd policy A\n")
    (tmp_path / "p.bat").write_text(f"{text}netsh ipsec static add policy P\n")
    result = import_files([tmp_path / "p.bat"], workspace())
    ((found, reason),) = [(one.line, one.why) for one in result.untranslated]
    assert found == line
    assert reason.startswith(why)


def test_ipsecpol_runs_no_files() -> None:
    """-file came with ipseccmd (spec 8.4)."""
    text = "echo -w REG -p P -r R -f 0+* -n BLOCK>s.txt\n{} -file s.txt\n"
    assert imported(text.format("ipseccmd")).rules == 1
    ((line, why),) = [(one.line, one.why) for one in imported(text.format("ipsecpol")).untranslated]
    assert (line, "ipsecpol has no -file" in why) == (2, True)


def test_files_of_unknown_names_are_not_mixed_up() -> None:
    """A name that is unknown in part is that of the file with the same text only."""
    text = "echo ipsec static add policy name=A>%A%.txt\necho ipsec static add policy name=B"
    result = imported(f"{text}>%B%.txt\nnetsh -f %A%.txt\n")
    assert (result.untranslated, result.policies, result.assigned) == ((), 1, None)
    (line,) = imported(f"{text}>%B%.txt\nnetsh -f %C%.txt\n").untranslated
    assert line.line == 3


def test_what_is_not_known_stays_so_in_a_file() -> None:
    """A line that a script writes with a value of Windows is named when it is run."""
    result = imported("echo ipsec static add policy name=%COMPUTERNAME%>s.txt\nnetsh -f s.txt\n")
    ((file, line, why),) = [(one.file, one.line, one.why) for one in result.untranslated]
    assert (file, line, "%COMPUTERNAME%" in why) == ("s.txt", 1, True)


def test_registry_commands_and_exports(tmp_path: Path) -> None:
    """What reg add sets of the driver's own values is understood; other keys are ignored."""
    work = workspace()
    text = (
        "reg add HKLM\\SYSTEM\\CurrentControlSet\\Services\\IPSEC /v NoDefaultExempt"
        " /t REG_DWORD /d 1 /f >nul\n"
        "reg add HKLM\\SYSTEM\\CurrentControlSet\\Services\\Tcpip /v X /d 1\n"
        "netsh ipsec static add policy P\n"
    )
    result = import_files([("p.bat", text.encode())], work)
    assert result.untranslated == ()
    assert work.properties.ipsecexempt == 1


LOCAL_KEY = "HKLM\\SOFTWARE\\Policies\\Microsoft\\Windows\\IPSec\\Policy\\Local"
SERVICE_KEY = "HKLM\\SYSTEM\\CurrentControlSet\\Services\\IPSEC"


@pytest.mark.parametrize("deletion", [f"{LOCAL_KEY} /f", f"{LOCAL_KEY} /v ActivePolicy /f"])
@pytest.mark.parametrize(
    "command",
    ["netsh ipsec static add policy name=P assign=y", "ipsecpol -w REG -p P -r R -f 0+* -x"],
)
def test_registry_commands_in_their_place(deletion: str, command: str) -> None:
    """What comes behind `reg delete` works on what it left, and what comes before it is deleted."""
    assert imported(f"reg delete {deletion}\n{command}\n").assigned == "P"
    assert imported(f"{command}\nreg delete {deletion}\n").assigned is None


def test_registry_values_in_their_place(tmp_path: Path) -> None:
    """The last of `reg add`, netsh and regedit that sets a value counts."""
    add = f"reg add {SERVICE_KEY} /v NoDefaultExempt /t REG_DWORD /d 1 /f\n"
    other = (
        "netsh ipsec dynamic set config ipsecexempt 3\n",
        "regedit /s exempt.reg\n",
    )
    (tmp_path / "exempt.reg").write_text(
        "Windows Registry Editor Version 5.00\n\n"
        "[HKEY_LOCAL_MACHINE\\SYSTEM\\CurrentControlSet\\Services\\IPSEC]\n"
        '"NoDefaultExempt"=dword:00000003\n'
    )
    for one in other:
        for text, expected in ((add + one, 3), (one + add, 1)):
            work = workspace()
            (tmp_path / "p.bat").write_text(text)
            assert import_files([tmp_path / "p.bat"], work).untranslated == ()
            assert work.properties.ipsecexempt == expected


def test_registry_commands_that_name_one_another() -> None:
    """Those in a row are one change: the first may need what the last one makes."""
    lines = [
        f"{LOCAL_KEY}\\{name} /v {value} /t {kind} /d {data} /f"
        for name, value, kind, data in (
            (POLICY, "ipsecName", "REG_SZ", "P"),
            (
                POLICY,
                "ipsecData",
                "REG_BINARY",
                "632120224c4fd111863b00a0248d302104000000302a000000",
            ),
            ("", "ActivePolicy", "REG_SZ", f"SOFTWARE\\x\\{POLICY}"),
        )
    ]
    assert imported("".join(f"reg add {one}\n" for one in reversed(lines))).assigned == "P"


def test_registry_commands_that_are_not_understood() -> None:
    """Whether they succeed only Windows knows."""
    result = imported(f"rem\nreg add {LOCAL_KEY} /x && netsh ipsec static add policy P\n")
    assert [one.line for one in result.untranslated] == [2, 2]


@pytest.mark.parametrize("verb", ["restore", "copy HKLM\\SOFTWARE\\Backup"])
def test_registry_commands_that_bring_what_is_not_in_the_script(verb: str) -> None:
    """They are named: the policies of a backup are known to Windows only."""
    (line,) = imported(f"rem\nreg {verb} {LOCAL_KEY} policy.hiv\n").untranslated
    assert (line.line, "expected reg add KEY" in line.why) == (2, True)


def test_registry_commands_of_other_scripts(tmp_path: Path) -> None:
    """Their mistakes are named by the file that they stand in."""
    (tmp_path / "other.cmd").write_text(f"rem\nreg add {LOCAL_KEY} /w\n")
    (tmp_path / "p.bat").write_text(f"reg add {LOCAL_KEY} /x\ncall other.cmd\n")
    result = import_files([tmp_path / "p.bat"], workspace())
    assert [(Path(one.file).name, one.line) for one in result.untranslated] == [
        ("p.bat", 1),
        ("other.cmd", 2),
    ]


def test_store_for_what_is_local_on_windows() -> None:
    """With another store, everything that would go to the local one goes there."""
    work = workspace()
    text = b"netsh ipsec static add policy P assign=y\nipsecpol -w REG -p Q -r R -f 0+* -n BLOCK\n"
    result = import_files([("p.bat", text)], work, store=Store.PERSISTENT)
    assert result.assigned == "P"
    assert work.stores[Store.LOCAL].content().policies == {}
    assert set(work.stores[Store.PERSISTENT].content().policies) == {"p", "q"}


@pytest.mark.parametrize(
    "text",
    [
        "ipsec static\nadd policy P\nset store persistent\nadd policy Q\n",
        (
            "echo add policy P>s.txt\necho set store persistent>>s.txt\necho add policy Q>>s.txt\n"
            'netsh -c "ipsec static" -f s.txt\nnetsh ipsec static add policy R\n'
        ),
    ],
)
def test_set_store_holds_for_the_commands_that_follow(text: str) -> None:
    """Only what is made after `set store` goes to the persistent store (X8)."""
    work = workspace()
    result = import_files([("p.bat", text.encode())], work)
    assert (result.failed, result.untranslated, result.notes) == ((), (), ())
    assert set(work.stores[Store.LOCAL].content().policies) - {"r"} == {"p"}
    assert set(work.stores[Store.PERSISTENT].content().policies) == {"q"}


def test_set_store_on_a_line_of_its_own_holds_for_those_that_follow() -> None:
    """X8; each is a run of netsh, which on Windows may begin with the local store: that is said.
    A script for `netsh -f` begins with it here, too."""
    work = workspace()
    text = (
        b"netsh ipsec static add policy name=P\nnetsh ipsec static set store persistent\n"
        b"netsh ipsec static add policy name=Q\n"
        b"echo ipsec static add policy name=R>r.txt\nnetsh -f r.txt\n"
    )
    result = import_files([("p.bat", text)], work)
    assert result.failed == ()
    assert set(work.stores[Store.LOCAL].content().policies) == {"p", "r"}
    assert set(work.stores[Store.PERSISTENT].content().policies) == {"q"}
    assert result.notes[0].startswith("p.bat:2: set store holds for the commands behind it")


BLOCK = "ipseccmd -f *=0:445:TCP -n BLOCK\n"


@pytest.mark.parametrize(
    ("text", "rules", "noted", "named"),
    [
        (f"{BLOCK}net stop policyagent", 0, 1, None),
        (f"{BLOCK}net stop policyagent /y\nnet start policyagent\n{BLOCK}", 1, 1, None),
        (f'{BLOCK}NET STOP "IPSEC Services" >nul', 0, 1, None),
        (f'{BLOCK}net1 stop "IPsec Policy Agent"', 0, 1, None),
        (f"{BLOCK}sc stop PolicyAgent && net start policyagent", 0, 1, None),
        (f"{BLOCK}cmd /c net stop policyagent", 0, 1, None),
        (f"net stop policyagent\nnet start policyagent\n{BLOCK}", 1, 0, None),
        (
            f"{BLOCK}net start policyagent\nnet stop remoteaccess\nsc \\\\x stop policyagent",
            1,
            0,
            None,
        ),
        (f"{BLOCK}if exist x net stop policyagent", 1, 0, 2),
        (f"{BLOCK}sc query x | find y && (net stop policyagent & net start policyagent)", 1, 0, 2),
        (f"{BLOCK}if exist x goto b\nnet stop policyagent\n:b\n{BLOCK}", 1, 0, 2),
        (f"{BLOCK}if exist x call :s\nexit\n:s\nnet stop policyagent", 1, 0, 2),
        (f"if exist x net stop policyagent\n{BLOCK}", 1, 0, None),
    ],
)
def test_dynamic_rules_end_with_the_service(
    text: str, rules: int, noted: int, named: int | None
) -> None:
    """Those of before as well (spec 1.5); what is perhaps stopped matters where there are any."""
    work = workspace()
    result = import_files([("p.bat", text.encode())], work, partial=True)
    assert work.dynamic is not None
    assert (len(work.dynamic.content().rules), len(result.notes)) == (rules, noted)
    assert [one.line for one in result.untranslated] == ([] if named is None else [named])


def test_dynamic_rules_that_outlive_the_service() -> None:
    """X6: where it is configured so; rules from before an import do not stop it."""
    work = workspace()
    work.dynamic_persist = True
    text = f"{BLOCK}net stop policyagent\nif exist x net stop policyagent"
    result = import_files([("p.bat", text.encode())], work)
    assert (result.dynamic_rules, result.notes, result.untranslated) == (1, (), ())
    work.dynamic_persist = False
    text = "netsh ipsec static add policy P\nif exist x net stop policyagent"
    result = import_files([("p.bat", text.encode())], work)
    assert (result.policies, result.untranslated) == (1, ())


@pytest.mark.parametrize("name", [".", "\\\\.", "LOCALHOST", "vm", "\\\\vm.example"])
def test_netsh_on_this_computer(name: str) -> None:
    """-r may name it, in every place where options stand; another one is not understood."""
    work = workspace()
    work.host = "vm.example"
    text = (
        f"netsh -r {name} ipsec static add policy A\n"
        f'netsh -c "ipsec static" -r {name} add policy B\n'
        f'echo add policy C>s.txt\nnetsh -r {name} -c "ipsec static" -f s.txt\n'
    )
    assert import_files([("p.bat", text.encode())], work).policies == 3
    result = imported(f"rem\nnetsh -r x{name}x ipsec static add policy A\n")
    ((line, why),) = [(one.line, one.why) for one in result.untranslated]
    assert (line, f"-r x{name}x: netsh works on this computer only" in why) == (2, True)


@pytest.mark.parametrize(
    "line",
    [
        'netsh -c "ipsec static" < rules.txt',
        'echo add policy name=Q| netsh -c "ipsec static"',
        "(echo add policy name=Q\necho add policy name=R\n)| netsh ipsec static",
        "type rules.txt | netsh -c ipsec static",
        'netsh -c "ipsec statik" add policy name=Q',
        "netsh -f p.txt ipsec static add policy name=Q",
    ],
)
def test_what_netsh_reads_itself_is_not_understood(line: str) -> None:
    """Commands from a pipe or the keyboard are not in the script: the line is named."""
    result = imported(f"netsh ipsec static add policy name=P\n{line}\n", partial=True)
    assert [one.text.partition(" ")[0] for one in result.untranslated] == ["netsh"]
    assert result.policies == 1


@pytest.mark.parametrize(
    ("data", "line", "why"),
    [
        (b"", 0, "the file is empty"),
        (b"\r\n\x1a", 0, "the file is empty"),
        (b"echo hello\r\n", 0, "no command about IPsec policies"),
        (b'name = "p"\nrule = 1\n', 0, "rule: expected"),
        (b'name = "p"\n= 1\n', 2, "not TOML"),
        (b"regf\0\0", 0, "a registry hive"),
        (b"\xff\xfea\0\n\0b", 2, "expected UTF-16-LE text"),
        (b"netsh -f none.txt", 1, "none.txt is not next to this file"),
    ],
)
def test_files_of_no_use(data: bytes, line: int, why: str) -> None:
    """One clear line each."""
    result = imported(data)
    ((found, reason),) = [(one.line, one.why) for one in result.untranslated]
    assert (result.stopped, found) == (True, line)
    assert reason.startswith(why)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    """The system's reason is passed on, and the other files are read."""
    good = tmp_path / "good.bat"
    good.write_text("netsh ipsec static add policy P")
    result = import_files([tmp_path / "none", tmp_path, good], workspace(), partial=True)
    assert [one.why.removeprefix("cannot be read: ") for one in result.untranslated] == [
        "No such file or directory",
        "Is a directory",
    ]
    assert result.policies == 1


def test_files_naming_each_other_end(tmp_path: Path) -> None:
    """A netsh script that runs itself is stopped."""
    (tmp_path / "a.txt").write_text("ipsec static\nadd policy P\nexec a.txt\n")
    result = import_files([tmp_path / "a.txt"], workspace(), partial=True)
    assert "files that name one another" in result.untranslated[-1].why


def test_files_without_an_end_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a script names is bounded as the script itself is."""
    monkeypatch.setattr("ipsecfd.policy.text.LARGEST", 100)
    (tmp_path / "huge.txt").write_text("ipsec static\nadd policy A\n".ljust(101, "#"))
    (tmp_path / "a.bat").write_text("netsh exec huge.txt\nnetsh ipsec static add policy B\n")
    result = import_files([tmp_path / "a.bat"], workspace(), partial=True)
    assert [(one.line, one.text) for one in result.untranslated] == [(1, "netsh exec huge.txt")]
    assert result.policies == 1


def test_names_of_any_kind() -> None:
    """Blanks, quotes of the other kind, Unicode, 255 characters."""
    for name in ("Größe 安全 'x' (1)", "x" * 255, "a & b ^ %% c".replace("%%", "%")):
        text = f'netsh ipsec static add policy name="{name.replace("%", "%%")}" assign=y\r\n'
        assert imported(text).assigned == name


def test_ten_thousand_commands_take_little_time() -> None:
    """Twice as many take about twice as long."""

    def seconds(count: int) -> float:
        text = "".join(
            f"netsh ipsec static add filter filterlist=L srcaddr=10.{number >> 8}.{number & 255}.1"
            " dstaddr=me dstport=80 protocol=tcp >nul\n"
            for number in range(count)
        )
        start = time.process_time()
        assert imported(text).filters == count
        return time.process_time() - start

    seconds(100)
    # Whatever else the machine does only adds to a time.
    half, whole = (min(seconds(count) for _ in range(3)) for count in (5_000, 10_000))
    assert whole < 3
    assert whole < half * 4
