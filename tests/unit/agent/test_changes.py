"""Changes of stores, dynamic rules and properties while the agent runs."""

from __future__ import annotations

import ipaddress
from dataclasses import replace
from pathlib import Path

import pytest

from ipsecfd.agent import dynamictext, state
from ipsecfd.agent.agent import Agent
from ipsecfd.agent.answers import Answers
from ipsecfd.agent.assigning import Choice
from ipsecfd.agent.changes import Changes
from ipsecfd.agent.start import start
from ipsecfd.errors import IpsecfdError
from ipsecfd.policy.model import AnyAddress, DnsName, Filter, Store
from ipsecfd.policy.names import Renewal
from ipsecfd.policy.stores.dynamic import DynamicContent
from tests.unit.agent.stage import Stage, content, dynamic
from tests.unit.agent.test_status import page

WEB = "permit any <-> me:80 tcp"
SSH = dynamic("any -> me:22 tcp")


def in_force(agent: Agent) -> list[str]:
    """The names of the policies in force."""
    return [source.policy.name for source in agent.policies.sources]


async def set_dynamic(agent: Agent, rules: DynamicContent) -> None:
    """Put these rules in place of the latest."""
    await Changes(agent).set_dynamic(agent.dynamic_revision, dynamictext.render(rules))


async def test_a_mode_set_by_hand_is_not_forgotten(stage: Stage) -> None:
    """Whoever puts policies in force is told that they decide nothing yet."""
    agent = stage.agent()
    await start(agent)
    changes = Changes(agent)
    path = stage.policy_file("web", WEB)
    assert await changes.assign_file(path) == []
    await changes.set_mode("permit")
    note = "permit mode, set by hand, goes on: `ipsecfd mode secure` has the policies decide"
    assert await changes.assign_file(path, 60) == [note]
    await changes.trials.confirm()
    assert await changes.reload() == [note]
    assert await changes.unassign() == [note]
    stage.stores.replace(Store.LOCAL, content("mine"))
    assert await changes.take_stores() == [note]
    await changes.set_mode("secure")
    assert await changes.assign_file(path) == []
    await agent.stop()


@pytest.mark.parametrize("mode", ["permit", "block"])
async def test_a_mode_set_by_hand_outlives_trouble(stage: Stage, mode: str) -> None:
    """What was assigned can be applied again: that ends the block mode it had led to, no other."""
    path = stage.policy_file("web", WEB)
    state.save(stage.state_dir, path)
    del stage.files[path]
    agent = stage.agent()
    await start(agent)
    changes = Changes(agent)
    await changes.set_mode(mode)
    with pytest.raises(IpsecfdError):
        await changes.reload()
    assert (str(agent.mode), agent.trouble) == (
        mode,
        "/etc/ipsecfd/web: cannot be read: No such file",
    )
    stage.policy_file("web", WEB)
    assert str((await changes.settings_with(Choice(path))).mode) == mode
    note = f"{mode} mode, set by hand, goes on: `ipsecfd mode secure` has the policies decide"
    assert await changes.reload() == [note]
    assert (str(agent.mode), agent.trouble, in_force(agent)) == (mode, None, ["web"])
    await changes.set_mode("secure")
    assert (str(agent.mode), agent.mode_reason) == ("secure", None)
    await agent.stop()


# --- reloads ---


async def test_refused_reload_is_remembered(stage: Stage) -> None:
    """Until the file is mended or another policy is in force, as a start would find it so."""
    agent = stage.agent()
    await start(agent)
    changes = Changes(agent)
    path = stage.policy_file("web", WEB)
    for mend in (changes.reload(), changes.assign_file(stage.policy_file("other", WEB))):
        await changes.assign_file(path)
        assert agent.warnings == {}
        stage.files[path] = IpsecfdError("web: rule[1]: mistake\nweb: another\nweb: and another")
        with pytest.raises(IpsecfdError):
            await changes.reload()
        assert agent.warnings["reload"] == (
            "the last reload was refused, and a start would end in block mode:"
            " web: rule[1]: mistake (and 2 more: `ipsecfd reload`)"
        )
        stage.policy_file("web", WEB)
        await mend
        assert agent.warnings == {}
    await agent.stop()


async def test_refused_configuration_is_remembered(stage: Stage) -> None:
    """The next start would fail, also if nobody reloads before."""
    agent = stage.agent()
    await start(agent)
    for text, more in (
        ("levle = 1", ""),
        ("levle = 1\nmoed = 2", " (and 1 more: `ipsecfd run --check`)"),
    ):
        stage.config_text = text
        with pytest.raises(IpsecfdError):
            await Changes(agent).reload()
        (warning,) = agent.pending
        assert warning.startswith("the next start will fail: ")
        assert '"levle": unknown key' in warning
        assert ("run --check" in warning, warning.endswith(more)) == (more != "", True)
    stage.config_text = ""
    await Changes(agent).reload()
    assert agent.pending == []
    await agent.stop()


async def test_reload_finds_damaged_memory(stage: Stage) -> None:
    """What a start would not understand refuses a reload; the last good policy stays."""
    stage.config_text = "dynamic_persist = true"
    agent = stage.agent()
    await start(agent)
    changes = Changes(agent)
    path = stage.policy_file("web", WEB)
    await changes.assign_file(path)
    for name in (state.FILE_NAME, dynamictext.FILE_NAME):
        file = stage.state_dir / name
        good = file.read_text() if file.exists() else dynamictext.render(agent.places.dynamic)
        file.write_text("{broken")
        with pytest.raises(IpsecfdError, match=f"{name}: .*damaged"):
            await changes.reload()
        assert (str(agent.mode), in_force(agent)) == ("secure", ["web"])
        assert agent.warnings["reload"].startswith(
            f"the last reload was refused, and a start would end in block mode: {file}: "
        )
        file.write_text(good)
        assert await changes.reload() == []
        assert (in_force(agent), agent.warnings) == (["web"], {})
    await agent.stop()


async def test_reload_takes_restored_memory(stage: Stage) -> None:
    """It puts in force what a start would: so a backup that was put back counts at once."""
    agent = stage.agent()
    await start(agent)
    changes = Changes(agent)
    path = stage.policy_file("other", WEB)
    await changes.assign_file(stage.policy_file("web", WEB))
    state.save(stage.state_dir, path)
    await changes.reload()
    assert (in_force(agent), agent.places.assigned) == (["other"], path)
    await agent.stop()


async def test_given_policies_need_no_memory(stage: Stage) -> None:
    """With `--policy`, a damaged memory refuses neither start nor reload."""
    state.save(stage.state_dir, None)
    (stage.state_dir / state.FILE_NAME).write_text("{")
    agent = stage.agent(stage.policy_file("web", WEB))
    await start(agent)
    await Changes(agent).reload()
    assert in_force(agent) == ["web"]
    await agent.stop()


async def test_trouble_is_the_latest(stage: Stage) -> None:
    """A file that was missing and is wrong by now is told as wrong."""
    path = stage.policy_file("web", WEB)
    state.save(stage.state_dir, path)
    del stage.files[path]
    agent = stage.agent()
    await start(agent)
    assert "No such file" in str(agent.trouble)
    stage.files[path] = IpsecfdError("web: rule[1]: mistake")
    with pytest.raises(IpsecfdError):
        await Changes(agent).reload()
    assert agent.trouble == agent.mode_reason == "web: rule[1]: mistake"
    assert (str(agent.mode), agent.warnings) == ("block", {})
    await agent.stop()


# --- the stores ---


async def test_start_applies_every_store(stage: Stage) -> None:
    """Persistent and local policy are in force, one version, one event."""
    stage.stores.replace(Store.PERSISTENT, content("always"))
    stage.stores.replace(Store.LOCAL, content("mine"))
    agent = stage.agent()
    await start(agent)
    assert in_force(agent) == ["always", "mine"]
    assert stage.happened()[-3:] == ["event 5460", "88: secure v1", "event 4294"]
    assert state.load(stage.state_dir).ever_assigned
    await agent.stop()


@pytest.mark.parametrize("store", [Store.PERSISTENT, Store.LOCAL])
async def test_damaged_store_is_operational_block_until_mended(stage: Stage, store: Store) -> None:
    """Present and not to be applied: block; nothing but the mended store opens it (spec 6.5)."""
    stage.stores.replace(store, content("mine"))
    good = stage.stores.path(store).read_text()
    stage.stores.path(store).write_text("version = [")
    agent = stage.agent()
    await start(agent)
    assert str(agent.mode) == "block"
    for change in (Changes(agent).reload, Changes(agent).take_stores):
        with pytest.raises(IpsecfdError, match=store.name.lower()):
            await change()
    with pytest.raises(IpsecfdError, match=store.name.lower()):
        await set_dynamic(agent, SSH)
    assert str(agent.mode) == "block"
    stage.stores.path(store).write_text(good)
    await Changes(agent).take_stores()
    assert str(agent.mode) == "secure"
    assert in_force(agent) == ["mine"]
    await agent.stop()


async def test_vanished_store_is_operational_block(stage: Stage) -> None:
    """A store that never existed is no policy; one that was there and is gone is damage."""
    stage.stores.replace(Store.LOCAL, content("mine"))
    with stage.stores.edit(Store.LOCAL):
        pass
    stage.stores.path(Store.LOCAL).unlink()
    agent = stage.agent()
    await start(agent)
    assert str(agent.mode) == "block"
    await agent.stop()


async def test_damaged_store_does_not_undo_what_is_in_force(stage: Stage) -> None:
    """While the agent runs, a wrong store is refused and the old policies stay."""
    stage.stores.replace(Store.LOCAL, content("mine"))
    agent = stage.agent()
    await start(agent)
    stage.happened()
    stage.stores.path(Store.LOCAL).write_text("version = [")
    with pytest.raises(IpsecfdError, match="local"):
        await Changes(agent).take_stores()
    assert stage.happened() == ["event 5461"]
    assert (str(agent.mode), in_force(agent)) == ("secure", ["mine"])
    await agent.stop()


@pytest.mark.parametrize("by_file", [False, True])
async def test_whoever_meets_a_damaged_store_has_it_told(stage: Stage, by_file: bool) -> None:
    """The next start would meet it, too, whichever policy is in force: `status` warns until it is
    mended, and not of what was wrong with a refused policy alone."""
    agent = stage.agent()
    await start(agent)
    changes = Changes(agent)
    stage.stores.replace(Store.LOCAL, content("mine", assigned=not by_file))
    await changes.take_stores()
    if by_file:
        await changes.assign_file(stage.policy_file("web", WEB))
    before, file = in_force(agent), stage.stores.path(Store.LOCAL)
    good = file.read_text()
    with pytest.raises(IpsecfdError):
        await changes.assign_file(Path("/etc/ipsecfd/none.toml"))
    assert agent.warnings == {}
    answers = Answers(agent, changes, page(agent))
    for meet in (changes.take_stores, lambda: changes.unassign(None), answers.list_policies):
        file.write_text("version = [")
        with pytest.raises(IpsecfdError, match="local"):
            await meet()
        assert in_force(agent) == before
        told = "what is assigned can no longer be read, and a start would end in block mode: "
        assert agent.warnings["reload"].startswith(f"{told}{file}: ")
        file.write_text(good)
        await changes.take_stores()
        assert agent.warnings == {}
    await agent.stop()


async def test_changed_store_is_in_force_at_once(stage: Stage) -> None:
    """Version + 1 and an event; a change of what does not count compiles nothing."""
    stage.stores.replace(Store.LOCAL, content("mine"))
    agent = stage.agent()
    await start(agent)
    stage.happened()
    stage.stores.replace(Store.LOCAL, content("mine", "any -> me:80 tcp"))
    await Changes(agent).take_stores()
    assert stage.happened() == ["88: secure v2", "event 5460"]
    await Changes(agent).take_stores()
    assert stage.happened() == []
    stage.stores.replace(Store.LOCAL, content("mine", assigned=False))
    await Changes(agent).take_stores()
    assert stage.happened() == ["88: secure v3", "event 5460"]
    assert in_force(agent) == []
    await agent.stop()


async def test_policy_given_by_command_line_stands_in(stage: Stage) -> None:
    """`--policy` is enforced as if it were the local policy, and a change of the store says so."""
    path = stage.policy_file("web", WEB)
    agent = stage.agent(path)
    await start(agent)
    stage.stores.replace(Store.PERSISTENT, content("always"))
    stage.stores.replace(Store.LOCAL, content("mine"))
    [note] = await Changes(agent).take_stores()
    assert "--policy" in note
    assert in_force(agent) == ["always", "web"]
    assert await Changes(agent).take_stores() == []
    stage.stores.replace(Store.LOCAL, content("another"))
    assert await Changes(agent).take_stores() == [note]
    await agent.stop()


# --- assigning ---


async def test_policies_are_assigned_by_name(stage: Stage) -> None:
    """Assigning a policy of the local store un-assigns what was, a file too (spec 1.1)."""
    stage.stores.replace(Store.LOCAL, content("mine", assigned=False))
    agent = stage.agent()
    await start(agent)
    await Changes(agent).assign_file(stage.policy_file("web", WEB))
    assert in_force(agent) == ["web"]
    await Changes(agent).assign("MINE")
    assert in_force(agent) == ["mine"]
    assert state.load(stage.state_dir).assigned is None
    assert stage.stores.read(Store.LOCAL).assigned == "mine"
    await Changes(agent).unassign("mine")
    assert in_force(agent) == []
    assert stage.stores.read(Store.LOCAL).assigned is None
    with pytest.raises(IpsecfdError, match="other"):
        await Changes(agent).assign("other")
    await agent.stop()


async def test_assigned_file_unassigns_the_store(stage: Stage) -> None:
    """At most one policy is assigned, a file or one of the store."""
    stage.stores.replace(Store.LOCAL, content("mine"))
    agent = stage.agent()
    await start(agent)
    await Changes(agent).assign_file(stage.policy_file("web", WEB))
    assert in_force(agent) == ["web"]
    assert stage.stores.read(Store.LOCAL).assigned is None
    await agent.stop()


async def test_store_supersedes_an_assigned_file(stage: Stage) -> None:
    """A policy that a command assigns in the store un-assigns the file for good."""
    agent = stage.agent()
    await start(agent)
    await Changes(agent).assign_file(stage.policy_file("web", WEB))
    stage.stores.replace(Store.LOCAL, content("mine"))
    await Changes(agent).take_stores()
    assert in_force(agent) == ["mine"]
    stage.stores.replace(Store.LOCAL, content("mine", assigned=False))
    await Changes(agent).take_stores()
    assert in_force(agent) == []
    await agent.stop()


async def test_a_file_with_mistakes_refuses_no_other_change(stage: Stage) -> None:
    """What it held before stays in force beside the change; only a reload is refused (and said)."""
    agent = stage.agent()
    await start(agent)
    path = stage.policy_file("web", WEB)
    await Changes(agent).assign_file(path)
    del stage.files[path]
    stage.stores.replace(Store.PERSISTENT, content("always"))
    [note] = await Changes(agent).take_stores()
    assert note.startswith(f"{path}: cannot be read again, and what it held before stays in force")
    assert in_force(agent) == ["always", "web"]
    assert await Changes(agent).take_stores() == [note]
    assert note in agent.policies.warnings
    await set_dynamic(agent, SSH)
    assert in_force(agent) == ["always", "web", "Dynamic rules"]
    with pytest.raises(IpsecfdError, match="web"):
        await Changes(agent).reload()
    stage.policy_file("web", WEB)
    assert await Changes(agent).take_stores() == []
    assert agent.policies.warnings == []
    await agent.stop()


# --- dynamic rules ---


async def test_dynamic_rules_go_with_the_service(stage: Stage) -> None:
    """They add to the rest, and are gone after a stop (T6, X6)."""
    stage.stores.replace(Store.LOCAL, content("mine"))
    agent = stage.agent()
    await start(agent)
    stage.happened()
    await set_dynamic(agent, SSH)
    assert stage.happened() == ["88: secure v2", "event 5460"]
    assert in_force(agent) == ["mine", "Dynamic rules"]
    await Changes(agent).reload()
    assert in_force(agent) == ["mine", "Dynamic rules"]
    await agent.stop()
    again = stage.agent()
    await start(again)
    assert in_force(again) == ["mine"]
    await again.stop()


async def test_dynamic_rules_persist_by_choice(stage: Stage) -> None:
    """`dynamic_persist` brings them back; a start without it forgets them for good (X6)."""
    persisting, stage.config_text = "dynamic_persist = true\n", "dynamic_persist = true\n"
    agent = stage.agent()
    await start(agent)
    await set_dynamic(agent, SSH)
    await agent.stop()
    for text, expected in (
        (persisting, ["Dynamic rules"]),
        ("", []),
        (persisting, []),
    ):
        stage.config_text = text
        again = stage.agent()
        await start(again)
        assert in_force(again) == expected
        await again.stop()


async def test_dynamic_rules_that_cannot_be_kept(stage: Stage) -> None:
    """They are refused whole: neither in force nor another revision, and the log says why."""
    stage.config_text = "dynamic_persist = true\n"
    agent = stage.agent()
    await start(agent)
    revision = agent.dynamic_revision
    path = stage.state_dir / dynamictext.FILE_NAME
    path.mkdir(parents=True)  # so that no file can take its place
    with pytest.raises(IpsecfdError, match="cannot be written"):
        await set_dynamic(agent, SSH)
    assert in_force(agent) == []
    assert agent.dynamic_revision == revision
    assert "stay as they are" in stage.events[-1][1]
    path.rmdir()
    await set_dynamic(agent, SSH)
    stage.refuses_rules = True
    with pytest.raises(IpsecfdError):
        await set_dynamic(agent, DynamicContent())
    assert dynamictext.load(stage.state_dir) == SSH
    await agent.stop()


async def test_dynamic_rules_alone_are_no_assigned_policy(stage: Stage) -> None:
    """The next start-up mode depends on stored policies only (spec 6.1)."""
    agent = stage.agent()
    await start(agent)
    await set_dynamic(agent, SSH)
    assert not state.load(stage.state_dir).ever_assigned
    await agent.stop()


async def test_two_writers_of_dynamic_rules(stage: Stage) -> None:
    """Whoever hands back old rules is refused: no change is lost."""
    agent = stage.agent()
    await start(agent)
    revision = agent.dynamic_revision
    await set_dynamic(agent, SSH)
    with pytest.raises(IpsecfdError, match="somebody else"):
        await Changes(agent).set_dynamic(revision, dynamictext.render(DynamicContent()))
    assert agent.places.dynamic == SSH
    with pytest.raises(IpsecfdError, match="cannot be understood"):
        await Changes(agent).set_dynamic(agent.dynamic_revision, "{}")
    await agent.stop()


# --- properties and names ---


async def test_properties_wait_for_the_next_start(stage: Stage) -> None:
    """T16: the old value stays, and `status` warns until the restart; the command that set it has
    said so, and those behind it say nothing more."""
    agent = stage.agent()
    await start(agent)
    stage.config_text = "exempt = 0\n"
    assert await Changes(agent).take_stores() == []
    assert await Changes(agent).take_stores() == []
    assert agent.config.exempt_value == 3
    assert agent.pending == ["exempt changed from unset to 0: takes effect at the next start"]
    stage.config_text = "exempt = 9\n"
    await Changes(agent).take_stores()
    assert agent.pending[0].startswith("the next start will fail: ")
    stage.config_text = ""
    await Changes(agent).take_stores()
    assert agent.pending == []
    await agent.stop()


async def test_names_in_stores_are_resolved_anew(stage: Stage) -> None:
    """A store keeps the addresses a name had; `policy resolve` puts the new ones there."""
    old, new = ipaddress.ip_address("192.0.2.1"), ipaddress.ip_address("192.0.2.2")
    named = Filter(AnyAddress(), DnsName("www.example", (old,)))
    found = content("mine")
    lists = {"l": replace(found.filter_lists["l"], filters=(named,))}
    stage.stores.replace(Store.LOCAL, replace(found, filter_lists=lists))
    stage.renewals = (Renewal("www.example", (old,), (new,)),)
    agent = stage.agent()
    await start(agent)
    assert await Changes(agent).resolve() == stage.renewals
    [kept] = stage.stores.read(Store.LOCAL).filter_lists["l"].filters
    assert kept.destination == DnsName("www.example", (new,))
    assert agent.policies.version == 2
    await agent.stop()
