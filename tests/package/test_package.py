"""The package on a fresh Debian: it filters nothing by itself, and never opens what is closed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.package.debian import Debian, Shelf, missing
from tests.package.stream import Stream
from tests.unit.test_docs import ROOT, alike, offline, shown

pytestmark = [pytest.mark.live, pytest.mark.skipif(missing() is not None, reason=str(missing()))]

UNITS = [path.name for path in (ROOT / "systemd").glob("*.service")]
CONFIG = "/etc/ipsecfd/ipsecfd.toml"
AT_ONCE = "[Service]\nRestart=no\n"
"""The first start that fails is the last."""
MAN = ["env", "MANWIDTH=80", "MAN_KEEP_FORMATTING=", "man", "--warnings", "--pager=cat"]
ZSH = """
fpath=(/usr/share/zsh/vendor-completions $fpath); autoload -Uz _ipsecfd
_arguments() { print -r -- $@ }
words=(ipsecfd pol); CURRENT=2; _ipsecfd
"""
BASH = """
. /usr/share/bash-completion/completions/ipsecfd
COMP_WORDS=(ipsecfd pol); COMP_CWORD=1; _ipsecfd_completion ipsecfd; echo "${COMPREPLY[@]}"
"""


@pytest.fixture
def filtering(shelf: Shelf, filtering_layer: Path) -> Iterator[Debian]:
    """A Debian with the package and a policy that lets one port be reached, booted with it."""
    with closing(Debian(shelf.packages, filtering_layer, shelf.debian)) as debian:
        yield debian


@pytest.fixture(scope="module")
def installed(shelf: Shelf, filtering_layer: Path) -> Iterator[Debian]:
    """The same, for those who only look."""
    with closing(Debian(shelf.packages, filtering_layer, shelf.debian)) as debian:
        yield debian


def version(debian: Debian) -> str:
    """Of the agent that runs."""
    return str(json.loads(debian.run("ipsecfd", "status", "--json"))["release"])


def block(opening: str) -> str:
    """What the README has between these lines and the next fence."""
    found = re.search(
        rf"{opening}\n(.*?)^```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL
    )
    assert found
    return found[1]


def test_installing_changes_no_traffic(fresh: Debian, shelf: Shelf) -> None:
    """The service starts and drops nothing: all that was sent meanwhile came."""
    stream = Stream(fresh)
    fresh.install(shelf.deb)
    seen = stream.stop()
    assert fresh.state() == "active"
    for unit in UNITS:
        assert fresh.run("systemctl", "is-enabled", unit).strip() in ("enabled", "static")
    assert seen.sent > 100
    assert (seen.permitted, seen.forbidden) == (seen.sent, seen.sent)


def test_what_is_installed_works(installed: Debian) -> None:
    """The README's commands answer as it shows, systemd, logrotate and dpkg find no mistake."""
    installed.write("/root/web.toml", block("^```toml$"))
    commands = [
        one
        for one in shown("README.md")
        if offline(one.words) and "web.toml" in one.line and "edited.toml" not in one.line
    ]
    for one in commands:
        words = [word.replace("web.toml", "/root/web.toml") for word in one.words]
        answer = installed.run("ipsecfd", *words).replace("/root/", "")
        assert one.output is None or alike(one.output, answer), answer
    assert len(commands) >= 2
    assert "Usage: ipsecfd" in installed.run("ipsecfd", "--help")
    assert installed.run("systemd-analyze", "verify", *UNITS) == ""
    assert "error" not in installed.run("logrotate", "--debug", "/etc/logrotate.d/ipsecfd")
    assert installed.run("dpkg", "--verify", "ipsecfd") == ""
    assert installed.run("grep", "-rlF", f"{ROOT}/ipsecfd", "/usr/lib/ipsecfd", ok=False) == ""


def test_first_policy_as_the_readme_has_it(fresh: Debian, shelf: Shelf) -> None:
    """From "Install and run": the package filters nothing, `apply` closes at once, and what is
    confirmed is in force after the next start."""
    build, install, *rest = block("^## Install and run\n\n```$").splitlines()
    assert build.startswith("sudo make deb ")
    assert install.startswith("sudo apt-get install ./build/ipsecfd_*.deb ")
    fresh.install(shelf.deb)
    fresh.write("web.toml", block("^```toml$"))
    copy, apply, confirm = (["sh", "-c", line.removeprefix("sudo ")] for line in rest)
    fresh.run(*copy)
    assert fresh.reaches_peer()
    fresh.run(*apply)
    assert not fresh.reaches_peer()
    fresh.run(*confirm)
    assert not fresh.succeeds(*confirm), "nothing is on trial any more"
    fresh.run("systemctl", "restart", "ipsecfd")
    assert not fresh.reaches_peer()
    assert "Web server" in fresh.run("ipsecfd", "policy", "list")


def test_documentation_is_installed(installed: Debian) -> None:
    """Every file that the manual page names, and each that a page links to, is there."""
    place = "/usr/share/doc/ipsecfd"
    manual = installed.run(*MAN, "8", "ipsecfd")
    for name in ("README.md", "docs/operations.md", "docs/windows.md", "policies/"):
        assert re.search(rf"^ +{re.escape(name)}\s", manual, re.MULTILINE), name
    for page in ("README.md", "docs/operations.md", "docs/windows.md", "CHANGELOG.md"):
        text = installed.run("cat", f"{place}/{page}")
        assert text.startswith("# ")
        for link in re.findall(r"\]\((?!https:|#)([^)#]*)", text):
            found = installed.succeeds("test", "-e", f"{place}/{Path(page).parent}/{link}")
            assert found, f"{page}: {link}"


@pytest.mark.parametrize("page", ["ipsecfd.8", "ipsecfd.toml.5", "ipsecfd-policy.5"])
def test_manual_pages_can_be_read(installed: Debian, page: str) -> None:
    """The program man finds each, formats it without a warning, and knows what it is about."""
    name, _, section = page.rpartition(".")
    text = installed.run(*MAN, section, name)
    assert text.startswith(f"{name.upper()}({section})")
    assert not re.search(r"^\S*(troff|grotty|man|<standard input>):", text, re.MULTILINE)
    assert max(map(len, text.splitlines())) <= 80
    assert "ipsecfd" in installed.run("whatis", name)


def test_shells_complete(installed: Debian) -> None:
    """The word `pol` becomes `policy` in bash, zsh and fish, the first time it is asked for."""
    assert installed.run("bash", "-c", BASH).split() == ["policy"]
    assert '"policy":' in installed.run("zsh", "-fc", ZSH)
    assert installed.run("fish", "-c", "complete -C 'ipsecfd pol'").split()[0] == "policy"


def test_upgrade_keeps_the_policy_in_force(filtering: Debian, shelf: Shelf) -> None:
    """Nothing forbidden comes while agents change places, nothing of a learnt flow is lost, and the
    new one judges on."""
    before = version(filtering)
    filtering.write(CONFIG, "[diagnostics]\nlevel = 6\n")
    stream = Stream(filtering)
    stream.wait_until_learnt()
    filtering.dpkg("install", shelf.upgrade)
    during = stream.stop()
    after = Stream(filtering)
    assert (before, version(filtering)) == (shelf.deb.split("_")[1], shelf.next_version)
    assert filtering.run("cat", CONFIG) == "[diagnostics]\nlevel = 6\n"
    seen = after.stop()
    assert during.sent > 100
    assert (during.permitted, during.forbidden) == (during.sent, 0)
    assert (seen.permitted, seen.forbidden) == (seen.sent, 0)


def test_upgrade_starts_nothing_that_was_stopped(filtering: Debian, shelf: Shelf) -> None:
    """Who has stopped the filter does not find it filtering after an upgrade."""
    filtering.run("systemctl", "stop", "ipsecfd")
    filtering.dpkg("install", shelf.upgrade)
    assert filtering.state() == "inactive"
    assert not filtering.has_rules()


def test_upgrade_mends_what_failed(filtering: Debian, shelf: Shelf) -> None:
    """A service that could not start, and left the host closed, is tried with the new version."""
    program = "/usr/lib/ipsecfd/bin/python3"
    filtering.override(AT_ONCE)
    filtering.run("ln", "-sfn", "/bin/false", program)
    filtering.run("systemctl", "restart", "ipsecfd", ok=False)
    filtering.wait_until("failed")
    filtering.dpkg("install", shelf.upgrade)
    filtering.wait_until("active")
    assert version(filtering) == shelf.next_version


WRONG = "profile = 'windows 95'\n"
MISTAKE = f'ipsecfd: {CONFIG}: profile: "windows 95": expected one of'


def test_upgrade_over_a_wrong_configuration_restarts_nothing(
    filtering: Debian, shelf: Shelf
) -> None:
    """The old agent filters on and the mistake is told; mended, the package is configured, and the
    new one takes over."""
    before = version(filtering)
    stream = Stream(filtering)
    stream.wait_until_learnt()
    filtering.write(CONFIG, WRONG)
    told = filtering.dpkg("install", shelf.upgrade, ok=False)
    assert MISTAKE in told
    assert "NOT RESTARTED" in told
    assert (filtering.state(), version(filtering)) == ("active", before)
    filtering.write(CONFIG, "")
    filtering.dpkg("configure", "ipsecfd")
    assert (filtering.state(), version(filtering)) == ("active", shelf.next_version)
    seen = stream.stop()
    assert seen.sent > 100
    assert (seen.permitted, seen.forbidden) == (seen.sent, 0)


def test_installing_over_a_wrong_configuration_starts_nothing(
    filtering: Debian, shelf: Shelf
) -> None:
    """A policy was once in force, so a start that fails would close what removing has opened."""
    filtering.dpkg("remove", "ipsecfd")
    filtering.write(CONFIG, WRONG)
    told = filtering.dpkg("install", shelf.deb, ok=False)
    assert MISTAKE in told
    assert "NOT STARTED" in told
    assert filtering.state() == "inactive"
    assert filtering.reaches_peer()
    filtering.write(CONFIG, "")
    filtering.dpkg("configure", "ipsecfd")
    assert filtering.state() == "active"
    assert not filtering.reaches_peer()


@pytest.mark.parametrize("failed", [False, True])
def test_removing_opens_the_host(filtering: Debian, shelf: Shelf, *, failed: bool) -> None:
    """No rule stays behind, and what was decided here is in force again when it comes back."""
    if failed:
        filtering.override(f"{AT_ONCE}ExecStartPre=false\n")
        filtering.run("systemctl", "restart", "ipsecfd", ok=False)
        filtering.wait_until("failed")
        filtering.run("rm", "-r", "/etc/systemd/system/ipsecfd.service.d")
    assert not filtering.reaches_peer()
    filtering.dpkg("remove", "ipsecfd")
    assert not filtering.has_rules()
    assert filtering.reaches_peer()
    assert filtering.run("systemctl", "list-units", "--no-legend", "ipsecfd*") == ""
    assert CONFIG in filtering.left()
    filtering.dpkg("install", shelf.deb)
    assert filtering.state() == "active"
    assert not filtering.reaches_peer()


def test_purging_leaves_nothing(filtering: Debian) -> None:
    """Configuration, policies, state, logs, links and the group are gone with it."""
    assert len(filtering.left()) > 10
    filtering.dpkg("purge", "ipsecfd")
    assert filtering.left() == []
    assert filtering.run("getent", "group", "ipsecfd", ok=False) == ""
    assert not filtering.has_rules()
