"""New addresses of DNS names in a store."""

from __future__ import annotations

import ipaddress

from ipsecfd.policy.model import DnsName, Filter, IPAddress, Me
from ipsecfd.policy.stores.content import StoredList
from ipsecfd.policy.stores.draft import Draft
from ipsecfd.policy.stores.renewal import renew
from tests.builders import generic

OLD, NEW = (ipaddress.ip_address(one) for one in ("192.0.2.1", "2001:db8::2"))


def named(name: str, *addresses: IPAddress) -> DnsName:
    """A name with the addresses that it had once."""
    return DnsName(name, addresses)


def test_names_get_the_addresses_they_have_by_now() -> None:
    """On either side, in every list; what has no answer, or is no name, stays as it was."""
    draft = Draft()
    www, mail, web = named("www.example", OLD), named("mail.example", OLD), generic("me <-> any")
    draft.add_filter_list(StoredList("a", (Filter(www, Me()), Filter(Me(), www), web)))
    draft.add_filter_list(StoredList("b", (Filter(mail, www, 0, 80, 6),)))
    draft.add_filter_list(StoredList("c", (Filter(mail, Me()),), "untouched"))
    before = draft.filter_list("c")
    renew(draft, {"www.example": (OLD, NEW)})
    now = named("www.example", OLD, NEW)
    assert draft.filter_list("a").filters == (Filter(now, Me()), Filter(Me(), now), web)
    assert draft.filter_list("b").filters == (Filter(mail, now, 0, 80, 6),)
    assert draft.filter_list("c") is before
