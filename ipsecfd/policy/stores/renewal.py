"""New addresses of DNS names put into a store, which keeps those that a name had."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ipsecfd.policy.model import Address, DnsName, IPAddress
from ipsecfd.policy.stores.draft import Draft


def renew(draft: Draft, answers: Mapping[str, tuple[IPAddress, ...]]) -> None:
    """Put the addresses that names have by now into all filters that use them."""

    def renewed(address: Address) -> Address:
        if isinstance(address, DnsName) and address.name in answers:
            return DnsName(address.name, answers[address.name])
        return address

    for one in list(draft.filter_lists.values()):
        filters = tuple(
            replace(each, source=renewed(each.source), destination=renewed(each.destination))
            for each in one.filters
        )
        if filters != one.filters:
            draft.set_filter_list(one.name, replace(one, filters=filters))
