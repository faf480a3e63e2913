"""What the switches of ipseccmd and ipsecpol ask for, and which combinations are refused."""

from __future__ import annotations

import pytest

from ipsecfd.policy.ipseccmd.lines import program_of, split_line
from ipsecfd.policy.ipseccmd.methods import (
    MainMode,
    Negotiation,
    OtherComputerError,
    RefusedError,
    UsageError,
)
from ipsecfd.policy.ipseccmd.switches import (
    Batch,
    Clear,
    Dynamic,
    Help,
    Request,
    Show,
    Static,
    parse,
)
from ipsecfd.policy.model import Connection, Store
from ipsecfd.policy.stores.content import Authentication, Behaviour

STATIC = '-w REG -p P -r "a rule" -f *=0:80:TCP'


def asked(line: str) -> Request:
    """The request of a command line without the program's name."""
    return parse(split_line(line), host="gate.example")


def static(line: str) -> Static:
    request = asked(line)
    assert isinstance(request, Static)
    return request


def dynamic(line: str) -> Dynamic:
    request = asked(line)
    assert isinstance(request, Dynamic)
    return request


@pytest.mark.parametrize(
    ("word", "program"),
    [
        ("IPSeccmd.exe", "ipseccmd"),
        ("ipsecpol", "ipsecpol"),
        (r"C:\Program Files\Support Tools\IPSECPOL.EXE", "ipsecpol"),
        ("./ipseccmd", "ipseccmd"),
        ("netsh", None),
        ("", None),
    ],
)
def test_programs_are_known_by_any_spelling(word: str, program: str | None) -> None:
    """Path, case and `.exe` say nothing."""
    assert program == program_of(word)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (r'-p "a b" -f *=0', ["-p", "a b", "-f", "*=0"]),
        (r'-a PRESHARE:"my key"', ["-a", "PRESHARE:my key"]),
        (r'-p "" x', ["-p", "", "x"]),
        (r'-p "say \"hi\""', ["-p", 'say "hi"']),
        (r'\\gate -file C:\x "C:\a b\\"', ["\\\\gate", "-file", "C:\\x", "C:\\a b\\"]),
        ('-p "not closed', ["-p", "not closed"]),
    ],
)
def test_lines_are_cut_as_windows_programs_cut_them(line: str, words: list[str]) -> None:
    """Blanks separate outside of quotes; a backslash matters only before a quote mark."""
    assert words == split_line(line)


@pytest.mark.parametrize("dash", "-\N{EN DASH}\N{EM DASH}\N{MINUS SIGN}")
def test_typographic_dashes_are_dashes(dash: str) -> None:
    """A switch pasted from a web page works: the Knowledge Base article itself has such ones."""
    assert static(f"{dash}w REG {dash}p P {dash}x").assign


def test_switches_and_keywords_have_any_case() -> None:
    """-W reg is -w REG; block is BLOCK, but where a policy is written only BLOCK is."""
    request = static("-W reg -P pol -R r -F *=0:80:TCP -N BLOCK -X")
    assert request.store == Store.LOCAL
    assert request.rule is not None
    assert request.rule.negotiation.behaviour == Behaviour.BLOCK
    assert dynamic("-f *=0 -n block").rule.negotiation.behaviour == Behaviour.BLOCK


@pytest.mark.parametrize(
    ("line", "store"),
    [
        ("REG", Store.LOCAL),
        ("REG:gate", Store.LOCAL),
        ("DS", Store.DOMAIN),
        ("DS:example.com", Store.DOMAIN),
        ("PERS", Store.PERSISTENT),
    ],
)
def test_w_chooses_the_store(line: str, store: Store) -> None:
    """-w TYPE[:LOCATION]; of registries only the local one."""
    assert store == static(f"-w {line} -p P -x").store


@pytest.mark.parametrize("computer", ["gate", "GATE.example", "localhost", "."])
def test_this_computer_may_be_named(computer: str) -> None:
    r"""\\computer is accepted for the local one, under any of its names."""
    assert Clear() == parse([f"\\\\{computer}", "-u"], host="gate.example")


@pytest.mark.parametrize("line", [r"\\other -u", "-w REG:other -p P -x"])
def test_another_computer_is_refused(line: str) -> None:
    """Only the local computer is administered."""
    with pytest.raises(OtherComputerError, match='"other" is another computer'):
        asked(line)


@pytest.mark.parametrize(
    ("given", "name", "polling"),
    [
        ("P", "P", None),
        ("P:30", "P", 1800),
        ("P:0", "P", 10_800),
        ('"P: the second"', "P: the second", None),
        ('"a:b:5"', "a:b", 300),
    ],
)
def test_a_policy_may_come_with_minutes(given: str, name: str, polling: int | None) -> None:
    """-p NAME[:POLL] is minutes on the command line and seconds in the store (X7)."""
    request = static(f"-w REG -p {given} -x")
    assert (name, polling) == (request.policy, request.polling)


@pytest.mark.parametrize(
    ("items", "negotiation"),
    [
        ("", Negotiation()),
        ("-n BLOCK", Negotiation(Behaviour.BLOCK)),
        ("-n PASS", Negotiation(Behaviour.PERMIT)),
        ("-n INPASS", Negotiation(inpass=True)),
        ("-soft", Negotiation(soft=True)),
        ("-n ESP[3DES,SHA]", Negotiation(methods="ESP[3DES,SHA1]")),
        (
            "-n ah[md5]+esp[des,none]3600S/50000KP esp[none,md5] INPASS",
            Negotiation(
                inpass=True, pfs=True, methods="AH[MD5]+ESP[DES,NONE]:50000k/3600s ESP[NONE,MD5]"
            ),
        ),
        ("-n AH[SHA]600S", Negotiation(methods="AH[SHA1]:100000k/600s")),
    ],
)
def test_n_says_what_to_do(items: str, negotiation: Negotiation) -> None:
    """Without -n negotiation with standard methods; methods are kept in the words of netsh."""
    assert negotiation == dynamic(f"-f *=0 {items}").rule.negotiation


def test_a_says_how_peers_prove_themselves() -> None:
    """-a takes several methods, in the order of preference."""
    line = '-f *=0 -a PRESHARE:"my key" kerberos CERT:"CN=Root CA"'
    assert (
        Authentication("psk", "my key"),
        Authentication("kerberos"),
        Authentication("rootca", "CN=Root CA"),
    ) == dynamic(line).rule.authentication


def test_main_mode_settings() -> None:
    """-1s, -1k, -1p and -1e are read; seconds become whole minutes."""
    line = "-f *=0 -1s 3DES-SHA-2 des-md5-1 -1k 10Q/3601S -1p -1f 0=198.51.100.7 -1e 60"
    assert MainMode("3DES-SHA1-2 DES-MD5-1", 10, 61, True, 60) == dynamic(line).main_mode
    assert MainMode(lifetime=60) == dynamic("-f *=0 -1k 3600S").main_mode
    both = MainMode(quick_modes=10, lifetime=60)
    assert both == dynamic("-f *=0 -1k 10Q 3600S").main_mode
    assert both == dynamic("-f *=0 -1k 3600s 10q -soft").main_mode


def test_connections_and_tunnels() -> None:
    """-lan and -dialup restrict a rule, -t is kept."""
    assert dynamic("-f *=0 -lan").rule.connection == Connection.LAN
    assert dynamic("-f *=0 -dialup").rule.connection == Connection.DIALUP
    rule = dynamic("-f *=0 -t 198.51.100.7").rule
    assert (rule.connection, rule.tunnel) == (Connection.ALL, "198.51.100.7")


def test_filters_may_be_many() -> None:
    """Several specs behind one -f, and -f again."""
    rule = dynamic("-f *=0:80:TCP [0+*] -n BLOCK -f (0=*)").rule
    assert [spec.text for spec in rule.filters] == ["*=0:80:TCP", "[0+*]", "(0=*)"]


def test_o_deletes_whatever_else_is_said() -> None:
    """Rules and parts of one beside -o name nothing that stays (KB 813878)."""
    request = static("-w REG -p P -r R1 -r R2 -n BLOCK -y -o")
    assert request.delete
    assert request.rule is None


@pytest.mark.parametrize(
    ("line", "request_"),
    [
        ("-?", Help()),
        ("/?", Help()),
        ("-w REG -?", Help()),
        ("-u", Clear()),
        ("-FILE commands.txt", Batch("commands.txt")),
        ("show filters Auth", Show(("filters", "auth"))),
        ("show all", Show(("filters", "policies", "auth", "stats", "sas"))),
    ],
)
def test_requests_that_are_no_rule(line: str, request_: Request) -> None:
    """Help, query mode, batch mode and -u."""
    assert request_ == asked(line)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("", "-? lists them"),
        ("-n BLOCK", "expected -f"),
        ("-f", "at least one value"),
        ("-f -n BLOCK", "at least one value"),
        ("*=0:80:TCP", "expected a switch before it"),
        ("-f *=0 -sofd", 'did you mean "-soft"?'),
        ("-w", "-w: expected a value"),
        ("-w -x -p P", "-w: expected a value"),
        ("-w DISK -p P -x", "expected REG, DS"),
        ("-w REG -x", "expected -p"),
        ('-w REG -p "" -x', "a name of 1 to 255"),
        (f"-w REG -p {'x' * 256} -x", "a name of 1 to 255"),
        ("-w REG -p P -p Q -x", "-p may be given once"),
        ("-w REG -p P", "something to do"),
        ("-w REG -p P -x -y", "not both"),
        ("-w REG -p P -f *=0:80:TCP", "expected one -r"),
        (f"{STATIC} -r another", "expected one -r"),
        (f"{STATIC} -o", "it does not go with -f"),
        (f"{STATIC} -confirm", "-confirm is for dynamic mode"),
        ("-w REG -p P -r R -n BLOCK -x", "-n: part of a rule"),
        ("-w REG -p P -r R -f [*=0]", "with -w write -n BLOCK"),
        ("-w REG -p P -r R -f (*=0)", "with -w write -n PASS"),
        ("-w REG -p P:99999999 -x", "at most 71582788 minutes"),
        ("-w REG -p P -f DEFAULT *=0", "a rule of its own"),
        ("-w REG -p P -f DEFAULT -n BLOCK", "it only negotiates"),
        ("-f DEFAULT", "use -w"),
        ("-f *=0 -x", "-x: only with -w"),
        ("-f *=0 -n BLOCK PASS", "goes with no other method"),
        ("-w REG -p P -r R -f *=0 -n block", "with -w expected BLOCK, in upper case"),
        ("-w REG -p P -r R -f *=0 -n Inpass", "with -w expected INPASS, in upper case"),
        ("-f *=0 -n BLOCK -soft", "not with -soft"),
        ("-f *=0 -n DENY", "BLOCK, PASS, INPASS"),
        ("-f *=0 -n ESP[3DES]", "BLOCK, PASS, INPASS"),
        ("-f *=0 -n AH[MD5]ESP[DES,MD5]", "BLOCK, PASS, INPASS"),
        ("-f *=0 -n ESP[DES,MD5]10S/20S", "BLOCK, PASS, INPASS"),
        ("-f *=0 -lan -dialup", "not both"),
        ("-f *+0 -t 198.51.100.7", "write = instead of +"),
        ("-f *=0 -a PASSWORD:x", "expected KERBEROS"),
        ("-f *=0 -1s 3DES", "as 3DES-SHA-2"),
        ("-f *=0 -1k 10", "as 10Q, 3600S"),
        ("-f *=0 -1k 10Q/5Q", "as 10Q, 3600S"),
        ("-f *=0 -1k 10Q 5Q", "as 10Q, 3600S"),
        ("-f *=0 -1k 10Q 60S 5Q", "as 10Q, 3600S"),
        ("-f *=0 -1e soon", "expected seconds"),
        ("-f *=0 -1f 0=*:80:TCP", "no ports"),
        ("-u -f *=0", "stands alone"),
        ("-file x -f *=0", "stands alone"),
        ("show", "one or more of filters"),
        ("show nothing", "expected filters"),
    ],
)
def test_what_makes_no_sense_is_refused(line: str, why: str) -> None:
    """Each refusal says which switch and what to do."""
    with pytest.raises((UsageError, RefusedError)) as caught:
        asked(line)
    assert why in str(caught.value)


@pytest.mark.parametrize("bad", ["a\nb", "a\x00", "\udcff"])
def test_control_characters_and_broken_text_are_refused(bad: str) -> None:
    """No name may hold what no file and no table can show."""
    with pytest.raises((UsageError, RefusedError), match="without control characters") as caught:
        parse(["-w", "REG", "-p", bad, "-x"])
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "line", ["show filters", "-file x", "-f *=0 -1e 5", "-w REG -p P -r R -f *=0 -1f 0=*"]
)
def test_what_ipsecpol_has_not(line: str) -> None:
    """Queries, files and two main mode settings came with ipseccmd."""
    with pytest.raises((UsageError, RefusedError), match="ipseccmd"):
        parse(split_line(line), "ipsecpol")


def test_a_key_is_never_repeated() -> None:
    """An error about -a does not show what may be a secret."""
    with pytest.raises((UsageError, RefusedError)) as caught:
        asked("-f *=0 -a PRESHARED:secret")
    assert "secret" not in str(caught.value)
