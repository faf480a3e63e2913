"""The tags of the objects of a store, in syntax order (spec 8.2)."""

from __future__ import annotations

from typing import Final

from ipsecfd.policy.netsh import values
from ipsecfd.policy.netsh.syntax import Tag
from ipsecfd.policy.netsh.tags import (
    CONNECTION,
    DESTINATION,
    DESTINATION_MASK,
    DESTINATION_PORT,
    MAIN_MODE,
    MIRRORED,
    PROTOCOL,
    SOURCE,
    SOURCE_MASK,
    SOURCE_PORT,
)
from ipsecfd.policy.netsh.values import NAME, TEXT, YES_NO, choice

NEW_NAME: Final = Tag("newname", NAME, "New name", field="name")
DESCRIPTION: Final = Tag("description", TEXT, "Description", field="description")
METHODS: Final = Tag(
    "qmsecmethods", TEXT, "Quick mode methods (kept, without effect)", field="qmsecmethods"
)
ALL: Final = Tag("all", YES_NO, "Every one", required=True, one_of="which", bare=True)


OWN_NAME: Final = Tag("name", NAME, "Its name", required=True, field="name")


def which(objects: str = "") -> Tag:
    """The name of the object that is meant; `objects` as in Tag."""
    return Tag("name", NAME, "Its name", required=True, one_of="which", objects=objects)


def by_guid(objects: str) -> tuple[Tag, Tag]:
    """The name or the GUID of the object that is meant."""
    guid = Tag("guid", values.GUID, "Or its GUID", required=True, one_of="which")
    return which(objects), guid


def changes(tags: tuple[Tag, ...]) -> tuple[Tag, ...]:
    """The tags of `add`, for a `set` that changes only what is given."""
    return tuple(tag.optional() for tag in tags)


POLICY: Final = (
    DESCRIPTION,
    Tag("mmpfs", YES_NO, "Master key perfect forward secrecy (kept)", default="no", field="mmpfs"),
    *MAIN_MODE,
    Tag("activatedefaultrule", YES_NO, "Default response rule active", default="yes"),
    Tag(
        "pollinginterval",
        values.POLLING,
        "Look for changes this often",
        default="180",
        field="polling",
    ),
    Tag("assign", YES_NO, "Assign the policy", default="no"),
    Tag("mmsecmethods", TEXT, "Main mode methods (kept)", field="mmsecmethods"),
)
GPO: Final = Tag("gponame", NAME, "Group Policy object; for the domain store")
FILTER: Final = (
    Tag(
        "filterlist",
        NAME,
        "The filter list; made if there is none",
        required=True,
        objects="filter_lists",
    ),
    SOURCE,
    DESTINATION,
)
FILTER_REST: Final = (
    PROTOCOL,
    MIRRORED,
    SOURCE_MASK,
    DESTINATION_MASK,
    SOURCE_PORT,
    DESTINATION_PORT,
)
ACTION: Final = (
    DESCRIPTION,
    Tag("qmpfs", YES_NO, "Session key PFS (kept)", default="no", field="qmpfs"),
    Tag("inpass", YES_NO, "Accept unsecured inbound packets", default="no", field="inpass"),
    Tag("soft", YES_NO, "Accept peers without IPsec", default="no", field="soft"),
    Tag("action", values.BEHAVIOUR, "What it does", default="negotiate", field="behaviour"),
    METHODS,
)
POLICY_OF_RULE: Final = Tag("policy", NAME, "The rule's policy", required=True, objects="policies")
USED: Final = (
    Tag(
        "filterlist",
        NAME,
        "Its filter list",
        required=True,
        field="filter_list",
        objects="filter_lists",
    ),
    Tag(
        "filteraction",
        NAME,
        "Its filter action",
        required=True,
        field="filter_action",
        objects="filter_actions",
    ),
)
RULE: Final = (
    Tag("tunnel", values.TUNNEL, "Tunnel end point (kept); its filters come first", field="tunnel"),
    CONNECTION,
    Tag("activate", YES_NO, "Rule active", default="yes", field="active"),
)
RULE_WHICH: Final = (
    which(),
    Tag("id", values.ID, "Or its number in the policy", required=True, one_of="which"),
)
LEVEL: Final = Tag(
    "level", choice(verbose="verbose", normal="normal"), "How much", default="normal"
)
FORMAT: Final = Tag("format", choice(list="list", table="table"), "Layout", default="list")
WIDE: Final = Tag("wide", YES_NO, "Do not cut long columns", default="no")
SHOW_ALL: Final = Tag("all", YES_NO, "Every one", one_of="which", bare=True)
