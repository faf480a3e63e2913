"""The stores of a host: whole after any failure, never half, and no change is lost."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from ipsecfd.policy.model import IPAddress, Store
from ipsecfd.policy.names import Names
from ipsecfd.policy.stores.content import Content, StoredList, StoredPolicy
from ipsecfd.policy.stores.errors import NotFoundError
from ipsecfd.policy.stores.file import StoreFileError, parse
from ipsecfd.policy.stores.host import Stores
from ipsecfd.policy.stores.policyfile import add_text


def no_dns(name: str) -> list[IPAddress]:
    raise OSError(-2, "Name or service not known")


@pytest.fixture
def stores(tmp_path: Path) -> Stores:
    return Stores(tmp_path / "state")


def lists(content: Content) -> list[str]:
    return list(content.filter_lists)


def add_list(stores: Stores, name: str, store: Store = Store.LOCAL) -> None:
    with stores.edit(store) as draft:
        draft.add_filter_list(StoredList(name))


def test_a_store_that_never_existed_is_empty(stores: Stores, tmp_path: Path) -> None:
    """And looking at it leaves no trace."""
    assert stores.read(Store.LOCAL) == Content()
    assert not (tmp_path / "state").exists()


def test_changes_are_kept_a_file_for_each_store(stores: Stores, tmp_path: Path) -> None:
    """Other stores stay as they are; a later process finds what was changed."""
    add_list(stores, "one")
    add_list(stores, "two", Store.PERSISTENT)
    add_list(stores, "three", Store.DOMAIN)
    again = Stores(tmp_path / "state")
    assert [
        lists(again.read(store)) for store in (Store.LOCAL, Store.PERSISTENT, Store.DOMAIN)
    ] == [
        ["one"],
        ["two"],
        ["three"],
    ]
    names = {
        path.name for path in (tmp_path / "state" / "stores").iterdir() if path.suffix == ".toml"
    }
    assert names == {"local.toml", "persistent.toml", "domain-cache.toml"}


def test_only_root_may_look(stores: Stores, tmp_path: Path) -> None:
    """Stores can hold keys, whatever the umask."""
    before = os.umask(0)
    try:
        add_list(stores, "one")
    finally:
        os.umask(before)
    made = [tmp_path / "state", *(tmp_path / "state").rglob("*")]
    assert {path.stat().st_mode & 0o777 for path in made if path.is_dir()} == {0o700}
    assert {path.stat().st_mode & 0o777 for path in made if path.is_file()} == {0o600}


def test_a_failed_change_changes_nothing(stores: Stores) -> None:
    """An exception in the body leaves the store as it was, and free for the next change."""
    add_list(stores, "one")

    def change() -> None:
        with stores.edit(Store.LOCAL) as draft:
            draft.add_filter_list(StoredList("two"))
            draft.delete_policy("nowhere")

    with pytest.raises(NotFoundError):
        change()
    add_list(stores, "three")
    assert lists(stores.read(Store.LOCAL)) == ["one", "three"]


def test_without_a_change_nothing_is_written(stores: Stores) -> None:
    """So a look through `edit` keeps the remarks of somebody who edits by hand."""
    with stores.edit(Store.LOCAL):
        pass
    assert not stores.path(Store.LOCAL).exists()
    add_list(stores, "one")
    before = f"# mine\n{stores.path(Store.LOCAL).read_text()}"
    stores.path(Store.LOCAL).write_text(before)
    with stores.edit(Store.LOCAL):
        pass
    assert stores.path(Store.LOCAL).read_text() == before


def test_a_change_of_identity_alone_is_kept(stores: Stores) -> None:
    """Though comparing two stores leaves identities and dates out."""
    for modified in (1, 2):
        with stores.edit(Store.LOCAL) as draft:
            draft.clear()
            draft.add_policy(StoredPolicy("p", modified=modified))
    assert stores.read(Store.LOCAL).policies["p"].modified == 2


@pytest.mark.parametrize("everything", [False, True])
def test_a_store_that_vanished_is_an_error(stores: Stores, everything: bool) -> None:
    """It is not "no policy"; the message says how to begin anew (design)."""
    add_list(stores, "one")
    stores.path(Store.LOCAL).unlink()
    if everything:
        stores.path(Store.LOCAL).with_name(".local.lock").unlink()
        stores.path(Store.LOCAL).parent.rmdir()
    with pytest.raises(StoreFileError, match=r"local\.toml: missing, .* or remove (\S+) to begin"):
        stores.read(Store.LOCAL)
    with pytest.raises(StoreFileError), stores.edit(Store.LOCAL):
        pass
    assert stores.read(Store.PERSISTENT) == Content()
    (stores.path(Store.LOCAL).parents[1] / "stores.known" / "local").unlink()
    assert stores.read(Store.LOCAL) == Content()


def test_a_store_copied_into_place_is_missed_after_its_first_change(stores: Stores) -> None:
    """Restored from a backup, say."""
    path = stores.path(Store.LOCAL)
    path.parent.mkdir(parents=True)
    path.write_text("version = 1\n")
    with stores.edit(Store.LOCAL):
        pass
    path.unlink()
    with pytest.raises(StoreFileError, match="missing"):
        stores.read(Store.LOCAL)


def test_a_damaged_store_is_not_changed(stores: Stores) -> None:
    """Somebody has to look at it first."""
    add_list(stores, "one")
    path = stores.path(Store.LOCAL)
    path.write_text(path.read_text()[:-10])
    damaged = path.read_bytes()
    with pytest.raises(StoreFileError, match=r"local\.toml: ") as refused:
        stores.read(Store.LOCAL)
    assert "restore it from a backup, or move it and " in str(refused.value)
    with pytest.raises(StoreFileError, match=r"local\.toml: "), stores.edit(Store.LOCAL):
        pass
    assert path.read_bytes() == damaged


def test_what_is_not_a_file_is_refused(stores: Stores) -> None:
    """One clear line."""
    stores.path(Store.LOCAL).mkdir(parents=True)
    with pytest.raises(StoreFileError, match=r"local\.toml: cannot be read: Is a directory"):
        stores.read(Store.LOCAL)


def test_a_state_directory_that_is_a_file_is_refused(tmp_path: Path) -> None:
    """Nothing can be kept there; nothing was."""
    (tmp_path / "state").write_text("")
    stores = Stores(tmp_path / "state")
    assert stores.read(Store.LOCAL) == Content()
    with (
        pytest.raises(StoreFileError, match=r"local\.toml: cannot be changed: "),
        stores.edit(Store.LOCAL),
    ):
        pass


def test_who_hangs_with_the_lock_is_not_waited_for(tmp_path: Path) -> None:
    """Others give up with one line; readers never wait."""
    stores = Stores(tmp_path / "state", patience=0.05)
    add_list(stores, "one")
    with (
        stores.edit(Store.LOCAL),
        pytest.raises(StoreFileError, match="cannot be changed: another process has been changing"),
        stores.edit(Store.LOCAL),
    ):
        pass
    with stores.edit(Store.LOCAL), stores.edit(Store.PERSISTENT):
        assert lists(stores.read(Store.LOCAL)) == ["one"]


WRITER = """
import sys
from pathlib import Path
from ipsecfd.policy.model import Store
from ipsecfd.policy.stores.content import StoredList
from ipsecfd.policy.stores.host import Stores

stores = Stores(Path(sys.argv[1]))
for number in range(100):
    with stores.edit(Store.LOCAL) as draft:
        draft.add_filter_list(StoredList(f"{sys.argv[2]} {number}"))
"""


def test_two_writers_lose_no_change(stores: Stores, tmp_path: Path) -> None:
    """Each of 200 changes made by two processes at once is there; a reader sees only whole stores
    that grow."""
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path / "state"), name])
        for name in ("one", "two")
    ]
    seen = [0]
    try:
        while any(writer.poll() is None for writer in writers):
            seen.append(len(lists(stores.read(Store.LOCAL))))
    finally:
        for writer in writers:
            writer.kill()
            writer.wait()
    assert [writer.returncode for writer in writers] == [0, 0]
    assert seen == sorted(seen)
    assert sorted(lists(stores.read(Store.LOCAL))) == sorted(
        f"{name} {number}" for name in ("one", "two") for number in range(100)
    )


STEPS = ("open", "write", "fsync", "close", "replace", "mkdir", "unlink")
"""What changes the disk, or makes a change last."""


class Crash:
    """Ends a process, or fails, at the n-th step."""

    def __init__(self, at: int, end: Callable[[], object]) -> None:
        self._left = at
        self._end = end

    def install(self, monkeypatch: pytest.MonkeyPatch, steps: Iterable[str] = STEPS) -> None:
        for name in steps:
            monkeypatch.setattr(os, name, self._counted(getattr(os, name)))

    def _counted(self, step: Callable[..., object]) -> Callable[..., object]:
        def counted(*arguments: object, **keywords: object) -> object:
            self._left -= 1
            if self._left == -1:
                self._end()
            return step(*arguments, **keywords)

        return counted


def killed_at(step: int, stores: Stores, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Add a list in a child process that dies at this step; whether it did."""
    child = os.fork()
    if child == 0:
        Crash(step, lambda: os._exit(9)).install(monkeypatch)
        try:
            add_list(stores, "new")
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


@pytest.mark.parametrize("before", [[], ["old"]], ids=["first change", "later change"])
def test_a_kill_at_any_step_leaves_the_old_or_the_new_store(
    tmp_path: Path, before: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the next change finds nothing in its way."""
    outcomes = []
    for step in itertools.count():
        stores = Stores(tmp_path / str(step))
        for name in before:
            add_list(stores, name)
        killed = killed_at(step, stores, monkeypatch)
        after = lists(stores.read(Store.LOCAL))
        assert after in (before, [*before, "new"])
        outcomes.append(after == before)
        add_list(stores, "next")
        assert lists(stores.read(Store.LOCAL)) == [*after, "next"]
        if not killed:
            break
    assert outcomes == sorted(outcomes, reverse=True)
    assert len(outcomes) > 8


@pytest.mark.parametrize("before", [[], ["old"]], ids=["first change", "later change"])
def test_a_failure_at_any_step_leaves_the_old_or_the_new_store(
    tmp_path: Path, before: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk, say: refused in one line, and no temporary file stays."""

    def full() -> None:
        raise OSError(28, "No space left on device")

    for step in itertools.count():
        stores = Stores(tmp_path / str(step))
        for name in before:
            add_list(stores, name)
        failure = ""
        with monkeypatch.context() as patch:
            Crash(step, full).install(patch, [one for one in STEPS if one != "close"])
            try:
                add_list(stores, "new")
            except StoreFileError as error:
                failure = str(error)
        assert lists(stores.read(Store.LOCAL)) in (before, [*before, "new"])
        left = [path.name for path in tmp_path.rglob("*.new")]
        assert left == []
        if not failure:
            break
        assert "No space left on device" in failure


def test_data_is_on_the_disk_before_its_name(
    stores: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that after a power loss no name stands for half a file; then the name is made to last."""
    add_list(stores, "old")
    steps: list[str] = []
    descriptors: dict[int, str] = {}
    real_open, real_fsync, real_replace = os.open, os.fsync, os.replace

    def opened(path: str, *arguments: int, **keywords: int) -> int:
        descriptor = real_open(path, *arguments, **keywords)
        descriptors[descriptor] = Path(path).name
        return descriptor

    def synced(descriptor: int) -> None:
        steps.append(f"fsync {descriptors[descriptor]}")
        real_fsync(descriptor)

    def replaced(source: Path, target: Path) -> None:
        steps.append(f"rename {source.name}")
        real_replace(source, target)

    monkeypatch.setattr(os, "open", opened)
    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    add_list(stores, "new")
    assert steps == ["fsync .local.toml.new", "rename .local.toml.new", "fsync stores"]


def test_importing_a_policy_file_and_a_store(stores: Stores) -> None:
    """Either adds to what is there; nothing is assigned by it."""
    add_list(stores, "old")
    web = 'name = "web"\n[[rule]]\nname = "in"\naction = "permit"\nfilters = ["any -> me:80 tcp"]\n'
    with stores.edit(Store.LOCAL) as draft:
        add_text(draft, web, "web.toml", Names(resolver=no_dns))
    exported = stores.path(Store.LOCAL).read_text()
    with stores.edit(Store.PERSISTENT) as draft:
        add_text(draft, exported, "local.toml", Names(resolver=no_dns))
    content = stores.read(Store.PERSISTENT)
    assert (content, content.assigned) == (stores.read(Store.LOCAL), None)
    assert lists(content) == ["old", "in"]
    assert parse(exported, "") == content


@pytest.mark.parametrize("damage", ["", "missing", "damaged"])
def test_a_store_is_replaced_whatever_was_there(stores: Stores, damage: str) -> None:
    """The domain's copy is fetched again; that it was damaged matters no more."""
    add_list(stores, "old", Store.DOMAIN)
    path = stores.path(Store.DOMAIN)
    if damage == "missing":
        path.unlink()
    elif damage == "damaged":
        path.write_text("version")
    content = Content(policies={"p": StoredPolicy("p")})
    stores.replace(Store.DOMAIN, content)
    assert stores.read(Store.DOMAIN) == content
