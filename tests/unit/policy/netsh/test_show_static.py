"""`netsh ipsec static show`: layouts that programs read, and what is asked for (spec 8.2, 8.5)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from ipsecfd.policy.model import Store
from ipsecfd.policy.netsh.session import Session
from ipsecfd.policy.workspace import GivenPolicy
from tests.builders import policy

from . import session

MADE = (
    'add policy name="Restrict to WSUS" assign=yes',
    "add filterlist name=HTTP",
    "add filter filterlist=HTTP srcaddr=me dstaddr=any protocol=TCP dstport=80",
    "add filter filterlist=HTTP srcaddr=10.0.11.0 srcmask=24 dstaddr=me protocol=TCP mirrored=no",
    "add filterlist name=Everything description=all",
    "add filter filterlist=Everything srcaddr=any dstaddr=me",
    "add filteraction name=PERMIT action=permit",
    "add filteraction name=BLOCK action=block",
    'add rule name=Web policy="Restrict to WSUS" filterlist=HTTP filteraction=PERMIT activate=no',
    (
        'add rule name=Rest policy="Restrict to WSUS" filterlist=Everything filteraction=BLOCK'
        ' tunnel=192.0.2.9 psk="a key" kerberos=yes'
    ),
    "add policy name=Idle description=nothing",
    "add filterlist name=Unused",
    "add filteraction name=Ask inpass=yes",
)


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def made() -> Session:
    one = session(*MADE)
    one.state.workspace.host = "SERVER"
    return one


def shown(line: str, one: Session | None = None) -> str:
    """What a program reads: the text and the newline behind it."""
    reply = (one or made()).execute(line)
    assert not reply.failed, reply.text
    return reply.text + "\n"


def test_a_policy_is_shown_as_windows_shows_it() -> None:
    """Labels, their order, the columns of the values and empty lines are those of spec 8.5."""
    one = made()
    draft = one.state.draft
    policy = draft.policy("Restrict to WSUS")
    rules = (replace(policy.rules[0], guid="{R}"), *policy.rules[1:])
    draft.set_policy(policy.name, replace(policy, guid="{P}", rules=rules))
    draft.set_filter_list("HTTP", replace(draft.filter_list("HTTP"), guid="{L}"))
    text = shown("show all format=list", one)
    assert text.startswith("""
Policy Name            : Restrict to WSUS
Description            : NONE
Last Modified          : 11/22/2005 10:00:00 AM
Assigned               : YES
Master PFS             : NO
Polling Interval       : 180 minutes
GUID                   : {P}
Quick Mode Limit       : 0
Main Mode Lifetime     : 480 minutes
Main Mode Methods      : NONE

No. of Rules           : 2

Rule Details
------------
Rule ID                : 1, GUID = {R}
Rule Name              : Web
Description            : NONE
Last Modified          : 11/22/2005 10:00:00 AM
Activated              : NO
Connection Type        : ALL
Authentication Methods(1)
    KERBEROS

FilterList Name        : HTTP
Description            : NONE
Store                  : Local Store <SERVER>
Last Modified          : 11/22/2005 10:00:00 AM
GUID                   : {L}
No. of Filters         : 2
Filter(s)
---------
Description            : NONE
Mirrored               : YES
Source IP Address      : <My IP Address>
Source Mask            : 255.255.255.255
Source DNS Name        : <My IP Address>
Destination IP Address : <Any IP Address>
Destination DNS Name   : <Any IP Address>
Destination Mask       : 0.0.0.0
Protocol               : TCP
Source Port            : ANY
Destination Port       : 80

Description            : NONE
Mirrored               : NO
Source IP Address      : 10.0.11.0
Source Mask            : 255.255.255.0
""")
    assert (
        """

FilterAction Name      : PERMIT
Description            : NONE
Action                 : PERMIT
"""
        in text
    )
    assert (
        """
Tunnel Endpoint        : 192.0.2.9
Authentication Methods(2)
    PRESHARED KEY      : a key
    KERBEROS
"""
        in text
    )
    assert text.endswith("""
No. of Policies        : 2
No. of FilterLists     : 3
No. of FilterActions   : 3

""")


def test_the_second_line_of_all_is_the_policy_name() -> None:
    """A program takes the name from the second line, behind the first colon."""
    assert shown("show all").split("\n")[1].split(":")[1].strip() == "Restrict to WSUS"


def test_filters_can_be_cut_at_empty_lines() -> None:
    """A program reads the filters of a list as blocks behind the dashes, each ended by an empty
    line, each line a label and a value."""
    text = shown("show filterlist name=HTTP level=verbose")
    blocks = text[text.index("---------\n") + 10 :].split("\n\n")[:-1]
    filters = [
        {
            label.strip(): value.strip()
            for label, value in (line.split(":", 1) for line in block.strip().split("\n"))
        }
        for block in blocks
    ]
    assert [one["Destination Port"] for one in filters] == ["80", "ANY"]
    assert [one["Source IP Address"] for one in filters] == ["<My IP Address>", "10.0.11.0"]


def test_an_empty_list_has_no_filter_behind_the_dashes() -> None:
    """Such a program finds none, and does not fail."""
    text = shown("show filterlist name=Unused level=verbose")
    assert text[text.index("---------\n") + 10 :].split("\n\n")[:-1] == []


def test_policies_can_be_cut_at_empty_lines() -> None:
    """A program reads `show policy all` as blocks; the last two parts are no policy."""
    blocks = shown("show policy all").split("\n\n")[:-2]
    names = [block.strip().split("\n")[0].split(":", 1)[1].strip() for block in blocks]
    assert names == ["Restrict to WSUS", "Idle"]


def test_one_line_of_a_policy_says_policy() -> None:
    """Scripts look for `PolicyName:NAME` in what is left of the line with `Policy`."""
    lines = [line for line in shown("show policy name=Idle").split("\n") if "Policy" in line]
    assert [line.replace(" ", "") for line in lines] == ["PolicyName:Idle"]


@pytest.mark.parametrize(
    ("line", "label", "values"),
    [
        ("show filterlist all", "FilterList Name", ["HTTP", "Everything", "Unused"]),
        ("show filterlist name=http", "FilterList Name", ["HTTP"]),
        ("show filterlist rule=Web", "FilterList Name", ["HTTP"]),
        ("show filteraction", "FilterAction Name", ["PERMIT", "BLOCK", "Ask"]),
        ("show filteraction rule=rest", "FilterAction Name", ["BLOCK"]),
        ("show rule all", "Rule Name", ["Web", "Rest"]),
        ('show rule policy="restrict to wsus"', "Rule Name", ["Web", "Rest"]),
        ("show rule policy=Idle", "Rule Name", []),
        ("show rule type=tunnel", "Rule Name", ["Rest"]),
        ("show rule type=transport", "Rule Name", ["Web"]),
        ("show rule name=WEB", "FilterList Name", ["HTTP"]),
        ('show rule id=2 policy="Restrict to WSUS"', "Rule Name", ["Rest"]),
        ("show rule default", "Policy Name", ["Restrict to WSUS", "Idle"]),
        ("show rule default policy=idle", "Policy Name", ["Idle"]),
        ("show store", "Current Store", ["Local Store <SERVER>"]),
        ("show gpoassignedpolicy", "Domain Policy Name", ["NONE"]),
    ],
)
def test_what_is_asked_for_is_shown(line: str, label: str, values: list[str]) -> None:
    """By name in any case, by rule, by number, by type, or all."""
    lines = [one.partition(":") for one in shown(line).split("\n")]
    assert [value.strip() for name, _, value in lines if name.strip() == label] == values


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("show policy name=No", "ERR IPsec [05011] : There is no policy"),
        ("show filterlist name=No", "ERR IPsec [05011] : There is no filter list"),
        ("show filteraction name=No", "ERR IPsec [05011] : There is no filter action"),
        ("show filterlist rule=No", "ERR IPsec [05011] : There is no rule"),
        ("show rule name=No", "ERR IPsec [05011] : There is no rule"),
        ("show rule policy=No", "ERR IPsec [05011] : There is no policy"),
        ("show rule name=Web policy=Idle", "ERR IPsec [05011] : There is no rule"),
        ("show rule id=1", "ERR IPsec [05003] : "),
        ("show rule id=1 policy=Idle", "ERR IPsec [05011] : The policy 'Idle' has no rule 1"),
    ],
)
@pytest.mark.parametrize("form", ["list", "table"])
def test_what_is_not_there_is_an_error(line: str, error: str, form: str) -> None:
    """Programs test for ERR (spec 8.1)."""
    reply = made().execute(f"{line} format={form}")
    assert reply.failed
    assert reply.text.startswith(error)


@pytest.mark.parametrize("line", ["show all", "show policy all", "show rule all"])
def test_an_empty_store_is_no_error(line: str) -> None:
    """There is nothing to show, which is said as a number."""
    assert ": 0\n" in shown(line, session())


def test_the_domain_policy_is_that_of_the_domain_store() -> None:
    """`show gpoassignedpolicy` names both, whichever store is selected (spec 1.5)."""
    one = made()
    one.state.workspace.stores[Store.DOMAIN].add_policy(one.state.draft.policy("Idle"))
    one.state.workspace.stores[Store.DOMAIN].assign("Idle")
    text = shown("show gpoassignedpolicy", one)
    assert "Local Policy Name      : Restrict to WSUS" in text
    assert "Domain Policy Name     : Idle" in text


def test_the_local_policy_may_be_that_of_a_file() -> None:
    """`show gpoassignedpolicy` names what is in force, and the file it came from."""
    one = made()
    given = GivenPolicy("Web only", "/etc/ipsecfd/web.toml", policy)
    one.state.workspace.given = (given,)
    text = shown("show gpoassignedpolicy", one)
    assert "Local Policy Name      : Web only (/etc/ipsecfd/web.toml)" in text
    assert "Assigned               : YES" in shown("show policy all", one)


def test_normal_level_leaves_out_what_verbose_shows() -> None:
    """Filters, and a rule's list and action in full, are for level=verbose."""
    assert "Source IP Address" not in shown("show filterlist all")
    assert "Source IP Address" not in shown("show rule all")
    assert "Inbound Passthrough    : YES" in shown("show filteraction name=Ask level=verbose")
    assert "Rule Details" not in shown("show policy all")


def test_names_of_addresses_are_shown_on_request() -> None:
    """`resolvedns=yes` asks for the names of hosts; without it nothing is asked."""
    one = made()
    one.execute("add filter filterlist=Unused srcaddr=192.0.2.7 dstaddr=me")
    one.state.workspace.name_of = lambda address: f"host-{str(address).rpartition('.')[2]}\n"
    line = "show filterlist name=Unused level=verbose"
    assert "Source DNS Name        : <A specific IP Address>" in shown(line, one)
    assert 'Source DNS Name        : "host-7\\n"' in shown(f"{line} resolvedns=yes", one)


def test_tables_fit_80_columns_unless_wide() -> None:
    """Names are cut to fit, other columns never; wide=yes cuts nothing."""
    one = made()
    long = "A list with a name that is much longer than a column of the screen is wide"
    one.execute(f'add filterlist name="{long}" description="{long}"')
    narrow, wide = (shown(f"show filterlist all format=table wide={w}", one) for w in "ny")
    assert max(map(len, narrow.split("\n"))) == 80
    assert "..." in narrow
    assert "11/22/2005 10:00:00 AM" in narrow
    assert wide.count(long) == 2


def test_all_as_a_table() -> None:
    """Policies with their rules, lists with their filters, then actions."""
    text = shown("show all format=table")
    assert "\n1   Web        HTTP        PERMIT        NO      ALL   NONE       Kerberos\n" in text
    assert (
        """
Filters of HTTP

Source        SrcPort  Destination  DstPort  Proto  Mirrored  Description
------------  -------  -----------  -------  -----  --------  -----------
me            ANY      any          80       TCP    YES       NONE
10.0.11.0/24  ANY      me           ANY      TCP    NO        NONE
"""
        in text
    )
    assert "a key" not in text
