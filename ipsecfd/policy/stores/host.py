"""The stores of a host, a file each under `state_dir` (spec 1.5); the dynamic one has none.

A reader sees a store before a change or after it. Those who change it wait for each other. A mark
beside the stores remembers which of them were ever written: a store that never existed is "no
policy", one that vanished is an error, as is a damaged one (design).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ipsecfd.policy import durable
from ipsecfd.policy.mistakes import Mistake
from ipsecfd.policy.model import Store
from ipsecfd.policy.stores import file as storefile
from ipsecfd.policy.stores.content import Content
from ipsecfd.policy.stores.draft import Draft
from ipsecfd.policy.stores.file import StoreFileError

FILE_NAMES: Final = {
    Store.LOCAL: "local.toml",
    Store.PERSISTENT: "persistent.toml",
    Store.DOMAIN: "domain-cache.toml",
}
_REMARK: Final = """\
{what} of ipsecfd.
{who}
Remarks such as this one are not kept."""
_REMARKS: Final = {
    Store.LOCAL: _REMARK.format(
        what="The local store",
        who="Commands change it (ipsecfd netsh ipsec static ...); so may you, between commands.",
    ),
    Store.PERSISTENT: _REMARK.format(
        what="The persistent store",
        who="Commands change it (ipsecfd netsh, after set store location=persistent).",
    ),
    Store.DOMAIN: _REMARK.format(
        what="The copy of the domain policy", who="It is replaced when the domain policy changes."
    ),
}


class Stores:
    """Reads and changes the stores; `patience` is how many seconds a change waits for others to
    end theirs."""

    def __init__(self, state_dir: Path, *, patience: float = durable.LOCK_PATIENCE) -> None:
        self._state_dir = state_dir
        self._patience = patience

    def path(self, store: Store) -> Path:
        """The file of a store."""
        return self._state_dir / "stores" / FILE_NAMES[store]

    def read(self, store: Store) -> Content:
        """What a store holds; nothing if it never existed.

        Raises StoreFileError when it vanished, is damaged or cannot be read.
        """
        mark, path = self._mark(store), self.path(store)
        known = False
        try:
            known = mark.exists()  # asked first: a first change puts the file there first
            return storefile.read(path)
        except (FileNotFoundError, NotADirectoryError):
            pass
        except OSError as error:
            raise _refused(path, f"cannot be read: {error.strerror}") from error
        except StoreFileError as error:
            what = f"damaged; restore it from a backup, or move it and {mark} away and import again"
            raise StoreFileError([*error.mistakes, Mistake(str(path), "", "", what)]) from error
        if not known:
            return Content()
        raise _refused(
            path,
            f"missing, and it was there once; restore it, or remove {mark} to begin an empty store",
        )

    @contextlib.contextmanager
    def edit(self, store: Store) -> Iterator[Draft]:
        """A draft of a store, which nobody else can change meanwhile; kept if the body succeeds.

        Not for long: others wait. Raises StoreFileError.
        """
        with self._locked(self.path(store)):
            before = self.read(store)
            draft = Draft(before)
            yield draft
            self._keep(store, before, draft.content())

    def replace(self, store: Store, content: Content) -> None:
        """Put this in a store's place, whatever was there, damaged or missing.

        Raises StoreFileError, and then nothing is changed.
        """
        path = self.path(store)
        with self._locked(path):
            storefile.write(path, content, _REMARKS[store])
            self._remember(store)

    def _keep(self, store: Store, before: Content, after: Content) -> None:
        storefile.write(self.path(store), after, _REMARKS[store], before)
        self._remember(store)

    def _remember(self, store: Store) -> None:
        path, mark = self.path(store), self._mark(store)
        try:
            if path.exists() and not mark.exists():
                durable.make_directory(mark.parent)
                durable.touch(mark)
        except OSError as error:
            raise _refused(mark, f"cannot be written: {error.strerror}") from error

    @contextlib.contextmanager
    def _locked(self, path: Path) -> Iterator[None]:
        with contextlib.ExitStack() as held:
            try:
                durable.make_directory(path.parent)
                lock = path.with_name(f".{path.stem}.lock")
                held.enter_context(durable.locked(lock, self._patience))
            except OSError as error:
                raise _refused(path, f"cannot be changed: {error.strerror}") from error
            yield

    def _mark(self, store: Store) -> Path:
        """The mark is made after the file: without power between, the store is only not missed."""
        return self._state_dir / "stores.known" / self.path(store).stem


def _refused(path: Path, why: str) -> StoreFileError:
    return StoreFileError([Mistake(str(path), "", "", why)])
