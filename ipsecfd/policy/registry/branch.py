"""One policy store of a registry tree, done to the draft of a store (spec 1.1, 8.6)."""

from __future__ import annotations

import re
from collections.abc import Container, Mapping, Sequence
from typing import Final

from ipsecfd.policy.model import Connection
from ipsecfd.policy.registry.blobs import (
    BlobError,
    parse_filters,
    parse_negotiation,
    parse_policy,
    parse_rule,
)
from ipsecfd.policy.registry.fields import (
    binary,
    description,
    modified,
    name_of,
    place_of,
    references,
    text,
)
from ipsecfd.policy.registry.filters import merged, one_line, to_filter
from ipsecfd.policy.registry.layout import InterfaceType, Offer, RuleBlob
from ipsecfd.policy.registry.methods import authentication, is_soft, security_methods
from ipsecfd.policy.registry.tree import Key, Place, RegistryFileError, Tree
from ipsecfd.policy.scripts.failure import Failure
from ipsecfd.policy.stores.builtin import clear
from ipsecfd.policy.stores.content import (
    DEFAULT_POLLING,
    Behaviour,
    DefaultRule,
    StoredAction,
    StoredList,
    StoredPolicy,
    StoredRule,
    rule_key,
)
from ipsecfd.policy.stores.distinct import DistinctNames
from ipsecfd.policy.stores.draft import Draft
from ipsecfd.policy.stores.errors import InUseError

_OBJECT: Final = re.compile(
    r"ipsec(policy|nfa|filter|negotiationpolicy|isakmppolicy)(\{[0-9a-f]{8}(?:-[0-9a-f]{4}){3}"
    r"-[0-9a-f]{12}\})",
    re.IGNORECASE,
)
_BEHAVIOURS: Final = {
    "{3F91A819-7647-11D1-864D-D46A00000000}": (Behaviour.BLOCK, False),
    "{8A171DD2-77E3-11D1-8659-A04F00000000}": (Behaviour.PERMIT, False),
    "{8A171DD3-77E3-11D1-8659-A04F00000000}": (Behaviour.NEGOTIATE, False),
    "{3F91A81A-7647-11D1-864D-D46A00000000}": (Behaviour.NEGOTIATE, True),
}
_DEFAULT_RESPONSE: Final = "{62F49E13-6C37-11D1-864C-14A300000000}"
_CONNECTIONS: Final[Mapping[int, Connection]] = {
    InterfaceType.ALL: Connection.ALL,
    InterfaceType.LAN: Connection.LAN,
    InterfaceType.DIALUP: Connection.DIALUP,
}


_NO_NAMES: Final = ("", "none")
"""Rules made with Windows' own windows have no name, which its tools show as NONE."""
_DELETION_ORDER: Final = ("policy", "nfa", "filter", "negotiationpolicy", "isakmppolicy")


class Branch:
    """Reads one store of a tree into a draft, and collects what goes wrong."""

    def __init__(self, tree: Tree, path: Sequence[str], draft: Draft) -> None:
        self.failed: list[Failure] = []
        self.untranslated: list[Failure] = []
        self.notes: list[str] = []
        self._tree = tree
        self._key = tree.find(*path)
        self._draft = draft
        if tree.deletion(*path):
            clear(draft)
        self._lists = {one.guid.upper(): one.name for one in draft.filter_lists.values()}
        self._actions = {one.guid.upper(): one.name for one in draft.filter_actions.values()}
        self._policies = {one.guid.upper(): one.name for one in draft.policies.values()}
        self._list_names, self._action_names = DistinctNames(), DistinctNames()
        self._policy_names = DistinctNames()
        self._default_responses: dict[str, tuple[Offer, ...]] = {}

    def read(self) -> None:
        """Do what the branch says: deletions first, then what each object needs before it."""
        if self._key is None:
            return
        self._delete(self._key)
        kinds = self._by_kind(self._key)
        for guid, key in kinds["filter"].items():
            self._filter_list(guid, key)
        for guid, key in kinds["negotiationpolicy"].items():
            self._filter_action(guid, key)
        rules, used = kinds["nfa"], set[str]()
        for guid, key in kinds["policy"].items():
            used |= self._policy(guid, key, rules)
        for guid, key in rules.items():
            if guid not in used:
                self._doubt(key.place, f"expected a policy that names the rule {guid}")
        if kinds["isakmppolicy"]:
            self.notes.append("main mode settings (ipsecISAKMPPolicy): no effect, not imported")
        self._assignment(self._key)

    def _by_kind(self, branch: Key) -> Mapping[str, dict[str, Key]]:
        kinds: dict[str, dict[str, Key]] = {kind: {} for kind in _DELETION_ORDER}
        for key in branch.keys.values():
            named = _OBJECT.fullmatch(key.name)
            if named is None:
                self._doubt(key.place, f'expected an object of a policy store, not "{key.name}"')
            else:
                kinds[named[1].lower()][named[2].upper()] = key
        return kinds

    def _filter_list(self, guid: str, key: Key) -> None:
        place = place_of(key, "ipsecData")
        try:
            blob = parse_filters(binary(key))
        except (BlobError, RegistryFileError) as error:
            self._doubt(place, str(error))
            return
        filters = []
        for number, one in enumerate(blob.effective, 1):
            try:
                filters.append(to_filter(one))
            except RegistryFileError as error:
                self._doubt(place, f"filter {number}: {error}")
        old = self._lists.get(guid)
        name = self._list_names.of(name_of(key) or "Filter list", self._draft.filter_lists, old)
        made = StoredList(name, merged(filters), description(key), guid, modified(key))
        if old is None:
            self._draft.add_filter_list(made)
        else:
            self._draft.set_filter_list(old, made)
        self._lists[guid] = name

    def _filter_action(self, guid: str, key: Key) -> None:
        if text(key, "ipsecNegotiationPolicyType").upper() == _DEFAULT_RESPONSE:
            self._default_responses[guid] = self._offers(key) or ()
            return
        kind = text(key, "ipsecNegotiationPolicyAction")
        if kind.upper() not in _BEHAVIOURS:
            why = f'expected the GUID of permit, block or negotiate as its action, not "{kind}"'
            self._doubt(place_of(key, "ipsecNegotiationPolicyAction"), why)
            return
        behaviour, inpass = _BEHAVIOURS[kind.upper()]
        offers = self._offers(key) if behaviour is Behaviour.NEGOTIATE else ()
        if offers is None:
            return
        old = self._actions.get(guid)
        name = self._action_names.of(
            name_of(key) or behaviour.value, self._draft.filter_actions, old
        )
        made = StoredAction(
            name,
            behaviour,
            inpass,
            is_soft(offers),
            any(one.pfs for one in offers),
            security_methods(offers),
            description(key),
            guid,
            modified(key),
        )
        if old is None:
            self._draft.add_filter_action(made)
        else:
            self._draft.set_filter_action(old, made)
        self._actions[guid] = name

    def _offers(self, key: Key) -> tuple[Offer, ...] | None:
        """The security methods of a negotiation policy, or None when they cannot be read."""
        try:
            return parse_negotiation(binary(key))
        except (BlobError, RegistryFileError) as error:
            self._doubt(place_of(key, "ipsecData"), str(error))
            return None

    def _policy(self, guid: str, key: Key, rules: Mapping[str, Key]) -> set[str]:
        """Make a policy; the GUIDs of the rules that it names."""
        try:
            polling = parse_policy(binary(key))
        except (BlobError, RegistryFileError) as error:
            self._doubt(place_of(key, "ipsecData"), str(error))
            polling = 0
        named = references(key, "ipsecNFAReference")
        made, default = self._rules(key, named, rules)
        old = self._policies.get(guid)
        name = self._policy_names.of(name_of(key) or "Policy", self._draft.policies, old)
        policy = StoredPolicy(
            name,
            description(key),
            made,
            polling or DEFAULT_POLLING,
            default_rule=default,
            guid=guid,
            modified=modified(key),
        )
        if old is None:
            self._draft.add_policy(policy)
        else:
            self._draft.set_policy(old, policy)
        self._policies[guid] = name
        return set(named)

    def _rules(
        self, key: Key, named: Sequence[str], rules: Mapping[str, Key]
    ) -> tuple[tuple[StoredRule, ...], DefaultRule]:
        """The rules that a policy names, as far as they are there and can be read."""
        made: dict[str, StoredRule] = {}
        names = DistinctNames()
        default = DefaultRule(active=False)
        for reference in named:
            rule = rules.get(reference)
            if rule is None:
                why = f"expected a rule of the file, not {reference}"
                self._doubt(place_of(key, "ipsecNFAReference"), why)
                continue
            try:
                blob = parse_rule(binary(rule))
            except (BlobError, RegistryFileError) as error:
                self._doubt(place_of(rule, "ipsecData"), str(error))
                continue
            found = self._rule(reference, rule, blob, made, names)
            if isinstance(found, StoredRule):
                made[rule_key(found)] = found
            elif found:
                default = found
        return tuple(made.values()), default

    def _rule(
        self,
        guid: str,
        key: Key,
        blob: RuleBlob,
        others: Container[str],
        names: DistinctNames,
    ) -> StoredRule | DefaultRule | None:
        methods = authentication(blob.methods)
        actions = references(key, "ipsecNegotiationPolicyReference")
        lists = references(key, "ipsecFilterReference")
        if len(actions) == 1 and actions[0] in self._default_responses:
            offers = self._default_responses[actions[0]]
            return DefaultRule(
                blob.active, any(one.pfs for one in offers), security_methods(offers), methods
            )
        action = self._only(key, "ipsecNegotiationPolicyReference", actions, self._actions)
        filters = self._only(key, "ipsecFilterReference", lists, self._lists)
        connection = _CONNECTIONS.get(blob.interface_type)
        if connection is None:
            self._doubt(
                place_of(key, "ipsecData"),
                "expected a connection type, 0xfffffffd to 0xffffffff,"
                f" not {blob.interface_type:#010x}",
            )
        if action is None or filters is None or connection is None:
            return None
        name = name_of(key)
        return StoredRule(
            "" if name.lower() in _NO_NAMES else names.of(name, others),
            filters,
            action,
            description(key),
            blob.active,
            connection,
            one_line(blob.tunnel_name) or str(blob.tunnel) if blob.is_tunnel else "",
            methods,
            guid,
            modified(key),
        )

    def _only(
        self, key: Key, value: str, references: Sequence[str], names: Mapping[str, str]
    ) -> str | None:
        """The name of the one object that a rule refers to."""
        kind = "filter list" if names is self._lists else "filter action"
        if len(references) != 1:
            why = f"expected a rule to name one {kind}, not {len(references)}"
        elif references[0] not in names:
            why = f"expected a {kind} that was imported, not {references[0]}"
        else:
            return names[references[0]]
        self._doubt(place_of(key, value), f"rule not imported: {why}")
        return None

    def _assignment(self, branch: Key) -> None:
        if "activepolicy" in branch.deleted_values:
            self._draft.unassign()
        if "activepolicy" not in branch.values:
            return
        named = references(branch, "ActivePolicy")
        if not named:
            self._draft.unassign()
        elif named[0] in self._policies:
            self._draft.assign(self._policies[named[0]])
        else:
            why = f"expected a policy that was imported, not {named[0]}"
            self._doubt(place_of(branch, "ActivePolicy"), f"no policy assigned: {why}")

    def _delete(self, branch: Key) -> None:
        """Delete objects of the store that the tree deletes one by one."""
        gone = [
            (_DELETION_ORDER.index(named[1].lower()), named[2].upper(), place)
            for name, place in branch.deleted_keys.items()
            if name not in branch.keys and (named := _OBJECT.fullmatch(name))
        ]
        for order, guid, place in sorted(gone):
            kind = _DELETION_ORDER[order]
            try:
                if kind == "filter" and guid in self._lists:
                    self._draft.delete_filter_list(self._lists.pop(guid))
                elif kind == "negotiationpolicy" and guid in self._actions:
                    self._draft.delete_filter_action(self._actions.pop(guid))
                elif kind == "policy" and guid in self._policies:
                    self._draft.delete_policy(self._policies.pop(guid))
                elif kind == "nfa":
                    self._delete_rule(guid)
            except InUseError as error:
                self._fail(place, str(error))

    def _delete_rule(self, guid: str) -> None:
        for policy in list(self._draft.policies.values()):
            for rule in policy.rules:
                if rule.guid.upper() == guid:
                    self._draft.delete_rule(policy.name, rule.name or rule.guid)

    def _fail(self, place: Place, why: str) -> None:
        self.failed.append(Failure(self._tree.file, place.line, place.text, why))

    def _doubt(self, place: Place, why: str) -> None:
        self.untranslated.append(Failure(self._tree.file, place.line, place.text, why))
