"""What every fresh Windows has in its store, for scripts that take it for granted (spec 1.1).

A store begins empty here, so a command that names a built-in object is lent it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Final

from ipsecfd.policy.stores.content import name_key
from ipsecfd.policy.stores.draft import Draft
from ipsecfd.policy.stores.errors import StoreError
from ipsecfd.policy.stores.examples import (
    ALL_ICMP,
    ALL_TRAFFIC,
    CLIENT,
    PERMIT,
    REQUEST,
    REQUIRE,
    SECURE_SERVER,
    SERVER,
)

_LISTS: Final = (ALL_TRAFFIC, ALL_ICMP)
_ACTIONS: Final = (PERMIT, REQUEST, REQUIRE)
_POLICIES: Final = (CLIENT, SERVER, SECURE_SERVER)

BUILT_IN_GUIDS: Final = frozenset(
    (
        *(one.guid for one in _LISTS),
        *(one.guid for one in _ACTIONS),
        *(one.guid for one in _POLICIES),
    )
)


@contextlib.contextmanager
def lent(wanted: Callable[[str], bool], draft: Draft, now: int = 0) -> Iterator[bool]:
    """Lend a store the built-in objects that are wanted by name, with all that they use; whether
    there are any it lacks.

    What nobody uses afterwards is taken back. `now` is in seconds since 1970.
    """
    if draft.read_only:
        yield False
        return
    policies = [one for one in _POLICIES if wanted(one.name)]
    rules = [rule for policy in policies for rule in policy.rules]
    used = {rule.filter_list for rule in rules} | {rule.filter_action for rule in rules}
    take_back: list[Callable[[], None]] = []
    for filters in _LISTS:
        if (filters.name in used or wanted(filters.name)) and not draft.has_filter_list(
            filters.name
        ):
            draft.add_filter_list(replace(filters, modified=now))
            take_back.append(partial(draft.delete_filter_list, filters.name))
    for action in _ACTIONS:
        if (action.name in used or wanted(action.name)) and not draft.has_filter_action(
            action.name
        ):
            draft.add_filter_action(replace(action, modified=now))
            take_back.append(partial(draft.delete_filter_action, action.name))
    for policy in policies:
        if not draft.has_policy(policy.name):
            draft.add_policy(replace(policy, modified=now))
            take_back.insert(0, partial(_delete_unassigned, draft, policy.name))
    try:
        yield bool(take_back)
    finally:
        for one in take_back:
            with contextlib.suppress(StoreError):  # in use by now, or deleted by the command
                one()


def _delete_unassigned(draft: Draft, name: str) -> None:
    if draft.assigned != name_key(name):
        draft.delete_policy(name)
