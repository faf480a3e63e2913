"""What every fresh Windows has in its store, for scripts that take it for granted (spec 1.1).

A store begins empty here, so a command that names a built-in object is lent it, unless it was
deleted before.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from ipsecfd.policy.stores.content import StoredAction, StoredList, StoredPolicy, name_key
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

LIST_GUIDS: Final = frozenset(one.guid for one in _LISTS)
ACTION_GUIDS: Final = frozenset(one.guid for one in _ACTIONS)
POLICY_GUIDS: Final = frozenset(one.guid for one in _POLICIES)
BUILT_IN_GUIDS: Final = LIST_GUIDS | ACTION_GUIDS | POLICY_GUIDS


def clear(draft: Draft) -> None:
    """Delete everything from a store, and what every fresh Windows has with it."""
    draft.clear()
    draft.deleted |= BUILT_IN_GUIDS


@contextlib.contextmanager
def lent(wanted: Callable[[str], bool], draft: Draft, now: int = 0) -> Iterator[bool]:
    """Lend a store the built-in objects that are wanted by name, with all that they use; whether
    there are any it lacks.

    What nobody uses afterwards is taken back. `now` is in seconds since 1970.
    """
    if draft.read_only:
        yield False
        return
    policies = [one for one in _POLICIES if wanted(one.name) and one.guid not in draft.deleted]
    rules = [rule for policy in policies for rule in policy.rules]
    # What a policy of Windows uses cannot be deleted before it.
    used = {rule.filter_list for rule in rules} | {rule.filter_action for rule in rules}

    def is_lent(one: StoredList | StoredAction) -> bool:
        return one.name in used or (wanted(one.name) and one.guid not in draft.deleted)

    lists = [one for one in _LISTS if is_lent(one) and not draft.has_filter_list(one.name)]
    actions = [one for one in _ACTIONS if is_lent(one) and not draft.has_filter_action(one.name)]
    policies = [one for one in policies if not draft.has_policy(one.name)]
    for filters in lists:
        draft.add_filter_list(replace(filters, modified=now))
    for action in actions:
        draft.add_filter_action(replace(action, modified=now))
    for policy in policies:
        draft.add_policy(replace(policy, modified=now))
    try:
        yield bool(lists or actions or policies)
    finally:
        _take_back(policies, draft.has_policy, partial(_delete_unassigned, draft), draft)
        _take_back(lists, draft.has_filter_list, draft.delete_filter_list, draft)
        _take_back(actions, draft.has_filter_action, draft.delete_filter_action, draft)


def _take_back(
    objects: Sequence[StoredPolicy | StoredList | StoredAction],
    has: Callable[[str], bool],
    delete: Callable[[str], None],
    draft: Draft,
) -> None:
    """Delete what is not in use by now; what the command deleted or renamed is not lent again."""
    for one in objects:
        if not has(one.name):
            draft.deleted.add(one.guid)
            continue
        with contextlib.suppress(StoreError):  # in use by now
            delete(one.name)
            draft.deleted.discard(one.guid)


def _delete_unassigned(draft: Draft, name: str) -> None:
    if draft.assigned != name_key(name):
        draft.delete_policy(name)
