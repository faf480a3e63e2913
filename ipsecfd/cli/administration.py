"""What a command may change on this host, and keeping what it changed.

The stores are changed in their files, under their locks, and then the running service is told;
without one only the files change. Dynamic rules are fetched from it and handed back whole. All
commands that may change anything take turns.
"""

from __future__ import annotations

import contextlib
import functools
import ipaddress
import os
import socket as sockets
import sys
from collections.abc import ItemsView, Iterator, KeysView, ValuesView
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ipsecfd.agent import client, dynamictext, state
from ipsecfd.agent.bootfile import BootFile, startup_of
from ipsecfd.agent.config import Config, load
from ipsecfd.agent.configurations import Configurations
from ipsecfd.cli.live import patience
from ipsecfd.driver.modes import startup_name
from ipsecfd.errors import IpsecfdError
from ipsecfd.policy import durable, names
from ipsecfd.policy.counters import Counters
from ipsecfd.policy.model import IPAddress, Policy, Store
from ipsecfd.policy.names import Names
from ipsecfd.policy.stores import properties
from ipsecfd.policy.stores.draft import Draft
from ipsecfd.policy.stores.dynamic import DynamicContent, DynamicDraft
from ipsecfd.policy.stores.host import Stores
from ipsecfd.policy.stores.properties import Properties
from ipsecfd.policy.workspace import DOMAIN_READ_ONLY, GivenPolicy, Workspace

if TYPE_CHECKING:
    from ipsecfd.agent.report import DeskReport

TURN_FILE: Final = "changes.lock"
"""The file under `state_dir` that the command in turn has locked."""
PATIENCE: Final = 60.0
"""Seconds to wait for one's turn; a script of 10,000 commands takes a few."""
_STORES: Final = (Store.LOCAL, Store.PERSISTENT, Store.DOMAIN)


class Administration:
    """The host that commands are for: its running service, or else its files.

    `config` is the configuration file where no service runs, `socket` that of the service.
    Raises IpsecfdError when the configuration has mistakes.
    """

    def __init__(self, config: Path | None = None, socket: Path | None = None) -> None:
        self._config = load(config)
        self._boot_file = BootFile(Configurations(config).load_next)
        self._socket = socket or self._config.control.socket
        self._told: set[str] = set()

    @contextlib.contextmanager
    def workspace(self) -> Iterator[Workspace]:
        """A workspace; what the body changed is kept and in force when it has succeeded.

        Raises IpsecfdError: the service cannot be asked or refuses, a store cannot be changed.
        """
        with contextlib.ExitStack() as held:
            desk = self._desk()
            state_dir = Path(desk.state_dir) if desk else self._config.state_dir
            read_only = ""
            try:
                if self._wait_for_turn(state_dir, held):
                    desk = self._desk()
            except OSError as error:  # whoever only looks needs no turn
                read_only = _why_not(state_dir, error)
            known = _readable_properties(state_dir)
            dynamic = dynamictext.parse(desk.dynamic) if desk else DynamicContent()
            opened = _OpenStores(Stores(state_dir), read_only)
            workspace = self._workspace(desk, opened, known, dynamic)
            with opened.kept():
                yield workspace
            changed = opened.changed
            next_boot_differs = desk is None and opened.assigned and _is_first(state_dir)
            if workspace.properties != known:
                if read_only:
                    raise IpsecfdError(read_only)
                properties.write(state_dir, workspace.properties)
                changed = True
                next_boot_differs = desk is None
            if next_boot_differs:  # a running service sees to it
                self._keep_boot_file()
            if desk and changed:
                self._have_stores_taken(policies=opened.changed)
            after = workspace.dynamic.content() if workspace.dynamic else dynamic
            if desk and after != dynamic:
                notes = self._ask(
                    "SetDynamic", revision=desk.revision, dynamic=dynamictext.render(after)
                )
                self._tell(notes)

    def _workspace(
        self,
        desk: DeskReport | None,
        opened: _OpenStores,
        known: Properties,
        dynamic: DynamicContent,
    ) -> Workspace:
        """What commands work on; `desk` is the running service's part, if one runs."""
        return Workspace(
            Names(keep=False).resolve,
            opened,
            given=_given(desk) if desk else (),
            dynamic=DynamicDraft(dynamic) if desk else None,
            dynamic_persist=self._config.dynamic_persist,
            properties=known,
            configured=_configured(desk, self._config),
            profile=desk.profile if desk else self._config.profile,
            host=sockets.gethostname(),
            addresses=tuple(map(ipaddress.ip_address, desk.addresses)) if desk else (),
            counters=_counters(desk) if desk else None,
            name_of=_name_of,
        )

    def _have_stores_taken(self, *, policies: bool) -> None:
        """Have the service take what was kept; `policies` says that it is not properties alone.

        Raises IpsecfdError when policies are kept and not in force. Properties are for the next
        start: where something else is wrong, they are set all the same.
        """
        try:
            self._tell(self._ask("StoresChanged"))
        except IpsecfdError as error:
            if policies:
                raise IpsecfdError(
                    f"what was changed is kept, but not in force: {error}"
                ) from error
            self._tell(str(error).splitlines())

    def _tell(self, notes: list[str]) -> None:
        """Print what the service has to say, each thing once in a session of many commands."""
        for note in dict.fromkeys(notes):
            if note not in self._told:
                print(f"note: {note}", file=sys.stderr)
        self._told.update(notes)

    def _desk(self) -> DeskReport | None:
        """What the running service says; None without one."""
        try:
            desk: DeskReport = self._ask("GetDesk")
        except client.NotRunningError:
            return None
        return desk

    def _ask(self, method: str, **parameters: Any) -> Any:
        """Call a method of the running service."""
        with patience(self._socket):
            return client.call(self._socket, method, **parameters)

    def _keep_boot_file(self) -> None:
        """Have the next boot begin as the properties now say."""
        try:
            self._boot_file.keep()
        except IpsecfdError as error:
            print(f"note: the next boot begins as before: {error}", file=sys.stderr)

    @staticmethod
    def _wait_for_turn(state_dir: Path, held: contextlib.ExitStack) -> bool:
        """Wait until no other command changes anything; whether it took any waiting.

        Raises OSError where nothing can be written, and IpsecfdError if others take too long.
        """
        durable.make_directory(state_dir)
        try:
            held.enter_context(durable.locked(state_dir / TURN_FILE, 0.0))
            return False
        except durable.LockedError:
            pass
        try:
            held.enter_context(durable.locked(state_dir / TURN_FILE, PATIENCE))
        except durable.LockedError as error:
            raise IpsecfdError(_unchanged(state_dir, error)) from error
        return True


class _OpenStores(dict[Store, Draft]):
    """Drafts of the stores, each opened when it is first asked for.

    `read_only` says why nothing can be written, if so: then one looks at a store without its lock,
    as everybody does at the domain's copy. What cannot be kept is refused when a command tries it:
    others of its script are done.
    """

    def __init__(self, stores: Stores, read_only: str) -> None:
        super().__init__()
        self.changed = False
        """Whether a store's file is another one, once they are kept."""
        self.assigned = False
        """Whether a policy is assigned in a store whose file is another one."""
        self._stores = stores
        self._read_only = read_only
        self._held: contextlib.ExitStack | None = None
        self._stamps: dict[Store, tuple[Path, object]] = {}

    def __missing__(self, store: Store) -> Draft:
        self[store] = draft = self._open(store)
        return draft

    def __iter__(self) -> Iterator[Store]:
        return iter(self._all())

    def keys(self) -> KeysView[Store]:  # type: ignore[override]
        return self._all().keys()

    def values(self) -> ValuesView[Draft]:  # type: ignore[override]
        return self._all().values()

    def items(self) -> ItemsView[Store, Draft]:  # type: ignore[override]
        return self._all().items()

    def _all(self) -> dict[Store, Draft]:
        return {store: self[store] for store in _STORES}

    @contextlib.contextmanager
    def kept(self) -> Iterator[None]:
        """Keep what is changed in the body, if it succeeds. Raises IpsecfdError."""
        with contextlib.ExitStack() as self._held:
            yield
        self._held = None
        changed = [store for store, (path, stamp) in self._stamps.items() if _stamp(path) != stamp]
        self.changed = bool(changed)
        self.assigned = any(self[store].assigned is not None for store in changed)

    def _open(self, store: Store) -> Draft:
        why = DOMAIN_READ_ONLY if store is Store.DOMAIN else self._read_only
        if self._held is None or why:
            return Draft(self._stores.read(store), read_only=why)
        path = self._stores.path(store)
        draft = self._held.enter_context(self._stores.edit(store))
        self._stamps[store] = path, _stamp(path)
        return draft


def _why_not(state_dir: Path, error: OSError) -> str:
    """Why nothing can be changed there, for those who try."""
    if isinstance(error, PermissionError) and os.geteuid() != 0:
        return "permission denied: only root may change anything"
    return _unchanged(state_dir, error)


def _unchanged(state_dir: Path, error: OSError) -> str:
    return f"{state_dir}: nothing can be changed: {error.strerror}"


def _is_first(state_dir: Path) -> bool:
    """Remember that a policy was assigned, by which starts go (spec 6.1); whether none ever was."""
    try:
        if state.load(state_dir).ever_assigned:
            return False
    except state.StateError:  # a start then takes it that there was one
        return False
    state.save(state_dir, None)
    return True


def _stamp(path: Path) -> object:
    """Something else whenever the file was written."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _readable_properties(state_dir: Path) -> Properties:
    """The properties; whoever may not read them sees what the service runs with."""
    path = state_dir / properties.FILE_NAME
    if not os.access(state_dir, os.X_OK) or (path.exists() and not os.access(path, os.R_OK)):
        return Properties()
    return properties.read(state_dir)


def _configured(desk: DeskReport | None, config: Config) -> Properties:
    """What holds where no property is set."""
    if desk is None:
        return Properties(
            ipsecdiagnostics=config.diagnostics.level,
            ikelogging=0,
            strongcrlcheck=1,
            ipsecloginterval=config.diagnostics.interval,
            ipsecexempt=config.exempt_value,
            bootmode=startup_name(startup_of(config).mode),
            bootexemptions=tuple(map(str, config.startup.exemptions)),
        )
    return Properties(
        ipsecdiagnostics=desk.level,
        ikelogging=0,
        strongcrlcheck=1,
        ipsecloginterval=desk.interval,
        ipsecexempt=desk.exempt,
        bootmode=desk.boot_mode,
        bootexemptions=tuple(desk.boot_exemptions),
    )


def _given(desk: DeskReport) -> tuple[GivenPolicy, ...]:
    """The policies of files that are in force, to be read when somebody wants to see them."""

    def policy_of(file: str) -> Policy:
        from ipsecfd.policy.files import load

        return load(Path(file), Names(Path(desk.state_dir) / names.FILE_NAME, keep=False)).policy

    return tuple(
        GivenPolicy(one.name, one.file, functools.partial(policy_of, one.file))
        for one in desk.files
    )


def _counters(desk: DeskReport) -> Counters:
    return Counters(
        permitted_in=desk.permitted_in,
        permitted_out=desk.permitted_out,
        blocked_in=desk.blocked_in,
        blocked_out=desk.blocked_out,
        exempted=desk.exempted,
        no_filter=desk.no_filter,
        fragments_dropped=desk.fragments_dropped,
    )


def _name_of(address: IPAddress) -> str:
    try:
        return sockets.gethostbyaddr(str(address))[0]
    except OSError:
        return ""
